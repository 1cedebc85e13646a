// Read next: proxy.h.
#include "relay/proxy.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "relay/ftp.h"
#include "relay/socks_udp.h"

namespace smx {

namespace {
// After the dialogue has ended: how long a client may go on without taking what is there for it, or ending. Much of it may
// still wait at the other end of the link for a slow one; CLOSE with code 0 must wait for its end (sockmux(7)), and with
// any other code it would lose that.
constexpr Duration kLinger = seconds(120);
// ... and where places are few. What it has been told to the end of may be on its way all that time.
constexpr Duration kLingerCrowded = seconds(30);
// The channel is over, and the server has been told: how long it may be silent, and in how many turns it may speak. As in stream.cc.
constexpr Duration kLastLinger = seconds(5);
constexpr uint32_t kMostDrops = 1024;
constexpr int kStepsATurn = 16;
}  // namespace

// ---- the table

uint64_t Proxies::arena_bytes(uint32_t count) {
  return uint64_t{count} * (sizeof(ProxyStream) + sizeof(ProxyStream::Memory) + sizeof(Connect)) + 192;
}

bool Proxies::init(uint32_t count, Arena& arena) {
  proxies_ = arena.raw<ProxyStream>(count);
  memory_ = arena.raw<ProxyStream::Memory>(count);
  connects_ = arena.raw<Connect>(count);
  count_ = count;
  return proxies_ != nullptr && memory_ != nullptr && connects_ != nullptr;
}

// Few are left: the one that has been idle the longest ends, and also the one that has waited the longest for its client's end.
void Proxies::make_room() {
  ProxyStream *idle = nullptr, *ending = nullptr;
  const Time now = reactor_.now();
  for (uint32_t i = 0; i < fresh_; ++i) {
    ProxyStream& p = proxies_[i];
    if (p.state_ == ProxyStream::State::talking && p.desk_.idle && p.desk_.to_client.empty()) {
      if (idle == nullptr || p.timer_.deadline() < idle->timer_.deadline()) idle = &p;
    } else if (p.overstays(now)) {
      if (ending == nullptr || p.waits_since_ < ending->waits_since_) ending = &p;
    }
  }
  if (idle != nullptr) idle->end_idle();
  if (ending != nullptr && count_ - used_ <= count_ / 16) ending->end_now(CloseCode::idle);
}

bool Proxies::open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info, ProxyStream::Make make) {
  if (count_ - used_ <= count_ / 8) make_room();  // the memory is free later, for others to come
  ProxyStream* p = free_;
  if (p != nullptr) {
    free_ = p->next_free_;
  } else if (fresh_ < count_) {
    const uint32_t i = fresh_++;
    p = new (&proxies_[i]) ProxyStream(*this);
    p->memory_ = &memory_[i];
    p->connect_ = new (&connects_[i]) Connect(reactor_, resolver_);
  } else {
    LogLine(LogLevel::warning, "proxies-full").kv("session", session.number()).kv("client", info.client).kv("most", count_);
    return false;
  }
  ++used_;
  p->start(session, id, target, info, make);
  return true;
}

void Proxies::end_parting() {
  for (uint32_t i = 0; i < fresh_; ++i)
    if (proxies_[i].state_ == ProxyStream::State::parting) proxies_[i].die();
}

// ---- one of them

ProxyStream::ProxyStream(Proxies& table) : table_(table), timer_(*this) {}

void ProxyStream::set_state(State to) {
  static const char* const kName[] = {"free", "talking", "raw", "ending", "parting", "dead"};
  if (to == state_) return;
  if (log_wanted(LogLevel::debug)) {
    LogLine(LogLevel::debug, "proxy-state")
        .kv("client", desk_.client)
        .kv("from", kName[static_cast<int>(state_)])
        .kv("to", kName[static_cast<int>(to)]);
  }
  state_ = to;
}

void ProxyStream::start(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info, Make make) {
  SMX_CHECK(state_ == State::free);
  desk_ = Desk{};
  desk_.from_client = Pipe(memory_->from_client, kPipeIn);
  desk_.from_server = Pipe(memory_->from_server, kPipeIn);
  desk_.to_client = Pipe(memory_->to_client, kPipeOut);
  desk_.to_server = Pipe(memory_->to_server, kPipeOut);
  desk_.client = info.client;
  desk_.accepted = info.local;
  // A 0.3 peer cannot say that a channel carries datagrams.
  desk_.may_associate = table_.socks_udp_ != nullptr && session.mux().dialect() == Dialect::v1;
  associated_ = nullptr;
  target_ = target;
  leg_ = nullptr;
  if (target.label == "ftp" && table_.legs_ != nullptr) leg_ = table_.legs_->take(session, id, info, target, *this);
  desk_.data = leg_;
  dialogue_ = make(memory_->dialogue, target_);
  session_ = &session;
  dialect_ = session.mux().dialect();
  id_ = id;
  end_told_ = shut_ = write_broken_ = reset_ = false;
  clock_ = Desk::Clock::off;
  moved_at_ = 0;
  changes_ = 0;
  set_state(State::talking);
  session.bind(id, *this);
  session.accept(id);
  kick();
}

