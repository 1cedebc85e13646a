// core/mux/window: how much may be under way. Rules: sockmux(7), "Order of sending". Read next: sim/sim_far.cc (two muxes).
#include <doctest/doctest.h>

#include <deque>

#include "core/mux/window.h"

using namespace smx;

namespace {

constexpr size_t kMost = 1792 * 1024;

struct Window : SendWindow {
  Window() { set_memory(memory); }
  Stamp memory[kStamps];
};

// A line under a window that is always used up: what is put in leaves at `rate` bytes a second; `lump` bytes at a time are
// acknowledged `rtt` later. Others may fill its queue with `others` of delay.
struct Path {
  Path(double bytes_a_second, Duration round_trip) : rate(bytes_a_second), rtt(round_trip) { w.reset(kMost, 0); }
  Window w;
  double rate;
  Duration rtt;
  Duration others{0};
  uint64_t lump = 8192;
  Time now{1000000};

  void run(Duration d) {
    const Time end = now + d;
    while (now < end) {
      fill();
      if (acks_.empty() || acks_.front().at > end) {
        now = end;
        return;
      }
      now = acks_.front().at;
      acked_ = acks_.front().position;
      acks_.pop_front();
      w.acked(acked_, 0, now);
    }
  }
  // Milliseconds that a byte which is put in now waits for all that is ahead of it.
  double queue_ms() const { return free_at_ > us() ? (free_at_ - us()) / 1000 : 0; }
  double share(Duration d) {
    const uint64_t before = acked_;
    run(d);
    return static_cast<double>(acked_ - before) / (rate * static_cast<double>(d.us) / 1e6);
  }

 private:
  struct Ack {
    Time at;
    uint64_t position;
  };
  double us() const { return static_cast<double>(now.us); }
  void fill() {
    while (tail_ - acked_ + 1024 <= w.bytes()) {
      tail_ += 1024;
      free_at_ = (free_at_ > us() ? free_at_ : us()) + 1024 * 1e6 / rate;
      if (tail_ % lump == 0) acks_.push_back({Time{static_cast<int64_t>(free_at_)} + rtt + others, tail_});
    }
    w.put(tail_, now);
    w.hold();
  }
  std::deque<Ack> acks_;
  uint64_t tail_ = 0, acked_ = 0;
  double free_at_ = 0;
};

}  // namespace

TEST_SUITE_BEGIN("window");

TEST_CASE("window: nothing is known at first") {
  Window w;
  w.reset(kMost, 77);
  CHECK(w.bytes() == SendWindow::kFirst);
  CHECK(w.rate() == 0);
  CHECK(w.worth(millis(5), 128, 65504) == 65504);
  w.reset(57344, 0);
  CHECK(w.bytes() == 57344);
}

TEST_CASE("window: a far line is known by its first ACKs, and full after one round trip") {
  Path p(12500000, millis(100));
  p.run(millis(109));
  CHECK(p.w.rate() > 11500000);
  CHECK(p.w.rate() < 13500000);
  CHECK(p.w.bytes() > 1250000);
  CHECK(p.share(seconds(3)) > 0.95);
  CHECK(p.queue_ms() < 10);
}

TEST_CASE("window: ACKs that come at once tell no rate; then it is twice as much each round trip, to what needs no proof") {
  Window w;
  w.reset(kMost, 0);
  Time now{1000000};
  uint64_t tail = 0;
  size_t before = w.bytes();
  for (int i = 0; i < 2; ++i) {
    w.put(tail += w.bytes(), now);
    w.hold();
    now = now + micros(100);
    w.acked(tail, 0, now);
    CHECK(w.bytes() == 2 * before);
    before = w.bytes();
  }
  Path near(100000000, micros(100));
  near.run(seconds(1));
  CHECK(near.w.bytes() == SendWindow::kPlain);
}

TEST_CASE("window: the line is full, and its queue is short, whatever rate and round trip") {
  for (const double mbit : {4.0, 10.0, 30.0, 100.0}) {
    for (const int64_t ms : {10, 40, 100}) {
      CAPTURE(mbit);
      CAPTURE(ms);
      Path p(mbit * 125000, millis(ms));
      p.lump = 4096;
      p.run(seconds(3));
      CHECK(p.share(seconds(30)) > 0.97);
      double longest = 0;
      for (int i = 0; i < 1000; ++i) {
        p.run(millis(10));
        longest = p.queue_ms() > longest ? p.queue_ms() : longest;
      }
      const double least_ms = static_cast<double>(SendWindow::kLeast) * 1000 / (mbit * 125000);
      CHECK(longest < (least_ms > 22 ? least_ms + 3 : 25));
      CHECK(p.w.rate() > mbit * 125000 * 0.9);
      CHECK(p.w.rate() < mbit * 125000 * 1.1);
    }
  }
}

TEST_CASE("window: a moment of somebody else's at the start costs little") {
  Path p(12500000, millis(100));
  p.lump = 16384;
  p.w.echoed(millis(100), p.now);
  p.others = millis(15);
  p.run(millis(117));
  p.others = millis(0);
  CHECK(p.w.bytes() < 200000);  // so far it is no more
  p.run(millis(1100));
  CHECK(p.w.bytes() > 1200000);
}

