// The session of SockMux 1: how it begins, is held without a link, goes on over the next one, and ends. Source: sockmux(7),
// "Session". Read next: mux_v1.cc (its packets).
#include <string.h>

#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

void Mux::link_down(Time now, bool keep) {
  if (state_ == State::down) return;
  // Held, if the peer knows of the session: it has sent something in it.
  const bool hold = keep && session_live_ && confirmed_ && hold_.us > 0;
  if (!hold) end_session(now);
  reset_link();
  state_ = State::down;
  room_wanted_ = false;  // on_up() comes first
  if (!hold) return;
  if (hold_deadline_ == kNever) hold_deadline_ = now + hold_;
  for_each_used([this](Channel& c) {
    if (c.attached) events_.on_wants(id_of(c));  // nothing can be read of them now
  });
}

void Mux::end_session(Time now) {
  (void)now;
  const State state = state_;
  if (state_ != State::down) state_ = State::closing;  // nobody can open a channel from within the calls below
  session_live_ = confirmed_ = asked_ = false;
  hold_deadline_ = kNever;
  committed_ -= base_committed_;
  base_committed_ = 0;
  for_each_used([this](Channel& c) {
    if (c.life == Life::orphan) return;
    c.sched.leave();
    c.due_node.leave();
    c.due = 0;
    timers_.stop(c);
    const bool told = c.life == Life::open || c.life == Life::ended;  // an acceptor that still connects has seen nothing
    if (told && c.rx == Rx::end && c.attached && !c.queue.empty()) return make_orphan(c);
    c.queue.clear(pool_);
    if (c.attached) {
      detach(c);
      ++stats_.aborted;
      events_.on_abort(id_of(c), c.rx == Rx::done ? CloseCode::done : CloseCode::reset);
    }
    if (c.life != Life::free) release(c);
  });
  const size_t numbers = config_.accepts < 256u ? 256u : config_.accepts;
  memset(theirs_, 0, numbers * sizeof *theirs_);
  tx_.reset(0);
  tx_pieces_size_ = tx_pieces_at_ = rx_pieces_size_ = 0;
  tx_cut_ = false;
  sent_ = frame_end_ = 0;
  rx_numbered_ = rx_acked_ = 0;
  peer_channels_ = 0;
  state_ = state;
}

void Mux::end_all(Time now) {
  end_session(now);
  while (drop_orphan(0, slots())) {}
}

// The values of the first SETTINGS hold for the session's life.
void Mux::begin_session(const Settings& peer, Time now) {
  peer_credit_ = peer.credit;
  peer_channels_ = peer.channels;
  const Duration theirs = seconds(peer.hold_s);
  hold_ = theirs < config_.hold ? theirs : config_.hold;
  memcpy(peer_name_, peer.peer_name, sizeof peer_name_);
  session_live_ = true;
  up_v1(now);
}

// What is sent again, and the peer has forgotten, is cut into other packets where they are too long for the beginning of a link.
// There is room: who fills the ring leaves more of it than their headers take, but nothing depends on that here.
void Mux::cut_anew() {
  for (uint64_t at = sent_; at < tx_.tail() && tx_.room() >= kHeader;) {
    const size_t most = longest_behind(at - sent_);
    const uint64_t end = packet_end(at);
    uint8_t raw[kHeader];
    tx_.copy_out(at, raw, kHeader);
    Header h = decode_header(raw);
    const Type type = static_cast<Type>(h.type);
    if (end - at <= most || (type != Type::send && type != Type::part && type != Type::dgram)) {
      at = end;
      continue;
    }
    tx_.insert(at + most, kHeader);
    h.length = static_cast<uint16_t>(h.length - (most - kHeader));
    encode_header(h, raw);
    tx_.copy_in(at + most, raw, kHeader);
    h.length = static_cast<uint16_t>(most - kHeader);
    if (type == Type::dgram) h.type = static_cast<uint8_t>(Type::part);
    encode_header(h, raw);
    tx_.copy_in(at, raw, kHeader);
    ++stats_.tx_packets;
    at += most;
  }
}

// The peer has processed `received` bytes of numbered packets: sending goes on behind them.
Err Mux::resume_session(uint64_t received, Time now) {
  if (ack_v1(received) != Err::none || received != tx_.head()) {
    bye(ByeCode::session_broken);
    return Err::session_broken;
  }
  sent_ = frame_end_ = received;
  cut_anew();
  rx_acked_ = rx_numbered_;  // our SETTINGS say so
  waits_since_ = now;
  resumed_ = true;
  go_up(now);
  for_each_used([this](Channel& c) {
    if (c.attached) send_or_ask(c);
  });
  return Err::none;
}

