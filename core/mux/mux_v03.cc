// Dialect 0.3: the protocol of DeleGate 9. Read next: mux.cc; sockmux(7), "SockMux 0.3".
#include <string.h>

#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

bool is_none(uint16_t id) { return id == kNone03 || id == kNone; }

// First data that ride in CONNECT: what a client sends at once is seldom more.
constexpr size_t kFirstData = 4096;
constexpr uint32_t kFirstId = 2;
// CLOSE's text when the local socket was reset. A DeleGate does not look at it, and never says it.
constexpr std::string_view kReset = "reset";
constexpr uint32_t kIdLimit = 255;
// How long the peer waits for CLOSED while we still have its data.
constexpr Duration kFlush = seconds(3);

}  // namespace

void Mux::up_v03(Time now) {
  // Each channel may bring 5 packets before it stops, and one in CONNECT: what is announced must fit in memory.
  const uint64_t most = pool_.count() * kBlock / (2 * kMostChannels03) / 6;
  my_packet_ = config_.packet_size;
  if (my_packet_ > most) my_packet_ = static_cast<uint32_t>(most);
  if (my_packet_ < kFirstPacket03) my_packet_ = kFirstPacket03;
  setopt_due_ = true;
  set_numbers(kFirstId, kIdLimit);
  go_up(now);
}

// Memory for all that the peer may send before it must wait. Orphans that stand in the way go.
bool Mux::commit_v03(Channel& c) {
  const uint32_t blocks = blocks_for(6u * my_packet_);
  if (blocks > free_blocks() + orphan_blocks_) return false;
  while (blocks > free_blocks() && drop_orphan(0, slots())) {
  }
  if (!commit(c, blocks)) return false;
  c.rx_credit = c.rx_window = 5 * my_packet_;
  return true;
}

// The local side is at its end. A client may have shut one direction only, and the answer is still to come; a server
// that ends has ended. While the peer has not yet delivered what we sent, CLOSE would make it throw that away.
void Mux::linger_v03(Channel& c, Time now) {
  if (c.tx != Tx::end_due || c.life != Life::open || c.tx_credit > 0 || !c.queue.empty()) return;
  timers_.start(c, now + (c.mine ? config_.linger : millis(50)));
}

// The silence after an end of file is over, or the peer has waited long enough for CLOSED.
void Mux::timer_v03(Channel& c) {
  if (c.life == Life::ended) return set_due(c, kDueClosed);
  // What our socket has not taken yet, or the peer's has not, keeps the channel: drain() and SENT start the timer again.
  if (c.life != Life::open || c.tx != Tx::end_due || !c.queue.empty() || c.tx_credit > 0) return;
  c.life = Life::closing;
  c.tx = Tx::done;
  c.rx = Rx::done;
  if (c.attached) {
    const ChannelId id = id_of(c);
    detach(c);
    events_.on_end(id);
    events_.on_done(id);
  }
  close_later(c, CloseCode::done);
}