TEST_CASE("window: never below 16 KiB, and the peer may keep 8,191 bytes unacknowledged") {
  Path p(20000, millis(40));
  CHECK(p.share(seconds(60)) > 0.9);
  CHECK(p.w.bytes() >= SendWindow::kLeast);
  CHECK(p.w.bytes() < 2 * SendWindow::kLeast);
}

TEST_CASE("window: an hour of bulk does not take its own queue for the way") {
  Path p(1250000, millis(40));
  p.run(seconds(3600));
  CHECK(p.queue_ms() < 12);
  CHECK(p.share(seconds(60)) > 0.97);
}

TEST_CASE("window: a queue that does not go with the window is not ours: the window comes back") {
  Path p(1250000, millis(40));
  p.run(seconds(5));
  p.others = millis(60);  // or a longer way
  p.run(seconds(3));
  CHECK(p.share(seconds(20)) > 0.9);
  p.others = millis(0);
  p.run(seconds(10));
  CHECK(p.queue_ms() < 20);
}

TEST_CASE("window: a peer that acknowledges each 8,192 bytes needs a longer queue, where these are long") {
  for (const double mbit : {2.0, 4.0, 10.0}) {
    CAPTURE(mbit);
    Path p(mbit * 125000, millis(40));
    p.run(seconds(3));
    CHECK(p.share(seconds(30)) > 0.95);
    CHECK(p.queue_ms() < 66);
  }
}

TEST_CASE("window: a very fast line has a millisecond of itself, within limits") {
  Path p(500000000, micros(100));
  p.run(seconds(1));
  CHECK(p.w.bytes() > 400000);
  CHECK(p.w.bytes() <= 500500);
  Path most(3000000000, micros(100));
  most.run(seconds(1));
  CHECK(most.w.bytes() == SendWindow::kFast);
  Path least(200000000, micros(100));
  least.run(seconds(1));
  CHECK(least.w.bytes() == SendWindow::kPlain);
}

TEST_CASE("window: where the line can carry more, a busy processor is no queue") {
  Path p(500000000, micros(100));
  p.run(seconds(1));
  const size_t whole = p.w.bytes();
  CHECK(whole > SendWindow::kPlain);
  for (int i = 0; i < 20; ++i) {  // 30 ms each for somebody else
    p.others = millis(30);
    p.run(millis(31));
    p.others = millis(0);
    p.run(millis(20));
  }
  CHECK(p.w.bytes() >= whole);
}

TEST_CASE("window: an ACK that may have waited for a timer is no sample") {
  Window w;
  w.reset(kMost, 0);
  Time now{1000000};
  uint64_t tail = 0;
  for (int i = 0; i < 20; ++i) {
    w.put(tail += 4096, now);
    now = now + millis(500);
    w.acked(tail, 0, now);
  }
  CHECK(w.bytes() == SendWindow::kFirst);
  w.put(tail += 8192, now);  // so many come at once: this round trip is one
  now = now + millis(40);
  w.acked(tail, 0, now);
  w.put(tail += SendWindow::kFirst, now);
  now = now + millis(45);
  w.acked(tail, 0, now);
  CHECK(w.bytes() > SendWindow::kFirst);  // no queue: 45 ms, where 40 ms are the least
}

TEST_CASE("train: a rate needs 32 KiB and 2 ms without a pause") {
  Train t;
  t.reset(1000);
  Time now{1000000};
  CHECK(t.add(1000, now, millis(10)) == 0);
  for (uint64_t i = 1; i <= 3; ++i) CHECK(t.add(1000 + i * 8192, now + millis(1 * static_cast<int64_t>(i)), millis(10)) == 0);
  CHECK(t.add(1000 + 4 * 8192, now + millis(4), millis(10)) == 8192000);
  CHECK(t.add(1000 + 8 * 8192, now + millis(20), millis(10)) == 0);  // a pause: anew
  CHECK(t.rate() == 8192000);
  CHECK(t.add(1000 + 16 * 8192, now + micros(20100), millis(10)) == 0);  // too close
}

TEST_CASE("back queue: only how the two clocks come apart counts, and what is no clock counts nothing") {
  BackQueue q;
  constexpr uint64_t kTheirs = 990000000000;
  CHECK(q.least(Time{0}) == millis(0));
  const int64_t queue_ms[] = {0, 7, 5, 9};
  for (int64_t i = 0; i < 4; ++i)
    q.heard(kTheirs + static_cast<uint64_t>(i) * 50000, Time{0} + millis(1000 + i * 50 + queue_ms[i]));
  CHECK(q.least(Time{0}) == millis(0));
  CHECK(q.least(Time{0} + millis(1050)) == millis(5));
  CHECK(q.least(Time{0} + millis(1150)) == millis(9));
  q.heard(0x6162636465666768, Time{0} + millis(1200));
  CHECK(q.least(Time{0}) == millis(0));
}

TEST_SUITE_END();
