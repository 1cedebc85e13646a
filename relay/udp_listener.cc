// Read next: udp_listener.h.
#include "relay/udp_listener.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

namespace smx {

namespace {
constexpr size_t kBytesATurn = 65536;
constexpr int kDatagramsATurn = 64;
// How long a datagram is held while the link takes nothing (others wait behind it meanwhile), and while the peer must say
// something first (CONNECTED, SENT) or a channel must become free.
constexpr Duration kLinkPatience = seconds(2);
constexpr Duration kPeerPatience = millis(200);
constexpr Duration kRest = seconds(1);        // after the peer has refused a flow
constexpr Duration kUnwelcomeFor = seconds(5);  // a client that may not is not judged again for so long

uint64_t mix(uint64_t h, uint64_t v) {
  h = (h ^ v) * 0x9e3779b97f4a7c15u;
  return h ^ (h >> 29);
}
uint64_t mix(uint64_t h, const Address& a) { return mix(mix(mix(h, load64(a.ip)), load64(a.ip + 8)), a.port); }
}  // namespace

// ---- one flow

PulledDatagram ClientFlow::pull_datagram(const MutBytes* piece, int pieces, size_t largest) {
  return listener_->pull(*this, piece, pieces, largest);
}

void ClientFlow::datagram(const Bytes* piece, int pieces) {
  waits_ = false;
  table_.touch(*this, table_.reactor_.now());
  table_.batch_.add(*this, piece, pieces);
}

void ClientFlow::send_one(const Bytes* piece, int pieces) {
  int error = listener_->answer(*this, piece, pieces, 0);
  if (error == ECONNREFUSED) error = listener_->answer(*this, piece, pieces, 0);  // told of an earlier one
  switch (error) {
    case 0: ++table_.counts_.tx; break;
    case EMSGSIZE: table_.counts_.drop(UdpDrop::too_large); break;
    default: table_.counts_.drop(UdpDrop::socket_full); break;
  }
}

int ClientFlow::send_joined(Bytes all, size_t segment, int count) {
  const int error = listener_->answer(*this, &all, 1, segment);
  if (error != 0) return error;
  table_.counts_.tx += static_cast<uint32_t>(count);
  table_.counts_.joined += static_cast<uint32_t>(count);
  return 0;
}

void ClientFlow::opened() {
  answered_ = true;
  stuck_ = false;
}

void ClientFlow::done() { abort(CloseCode::done); }

void ClientFlow::abort(CloseCode code) {
  LogLine(LogLevel::debug, "flow-closed")
      .kv("session", session_->number())
      .kv("client", client_)
      .kv("at", local_)
      .kv("reason", name(code));
  const bool refused = !answered_ && code != CloseCode::reset && code != CloseCode::idle && code != CloseCode::shutdown;
  if (!refused) return table_.forget(*this);
  LogLine(LogLevel::info, "client-refused").kv("client", client_).kv("at", local_).kv("reason", name(code));
  listener_->lost(*this);
  table_.gate_.on_flow_ended(client_);
  state_ = State::resting;
  waits_ = false;
  table_.touch(*this, table_.reactor_.now());
}

void ClientFlow::describe(OpenInfo* info) {
  info->client = client_;
  info->local = local_;
  info->udp = true;
  info->bind = listener_->bind_;
}

// ---- the table

namespace {
uint32_t buckets_for(uint32_t flows) {
  uint32_t n = 16;
  while (n < flows * 2) n *= 2;
  return n;
}
}  // namespace

uint64_t ClientFlows::arena_bytes(uint32_t flows) {
  flows = places_for(flows);
  return flows * sizeof(ClientFlow) + buckets_for(flows) * sizeof(ClientFlow*) + UdpBatch::arena_bytes() + 128;
}

bool ClientFlows::init(uint32_t flows, Duration silence, Arena& arena) {
  most_ = places_for(flows);
  silence_ = silence;
  mask_ = buckets_for(most_) - 1;
  flow_ = arena.raw<ClientFlow>(most_);
  hash_ = arena.raw<ClientFlow*>(mask_ + 1);
  fill_random(&seed_, sizeof seed_);
  return flow_ != nullptr && hash_ != nullptr && batch_.init(udp_joins(), arena);
}

uint32_t ClientFlows::bucket(const UdpListener& l, const Address& client, const Address& local) const {
  return static_cast<uint32_t>(mix(mix(mix(seed_, reinterpret_cast<uintptr_t>(&l)), client), local) >> 20) & mask_;
}

ClientFlow* ClientFlows::find(const UdpListener& l, const Address& client, const Address& local) const {
  ClientFlow* f = hash_[bucket(l, client, local)];
  while (f != nullptr && (f->listener_ != &l || !(f->client_ == client) || !(f->local_ == local))) f = f->next_;
  return f;
}

// One of a port that has no fewer.
ClientFlow* ClientFlows::find_spare_for(const UdpListener& l, Time now) const {
  return find_spare(by_age_, now, [&](const ClientFlow& f) { return f.listener_->own_ >= l.own_; });
}

bool ClientFlows::has_place(const UdpListener& l, Time now) const {
  return !has_its_share(l.own_, most_ - used_) || find_spare_for(l, now) != nullptr;
}

ClientFlow& ClientFlows::make(UdpListener& l, const Address& client, const Address& local) {
  if (has_its_share(l.own_, most_ - used_)) {
    ClientFlow* spare = find_spare_for(l, reactor_.now());
    SMX_CHECK(spare != nullptr);
    ++counts_.made_room;
    finish(*spare, CloseCode::idle);
  }
  ClientFlow* f = free_.front();
  if (f == nullptr) {
    SMX_CHECK(fresh_ < most_);
    f = new (&flow_[fresh_++]) ClientFlow(*this);
  }
  f->age_.leave();
  ++used_;
  ++counts_.flows;
  ++l.own_;
  f->listener_ = &l;
  f->client_ = client;
  f->local_ = local;
  f->state_ = ClientFlow::State::open;
  f->answered_ = f->waits_ = f->stuck_ = false;
  ClientFlow*& first = hash_[bucket(l, client, local)];
  f->next_ = first;
  first = f;
  touch(*f, reactor_.now());
  return *f;
}

void ClientFlows::touch(ClientFlow& f, Time now) {
  f.last_ = now;
  f.age_.leave();
  by_age_.push_back(&f);
  if (!timer_.running()) watch();
}

void ClientFlows::leave_hash(ClientFlow& f) {
  ClientFlow** p = &hash_[bucket(*f.listener_, f.client_, f.local_)];
  while (*p != &f) p = &(*p)->next_;
  *p = f.next_;
}

void ClientFlows::finish(ClientFlow& f, CloseCode code) {
  if (f.state_ == ClientFlow::State::open) {
    f.session_->abort(f.id_, code);
    LogLine(LogLevel::debug, "flow-closed").kv("session", f.session_->number()).kv("client", f.client_).kv("at", f.local_).kv("reason", name(code));
  }
  forget(f);
}

void ClientFlows::forget(ClientFlow& f) {
  batch_.leave(f);
  if (f.state_ == ClientFlow::State::open) {
    f.listener_->lost(f);
    gate_.on_flow_ended(f.client_);
  }
  leave_hash(f);
  --f.listener_->own_;
  f.state_ = ClientFlow::State::free;
  f.session_ = nullptr;
  f.age_.leave();
  free_.push_front(&f);
  --used_;
}

void ClientFlows::watch() {
  ClientFlow* oldest = by_age_.front();
  if (oldest == nullptr) return;
  reactor_.timers().start(timer_, oldest->last_ + silence_);
}

void ClientFlows::set_silence(Duration silence) {
  silence_ = silence;
  reactor_.timers().stop(timer_);
  watch();
}

void ClientFlows::on_timer(Timer& timer, Time now) {
  (void)timer;
  constexpr int kEndsATurn = 256;
  for (int i = 0; i < kEndsATurn; ++i) {
    ClientFlow* oldest = by_age_.front();
    if (oldest == nullptr || oldest->last_ + silence_ > now) break;
    finish(*oldest, CloseCode::idle);
  }
  watch();
}

void ClientFlows::shut() {
  while (ClientFlow* f = by_age_.front()) finish(*f, CloseCode::shutdown);
}

void ClientFlows::end(const UdpListener& port, CloseCode code) {
  ClientFlow* next = nullptr;
  for (ClientFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (f->listener_ == &port) finish(*f, code);
  }
}

// ---- the port

int UdpListener::start(Fd socket, Arena& arena) {
  uint8_t* memory = arena.raw<uint8_t>(kMaxDatagram);
  return memory == nullptr ? ENOMEM : start(static_cast<Fd&&>(socket), memory);
}

int UdpListener::start(Fd socket, uint8_t* memory) {
  memory_ = memory;
  lost_ = 0;
  counts_ = PortCounts();
  const int error = flows_.reactor_.watch(socket.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(socket);
  flows_.sessions_.count_port(true);
  local_ = local_address(fd_.get());
  flows_.reactor_.want(fd_.get(), kRead);
  return 0;
}

void UdpListener::stop() {
  if (!fd_.valid()) return;
  flows_.sessions_.count_port(false);
  counts_ = PortCounts{};  // it may be another port after that
  let_go();
  task_node.leave();
  flows_.batch_.flush();
  flows_.reactor_.unwatch(fd_.get(), false);  // a new daemon may have it, too, or a manager
  fd_.reset();
}

// Called within a call of the mux.
void UdpListener::serve(Session* session, uint16_t bind) {
  for_one_ = true;
  session_ = session;
  bind_ = bind;
  if (session == nullptr && held_) drop(UdpDrop::no_link);
  update();
  if (session != nullptr) flows_.reactor_.at_end_of_turn(*this);
}

void UdpListener::update() {
  const bool rests = held_ || (for_one_ && session_ == nullptr);
  if (fd_.valid()) flows_.reactor_.want(fd_.get(), rests ? uint8_t{0} : static_cast<uint8_t>(kRead));
}

bool UdpListener::has_link() {
  if (for_one_) return session_ != nullptr && session_->up();
  Sessions& sessions = flows_.sessions_;
  for (uint32_t i = 0; i < sessions.count(); ++i)
    if (sessions.at(i).up() && sessions.at(i).leads_to(peer_)) return true;
  return false;
}

// While there is no channel, room is asked for now and then, not by each newcomer.
Session* UdpListener::pick(Time now) {
  const bool asks = !full_ || now >= asked_at_ + kPeerPatience;
  if (asks) asked_at_ = now;
  return for_one_ ? session_->pick(now, asks) : flows_.sessions_.pick(now, peer_, asks);
}

void UdpListener::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  (void)ready;
  read(now, true);
}

// Reads until one is held. `may_open` is false within a call of the mux, which must not be asked for a channel then.
void UdpListener::read(Time now, bool may_open) {
  if (turn_ != flows_.reactor_.turns()) {
    turn_ = flows_.reactor_.turns();
    read_bytes_ = 0;
    read_count_ = 0;
  }
  while (!held_ && fd_.valid() && (!for_one_ || session_ != nullptr) && read_bytes_ < kBytesATurn && read_count_ < kDatagramsATurn) {
    ++read_count_;
    const MutBytes all{memory_, kMaxDatagram};
    const Datagram d = receive_udp(fd_.get(), &all, 1);
    if (d.again) break;
    if (d.error != 0) continue;  // what an answer of ours met: nothing to do with the next client
    flows_.counts_.by_kernel += d.lost == 0 ? 0 : d.lost - lost_;
    if (d.lost != 0) lost_ = d.lost;
    read_bytes_ += d.size;
    size_ = d.size;
    from_ = d.from;
    to_ = d.to.family == 0 ? local_ : d.to;
    to_.port = local_.port;
    interface_ = d.interface;
    held_ = true;
    if (d.cut) {
      drop(UdpDrop::too_large);
    } else {
      dispatch(now, may_open);
    }
  }
  update();
}

// Nothing is held any more.
void UdpListener::let_go() {
  held_ = false;
  for_ = nullptr;
  flows_.reactor_.timers().stop(timer_);
}

void UdpListener::drop(UdpDrop why) {
  flows_.counts_.drop(why);
  let_go();
}

// The datagram that is held: whose is it?
void UdpListener::dispatch(Time now, bool may_open) {
  ClientFlow* f = flows_.find(*this, from_, to_);
  if (f != nullptr && f->state_ == ClientFlow::State::resting) {
    if (now < f->last_ + kRest) return drop(UdpDrop::refused);
    flows_.forget(*f);
    f = nullptr;
  }
  if (f != nullptr && !f->session_->up()) return drop(UdpDrop::no_link);  // the session waits for its next link
  if (f != nullptr && f->stuck_) return drop(UdpDrop::late);
  if (f != nullptr) {
    f->interface_ = interface_;  // it may have been made anew
    return wait(*f, now);
  }
  if (now < unwelcome(from_).until && same_ip(unwelcome(from_).client, from_)) return drop(UdpDrop::refused);
  if (may_open) return begin_flow(now);
  flows_.reactor_.at_end_of_turn(*this);
}

void UdpListener::begin_flow(Time now) {
  if (!has_link()) return drop(UdpDrop::no_link);
  if (!flows_.has_place(*this, now)) return drop(UdpDrop::no_channel);
  if (from_ == to_) return drop(UdpDrop::refused);  // somebody says that we are the client: answers would come here again, for ever
  const char* reason = flows_.gate_.flow_refused(from_, to_);
  if (reason != nullptr) {
    ++counts_.refused;
    LogLine(LogLevel::warning, "client-refused").kv("client", from_).kv("at", to_).kv("reason", reason);
    remember(from_, now);
    return drop(UdpDrop::refused);
  }
  Session* session = pick(now);
  if (session == nullptr) {
    flows_.gate_.on_flow_ended(from_);
    if (full_) return drop(UdpDrop::no_channel);  // not each newcomer in turn: flows that are there wait behind it
    if (!timer_.running()) flows_.reactor_.timers().start(timer_, now + kPeerPatience);
    return;
  }
  full_ = false;
  flows_.reactor_.timers().stop(timer_);
  ClientFlow& f = flows_.make(*this, from_, to_);
  ++counts_.accepted;
  f.interface_ = interface_;
  f.session_ = session;
  f.id_ = session->open(f, true);
  if (!for_one_) flows_.sessions_.used(*session);
  LogLine(LogLevel::debug, "flow-open").kv("session", session->number()).kv("client", from_).kv("at", to_);
  wait(f, now);
}

// Its channel takes it when there is room; not for ever, since others are behind it.
void UdpListener::wait(ClientFlow& f, Time now) {
  for_ = &f;
  flows_.reactor_.timers().start(timer_, now + (f.session_->waits_for_peer(f.id_) ? kPeerPatience : kLinkPatience));
  f.session_->readable(f.id_);
  // Where one has waited in vain the others do, too, as long as nothing moves.
  if (!held_ || for_ != &f || f.session_ != late_ || f.session_->mux().progress() != late_progress_) return;
  f.stuck_ = true;
  drop(UdpDrop::late);
}

void UdpListener::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (!held_) return;
  if (for_ != nullptr) {
    for_->stuck_ = true;
    const Session& s = *for_->session_;
    // Else it is this channel alone; or the link was cut, and the next one may take it.
    const bool by_link = s.mux().dialect() == Dialect::v1 && !s.waits_for_peer(for_->id_) && s.mux().unsent_bytes() + s.mux().unacked_bytes() > 0;
    late_ = by_link ? &s : nullptr;
    late_progress_ = s.mux().progress();
  } else {
    full_ = true;
  }
  drop(for_ != nullptr ? UdpDrop::late : UdpDrop::no_channel);
  read(now, true);
}

