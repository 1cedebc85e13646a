// Read next: session.h.
#include "core/session/session.h"

#include <string.h>

#include "core/base/check.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/process.h"
#include "core/io/resident.h"
#include "core/session/trial.h"

namespace smx {

namespace {
constexpr int kReads = 2;    // reads of the link in one turn
constexpr int kWrites = 4;   // gathers and writes in one turn
// Fields of a line are at most this long.
constexpr size_t kReason = 160;
// Bytes that a link has carried for sure, after which its loss is no sign of a peer that does not want us.
constexpr uint64_t kUseful = 4096;
// A session whose peer may have started anew is held for no longer.
constexpr Duration kBriefly = seconds(5);
// Between two times that memory of a burst goes back to the system; what little was touched, later.
constexpr Duration kGiveBack = millis(100);
constexpr Duration kGiveAllBack = seconds(1);
// But at once where a turn is one of so few in that time: those of a keep-alive.
constexpr uint8_t kLonelyTurns = 4;
}  // namespace

std::string_view hello_host(std::string_view hello) {
  const size_t blank = hello.find(' ');
  if (blank == std::string_view::npos) return {};
  const std::string_view rest = hello.substr(blank + 1);
  return rest.substr(0, rest.find(' '));
}

uint64_t Session::arena_bytes(const MuxConfig& config) {
  return Mux::arena_bytes(config);
}

bool Session::init(const MuxConfig& config, Arena& arena) {
  if (!mux_.init(config, arena)) return false;
  fill_random(&process_random_, sizeof process_random_);
  return true;
}

void Session::set_state(State to) {
  static const char* const kName[] = {"idle", "dialing", "waiting", "up", "closing"};
  if (to == state_) return;
  LogLine(LogLevel::debug, "session-state")
      .kv("session", number_)
      .kv("from", kName[static_cast<int>(state_)])
      .kv("to", kName[static_cast<int>(to)]);
  state_ = to;
}

// ---- the link

void Session::start(Dialer& dialer, Duration longest_pause, Time now) {
  dialer_ = &dialer;
  since_ = now;
  backoff_.set_longest(longest_pause);
  wait_and_dial(now);
}

void Session::start(LinkSource& source, Time now) {
  source_ = &source;
  since_ = now;
  set_state(State::dialing);
  source.on_link_wanted(now);
}

std::string_view Session::target() const {
  if (link_ != nullptr) return link_->peer_name();
  return dialer_ != nullptr ? dialer_->target() : std::string_view();
}

void Session::wait_and_dial(Time now) {
  uint32_t random = 0;
  fill_random(&random, sizeof random);
  const Duration pause = backoff_.next(now, random);
  set_state(State::waiting);
  wake_ = now + pause;
  set_timer(now);
}

void Session::dial(Time now) {
  wake_ = kNever;
  set_state(State::dialing);
  set_timer(now);  // a held session has its own end, however long the dialer waits
  dialer_->dial(*this, now);
}

void Session::retry_now(Time now) {
  if (source_ != nullptr) source_->retry_now(now);
  if (up()) return probe(seconds(5), now);
  if (dialer_ == nullptr || (state_ != State::waiting && state_ != State::dialing)) return;
  if (state_ == State::dialing) dialer_->cancel();
  backoff_.reset();
  dial(now);
}

void Session::on_dialed(Link& link, Time now) { attach(link, now); }

void Session::on_dial_failed(std::string_view why, Time now) {
  ++failures_;
  note_down(why, now);
  // The first failure of an outage is news; the rest is not.
  LogLine(failures_ == 1 ? LogLevel::warning : LogLevel::debug, "connect-failed")
      .kv("session", number_)
      .kv("to", dialer_->target())
      .kv("reason", why)
      .kv("tries", failures_);
  wait_and_dial(now);
}

void Session::begin_link(Link& link, Time now) {
  SMX_CHECK(link_ == nullptr);
  link_ = &link;
  if (mux_.held() && !same_key(link.peer_key(), peer_key())) {
    over_why_ = "another peer has its place";
    on_session_over();
    mux_.end_session(reactor_.now());
  }
  if (!dials() && !same_key(link.peer_key(), peer_key())) forget_links();
  has_key_ = link.peer_key() != nullptr;
  if (has_key_ || !mux_.held()) peer_ = link.peer();
  if (has_key_) key_ = *link.peer_key();
  label_.clear();
  label_.add(link.peer_label());
  if (!dials()) since_ = now;
  owner_.on_session_link(*this);
  link.set_owner(*this);
  set_state(State::up);
  link_since_ = now;
  over_why_ = {};
  blocked_ = was_up_ = probed_ = outdated_ = shut_write_ = false;
  if constexpr (kHasFailover) renewing_ = false;
  doubted_at_ = kNever;
}

// They were another peer's.
void Session::forget_links() {
  if constexpr (!kHasControl) return;
  links_ = 0;
  down_why_.clear();
  rx_before_ = mux_.stats().rx_bytes;
  tx_before_ = mux_.stats().tx_bytes;
}

void Session::note_down(std::string_view why, Time now) {
  if constexpr (!kHasControl) return;
  down_why_.clear();
  down_why_.add(why);
  down_at_ = now;
}

void Session::attach(Link& link, Time now) {
  begin_link(link, now);
  LinkStart start = link.said() != nullptr ? *link.said() : new_start(link);
  start.attempt = next_attempt();
  start.asks = start.search ? mux_.held() : dialer_ != nullptr;
  mux_.link_up(start, now);
  LogLine(LogLevel::debug, "link-open").kv("session", number_).kv("peer", link.peer_name());
  if (start.search && !read_old(now)) return;
  link.want(kRead);
  kick();
}

// What is there before our HELLO goes out is no answer to it, though it may hold the peer's own HELLO. An end or an error
// waits for read_link(): a FIFO that nobody has written to yet looks like an ended one. False: the link is lost.
bool Session::read_old(Time now) {
  for (int i = 0; i < kReads; ++i) {
    MutBytes space[2];
    const int pieces = mux_.rx_space(space);
    const IoResult r = link_->readv(space, pieces);
    if (r.size == 0) return true;
    const Err e = mux_.received(r.size, now);
    if (e == Err::none) continue;
    lose(e, "", now);
    return false;
  }
  return true;
}

void Session::take(Link& link, LinkHandover& handover, Time now) {
  taking_ = true;
  if (state_ == State::dialing && dialer_ != nullptr) dialer_->cancel();
  if (link_ != nullptr) part(ByeCode::replaced, "replaced by a newer link", now);
  taking_ = false;
  wake_ = kNever;
  begin_link(link, now);
  link.want(kRead);
  handover.start.attempt = next_attempt();
  const Err e = mux_.take_link(handover, now);
  if (e == Err::none) return kick();
  if (e == Err::moved) return owner_.on_session_moved(*this, now);
  write_link(now);
  lose(e, "", now);
}

void Session::take_over(Session& from, Time now) {
  LinkHandover handover;
  from.mux_.give_link(&handover, now);
  Link& link = *from.link_;
  from.link_ = nullptr;
  from.set_state(State::idle);
  from.set_timer(now);
  take(link, handover, now);
}

void Session::hold_until(Time until) {
  outdated_ = mux_.held();
  mux_.hold_until(until);
  set_timer(until);
}

void Session::shut(ByeCode code, Time now) {
  if (source_ != nullptr) {
    source_->stop(now);
    source_ = nullptr;
  }
  if (dialer_ != nullptr) {
    dialer_->cancel();
    dialer_ = nullptr;
  }
  if (link_ == nullptr) {
    mux_.end_session(now);
    set_state(State::idle);
    wake_ = kNever;
    set_timer(now);
    return;
  }
  if (state_ == State::closing) return;
  mux_.bye(code);
  set_state(State::closing);
  wake_ = now + seconds(1);
  kick();
}

// Says BYE and ends the link at once.
void Session::part(ByeCode code, std::string_view why, Time now) {
  mux_.bye(code);
  write_link(now);
  gently_ = true;
  lose(Err::none, why, now);
  gently_ = false;
}

void Session::end(ByeCode code, std::string_view why, Time now) {
  if (link_ != nullptr) part(code, why, now);
  over_why_ = why;
  mux_.hold_until(now);
  set_timer(now);
}

void Session::drop(std::string_view why, Time now) { lose(Err::none, why, now); }

void Session::probe(Duration patience, Time now) {
  if (!up()) return;
  probed_ = true;
  mux_.probe(now, patience);
  kick();
}

void Session::doubt(Duration patience, Time now) {
  if (up()) doubted_at_ = now;
  probe(patience, now);
}

void Session::lose(Err e, std::string_view why, Time now) {
  if (link_ == nullptr) return;
  Text<kReason> reason(why);
  if (e != Err::none) reason.add(name(e));
  if (e == Err::said_bye) reason.add(": ").add(name(static_cast<ByeCode>(mux_.peer_bye())));
  if (e == Err::said_bye && !mux_.peer_bye_text().empty()) reason.add(": ").add(mux_.peer_bye_text());
  const bool fault = e >= Err::bad_version && e <= Err::own_echo && e != Err::restarted;
  if (fault) {
    const Header& h = mux_.last_header();
    reason.add(" (version ").add_hex(h.version, 2).add(" type ").add_hex(h.type, 2).add(" ids ").add_hex(h.said, 4).add(' ');
    reason.add_hex(h.raid, 4).add(" length ").add_u(h.length).add(')');
  }
  // Where nobody is there to call, or whoever is called goes at once, that is news once.
  const bool again = !was_up_ && dials() && !fault && ++failures_ > 1;
  const LogLevel level = was_up_ && !fault ? LogLevel::info : again ? LogLevel::debug : LogLevel::warning;
  LogLine line(level, was_up_ ? "link-down" : "link-failed");
  line.kv("session", number_).kv("peer", link_->peer_name());
  if (has_key_) line.kv("name", label_.text());
  line.kv("reason", reason.text());
  line.ms("seconds", now - link_since_).kv("rx", mux_.stats().rx_bytes).kv("tx", mux_.stats().tx_bytes);
  line.kv("channels", mux_.channels());
  note_down(reason.text(), now);
  Link* link = link_;
  link_ = nullptr;
  const bool over = state_ == State::closing;
  // Before the two have agreed on a session it may be anybody who speaks there: a port scanner, or a page in the peer's place.
  const bool refused = fault || (e == Err::said_bye && (mux_.peer_bye() & 0x80) != 0);
  const bool ends = over || e == Err::session_broken || (was_up_ && refused);
  const bool useful = mux_.progress() - progress_ > kUseful;
  const bool v1 = mux_.dialect() == Dialect::v1;
  const bool doubtful = doubted_at_ != kNever && mux_.heard_at() <= doubted_at_;
  mux_.link_down(now, !ends);
  if (was_up_ && v1) line.kv("held", mux_.held() ? "yes" : "no");
  if (doubtful) mux_.hold_until(now + kBriefly);
  link->close(gently_ || (e != Err::none && e != Err::silent));
  if (was_up_) {
    since_ = now;
    // A link that stood for a while, or carried something: try again at once. One that came and went: not in a storm.
    if (now - link_since_ > seconds(1) || useful) backoff_.reset();
    failures_ = 0;
  }
  set_state(State::idle);
  wake_ = kNever;
  if (dialer_ != nullptr && !over && !taking_) wait_and_dial(now);
  if (source_ != nullptr && !over && !taking_) {
    set_state(State::dialing);
    source_->on_link_wanted(now);
  }
  set_timer(now);
  owner_.on_session_lost(*this, *link, now);
}

// Not before the link was of use, or the interval could be too short for anything to arrive, link after link; nor before the
// peer has been heard over it, which may not know of the session yet.
bool Session::may_renew() {
  if (!up() || !(mux_.heard_at() > since_)) return false;
  const bool may = mux_.resumes() ? mux_.progress() != progress_ || mux_.unsent_bytes() + mux_.unacked_bytes() == 0 : mux_.needs_no_link();
  if constexpr (kHasFailover) renewing_ = may;
  return may;
}

void Session::on_link_ready(uint8_t ready, Time now) {
  if ((ready & kWrite) != 0) {
    blocked_ = false;
    kick();
  }
  if ((ready & kRead) != 0) read_link(now);
}

void Session::read_link(Time now) {  // NOLINT(misc-no-recursion): once: write_link() reads while nothing has ended
  for (int i = 0; i < kReads; ++i) {
    MutBytes space[2];
    const int pieces = mux_.rx_space(space);
    const size_t asked = total_size(space, pieces);
    const IoResult r = link_->readv(space, pieces);
    if (r.again) return;
    if (r.error != 0) return lose(Err::none, link_->why().empty() ? strerror(r.error) : link_->why(), now);
    if (r.size == 0) return lose(Err::none, "end of file", now);
    const Err e = mux_.received(r.size, now);
    if (e == Err::moved) return owner_.on_session_moved(*this, now);
    if (e != Err::none) {
      // The peer is told why, as far as one write can.
      const bool anew = e == Err::restarted && !link_->clean_start();  // its next HELLO goes on from here
      if (e != Err::said_bye && !anew && mux_.dialect() == Dialect::v1) {
        const bool unknown = e == Err::bad_type && (mux_.last_header().type & 0x80) != 0;
        mux_.bye(unknown ? ByeCode::unsupported : ByeCode::protocol_error);
        write_link(now);
      }
      return lose(e, "", now);
    }
    if (link_ == nullptr) return;
    kick();
    if (r.size < asked) return;
  }
}

void Session::write_link(Time now) {  // NOLINT(misc-no-recursion): as read_link()
  for (int i = 0; i < kWrites && !blocked_ && link_ != nullptr; ++i) {
    int error = 0;
    if (!write_once(mux_, *link_, &blocked_, &error, now)) return;
    if (error == 0) continue;
    // The peer has gone; what it said last (BYE) may still be there.
    const Link* link = link_;
    if (state_ == State::up && mux_.state() != Mux::State::closing) read_link(now);
    return link_ == link ? lose(Err::none, strerror(error), now) : void();
  }
  if (!blocked_ && link_ != nullptr) kick();  // more than one turn's worth: next turn
}

// End of the turn: everything that became due goes out in one write.
void Session::on_task(Time now) {
  if (room_due_) {
    room_due_ = false;
    owner_.on_session_room(*this, now);
  }
  if (link_ != nullptr) write_link(now);
  give_back(now);
  if (link_ == nullptr) return set_timer(now);
  if (state_ == State::closing && mux_.tx_idle() && !shut_write_) {
    shut_write_ = true;
    link_->shut_write();
  }
  link_->keep_unsent(mux_.pace().unsent);
  link_->want(static_cast<uint8_t>(kRead | (blocked_ ? kWrite : 0)));
  set_timer(now);
  if (source_ != nullptr && up() && mux_.asked()) source_->on_link_asked(now);
}

// What a burst has touched is not kept, so that a daemon is small again behind it.
void Session::give_back(Time now) {
  if (now >= give_all_) {
    give_all_ = kNever;
    (void)give_all_back();
  }
  // A timer would be one more wake-up for each keep-alive.
  if (now >= lonely_until_) {
    lonely_until_ = now + kGiveAllBack;
    lonely_turns_ = 0;
  }
  if (give_all_ == kNever && mux_.has_spare_memory() && (++lonely_turns_ > kLonelyTurns || !give_all_back())) give_all_ = now + kGiveAllBack;
  if (now < gave_back_ + kGiveBack) return;
  const MutBytes spare = mux_.spare_memory();
  if (spare.size == 0) return;
  gave_back_ = now;
  give_back_memory(spare.data, spare.size);
}

// False: nothing could be.
bool Session::give_all_back() {
  MutBytes spare[Mux::kSpares];
  const int n = mux_.all_spare_memory(spare);
  for (int i = 0; i < n; ++i) give_back_memory(spare[i].data, spare[i].size);
  return n > 0 && !mux_.has_spare_memory();
}

void Session::set_timer(Time now) {
  (void)now;
  reactor_.timers().start(timer_, kNever);
  const Time next = earlier(earlier(wake_, give_all_), mux_.deadline());
  if (next != kNever) reactor_.timers().start(timer_, next);
}

void Session::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (wake_ <= now) {
    if (state_ == State::waiting) return dial(now);
    if (state_ == State::closing) return lose(Err::none, "closed", now);
    wake_ = kNever;
  }
  const Err e = mux_.tick(now);
  if (e == Err::none) return kick();
  if (e == Err::silent && mux_.dialect() == Dialect::v1) {
    mux_.bye(ByeCode::timed_out);  // it may only have stopped in the middle of a packet
    write_link(now);
  }
  lose(e, "", now);
}