void ProxyStream::kick() {
  if (state_ != State::dead) table_.reactor_.at_end_of_turn(*this);
}
void ProxyStream::on_task(Time now) { pump(now); }

// Changes whenever something has happened that the dialogue may care for.
uint64_t ProxyStream::moved() const {
  return desk_.from_client.moved() + desk_.from_server.moved() + desk_.to_client.moved() + desk_.to_server.moved() + changes_;
}

// ---- the channel's side; called from within the mux

Pulled ProxyStream::pull(const MutBytes* piece, int pieces) {
  Pulled p;
  for (int i = 0; i < pieces; ++i) {
    const Bytes waiting = desk_.to_client.data();
    const size_t n = waiting.size < piece[i].size ? waiting.size : piece[i].size;
    if (n == 0) break;
    memcpy(piece[i].data, waiting.data, n);
    desk_.to_client.consume(n);
    p.size += n;
  }
  if (!desk_.to_client.empty()) {
    p.state = Pulled::State::more;
  } else if (says_end()) {
    p.state = Pulled::State::end;
    end_told_ = true;
    waits_since_ = table_.reactor_.now();
  }
  kick();
  return p;
}

Taken ProxyStream::push(const Bytes* piece, int pieces) {
  Taken t;
  for (int i = 0; i < pieces; ++i) {
    const size_t n = state_ == State::ending ? piece[i].size : desk_.from_client.put(piece[i]);
    t.size += n;
    if (n < piece[i].size) break;
  }
  kick();
  return t;
}

Taken ProxyStream::push_urgent(uint8_t byte) {
  const Bytes one{&byte, 1};
  if (state_ == State::raw) {  // one at a time, behind all that came before; else pump() asks again when that has gone
    Taken t;
    if (desk_.from_client.empty() && desk_.urgent_at == 0) t.size = desk_.to_server.put(one);
    if (t.size == 0) return t;
    desk_.urgent_at = desk_.to_server.size();
    kick();
    return t;
  }
  const Taken t = push(&one, 1);
  if (t.size == 1) desk_.urgent = true;
  return t;
}

void ProxyStream::end() {
  desk_.client_ended = true;
  ++changes_;
  kick();
}

// Both ways are over. 0.3 has no half-close: what the client said last may still be on its way to the server.
void ProxyStream::done() {
  session_ = nullptr;
  desk_.client_ended = true;
  if (state_ == State::talking && dialogue_->leaves_rest(desk_)) set_state(State::raw);
  if (state_ != State::raw) return die();
  (void)move_bytes(desk_.from_client, desk_.to_server);
  write_server();
  if (table_.parting_ >= table_.count_ / 4) return die();
  set_state(State::parting);
  ++table_.parting_;
  drops_ = 0;
  waits_since_ = table_.reactor_.now();
  table_.reactor_.timers().start(timer_, waits_since_ + (shut_ ? kLastLinger : kLinger));
  kick();
}

void ProxyStream::abort(CloseCode code) {
  LogLine(LogLevel::debug, "channel-aborted").kv("session", session_->number()).kv("client", desk_.client).kv("reason", name(code));
  if (code == CloseCode::done) return done();  // nothing that its client has said is missing
  session_ = nullptr;
  if (fd_.valid()) set_reset_on_close(fd_.get());
  die();
}

// The peer is told who answered it: not known before the client has said whom it wants, so it is the proxy itself.
void ProxyStream::describe(OpenInfo* info) {
  info->client = desk_.accepted;
  info->local = desk_.client;
}

// ---- the engine