// What was left for later in read(), or has lost its flow.
void UdpListener::on_task(Time now) {
  if (!fd_.valid()) return;
  if (held_ && for_ == nullptr) dispatch(now, true);
  if (!held_) read(now, true);
}

void UdpListener::on_room(Time now) { on_task(now); }

// The flow has ended: what is held for it begins a new one, or is dropped.
void UdpListener::lost(const ClientFlow& f) {
  if (for_ != &f) return;
  for_ = nullptr;
  flows_.reactor_.timers().stop(timer_);
  flows_.reactor_.at_end_of_turn(*this);
}

UdpListener::Unwelcome& UdpListener::unwelcome(const Address& client) {
  Address ip = client;
  ip.port = 0;
  return unwelcome_[mix(flows_.seed_, ip) >> 32 & (kUnwelcome - 1)];
}

void UdpListener::remember(const Address& client, Time now) { unwelcome(client) = {client, now + kUnwelcomeFor}; }

PulledDatagram UdpListener::pull(ClientFlow& f, const MutBytes* piece, int pieces, size_t largest) {
  const Time now = flows_.reactor_.now();
  PulledDatagram p;
  while (held_ && for_ == &f && size_ > largest) {
    drop(UdpDrop::too_large);
    read(now, false);
  }
  if (!held_ || for_ != &f) return p;
  const size_t room = total_size(piece, pieces);
  if (size_ > room) return p;
  for (int i = 0; p.size < size_; ++i) {
    const size_t n = piece[i].size < size_ - p.size ? piece[i].size : size_ - p.size;
    memcpy(piece[i].data, memory_ + p.size, n);
    p.size += n;
  }
  p.state = PulledDatagram::State::one;
  ++flows_.counts_.rx;
  f.waits_ = true;
  flows_.touch(f, now);
  let_go();
  read(now, false);
  return p;
}

int UdpListener::answer(const ClientFlow& f, const Bytes* piece, int pieces, size_t segment) {
  return fd_.valid() ? send_udp_to(fd_.get(), piece, pieces, f.client_, f.local_, f.interface_, segment) : EBADF;
}

}  // namespace smx
