// Datagrams: whole ones from a local socket into the tx ring, and from the link to their owner. What both dialects share.
//
//   SockMux 1: PART PART .. DGRAM, or DGRAM alone; no other datagram's packet in between; no credit
//   0.3:       one SEND is one datagram; SENT acknowledges it as any SEND
//
// Invariant: tx_datagram_ holds the rest of one datagram at most, and while it does none is read from any socket.
// Read next: mux_tx.cc (who is next), relay/udp_exit.h. Source: sockmux(7), "Datagrams".
#include <string.h>

#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

// A datagram that would occupy the line longer than this is dropped, so that others are not kept waiting.
constexpr uint64_t kLongestLineSeconds = 2;
// A flow that has been silent for less is not ended for a newcomer's sake, unless all that its client has asked is answered:
// an answer may be on its way.
constexpr Duration kFreshFlow = seconds(1);
// One makes room at a time. Its peer should let go of it within kRoomSoon; behind that others may have room sooner, and after kRoomLate
// one more is tried.
constexpr Duration kRoomSoon = seconds(1), kRoomLate = seconds(10);
// Channel::talk. As names are looked up: a socket for each question, or for two (A and AAAA). More than that is a
// conversation, whose client comes again.
//   0 --asks--> 1 --asks--> 2 --answer--> 3 --answer--> answered        1 --answer--> answered        else: more
constexpr uint8_t kAnswered = 4, kMore = 5;
constexpr uint8_t kAsks[] = {1, 2, kMore, kMore, kMore, kMore};
constexpr uint8_t kAnswer[] = {kMore, kAnswered, 3, kAnswered, kMore, kMore};
// A piece is smaller only if it is the last: so a nearly full ring makes no crumbs. On a slow line it is what the line's
// pace says, so that a key press need not wait for the whole; and on a lossy one what fits into the frame.
constexpr size_t kSmallestPiece = 128;

}  // namespace

// What this link takes; 0.3 carries no more than one packet of the peer's size.
size_t Mux::largest_datagram() const {
  const size_t most = dialect_ == Dialect::v1 ? kMaxDatagram : peer_packet_ - kHeader;
  const uint64_t line = uint64_t{start_.rate} * kLongestLineSeconds;
  return start_.rate != 0 && line < most ? static_cast<size_t>(line) : most;
}

// The channel's turn: one datagram goes into `space` bytes of the ring, and what does not fit into tx_datagram_. False: it
// has none, and has left the scheduler.
bool Mux::pull_datagram(Channel& c, size_t space, Time now) {
  const bool v1 = dialect_ == Dialect::v1;
  const size_t largest = largest_datagram();
  size_t first = largest < kMaxPayload ? largest : kMaxPayload;
  if (v1 && first > space - kHeader) first = space - kHeader;
  // Another one is in pieces, or was, and the CLOSE that says so is not out; or 0.3 has no room for a whole packet: behind the others, once the ring has drained.
  const bool waits = v1 ? tx_pieces_size_ > 0 || tx_cut_ : tx_.room() < kHeader + first;
  if (waits) {
    scheduler_.served(c, static_cast<size_t>(c.deficit));
    return true;
  }
  MutBytes piece[3];
  int pieces = tx_.view(tx_.tail() + kHeader, first, piece);
  if (largest > first) piece[pieces++] = {tx_datagram_, largest - first};
  const PulledDatagram p = events_.on_pull_datagram(id_of(c), piece, pieces, largest);
  switch (p.state) {
    case PulledDatagram::State::error:
      detach(c);
      abort_local(c, CloseCode::reset);
      return false;
    case PulledDatagram::State::none:
      c.readable = false;
      scheduler_.remove(c);
      events_.on_wants(id_of(c));
      return false;
    case PulledDatagram::State::one: break;
  }
  SMX_CHECK(p.size <= largest);
  c.sent_at = now;
  c.talk = kAsks[c.talk] & 7;
  if (!v1 && p.size == 0) {  // DeleGate may take a SEND of no bytes for an end of file
    ++stats_.empty_datagrams;
    scheduler_.served(c, kHeader);
    return true;
  }
  const size_t n = p.size < first ? p.size : first;
  append_packet(send_header(c, !v1 ? Type::send : p.size > first ? Type::part : Type::dgram, n));
  ++stats_.tx_datagrams;
  if (p.size > first) {
    tx_pieces_size_ = static_cast<uint32_t>(p.size - first);
    tx_pieces_at_ = 0;
    tx_pieces_slot_ = index_of(c);
  }
  if (!v1) c.tx_credit += static_cast<uint32_t>(p.size);
  count_tx(c, p.size, now);
  scheduler_.served(c, kHeader + p.size);
  if (send_room(c) == 0) scheduler_.remove(c);
  return true;
}

