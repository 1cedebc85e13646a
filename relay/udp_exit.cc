// Read next: udp_exit.h.
#include "relay/udp_exit.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

namespace smx {

namespace {
constexpr Duration kAgain = seconds(60);      // a name is looked up again
constexpr Duration kRetry = seconds(5);       // one that was not found
constexpr Duration kPeerPatience = seconds(2);  // what a server sends waits so long for SENT (0.3)
constexpr int kTries = 8;                     // errors and cut datagrams that one call passes over

bool means_nobody(int error) { return error == ECONNREFUSED || error == EHOSTUNREACH || error == ENETUNREACH || error == EHOSTDOWN; }
}  // namespace

// ---- one flow

PulledDatagram ServerFlow::pull_datagram(const MutBytes* piece, int pieces, size_t largest) {
  (void)largest;  // the pieces are as long as that
  PulledDatagram p;
  if (state_ != State::open) return p;
  for (int i = 0; i < kTries; ++i) {
    const Datagram d = receive_udp(fd_.get(), piece, pieces);
    if (d.again) return p;
    if (d.error != 0) {
      table_.not_there(*this, d.error);
      if (!fd_.valid()) return p;
      continue;
    }
    waits_ = false;
    table_.touch(*this, table_.reactor_.now());
    table_.servers_[server_].told = false;
    if (d.cut) {
      table_.counts_.drop(UdpDrop::too_large);
      continue;
    }
    ++table_.counts_.rx;
    p.size = d.size;
    p.state = PulledDatagram::State::one;
    return p;
  }
  return p;  // more next turn
}

void ServerFlow::datagram(const Bytes* piece, int pieces) {
  waits_ = true;
  table_.touch(*this, table_.reactor_.now());
  if (state_ == State::open) return table_.batch_.add(*this, piece, pieces);
  const size_t size = total_size(piece, pieces);
  if (has_kept_ || size > ServerFlows::kKept) return table_.counts_.drop(UdpDrop::resolving);
  size_t at = 0;
  for (int i = 0; i < pieces; ++i) {
    if (piece[i].size > 0) memcpy(kept_ + at, piece[i].data, piece[i].size);
    at += piece[i].size;
  }
  kept_size_ = static_cast<uint16_t>(size);
  has_kept_ = true;
}

void ServerFlow::send_one(const Bytes* piece, int pieces) {
  int error = send_udp(fd_.get(), piece, pieces);
  for (int i = 0; i < 2 && means_nobody(error); ++i) {  // told of an earlier one: this one was not sent yet
    table_.not_there(*this, error);
    error = send_udp(fd_.get(), piece, pieces);
  }
  if (error == 0) {
    ++table_.counts_.tx;
  } else {
    table_.counts_.drop(error == EMSGSIZE ? UdpDrop::too_large : means_nobody(error) ? UdpDrop::server : UdpDrop::socket_full);
  }
}

int ServerFlow::send_joined(Bytes all, size_t segment, int count) {
  int error = send_udp(fd_.get(), &all, 1, segment);
  for (int i = 0; i < 2 && means_nobody(error); ++i) {  // told of an earlier one, and forgotten by the socket with that
    table_.not_there(*this, error);
    error = send_udp(fd_.get(), &all, 1, segment);
  }
  if (error != 0) return error;
  table_.counts_.tx += static_cast<uint32_t>(count);
  table_.counts_.joined += static_cast<uint32_t>(count);
  return 0;
}

void ServerFlow::update() {
  if (!fd_.valid()) return;
  // While the session waits for its next link, what comes is dropped, so that it does not arrive as news later.
  const bool wants = session_->wants_read(id_) || !session_->up();
  table_.reactor_.want(fd_.get(), wants ? static_cast<uint8_t>(kRead) : uint8_t{0});
  if (wants) table_.reactor_.timers().stop(timer_);
}

void ServerFlow::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  (void)ready;
  if (!session_->up()) return drop_input(UdpDrop::no_link);
  session_->readable(id_);
  update();
  if (session_->waits_for_peer(id_) && !timer_.running()) table_.reactor_.timers().start(timer_, now + kPeerPatience);
}

// A 0.3 peer takes nothing: what the server has sent meanwhile is too old.
void ServerFlow::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (state_ != State::open || !session_->waits_for_peer(id_)) return;
  drop_input(UdpDrop::late);
  table_.reactor_.timers().start(timer_, now + kPeerPatience);
}

void ServerFlow::drop_input(UdpDrop why) { table_.counts_.drop(why, drop_datagrams(fd_.get())); }

void ServerFlow::abort(CloseCode code) {
  LogLine(LogLevel::debug, "flow-closed")
      .kv("session", session_->number())
      .kv("client", info_.client)
      .kv("at", info_.local)
      .kv("reason", name(code));
  table_.forget(*this);
}

// For CONNECTED: the server, and our address toward it.
void ServerFlow::describe(OpenInfo* info) {
  const ServerFlows::Server& s = table_.servers_[server_];
  info->client = s.list.address[at_];
  info->local = local_address(fd_.get());
  info->udp = true;
}

