// When a lost link is tried again. Virtual time.
#include <doctest/doctest.h>

#include <initializer_list>

#include "core/session/backoff.h"

using namespace smx;

namespace {
constexpr uint32_t kMiddle = 0x80000000;  // random that gives the pause itself
}

TEST_CASE("the first attempt after a loss is made at once") {
  Backoff b;
  CHECK(b.next(Time{0}, 0xffffffff).us == 0);
}

TEST_CASE("pauses double from 50 ms and stay at 400 ms while the loss is young") {
  Backoff b;
  Time now{0};
  const int64_t expected_ms[] = {0, 50, 100, 200, 400, 400, 400, 400};
  for (const int64_t ms : expected_ms) {
    const Duration pause = b.next(now, kMiddle);
    CHECK(pause.us == ms * 1000);
    now = now + pause;
  }
}

TEST_CASE("a loss of more than 10 s is tried ever less often, down to the longest pause") {
  Backoff b(seconds(30));
  Time now{0};
  for (int i = 0; i < 5; ++i) (void)b.next(now, kMiddle);
  now = now + seconds(11);
  const int64_t expected_ms[] = {800, 1600, 3200, 6400, 12800, 25600, 30000, 30000};
  for (const int64_t ms : expected_ms) {
    const Duration pause = b.next(now, kMiddle);
    CHECK(pause.us == ms * 1000);
    now = now + pause;
  }
}

TEST_CASE("jitter makes a pause 0.5 to 1.5 times as long, never more") {
  Backoff low, high;
  (void)low.next(Time{0}, 0);
  (void)high.next(Time{0}, 0);
  CHECK(low.next(Time{0}, 0).us == 25000);
  const int64_t most = high.next(Time{0}, 0xffffffff).us;
  CHECK(most < 75000);
  CHECK(most > 74990);
}

TEST_CASE("a peer that restarts within 10 s is found within 600 ms, whatever the jitter") {
  for (const uint32_t random : {0u, kMiddle, 0xffffffffu}) {
    Backoff b;
    Time now{0};
    while (now < Time{9000000}) {
      const Duration pause = b.next(now, random);
      CHECK(pause.us <= 600000);
      now = now + pause + micros(100);
    }
  }
}

TEST_CASE("after a link that stood the next loss begins anew") {
  Backoff b;
  for (int i = 0; i < 6; ++i) (void)b.next(Time{0}, kMiddle);
  b.reset();
  CHECK(b.next(Time{1000000}, kMiddle).us == 0);
  CHECK(b.next(Time{1000000}, kMiddle).us == 50000);
}

TEST_CASE("TIMEOUT=retry shortens the longest pause") {
  Backoff b(millis(80));
  (void)b.next(Time{0}, kMiddle);
  (void)b.next(Time{0}, kMiddle);
  for (int i = 0; i < 5; ++i) CHECK(b.next(Time{seconds(60).us}, kMiddle).us == 80000);
}
