// core/mux/scheduler: who sends next. Rules: sockmux(7), "Order of sending". Read next: core/mux/scheduler.h.
#include <doctest/doctest.h>

#include "core/mux/scheduler.h"

using namespace smx;

namespace {

struct Bench : Scheduler {
  Bench() { set_ends(ends); }
  NearNode ends[kLists];
};

constexpr size_t kQuantum = static_cast<size_t>(Scheduler::kQuantum);

}  // namespace

TEST_SUITE_BEGIN("scheduler");

TEST_CASE("scheduler: nobody is next when nobody is ready") {
  Bench s;
  CHECK(s.empty());
  CHECK(s.next() == nullptr);
}

TEST_CASE("scheduler: who becomes ready goes before those that have spent their quantum") {
  Channel bulk, key;
  Bench s;
  s.ready(bulk);
  CHECK(s.next() == &bulk);
  s.served(bulk, kQuantum);
  s.ready(key);
  CHECK(s.next() == &key);
  s.remove(key);
  CHECK(s.next() == &bulk);
  s.remove(bulk);
  CHECK(s.empty());
}

TEST_CASE("scheduler: a channel keeps its turn until its quantum is spent, and what it took too much counts next time") {
  Channel a, b;
  Bench s;
  s.ready(a);
  s.ready(b);
  CHECK(s.next() == &a);
  s.served(a, kQuantum - 1);
  CHECK(s.next() == &a);
  s.served(a, 1);
  CHECK(a.deficit == 0);
  CHECK(s.next() == &b);
  s.remove(b);
  CHECK(s.next() == &a);
  CHECK(a.deficit == Scheduler::kQuantum);
}

TEST_CASE("scheduler: new channels without end do not starve an old one") {
  Channel old;
  Bench s;
  s.ready(old);
  CHECK(s.next() == &old);
  s.served(old, kQuantum);
  int waited = 0;
  Channel quick;
  for (; waited < 100; ++waited) {
    s.ready(quick);
    Channel* c = s.next();
    if (c == &old) break;
    s.remove(*c);
  }
  CHECK(waited <= Scheduler::kNewBurst);
  CHECK(waited > 1);  // new ones do go first
  s.remove(quick);
  s.remove(old);
}

TEST_CASE("scheduler: sparse are those that have sent nothing since they became ready; the others grow old") {
  Channel bulk, key;
  Bench s;
  s.ready(bulk);
  s.ready(key);
  s.served(bulk, 1);
  CHECK(s.next_sparse() == &key);
  s.remove(key);
  CHECK(s.next_sparse() == nullptr);
  CHECK(s.next() == &bulk);
  s.remove(bulk);
}

// The measured rate of the line moves it at any time.
TEST_CASE("scheduler: whether a channel is sparse has nothing to do with a quantum that changes") {
  Channel key, bulk;
  Bench s;
  s.ready(key);
  for (const int32_t quantum : {2 * Scheduler::kQuantum, 1000}) {
    s.set_quantum(quantum);
    CHECK(s.next_sparse() == &key);
  }
  s.remove(key);
  s.set_quantum(2000);
  s.ready(bulk);
  s.served(bulk, 1000);
  s.set_quantum(1000);
  CHECK(s.next_sparse() == nullptr);
  s.remove(bulk);
}

// A nearly full ring is for sparse ones alone, and they can keep it nearly full.
TEST_CASE("scheduler: sparse channels without end do not starve an old one") {
  Channel old, quick;
  Bench s;
  s.ready(old);
  s.served(old, kQuantum);
  for (int round = 0; round < 3; ++round) {
    int turns = 0;
    for (; turns < 10000; ++turns) {
      s.ready(quick);
      if (s.next_sparse() == nullptr) break;
      s.remove(quick);
    }
    CHECK(turns == Scheduler::kSparseBurst);
    // It waits for its turn among all, where the old one gets one soon.
    int waited = 0;
    for (; waited < 100 && s.next() != &old; ++waited) {
      s.remove(quick);
      s.ready(quick);
    }
    CHECK(waited <= Scheduler::kNewBurst);
    s.served(old, kQuantum);
    s.remove(quick);
  }
  // With nobody old there, there is no one to wait for.
  s.remove(old);
  for (int turns = 0; turns < 1000; ++turns) {
    s.ready(quick);
    CHECK(s.next_sparse() == &quick);
    s.remove(quick);
  }
}

TEST_CASE("scheduler: old channels share alike") {
  Channel a, b, c;
  Bench s;
  for (Channel* one : {&a, &b, &c}) s.ready(*one);
  size_t got[3] = {};
  for (int turn = 0; turn < 300; ++turn) {
    Channel* one = s.next();
    const size_t n = one == &a ? 1 : 16384;  // one of them sends single bytes
    const size_t less = n < static_cast<size_t>(one->deficit) ? n : static_cast<size_t>(one->deficit);
    got[one == &a ? 0 : one == &b ? 1 : 2] += less;
    if (one == &a) {
      s.remove(a);
      s.ready(a);
      continue;
    }
    s.served(*one, less);
  }
  CHECK(got[0] > 200);
  CHECK(got[1] > 10 * 16384);
  const size_t apart = got[1] > got[2] ? got[1] - got[2] : got[2] - got[1];
  CHECK(apart <= kQuantum);
  for (Channel* one : {&a, &b, &c}) s.remove(*one);
}

// A datagram is sent whole, however small the quantum.
TEST_CASE("scheduler: who was served more than its quantum waits until the others have had as much") {
  constexpr int32_t kSmall = 128;
  Channel flow, bulk;
  Bench s;
  s.set_quantum(kSmall);
  s.ready(flow);
  s.ready(bulk);
  size_t got[2] = {};
  int32_t least = 0;
  for (int turn = 0; turn < 10000; ++turn) {
    Channel* one = s.next();
    REQUIRE(one->deficit > 0);
    const size_t n = one == &flow ? 1480 : static_cast<size_t>(kSmall);
    got[one == &flow ? 0 : 1] += n;
    s.served(*one, n);
    if (flow.deficit < least) least = flow.deficit;
  }
  const size_t apart = got[0] > got[1] ? got[0] - got[1] : got[1] - got[0];
  CHECK(apart <= 2 * 1480);
  CHECK(least > -65536);
  s.remove(flow);
  s.remove(bulk);
}

TEST_CASE("scheduler: where all owe, whoever owes least is next, and nobody owes more than one datagram") {
  constexpr size_t kDatagram = 65515;  // the largest one, with its header
  constexpr size_t kSize[] = {kDatagram, 1480, 700};
  Channel flow[3];
  Bench s;
  s.set_quantum(128);
  for (Channel& c : flow) s.ready(c);
  size_t got[3] = {};
  for (int turn = 0; turn < 100000; ++turn) {
    Channel* one = s.next();
    REQUIRE(one->deficit > 0);
    const size_t i = static_cast<size_t>(one - flow);
    got[i] += kSize[i];
    s.served(*one, kSize[i]);
    REQUIRE(one->deficit > -static_cast<int32_t>(kDatagram));
  }
  for (const size_t bytes : got) CHECK(bytes + kDatagram >= got[0]);
  for (const size_t bytes : got) CHECK(got[0] + kDatagram >= bytes);
  // Alone it need not wait.
  s.remove(flow[1]);
  s.remove(flow[2]);
  for (int turn = 0; turn < 10; ++turn) {
    REQUIRE(s.next() == &flow[0]);
    s.served(flow[0], kDatagram);
  }
  s.remove(flow[0]);
}

TEST_SUITE_END();
