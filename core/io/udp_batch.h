// Datagrams on their way out of one turn, so that several of one sender to one place can be given to the system at once.
//
//   add() --same sender, same size, room--> copied behind the others --end of the turn, or another sender or size--> sent
//
// Owner: a table of flows. Invariants: what one sender adds leaves in that order; what is here belongs to one sender, which
// calls leave() before it dies; nothing stays beyond the turn. Where the system cannot join datagrams, each goes at once.
// Read next: udp.h, relay/udp_exit.h. Source: udp(7), UDP_SEGMENT; docs/speed.md, "UDP", says what it gives.
#ifndef SOCKMUX_CORE_IO_UDP_BATCH_H
#define SOCKMUX_CORE_IO_UDP_BATCH_H

#include "core/base/arena.h"
#include "core/base/bytes.h"
#include "core/io/reactor.h"

namespace smx {

class UdpSender {
 public:
  // One datagram: sent, or dropped and counted.
  virtual void send_one(const Bytes* piece, int pieces) = 0;
  // `count` datagrams of `segment` bytes, the last of them maybe shorter. 0: sent. Else errno, and none of them has gone.
  virtual int send_joined(Bytes all, size_t segment, int count) = 0;

 protected:
  ~UdpSender() = default;
};

class UdpBatch final : private Task {
 public:
  explicit UdpBatch(Reactor& reactor) : reactor_(reactor) {}
  static uint64_t arena_bytes() { return kRoom + 64; }
  // `joins`: the system can (udp_joins()). False: the arena is too small.
  [[nodiscard]] bool init(bool joins, Arena& arena);

  void add(UdpSender& to, const Bytes* piece, int pieces);
  // What is here of this sender goes now.
  void leave(const UdpSender& sender) {
    if (sender_ == &sender) flush();
  }
  void flush();

 private:
  static constexpr size_t kRoom = 32 * 1024;
  static constexpr int kMost = 64;            // UDP_MAX_SEGMENTS of Linux 4.18; later ones take more
  static constexpr size_t kLargest = 1472;    // Ethernet's: what is longer than the way's MTU cannot be joined
  static constexpr uint8_t kRest = 255;

  void on_task(Time now) override;

  Reactor& reactor_;
  UdpSender* sender_ = nullptr;
  uint8_t* memory_ = nullptr;
  size_t used_ = 0;
  size_t segment_ = 0;  // the size of the first
  int count_ = 0;
  uint8_t rest_ = 0;    // so many go alone, since the system has refused joined ones
  bool joins_ = false;
};

}  // namespace smx

#endif
