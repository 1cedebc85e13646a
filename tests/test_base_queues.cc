// core/base: list, ring, block queue and timer heap, each against a plain model in random steps.
// Rules: their headers. Read next: test_base.cc.
#include <doctest/doctest.h>
#include <stdint.h>

#include <algorithm>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/base/blocks.h"
#include "core/base/clock.h"
#include "core/base/list.h"
#include "core/base/near_list.h"
#include "core/base/ring.h"
#include "core/base/timer.h"
#include "core/base/tokens.h"

using namespace smx;

namespace {

// The same numbers in every run: xorshift64.
class Chance {
 public:
  explicit Chance(uint64_t seed) : x_(seed * 0x9e3779b97f4a7c15 + 1) {}
  uint64_t next() {
    x_ ^= x_ << 13;
    x_ ^= x_ >> 7;
    x_ ^= x_ << 17;
    return x_;
  }
  size_t below(size_t n) { return static_cast<size_t>(next() % n); }
  std::vector<uint8_t> bytes(size_t n) {
    std::vector<uint8_t> out(n);
    for (uint8_t& b : out) b = static_cast<uint8_t>(next() >> 32);
    return out;
  }

 private:
  uint64_t x_;
};

struct Item {
  explicit Item(int n) : number(n) {}
  int number;
  ListNode first, second;
};

struct NearItem {
  int number = 0;
  NearNode first, second;
};

template <typename L>
std::string numbers(const L& list) {
  std::string out;
  for (const auto* i = list.front(); i != nullptr; i = list.after(i)) out += std::to_string(i->number);
  return out;
}

std::string joined(const BlockPool& pool, const BlockQueue& queue) {
  Bytes piece[64];
  const int pieces = queue.view(pool, piece, 64);
  std::string out;
  for (int i = 0; i < pieces; ++i) out += as_text(piece[i]);
  return out;
}

struct Recorder : TimerHandler {
  std::vector<Timer*> fired;
  void on_timer(Timer& timer, Time) override { fired.push_back(&timer); }
};

}  // namespace

TEST_SUITE_BEGIN("base");

TEST_CASE("list: order, and an item in two lists through two nodes") {
  Item a(1), b(2), c(3);
  List<Item, &Item::first> one;
  List<Item, &Item::second> two;
  CHECK(one.empty());
  CHECK(one.front() == nullptr);
  one.push_back(&a);
  one.push_back(&b);
  one.push_front(&c);
  two.push_back(&b);
  CHECK(numbers(one) == "312");
  CHECK(numbers(two) == "2");
  a.first.leave();
  CHECK(numbers(one) == "32");
  CHECK_FALSE(a.first.listed());
  a.first.leave();  // twice is harmless
  one.push_back(&a);
  CHECK(numbers(one) == "321");
  b.first.leave();
  c.first.leave();
  a.first.leave();
  CHECK(one.empty());
  CHECK(numbers(two) == "2");
}

namespace {
// A ring that grows, and what must be in it.
struct Modelled {
  explicit Modelled(unsigned seed) : chance(seed) { ring.reset(UINT64_C(0xffffffff) - 100); }
  void add() {
    if (chance.below(8) == 0 && ring.capacity() < ring.largest()) ring.grow();
    const std::vector<uint8_t> in = chance.bytes(chance.below(ring.room() / 2 + 1));
    ring.copy_in(ring.tail(), in.data(), in.size());
    ring.append(in.size());
    model.insert(model.end(), in.begin(), in.end());
  }
  void take() {
    const size_t n = chance.below(4) == 0 ? ring.used() : chance.below(ring.used() + 1);
    ring.release(ring.head() + n);
    model.erase(model.begin(), model.begin() + static_cast<long>(n));
  }
  void compare() const {
    REQUIRE(ring.used() == model.size());
    std::vector<uint8_t> out(ring.used());
    ring.copy_out(ring.head(), out.data(), out.size());
    REQUIRE(std::equal(out.begin(), out.end(), model.begin(), model.end()));
  }
  Chance chance;
  std::vector<uint8_t> memory = std::vector<uint8_t>(256);
  Ring ring{memory.data(), 64, 256};
  std::deque<uint8_t> model;
};
}  // namespace

