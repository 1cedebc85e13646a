// Channels: their slots, what their owners ask for, and how they end in both dialects. Read next: channel.h, mux_v03.cc and
// mux_v1.cc (what the peer asks for).
#include "core/mux/mux.h"

#include <string.h>

#include "core/mux/run.h"

namespace smx {

namespace {
constexpr uint32_t kLargeCredit = 64 * 1024;
}  // namespace

// ---- slots

Channel* Mux::find(ChannelId id) {
  if (id.slot >= slots()) return nullptr;
  Channel& c = slots_[id.slot];
  return c.generation == id.generation && c.life != Life::free ? &c : nullptr;
}
const Channel* Mux::find(ChannelId id) const { return const_cast<Mux*>(this)->find(id); }

// A free slot; an orphan goes if there is none. In 0.3 both sides' channels take their ids from ours.
Channel* Mux::take_slot(bool mine, Time now) {
  const bool own = mine || dialect_ == Dialect::v03;
  NearList<Channel, &Channel::sched>& list = own ? free_mine_ : free_theirs_;
  uint32_t& fresh = own ? fresh_mine_ : fresh_theirs_;
  const uint32_t limit = own ? number_limit_ : slots();
  // 0.3 takes ids that were never used first, so that a late packet seldom meets a new channel; 1 used memory.
  if (fresh < limit && (list.empty() || dialect_ == Dialect::v03)) {
    list.push_front(new (&slots_[fresh]) Channel);
    ++fresh;
  }
  if (list.empty()) (void)drop_orphan(own ? first_number_ : opens_, limit);
  Channel* c = list.front();
  if (c == nullptr) return nullptr;
  c->sched.leave();
  ++live_;
  if (ChannelFacts* facts = c->facts()) {
    *facts = ChannelFacts();
    facts->opened = facts->moved = ChannelFacts::tick(now);
  }
  return c;
}

const Channel* Mux::next_channel(uint32_t* slot, uint32_t* looks) const {
  for (; *looks > 0 && *slot < slots(); --*looks, ++*slot) {
    if (!is_made(*slot)) *slot = *slot < opens_ && fresh_theirs_ > opens_ ? opens_ : slots();
    if (*slot == slots()) return nullptr;
    if (slots_[*slot].life != Life::free) return &slots_[*slot];
  }
  return nullptr;
}

// Which of our slots are channels of this link: the others stay out of the free list.
void Mux::set_numbers(uint32_t first, uint32_t limit) {
  first_number_ = first;
  number_limit_ = limit;
  orphan_numbers_ = 0;
  while (Channel* c = free_mine_.front()) c->sched.leave();
  for (; fresh_mine_ < first; ++fresh_mine_) new (&slots_[fresh_mine_]) Channel;
  for (uint32_t i = first; i < fresh_mine_ && i < limit; ++i) {
    if (slots_[i].life == Life::free) free_mine_.push_back(&slots_[i]);
    if (slots_[i].life == Life::orphan) ++orphan_numbers_;
  }
}

// The link, or the peer's patience, is gone, but all that the peer had to say is here: it is still delivered.
void Mux::make_orphan(Channel& c) {
  SMX_CHECK(c.attached);
  if (dialect_ == Dialect::v03 && c.peer_number < 256) theirs_[c.peer_number] = 0;
  c.number = c.peer_number = kNone;
  c.life = Life::orphan;
  orphan_blocks_ += c.blocks;
  const uint32_t blocks = blocks_for(c.queue.size());
  if (blocks > c.blocks) {  // SockMux 1: the rest stood in base_committed_
    SMX_CHECK(blocks - c.blocks <= free_blocks());
    committed_ += blocks - c.blocks;
    orphan_blocks_ += blocks - c.blocks;
    c.blocks = blocks;
  }
  shrink(c);
  orphans_.push_back(&c);
  ++orphans_count_;
  const uint32_t index = index_of(c);
  if (index >= first_number_ && index < number_limit_) ++orphan_numbers_;
}

// The oldest orphan with a slot in [from, to) loses its data, so that others can live. False: there is none.
bool Mux::drop_orphan(uint32_t from, uint32_t to) {
  Channel* c = orphans_.front();
  while (c != nullptr && (index_of(*c) < from || index_of(*c) >= to)) c = orphans_.after(c);
  if (c == nullptr) return false;
  const ChannelId id = id_of(*c);
  detach(*c);
  ++stats_.aborted;
  events_.on_abort(id, CloseCode::limit);  // before its slot forgets whose it is
  release(*c);
  return true;
}

void Mux::note_room() {
  if (!room_wanted_ || !can_open()) return;
  room_wanted_ = false;
  events_.on_room();
}

// The end of a channel's life: lists, timer, numbers, memory.
void Mux::release(Channel& c) {
  SMX_CHECK(c.life != Life::free);
  SMX_CHECK(!c.attached);
  timers_.stop(c);
  c.sched.leave();
  c.due_node.leave();
  c.queue.clear(pool_);
  const uint32_t index = index_of(c);
  const bool usable = index >= opens_ || (index >= first_number_ && index < number_limit_);
  if (c.life == Life::opening && c.mine) --opening_;
  if (c.life == Life::orphan) {
    --orphans_count_;
    orphan_blocks_ -= c.blocks;
    if (index < opens_ && usable) --orphan_numbers_;
  } else if (dialect_ == Dialect::v03) {
    if (c.peer_number < 256 && theirs_[c.peer_number] == index + 1) theirs_[c.peer_number] = 0;
  } else if (!c.mine && c.number < config_.accepts && theirs_[c.number] == index - opens_ + 1) {
    theirs_[c.number] = 0;
  }
  committed_ -= c.blocks;
  set_owner(index, nullptr);
  c.reset();
  --live_;
  NearList<Channel, &Channel::sched>& list = index < opens_ ? free_mine_ : free_theirs_;
  if (usable) {
    if (dialect_ == Dialect::v03) {
      list.push_back(&c);
    } else {
      list.push_front(&c);
    }
  }
  note_room();
}

void Mux::set_due(Channel& c, uint8_t bits) {
  c.due = static_cast<uint8_t>(c.due | bits);
  if (!c.due_node.listed()) due_.push_back(&c);
}

void Mux::clear_due(Channel& c, unsigned bits) {
  c.due = static_cast<uint8_t>(c.due & ~bits);
  if (c.due == 0) c.due_node.leave();
}

// ---- for their owners

void Mux::set_owner(uint32_t slot, void* owner) {
  Channel& c = slots_[slot];
  if (!c.mine) theirs_owned_ = theirs_owned_ + (owner != nullptr) - (c.owner != nullptr);
  c.owner = owner;
}

bool Mux::can_open() const {
  if (state_ != State::up) return false;
  if (dialect_ == Dialect::v03)
    return live_ - orphans_count_ < kMostChannels03 && blocks_for(6u * my_packet_) <= free_blocks() + orphan_blocks_;
  return !free_mine_.empty() || fresh_mine_ < number_limit_ || orphan_numbers_ > 0;
}

uint32_t Mux::most_own() const { return dialect_ == Dialect::v03 ? kMostChannels03 : number_limit_; }

ChannelId Mux::open(Time now, bool udp) {
  SMX_CHECK(can_open());
  Channel* c = take_slot(true, now);
  SMX_CHECK(c != nullptr);
  c->mine = true;
  c->attached = true;
  c->udp = udp;
  c->readable = true;  // the first read is a try: what came with the connection goes out with CONNECT
  c->life = Life::opening;
  c->number = static_cast<uint16_t>(index_of(*c));
  c->sent_at = now;
  ++opening_;
  ++stats_.opened;
  if (dialect_ == Dialect::v03) {
    const bool fits = udp || commit_v03(*c);
    SMX_CHECK(fits);
  } else {
    if (!udp) {
      c->rx_credit = c->rx_window = config_.first_credit;
      c->tx_credit = peer_credit_;
    }
    c->tx = Tx::data;
    scheduler_.ready(*c);
  }
  set_due(*c, kDueConnect);
  if (!can_open()) room_wanted_ = true;
  return id_of(*c);
}

bool Mux::make_room(Time now) {
  if (state_ != State::up) return false;
  if (!can_open()) room_wanted_ = true;
  if (dialect_ != Dialect::v03) return end_idle_flow(now);
  Channel* oldest = nullptr;
  for_each_used([&](Channel& c) {
    const bool lingers = c.life == Life::open && c.tx == Tx::end_due && c.queue.empty() && c.tx_credit == 0 && c.running();
    if (lingers && (oldest == nullptr || c.deadline() < oldest->deadline())) oldest = &c;
  });
  // Who was heard of within the last second may still be about to answer.
  if (oldest == nullptr || oldest->deadline() > now + Duration{config_.linger.us - seconds(1).us}) return end_idle_flow(now);
  timers_.stop(*oldest);
  timer_v03(*oldest);
  return true;
}

void Mux::accept(ChannelId id, Time now) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached || c->life != Life::opening || c->mine) return;
  c->life = Life::open;
  c->tx = Tx::data;
  c->sent_at = now;
  set_due(*c, kDueConnected);
  if (dialect_ == Dialect::v03 && !c->udp) count_rx(*c, c->first_data, now);
  if (c->udp) return first_datagram(*c, now);
  if (wants_write(id)) events_.on_wants(id);
}