Err Mux::packet_v03(const Header& h, Bytes payload, Run& run, Time now) {
  const Type type = static_cast<Type>(h.type);
  if (type != Type::send) flush(run, now);
  switch (type) {
    case Type::hello: return hello_again(payload, now);
    case Type::hellook:
      if (hellook_seen_) return Err::none;
      hellook_seen_ = true;
      if (state_ != State::hellook) return Err::bad_state;
      ++hellook_due_;
      up_v03(now);
      return Err::none;
    case Type::noop: return Err::none;
    case Type::setopt: setopt_v03(payload); return Err::none;
    case Type::crypton: return Err::encrypted;
    case Type::echo:
      memcpy(echook_, payload.data, payload.size);
      echook_size_ = static_cast<uint8_t>(payload.size);
      echook_said_ = h.raid;
      echook_raid_ = h.said;
      echook_due_ = true;
      return Err::none;
    case Type::echook:
      if (echo_sent_ != kNever && now > echo_sent_) rtt_ = now - echo_sent_;
      echo_sent_ = kNever;
      return Err::none;
    case Type::connect: return connect_v03(h, payload, now);
    default: break;
  }
  // The rest names one of our channels. An answer to our "No server" may come with no id at all.
  if (is_none(h.raid) && type != Type::send && type != Type::sendoob && type != Type::connected) return Err::none;
  if (is_none(h.raid) || h.raid >= 256) return Err::bad_id;
  Channel* c = h.raid < fresh_mine_ ? &slots_[h.raid] : nullptr;
  if (c != nullptr && (c->life == Life::free || c->life == Life::orphan)) c = nullptr;
  switch (type) {
    case Type::connected: {
      if (c == nullptr || !c->mine || c->life != Life::opening || (c->due & kDueConnect) != 0) return Err::bad_state;
      Address server, local;
      size_t used = 0;
      const Err e = parse_connect_text(payload, &server, &local, &used);
      if (e != Err::none) return e;
      if (is_none(h.said) || h.said >= 256 || theirs_[h.said] != 0) return Err::bad_id;
      if (payload.size - used > my_packet_) return Err::credit_overrun;
      theirs_[h.said] = static_cast<uint16_t>(h.raid + 1);
      c->peer_number = h.said;
      --opening_;
      if (!c->attached) {  // its client has gone meanwhile
        c->life = Life::closing;
        c->tx = Tx::done;
        set_due(*c, kDueClose);
        return Err::none;
      }
      c->life = Life::open;
      if (c->tx == Tx::waiting) c->tx = Tx::data;
      linger_v03(*c, now);
      events_.on_opened(id_of(*c));
      if (payload.size > used && c->udp) {
        const Bytes first{payload.data + used, payload.size - used};
        deliver(*c, &first, 1, now);
      } else if (payload.size > used && c->attached) {
        const Bytes first{payload.data + used, payload.size - used};
        keep(*c, &first, 1, 0);
        count_rx(*c, first.size, now);
        c->first_data = static_cast<uint16_t>(first.size);
        if (!drain(id_of(*c), now)) return Err::none;
        if (wants_write(id_of(*c))) events_.on_wants(id_of(*c));
      }
      send_or_ask(*c);
      return Err::none;
    }
    case Type::send:
    case Type::sendoob:
      if (c == nullptr) return Err::bad_id;
      if (c->life == Life::opening && c->mine) return Err::bad_state;
      if (c->life == Life::closing || c->life == Life::ended) return Err::none;  // closed: what still comes is ignored
      if (c->udp) {
        // Nothing of it stays here, so that no bound is needed.
        const Bytes piece[2] = {{run.part[0].data, run.parts > 0 ? run.part[0].size : 0}, {run.part[1].data, run.parts > 1 ? run.part[1].size : 0}};
        if (type == Type::sendoob) c->oob_taken += h.length;
        c->rx_taken += h.length;
        if (h.length > 0) set_due(*c, kDueCredit);
        deliver(*c, piece, run.parts, now);
        return Err::none;
      }
      if (h.length > c->rx_credit) return Err::credit_overrun;
      c->rx_credit -= h.length;
      linger_v03(*c, now);
      if (type == Type::sendoob) c->oob_taken += h.length;
      if (h.length == 0) return Err::none;
      if (type == Type::sendoob) {  // of several, TCP can only say it of the last
        const Bytes before{payload.data, payload.size - 1u};
        if (before.size > 0) {
          run.begin(*c);
          run.add(before);
          flush(run, now);
        }
        urgent(*c, payload.data[before.size], now);
        return Err::none;
      }
      if (!run.takes(*c)) {
        flush(run, now);
        if (c->life != Life::open && c->life != Life::opening) return Err::none;
        run.begin(*c);
      }
      run.add_parts();
      return Err::none;
    case Type::sent:
    case Type::sentoob: {
      uint32_t count = 0;
      const Err e = parse_count(payload, &count);
      if (e != Err::none) return e;
      if (c == nullptr) return Err::none;  // late, behind CLOSE
      // A peer may count the first data of CONNECT, which we do not.
      c->tx_credit -= count < c->tx_credit ? count : c->tx_credit;
      linger_v03(*c, now);
      send_or_ask(*c);
      return Err::none;
    }
    case Type::close:
      if (c == nullptr) return Err::none;  // crossed with ours, and answered already
      return close_v03(h, payload, now);
    case Type::closed:
      if (c != nullptr && c->life == Life::closing && (c->due & kDueClose) == 0) release(*c);
      return Err::none;
    default: return Err::none;
  }
}

