// The mux against a hand-made 0.3 peer that counts violations. Rules: sockmux(7), "SockMux 0.3".
// SMX_SIM_SEEDS says how many seeds. Read next: peer03.h.
#include <doctest/doctest.h>

#include <string.h>

#include <algorithm>

#include "tests/sim/peer03.h"

using namespace smx;
using namespace sim;

namespace {

// Until the peer has a slot for its client.
void knock(Clock& clock, Peer03& peer, Conn& c) {
  if (!peer.client(c)) clock.in(10000, [&clock, &peer, &c] { knock(clock, peer, c); });
}

std::string run_peer03(uint64_t seed) {
  Rng rng(seed);
  Clock clock;
  Fault fault;
  PipeShape shape[2];
  for (PipeShape& p : shape) {
    p.bytes_per_second = static_cast<int64_t>(rng.pick({100000, 1000000, 100000000}));
    p.delay_us = static_cast<int64_t>(rng.log(100000));
    p.buffer = rng.pick({1000u, 65536u});
    if (rng.one_in(4)) p.write_most = 1 + rng.size(1000);
    if (rng.one_in(4)) p.read_most = 1 + rng.size(1000);
  }
  Pipe to_peer(clock, shape[0]), to_mux(clock, shape[1]);
  MuxConfig config;
  config.asks = rng.one_in(2);
  if (rng.one_in(3)) config.proto = MuxConfig::Proto::v03;
  config.packet_size = static_cast<uint16_t>(rng.pick({129, 512, 4096, 16384}));
  config.memory_bytes = std::max<uint64_t>(Mux::guaranteed_bytes(config), 600000 + rng.log(8u << 20));
  config.tx_ring = config.rx_ring = rng.one_in(2) ? 65536 : 262144;
  Peer03::Shape peer_shape;
  peer_shape.packet_size = rng.pick({129u, 512u, 4096u, 16384u});
  peer_shape.packet_size = std::max(peer_shape.packet_size, 512u);
  peer_shape.conn_data = !rng.one_in(4);
  peer_shape.none_is_ffff = rng.one_in(4);
  peer_shape.crossing_one_in = static_cast<unsigned>(rng.below(3));
  Node node(clock, rng, fault, config, "mux");
  Peer03 peer(clock, rng, peer_shape);
  std::vector<std::unique_ptr<Conn>> conns;
  const auto find = [&](uint32_t n) -> Conn* { return n < conns.size() ? conns[n].get() : nullptr; };
  node.tx = &to_peer;
  node.rx = &to_mux;
  peer.tx = &to_mux;
  peer.rx = &to_peer;
  node.lookup = [&](const OpenInfo& info) { return find(load32(info.client.ip) - 0x0a000000u); };
  node.broken = [&](Node& n, Err e) { fault.set(__FILE__, __LINE__, std::string("link ended: ") + name(e) + " type " + std::to_string(n.mux.last_header().type)); };
  peer.lookup = find;
  to_peer.readable = [&] { peer.read_link(); };
  to_peer.writable = [&] { node.pump(); };
  to_mux.readable = [&] { node.read_link(); };
  to_mux.writable = [&] { peer.pump(); };

  const unsigned clients = static_cast<unsigned>(rng.log(120));
  for (unsigned i = 0; i < clients; ++i) {
    conns.push_back(std::make_unique<Conn>());
    Conn& c = *conns.back();
    c.number = i;
    c.client.conn = c.server.conn = &c;
    c.server.server = true;
    c.to_server = rng.log(rng.one_in(8) ? 200000 : 3000);
    c.to_client = rng.log(rng.one_in(8) ? 200000 : 3000);
    for (Sock* s : {&c.client, &c.server}) {
      Habit& h = s->habit;
      h.sends = s->server ? c.to_client : c.to_server;
      h.trickles = rng.one_in(4);
      if (rng.one_in(4)) h.in_buffer = 1 + rng.size(2000);
      if (rng.one_in(5)) h.in_most = 1;
      if (rng.one_in(5)) h.out_most = 1;
    }
    if (rng.one_in(3)) c.server.habit.gate = Habit::Gate::after_got;
    c.server.habit.end = Habit::End::sent_and_got;
    c.client.habit.end = rng.pick({Habit::End::sent_and_got, Habit::End::peer_end, Habit::End::sent_and_got});
    const bool ours = rng.one_in(2);
    if (ours && c.server.habit.gate == Habit::Gate::after_got && rng.one_in(2)) c.client.habit.end = Habit::End::sent;
    c.answer = rng.pick({Conn::Answer::accept, Conn::Answer::accept, Conn::Answer::accept_later, Conn::Answer::refuse});
    c.answer_us = static_cast<int64_t>(rng.log(100000));
    c.whole = c.answer != Conn::Answer::refuse;
    if (rng.one_in(10)) {
      c.whole = false;
      if (ours) {
        c.leaves_us = static_cast<int64_t>(rng.log(50000));
      } else {
        c.server.habit.breaks_in = rng.log(3000);
      }
    }
    const int64_t at = static_cast<int64_t>(rng.log(1000000));
    if (ours) {
      clock.in(at, [&node, &c] { node.client(c); });
    } else {
      clock.in(at, [&clock, &peer, &c] { knock(clock, peer, c); });
    }
  }
  for (int i = 0; i < 20; ++i) clock.in(static_cast<int64_t>(rng.below(1000000)), [&peer] { peer.echo(); });

  LinkStart start;
  for (uint8_t& b : start.random) b = static_cast<uint8_t>(rng.next());
  node.start(start);
  peer.start();
  const Time limit = clock.now() + seconds(300);
  while (!fault.any() && peer.complaints().empty() && clock.step(limit)) {
  }
  if (!peer.complaints().empty()) return peer.complaints()[0];
  if (fault.any()) return fault.text();
  for (const std::unique_ptr<Conn>& c : conns) {
    if (!c->whole) continue;
    // One of the two is the peer's and has no socket here.
    const Sock& s = c->client.node != nullptr ? c->client : c->server;
    const uint64_t expected = s.server ? c->to_server : c->to_client;
    if (!s.done || s.got != expected)
      return "connection " + std::to_string(c->number) + (s.server ? " server" : " client") + ": got " + std::to_string(s.got) + " of " +
             std::to_string(expected) + (s.done ? "" : ", not done");
  }
  if (peer.open() > 0) return "the peer has channels left";
  if (peer.echoes_out() > 0) return "ECHO without answer";
  if (node.waiting() > 0) return "clients wait for ever";
  if (node.mux.channels() > 0) return "channels are left";
  if (node.mux.blocks_used() > 0) return "blocks are left";
  return "";
}

}  // namespace

TEST_SUITE_BEGIN("sim");

TEST_CASE("a 0.3 peer that keeps the page's rules finds nothing to complain of") {
  const char* one = getenv("SMX_SIM_SEED");
  const unsigned count = seeds(300);
  for (uint64_t seed = one != nullptr ? strtoull(one, nullptr, 10) : 1; seed <= count; ++seed) {
    CAPTURE(seed);
    const std::string fault = run_peer03(seed);
    CHECK_MESSAGE(fault.empty(), "seed " << seed << ": " << fault);
    if (one != nullptr) break;
  }
}

TEST_SUITE_END();