void Mux::refuse(ChannelId id, CloseCode code) {
  ++stats_.refused;
  abort(id, code);
}

void Mux::abort(ChannelId id, CloseCode code) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return;
  detach(*c);
  abort_local(*c, code);
}

// The owner is gone. What was read from it before is in the ring and goes out first.
void Mux::abort_local(Channel& c, CloseCode code) {
  SMX_CHECK(!c.attached);
  forget_pieces(c, false);
  c.queue.clear(pool_);
  c.sched.leave();
  timers_.stop(c);
  const bool unsent = c.life == Life::opening && c.mine && (c.due & kDueConnect) != 0;
  if (c.life == Life::orphan || unsent) return release(c);
  if (dialect_ == Dialect::v03) {
    c.close = code;
    if (c.life == Life::opening && c.mine) return clear_due(c, 0xff);  // CLOSE needs the peer's id: it waits for CONNECTED
    const bool unheard = !c.mine && (c.life == Life::opening || (c.due & kDueConnected) != 0);
    const bool ended = c.life == Life::ended;
    clear_due(c, 0xff);
    if (ended) return set_due(c, kDueClosed);
    c.tx = unheard ? Tx::waiting : Tx::done;  // waiting: the peer knows no id of ours, and gets "No server"
  } else {
    clear_due(c, 0xff);
    c.tx = Tx::done;
  }
  close_later(c, code);
  note_room();
}