Err Mux::connect_v03(const Header& h, Bytes payload, Time now) {
  if (state_ != State::up) return Err::bad_state;
  if (is_none(h.said) || h.said >= 256) return Err::bad_id;
  if (theirs_[h.said] != 0) return Err::bad_id;
  OpenInfo info;
  size_t used = 0;
  const Err e = parse_connect_text(payload, &info.client, &info.local, &used);
  if (e != Err::none) return e;
  const size_t first = payload.size - used;
  if (first > my_packet_) return Err::credit_overrun;
  Channel* c = take_slot(false, now);
  if (c == nullptr) return Err::bad_id;  // more than 253 at once: no peer has so many slots
  set_client(*c, info.client);
  c->life = Life::opening;
  c->number = static_cast<uint16_t>(index_of(*c));
  c->peer_number = h.said;
  theirs_[h.said] = static_cast<uint16_t>(c->number + 1);
  ++stats_.accepted;
  const bool fits = commit_v03(*c);
  if (!can_open()) room_wanted_ = true;
  if (!fits) {
    ++stats_.refused;
    close_later(*c, CloseCode::limit);
    return Err::none;
  }
  c->attached = true;
  if (first > 0) {
    const Bytes data{payload.data + used, first};
    keep(*c, &data, 1, 0);
    c->first_data = static_cast<uint16_t>(first);
  }
  events_.on_open(id_of(*c), info);
  return Err::none;
}

Err Mux::close_v03(const Header& h, Bytes payload, Time now) {
  Channel& c = slots_[h.raid];
  switch (c.life) {
    case Life::opening:
      if (!c.mine) return Err::bad_state;
      if (c.attached) {  // refused
        detach(c);
        ++stats_.refused;
        events_.on_abort(id_of(c), CloseCode::no_server);
      }
      release(c);
      return Err::none;
    case Life::closing:
      if ((c.due & kDueClose) == 0) {
        release(c);  // both have said it: no CLOSED is owed
        return Err::none;
      }
      c.life = Life::ended;
      clear_due(c, 0xff);
      set_due(c, kDueClosed);
      return Err::none;
    case Life::open:
      c.sched.leave();
      timers_.stop(c);
      c.life = Life::ended;
      c.tx = Tx::done;
      c.rx = Rx::end;
      clear_due(c, 0xff);
      if (!c.udp && as_text(payload) == std::string_view(kReset.data(), kReset.size() + 1)) {
        c.rx = Rx::done;
        c.queue.clear(pool_);
        c.urgent_at = 0;
        set_due(c, kDueClosed);
        if (!c.attached) return Err::none;
        detach(c);
        ++stats_.aborted;
        events_.on_abort(id_of(c), CloseCode::reset);
        return Err::none;
      }
      if (!c.queue.empty()) timers_.start(c, now + kFlush);
      settle(c);
      return Err::none;
    case Life::ended: return Err::bad_state;
    case Life::free:
    case Life::orphan: return Err::none;
  }
  return Err::none;
}

void Mux::setopt_v03(Bytes payload) {
  if (payload.data[0] == kOptPackSize && payload.size >= 3) {
    const uint16_t size = load16(payload.data + 1);
    if (size <= 128) return;
    const bool more = size > peer_packet_;
    peer_packet_ = size < kMaxPacket ? size : kMaxPacket;
    if (more) for_each_used([this](Channel& c) { send_or_ask(c); });
  } else if (payload.data[0] == kOptConnData && payload.size >= 2) {
    peer_conndata_ = payload.data[1] != 0;
  }
}