// ---- MuxEvents

void Session::on_up() {
  was_up_ = true;
  peer_ = link_->peer();
  if (!dials() && !has_key_ && !mux_.resumed()) forget_links();  // who knows who it is
  ++links_;
  since_ = reactor_.now();
  failures_ = 0;
  LogLine line(LogLevel::info, "link-up");
  line.kv("session", number_).kv("peer", link_->peer_name());
  if (has_key_) line.kv("name", label_.text());
  line.kv("dialect", name(mux_.dialect())).kv("resumed", mux_.resumed() ? "yes" : "no").kv("hello", mux_.peer_hello());
  progress_ = mux_.progress();
  if (source_ != nullptr) source_->on_link_up(reactor_.now());
  owner_.on_session_up(*this, reactor_.now());
  room_due_ = true;
  kick();
}

void Session::on_session_over() {
  const bool waited = mux_.hold_is_over(reactor_.now()) && !outdated_;
  LogLine(LogLevel::warning, "session-ended")
      .kv("session", number_)
      .kv("reason", !over_why_.empty() ? over_why_ : waited ? "no new link within TIMEOUT=resume" : "the peer has started anew")
      .kv("channels", mux_.channels());
}

void Session::on_room() {
  room_due_ = true;
  kick();
}

// A client of a BIND of ours belongs to that BIND's endpoint alone.
void Session::on_open(ChannelId id, const OpenInfo& info) {
  if (!owner_.may_open(*this, reactor_.now())) return refuse(id, CloseCode::limit);
  if (info.bind == kNone) return exit_.on_open(*this, id, info, reactor_.now());
  ChannelId of;
  Endpoint* e = find_mine(info.bind, &of);
  if (e != nullptr && mux_.is_bind(of) && e->bound_client(id, info, reactor_.now())) return;
  refuse(id, CloseCode::forbidden);
}