TEST_CASE("ring: one that grows keeps its bytes, wherever they stand, and is small again when it is empty") {
  Modelled m(5);
  for (int step = 0; step < 20000; ++step) {
    m.add();
    m.take();
    m.compare();
    if (m.ring.used() == 0) REQUIRE(m.ring.capacity() == 64);
  }
  CHECK(m.ring.largest() == 256);
}

TEST_CASE("ring: place is made anywhere in it, and what stands before keeps its numbers") {
  Modelled m(6);
  for (int step = 0; step < 20000; ++step) {
    m.add();
    const size_t at = m.chance.below(m.ring.used() + 1);
    const std::vector<uint8_t> more = m.chance.bytes(m.chance.below(m.ring.room() / 2 + 1));
    const uint64_t head = m.ring.head();
    m.ring.insert(head + at, more.size());
    m.ring.copy_in(head + at, more.data(), more.size());
    m.model.insert(m.model.begin() + static_cast<long>(at), more.begin(), more.end());
    REQUIRE(m.ring.head() == head);
    m.compare();
    // What was written to is known, wherever that is.
    for (size_t i = m.ring.touched(); i < m.memory.size(); ++i) REQUIRE(m.memory[i] == 0);
    m.take();
    if (m.ring.used() > 0 || m.chance.below(2) == 0) continue;
    const MutBytes spare = m.ring.spare();
    memset(spare.data, 0, spare.size);
  }
}

TEST_CASE("near list: against deques, items before and behind the ends, and in two lists through two nodes") {
  constexpr int kItems = 9;
  struct {
    NearItem below[kItems];
    NearNode ends[3];
    NearItem above[kItems];
  } memory;
  NearList<NearItem, &NearItem::first> one, other;
  NearList<NearItem, &NearItem::second> two;
  one.set_end(memory.ends[0]);
  other.set_end(memory.ends[1]);
  two.set_end(memory.ends[2]);
  CHECK(one.front() == nullptr);
  std::deque<NearItem*> model[3];
  const auto leave = [&](std::deque<NearItem*>& m, NearItem* item) { m.erase(std::remove(m.begin(), m.end(), item), m.end()); };
  const auto text = [](const std::deque<NearItem*>& m) {
    std::string out;
    for (const NearItem* i : m) out += std::to_string(i->number);
    return out;
  };
  for (int i = 0; i < kItems; ++i) memory.below[i].number = memory.above[i].number = i;
  Chance chance(3);
  for (int step = 0; step < 20000; ++step) {
    NearItem* item = chance.below(2) == 0 ? &memory.below[chance.below(kItems)] : &memory.above[chance.below(kItems)];
    switch (chance.below(4)) {
      case 0:
        item->first.leave();
        leave(model[0], item);
        leave(model[1], item);
        break;
      case 1:
        item->second.leave();
        leave(model[2], item);
        break;
      case 2:
        if (item->first.listed()) break;
        if (chance.below(2) == 0) {
          one.push_back(item);
          model[0].push_back(item);
        } else {
          other.push_front(item);
          model[1].push_front(item);
        }
        break;
      default:
        if (item->second.listed()) break;
        two.push_front(item);
        model[2].push_front(item);
    }
    REQUIRE(numbers(one) == text(model[0]));
    REQUIRE(numbers(other) == text(model[1]));
    REQUIRE(numbers(two) == text(model[2]));
    REQUIRE(one.empty() == model[0].empty());
    REQUIRE(one.front() == (model[0].empty() ? nullptr : model[0].front()));
  }
}

TEST_CASE("ring: against a deque, over thousands of wraps") {
  Chance chance(1);
  std::vector<uint8_t> memory(64);
  Ring ring(memory.data(), memory.size());
  ring.reset(UINT64_C(0xffffffff) - 100);  // positions pass 2^32
  std::deque<uint8_t> model;
  uint64_t head = ring.head();
  for (int step = 0; step < 20000; ++step) {
    if (chance.below(2) == 0) {
      const std::vector<uint8_t> in = chance.bytes(chance.below(ring.room() + 1));
      ring.copy_in(ring.tail(), in.data(), in.size());
      ring.append(in.size());
      model.insert(model.end(), in.begin(), in.end());
    } else {
      const size_t n = chance.below(ring.used() + 1);
      head += n;
      ring.release(head);
      model.erase(model.begin(), model.begin() + static_cast<std::ptrdiff_t>(n));
    }
    REQUIRE(ring.head() == head);
    REQUIRE(ring.used() == model.size());
    REQUIRE(ring.room() == 64 - model.size());
    std::vector<uint8_t> out(model.size());
    ring.copy_out(head, out.data(), out.size());
    REQUIRE(std::equal(out.begin(), out.end(), model.begin()));
  }
}

