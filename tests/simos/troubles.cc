// What the world does to them. Read next: scenario.h.
#include "tests/simos/scenario.h"

namespace simos {

namespace {

enum Kind {
  // of the link
  kCutReset, kCutEnd, kCutSilence, kStall, kRefuse, kPlug, kDeaf,
  // of the hosts
  kStatistics, kHup, kWallBack, kFreeze, kServerAway, kServerHangs, kLogFull, kUpgrade,
  // which may cost streams
  kKill, kTerm, kHelperDies, kJump, kLongStall, kFewFds,
  kCount,
  // the ends of some
  kGoOn, kAccept, kPlugBack, kHear, kServerBack, kServerWell, kLogRoom, kRestart, kUpgraded
};
constexpr int kFirstCostly = kKill;
constexpr int kTroubleEvent = 100000;

// Who starts with it ends.
constexpr char kNonsense[] = "PORT=nonsense:at all\n";
bool is_nonsense(const std::string& config) { return config.find(kNonsense) != std::string::npos; }

}  // namespace

// What is to happen, and so whether streams may be lost.
void Scenario::choose_troubles() {
  Random& chance = world->random;
  const bool costly = chance.chance(35);
  if (costly || chance.chance(10)) hold_s_ = chance.chance(30) ? 0 : 1 + chance.below(30);
  const uint32_t n = chance.chance(15) ? 0 : 1 + chance.skewed(0, 9);
  for (uint32_t i = 0; i < n; ++i) {
    const int kind = static_cast<int>(chance.below(costly ? kCount : kFirstCostly));
    // 0.3 resumes nothing, and neither does who holds nothing for long.
    if (kind >= kFirstCostly || ((v03_ || hold_s_ < 60) && (kind <= kDeaf || kind == kFreeze))) strict_ = false;
    unsure_ = unsure_ || kind == kServerAway;
    troubles_.push_back({chance.range(0, 8 * kSecond), kind});
  }
  // An old daemon that has no channels waits for its goodbye for a second: one that is on its way may be lost with a link.
  for (const Trouble& t : troubles_) strict_ = strict_ && !(upgrades() && (t.kind <= kDeaf || t.kind == kFreeze));
  if (upgrades() && hold_s_ == 0) strict_ = false;
  if (v03_ || (hold_s_ < 60 && (link_->flips > 0 || way_ == Way::program))) strict_ = false;
}

bool Scenario::upgrades() const {
  for (const Trouble& t : troubles_)
    if (t.kind == kUpgrade) return true;
  return false;
}

void Scenario::again(int kind, Micros least, Micros most) { world->after(world->random.range(least, most), *this, kTroubleEvent + kind); }

void Scenario::trouble(int kind) {
  switch (kind) {
    case kCutReset: link_->cut(Path::Cut::reset); break;
    case kCutEnd: link_->cut(Path::Cut::end); break;
    case kCutSilence: link_->cut(Path::Cut::silence); break;
    case kStall:
      link_->stall(true);
      again(kGoOn, kMilli, 8 * kSecond);
      break;
    case kLongStall:
      link_->stall(true);
      break;
    case kGoOn: link_->stall(false); break;
    case kRefuse:
      link_->connects = world->random.chance(50) ? Path::Connects::refused : Path::Connects::silent;
      link_->cut(Path::Cut::reset);
      again(kAccept, kMilli, 5 * kSecond);
      break;
    case kAccept: link_->connects = Path::Connects::yes; break;
    case kPlug:
    case kPlugBack:
    case kDeaf:
    case kHear: line_trouble(kind); break;
    default: host_trouble(kind);
  }
}

void Scenario::line_trouble(int kind) {
  Node* line = host_[world->random.below(kDaemons)].line;
  if (line == nullptr) return;
  switch (kind) {
    case kPlug:
      line->gone = true;
      line->hang_up();
      again(kPlugBack, kMilli, 4 * kSecond);
      break;
    case kPlugBack:
      for (Host& h : host_) h.line->gone = false;
      break;
    case kDeaf:
      line->wire->broken = true;
      again(kHear, kMilli, 8 * kSecond);
      break;
    default:
      for (Host& h : host_) h.line->wire->broken = false;
  }
}

// What HUP may change, and nobody misses.
void Scenario::change_config(Host& h) {
  Random& chance = world->random;
  h.config->data = h.usual_config;
  if (chance.chance(50)) h.config->data += "TIMEOUT=con:" + std::to_string(3 + chance.below(5)) + "\n";
  for (const char* port : {"8050", "8051/udp", "8052"})
    if (chance.chance(40)) h.config->data += "PORT=" + text_of(h.ip, chance.chance(30)) + ":" + port + "\n";
  if (chance.chance(20)) h.config->data += "SERVER=tcprelay://10.0.0.9:9,-in:-:-P" + std::to_string(8060 + chance.below(3)) + "\n";
  if (strict_ && chance.chance(10)) h.config->data += kNonsense;  // refused as a whole
  if (upgraded_ == &h) upgrade_may_fail_ = upgrade_may_fail_ || is_nonsense(h.config->data);
}

// As sockmuxctl upgrade does it: one that has the same words takes the place of who is there.
void Scenario::upgrade(Host& h) {
  if (!h.control || spare_->alive() || !h.process->alive() || !h.process->started || h.process->told_to_end) return;
  Process::Variables variables = {{"SOCKMUX_TAKE", kControlPath}};
  if (const uint32_t drain = strict_ ? 600 : world->random.skewed(0, 30); drain > 0) variables.emplace_back("SOCKMUX_DRAIN", std::to_string(drain));
  spare_->fd_limit = 1024;
  spare_->boot(h.ip, h.words, std::move(variables));
  upgraded_ = &h;
  upgrade_may_fail_ = !strict_ || (h.config != nullptr && is_nonsense(h.config->data));
  again(kUpgraded, 0, 0);
}

// Is the new one there, has the old one ended?
void Scenario::look_at_upgrade() {
  if (upgraded_ == nullptr) {
    if (!replaced_ || spare_->alive()) return;
    replaced_ = false;
    crowd_.moved = world->now + 5 * kSecond;
    if (spare_->exit_code() != 0 && spare_->exit_code() != 137 && spare_->exit_code() != spare_->may_end_with) world->fail("process %d, replaced, has ended with %d", spare_->number(), spare_->exit_code());
    return;
  }
  Host& h = *upgraded_;
  if (!spare_->started && spare_->alive()) return;
  upgraded_ = nullptr;
  if (!spare_->started) {
    if (!upgrade_may_fail_ && !spare_->faults.done && !h.process->faults.done) world->fail("the upgrade of process %d has failed: %d", h.process->number(), spare_->exit_code());
    return start(h);
  }
  std::swap(h.process, spare_);
  spare_->told_to_end = replaced_ = true;
  crowd_.moved = INT64_MAX;
  h.wanted = true;
  if (well_ && h.config != nullptr) h.process->signal(SIGHUP);  // it may have read what was there before
}

void Scenario::host_trouble(int kind) {
  look_at_upgrade();
  Random& chance = world->random;
  Host& h = host_[chance.below(kDaemons)];
  Port* port = h.ports.empty() ? nullptr : &h.ports[chance.below(static_cast<uint32_t>(h.ports.size()))];
  Server* server = port == nullptr ? nullptr : port->server;
  switch (kind) {
    case kStatistics: h.process->signal(SIGUSR1); break;
    case kHup:
      if (h.config != nullptr && chance.chance(70)) change_config(h);
      h.process->signal(SIGHUP);
      break;
    case kWallBack: world->wall_offset -= chance.range(0, 100000) * kSecond; break;
    case kFreeze: h.process->freeze(world->now + chance.skewed(1000, 7000000)); break;
    case kServerAway:
      if (server == nullptr) break;
      server->open(false);
      again(kServerBack, kMilli, 3 * kSecond);
      break;
    case kServerHangs:
      if (server == nullptr) break;
      server->accepts = false;
      again(kServerWell, kMilli, 5 * kSecond);
      break;
    case kLogFull: h.process->log_full = true; again(kLogRoom, kMilli, 5 * kSecond); break;
    case kKill:
      h.process->kill();
      h.wanted = false;
      again(kRestart, kMilli, 10 * kSecond);
      break;
    case kTerm:
      h.wanted = false;
      h.process->signal(SIGTERM);
      again(kRestart, 5 * kSecond, 10 * kSecond);
      break;
    case kHelperDies:  // it ends with that, and says so
      if (h.process->helper == nullptr) break;
      h.wanted = false;
      h.process->told_to_end = true;
      h.process->may_end_with = 71;
      h.process->helper->kill();
      again(kRestart, 6 * kSecond, 10 * kSecond);
      break;
    case kJump: world->now += chance.skewed(1000000, 600000000); break;
    case kFewFds:
      // One that begins just now says so and ends, as it should.
      if (h.process->started) h.process->fd_limit = static_cast<uint32_t>(h.process->open_fds()) + chance.below(12);
      break;
    case kUpgrade: upgrade(h); break;
    case kUpgraded:
      if (upgraded_ != nullptr) again(kUpgraded, kMilli, kMilli);
      break;
    default:  // what is over again
      for (Host& each : host_) {
        if (kind == kRestart && !each.wanted && !each.process->alive()) {
          each.wanted = true;
          each.process->fd_limit = 1024;
          start(each);
        }
        if (kind == kLogRoom) each.process->log_full = false;
        for (Port& p : each.ports) {
          if (p.server == nullptr) continue;
          if (kind == kServerBack) p.server->open(true);
          if (kind == kServerWell) p.server->accepts = true, p.server->on_socket();
        }
      }
  }
}

// Who comes from now on finds a good one.
void Scenario::well_server(Server& server) {
  Manner m;
  m.size = server.manner.size;
  m.answers = server.manner.answers;
  m.behind_program = server.manner.behind_program;
  server.manner = m;
}

void Scenario::make_well() {
  well_ = true;
  SIM_TRACE("all is well\n");
  link_->connects = Path::Connects::yes;
  link_->stall(false);
  link_->flips = 0;
  for (Host& h : host_) {
    h.process->fd_limit = 1024;
    h.process->log_full = false;
    h.wanted = true;
    if (h.config != nullptr && h.config->data != h.usual_config) {
      h.config->data = h.usual_config;
      if (h.process->alive()) h.process->signal(SIGHUP);
    }
    start(h);
    if (h.line != nullptr) h.line->gone = h.line->wire->broken = false;
    for (Port& p : h.ports)
      if (p.server != nullptr) {
        p.server->open(true);
        p.server->accepts = true;
        p.server->on_socket();
        well_server(*p.server);
      }
  }
  for (Talker* t : crowd_.all()) t->make_well();
  crowd_.well = true;
}

}  // namespace simos
