// Read next: daemon_dump.h.
#include "daemon_dump.h"

#include "config/peers/table.h"
#include "config/scan.h"
#include "core/base/letters.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/resident.h"
#include "daemon.h"

namespace smx {

namespace {

constexpr uint64_t kMostSession = 999999999;
constexpr size_t kBytesALine = 200;  // of a packet; twice as many letters
static_assert(2 * kBytesALine + 100 <= ControlReply::kLine, "a line holds them, and what stands before");

void add_hex(TextBase& to, const uint8_t* bytes, size_t n) {
  for (size_t i = 0; i < n; ++i) to.add_hex(bytes[i], 2);
}

}  // namespace

bool Dumps::init(Arena& arena) {
  for (Dump& d : dump_) {
    d.memory = arena.raw<uint8_t>(kRing);
    if (d.memory == nullptr) return false;
  }
  return true;
}

// ---- the muxes

bool Dumps::wants(const Dump& d, const TapPacket& p) {
  if (!d.used || d.ends) return false;
  if (d.session != 0) return d.session == p.session;
  return sessions_.at(p.session - 1).leads_to(d.peer.text());
}

void Dumps::on_packet(const TapPacket& p) {
  bool news = false;
  for (Dump& d : dump_) {
    if (!wants(d, p)) continue;
    news = d.ring.empty() || news;
    if (d.ring.add(p, d.payload, reactor_.now())) ++d.packets;
    else ++d.lost;
  }
  if (news) control_.wake();
}

// ---- the client

// False: the reply says why not.
bool Dumps::start(std::string_view argument, Dump& d, ControlReply& reply) {
  constexpr std::string_view kPayload = "payload=", kSession = "session=", kPeer = "peer=";
  d.payload = 0;
  d.session = 0;
  d.peer.clear();
  while (!argument.empty()) {
    const size_t end = place_of(argument, ' ');
    const std::string_view w = argument.substr(0, end);
    argument = end == kNowhere ? std::string_view() : skip(argument, end + 1);
    uint64_t n = 0;
    if (first(w, kPayload.size()) == kPayload && parse_number(skip(w, kPayload.size()), kMaxPayload, &n)) {
      d.payload = static_cast<uint32_t>(n);
    } else if (first(w, kSession.size()) == kSession && parse_number(skip(w, kSession.size()), kMostSession, &n)) {
      if (n == 0 || n > sessions_.count()) return reply.fail(Text<80>("there is no session ").add_u(n).text()), false;
      d.session = static_cast<uint32_t>(n);
    } else if (first(w, kPeer.size()) == kPeer) {
      const std::string_view name = skip(w, kPeer.size());
      if (name.empty() || peers_ == nullptr || peers_->find(name) == nullptr) {
        Text<120> why("no peer '");
        reply.fail(why.add_printable(name).add(peers_ == nullptr ? "': no link is secure, so no peer has a name" : "' in the peers file").text());
        return false;
      }
      d.peer.add(name);
    } else {
      Text<120> why("'");
      reply.fail(why.add_printable(w).add("': expected payload=BYTES, session=NUMBER or peer=NAME").text());
      return false;
    }
  }
  return true;
}

bool Dumps::answer(std::string_view argument, uint32_t* next, ControlReply& reply) {
  wall_ = read_wall_clock() - reactor_.now().us;  // each time: it may have been set, or the machine has slept
  if (*next == 0) {
    Dump* place = nullptr;
    for (Dump& d : dump_)
      if (!d.used && place == nullptr) place = &d;
    if (place == nullptr) {
      reply.fail(Text<60>("there are ").add_u(kMost).add(" dumps already").text());
      return true;
    }
    Dump& d = *place;
    if (!start(argument, d, reply)) return true;
    d.used = true;
    d.ends = false;
    d.ring = TapRing(d.memory, kRing);
    d.lost_said = d.link_said = false;
    d.bytes_said = 0;
    d.named = 0;
    d.packets = d.lost = 0;
    *next = static_cast<uint32_t>(place - dump_) + 1;
    sessions_.set_tap(this);
    LogLine(LogLevel::info, "dump-started").kv("peer", d.peer.text()).kv("session", d.session).kv("payload", d.payload);
    reply.line("begin");
  }
  Dump& d = dump_[*next - 1];
  d.ends = d.ends || reply.over();
  while (reply.has_room())
    if (!say(d, reply)) return d.ends;
  return false;
}

void Dumps::ended(uint32_t next) {
  if (next == 0) return;
  Dump& d = dump_[next - 1];
  d.used = false;
  d.ring.clear();
  give_back_memory(d.memory, kRing);
  LogLine(LogLevel::info, "dump-ended").kv("packets", d.packets).kv("lost", d.lost);
  bool any = false;
  for (const Dump& other : dump_) any = any || other.used;
  if (!any) sessions_.set_tap(nullptr);
}

void Dumps::say_lost(uint32_t n, ControlReply& reply) {
  reply.line(Text<40>("lost\t").add_u(n).text());
}

// Where its link leads, or its last one.
void Dumps::say_session(uint32_t number, ControlReply& reply) {
  const Session& s = sessions_.at(number - 1);
  Text<ControlReply::kLine> line("session\t");
  line.add_u(number).add('\t').add_printable(s.peer_label().empty() ? "-" : s.peer_label()).add('\t');
  if (s.peer().family != 0) append_address(line, s.peer());
  else line.add_printable(s.target().empty() ? "-" : s.target());
  reply.line(line.text());
}

// One line; false: there is nothing to say.
bool Dumps::say(Dump& d, ControlReply& reply) {
  TapRing::Record r;
  if (!d.ring.front(&r)) {
    const uint32_t lost = d.ring.take_lost();
    if (lost > 0) say_lost(lost, reply);
    return lost > 0;
  }
  if (r.lost > 0 && !d.lost_said) {
    d.lost_said = true;
    say_lost(r.lost, reply);
    return true;
  }
  const size_t all = kHeader + r.shown;
  uint8_t bytes[kBytesALine];
  const size_t n = all - d.bytes_said < sizeof bytes ? all - d.bytes_said : sizeof bytes;
  d.ring.read(d.bytes_said, bytes, n);
  Text<ControlReply::kLine> line;
  if (d.bytes_said == 0) {
    // A link begins with HELLO.
    const bool link = bytes[1] == static_cast<uint8_t>(Type::hello);  // NOLINT(clang-analyzer-core.UndefinedBinaryOperatorResult): n >= kHeader
    if (d.named != r.session || (link && !d.link_said)) {
      d.named = r.session;
      d.link_said = true;
      say_session(r.session, reply);
      return true;
    }
    line.add("packet\t").add_u(static_cast<uint64_t>(r.at.us + wall_)).add('\t').add(r.sent ? "sent" : "received").add('\t');
    line.add_u(r.session).add('\t').add(name(r.dialect)).add('\t').add_u(all).add('\t');
  } else {
    line.add("more\t");
  }
  add_hex(line, bytes, n);
  reply.line(line.text());
  d.bytes_said += n;
  if (d.bytes_said < all) return true;
  d.ring.pop();
  d.bytes_said = 0;
  d.lost_said = d.link_said = false;
  return true;
}

// ---- the daemon's part

void Daemon::make_dumps() {
  if constexpr (!kHasDump) return;
  dumps_ = tables_.create<Dumps>(reactor_, sessions_, *control_);
  SMX_CHECK(dumps_->init(tables_));  // arena_bytes() has counted it
  if (secure_ != nullptr) dumps_->set_peers(secure_->peers());
}

bool Daemon::tell_dump(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  if constexpr (kHasDump) {
    // Of a secure link too it is what stands inside: not for everybody who shares the daemon's user.
    Daemon& d = *static_cast<Daemon*>(self);
    if (place_of(argument, "payload=") != kNowhere && !d.may_replace(reply)) return true;
    return d.dumps_->answer(argument, next, reply);
  }
  reply.fail("this daemon was built without dump (make WITHOUT=)");
  return true;
}

void Daemon::end_dump(void* self, uint32_t next) {
  if constexpr (kHasDump) static_cast<Daemon*>(self)->dumps_->ended(next);
}

}  // namespace smx
