// One forwarded connection as the mux sees it: number, credit both ways, how each direction ends, control that is due.
//
// Owner: the mux's table; everybody else keeps a ChannelId. Invariant: what the peer may still send plus what waits in
// `queue` is at most `rx_window`, and blocks for that much are committed. Pure data, no behaviour but its resets.
// Read next: mux.h (who changes it). Source: sockmux(7), "Channels" and "Credit".
#ifndef SOCKMUX_CORE_MUX_CHANNEL_H
#define SOCKMUX_CORE_MUX_CHANNEL_H

#include <stdint.h>

#include "core/base/blocks.h"
#include "core/base/clock.h"
#include "core/base/features.h"
#include "core/base/near_list.h"
#include "core/base/timer.h"
#include "core/mux/packet.h"

namespace smx {

// Names a channel across turns: a slot of the table, and which of its lives is meant.
struct ChannelId {
  uint32_t slot = 0xffffffff;
  uint32_t generation = 0;
};

//   free --open(), or CONNECT received--> opening --CONNECTED--> open --our CLOSE due--> closing --both CLOSEs--> free
//                                                                 |
//                                           0.3: peer's CLOSE --> ended --delivered, CLOSED sent--> free
//   link lost while all that the peer had to say is here, but not delivered yet: --> orphan --delivered--> free
enum class Life : uint8_t { free, opening, open, closing, ended, orphan };

// Toward the peer: may not send yet; data; the local side is at its end and FIN (0.3: CLOSE after a silence) is due;
// FIN is out.
enum class Tx : uint8_t { waiting, data, end_due, done };

// From the peer: data; its end has come and stands behind what is queued; the owner was told so.
enum class Rx : uint8_t { data, end, done };

// A number of 64 bits that needs no place divisible by 8, so that it leaves no gap in a channel.
class Count {
 public:
  operator uint64_t() const { return uint64_t{high_} << 32 | low_; }
  Count& operator+=(uint64_t n) {
    const uint64_t sum = *this + n;
    low_ = static_cast<uint32_t>(sum);
    high_ = static_cast<uint32_t>(sum >> 32);
    return *this;
  }

 private:
  uint32_t low_ = 0, high_ = 0;
};

// What is counted of a channel for who looks (sockmuxctl(8)).
struct ChannelFacts {
  Count rx_bytes, tx_bytes;             // payload, from and to the link
  uint32_t opened = 0, moved = 0;       // when, and when payload went last: tick()

  // 65 ms each: after 8 years it begins again.
  static uint32_t tick(Time t) { return static_cast<uint32_t>(t.us >> 16); }
  static Duration since(uint32_t then, Time now) { return {static_cast<int64_t>(tick(now) - then) << 16}; }
};

// Where they are: in the channel, on the page that is touched anyway; nowhere in a build that nobody can ask.
template <bool kBuilt>
class FactsPart {
 public:
  ChannelFacts* facts() { return &facts_; }
  const ChannelFacts* facts() const { return &facts_; }

 private:
  ChannelFacts facts_;
};
template <>
class FactsPart<false> {
 public:
  ChannelFacts* facts() { return nullptr; }
  const ChannelFacts* facts() const { return nullptr; }
};

// Packets that gather() owes this channel, one bit each.
enum Due : uint8_t {
  kDueConnect = 1,
  kDueConnected = 2,
  kDueCredit = 4,  // 0.3: SENT
  kDueFin = 8,
  kDueClose = 16,
  kDueClosed = 32,  // 0.3 only
  kDueRefund = 64,  // 1 only
};

// Small, since there may be 60,000 of them that have nothing to do.
struct Channel : BareTimer, FactsPart<kHasControl> {
  Channel() { reset_flags(); }

  NearNode sched;     // in the scheduler while it has something to send; in the free list while free
  NearNode due_node;  // in the list of those that owe packets; in the list of orphans while one
  BlockQueue queue;           // received, not yet taken by the local socket
  uint32_t generation = 0;
  void* owner = nullptr;      // what the mux's owner has put there
  uint32_t tx_credit = 0;     // v1: bytes that may still be sent; 0.3: bytes sent and not acknowledged by SENT
  int32_t deficit = 0;        // what the scheduler still grants in this round
  uint32_t rx_credit = 0;     // bytes that the peer may still send
  uint32_t rx_window = 0;     // rx_credit and queue together grow up to this
  uint32_t blocks = 0;        // committed for this channel alone
  uint32_t rx_taken = 0;      // bytes taken by the local socket: v1: since window_at; 0.3: not yet told to the peer
  union {
    Time window_at{};         // v1: since when rx_taken counts; zero: no credit given since the window was the first credit
    struct {
      uint32_t oob_taken;     // 0.3: of rx_taken, bytes of SENDOOB, to be told by SENTOOB
      uint16_t first_data;    // 0.3: queued bytes that came in CONNECT or CONNECTED: SENT does not count them
    };
  };
  Time sent_at;               // v1: when it sent data last; UDP: when a datagram passed last, either way
  uint16_t number = kNone;    // v1: the opener's number; 0.3: our id
  uint16_t peer_number = kNone;  // 0.3: the peer's id
  uint32_t urgent_at = 0;     // the urgent byte is this one of `queue`, counted from 1; 0: none of them is
  Life life = Life::free;
  Tx tx = Tx::waiting;
  Rx rx = Rx::data;
  uint8_t due = 0;
  CloseCode close = CloseCode::done;
  Flag<kHasBind || kHasFtp> bind;  // v1: opened by BIND: no data, no credit, no FIN
  Flag<kHasUdp> udp;               // its content is datagrams: no credit, no queue, no FIN
  bool mine : 1;         // opened from this side
  bool attached : 1;     // a local socket belongs to it and hears of it
  bool peer_closed : 1;  // v1: the peer's CLOSE has come
  bool readable : 1;     // the local socket has, or may have, something to read
  bool sparse : 1;       // has sent nothing since it joined the scheduler's lists
  uint8_t talk : 3;      // UDP, ours: questions and answers so far: see mux_datagram.cc

  // Back to the state of a free slot; the generation moves on so that old ids are void.
  void reset();

 private:
  void reset_flags() {
    bind = false;
    udp = false;
    mine = attached = peer_closed = readable = sparse = false;
    talk = 0;
  }
};

}  // namespace smx

#endif