bool Session::on_bind(ChannelId id, const OpenInfo& info) {
  if (owner_.may_open(*this, reactor_.now())) return exit_.on_bind(*this, id, info, reactor_.now());
  refuse(id, CloseCode::limit);  // no matter of rights: the peer asks again soon
  return true;
}
void Session::on_bound(ChannelId id, const Address& at) { endpoint_of(id)->bound(at); }

void Session::on_opened(ChannelId id) { endpoint_of(id)->opened(); }
void Session::describe(ChannelId id, OpenInfo* info) { endpoint_of(id)->describe(info); }
Pulled Session::on_pull(ChannelId id, const MutBytes* piece, int pieces) {
  const Pulled p = endpoint_of(id)->pull(piece, pieces);
  if (p.state == Pulled::State::error) set_endpoint(id, nullptr);
  return p;
}
Taken Session::on_data(ChannelId id, const Bytes* piece, int pieces) {
  const Taken t = endpoint_of(id)->push(piece, pieces);
  if (t.error) set_endpoint(id, nullptr);
  return t;
}
Taken Session::on_urgent(ChannelId id, uint8_t byte) {
  const Taken t = endpoint_of(id)->push_urgent(byte);
  if (t.error) set_endpoint(id, nullptr);
  return t;
}
PulledDatagram Session::on_pull_datagram(ChannelId id, const MutBytes* piece, int pieces, size_t largest) {
  const PulledDatagram p = endpoint_of(id)->pull_datagram(piece, pieces, largest);
  if (p.state == PulledDatagram::State::error) set_endpoint(id, nullptr);
  return p;
}
void Session::on_datagram(ChannelId id, const Bytes* piece, int pieces) {
  if (endpoint_of(id) != nullptr) endpoint_of(id)->datagram(piece, pieces);
}
void Session::on_wants(ChannelId id) {
  if (endpoint_of(id) != nullptr) endpoint_of(id)->wants_changed();
}
void Session::on_end(ChannelId id) { endpoint_of(id)->end(); }

