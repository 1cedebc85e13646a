// Read next: socks_udp.h.
#include "relay/socks_udp.h"

#include <string.h>

#include "core/base/check.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

namespace smx {

namespace {
constexpr size_t kScratch = 65536;
constexpr Duration kAgain = seconds(60);  // a name is looked up again
constexpr int kTries = 8;                 // datagrams that one call passes over
constexpr uint8_t kIp4 = 1, kName = 3, kIp6 = 4;
}  // namespace

// ---- the header

bool parse_socks_udp(Bytes in, SocksUdpHeader* out) {
  Cursor c(in);
  (void)c.u16();
  if (c.u8() != 0) return false;  // a fragment
  const uint8_t type = c.u8();
  *out = SocksUdpHeader{};
  if (type == kName) {
    out->host = as_text(c.bytes(c.u8()));
    if (out->host.empty() || !c.ok()) return false;
    for (const char b : out->host)
      if (b <= ' ' || b >= 0x7f) return false;
  } else if (type == kIp4 || type == kIp6) {
    const Bytes ip = c.bytes(type == kIp4 ? 4 : 16);
    if (!c.ok()) return false;
    out->to.family = type == kIp4 ? 4 : 6;
    memcpy(out->to.ip, ip.data, ip.size);
  } else {
    return false;
  }
  out->to.port = c.u16();
  out->size = in.size - c.left();
  return c.ok() && out->to.port != 0;
}

size_t make_socks_udp(const Address& from, uint8_t out[kMostSocksUdpHeader]) {
  const size_t ip = from.family == 6 ? 16 : 4;
  memset(out, 0, 3);
  out[3] = from.family == 6 ? kIp6 : kIp4;
  memcpy(out + 4, from.ip, ip);
  store16(out + 4 + ip, from.port);
  return 4 + ip + 2;
}

// ---- one flow

void SocksFlow::datagram(const Bytes* piece, int pieces) {
  waits_ = true;
  table_.touch(*this);
  size_t size = 0;
  for (int i = 0; i < pieces; ++i) {
    if (piece[i].size > kScratch - size) return;
    if (piece[i].size > 0) memcpy(table_.scratch_ + size, piece[i].data, piece[i].size);
    size += piece[i].size;
  }
  take({table_.scratch_, size});
}

void SocksFlow::take(Bytes in) {
  SocksUdpHeader h;
  if (!parse_socks_udp(in, &h)) return;
  const Bytes data{in.data + h.size, in.size - h.size};
  Address literal;
  if (!h.host.empty() && parse_ip(h.host, &literal)) {
    literal.port = h.to.port;
    return send(h.host, literal, data);
  }
  if (h.host.empty()) {
    Text<kAddressText> text;
    append_ip(text, h.to);
    return send(text.text(), h.to, data);
  }
  const bool known = h.host == std::string_view(name_, name_size_);
  if (known && address_.family != 0 && table_.reactor_.now() < good_until_) {
    address_.port = h.to.port;
    return send(h.host, address_, data);
  }
  if (waiting() || in.size > SocksFlows::kKept) return;  // one at a time: UDP may be lost
  name_size_ = static_cast<uint8_t>(h.host.size());
  memcpy(name_, h.host.data(), h.host.size());
  kept_size_ = static_cast<uint16_t>(in.size);
  memcpy(kept_, in.data, in.size);
  address_ = Address{};
  Address own;
  Resolved answer;
  if (table_.router_.known_host(target_.rule, {name_, name_size_}, &own)) {
    answer.count = 1;
    answer.address[0] = own;
    on_resolved(answer, table_.reactor_.now());
  } else if (table_.resolver_.resolve(*this, {name_, name_size_}, h.to.port, &answer, session_)) {
    on_resolved(answer, table_.reactor_.now());
  }
}

void SocksFlow::on_resolved(const Resolved& answer, Time now) {
  const Bytes in{kept_, kept_size_};
  kept_size_ = 0;
  if (answer.count == 0) return;
  address_ = answer.address[0];
  good_until_ = now + kAgain;
  SocksUdpHeader h;
  if (!parse_socks_udp(in, &h)) return;
  address_.port = h.to.port;
  send({name_, name_size_}, address_, {in.data + h.size, in.size - h.size});
}

void SocksFlow::send(std::string_view host, const Address& to, Bytes data) {
  Router& r = table_.router_;
  if (!r.remittable(target_.rule, "socks", to.port, true) ||
      !r.asked_allowed(target_.rule, info_, dialect_, session_->peer_key(), "socks", host, to)) {
    LogLine(LogLevel::warning, "request-refused").kv("session", session_->number()).kv("client", info_.client).kv("protocol", "socks").kv("server", to).kv("reason", "forbidden");
    return;
  }
  const int fd = socket_for(to);
  if (fd >= 0) (void)send_udp_to(fd, &data, 1, to, Address{}, 0);
}

// Lists may have the name alone of who was asked by it.
bool SocksFlow::may_answer(const Address& from) const {
  const bool named = name_size_ > 0 && same_ip(from, address_);
  return table_.router_.asked_allowed(target_.rule, info_, dialect_, session_->peer_key(), "socks",
                                      {name_, named ? name_size_ : size_t{0}}, from);
}

// The socket of that family; -1: none can be had.
int SocksFlow::socket_for(const Address& to) {
  Fd& fd = fd_[to.family == 6];
  if (fd.valid()) return fd.get();
  if (table_.reactor_.fds_left() <= fds_to_leave(*session_)) return -1;
  if (target_.source.family != 0 && target_.source.family != to.family) return -1;
  Address at = target_.source;
  at.family = to.family;
  at.port = 0;
  int error = 0;
  Fd made = listen_udp(at, &error);
  if (!made.valid() || table_.reactor_.watch(made.get(), *this) != 0) return -1;
  fd = static_cast<Fd&&>(made);
  update();
  return fd.get();
}

PulledDatagram SocksFlow::pull_datagram(const MutBytes* piece, int pieces, size_t largest) {
  PulledDatagram p;
  uint8_t* s = table_.scratch_;
  for (int i = 0; i < kTries; ++i) {
    next_ = 1 - next_;
    if (!fd_[next_].valid()) next_ = 1 - next_;
    if (!fd_[next_].valid()) return p;
    const MutBytes room{s + kMostSocksUdpHeader, kScratch - kMostSocksUdpHeader};
    Datagram d = receive_udp(fd_[next_].get(), &room, 1);
    if (d.again && fd_[1 - next_].valid()) {
      next_ = 1 - next_;
      d = receive_udp(fd_[next_].get(), &room, 1);
    }
    if (d.again) return p;
    if (d.error != 0 || d.cut) continue;
    uint8_t header[kMostSocksUdpHeader];
    const size_t n = make_socks_udp(d.from, header);
    // Who may not be asked may not answer: nobody gets in by a port that stands open.
    if (n + d.size > largest || !may_answer(d.from)) continue;
    uint8_t* from = s + kMostSocksUdpHeader - n;
    memcpy(from, header, n);
    size_t left = n + d.size;
    p.size = left;
    for (int k = 0; k < pieces && left > 0; ++k) {
      const size_t part = left < piece[k].size ? left : piece[k].size;
      memcpy(piece[k].data, from, part);
      from += part;
      left -= part;
    }
    p.state = PulledDatagram::State::one;
    waits_ = false;
    table_.touch(*this);
    return p;
  }
  return p;
}

void SocksFlow::update() {
  // See ServerFlow::update()
  const uint8_t events = session_->wants_read(id_) || !session_->up() ? static_cast<uint8_t>(kRead) : uint8_t{0};
  for (const Fd& fd : fd_)
    if (fd.valid()) table_.reactor_.want(fd.get(), events);
}

void SocksFlow::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready, (void)now;
  if (!session_->up()) {
    (void)drop_datagrams(fd);
    return;
  }
  session_->readable(id_);
  update();
}