// Moves bytes and lets the dialogue work until nothing changes. Never called from within the mux.
void ProxyStream::pump(Time now) {
  if (state_ == State::parting) return part(now);
  for (int i = 0; i < kStepsATurn; ++i) {
    if (state_ == State::dead) return;
    const uint64_t before = moved();
    if (!take_from_client()) return;
    switch (step()) {
      case Dialogue::Next::wait: break;
      case Dialogue::Next::connect: start_connect(); break;
      case Dialogue::Next::raw: set_state(State::raw); break;
      case Dialogue::Next::close: begin_ending(now); break;
      case Dialogue::Next::abort: return end_now(CloseCode::reset);
    }
    if (desk_.associate && associated_ == nullptr) {
      if (table_.socks_udp_->associate(*session_, desk_.client, desk_.accepted, target_)) associated_ = session_;
      else begin_ending(now);
    }
    if (desk_.drop_server) drop_server();
    write_server();
    if (!desk_.to_client.empty() || (says_end() && !end_told_)) session_->readable(id_);
    if (moved() == before) break;
    if (i + 1 == kStepsATurn) kick();
  }
  const bool clear = desk_.from_client.empty() && desk_.to_client.empty() && desk_.from_server.empty() && desk_.to_server.empty();
  // The error of a read is told once: a Stream would take what follows for an end.
  if (state_ == State::raw && clear && !reset_ && !desk_.server_broken) return hand_over();
  if (state_ == State::raw && clear && desk_.server_ended) return end_now(CloseCode::reset);  // nobody is told an end that is none
  set_clock(now);
  update();
}

Dialogue::Next ProxyStream::step() {
  if (state_ == State::talking) return dialogue_->step(desk_);
  if (state_ == State::raw) {
    (void)move_bytes(desk_.from_client, desk_.to_server);
    (void)move_bytes(desk_.from_server, desk_.to_client);
  }
  return Dialogue::Next::wait;
}

// What waits in the channel, as far as there is room. False: the channel is gone, and so is this, or it parts by a task of its own.
bool ProxyStream::take_from_client() {
  if (state_ == State::ending) desk_.from_client.clear();
  if (desk_.from_client.room() == 0 || !session_->wants_write(id_)) return true;
  return session_->writable(id_);
}

void ProxyStream::read_server() {
  const MutBytes space = desk_.from_server.space();
  if (space.size == 0 || desk_.server_ended) return;
  const IoResult r = read_fd(fd_.get(), space.data, space.size);
  if (r.again && !reset_) return;  // see Stream::pull()
  desk_.from_server.append(r.size);
  if (r.error == 0 && r.size > 0) return;
  desk_.server_ended = true;
  desk_.server_broken = r.error != 0 || reset_;
  ++changes_;
}

void ProxyStream::write_server() {
  if (!desk_.server_open) return;
  while (!desk_.to_server.empty() && !write_broken_) {
    const Bytes b = desk_.to_server.data();
    const size_t at = desk_.urgent_at;  // what is in front of it goes out by itself
    const size_t n = at > 1 ? at - 1 : b.size;
    const IoResult r = at == 1 ? write_urgent(fd_.get(), b.data[0]) : write_fd(fd_.get(), b.data, n);
    desk_.to_server.consume(r.size);
    if (at > 0) desk_.urgent_at = at - r.size;
    if (r.again || r.size < (at == 1 ? 1 : n)) {
      write_broken_ = r.error != 0;
      reset_ = write_broken_ && r.error != EPIPE;
      break;
    }
  }
  // It has closed, or reset; what it had said before is still read.
  if (write_broken_) {
    desk_.to_server.clear();
    desk_.urgent_at = 0;
    if (reset_) read_server();
  }
  const bool wanted = desk_.shut_server || (is_raw() && desk_.client_ended && desk_.from_client.empty());
  if (!wanted || shut_ || !desk_.to_server.empty()) return;
  shut_ = true;
  if (!write_broken_) shutdown_write(fd_.get());
}

void ProxyStream::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  if (state_ == State::dead) return;
  if ((ready & kRead) != 0) read_server();
  pump(now);
}

// What the server's socket waits for follows from the pipes, here and nowhere else.
void ProxyStream::update() {
  if (!fd_.valid()) return;
  uint8_t events = 0;
  if (!desk_.server_ended && desk_.from_server.room() > 0) events |= kRead;
  if (!desk_.to_server.empty()) events |= kWrite;
  table_.reactor_.want(fd_.get(), events);
}

// ---- the server

void ProxyStream::start_connect() {
  drop_server();
  const Wish& w = desk_.wish;
  Router& router = *table_.router_;
  if (!w.configured && !router.remittable(target_.rule, w.protocol, w.port, w.by_default))
    return fail(Failure::not_remittable, "not in REMITTABLE");
  if (table_.reactor_.fds_left() <= fds_to_leave()) return fail(Failure::no_room, "no descriptor left");
  known_.clear();
  Address known;
  if (router.known_host(target_.rule, w.host, &known)) append_ip(known_, known);
  const std::string_view host = known_.size() > 0 ? known_.text() : w.host;
  connect_->start(host, w.port, target_.source, target_.connect_limit, *this, w.configured ? nullptr : session_);
}

