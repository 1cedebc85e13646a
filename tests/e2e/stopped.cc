// A daemon that stands still (SIGSTOP, as a suspended or starved machine) for less and for longer than channels are held.
// Read next: resume.cc; storms.cc.
#include <doctest/doctest.h>
#include <signal.h>

#include "tests/e2e/tunnel.h"

using namespace e2e;

namespace {

// Holds a tunnel's daemons by turns, in the middle of a copy.
struct Halting {
  static constexpr uint64_t kSize = 30 * 1000 * 1000;
  static constexpr int kHalts = 4;
  static constexpr double kHalt = 0.3;
  explicit Halting(Tunnel& of) : t(of), copy(of.a->port()), talk(of.a->port()) { copy.expect_pattern(7).send_pattern(7, kSize); }
  void step() {
    if (talk.text().size() == asked && asked < 100000) talk.send("k"), ++asked;
    if (until > 0 && now() > until) {
      t.side(halts++ % 2)->signal(SIGCONT);
      until = 0;
    }
    if (until == 0 && halts < kHalts && copy.received() > static_cast<uint64_t>(halts + 1) * (kSize / (kHalts + 2))) {
      t.side(halts % 2)->signal(SIGSTOP);
      until = now() + kHalt;
    }
  }
  bool done() const { return halts == kHalts && copy.received() == kSize; }
  Tunnel& t;
  Conn copy, talk;
  size_t asked = 0;
  int halts = 0;
  double until = 0;
};

}  // namespace

TEST_CASE("stopped: either side by turns, for a moment, during a copy and a dialogue: pauses, in every dialect, and nothing more") {
  Tunnel plain("plain", {}), old("0.3", {}), secure("secure", {});
  Halting each[3] = {Halting(plain), Halting(old), Halting(secure)};
  CHECK(wait_for(
      [&] {
        for (Halting& h : each) h.step();
        return each[0].done() && each[1].done() && each[2].done();
      },
      60));
  for (Halting& h : each) {
    CAPTURE(h.t.kind);
    CHECK(h.halts == Halting::kHalts);
    CHECK(h.copy.received() == Halting::kSize);
    CHECK_FALSE(h.copy.wrong());
    CHECK(wait_for([&] { return h.talk.text() == std::string(h.asked, 'k'); }, 5));
    CHECK(h.copy.alive());
    CHECK(h.talk.alive());
    CHECK(h.t.c->process().count(" link-up ") == 1);
  }
}

TEST_CASE("stopped: for longer than channels are held, while the link is lost: they end, both sides come back, who waited is served") {
  const Words words{"TIMEOUT=resume:1"};
  Tunnel plain_a("plain", words), plain_c("plain", words), secure_a("secure", words), secure_c("secure", words);
  struct Case {
    Tunnel& t;
    int stopped;
    std::unique_ptr<Conn> before, during;
  };
  Case each[4] = {{plain_a, 0, {}, {}}, {plain_c, 1, {}, {}}, {secure_a, 0, {}, {}}, {secure_c, 1, {}, {}}};
  for (Case& c : each) {
    c.before = std::make_unique<Conn>(c.t.a->port());
    c.before->send("before");
  }
  for (Case& c : each) REQUIRE(wait_for([&] { return c.before->text() == "before"; }, 10));
  for (Case& c : each) {
    c.t.side(c.stopped)->signal(SIGSTOP);
    c.t.wire->cut();
  }
  const double stop = now();
  // The side that runs gives its channels up, and closes their other ends.
  for (Case& c : each) CHECK(wait_for([&] { return c.stopped == 0 ? c.t.echo.conns().empty() || c.t.echo.last().over() : c.before->over(); }, 10));
  for (Case& c : each) {
    c.during = std::make_unique<Conn>(c.t.a->port());
    c.during->send("during");
  }
  CHECK(wait_for([&] { return now() > stop + 1.5; }, 4));
  for (Case& c : each) c.t.side(c.stopped)->signal(SIGCONT);
  for (Case& c : each) {
    CAPTURE(c.t.kind);
    CAPTURE(c.stopped);
    // Who was let in in the very turn that then met the loss has gone the way of the others.
    const auto let_in_too_early = [&] { return c.stopped == 0 && c.t.a->process().says(" channels=2 held=yes") && c.during->over(); };
    CHECK(wait_for([&] { return c.during->text() == "during" || let_in_too_early(); }, 20));
    CHECK(serves(c.t.a->port(), 5));
    CHECK(wait_for([&] { return c.before->over(); }, 10));
    c.during->shut();
    CHECK(c.t.a->wait_channels(0, 10));
    CHECK(c.t.c->wait_channels(0, 10));
  }
}

// As above, but nobody hears of it: the side that runs has to notice by the silence. 30 s: `make check-kernel`.
TEST_CASE("stopped: for half a minute, with nothing that tells of it: channels outlive it if they are held for longer, else they end" * doctest::skip()) {
  for (const int stopped : {0, 1}) {
    CAPTURE(stopped);
    const Words shorter{"TIMEOUT=ping:2,resume:3"}, longer{"TIMEOUT=ping:2,resume:60"};
    Tunnel plain("plain", shorter), old("0.3", shorter), secure("secure", shorter), plain_held("plain", longer), secure_held("secure", longer);
    Tunnel* each[5] = {&plain, &old, &secure, &plain_held, &secure_held};
    std::vector<std::unique_ptr<Conn>> copy;
    for (Tunnel* t : each) {
      copy.push_back(std::make_unique<Conn>(t->a->port()));
      copy.back()->send_pattern(3, 1000 * 1000 * 1000).expect_pattern(3);
    }
    REQUIRE(wait_for([&] { return copy[0]->received() > 1000000 && copy[1]->received() > 1000000 && copy[2]->received() > 1000000 && copy[3]->received() > 1000000 && copy[4]->received() > 1000000; }, 20));
    for (Tunnel* t : each) t->side(stopped)->signal(SIGSTOP);
    const double stop = now();
    // A peer that speaks 0.3 has 30 s to answer who asks whether it lives, and is asked after 2.
    CHECK(wait_for([&] {
      bool all = now() > stop + 30;
      for (Tunnel* t : each) all = all && t->side(1 - stopped)->says(" link-down ");
      return all;
    }, 45));
    for (Tunnel* t : each) {
      CAPTURE(t->kind);
      CHECK(t->side(1 - stopped)->says(" link-down "));
      t->side(stopped)->signal(SIGCONT);
    }
    uint64_t before[5];
    for (size_t i = 0; i < 5; ++i) before[i] = copy[i]->received();
    for (size_t i = 0; i < 5; ++i) {
      CAPTURE(each[i]->kind);
      CAPTURE(i);
      CHECK(serves(each[i]->a->port(), 20));
      if (i < 3) {
        CHECK(wait_for([&] { return copy[i]->over(); }, 10));
      } else {
        CHECK(wait_for([&] { return copy[i]->received() > before[i] + 10 * 1000 * 1000; }, 30));
        CHECK(copy[i]->alive());
        CHECK((*each[i]->c)->says("resumed=yes"));
      }
      CHECK_FALSE(copy[i]->wrong());
      copy[i]->close();
      CHECK(each[i]->a->wait_channels(0, 20));
      CHECK(each[i]->c->wait_channels(0, 20));
    }
  }
}
