// How a run goes, and what must hold. Read next: scenario.h.
#include "tests/simos/scenario.h"

#include <algorithm>

namespace simos {

namespace {

constexpr uint32_t kHostIp[] = {0x0a000001, 0x0a000002};
constexpr uint32_t kClientIp = 0x0a000101, kAssociateIp = 0x0a000200;
enum What { kStart = 0, kCall = 1000, kLook = 50000, kTrouble = 100000 };

}  // namespace

Scenario::Scenario(Process* const (&daemons)[kProcesses]) {
  outside = this;
  for (int i = 0; i < kDaemons; ++i) {
    host_[i].process = daemons[i];
    host_[i].ip = kHostIp[i];
  }
  spare_ = daemons[kDaemons];
  for (Process* p : daemons) {
    p->fd_limit = 1024;
    p->memory_left = size_t{1} << 30;
    crowd_.daemons.push_back(p);
  }
}

void Scenario::start(Host& host) {
  if (upgraded_ == &host && spare_->alive()) return;  // a new one may take its place, though it was killed by then
  if (host.wanted && !host.process->alive()) host.process->boot(host.ip, host.words);
}

void Scenario::add_clients(uint32_t n, Micros until, bool probes) {
  Random& chance = world->random;
  for (uint32_t i = 0; i < n; ++i) {
    const int which = static_cast<int>(chance.below(kDaemons));
    const Host& h = host_[which];
    if (h.ports.empty()) continue;
    const Port& port = h.ports[chance.below(static_cast<uint32_t>(h.ports.size()))];
    if (port.service == Service::udp) continue;
    Manner m = choose_manner(port, true);
    if (probes) {
      m = Manner();
      m.size = 8 + chance.below(500);
    }
    crowd_.rude_clients = crowd_.rude_clients || m.rude();
    const Micros when = chance.range(world->now, until);
    if (port.service == Service::ftp) {
      const std::string host = port.names_host ? text_of(host_[1 - which].ip, port.server_six) + ":" + std::to_string(port.number - 1000) : "";
      FtpClient* f = world->make<FtpClient>(crowd_, m, port.six, host, 1 + chance.below(3), v03_);
      f->excused = unsure_ && !probes;
      f->rude_server = port.server->manner.rude();
      ftp_.push_back(f);
      calls_.push_back({nullptr, f, kClientIp, {h.ip, port.number}});
    } else {
      m.opening = opening_for(port, host_[1 - which].ip);
      Talker* t = crowd_.add(m, true);
      t->excused = m.rude() || port.server->manner.rude() || (unsure_ && !probes);
      calls_.push_back({t, nullptr, kClientIp, {h.ip, port.number}});
      t->since = when;
    }
    world->at(when, *this, kCall + static_cast<int>(calls_.size() - 1));
  }
}

void Scenario::add_askers(Micros until, bool probes) {
  for (const Host& h : host_)
    for (const Port& p : h.ports) {
      const uint32_t n = probes ? 20 : 5 + world->random.below(30);
      const Micros pause = (until - world->now) / n;
      const Place server{host_[&h == &host_[0] ? 1 : 0].ip, static_cast<uint16_t>(p.number - 1000)};
      if (p.associates) add_associate(h, p, server, n, pause, probes);
      if (p.service != Service::udp) continue;
      Asker* a = world->make<Asker>(static_cast<uint32_t>(askers_.size() + 1), kClientIp, Place{h.ip, p.number});
      askers_.push_back(a);
      if (probes) probes_.push_back(a);
      a->ask(n, world->now, pause);
    }
}

void Scenario::add_associate(const Host& host, const Port& port, Place server, uint32_t n, Micros pause, bool probes) {
  const uint32_t number = static_cast<uint32_t>(askers_.size() + 1);
  SocksAsker* a = world->make<SocksAsker>(crowd_, number, kAssociateIp + number, SocksAsker::Way{{host.ip, port.number}, port.six, server, port.server_six, port.named ? name_of(server.ip) : ""});
  askers_.push_back(a);
  associates_.push_back(a);
  if (probes) probes_.push_back(a);
  a->come(n, pause, probes ? (slow_ ? 18 : 10) * kSecond : 0);  // within TIMEOUT=silence
}

void Scenario::add_watchers(Micros until, bool probes) {
  struct Command {
    const char* text;
    bool goes_on;
  };
  static constexpr Command kCommands[] = {{"status", false}, {"peers", false}, {"channels", false}, {"ports", false}, {"servers", false}, {"process", false},
                                          {"version", false}, {"reload", false}, {"nonsense", false}, {"log debug", true}, {"log", true}, {"dump", true}, {"kick channel 1.0.1", false}};
  constexpr uint32_t kHarmless = 12;
  Random& chance = world->random;
  for (const Host& h : host_) {
    if (!h.control) continue;
    for (uint32_t i = chance.below(probes ? 3 : 8); i > 0; --i) {
      const Command& c = kCommands[chance.below(strict_ || probes || asks_ports() ? kHarmless : sizeof kCommands / sizeof kCommands[0])];
      Watcher* w = world->make<Watcher>(crowd_, c.text, c.goes_on, probes);
      looks_.push_back({w, control_place(h.ip)});
      world->at(chance.range(world->now, until), *this, kLook + static_cast<int>(looks_.size() - 1));
    }
  }
}

void Scenario::on_event(int what) {
  if (what >= kTrouble) {
    if (!well_) trouble(what - kTrouble);
  } else if (what >= kLook) {
    const Look& l = looks_[static_cast<size_t>(what - kLook)];
    l.who->ask(l.at);
  } else if (what >= kCall) {
    const Call& c = calls_[static_cast<size_t>(what - kCall)];
    if (c.who != nullptr) c.who->call_from(c.ip, c.to);
    else c.ftp->call_from(c.ip, c.to);
  } else {
    start(host_[what]);
  }
}

// A call that fails at the start may be the end of it, if it says so.
bool Scenario::may_refuse(const Process& p) const { return p.faults.done_at_start && !p.started && p.exit_code() != 0 && p.log_lines > 0; }

// False: the run is over.
bool Scenario::check_alive() {
  look_at_upgrade();
  for (const Host& h : host_) {
    if (h.process->state() != Process::State::ended || world->failed()) continue;
    if (h.process->told_to_end && h.process->exit_code() != 0 && h.process->exit_code() != h.process->may_end_with && h.process->exit_code() != 137) world->fail("process %d, told to end, has ended with %d", h.process->number(), h.process->exit_code());
    if (!h.wanted || (h.process->told_to_end && well_)) continue;
    if (upgraded_ == &h) continue;  // killed by then; a new one is on its way to its place
    if (may_refuse(*h.process)) return false;
    world->fail("process %d has ended with %d", h.process->number(), h.process->exit_code());
  }
  return !world->failed();
}

bool Scenario::await(Micros limit, const char* what, bool (Scenario::*done)() const) {
  const Micros until = world->now + limit;
  while (!(this->*done)()) {
    if (world->now >= until) {
      std::string who;
      for (const Talker* t : crowd_.all())
        if (!t->over() && who.size() < 300) who += "; " + t->describe();
      for (const FtpClient* f : ftp_)
        if (!f->over() && who.size() < 300) who += "; " + f->describe();
      for (const SocksAsker* a : associates_)
        if (!a->over() && who.size() < 300) who += "; asker " + std::to_string(a->number());
      for (const Look& l : looks_)
        if (!l.who->over() && who.size() < 300) who += "; who asks for " + l.who->asked();
      world->fail("%s: not within %lld s%s", what, static_cast<long long>(limit / kSecond), who.c_str());
    }
    if (world->failed() || !check_alive()) return false;
    world->run_until(std::min(until, world->now + 20 * kMilli));
  }
  return true;
}

bool Scenario::asks_ports() const {
  for (const Host& h : host_)
    for (const Port& p : h.ports)
      if (p.remote) return true;
  return false;
}

bool Scenario::all_over() const {
  for (const Look& l : looks_)
    if (!l.who->over()) return false;
  for (const FtpClient* f : ftp_)
    if (!f->over()) return false;
  for (const SocksAsker* a : associates_)
    if (!a->over()) return false;
  return crowd_.unfinished() == 0;
}

bool Scenario::all_linked() const {
  for (const Host& h : host_)
    if (!h.process->link_up) return false;
  return true;
}

bool Scenario::all_wanted() const {
  for (const Host& h : host_)
    if (h.process->told_to_end && h.process->alive()) return false;
  return true;
}

bool Scenario::all_replaced() const { return !spare_->alive(); }

bool Scenario::all_ended() const {
  for (const Host& h : host_)
    if (h.process->alive()) return false;
  return true;
}

void Scenario::run() {
  Random& chance = world->random;
  choose();
  for (int i = 0; i < kDaemons; ++i) world->after(chance.skewed(0, 1000000), *this, kStart + i);
  if (!world->run_until(1100 * kMilli) || !await(30 * kSecond, "the first link", &Scenario::all_linked)) return;
  begun_ = true;
  for (const Host& h : host_) h.process->no_maps = true;
  world->run_until(world->now + kSecond);
  const size_t fds[] = {host_[0].process->open_fds(), host_[1].process->open_fds()};

  const Micros begin = world->now, until = begin + chance.range(0, 5 * kSecond);
  add_clients(1 + chance.skewed(0, 12), until, false);
  add_askers(until + kSecond, false);
  add_watchers(until + 5 * kSecond, false);
  for (const Trouble& t : troubles_) world->at(begin + t.when, *this, kTrouble + t.kind);
  const Micros cruel = troubles_.empty() ? 6 * kSecond : chance.range(6 * kSecond, 20 * kSecond);
  if (!world->run_until(begin + cruel) || !check_alive()) return;

  make_well();
  if (!await(10 * kSecond, "the end of who was told to end", &Scenario::all_wanted)) return;
  for (Host& h : host_) start(h);
  if (!await((slow_ ? 600 : 180) * kSecond, "the end of all streams", &Scenario::all_over)) return;
  // With a link that is gone it has channels for as long as it holds them, if it may drain for that long.
  if (!await((20 + 60) * kSecond, "the end of who was replaced", &Scenario::all_replaced)) return;
  // A link that was cut in silence before is found out by then: TIMEOUT=ping, and 10 s for the answer.
  if (!world->run_until(world->now + 20 * kSecond) || !check_alive()) return;
  for (const Host& h : host_) h.process->longest_renewal = 0, h.process->renewed_at = -1;
  crowd_.strict = !v03_ && !moves_cost();  // without a half-close, who is slow behind the other's end is cut
  if (!probe()) return;
  if (any_fault()) {
    for (const Host& h : host_)
      if (h.config != nullptr) h.process->signal(SIGHUP);       // the last one may have met the fault
    world->run_until(world->now + 5 * kSecond);                 // the server of a client that is gone may hear of it later
  }
  crowd_.fault_forgiven = false;
  for (const Process* p : crowd_.daemons) {
    if (!p->faults.done) continue;
    if (asks_ports() && !world->run_until(world->now + 70 * kSecond)) return;  // a port that was not to be had is asked for each minute
    if (!probe()) return;
  }
  crowd_.fault_forgiven = true;
  check_partners();
  world->run_until(world->now + (slow_ ? 90 : 40) * kSecond);  // askers take 10 s of it, and a flow is silent for 20
  check_renewals();
  check_answers();
  check_fds(fds);
  check_programs();
  check_idle();
  check_end();
}

// New clients are served.
bool Scenario::probe() {
  add_clients(2 + world->random.below(3), world->now + kSecond, true);
  add_askers(world->now + 10 * kSecond, true);
  add_watchers(world->now + kSecond, true);
  world->run_until(world->now + kSecond);
  return await(60 * kSecond, "new clients", &Scenario::all_over);
}

void Scenario::check_answers() {
  if (v03_ || any_fault()) return;  // datagrams become a stream in 0.3
  for (const Asker* a : probes_) {
    if (a->asked() == 0 && moves_cost()) continue;  // the TCP connection of a SOCKS client was lost when the link moved
    if (a->asked() == 0 || a->answered() == 0) world->fail("none of %u datagrams has an answer", a->asked());
  }
}

bool Scenario::any_fault() const {
  for (const Process* p : crowd_.daemons)
    if (p->faults.done) return true;
  return false;
}

// A link that is made anew where all is well is there again at once: over FIFOs within a moment, over TCP within some round trips.
void Scenario::check_renewals() {
  const Micros most = way_ == Way::fifo ? 200 * kMilli : 3 * kSecond;
  if (slow_ || link_named_ || any_fault()) return;  // a name may lead to a dead address first
  for (const Host& h : host_) {
    const Process& p = *h.process;
    const Micros longest = std::max(p.longest_renewal, p.renewed_at < 0 ? 0 : world->now - p.renewed_at);
    if (longest > most) world->fail("process %d: a link that was renewed was up again after %lld ms", p.number(), static_cast<long long>(longest / kMilli));
  }
}

// Those that the other side has asked for may have been refused at first, or the asking lost with a link that flips bits.
size_t Scenario::late_ports(int which) const {
  size_t n = 0;
  if (!any_fault() && !flips_) return 0;
  for (const Port& p : host_[which].ports) n += p.remote;
  return n;
}

// No more than at the beginning, when there were no clients, too. (A secure link may be on its way to be made anew, and where there is
// a line beside TCP, the first link may have come over either. Where getrandom(2) has failed, /dev/urandom stays open.)
void Scenario::check_fds(const size_t (&before)[kDaemons]) {
  for (int i = 0; i < kDaemons; ++i)
    if (host_[i].process->open_fds() > before[i] + (way_ == Way::tcp_and_line ? 1 : 0) + (renews_ ? way_ == Way::program ? 3 : 1 : 0) + (host_[i].process->faults.what == simos::Call::getrandom ? 1 : 0) + late_ports(i))
      world->fail("process %d has %zu descriptors, and had %zu:%s", host_[i].process->number(), host_[i].process->open_fds(), before[i], host_[i].process->list_fds().c_str());
}

// Who says that all is well must have been heard so, too.
void Scenario::check_partners() {
  for (const Talker* t : crowd_.all())
    if (t->end() == Talker::End::clean && t->partner() == nullptr) world->fail("%s ended well with nobody", t->describe().c_str());
}

// No program outlives its channel, or its link.
void Scenario::check_programs() {
  for (const Host& h : host_) {
    if (h.process->helper == nullptr) continue;
    const size_t links = h.process->helper->running(smx::Helper::Topic::links), servers = h.process->helper->running(smx::Helper::Topic::servers);
    if (links > (way_ == Way::program && &h == &host_[1] ? 1 : 0) || servers > 0) world->fail("process %d has %zu programs of links and %zu of channels that are over", h.process->number(), links, servers);
  }
}

void Scenario::check_idle() {
  if (world->failed()) return;
  link_->odd = near_->odd = 0;
  const uint64_t before[] = {host_[0].process->turns, host_[1].process->turns};
  constexpr int kIdle = 10;
  const uint64_t most = slow_ || way_ == Way::fifo ? 400 : 60;
  world->run_until(world->now + kIdle * kSecond);
  for (int i = 0; i < kDaemons; ++i)
    if (host_[i].process->turns - before[i] > most)
      world->fail("process %d turns %llu times in %d idle seconds", host_[i].process->number(), static_cast<unsigned long long>(host_[i].process->turns - before[i]), kIdle);
}

void Scenario::check_end() {
  if (world->failed() || !check_alive()) return;
  for (Host& h : host_) {
    h.wanted = false;
    h.process->signal(SIGTERM);
    if (world->random.chance(50)) world->run_until(world->now + world->random.skewed(0, 2000000));
  }
  if (!await(6 * kSecond, "the end behind TERM", &Scenario::all_ended)) return;
  for (const Host& h : host_)
    if (h.process->exit_code() != 0) world->fail("process %d has ended with %d", h.process->number(), h.process->exit_code());
}

void Scenario::report(Verdict* out) const {
  out->failure = world->failure;
  out->hash = world->hash;
  out->events = world->events_run;
  out->seconds = static_cast<double>(world->now) / 1e6;
  out->talkers = crowd_.all().size();
  for (const Talker* t : crowd_.all()) {
    out->bytes += t->heard();
    out->lost += t->end() != Talker::End::clean;
  }
  for (const Asker* a : askers_) out->datagrams += a->answered();
  if (!out->failure.empty()) out->log = "---- log of " + std::to_string(spare_->number()) + ", descriptors" + spare_->list_fds() + "\n" + spare_->log;
  for (const Host& h : host_) {
    out->calls += h.process->calls;
    out->turns += h.process->turns;
    out->link_ups += h.process->link_ups;
    for (const std::string& w : h.words) out->words += w + " ";
    if (h.config != nullptr) out->words += "\n" + h.config->data;
    out->words += "\n";
    if (out->failure.empty()) continue;
    out->log += "---- log of " + std::to_string(h.process->number()) + ", descriptors" + h.process->list_fds() + "\n" + h.process->log;
  }
}

}  // namespace simos