TEST_CASE("ring: an empty one begins again at its first byte") {
  uint8_t memory[16];
  Ring ring(memory, sizeof memory);
  ring.append(10);
  ring.release(10);
  MutBytes part[2];
  REQUIRE(ring.view(ring.tail(), 16, part) == 1);
  CHECK(part[0].data == memory);
  CHECK(part[0].size == 16);
  CHECK(ring.view(ring.tail(), 0, part) == 0);
}

TEST_CASE("blocks: queues that share a pool, against strings") {
  constexpr uint32_t kCount = 12;
  Chance chance(2);
  std::vector<uint8_t> data(kCount * kBlock);
  std::vector<uint32_t> next(kCount);
  BlockPool pool(data.data(), next.data(), kCount);
  BlockQueue queue[3];
  std::string model[3];
  int refused = 0;
  for (int step = 0; step < 20000; ++step) {
    const size_t q = chance.below(3);
    if (chance.below(2) == 0) {
      const std::vector<uint8_t> in = chance.bytes(chance.below(3 * kBlock));
      const uint32_t before = pool.used();
      if (queue[q].push(pool, {in.data(), in.size()})) {
        model[q].append(reinterpret_cast<const char*>(in.data()), in.size());
      } else {
        ++refused;
        REQUIRE(pool.used() == before);
      }
    } else {
      const size_t n = chance.below(4) == 0 ? model[q].size() : chance.below(model[q].size() + 1);
      queue[q].pop(pool, n);
      model[q].erase(0, n);
    }
    uint32_t bound = 0;
    for (int i = 0; i < 3; ++i) {
      REQUIRE(queue[i].size() == model[i].size());
      REQUIRE(joined(pool, queue[i]) == model[i]);
      if (!model[i].empty()) bound += static_cast<uint32_t>(model[i].size() / kBlock + 2);
    }
    REQUIRE(pool.used() <= bound);
  }
  CHECK(refused > 100);
  for (BlockQueue& q : queue) q.clear(pool);
  CHECK(pool.used() == 0);
}

TEST_CASE("blocks: a view has as many pieces as asked for, not more") {
  std::vector<uint8_t> data(4 * kBlock, 'x');
  std::vector<uint32_t> next(4);
  BlockPool pool(data.data(), next.data(), 4);
  BlockQueue a, b;
  for (int i = 0; i < 2; ++i) {  // blocks of a and b in turn, so that none are neighbours
    REQUIRE(a.push(pool, {data.data(), kBlock}));
    REQUIRE(b.push(pool, {data.data(), kBlock}));
  }
  Bytes piece[2];
  CHECK(a.view(pool, piece, 1) == 1);
  CHECK(piece[0].size == kBlock);
  CHECK(a.view(pool, piece, 2) == 2);
  CHECK_FALSE(a.push(pool, {data.data(), 1}));
}

TEST_CASE("ring: what was touched is told, and spare when nothing is in it, once") {
  std::vector<uint8_t> memory(1024 * 1024);
  Ring r(memory.data(), 256 * 1024, memory.size());
  r.append(3000);
  r.release(3000);
  r.append(1000);  // from the beginning again
  CHECK(r.touched() == 3000);
  CHECK(r.spare().size == 0);
  r.release(4000);
  const MutBytes spare = r.spare();
  CHECK(spare.data == memory.data());
  CHECK(spare.size >= 3000);
  CHECK(spare.size <= memory.size());
  CHECK(r.touched() == 0);
  // Around the end of the memory all of it is, and no more.
  r.append(256 * 1024);
  r.release(r.tail() - 10);
  r.append(100);
  CHECK(r.touched() >= 256 * 1024);
  r.release(r.tail());
  CHECK(r.spare().size <= memory.size());
}