// ---- the tables

uint64_t ServerFlows::arena_bytes(uint32_t flows) { return places_for(flows) * (sizeof(ServerFlow) + kKept) + UdpBatch::arena_bytes() + 192; }

bool ServerFlows::init(uint32_t flows, Duration silence, Arena& arena) {
  most_ = places_for(flows);
  silence_ = silence;
  flow_ = arena.raw<ServerFlow>(most_);
  kept_ = arena.raw<uint8_t>(most_ * kKept);
  for (Server& s : servers_) s.table = this;
  return flow_ != nullptr && kept_ != nullptr && batch_.init(udp_joins(), arena);
}

// The entry of host:port; nullptr: all entries are in use.
ServerFlows::Server* ServerFlows::server(const RelayTarget& target, Time now) {
  Server* oldest = nullptr;
  for (Server& s : servers_) {
    if (s.port == target.port && s.host == target.host) {
      s.used = now;
      return &s;
    }
    if (s.users == 0 && (oldest == nullptr || s.used < oldest->used)) oldest = &s;
  }
  if (oldest == nullptr) return nullptr;
  if (oldest->waiting()) resolver_.cancel(*oldest);  // the answer is of another name
  oldest->host = target.host;  // of the configuration: it stays, see remember_hosts()
  oldest->port = target.port;
  oldest->list = Resolved{};
  oldest->known = oldest->told = false;
  oldest->at = 0;
  oldest->used = now;
  return oldest;
}

bool ServerFlows::open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  const Time now = reactor_.now();
  const uint32_t own = session.server_flows();
  const bool full = has_its_share(own, most_ - used_);
  const bool no_fd = reactor_.fds_left() <= kExitSpareFds && used_ > 0;
  const bool greedy = reactor_.fds_left() <= fds_to_leave(session);  // who has more than its share makes room by its own
  if (full || no_fd || greedy) {
    ServerFlow* spare = find_spare(by_age_, now, [&](const ServerFlow& f) {
      return (no_fd || !greedy || f.session_ == &session) && (!full || f.session_->server_flows() >= own);
    });
    if (spare == nullptr) return false;
    ++counts_.made_room;
    finish(*spare, CloseCode::idle);
  }
  Server* s = server(target, now);
  if (s == nullptr || reactor_.fds_left() <= kExitSpareFds) return false;
  ServerFlow* f = free_.front();
  if (f == nullptr) {
    SMX_CHECK(fresh_ < most_);
    f = new (&flow_[fresh_]) ServerFlow(*this);
    f->kept_ = kept_ + fresh_++ * kKept;
  }
  f->age_.leave();
  ++used_;
  ++counts_.flows;
  ++session.server_flows();
  f->session_ = &session;
  f->id_ = id;
  f->info_ = info;
  f->source_ = target.source;
  f->rule_ = target.rule;
  f->server_ = static_cast<uint16_t>(s - servers_);
  ++s->users;
  f->waits_ = false;
  f->has_place_ = greedy;
  f->state_ = ServerFlow::State::looking;
  f->has_kept_ = false;
  touch(*f, now);
  session.bind(id, *f);
  session.serve_datagrams(id);
  if (s->known && now < s->good_until && !s->waiting()) {
    connect(*f, now);
    return true;
  }
  s->looking.push_back(f);
  if (s->waiting()) return true;
  Resolved answer;
  if (resolver_.resolve(*s, s->host, s->port, &answer)) found(*s, answer, now);
  return true;
}

void ServerFlows::found(Server& s, const Resolved& answer, Time now) {
  // An old answer is better than none.
  if (answer.count > 0 || !s.known) s.list = answer;
  if (s.at >= s.list.count) s.at = 0;
  s.known = s.list.count > 0;
  s.good_until = now + (answer.count > 0 ? kAgain : kRetry);
  while (ServerFlow* f = s.looking.front()) {
    f->look_.leave();
    connect(*f, now);
  }
}

// The first address, from `first` on, that may be used and takes a socket.
Fd ServerFlows::connect_any(ServerFlow& f, int first, CloseCode* code, int* error) {
  const Server& s = servers_[f.server_];
  const uint32_t leave = f.has_place_ ? kExitSpareFds : fds_to_leave(*f.session_);
  *code = s.list.count == 0 ? CloseCode::not_found : CloseCode::forbidden;
  *error = 0;
  for (int i = 0; i < s.list.count; ++i) {
    const int at = (first + i) % s.list.count;
    const Address& to = s.list.address[at];
    if (!router_.address_allowed(f.rule_, f.info_, f.session_->mux().dialect(), f.session_->peer_key(), to)) continue;
    const bool other = f.source_.family != 0 && f.source_.family != to.family;
    Fd fd;
    *error = EADDRNOTAVAIL;
    if (reactor_.fds_left() <= leave) *error = EMFILE;  // others have taken what there was when the flow was opened
    else if (!other) fd = connect_udp(to, f.source_, error);
    if (fd.valid() && reactor_.watch(fd.get(), f) != 0) {
      *error = EMFILE;
      fd.reset();
    }
    if (fd.valid()) {
      f.at_ = at;
      return fd;
    }
    *code = *error == EMFILE || *error == ENFILE || *error == ENOBUFS || *error == ENOMEM ? CloseCode::limit
            : means_nobody(*error) ? CloseCode::unreachable : CloseCode::local_error;
  }
  return Fd();
}