void Mux::end_of_local(Channel& c, Time now) {
  c.tx = Tx::end_due;
  if (dialect_ == Dialect::v03) return linger_v03(c, now);
  timers_.stop(c);
  clear_due(c, kDueRefund);
  set_due(c, kDueFin);
  settle(c);
}

// ---- toward the peer

bool Mux::may_send(const Channel& c) const {
  if (state_ != State::up || !c.attached || c.tx != Tx::data) return false;
  if ((c.due & (kDueConnect | kDueConnected)) != 0) return false;
  return c.life == Life::open || (c.life == Life::opening && c.mine);
}

uint32_t Mux::send_room(const Channel& c) const {
  if (dialect_ == Dialect::v1) return c.udp ? static_cast<uint32_t>(kMaxPayload) : c.tx_credit;
  const uint32_t packet = static_cast<uint32_t>(peer_packet_);
  if (c.tx_credit > 4 * packet) return 0;  // sent and not acknowledged
  return 4 * packet + (packet - static_cast<uint32_t>(kHeader)) - c.tx_credit;
}

// The channel may send now: it goes to the scheduler if its socket is known to be readable, else the socket is asked.
void Mux::send_or_ask(Channel& c) {
  if (!may_send(c) || send_room(c) == 0) return;
  if (c.readable) {
    scheduler_.ready(c);
  } else {
    events_.on_wants(id_of(c));
  }
}

void Mux::local_readable(ChannelId id) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return;
  c->readable = true;
  if (may_send(*c) && send_room(*c) > 0) scheduler_.ready(*c);
}

bool Mux::wants_read(ChannelId id) const {
  const Channel* c = find(id);
  return c != nullptr && !c->readable && may_send(*c) && send_room(*c) > 0;
}