TEST_CASE("tokens: so many at once, and as many in each second from then on") {
  Tokens t;
  const Time start{50000000};
  int n = 0;
  while (t.take(20, start)) ++n;
  CHECK(n == 20);
  CHECK_FALSE(t.take(20, start + millis(49)));
  CHECK(t.take(20, start + millis(50)));
  CHECK_FALSE(t.take(20, start + millis(50)));
  n = 0;
  for (int ms = 51; ms <= 10050; ++ms) n += t.take(20, start + millis(ms)) ? 1 : 0;
  CHECK(n == 200);
  n = 0;
  while (t.take(20, start + seconds(100))) ++n;
  CHECK(n == 20);
  for (int i = 0; i < 1000; ++i) CHECK(t.take(0, start));
}

TEST_CASE("blocks: what a burst has touched is spare when all of it is over, once; an empty pool begins at its first block again") {
  constexpr uint32_t kCount = 300;
  std::vector<uint8_t> data(kCount * kBlock);
  std::vector<uint32_t> next(kCount);
  BlockPool pool(data.data(), next.data(), kCount);
  const std::vector<uint8_t> burst(200 * kBlock, 'b');
  BlockQueue a, b;
  REQUIRE(a.push(pool, {burst.data(), burst.size()}));
  REQUIRE(b.push(pool, {burst.data(), 1}));
  CHECK(pool.spare(128).size == 0);
  a.clear(pool);
  CHECK(pool.spare(128).size == 0);
  b.clear(pool);
  const MutBytes spare = pool.spare(128);
  CHECK(spare.data == data.data());
  CHECK(spare.size >= 201 * kBlock);  // and what is on a page with the last of them
  CHECK(spare.size <= kCount * kBlock);
  CHECK(pool.spare(128).size == 0);
  REQUIRE(a.push(pool, {burst.data(), 1}));
  Bytes piece[1];
  CHECK(a.view(pool, piece, 1) == 1);
  CHECK(piece[0].data == data.data());
  a.clear(pool);
  CHECK(pool.spare(128).size == 0);  // too little to be worth it
  REQUIRE(a.push(pool, {burst.data(), burst.size()}));
  CHECK(pool.used() == 200);
}

TEST_CASE("timer: against a multimap, started, moved, stopped and run at random") {
  constexpr size_t kTimers = 40;
  Chance chance(3);
  std::vector<BareTimer*> memory(kTimers);
  TimerHeap heap(memory.data(), kTimers);
  Recorder recorder;
  std::vector<std::unique_ptr<Timer>> timers;
  for (size_t i = 0; i < kTimers; ++i) timers.push_back(std::make_unique<Timer>(recorder));
  std::map<Timer*, int64_t> model;
  Time now{0};
  for (int step = 0; step < 50000; ++step) {
    Timer* timer = timers[chance.below(kTimers)].get();
    switch (chance.below(4)) {
      case 0:
      case 1: {
        const Time deadline = now + micros(static_cast<int64_t>(chance.below(50)));
        heap.start(*timer, deadline);
        model[timer] = deadline.us;
        break;
      }
      case 2:
        heap.stop(*timer);
        model.erase(timer);
        break;
      default: {
        now = now + micros(static_cast<int64_t>(chance.below(20)));
        recorder.fired.clear();
        heap.run(now, 1000);
        int64_t last = INT64_MIN;
        for (Timer* fired : recorder.fired) {
          REQUIRE(model.count(fired) == 1);
          REQUIRE(model[fired] <= now.us);
          REQUIRE(model[fired] >= last);  // earliest first
          last = model[fired];
          model.erase(fired);
        }
      }
    }
    Time earliest = kNever;
    for (const auto& entry : model) earliest = earlier(earliest, Time{entry.second});
    REQUIRE(heap.next() == earliest);
    REQUIRE(heap.count() == model.size());
    REQUIRE(timer->running() == (model.count(timer) == 1));
  }
}

TEST_CASE("timer: one that starts itself again cannot hold up a turn, and 'never' stops it") {
  struct Again : TimerHandler {
    TimerHeap* heap = nullptr;
    int calls = 0;
    void on_timer(Timer& timer, Time now) override {
      ++calls;
      heap->start(timer, now);
    }
  };
  BareTimer* memory[1];
  TimerHeap heap(memory, 1);
  Again again;
  again.heap = &heap;
  Timer timer(again);
  heap.start(timer, Time{1});
  CHECK(heap.run(Time{0}, 10) == 0);
  CHECK(heap.run(Time{5}, 10) == 10);
  CHECK(again.calls == 10);
  heap.start(timer, kNever);
  CHECK_FALSE(timer.running());
  CHECK(heap.next() == kNever);
}

TEST_SUITE_END();