uint32_t ProxyStream::fds_to_leave() { return smx::fds_to_leave(*session_); }

bool ProxyStream::address_allowed(const Address& to) {
  OpenInfo info;
  info.client = desk_.client;
  info.local = desk_.accepted;
  return table_.router_->asked_allowed(target_.rule, info, dialect_, session_->peer_key(), desk_.wish.protocol, desk_.wish.host, to);
}

void ProxyStream::on_connected(Fd fd, const Address& to, Time now) {
  if (!address_allowed(to)) {  // the peers file was read again meanwhile
    fail(Failure::forbidden, "forbidden");
    return pump(now);
  }
  if (table_.reactor_.watch(fd.get(), *this) != 0) {
    fail(Failure::no_room, "no descriptor left");
    return pump(now);
  }
  fd_ = static_cast<Fd&&>(fd);
  set_nodelay(fd_.get());
  set_oob_inline(fd_.get());
  set_keepalive(fd_.get());
  desk_.server_open = true;
  desk_.server = to;
  if (leg_ != nullptr) leg_->set_control(to.port, name_key(desk_.wish.host));
  desk_.own = local_address(fd_.get());
  LogLine(LogLevel::debug, "server-connected").kv("session", session_->number()).kv("server", to).kv("client", desk_.client);
  dialogue_->connected(desk_);
  pump(now);
}

void ProxyStream::on_connect_failed(const ConnectFailure& why, Time now) {
  static constexpr Failure kFailure[] = {Failure::not_found, Failure::refused, Failure::unreachable, Failure::timed_out,
                                         Failure::no_room,   Failure::local,   Failure::forbidden};
  fail(kFailure[static_cast<int>(why.kind)], text(why));
  pump(now);
}

void ProxyStream::fail(Failure why, const char* reason) {
  const bool forbidden = why == Failure::forbidden || why == Failure::not_remittable;
  Text<300> server;
  server.add_printable(desk_.wish.host).add(':').add_u(desk_.wish.port);
  LogLine(LogLevel::warning, forbidden ? "request-refused" : "server-failed")
      .kv("session", session_->number())
      .kv("client", desk_.client)
      .kv("protocol", desk_.wish.protocol)
      .kv("server", server.text())
      .kv("reason", reason);
  ++changes_;
  dialogue_->failed(desk_, why);
}

// A server that lacks what a write had to say must not take the rest for the end of it.
void ProxyStream::close_server() {
  if (!fd_.valid()) return;
  if (reset_) set_reset_on_close(fd_.get());
  table_.reactor_.unwatch(fd_.get());
  fd_.reset();
}

void ProxyStream::drop_server() {
  if (leg_ != nullptr) leg_->drop();
  connect_->cancel();
  close_server();
  desk_.to_server.clear();
  desk_.from_server.clear();
  desk_.server_open = desk_.server_ended = desk_.server_broken = false;
  desk_.drop_server = desk_.shut_server = false;
  desk_.urgent_at = 0;
  shut_ = write_broken_ = reset_ = false;
  ++changes_;
}

// ---- the end

void ProxyStream::begin_ending(Time now) {
  drop_server();
  set_state(State::ending);
  desk_.from_client.clear();
  moved_at_ = moved();
  table_.reactor_.timers().start(timer_, now + kLinger);
}

void ProxyStream::end_idle() {
  begin_ending(table_.reactor_.now());
  kick();
}

// Without a channel: the server gets what is left, and what it says is dropped, since a close that has not read it would be a reset.
void ProxyStream::part(Time now) {
  const uint64_t before = desk_.to_server.moved();
  const bool was_shut = shut_;
  do write_server();
  while (move_bytes(desk_.from_client, desk_.to_server) > 0);
  const bool said = !desk_.from_server.empty();
  if (said) ++drops_;
  desk_.from_server.clear();
  desk_.to_client.clear();
  if (write_broken_ || desk_.server_broken || (shut_ && desk_.server_ended)) return die();
  if (drops_ > kMostDrops) {
    reset_ = true;
    return die();
  }
  if (desk_.to_server.moved() != before || shut_ != was_shut || (shut_ && said)) {
    waits_since_ = now;
    table_.reactor_.timers().start(timer_, now + (shut_ ? kLastLinger : kLinger));
  }
  update();
}

// Does a client that could have all by now, or a server that takes nothing, keep a place that others want?
bool ProxyStream::overstays(Time now) const {
  if (state_ == State::parting) return now >= waits_since_ + kLingerCrowded;
  if (state_ != State::ending || !end_told_) return false;
  return now >= waits_since_ + kLingerCrowded && now >= session_->end_of_limit(kLingerCrowded, now);
}

