// `sockmuxctl channels` and `kick`: what is forwarded now, each piece of it.
//
// A channel is named SESSION.SLOT.GENERATION, which no other one ever is while the daemon runs. Invariant: while channels
// come and go, each that is there all the time is told of once. An answer looks at kLooks places at most before others get
// their turn. Read next: daemon_tell.h, core/mux/mux.h (next_channel()).
#include "config/scan.h"
#include "daemon.h"
#include "daemon_tell.h"

namespace smx {

namespace {

constexpr uint32_t kLooks = 4096;
// Where an answer has come to: session and slot.
constexpr uint32_t kSlotBits = 17;
static_assert(2 * 60000 + Mux::kOrphans < (1u << kSlotBits), "every slot has a number");
static_assert(Sessions::kMost <= 1u << (32 - kSlotBits), "every session, too");

const char* kind_of(const Channel& c) {
  if (c.bind) return c.mine ? "rport" : "bind";
  return c.mine ? "client" : "server";
}

const char* state_of(const Channel& c) {
  switch (c.life) {
    case Life::free: break;
    case Life::opening: return "opening";
    case Life::open: return !c.bind && (c.tx == Tx::done || c.rx == Rx::done) ? "half-closed" : "open";
    case Life::closing:
    case Life::ended:
    case Life::orphan: return "closing";
  }
  return "closing";
}

void append_id(TextBase& to, const Session& s, ChannelId id) {
  to.add_u(s.number()).add('.').add_u(id.slot).add('.').add_u(id.generation);
}

Address client_of(Session& s, const Channel& c, const OpenInfo& info) { return c.mine ? info.client : s.mux().client_of(c); }

// Who is at which end: clients here are of channels that we have opened, servers of those of the peer's.
void add_ends(Row& row, Session& s, const Channel& c, ChannelId id) {
  OpenInfo info;
  Address server;
  const bool known = s.look(id, &info, &server);
  if (c.bind) {
    row.add(kNobody).add(known ? info.local : Address()).add(kNobody);
  } else if (c.mine) {
    row.add(info.client).add(info.local).add(kNobody);
  } else {
    const Address client = client_of(s, c, info);
    row.add(client);
    // A proxy has no socket of its own for the client: it says who that is.
    if (info.local == client) row.add(kNobody);
    else row.add(info.local);
    if (server.port == 0 && same_ip(server, kProgramAddress)) row.add("program");
    else row.add(server);
  }
}

void add_channel(Row& row, Session& s, const Channel& c, ChannelId id, Time now) {
  Text<40> name;
  append_id(name, s, id);
  Text<200> peer(s.peer_label());
  if (peer.size() == 0) append_place(peer, s);
  row.add(name.text()).add(uint64_t{s.number()}).add(peer.text()).add(kind_of(c)).add(c.udp ? "udp" : "tcp").add(state_of(c));
  add_ends(row, s, c, id);
  static constexpr ChannelFacts kNone;  // of a build that nobody can ask
  const ChannelFacts& f = kHasControl ? *c.facts() : kNone;
  row.add(whole_seconds(ChannelFacts::since(f.opened, now))).add(whole_seconds(ChannelFacts::since(f.moved, now)));
  row.add(f.rx_bytes).add(f.tx_bytes).add(uint64_t{c.queue.size()});
  if (c.udp || c.bind) row.add(kNobody);
  else row.add(uint64_t{s.mux().credit_of(c)});
}

// "1.17.3". False: it is no such name.
bool parse_id(std::string_view text, uint32_t* session, ChannelId* id) {
  uint32_t number[3] = {};
  for (int i = 0; i < 3; ++i) {
    const size_t end = i < 2 ? place_of(text, '.') : text.size();
    uint64_t n = 0;
    if (end == kNowhere || !parse_number(first(text, end), UINT32_MAX, &n)) return false;
    number[i] = static_cast<uint32_t>(n);
    if (i < 2) text = skip(text, end + 1);
  }
  *session = number[0];
  *id = {number[1], number[2]};
  return true;
}

}  // namespace

bool Daemon::tell_channels(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (*next == 0)
    reply.line("id\tsession\tpeer\tkind\ttransport\tstate\tclient\tlocal\tserver\tage_s\tidle_s\trx_bytes\ttx_bytes\tqueued_bytes\tcredit_bytes");
  const Time now = d.reactor_.now();
  uint32_t session = *next >> kSlotBits;
  uint32_t slot = *next & ((1u << kSlotBits) - 1);
  for (uint32_t looks = kLooks; session < d.sessions_.count() && looks > 0;) {
    Session& s = d.sessions_.at(session);
    const Channel* c = s.mux().channels() == 0 ? nullptr : s.mux().next_channel(&slot, &looks);
    if (c == nullptr) {
      if (looks == 0) break;  // enough for one turn
      --looks;
      ++session;
      slot = 0;
      continue;
    }
    if (!reply.has_room()) break;
    Row row;
    add_channel(row, s, *c, s.mux().id_of_slot(slot), now);
    reply.line(row.text());
    ++slot;
  }
  *next = (session << kSlotBits) + slot;
  return session == d.sessions_.count();
}

// `kick PEER`, `kick channel ID`
bool Daemon::do_kick(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  constexpr std::string_view kChannel = "channel ";
  if (argument.empty()) {
    reply.fail("kick: a peer, or 'channel ID', is expected");
    return true;
  }
  if (first(argument, kChannel.size()) != kChannel) return d.kick_peers(argument, next, reply);
  const std::string_view word = skip(argument, kChannel.size());
  uint32_t number = 0;
  ChannelId id;
  const bool good = parse_id(word, &number, &id) && number > 0 && number <= d.sessions_.count();
  Session* s = good ? &d.sessions_.at(number - 1) : nullptr;
  if (s == nullptr || !s->mux().has(id)) {
    reply.fail(Text<200>("no channel '").add_printable(word).add("'").text());
    return true;
  }
  Row row;
  OpenInfo info;
  Address server;
  (void)s->look(id, &info, &server);
  uint32_t slot = id.slot, looks = 1;
  const Channel* c = s->mux().next_channel(&slot, &looks);
  row.add(uint64_t{number}).add(s->peer_label()).add(c == nullptr ? Address() : client_of(*s, *c, info)).add(word);
  if (!s->end_channel(id, CloseCode::shutdown)) {
    reply.fail(Text<200>("channel '").add_printable(word).add("' is ending already").text());
    return true;
  }
  LogLine(LogLevel::info, "kicked").kv("session", number).kv("what", word);
  reply.line("session\tname\taddress\tid\tnow");
  reply.line(row.add("ended").text());
  return true;
}

}  // namespace smx