// More of the datagram that is in pieces: at most `space` bytes of the ring.
void Mux::put_pieces(size_t space) {
  const Channel& c = slots_[tx_pieces_slot_];
  const size_t rest = tx_pieces_size_ - tx_pieces_at_;
  size_t n = rest < kMaxPayload ? rest : kMaxPayload;
  if (n > space - kHeader) n = space - kHeader;
  SMX_CHECK(n == rest || start_.lossy || n >= kSmallestPiece);  // who calls has looked for room
  put_packet(send_header(c, n < rest ? Type::part : Type::dgram, n), tx_datagram_ + tx_pieces_at_);
  tx_pieces_at_ += static_cast<uint32_t>(n);
  if (n == rest) tx_pieces_size_ = tx_pieces_at_ = 0;
}

// A channel ends: what is left of its datagram is dropped. `rx`: the peer's CLOSE is here, the last of its packets.
void Mux::forget_pieces(const Channel& c, bool rx) {
  if (!c.udp) return;
  const uint32_t slot = index_of(c);
  if (tx_pieces_size_ > 0 && tx_pieces_slot_ == slot) {
    tx_pieces_size_ = tx_pieces_at_ = 0;
    tx_cut_ = true;
  }
  if (rx && rx_pieces_size_ > 0 && rx_pieces_slot_ == slot) rx_pieces_size_ = 0;
}

// DGRAM and PART. Pieces of a channel that was closed here are joined, too, since the rules go on until the peer's CLOSE.
Err Mux::datagram_v1(Channel& c, Bytes payload, bool last, Time now) {
  if (rx_pieces_size_ > 0 && rx_pieces_slot_ != index_of(c)) return Err::bad_state;
  if (last && rx_pieces_size_ == 0) {
    deliver(c, &payload, 1, now);
    return Err::none;
  }
  if (payload.size > kMaxDatagram - rx_pieces_size_) return Err::bad_length;
  memcpy(rx_datagram_ + rx_pieces_size_, payload.data, payload.size);
  rx_pieces_size_ += static_cast<uint32_t>(payload.size);
  rx_pieces_slot_ = index_of(c);
  if (!last) return Err::none;
  const Bytes whole{rx_datagram_, rx_pieces_size_};
  rx_pieces_size_ = 0;
  deliver(c, &whole, 1, now);
  return Err::none;
}

void Mux::deliver(Channel& c, const Bytes* piece, int pieces, Time now) {
  c.sent_at = now;
  c.talk = kAnswer[c.talk] & 7;
  if (!c.attached || c.life == Life::closing) {
    ++stats_.late_datagrams;
    return;
  }
  ++stats_.rx_datagrams;
  count_rx(c, total_size(piece, pieces), now);
  events_.on_datagram(id_of(c), piece, pieces);
}

// The server is there: what came in CONNECT (0.3) is a datagram.
void Mux::first_datagram(Channel& c, Time now) {
  if (c.queue.empty()) return;
  constexpr int kPieces = 64;  // a packet in blocks that are no neighbours
  static_assert(kPieces >= kMaxPacket / kBlock + 2, "");
  Bytes piece[kPieces];
  const int pieces = c.queue.view(pool_, piece, kPieces);
  const ChannelId id = id_of(c);
  deliver(c, piece, pieces, now);
  if (find(id) == nullptr || !c.attached) return;
  c.queue.clear(pool_);
  c.first_data = 0;
  shrink(c);
  note_room();
}

void Mux::serve_datagrams(ChannelId id) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached || c->mine || c->life != Life::opening || c->udp) return;
  SMX_CHECK(dialect_ == Dialect::v03);  // SockMux 1 says it in CONNECT
  c->udp = true;
  c->rx_credit = c->rx_window = 0;
  shrink(*c);
}

bool Mux::waits_for_peer(ChannelId id) const {
  const Channel* c = find(id);
  if (c == nullptr || !c->udp || !c->attached || dialect_ != Dialect::v03) return false;
  return (c->mine && c->life == Life::opening) || send_room(*c) == 0;
}

// False: each has had a datagram within the last second, and is no question that has its answer; or the peer does not let go of the
// one that was to make room.
bool Mux::end_idle_flow(Time now) {
  if (find(room_from_) != nullptr && now - room_at_ < kRoomLate) return now - room_at_ < kRoomSoon;
  Channel* oldest = nullptr;
  for_each_used([&](Channel& c) {
    if (!c.udp || !c.mine || !c.attached || (c.life != Life::open && c.life != Life::opening)) return;
    const bool may = c.talk == kAnswered || !(now - c.sent_at < kFreshFlow);
    if (may && (oldest == nullptr || c.sent_at < oldest->sent_at)) oldest = &c;
  });
  if (oldest == nullptr) return false;
  room_from_ = id_of(*oldest);
  room_at_ = now;
  detach(*oldest);
  ++stats_.aborted;
  events_.on_abort(room_from_, CloseCode::idle);
  abort_local(*oldest, CloseCode::idle);
  return true;
}

}  // namespace smx