void ServerFlows::connect(ServerFlow& f, Time now) {
  (void)now;
  const Server& s = servers_[f.server_];
  CloseCode code = CloseCode::not_found;
  int error = 0;
  f.fd_ = connect_any(f, s.at, &code, &error);
  if (!f.fd_.valid()) {
    return refuse(f, code, error != 0 ? strerror(error) : code == CloseCode::forbidden ? "forbidden" : gai_text(s.list.error));
  }
  f.has_place_ = true;
  f.state_ = ServerFlow::State::open;
  LogLine(LogLevel::debug, "flow-open").kv("session", f.session_->number()).kv("client", f.info_.client).kv("server", s.list.address[f.at_]);
  if (f.has_kept_) {
    const Bytes kept{f.kept_, f.kept_size_};
    f.has_kept_ = false;
    f.send_one(&kept, 1);
  }
  f.session_->accept(f.id_);
  f.update();
}

// ICMP, or our own kernel, says that nobody is there. The flow stays: the server may come back, or have another address.
void ServerFlows::not_there(ServerFlow& f, int error) {
  Server& s = servers_[f.server_];
  ++counts_.server_errors;
  if (!s.told) {
    s.told = true;
    Text<300> server;
    server.add_printable(s.host).add(':').add_u(s.port);
    LogLine(LogLevel::warning, "server-failed").kv("session", f.session_->number()).kv("server", server.text()).kv("at", s.list.address[f.at_]).error(error);
  }
  if (s.list.count > 1) try_next_address(f);
}

void ServerFlows::try_next_address(ServerFlow& f) {
  Server& s = servers_[f.server_];
  if (f.at_ == s.at) s.at = (s.at + 1) % s.list.count;
  CloseCode code = CloseCode::not_found;
  int error = 0;
  const int was = f.at_;
  Fd fd = connect_any(f, f.at_ + 1, &code, &error);
  if (!fd.valid()) {
    f.at_ = was;
    return;
  }
  reactor_.unwatch(f.fd_.get());
  f.fd_ = static_cast<Fd&&>(fd);
  f.update();
}

void ServerFlows::refuse(ServerFlow& f, CloseCode code, std::string_view why) {
  const Server& s = servers_[f.server_];
  Text<300> server;
  server.add_printable(s.host).add(':').add_u(s.port);
  LogLine line(LogLevel::warning, code == CloseCode::forbidden ? "channel-refused" : "server-failed");
  line.kv("session", f.session_->number());
  if (code == CloseCode::forbidden) line.kv("client", f.info_.client).kv("at", f.info_.local);
  line.kv("server", server.text()).kv("reason", why);
  f.session_->refuse(f.id_, code);
  forget(f);
}

void ServerFlows::touch(ServerFlow& f, Time now) {
  f.last_ = now;
  f.age_.leave();
  by_age_.push_back(&f);
  if (!timer_.running()) watch();
}

void ServerFlows::finish(ServerFlow& f, CloseCode code) {
  f.session_->abort(f.id_, code);
  LogLine(LogLevel::debug, "flow-closed").kv("session", f.session_->number()).kv("client", f.info_.client).kv("at", f.info_.local).kv("reason", name(code));
  forget(f);
}

void ServerFlows::forget(ServerFlow& f) {
  batch_.leave(f);
  f.look_.leave();
  --servers_[f.server_].users;
  reactor_.timers().stop(f.timer_);
  if (f.fd_.valid()) reactor_.unwatch(f.fd_.get());
  f.fd_.reset();
  f.state_ = ServerFlow::State::free;
  --f.session_->server_flows();
  f.session_ = nullptr;
  f.age_.leave();
  free_.push_front(&f);
  --used_;
}

void ServerFlows::watch() {
  const ServerFlow* oldest = by_age_.front();
  if (oldest != nullptr) reactor_.timers().start(timer_, oldest->last_ + silence_);
}

void ServerFlows::set_silence(Duration silence) {
  silence_ = silence;
  reactor_.timers().stop(timer_);
  watch();
}

void ServerFlows::on_timer(Timer& timer, Time now) {
  (void)timer;
  constexpr int kEndsATurn = 256;
  for (int i = 0; i < kEndsATurn; ++i) {
    ServerFlow* oldest = by_age_.front();
    if (oldest == nullptr || oldest->last_ + silence_ > now) break;
    finish(*oldest, CloseCode::idle);
  }
  watch();
}

void ServerFlows::shut() {
  while (ServerFlow* f = by_age_.front()) finish(*f, CloseCode::shutdown);
}

}  // namespace smx
