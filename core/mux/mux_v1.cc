// Dialect 1: SockMux 1 over stream links. Read next: mux.cc, mux_bind.cc, mux_datagram.cc; sockmux(7), "SockMux 1".
#include <string.h>

#include "core/base/rate.h"
#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

constexpr uint32_t kBoost = 64 * 1024;          // window given at once while memory is plenty
constexpr uint32_t kLargestWindow = 16 * 1024 * 1024;
constexpr Duration kRefundAfter = seconds(5);
constexpr Duration kAskAgain = seconds(5);

}  // namespace

void Mux::up_v1(Time now) {
  const uint32_t mine = config_.opens < peer_channels_ ? config_.opens : peer_channels_;
  reserve_base((mine + uint32_t{config_.accepts}) * blocks_for(config_.first_credit));
  set_numbers(0, mine);
  go_up(now);
}

// ACK frees the ring. It always falls on a packet's end.
Err Mux::ack_v1(uint64_t position) {
  if (position < tx_.head()) return Err::none;
  if (position > sent_) return Err::bad_ack;
  uint64_t at = tx_.head();
  while (at < position) at = packet_end(at);
  if (at != position) return Err::bad_ack;
  tx_.release(position);
  return Err::none;
}

Err Mux::packet_v1(const Header& h, Bytes payload, Run& run, Time now) {
  const Type type = static_cast<Type>(h.type);
  // The asker has our answer, but not who still says HELLO, or asks again.
  if (ring_open_ && type != Type::hello && type != Type::settings) confirmed_ = true;
  if (h.version != kNumbered) {
    switch (type) {
      case Type::hello:
        if (parse_hello_word(payload).nonce == peer_nonce_) {
          // Who asks is not up and has not heard ours, or one of an earlier link behind it.
          if (start_.lossy && !is_asker()) hello_due_ = true;
          return Err::none;
        }
        return hello_again(payload, now);
      case Type::settings: return settings_v1(payload, now);
      case Type::ack: {
        if (start_.lossy) return Err::bad_type;  // each frame has one
        if (state_ != State::up && state_ != State::closing) return Err::bad_state;
        const Err e = ack_v1(load64(payload.data));
        if (e == Err::none && windowed()) window_.acked(tx_.head(), rx_numbered_, now);
        return e;
      }
      case Type::repeat:
        return start_.lossy && ring_open_ ? send_again(load64(payload.data), load64(payload.data + 8)) : Err::bad_type;
      case Type::echo:
        if (state_ != State::up && state_ != State::closing) return Err::bad_state;
        memcpy(echook_, payload.data, 8);
        window_.asked(load64(payload.data), now);
        echook_size_ = 8;
        echook_said_ = echook_raid_ = kNone;
        echook_due_ = true;
        return Err::none;
      case Type::echook:
        if (echo_sent_ != kNever && load64(payload.data) == static_cast<uint64_t>(echo_sent_.us)) {
          if (now > echo_sent_) {
            rtt_ = now - echo_sent_;
            rtt_at_ = now;
            window_.echoed(rtt_, now);
          }
          echo_sent_ = kNever;
        }
        return Err::none;
      case Type::bye: return on_bye(payload);
      case Type::hellook: return state_ == State::up ? Err::bad_state : Err::none;
      default: return Err::bad_type;
    }
  }
  if (!ring_open_) return Err::bad_state;
  if (type != Type::send) flush(run, now);
  const bool theirs = h.said != kNone;
  if (type == Type::connect) return connect_v1(h, payload, now);
  if (type == Type::bind) return bind_v1(h, payload, now);
  const uint16_t number = theirs ? h.said : h.raid;
  Channel* c = nullptr;
  if (theirs) {
    if (number < config_.accepts && theirs_[number] != 0) c = &slots_[opens_ + theirs_[number] - 1];
  } else if (number < fresh_mine_ && slots_[number].life != Life::free && slots_[number].life != Life::orphan) {
    c = &slots_[number];
  }
  if (c == nullptr) return Err::bad_id;
  if (c->peer_closed) return Err::bad_state;  // behind its CLOSE
  if ((c->due & kDueConnect) != 0) return Err::bad_state;  // it can't know of this channel
  if (c->bind) return packet_of_bind(*c, type, payload);
  if (c->mine && c->life == Life::opening && type != Type::connected && type != Type::close) return Err::bad_state;
  if (c->udp && type != Type::connected && type != Type::close) {  // datagrams have no credit and no FIN
    if (type != Type::dgram && type != Type::part) return Err::bad_state;
    return datagram_v1(*c, payload, type == Type::dgram, now);
  }
  switch (type) {
    case Type::connected:
      if (!c->mine || (c->life != Life::opening && c->life != Life::closing)) return Err::bad_state;
      if (c->life == Life::closing) return Err::none;
      c->life = Life::open;
      --opening_;
      events_.on_opened(id_of(*c));
      return Err::none;
    case Type::send:
    case Type::sendoob:
      if (c->rx != Rx::data) return Err::bad_state;
      if (h.length > c->rx_credit) return Err::credit_overrun;
      c->rx_credit -= h.length;
      if (c->life == Life::closing) return Err::none;  // aborted here: read and dropped
      if (type == Type::sendoob) {
        urgent(*c, payload.data[0], now);
        return Err::none;
      }
      if (!run.takes(*c)) {
        flush(run, now);
        if (c->life == Life::closing) return Err::none;
        run.begin(*c);
      }
      run.add_parts();
      return Err::none;
    case Type::credit: {
      const uint32_t more = load32(payload.data);
      if (more == 0 || more >= 0x80000000u - c->tx_credit) return Err::credit_overrun;
      c->tx_credit += more;
      if (c->life != Life::closing && c->tx <= Tx::data && !c->running()) timers_.start(*c, now + kRefundAfter);
      send_or_ask(*c);
      return Err::none;
    }
    case Type::refund: {
      const uint32_t back = load32(payload.data);
      if (back == 0 || back > c->rx_credit) return Err::credit_overrun;
      c->rx_credit -= back;
      const uint32_t out = c->rx_credit + static_cast<uint32_t>(c->queue.size());
      c->rx_window = out > config_.first_credit ? out : config_.first_credit;
      c->window_at = Time{};
      shrink(*c);
      return Err::none;
    }
    case Type::fin:
      if (c->rx != Rx::data) return Err::bad_state;
      c->rx = Rx::end;
      c->rx_credit = 0;
      clear_due(*c, kDueCredit);
      shrink(*c);
      if (c->life != Life::closing) settle(*c);
      return Err::none;
    case Type::close: return close_v1(*c, payload);
    case Type::dgram:
    case Type::part:
      if (!kHasUdp && c->life == Life::closing) return Err::none;  // its CONNECT was refused, and it may not have heard of that
      return Err::bad_state;
    default: return Err::bad_state;  // of BIND
  }
}

