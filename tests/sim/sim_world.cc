// Two muxes in virtual time: whatever link and sockets do, bytes in are bytes out, in order, and everything ends.
// Rules: sockmux(7). SMX_SIM_SEEDS says how many seeds, SMX_SIM_SEED runs one alone. Read next: world.cc, finish().
#include <doctest/doctest.h>
#include <stdlib.h>

#include <algorithm>

#include "tests/sim/world.h"

using namespace smx;
using namespace sim;

namespace {

WorldShape random_shape(uint64_t seed) {
  Rng rng(seed ^ 0x5eed);
  WorldShape w;
  const unsigned dialects = static_cast<unsigned>(rng.below(6));
  const bool few = rng.one_in(2);
  for (int i = 0; i < 2; ++i) {
    MuxConfig& c = w.config[i];
    c.asks = i == 0;
    if ((i == 0 && dialects == 1) || (i == 1 && dialects == 2) || dialects == 3) c.proto = MuxConfig::Proto::v03;
    c.accepts = static_cast<uint16_t>(few ? rng.between(1, 5) : rng.between(6, 60));
    c.opens = static_cast<uint16_t>(few ? rng.between(1, 5) : rng.between(6, 60));
    c.first_credit = static_cast<uint32_t>(rng.pick({512, 513, 1000, 2048, 4096}));
    const uint64_t least = Mux::guaranteed_bytes(c);
    c.memory_bytes = least + (rng.one_in(2) ? rng.log(20000) : rng.log(4u << 20));
    if (dialects >= 1 && dialects <= 3) c.memory_bytes = std::max<uint64_t>(c.memory_bytes, 600000);
    c.tx_ring = rng.one_in(2) ? 65536 : 262144;
    c.rx_ring = rng.one_in(2) ? 65536 : 262144;
    c.hold = seconds(static_cast<int64_t>(rng.pick({0, 1, 60, 60, 300})));
    c.packet_size = static_cast<uint16_t>(rng.pick({129, 512, 1000, 4096, 16384}));
    PipeShape& p = w.pipe[i];
    p.bytes_per_second = static_cast<int64_t>(rng.pick({30000, 200000, 1000000, 10000000, 100000000}));
    p.delay_us = static_cast<int64_t>(rng.log(300000));
    p.buffer = rng.pick({1u, 100u, 4096u, 65536u, 1000000u});
    if (rng.one_in(4)) p.write_most = rng.one_in(2) ? 1 : 1 + rng.log(2000);
    if (rng.one_in(4)) p.read_most = rng.one_in(2) ? 1 : 1 + rng.log(2000);
  }
  if (rng.one_in(2)) w.cuts = static_cast<unsigned>(rng.one_in(4) ? rng.between(5, 30) : rng.between(1, 4));
  if (rng.one_in(3)) w.stalls = static_cast<unsigned>(rng.between(1, 4));
  w.busy_us = static_cast<int64_t>(rng.log(5000000)) + 1;
  w.clients[0] = static_cast<unsigned>(rng.log(30));
  w.clients[1] = static_cast<unsigned>(rng.log(30));
  w.most_bytes = rng.pick({100u, 2000u, 20000u, 100000u});
  for (const PipeShape& p : w.pipe)
    if (p.buffer < 100 || p.write_most < 10 || p.read_most < 10) w.most_bytes = std::min<uint64_t>(w.most_bytes, 3000);
  w.trouble = !rng.one_in(4);
  return w;
}

void run_seed(uint64_t seed) {
  World world(seed, random_shape(seed));
  const std::string fault = world.run();
  CHECK_MESSAGE(fault.empty(), "SMX_SIM_SEED=" << seed << ": " << fault);
}

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("two muxes: whatever link and sockets do, every byte arrives once and in order, and everything ends") {
  const char* one = getenv("SMX_SIM_SEED");
  if (one != nullptr) return run_seed(strtoull(one, nullptr, 10));
  const unsigned count = seeds(300);
  for (uint64_t seed = 1; seed <= count; ++seed) {
    CAPTURE(seed);
    run_seed(seed);
  }
}

TEST_SUITE_END();