void SocksFlow::abort(CloseCode code) {
  LogLine(LogLevel::debug, "flow-closed").kv("session", session_->number()).kv("client", info_.client).kv("at", info_.local).kv("reason", name(code));
  table_.forget(*this);
}

void SocksFlow::describe(OpenInfo* info) {
  info->client = info_.local;
  info->local = info_.client;
  info->udp = true;
}

// ---- the tables

uint64_t SocksFlows::arena_bytes(uint32_t flows) {
  return uint64_t{places_for(flows)} * (sizeof(SocksFlow) + kKept) + kMostAssociations * sizeof(Association) + kScratch + 256;
}

bool SocksFlows::init(uint32_t flows, Duration silence, Arena& arena) {
  most_ = places_for(flows);
  silence_ = silence;
  flow_ = arena.raw<SocksFlow>(most_);
  kept_ = arena.raw<uint8_t>(most_ * kKept);
  scratch_ = arena.raw<uint8_t>(kScratch);
  association_ = arena.make<Association>(kMostAssociations);
  return flow_ != nullptr && kept_ != nullptr && scratch_ != nullptr && association_ != nullptr;
}

// Of the same session and client address, and of the port where its control connection was accepted.
SocksFlows::Association* SocksFlows::find(const Session& session, const Address& client, const Address& accepted) {
  for (uint32_t i = 0; i < kMostAssociations; ++i) {
    Association& a = association_[i];
    if (a.users > 0 && a.session == &session && same_ip(a.client, client) && a.accepted.port == accepted.port) return &a;
  }
  return nullptr;
}