// Makes the packets that the channel owes.
void Mux::emit_v03(Channel& c, Time now) {
  uint8_t payload[128];
  const uint8_t due = c.due;
  c.due = 0;
  const auto put = [&](Type type, uint16_t said, uint16_t raid, size_t n) {
    put_packet({kVersion03, static_cast<uint8_t>(type), said, raid, static_cast<uint16_t>(n)}, payload);
  };
  const auto put_text = [&](Type type, uint16_t said, std::string_view text) {
    memcpy(payload, text.data(), text.size());
    payload[text.size()] = 0;
    put(type, said, c.peer_number, text.size() + 1);
  };
  const uint16_t peer = c.peer_number == kNone ? kNone03 : c.peer_number;
  if ((due & (kDueConnect | kDueConnected)) != 0) {
    OpenInfo info;
    events_.describe(id_of(c), &info);
    const size_t text = make_connect_text(info.client, info.local, payload);
    const Type type = (due & kDueConnect) != 0 ? Type::connect : Type::connected;
    Header h{kVersion03, static_cast<uint8_t>(type), c.number, peer, static_cast<uint16_t>(text)};
    Pulled p;
    c.readable = c.readable || c.udp;
    if (type == Type::connect && peer_conndata_ && peer_packet_ > kHeader + text && c.udp) {
      MutBytes part[2];
      size_t room = peer_packet_ - kHeader - text;
      if (room > kFirstData) room = kFirstData;
      const int parts = tx_.view(tx_.tail() + kHeader + text, room, part);
      const PulledDatagram d = events_.on_pull_datagram(id_of(c), part, parts, largest_datagram());
      p.size = d.size;
      if (d.state == PulledDatagram::State::error) {
        detach(c);
        return release(c);
      }
      if (d.state == PulledDatagram::State::one) c.talk = 1, ++(d.size > 0 ? stats_.tx_datagrams : stats_.empty_datagrams);
    } else if (type == Type::connect && peer_conndata_ && peer_packet_ > kHeader + text) {
      MutBytes part[2];
      size_t room = peer_packet_ - kHeader - text;
      if (room > kFirstData) room = kFirstData;
      if (room > pace_.largest) room = pace_.largest;
      const int parts = tx_.view(tx_.tail() + kHeader + text, room, part);
      p = events_.on_pull(id_of(c), part, parts);
      SMX_CHECK(!p.urgent);  // CONNECT can't say it
      c.readable = p.state == Pulled::State::more;
      if (p.state == Pulled::State::error) {
        detach(c);
        return release(c);  // nobody knows of it yet
      }
    }
    h.length = static_cast<uint16_t>(text + p.size);
    tx_.copy_in(tx_.tail() + kHeader, payload, text);
    append_packet(h);
    count_tx(c, p.size, now);
    if (p.state == Pulled::State::end) end_of_local(c, now);
    if (type == Type::connected) send_or_ask(c);
  }
  if ((due & kDueCredit) != 0 && c.rx_taken > 0 && c.life == Life::open) {
    uint32_t count = c.rx_taken;
    const uint32_t oob = c.oob_taken < count ? c.oob_taken : count;
    if (!c.udp) c.rx_credit += count;
    c.rx_taken = 0;
    count -= oob;
    c.oob_taken -= oob;
    Text<16> text;
    if (count > 0) put_text(Type::sent, c.number, text.add_u(count).text());
    text.clear();
    if (oob > 0) put_text(Type::sentoob, c.number, text.add_u(oob).text());
  }
  if ((due & kDueClose) != 0) {
    const bool refused = c.tx == Tx::waiting;
    const bool reset = !c.udp && c.close != CloseCode::done;
    put_text(Type::close, refused ? kNone03 : c.number, refused ? "No server" : reset ? kReset : "DO close");
    if (refused) release(c);
    return;
  }
  if ((due & kDueClosed) != 0) {
    put_text(Type::closed, c.number, "OK closed");
    if (c.queue.empty()) {
      SMX_CHECK(!c.attached);
      release(c);
    } else {
      make_orphan(c);  // the peer may use its id again; our socket still gets what came
      note_room();
    }
  }
}

}  // namespace smx