Endpoint* Session::take(ChannelId id) {
  Endpoint* e = endpoint_of(id);
  set_endpoint(id, nullptr);
  SMX_CHECK(e != nullptr);
  return e;
}
void Session::on_done(ChannelId id) { take(id)->done(); }
void Session::on_abort(ChannelId id, CloseCode code) { take(id)->abort(code); }

// ---- channels, for endpoints

ChannelId Session::open(Endpoint& endpoint, bool udp) {
  const ChannelId id = mux_.open(reactor_.now(), udp);
  SMX_CHECK(endpoint_of(id) == nullptr);
  set_endpoint(id, &endpoint);
  kick();
  return id;
}

ChannelId Session::open_bind(Endpoint& endpoint) {
  const ChannelId id = mux_.open_bind(reactor_.now());
  SMX_CHECK(endpoint_of(id) == nullptr);
  set_endpoint(id, &endpoint);
  kick();
  return id;
}

void Session::bound(ChannelId id) {
  mux_.bound(id);
  kick();
}

Endpoint* Session::find_mine(uint16_t number, ChannelId* id) const {
  return mux_.find_mine(number, id) ? endpoint_of(*id) : nullptr;
}

void Session::bind(ChannelId id, Endpoint& endpoint) {
  SMX_CHECK(endpoint_of(id) == nullptr);
  set_endpoint(id, &endpoint);
}

