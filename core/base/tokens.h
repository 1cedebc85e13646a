// How often something may happen: so many in a second, as many at once, and from then on evenly.
//
// Pure. Read next: core/session/sessions.h (channels that peers open).
#ifndef SOCKMUX_CORE_BASE_TOKENS_H
#define SOCKMUX_CORE_BASE_TOKENS_H

#include <stdint.h>

#include "core/base/clock.h"

namespace smx {

class Tokens {
 public:
  // Once more, of `a_second`, at most a million; 0: there is no limit. False: not now. `now` never goes back.
  bool take(uint32_t a_second, Time now) {
    if (a_second == 0) return true;
    constexpr Duration kMost = seconds(1);
    if (kMost < now - used_until_) used_until_ = Time{now.us - kMost.us};
    const Time next = used_until_ + Duration{1000000 / a_second};
    if (now < next) return false;
    used_until_ = next;
    return true;
  }

 private:
  Time used_until_;  // time up to here is spent
};

}  // namespace smx

#endif