Err Mux::settings_v1(Bytes payload, Time now) {
  Settings s;
  if (load32(payload.data) != nonce_) return Err::none;  // belongs to an earlier link
  const Err e = parse_settings(payload, &s);
  if (e != Err::none) return e;
  if (start_.lossy && ring_open_) {
    // Said again, since the answer may have been lost: it is the same one. The asker gets but one.
    if (s.has_attempt && !is_asker() && s.attempt == peer_attempt_) settings_due_ = true;
    return Err::none;
  }
  // On a lossy line a HELLO of an earlier link may have given us the other role, until the next one: what fits to none is noise.
  const auto unfit = [this](Err what) { return start_.lossy ? Err::none : what; };
  if (state_ == State::wait) {
    if (!s.has_attempt) return unfit(Err::bad_field);
    switch (events_.on_ask(s)) {
      case AskAnswer::here: return answer_ask(s, now);
      case AskAnswer::elsewhere:
        ask_ = s;
        return Err::moved;
      case AskAnswer::stale: bye(ByeCode::stale); return Err::stale;
      case AskAnswer::busy: bye(ByeCode::busy); return Err::busy;
    }
  }
  if (state_ != State::ask || (settings_due_ && !start_.lossy)) return unfit(Err::bad_state);
  const bool same = has_session(s.session);
  if (!same && s.received != 0) return Err::bad_field;
  mark_line(s.marks);
  if (same) {
    confirmed_ = true;
    return resume_session(s.received, now);
  }
  // The answerer does not know our session, if we had one.
  if (session_live_) events_.on_session_over();
  end_session(now);
  memcpy(session_, s.session, sizeof session_);
  confirmed_ = true;
  begin_session(s, now);
  return Err::none;
}

// The answerer alone decides.
Err Mux::answer_ask(const Settings& ask, Time now) {
  if (is_stale(ask.attempt, start_.search)) {
    bye(ByeCode::stale);
    return Err::stale;
  }
  const bool same = has_session(ask.session) && (!asked_ || ask.attempt >> 32 == peer_attempt_ >> 32);
  if (!same) {
    if (session_live_) events_.on_session_over();
    end_session(now);
    memcpy(session_, start_.random + 4, sizeof session_);
  }
  asked_ = true;
  peer_attempt_ = ask.attempt;
  if (same) {
    const Err e = resume_session(ask.received, now);
    if (e != Err::none) return e;  // BYE goes to one who has no marks yet
  } else {
    begin_session(ask, now);
  }
  mark_line(ask.marks);
  settings_due_ = true;
  return Err::none;
}

void Mux::give_link(LinkHandover* out, Time now) {
  out->start = start_;
  out->start.trial = false;
  out->asked = state_ == State::wait;
  out->nonce = nonce_;
  out->peer_nonce = peer_nonce_;
  memcpy(out->peer_hello, peer_hello_, sizeof peer_hello_);
  out->peer_hello_size = peer_hello_size_;
  out->ask = ask_;
  out->rest_pieces = rx_.view(rx_.head(), rx_.used(), out->rest);
  link_down(now);
}

Err Mux::take_link(const LinkHandover& link, Time now) {
  SMX_CHECK(state_ == State::down);
  next_hello_size_ = 0;  // of another link
  link_up(link.start, now);
  nonce_ = link.nonce;
  Err e = Err::none;
  if (link.asked) {
    peer_nonce_ = link.peer_nonce;
    memcpy(peer_hello_, link.peer_hello, sizeof peer_hello_);
    peer_hello_size_ = link.peer_hello_size;
    dialect_ = Dialect::v1;
    state_ = State::wait;
    e = answer_ask(link.ask, now);
  } else {
    e = on_hello({reinterpret_cast<const uint8_t*>(link.peer_hello), link.peer_hello_size}, now);
  }
  hello_due_ = false;
  hello_out_ = true;
  if (e != Err::none) return e;
  for (int i = 0; i < link.rest_pieces; ++i) {
    rx_.copy_in(rx_.tail(), link.rest[i].data, link.rest[i].size);
    rx_.append(link.rest[i].size);
  }
  return parse(now);
}

}  // namespace smx