void ProxyStream::end_now(CloseCode code) {
  if (session_ != nullptr) session_->abort(id_, code);
  session_ = nullptr;
  die();
}

// All that was said is delivered: from now on it is a channel as any other.
void ProxyStream::hand_over() {
  Session& session = *session_;
  session_ = nullptr;
  table_.reactor_.unwatch(fd_.get(), false);
  Stream* s = table_.streams_.make(static_cast<Fd&&>(fd_));
  if (s == nullptr) {
    session.abort(id_, CloseCode::limit);
  } else {
    s->take_over(session, id_, desk_.server, desk_.client_ended, end_told_, target_.rule, name_key(desk_.wish.host));
  }
  die();
}

void ProxyStream::set_clock(Time now) {
  if (state_ == State::ending) return;
  const Desk::Clock wanted = state_ == State::talking ? desk_.clock : Desk::Clock::off;
  if (wanted == clock_ && (wanted == Desk::Clock::off || round_ == desk_.round)) return;
  clock_ = wanted;
  round_ = desk_.round;
  moved_at_ = moved();
  if (clock_ == Desk::Clock::off) return table_.reactor_.timers().stop(timer_);
  table_.reactor_.timers().start(timer_, now + limit());
}

Duration ProxyStream::limit() const {
  if (state_ == State::ending) return kLinger;
  return clock_ == Desk::Clock::login ? target_.login_limit : clock_ == Desk::Clock::io ? target_.io_limit : seconds(1);
}

void ProxyStream::on_timer(Timer& timer, Time now) {
  if (state_ == State::parting) return end_now(CloseCode::idle);
  // While the link is cut the client can neither take nor say anything, and what waits for it would be lost.
  const Time until = session_->end_of_limit(limit(), now);
  if (now < until) return table_.reactor_.timers().start(timer, until);
  const bool counts_moves = state_ == State::ending || clock_ == Desk::Clock::io;
  if (counts_moves && moved() != moved_at_) {
    moved_at_ = moved();
    return table_.reactor_.timers().start(timer, now + limit());
  }
  if (state_ == State::talking && clock_ != Desk::Clock::off) {
    const Dialogue::Next next = dialogue_->timed_out(desk_);
    if (next == Dialogue::Next::close) begin_ending(now);
    if (next != Dialogue::Next::abort) return pump(now);
  }
  end_now(CloseCode::idle);
}

// Unregisters and closes at once; the memory returns at the end of the turn, since callers up the stack may be its own.
void ProxyStream::die() {
  if (state_ == State::dead) return;
  if (state_ == State::parting) --table_.parting_;
  if (is_raw() && !(desk_.from_client.empty() && desk_.to_server.empty())) reset_ = true;  // it must not look whole
  set_state(State::dead);
  if (leg_ != nullptr) leg_->release();
  leg_ = nullptr;
  if (associated_ != nullptr) table_.socks_udp_->dissociate(*associated_, desk_.client, desk_.accepted);
  table_.reactor_.timers().stop(timer_);
  task_node.leave();
  connect_->cancel();
  close_server();
  table_.reactor_.bury(*this);
}

void ProxyStream::on_buried() {
  set_state(State::free);
  next_free_ = table_.free_;
  table_.free_ = this;
  --table_.used_;
}

// ---- relays

bool open_ftp(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  return streams.proxies()->open(session, id, target, info, [](void* memory, const RelayTarget& t) -> Dialogue* {
    static_assert(sizeof(FtpDialogue) <= kDialogueBytes);
    return new (memory) FtpDialogue(t.has_address ? t.host : std::string_view(), t.port);
  });
}

bool open_telnet(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  if (target.has_address) return open_tcp(streams, session, id, target, info);
  return streams.proxies()->open(session, id, target, info,
                                 [](void* memory, const RelayTarget&) -> Dialogue* { return place_dialogue<TelnetDialogue>(memory); });
}

bool open_http(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  if (!target.run) return open_tcp(streams, session, id, target, info);
  return streams.proxies()->open(session, id, target, info, [](void* memory, const RelayTarget& t) {
    HttpDialogue* d = place_dialogue<HttpDialogue>(memory);
    if (t.has_address) d->bind_to(t.host, t.port);
    return static_cast<Dialogue*>(d);
  });
}

bool open_socks(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  if (!target.run) return open_tcp(streams, session, id, target, info);
  return streams.proxies()->open(session, id, target, info,
                                 [](void* memory, const RelayTarget&) -> Dialogue* { return place_dialogue<SocksDialogue>(memory); });
}

}  // namespace smx