void Session::rebind(ChannelId id, Endpoint& endpoint) {
  SMX_CHECK(endpoint_of(id) != nullptr);
  set_endpoint(id, &endpoint);
}

void Session::accept(ChannelId id) {
  mux_.accept(id, reactor_.now());
  kick();
}
void Session::refuse(ChannelId id, CloseCode code) {
  set_endpoint(id, nullptr);
  mux_.refuse(id, code);
  kick();
}
void Session::abort(ChannelId id, CloseCode code) {
  set_endpoint(id, nullptr);
  mux_.abort(id, code);
  kick();
}
bool Session::look(ChannelId id, OpenInfo* info, Address* server) {
  Endpoint* e = mux_.has(id) ? endpoint_of(id) : nullptr;
  if (e == nullptr) return false;
  e->describe(info);
  *server = e->server();
  return true;
}
bool Session::end_channel(ChannelId id, CloseCode code) {
  Endpoint* e = mux_.has(id) ? endpoint_of(id) : nullptr;
  if (e == nullptr) return false;
  abort(id, code);
  e->abort(code);
  return true;
}
void Session::readable(ChannelId id) {
  mux_.local_readable(id);
  kick();
}
bool Session::writable(ChannelId id) {
  const bool alive = mux_.drain(id, reactor_.now());
  kick();
  return alive;
}
bool Session::make_room(Time now) {
  const bool made = mux_.make_room(now);
  if (made) kick();
  return made;
}

}  // namespace smx
