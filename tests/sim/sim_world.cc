// Two muxes in virtual time: whatever link and sockets do, bytes in are bytes out, in order, and everything ends.
// Rules: sockmux(7). SMX_SIM_SEEDS says how many seeds, SMX_SIM_SEED runs one alone, SMX_SIM_TRACE=1 tells of its links.
// Read next: world.h, world.cc.
#include <doctest/doctest.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <algorithm>

#include "tests/sim/world.h"

using namespace smx;
using namespace sim;

namespace {

LinkShape random_link(Rng& rng) {
  LinkShape l;
  for (PipeShape& p : l.pipe) {
    p.bytes_per_second = static_cast<int64_t>(rng.pick({30000, 200000, 1000000, 10000000, 100000000}));
    p.delay_us = static_cast<int64_t>(rng.log(300000));
    p.buffer = rng.pick({1u, 100u, 4096u, 65536u, 1000000u});
    if (rng.one_in(4)) p.write_most = rng.one_in(2) ? 1 : 1 + rng.size(2000);
    if (rng.one_in(4)) p.read_most = rng.one_in(2) ? 1 : 1 + rng.size(2000);
  }
  return l;
}

WorldShape random_shape(uint64_t seed) {
  Rng rng(seed ^ 0x5eed);
  WorldShape w;
  const unsigned dialects = static_cast<unsigned>(rng.below(6));
  const bool few = rng.one_in(2);
  for (int i = 0; i < 2; ++i) {
    MuxConfig& c = w.config[i];
    if ((i == 0 && dialects == 1) || (i == 1 && dialects == 2) || dialects == 3) c.proto = MuxConfig::Proto::v03;
    c.accepts = static_cast<uint16_t>(few ? rng.between(1, 5) : rng.between(6, 60));
    c.opens = static_cast<uint16_t>(few ? rng.between(1, 5) : rng.between(6, 60));
    c.first_credit = static_cast<uint32_t>(rng.pick({512, 513, 1000, 2048, 4096}));
    const uint64_t least = Mux::guaranteed_bytes(c);
    c.memory_bytes = least + (rng.one_in(2) ? rng.log(20000) : rng.log(4u << 20));
    if (dialects >= 1 && dialects <= 3) c.memory_bytes = std::max<uint64_t>(c.memory_bytes, 600000);
    c.tx_ring = rng.one_in(2) ? 65536 : 262144;
    c.rx_ring = rng.one_in(2) ? 65536 : 262144;
    c.hold = seconds(static_cast<int64_t>(rng.pick({0, 1, 60, 60, 300, 300})));
    c.packet_size = static_cast<uint16_t>(rng.pick({129, 512, 1000, 4096, 16384}));
  }
  if (!rng.one_in(3)) w.cuts = static_cast<unsigned>(rng.one_in(4) ? rng.between(5, 30) : rng.between(1, 4));
  if (rng.one_in(3)) w.stalls = static_cast<unsigned>(rng.between(1, 4));
  w.busy_us = static_cast<int64_t>(rng.log(5000000)) + 1;
  if (w.cuts > 0) w.busy_us += 200000;
  if (rng.one_in(4)) w.busy_us *= 10;
  // One mux on each side, over streams alone or over all kinds of links; or an acceptor that has several.
  w.links[0] = random_link(rng);
  if (rng.one_in(3)) {
    w.links[0].search = !rng.one_in(3);
    while (w.links.size() < 4 && rng.one_in(2)) {
      w.links.push_back(random_link(rng));
      w.links.back().search = !rng.one_in(3);
    }
    for (LinkShape& l : w.links) {
      l.repeat = l.search && !rng.one_in(3);
      if (!l.repeat || rng.one_in(3)) continue;
      // A serial line of a known rate.
      l.rate = rng.pick({960u, 1920u, 11520u, 92160u});
      for (PipeShape& p : l.pipe) {
        p.bytes_per_second = l.rate;
        p.delay_us = static_cast<int64_t>(rng.log(20000));
        p.buffer = rng.pick({32u, 100u});
      }
      // One that changes and drops bytes, which frames repair.
      l.lossy = (dialects == 0 || dialects > 3) && !rng.one_in(3);
      if (l.lossy && !rng.one_in(4)) l.noise_one_in = rng.pick({200u, 500u, 2000u, 20000u});
    }
  } else if (!rng.one_in(4)) {
    w.seats = static_cast<unsigned>(rng.between(2, 4));
    w.late = !rng.one_in(3);
    if (rng.one_in(3)) {
      w.callers = static_cast<unsigned>(rng.between(2, 3));
      w.seats = w.callers + static_cast<unsigned>(rng.between(1, 2));
    }
  }
  w.clients[0] = static_cast<unsigned>(rng.log(30));
  w.clients[1] = static_cast<unsigned>(rng.log(30));
  if (rng.one_in(3)) {
    w.flows[0] = static_cast<unsigned>(rng.log(10));
    w.flows[1] = static_cast<unsigned>(rng.log(10));
    w.most_datagram = rng.pick({100u, 1500u, 20000u, 65507u});
    if (rng.one_in(3)) {
      // Many large ones into a small ring: pieces wait while others want to begin.
      w.flows[0] = static_cast<unsigned>(rng.between(5, 12));
      w.flows[1] = static_cast<unsigned>(rng.between(0, 12));
      w.most_datagram = 65507;
      for (MuxConfig& c : w.config) {
        c.tx_ring = 65536;
        c.hold = seconds(60);
      }
      w.cuts += static_cast<unsigned>(rng.between(5, 20));
      w.busy_us += 2000000;
    }
  }
  w.most_bytes = rng.pick({100u, 2000u, 20000u, 100000u});
  for (const LinkShape& l : w.links) {
    for (const PipeShape& p : l.pipe) {
      if (p.bytes_per_second < 10000) {
        w.most_bytes = std::min<uint64_t>(w.most_bytes, 500);
        w.most_datagram = std::min<size_t>(w.most_datagram, 3000);
      }
      if (p.buffer >= 100 && p.write_most >= 10 && p.read_most >= 10) continue;
      w.most_bytes = std::min<uint64_t>(w.most_bytes, 3000);
      w.most_datagram = std::min<size_t>(w.most_datagram, 3000);
    }
  }
  w.trouble = !rng.one_in(4);
  return w;
}

// What all seeds together have met.
struct Met {
  World::Counts sum;
  void add(const World::Counts& c) {
    sum.links += c.links;
    sum.resumed += c.resumed;
    sum.new_sessions += c.new_sessions;
    sum.moved += c.moved;
    sum.replaced += c.replaced;
    sum.stale += c.stale;
    sum.late_asks += c.late_asks;
    sum.lost_answers += c.lost_answers;
    sum.displaced += c.displaced;
    sum.deaths += c.deaths;
    sum.restarted += c.restarted;
    sum.refused += c.refused;
    sum.leftovers += c.leftovers;
    sum.late_openers += c.late_openers;
    sum.mixed += c.mixed;
    sum.noise += c.noise;
    sum.lossy += c.lossy;
    for (int i = 0; i < 2; ++i) sum.asked_by[i] += c.asked_by[i];
    sum.datagrams += c.datagrams;
    sum.lost_datagrams += c.lost_datagrams;
  }
};

// A bug that ends the process must name its seed, too.
char now_running[64];
void name_seed(int) {
  const ssize_t n = write(2, now_running, strlen(now_running));
  (void)n;
  signal(SIGABRT, SIG_DFL);
  abort();
}

void run_seed(uint64_t seed, Met* met = nullptr) {
  snprintf(now_running, sizeof now_running, "SMX_SIM_SEED=%llu\n", static_cast<unsigned long long>(seed));
  World world(seed, random_shape(seed));
  const std::string fault = world.run();
  CHECK_MESSAGE(fault.empty(), "SMX_SIM_SEED=" << seed << " (build/unit -tc='two muxes: what*'): " << fault);
  if (met != nullptr) met->add(world.counts());
}

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("two muxes: whatever link and sockets do, every byte arrives once and in order, and everything ends") {
  void (*const before)(int) = signal(SIGABRT, name_seed);
  const char* one = getenv("SMX_SIM_SEED");
  if (one != nullptr) {
    run_seed(strtoull(one, nullptr, 10));
  } else {
    Met met;
    const unsigned count = seeds(2000);
    for (uint64_t seed = 1; seed <= count; ++seed) run_seed(seed, &met);
    const World::Counts& m = met.sum;
    MESSAGE(count << " seeds: " << m.links << " links, " << m.resumed << " resumed, " << m.new_sessions << " sessions, " << m.moved
                  << " moved, " << m.replaced << " replaced, " << m.stale << " stale, " << m.late_asks << " late asks, " << m.lost_answers
                  << " lost answers, " << m.restarted << " restarted, " << m.deaths << " deaths, " << m.displaced << " displaced, " << m.refused << " refused, " << m.leftovers << " leftovers, "
                  << m.late_openers << " late openers, " << m.mixed << " other kinds, " << m.lossy << " lossy lines with " << m.noise << " bytes spoiled, asked by " << m.asked_by[0] << " and "
                  << m.asked_by[1] << "; " << m.datagrams << " datagrams, " << m.lost_datagrams << " lost");
    if (count >= 1000) {
      // Nothing of what is meant to befall them is missing.
      for (const unsigned n : {m.resumed, m.new_sessions, m.moved, m.replaced, m.stale, m.late_asks, m.lost_answers, m.restarted, m.deaths, m.leftovers,
                               m.late_openers, m.mixed, m.lossy, m.noise, m.asked_by[0], m.asked_by[1]})
        CHECK(n >= count / 50);
      CHECK(m.refused > 0);
      CHECK(m.datagrams > count);
    }
  }
  signal(SIGABRT, before);
}

namespace {

// Clients of side 0 that send `bytes(number)` each, all at once.
std::string run_senders(const WorldShape& shape, uint64_t (*bytes)(uint32_t number), bool trickles) {
  World world(1, shape);
  for (const std::unique_ptr<Conn>& c : world.conns()) {
    c->client.habit = c->server.habit = Habit{};
    c->answer = Conn::Answer::accept;
    c->client.habit.sends = c->to_server = bytes(c->number);
    c->client.habit.trickles = trickles && c->number > 0;
    c->to_client = 0;
    c->server.habit.end = Habit::End::peer_end;
  }
  return world.run();
}

WorldShape senders(unsigned count, int64_t bytes_per_second, uint64_t memory) {
  WorldShape w;
  for (MuxConfig& c : w.config) {
    c.memory_bytes = memory;
    c.tx_ring = c.rx_ring = 262144;
  }
  w.links[0].pipe[0].bytes_per_second = bytes_per_second;
  w.links[0].pipe[0].buffer = 4096;
  w.busy_us = 1000;
  w.clients[0] = count;
  w.clients[1] = 0;
  w.trouble = false;
  return w;
}

}  // namespace

// Node::served() judges. Many that say little, more than the link can carry, and one that has much to say.
TEST_CASE("two muxes: a download goes on while sparse channels could fill the ring for ever") {
  const std::string fault = run_senders(senders(400, 30000, 8u << 20), [](uint32_t n) -> uint64_t { return n == 0 ? 1000000 : 5000; }, true);
  CHECK_MESSAGE(fault.empty(), fault);
}

TEST_CASE("two muxes: downloads share alike") {
  WorldShape w = senders(6, 10000000, 32u << 20);
  for (PipeShape& p : w.links[0].pipe) p.delay_us = 50000;  // so that their windows grow, and the link is what they share
  const std::string fault = run_senders(w, [](uint32_t) -> uint64_t { return 5000000; }, false);
  CHECK_MESSAGE(fault.empty(), fault);
}

TEST_SUITE_END();
