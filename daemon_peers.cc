// `sockmuxctl peers`, and `kick PEER`: sessions with their links.
//
// Sessions keep their numbers, so an answer goes on where it was, however long the socket took for a part of it.
// Read next: daemon_tell.h, daemon_control.cc.
#include "config/peers/peers.h"
#include "daemon.h"
#include "daemon_tell.h"

namespace smx {

namespace {

// Where an answer has come to: a session, or, above that, a line of the peers file.
constexpr uint32_t kOfFile = 0x80000000;
// Looks at sessions before others get their turn: 16,384 peers in as many sessions are 10^8 of them.
constexpr uint32_t kLooks = 16384;
constexpr int kColumnsOfFigures = 15;  // behind the state

// "tcp" of "tcp 192.0.2.1:9000", "tty" of "tty:/dev/ttyS0".
std::string_view transport_of(const Session& s) {
  const std::string_view target = s.target();
  size_t end = 0;
  while (end < target.size() && target[end] != ' ' && target[end] != ':') ++end;
  if (end == 0 && s.peer().family != 0) return "tcp";
  return first(target, end);
}

std::string_view dialect_of(const Session& s) {
  if (!s.up() && !s.held()) return {};
  return name(s.mux().dialect());
}

void add_figures(Row& row, const Session& s, Time now) {
  const Mux& m = s.mux();
  row.add(s.rx_bytes()).add(s.tx_bytes());
  if (s.up()) row.add(static_cast<uint64_t>(m.round_trip().us));
  else row.add(kNobody);
  row.add(uint64_t{s.number()}).add(transport_of(s)).add(s.has_link() || s.held() ? yes(s.peer_key() != nullptr) : "-").add(dialect_of(s));
  row.add(uint64_t{m.unsent_bytes()}).add(uint64_t{m.unacked_bytes()}).add(uint64_t{m.blocks_used()} * kBlock);
  row.add(uint64_t{s.links() > 0 ? s.links() - 1 : 0});
  if (s.down_why().empty()) row.add(kNobody);
  else row.add(whole_seconds(now - s.down_at()));
  row.add(s.down_why());
}

// "branch1", "198.51.100.7:41022", "3": its name; or, where nobody has that name, its address or session.
bool is_called(const Session& s, std::string_view who, bool by_name) {
  if (by_name || who.empty()) return !who.empty() && s.peer_label() == who;
  Text<200> place;
  append_place(place, s);
  if (place.text() == who) return true;
  Text<12> number;
  return number.add_u(s.number()).text() == who;
}

}  // namespace

const char* state_of(const Session& s) {
  if (s.up()) return "up";
  return s.held() ? "held" : "connecting";
}

bool is_somebodys(const Session& s) { return s.has_link() || s.held() || s.dials(); }

void append_place(TextBase& to, const Session& s) {
  if (s.peer().family != 0) return append_address(to, s.peer());
  std::string_view target = s.target();
  constexpr std::string_view kTcp = "tcp ";
  if (first(target, kTcp.size()) == kTcp) target = skip(target, kTcp.size());
  for (const char c : target) to.add(c == ' ' ? ':' : c);
}

bool Daemon::tell_peers(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (*next == 0)
    reply.line("name\tkey\taddress\tstate\tsince_s\tchannels\trx_bytes\ttx_bytes\trtt_us\tsession\ttransport\tsecure\tdialect\t"
               "unsent_bytes\tunacked_bytes\twaiting_bytes\treconnects\tdown_s\tdown_reason");
  const Time now = d.reactor_.now();
  for (; *next < d.sessions_.count(); ++*next) {
    if (!reply.has_room()) return false;
    const Session& s = d.sessions_.at(*next);
    if (!is_somebodys(s)) continue;
    Text<46> key;
    if (s.peer_key() != nullptr) append_key(key, *s.peer_key());
    Text<200> place;
    append_place(place, s);
    Row row;
    row.add(s.peer_label()).add(key.text()).add(place.text()).add(state_of(s)).add(whole_seconds(now - s.since())).add(uint64_t{s.mux().channels()});
    add_figures(row, s, now);
    reply.line(row.text());
  }
  if (*next < kOfFile) *next = kOfFile;
  return d.tell_absent(next, reply);
}

// Who may call, as the peers file says, and has no session.
bool Daemon::tell_absent(uint32_t* next, ControlReply& reply) {
  if (secure_ == nullptr || acceptors_ == 0) return true;
  const PeerList& list = secure_->peers().list();
  for (uint32_t looks = 0; *next - kOfFile < list.count(); ++*next) {
    if (!reply.has_room() || looks >= kLooks) return false;
    const Peer& p = list.peers[*next - kOfFile];
    bool here = false;
    uint32_t at = 0;
    while (const Session* s = here ? nullptr : sessions_.next_of(&p.key, &at)) here = is_somebodys(*s);
    looks += at + 1;
    if (here) continue;
    Text<46> key;
    append_key(key, p.key);
    Row row;
    row.add(p.name).add(key.text()).add(kNobody).add("down");
    for (int i = 0; i < kColumnsOfFigures; ++i) row.add(kNobody);
    reply.line(row.text());
  }
  return true;
}

// Ends the links of all sessions that are called so; what was held ends.
bool Daemon::kick_peers(std::string_view who, uint32_t* next, ControlReply& reply) {
  const Time now = reactor_.now();
  bool any = *next > 0, by_name = false;
  for (uint32_t i = 0; i < sessions_.count() && !by_name; ++i) by_name = !who.empty() && is_somebodys(sessions_.at(i)) && sessions_.at(i).peer_label() == who;
  for (; *next < sessions_.count(); ++*next) {
    if (!reply.has_room()) return false;
    Session& s = sessions_.at(*next);
    if (!is_somebodys(s) || !is_called(s, who, by_name)) continue;
    Row row;
    Text<200> place;
    append_place(place, s);
    row.add(uint64_t{s.number()}).add(s.peer_label()).add(place.text()).add(state_of(s)).add(uint64_t{s.mux().channels()});
    const char* now_is = "connecting";
    LogLine(LogLevel::info, "kicked").kv("session", s.number()).kv("what", place.text());
    if (s.has_link()) {
      s.drop(kKicked, now);
      now_is = s.held() ? "held" : s.dials() ? "connecting" : "ended";
    } else if (s.held()) {
      s.end(ByeCode::shutdown, kKicked, now);
      now_is = "ended";
    }
    if (!any) reply.line(kKickTitle);
    any = true;
    reply.line(row.add(now_is).text());
  }
  if (!any) reply.fail(Text<200>("no peer '").add_printable(who).add("' that has a session").text());
  return true;
}

}  // namespace smx
