// BIND in SockMux 1: a channel by which one side asks the other to listen, and which carries nothing but that.
//
//   ours:    opening --BINDOK--> open --abort(), or the peer's CLOSE--> as every channel
//   theirs:  opening --bound()--> open --abort(), or the peer's CLOSE--> as every channel
//
// Invariant: such a channel has no credit and no queue, rx is done and tx never becomes data, so that nothing can be sent or
// received on it. Read next: mux_v1.cc; sockmux(7), "BIND".
#include "core/mux/mux.h"

namespace smx {

ChannelId Mux::open_bind(Time now) {
  SMX_CHECK(can_bind());
  Channel* c = take_slot(true, now);
  SMX_CHECK(c != nullptr);
  c->mine = true;
  c->bind = true;
  c->attached = true;
  c->life = Life::opening;
  c->rx = Rx::done;
  c->number = static_cast<uint16_t>(index_of(*c));
  c->sent_at = now;
  ++opening_;
  ++stats_.opened;
  set_due(*c, kDueConnect);
  if (!can_open()) room_wanted_ = true;
  return id_of(*c);
}

void Mux::bound(ChannelId id) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached || !c->bind || c->mine || c->life != Life::opening) return;
  c->life = Life::open;
  set_due(*c, kDueConnected);
}

uint16_t Mux::number_of(ChannelId id) const {
  const Channel* c = find(id);
  return c == nullptr || dialect_ != Dialect::v1 ? kNone : c->number;
}

bool Mux::find_mine(uint16_t number, ChannelId* out) const {
  if (dialect_ != Dialect::v1 || number >= fresh_mine_) return false;
  const Channel& c = slots_[number];
  if (!c.attached || !c.mine || c.life == Life::orphan) return false;
  *out = id_of(c);
  return true;
}

bool Mux::is_bind(ChannelId id) const {
  const Channel* c = find(id);
  return c != nullptr && c->bind;
}

// The peer asks us to listen.
Err Mux::bind_v1(const Header& h, Bytes payload, Time now) {
  const uint16_t number = h.said;
  if (number >= config_.accepts) return Err::bad_id;
  if (theirs_[number] != 0) return Err::bad_state;
  OpenInfo info;
  bool unsupported = false;
  const Err e = parse_bind_fields(payload, &info, &unsupported);
  if (e != Err::none) return e;
  Channel* c = take_slot(false, now);
  SMX_CHECK(c != nullptr);  // as in connect_v1()
  theirs_[number] = static_cast<uint16_t>(index_of(*c) - opens_ + 1);
  c->bind = true;
  c->number = number;
  c->life = Life::opening;
  c->rx = Rx::done;
  ++stats_.accepted;
  if (!kHasBind && !kHasFtp) unsupported = true;
  if (unsupported || state_ == State::closing) {
    ++stats_.refused;
    close_later(*c, state_ == State::closing ? CloseCode::shutdown : CloseCode::unsupported);
    return Err::none;
  }
  c->attached = true;
  const ChannelId id = id_of(*c);
  if (!events_.on_bind(id, info)) refuse(id, CloseCode::forbidden);
  return Err::none;
}

// What comes on a channel of BIND, behind its BIND. Everything but these two is the peer's error.
Err Mux::packet_of_bind(Channel& c, Type type, Bytes payload) {
  if (type == Type::close) return close_v1(c, payload);
  if (type != Type::bindok || !c.mine || (c.life != Life::opening && c.life != Life::closing)) return Err::bad_state;
  Address at;
  const Err e = parse_bindok_fields(payload, &at);
  if (e != Err::none) return e;
  if (c.life == Life::closing) return Err::none;
  c.life = Life::open;
  --opening_;
  events_.on_bound(id_of(c), at);
  return Err::none;
}

void Mux::emit_bind(Channel& c, unsigned due) {
  if ((due & (kDueConnect | kDueConnected)) == 0) return;
  uint8_t payload[64];
  OpenInfo info;
  events_.describe(id_of(c), &info);
  const bool asks = (due & kDueConnect) != 0;
  const size_t n = asks ? make_bind_fields(info, payload, sizeof payload) : make_bindok_fields(info.local, payload, sizeof payload);
  const uint16_t said = c.mine ? c.number : kNone;
  const uint16_t raid = c.mine ? kNone : c.number;
  put_packet({kNumbered, static_cast<uint8_t>(asks ? Type::bind : Type::bindok), said, raid, static_cast<uint16_t>(n)}, payload);
}

}  // namespace smx