bool SocksFlows::associate(const Session& session, const Address& client, const Address& accepted, const RelayTarget& target) {
  Association* a = find(session, client, accepted);
  if (a == nullptr) {
    uint32_t of_one = 0;
    for (uint32_t i = 0; i < kMostAssociations; ++i) {
      Association& other = association_[i];
      if (other.users == 0) a = &other;
      else if (other.session == &session) ++of_one;
    }
    const bool of_hub = session.peer_key() != nullptr && !session.dials();
    if (a == nullptr || (of_hub && of_one >= kMostOfOne)) return false;
  }
  if (a->users++ == 0) {
    a->session = &session;
    a->client = client;
    a->accepted = accepted;
    a->target = target;
  }
  return true;
}

void SocksFlows::dissociate(const Session& session, const Address& client, const Address& accepted) {
  Association* a = find(session, client, accepted);
  if (a == nullptr || --a->users > 0) return;
  SocksFlow* next = nullptr;
  for (SocksFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (f->session_ == &session && same_ip(f->info_.client, client) && f->info_.local.port == accepted.port) finish(*f, CloseCode::idle);
  }
}

bool SocksFlows::open(Session& session, ChannelId id, const OpenInfo& info) {
  const Association* a = find(session, info.client, info.local);
  if (a == nullptr) return false;
  const uint32_t own = session.socks_flows();
  if (has_its_share(own, most_ - used_)) {
    SocksFlow* spare = find_spare(by_age_, reactor_.now(), [&](const SocksFlow& f) { return f.session_->socks_flows() >= own; });
    if (spare == nullptr) {
      LogLine(LogLevel::warning, "channel-refused")
          .kv("session", session.number())
          .kv("client", info.client)
          .kv("at", info.local)
          .kv("reason", name(CloseCode::limit));
      session.refuse(id, CloseCode::limit);
      return true;
    }
    finish(*spare, CloseCode::idle);
  }
  SocksFlow* f = free_.front();
  if (f == nullptr) {
    f = new (&flow_[fresh_]) SocksFlow(*this);
    f->kept_ = kept_ + fresh_++ * kKept;
  }
  f->age_.leave();
  ++used_;
  ++session.socks_flows();
  f->session_ = &session;
  f->waits_ = false;
  f->id_ = id;
  f->info_ = info;
  f->target_ = a->target;
  f->dialect_ = session.mux().dialect();
  f->name_size_ = 0;
  f->kept_size_ = 0;
  f->address_ = Address{};
  touch(*f);
  session.bind(id, *f);
  session.serve_datagrams(id);
  session.accept(id);
  return true;
}

void SocksFlows::touch(SocksFlow& f) {
  f.last_ = reactor_.now();
  f.age_.leave();
  by_age_.push_back(&f);
  if (!timer_.running()) watch();
}

void SocksFlows::finish(SocksFlow& f, CloseCode code) {
  f.session_->abort(f.id_, code);
  forget(f);
}

void SocksFlows::forget(SocksFlow& f) {
  resolver_.cancel(f);
  for (Fd& fd : f.fd_) {
    if (fd.valid()) reactor_.unwatch(fd.get());
    fd.reset();
  }
  --f.session_->socks_flows();
  f.session_ = nullptr;
  f.age_.leave();
  free_.push_front(&f);
  --used_;
}

void SocksFlows::set_silence(Duration silence) {
  silence_ = silence;
  reactor_.timers().stop(timer_);
  watch();
}

void SocksFlows::watch() {
  const SocksFlow* oldest = by_age_.front();
  if (oldest != nullptr) reactor_.timers().start(timer_, oldest->last_ + silence_);
}

void SocksFlows::on_timer(Timer& timer, Time now) {
  (void)timer;
  while (SocksFlow* f = by_age_.front()) {
    if (now < f->last_ + silence_) return watch();
    finish(*f, CloseCode::idle);
  }
}

}  // namespace smx
