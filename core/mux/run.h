// A run: the payloads of consecutive SENDs of one channel, where they lie in the rx ring, so that one write gives them
// to the local socket; and what else the parts of the mux share. Private to it. Read next: mux.cc, parse() and flush().
#ifndef SOCKMUX_CORE_MUX_RUN_H
#define SOCKMUX_CORE_MUX_RUN_H

#include "core/mux/mux.h"

namespace smx {

struct Mux::Run {
  static constexpr int kPieces = 32;

  Channel* channel = nullptr;
  Bytes piece[kPieces];
  int pieces = 0;
  size_t bytes = 0;
  // Where the payload of the packet at hand lies.
  const MutBytes* part = nullptr;
  int parts = 0;

  bool takes(const Channel& c) const { return channel == &c && pieces + 2 <= kPieces; }
  void begin(Channel& c) {
    channel = &c;
    pieces = 0;
    bytes = 0;
  }
  void add_parts() {
    for (int i = 0; i < parts; ++i) add({part[i].data, part[i].size});
  }
  void add(Bytes bytes_of_one) {
    piece[pieces++] = bytes_of_one;
    bytes += bytes_of_one.size;
  }
};

template <typename F>
void Mux::for_each_used(F f) {
  for (uint32_t i = 0; i < fresh_mine_; ++i)
    if (slots_[i].life != Life::free) f(slots_[i]);
  for (uint32_t i = opens_; i < fresh_theirs_; ++i)
    if (slots_[i].life != Life::free) f(slots_[i]);
}

// Blocks that `credit_bytes` of queued data can take at most.
uint32_t blocks_for(uint64_t credit_bytes);

// HELLO is said again, where what was said before the peer is there is lost.
constexpr Duration kHelloRepeat = seconds(1);

// Channels at once toward a 0.3 peer: DeleGate has 64 slots, and fails badly when they run out.
constexpr uint32_t kMostChannels03 = 56;

}  // namespace smx

#endif
