// Read next: peer_port.h.
#include "relay/bind/peer_port.h"

#include <errno.h>
#include <string.h>

#include <new>

#include "core/io/log.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

namespace smx {

namespace {

// How long a port waits for the next session of its peer. Source: sockmux(7), "BIND".
constexpr Duration kKept = seconds(5);

// Why a socket cannot listen there, in the code that tells the peer. Source: sockmux(7), "BIND".
CloseCode code_of(int error) {
  switch (error) {
    case EADDRINUSE: return CloseCode::refused;
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT: return CloseCode::not_found;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return CloseCode::limit;
    default: return CloseCode::local_error;
  }
}

// A port that somebody has who asked for any: another one is tried.
constexpr int kTries = 8;

bool is_any(const Address& a) {
  for (const uint8_t b : a.ip)
    if (b != 0) return false;
  return true;
}

// May a client that means one of them reach the other? Sockets of one port stand side by side where one is for IPv4 and one for
// IPv6, and on some systems where one is for all addresses; "localhost" and most names of hosts mean both families.
bool mixed_up(const Address& a, const Address& b) {
  return a.port == b.port && (a.family != b.family || same_ip(a, b) || is_any(a) || is_any(b));
}

}  // namespace

uint64_t BoundPorts::arena_bytes(uint32_t count, uint32_t udp, uint32_t own) {
  return uint64_t{count} * sizeof(BoundPort) + uint64_t{own} * sizeof(Own) + uint64_t{udp} * (sizeof(UdpListener) + sizeof(UdpListener*) + kMaxDatagram) + 256;
}

bool BoundPorts::init(uint32_t count, uint32_t udp, uint32_t own, int backlog, ClientFlows* flows, Arena& arena) {
  ports_ = arena.raw<BoundPort>(count);
  udp_ = arena.raw<UdpListener>(udp);
  free_udp_ = arena.raw<UdpListener*>(udp);
  datagrams_ = arena.raw<uint8_t>(udp * kMaxDatagram);
  own_ = arena.raw<Own>(own);
  if (ports_ == nullptr || own_ == nullptr || udp_ == nullptr || free_udp_ == nullptr || datagrams_ == nullptr) return false;
  count_ = count;
  udp_count_ = flows == nullptr ? 0 : udp;
  backlog_ = backlog;
  flows_ = flows;
  return true;
}

void BoundPorts::open(Session& session, ChannelId id, const OpenInfo& info, Time now) {
  (void)now;
  Refusal no;
  BoundPort* p = nullptr;
  if (!router_.bind_allowed(session.peer_key(), info.local, info.udp)) {
    no = {CloseCode::forbidden, "not in PORT= of the peers file"};
  } else if (info.local.family == 0) {
    no = {CloseCode::unsupported, "no IP address"};
  } else {
    p = find_own(session, info);
    if (p == nullptr) no = make(session, info, &p);
  }
  if (no.why != nullptr) {
    LogLine line(LogLevel::warning, "bind-refused");
    line.kv("session", session.number()).kv("name", session.peer_label()).kv("at", info.local);
    if (info.udp) line.kv("kind", "udp");
    line.kv("reason", no.why);
    return session.refuse(id, no.code);
  }
  p->serve(session, id);
  LogLine line(LogLevel::info, "bind-open");
  line.kv("session", session.number()).kv("name", session.peer_label()).kv("at", p->at_);
  if (info.udp) line.kv("kind", "udp");
}

// Has this peer had it before? Of a session that is over, or that Sessions ends since the peer has come with `session`, which
// may be behind this BIND.
bool BoundPorts::is_left(const BoundPort& p, const Session& session) {
  if (p.state_ == BoundPort::State::free || !same_key(&p.key_, session.peer_key())) return false;
  return p.state_ == BoundPort::State::kept || (p.session_ != &session && (!p.session_->up() || !p.session_->dials()));
}

BoundPort* BoundPorts::find_own(const Session& session, const OpenInfo& info) {
  for (uint32_t i = 0; i < fresh_; ++i)
    if (ports_[i].asked_ == info.local && ports_[i].udp() == info.udp && is_left(ports_[i], session)) return &ports_[i];
  return nullptr;
}

// A peer may come again with other words, which mean the same port at other addresses.
bool BoundPorts::make_way(const Session& session, const OpenInfo& info) {
  bool made = false;
  for (uint32_t i = 0; i < fresh_; ++i) {
    if (ports_[i].at_.port != info.local.port || ports_[i].udp() != info.udp || !is_left(ports_[i], session)) continue;
    ports_[i].close(CloseCode::done, "its peer asks for it at another address");
    made = true;
  }
  return made;
}

bool BoundPorts::has_near(const Address& at, bool udp) const {
  for (uint32_t i = 0; i < fresh_; ++i)
    if (ports_[i].state_ != BoundPort::State::free && ports_[i].udp() == udp && mixed_up(ports_[i].at_, at)) return true;
  return false;
}

// nullptr: nobody's.
const char* BoundPorts::whose(const Session& session, const Address& at, bool udp) const {
  for (uint32_t i = 0; i < own_count_; ++i)
    if (own_[i].udp == udp && mixed_up(own_[i].at, at)) return "a port of our own";
  for (uint32_t i = 0; i < fresh_; ++i) {
    const BoundPort& p = ports_[i];
    if (p.state_ != BoundPort::State::free && p.udp() == udp && !same_key(&p.key_, session.peer_key()) && mixed_up(p.at_, at)) return "a port of another peer";
  }
  return nullptr;
}

BoundPorts::Refusal BoundPorts::listen(const Session& session, const OpenInfo& info, Fd* socket) {
  const char* why = info.local.port == 0 ? nullptr : whose(session, info.local, info.udp);
  for (int i = 0; i < kTries && why == nullptr; ++i) {
    int error = 0;
    *socket = info.udp ? listen_udp(info.local, &error) : listen_tcp(info.local, backlog_, &error);
    if (error == EADDRINUSE && make_way(session, info)) continue;
    if (!socket->valid()) return {code_of(error), strerror(error)};
    if (info.local.port != 0 || whose(session, local_address(socket->get()), info.udp) == nullptr) return {};
    socket->reset();
  }
  return {CloseCode::refused, why != nullptr ? why : strerror(EADDRINUSE)};
}

BoundPorts::Refusal BoundPorts::make(Session& session, const OpenInfo& info, BoundPort** out) {
  BoundPort* p = nullptr;
  BoundPort* left = nullptr;
  uint32_t of_one = 0;
  for (uint32_t i = 0; i < fresh_; ++i) {
    const bool is_free = ports_[i].state_ == BoundPort::State::free;
    if (is_free && p == nullptr) p = &ports_[i];
    if (is_free || !same_key(&ports_[i].key_, session.peer_key())) continue;
    ++of_one;
    if (is_left(ports_[i], session)) left = &ports_[i];
  }
  if (of_one >= kMostOfOne && left != nullptr) {
    left->close(CloseCode::done, "its peer asks for others");
    p = left;
    --of_one;
  }
  if (of_one >= kMostOfOne) return {CloseCode::limit, "too many ports of this peer"};
  if (p == nullptr && fresh_ == count_) return {CloseCode::limit, "too many ports of peers"};
  if (reactor_.fds_left() <= kEntrySpareFds) return {CloseCode::limit, "no descriptor left"};
  Fd socket;
  Refusal no = listen(session, info, &socket);
  if (no.why != nullptr) return no;
  const Address at = local_address(socket.get());
  if (at.is_none()) return {CloseCode::local_error, "where it listens is not known"};  // and the peer can't be told
  if (p == nullptr) p = new (&ports_[fresh_++]) BoundPort(*this);
  p->at_ = at;
  no = start(*p, static_cast<Fd&&>(socket), info.udp);
  if (no.why != nullptr) return no;
  p->key_ = *session.peer_key();
  p->asked_ = info.local;
  *out = p;
  return {};
}

BoundPorts::Refusal BoundPorts::start(BoundPort& p, Fd socket, bool udp) {
  if (!udp) {
    const int error = p.clients_.start(static_cast<Fd&&>(socket));
    return error == 0 ? Refusal{} : Refusal{CloseCode::limit, strerror(error)};
  }
  UdpListener* l = take_udp();
  if (l == nullptr) return {CloseCode::limit, "too many UDP ports of peers"};
  const size_t place = static_cast<size_t>(l - udp_);
  const int error = l->start(static_cast<Fd&&>(socket), datagrams_ + place * kMaxDatagram);
  if (error == 0) p.datagrams_ = l;
  else free_udp_[idle_udp_++] = l;
  return error == 0 ? Refusal{} : Refusal{CloseCode::limit, strerror(error)};
}

UdpListener* BoundPorts::take_udp() {
  if (idle_udp_ > 0) return free_udp_[--idle_udp_];
  return fresh_udp_ < udp_count_ ? new (&udp_[fresh_udp_++]) UdpListener(*flows_) : nullptr;
}

void BoundPorts::ask_again() {
  for (uint32_t i = 0; i < fresh_; ++i) {
    BoundPort& p = ports_[i];
    if (p.state_ == BoundPort::State::free || router_.bind_allowed(&p.key_, p.asked_, p.udp())) continue;
    p.close(CloseCode::forbidden, "PORT= in the peers file has changed");
  }
}

void BoundPorts::shut() {
  for (uint32_t i = 0; i < fresh_; ++i) ports_[i].close(CloseCode::shutdown, name(CloseCode::shutdown));
}

void BoundPorts::on_room(Time now) {
  for (uint32_t i = 0; i < fresh_; ++i) {
    BoundPort& p = ports_[i];
    if (p.state_ != BoundPort::State::open || !p.session_->can_open()) continue;
    if (p.udp()) p.datagrams_->on_room(now);
    else p.clients_.on_room();
  }
}

bool BoundPorts::look(uint32_t i, BindLook* out) const {
  const BoundPort& p = ports_[i];
  if (p.state_ == BoundPort::State::free) return false;
  const bool open = p.state_ == BoundPort::State::open;
  *out = {p.at_, p.udp(), open ? "open" : "kept", open ? p.session_->peer_label() : std::string_view(), p.udp() ? p.datagrams_->counts() : p.clients_.counts()};
  return true;
}

// ---- one of them

BoundPort::BoundPort(BoundPorts& table)
    : table_(table), clients_(table.reactor_, table.streams_, table.sessions_, table.gate_), timer_(*this) {}

void BoundPort::serve(Session& session, ChannelId id) {
  table_.reactor_.timers().stop(timer_);
  if (session_ != nullptr) session_->abort(id_, CloseCode::done);
  state_ = State::open;
  session_ = &session;
  id_ = id;
  session.bind(id, *this);
  session.bound(id);
  const uint16_t number = session.mux().number_of(id);
  if (udp()) datagrams_->serve(&session, number);
  else clients_.serve(&session, number);
}

// The session is over, or the peer does not want the port any more.
void BoundPort::abort(CloseCode code) {
  const bool over = !session_->mux().up();
  if (!over) log_end(name(code));
  session_ = nullptr;
  if (!over) return close(code, nullptr);
  state_ = State::kept;
  if (udp()) datagrams_->serve(nullptr, kNone);
  else clients_.serve(nullptr, kNone);
  table_.reactor_.timers().start(timer_, table_.reactor_.now() + kKept);
}

void BoundPort::on_timer(Timer& timer, Time now) {
  (void)timer;
  (void)now;
  close(CloseCode::done, "its peer has not come again");
}

void BoundPort::log_end(std::string_view why) const {
  LogLine line(LogLevel::info, "bind-ended");
  if (session_ != nullptr) line.kv("session", session_->number()).kv("name", session_->peer_label());
  line.kv("at", at_);
  if (udp()) line.kv("kind", "udp");
  line.kv("reason", why);
}

// Clients that have come through TCP stay. `why` nullptr: the log has it already.
void BoundPort::close(CloseCode code, const char* why) {
  if (state_ == State::free) return;
  if (why != nullptr) log_end(why);
  table_.reactor_.timers().stop(timer_);
  if (session_ != nullptr) session_->abort(id_, code);
  session_ = nullptr;
  clients_.stop();
  if (datagrams_ != nullptr) {
    datagrams_->stop();
    table_.flows_->end(*datagrams_, code);
    table_.free_udp_[table_.idle_udp_++] = datagrams_;
    datagrams_ = nullptr;
  }
  state_ = State::free;
}

}  // namespace smx
