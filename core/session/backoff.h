// When to try again after a loss: at once, then after growing pauses with jitter.
//
// 0, 50, 100, 200, 400 ms, and 400 ms again until the loss is 10 s old, so that a peer that restarts is found within a
// second; then doubling up to the longest pause. Each is multiplied by 0.5 to 1.5 so that a thousand connectors do not
// come at once. Invariant: pause() <= 1.5 x longest. Pure: randomness is passed in.
// Read next: session.cc. Source: sockmux(7), "Keep-alive and timers".
#ifndef SOCKMUX_CORE_SESSION_BACKOFF_H
#define SOCKMUX_CORE_SESSION_BACKOFF_H

#include <stdint.h>

#include "core/base/clock.h"

namespace smx {

class Backoff {
 public:
  explicit Backoff(Duration longest = seconds(30)) : longest_(longest) {}
  void set_longest(Duration longest) { longest_ = longest; }

  // The link stood: the next loss begins anew.
  void reset() { tries_ = 0; }

  // The pause before the next attempt. `random` is uniform.
  Duration next(Time now, uint32_t random) {
    if (tries_ == 0) since_ = now;
    const int n = tries_;
    if (tries_ < 1000) ++tries_;
    if (n == 0) return Duration{0};
    if (n == 1) base_ = kFirst;
    else if (base_ < kPlateau || now - since_ > kPatience) base_ = base_ * 2;
    if (base_ > longest_) base_ = longest_;
    return Duration{base_.us / 2 + static_cast<int64_t>(static_cast<uint64_t>(base_.us) * random >> 32)};
  }

 private:
  static constexpr Duration kFirst = millis(50);
  static constexpr Duration kPlateau = millis(400);
  static constexpr Duration kPatience = seconds(10);

  Duration longest_;
  Duration base_;
  Time since_;
  int tries_ = 0;
};

}  // namespace smx

#endif
