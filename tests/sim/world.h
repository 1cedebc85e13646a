// Two nodes, the link between them, and the connections that they forward.
//
// Owner: a test. Invariant: run() stops at the first fault; what it checks stands in world.cc, finish().
// Read next: sim_world.cc.
#ifndef SOCKMUX_TESTS_SIM_WORLD_H
#define SOCKMUX_TESTS_SIM_WORLD_H

#include <memory>
#include <vector>

#include "tests/sim/node.h"

namespace sim {

struct WorldShape {
  smx::MuxConfig config[2];  // [0] connects, and asks; [1] accepts
  PipeShape pipe[2];         // [0]: from 0 to 1
  unsigned cuts = 0;
  unsigned stalls = 0;
  int64_t busy_us = 2000000;  // clients come, and links are cut, within this time
  unsigned clients[2] = {10, 10};
  uint64_t most_bytes = 20000;  // in one direction of a connection
  bool trouble = true;          // sockets that break, stall, refuse, leave
  unsigned spoil_one_in = 0;    // garbage: one of so many writes is changed on its way
};

class World {
 public:
  World(uint64_t seed, const WorldShape& shape);

  // Until everything that can end has ended, and then the rest. The fault, or "".
  std::string run();

  Node& node(int i) { return *nodes_[i]; }
  std::vector<std::unique_ptr<Conn>>& conns() { return conns_; }
  Clock& clock() { return clock_; }
  bool v03() const;

 private:
  bool holds() const;
  void add_client(int side);
  void connect();
  void disconnect();
  void lost(Node& node, smx::Err e);
  void finish(const std::string& when, bool all);

  WorldShape shape_;
  Rng rng_;
  Fault fault_;
  Clock clock_;
  std::unique_ptr<Node> nodes_[2];
  std::unique_ptr<Pipe> pipes_[2];
  std::vector<std::unique_ptr<Conn>> conns_;
  unsigned stalled_[2] = {};
  uint64_t links_ = 0;
  bool down_soon_ = false;
};

}  // namespace sim

#endif