Err Mux::connect_v1(const Header& h, Bytes payload, Time now) {
  const uint16_t number = h.said;
  if (number >= config_.accepts) return Err::bad_id;
  if (theirs_[number] != 0) return Err::bad_state;
  OpenInfo info;
  bool unsupported = false;
  const Err e = parse_connect_fields(payload, &info, &unsupported);
  if (e != Err::none) return e;
  Channel* c = take_slot(false, now);
  SMX_CHECK(c != nullptr);  // there are more slots than numbers, and orphans make way
  theirs_[number] = static_cast<uint16_t>(index_of(*c) - opens_ + 1);
  set_client(*c, info.client);
  c->number = number;
  c->life = Life::opening;
  c->udp = info.udp;
  c->sent_at = now;
  if (!c->udp) {
    c->rx_credit = c->rx_window = config_.first_credit;
    c->tx_credit = peer_credit_;
  }
  ++stats_.accepted;
  if (unsupported || state_ == State::closing) {
    ++stats_.refused;
    c->tx = Tx::done;
    close_later(*c, state_ == State::closing ? CloseCode::shutdown : CloseCode::unsupported);
    return Err::none;
  }
  c->attached = true;
  events_.on_open(id_of(*c), info);
  return Err::none;
}

Err Mux::close_v1(Channel& c, Bytes payload) {
  const CloseCode code = close_code(payload.data[0]);
  const bool ours_is_out = c.life == Life::closing && (c.due & kDueClose) == 0;
  forget_pieces(c, true);
  if (code == CloseCode::done && !c.bind && !c.udp) {
    // All of mine is delivered over there, and all of theirs was sent: it must not come before my FIN.
    if (c.life == Life::opening || (c.tx != Tx::done && c.life != Life::closing)) return Err::bad_state;
    c.peer_closed = true;
    if (ours_is_out) {
      release(c);
      return Err::none;
    }
    if (c.life == Life::closing) return Err::none;
    if (c.rx == Rx::data) c.rx = Rx::end;
    c.rx_credit = 0;
    clear_due(c, kDueCredit);
    shrink(c);
    settle(c);  // makes our CLOSE due once the rest is delivered
    return Err::none;
  }
  if (c.attached) {
    detach(c);
    ++(c.life == Life::opening ? stats_.refused : stats_.aborted);
    events_.on_abort(id_of(c), code);
  }
  forget_pieces(c, false);
  c.queue.clear(pool_);
  c.sched.leave();
  if (ours_is_out) {
    release(c);
    return Err::none;
  }
  timers_.stop(c);
  c.peer_closed = true;
  c.tx = Tx::done;
  clear_due(c, 0xff);
  close_later(c, c.life == Life::closing ? c.close : code);
  return Err::none;
}