bool Mux::wants_write(ChannelId id) const {
  const Channel* c = find(id);
  if (c == nullptr || !c->attached || (c->queue.empty() && c->rx != Rx::end)) return false;
  return c->life == Life::open || c->life == Life::ended || c->life == Life::orphan;
}

// ---- toward the local socket

// The local socket took `n` bytes: the peer hears of it, at once in 0.3, at half of the window in 1. Of a large window 1/8 is
// enough, else a far line would need one that is twice what is under way.
void Mux::taken(Channel& c, size_t n) {
  if (n == 0 || c.life == Life::orphan) return;
  if (dialect_ == Dialect::v03) {
    const size_t first = n < c.first_data ? n : c.first_data;
    c.first_data = static_cast<uint16_t>(c.first_data - first);
    c.rx_taken += static_cast<uint32_t>(n - first);
    if (c.life == Life::open && c.rx_taken > 0) set_due(c, kDueCredit);
    return;
  }
  if (c.rx != Rx::data || c.life != Life::open) return;
  c.rx_taken += static_cast<uint32_t>(n < UINT32_MAX - c.rx_taken ? n : UINT32_MAX - c.rx_taken);
  const uint32_t out = c.rx_credit + static_cast<uint32_t>(c.queue.size());
  const uint32_t part = c.rx_window / 8 > kLargeCredit ? c.rx_window / 8 : kLargeCredit;
  if (out <= c.rx_window / 2 || (out < c.rx_window && c.rx_window - out >= part)) set_due(c, kDueCredit);
}

// What comes before the urgent byte, or that byte, is one step; the socket says when it takes the next.
Taken Mux::deliver_queued(Channel& c) {
  constexpr int kPieces = 64;
  Bytes piece[kPieces];
  int pieces = c.queue.view(pool_, piece, kPieces);
  if (c.urgent_at == 1) return events_.on_urgent(id_of(c), piece[0].data[0]);
  size_t room = c.urgent_at > 0 ? c.urgent_at - 1 : SIZE_MAX;
  for (int i = 0; i < pieces; ++i) {
    if (piece[i].size >= room) {
      piece[i].size = room;
      pieces = i + 1;
    }
    room -= piece[i].size;
  }
  return events_.on_data(id_of(c), piece, pieces);
}

bool Mux::drain(ChannelId id, Time now) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return false;
  if (!wants_write(id)) return true;
  if (!c->queue.empty()) {
    const Taken t = deliver_queued(*c);
    if (t.error) {
      detach(*c);
      abort_local(*c, CloseCode::reset);
      return false;
    }
    c->queue.pop(pool_, t.size);
    if (c->urgent_at > 0) c->urgent_at -= static_cast<uint32_t>(t.size);
    taken(*c, t.size);
    if (dialect_ == Dialect::v03) linger_v03(*c, now);
    if (c->rx == Rx::end) shrink(*c);
  }
  settle(*c);
  if (find(id) == nullptr || !c->attached) return false;
  note_room();
  return true;
}

// What follows from "nothing more is queued" and "an end has come", in both dialects.
void Mux::settle(Channel& c) {
  if (c.life == Life::opening) return;  // there is no server yet that could be told
  if (c.rx == Rx::end && c.queue.empty()) {
    c.rx = Rx::done;
    if (c.attached) events_.on_end(id_of(c));
  }
  if (c.rx != Rx::done) return;
  const bool over = c.life == Life::orphan || (dialect_ == Dialect::v03 && c.life == Life::ended) ||
                    (dialect_ == Dialect::v1 && c.life == Life::open && c.tx >= Tx::end_due);
  if (!over) return;
  if (c.attached) {
    detach(c);
    events_.on_done(id_of(c));
  }
  c.sched.leave();
  if (c.life == Life::orphan) return release(c);
  timers_.stop(c);
  if (dialect_ == Dialect::v03) return set_due(c, kDueClosed);
  close_later(c, CloseCode::done);
}

// Our CLOSE becomes due, behind what else is due but credit.
void Mux::close_later(Channel& c, CloseCode code) {
  if (c.life == Life::opening && c.mine) --opening_;
  c.life = Life::closing;
  c.close = code;
  shrink(c);
  clear_due(c, kDueCredit | kDueRefund);
  set_due(c, kDueClose);
}

}  // namespace smx