// The round trip may be another one by now, or was measured while the line was full.
void Mux::ask_round_trip(Time now, Duration again) {
  if (echo_sent_ != kNever || now - rtt_at_ < again) return;
  rtt_at_ = now;
  echo_due_ = true;
}

// How much credit CREDIT gives now; grows the window before. Source: sockmux(7), "Credit".
uint32_t Mux::credit_to_give(Channel& c, Time now) {
  const uint32_t free_blocks = pool_.count() - committed_;
  uint32_t wanted = c.rx_window;
  const bool half = c.rx_taken >= c.rx_window / 2;
  if (c.window_at == Time{}) {
    if (free_blocks > (pool_.count() - base_committed_) / 2) wanted = kBoost;
  } else if (half && now - c.window_at < Duration{rtt_.us * 2 > 10000 ? rtt_.us * 2 : 10000}) {
    wanted = c.rx_window * 2;
    if (wanted > free_blocks / 4 * kBlock) wanted = free_blocks / 4 * kBlock;
    // Where that is not what the line brings, at once what it brings: CREDIT is 1/8 late, and the line has a queue.
    const uint64_t line = arrivals_.rate() == 0 ? 0 : bytes_in(arrivals_.rate(), Duration{rtt_.us / 4 * 5}) + kBoost;
    const uint64_t share = uint64_t{(free_blocks + c.blocks) / 2} * kBlock;
    const uint64_t far = line < share ? line : share;
    if (far > wanted) wanted = static_cast<uint32_t>(far < kLargestWindow ? far : kLargestWindow);
  }
  if (wanted > kLargestWindow) wanted = kLargestWindow;
  if (wanted > c.rx_window && commit(c, blocks_for(wanted) - blocks_for(c.rx_window))) c.rx_window = wanted;
  if (half && windowed()) ask_round_trip(now, kAskAgain);
  if (half || c.window_at == Time{}) {
    c.window_at = now;
    c.rx_taken = 0;
  }
  const uint32_t out = c.rx_credit + static_cast<uint32_t>(c.queue.size());
  return out < c.rx_window ? c.rx_window - out : 0;
}

// A sender with nothing to send gives back what it holds above the first credit. Source: sockmux(7), "Credit".
void Mux::timer_v1(Channel& c, Time now) {
  const bool may = c.tx == Tx::data || (c.tx == Tx::waiting && c.life == Life::opening);
  if (!may || c.life == Life::closing || c.tx_credit <= peer_credit_) return;
  const Time due = c.sent_at + kRefundAfter;
  if (c.tx == Tx::waiting || c.sched.listed() || now < due) {
    timers_.start(c, now < due ? due : now + kRefundAfter);
  } else {
    set_due(c, kDueRefund);
  }
}

// Makes the packets that the channel owes.
void Mux::emit_v1(Channel& c, Time now) {
  uint8_t payload[128];  // CONNECT takes 58 at most
  const uint8_t due = c.due;
  c.due = 0;
  if (start_.lossy && (due & ~(kDueCredit | kDueRefund)) != 0) line_->short_one = true;
  const uint16_t said = c.mine ? c.number : kNone;
  const uint16_t raid = c.mine ? kNone : c.number;
  const auto put = [&](Type type, size_t n) {
    put_packet({kNumbered, static_cast<uint8_t>(type), said, raid, static_cast<uint16_t>(n)}, payload);
  };
  if (c.bind) {
    emit_bind(c, due);
  } else if ((due & kDueConnect) != 0) {
    OpenInfo info;
    events_.describe(id_of(c), &info);
    info.udp = c.udp;
    put(Type::connect, make_connect_fields(info, payload, sizeof payload));
  }
  if ((due & kDueConnected) != 0 && !c.bind) put(Type::connected, 0);
  const bool opened = (due & (kDueConnect | kDueConnected)) != 0;
  if ((opened || (due & kDueCredit) != 0) && c.rx == Rx::data && !c.udp && (due & kDueClose) == 0) {
    const uint32_t credit = credit_to_give(c, now);
    if (credit > 0) {
      store32(payload, credit);
      put(Type::credit, 4);
      c.rx_credit += credit;
    }
  }
  if ((due & kDueRefund) != 0 && c.tx == Tx::data && c.tx_credit > peer_credit_) {
    store32(payload, c.tx_credit - peer_credit_);
    put(Type::refund, 4);
    c.tx_credit = peer_credit_;
  }
  if (opened) send_or_ask(c);
  if ((due & kDueFin) != 0 && c.tx == Tx::end_due) {
    const bool closes = (due & kDueClose) != 0 && c.close == CloseCode::done;  // which counts as FIN
    if (!closes) put(Type::fin, 0);
    c.tx = Tx::done;
  }
  if ((due & kDueClose) != 0) {
    payload[0] = static_cast<uint8_t>(c.close);
    put(Type::close, 1);
    if (c.peer_closed) release(c);
  }
}

}  // namespace smx
