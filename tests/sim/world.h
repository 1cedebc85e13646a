// Connectors, an acceptor of one or several muxes, the links between them, and the connections that they forward.
//
// What core/session does with links stands in world_links.cc and world_ends.cc: a link that comes gets a mux that has none, and goes over to
// the one whose session its peer asks for. Over a stream (TCP) side 0 calls side 1; a FIFO or a line is opened by both, and
// may hold what an earlier run has left. A link that the connector has given up may still bring what it said there.
//
// Owner: a test. Invariant: run() stops at the first fault. A session that both sides know is never lost or replaced, if
// both hold it for a minute or more: none of its connections ends but in order.
// Read next: world.cc (connections, and what is expected of them), sim_world.cc.
#ifndef SOCKMUX_TESTS_SIM_WORLD_H
#define SOCKMUX_TESTS_SIM_WORLD_H

#include <array>
#include <map>
#include <memory>
#include <vector>

#include "tests/sim/node.h"

namespace sim {

// One kind of link.
struct LinkShape {
  PipeShape pipe[2];    // [0]: from 0 to 1
  bool search = false;  // both open it, and it may hold what an earlier run has left
  bool repeat = false;  // what is written before the other side is there is lost; it has no end (a line)
  uint32_t rate = 0;    // for LinkStart
  unsigned spoil_one_in = 0;  // garbage: one of so many writes is changed on its way
  bool lossy = false;         // with search: frames, which repair what the line does to one of so many bytes
  unsigned noise_one_in = 0;
};

struct WorldShape {
  smx::MuxConfig config[2];  // [0] connects; [1] accepts
  std::vector<LinkShape> links = std::vector<LinkShape>(1);  // each new link is one of them
  unsigned callers = 1;         // connectors; more than one: streams alone
  unsigned seats = 1;           // muxes of the acceptor
  bool late = false;            // links that deliver late, lose answers, or are given up; seats > 1
  unsigned cuts = 0;            // and other ends of links
  unsigned stalls = 0;
  int64_t busy_us = 2000000;    // clients come, and links end, within this time
  unsigned clients[2] = {10, 10};
  unsigned flows[2] = {0, 0};   // UDP
  uint64_t most_bytes = 20000;  // in one direction of a connection
  size_t most_datagram = 1500;
  bool trouble = true;          // sockets that break, stall, refuse, leave
};

// A link, of the moment or of before.
struct Wire {
  uint64_t number = 0;
  unsigned caller = 0;
  LinkShape shape;
  std::unique_ptr<Pipe> pipe[2];  // [0]: from 0 to 1
  Node* at[2] = {};               // who has it open
  uint64_t closes[2] = {};        // how often that side has closed it
  bool troubled = false;          // it may well be given up
  bool dead = false;              // it was cut
  bool stalled = false;
  enum class Trap : uint8_t { none, ask_is_late, answer_is_lost, given_up, left_at_once } trap = Trap::none;
};

class World {
 public:
  World(uint64_t seed, const WorldShape& shape);

  // Until everything that can end has ended, and then the rest. The fault, or "".
  std::string run();

  Node& node(int side, unsigned seat = 0) { return *nodes_[side][seat]; }
  std::vector<std::unique_ptr<Conn>>& conns() { return conns_; }
  Clock& clock() { return clock_; }
  bool v03() const;
  // What has happened, so that a test can see that it is not about nothing.
  struct Counts {
    unsigned links = 0, resumed = 0, new_sessions = 0, moved = 0, replaced = 0, stale = 0, late_asks = 0, lost_answers = 0;
    unsigned displaced = 0, deaths = 0, restarted = 0, refused = 0, leftovers = 0, late_openers = 0, mixed = 0, lossy = 0, noise = 0, asked_by[2] = {};
    uint64_t datagrams = 0, lost_datagrams = 0;
  };
  const Counts& counts() const { return counts_; }

 private:
  // world.cc
  Conn& new_conn();
  void add_client(int side);
  void add_flow(int side);
  void add_trouble(Conn& c, int side);
  void come(int side, Conn& c);
  void finish(const std::string& when, bool all);
  void finish_flow(const Conn& c, const std::string& when);
  void finish_counts();
  std::string story(const Conn& c) const;

  // world_links.cc, world_ends.cc
  static constexpr int64_t kLatest = 20000000;  // us that a link may deliver late
  void say(const Node& n, const std::string& what) const;
  // A connector, and its link of the moment.
  struct Caller {
    Wire* current = nullptr;
    bool dials = false;
    smx::Time down_since;
  };
  int side_of(const Node& n) const { return n.side; }
  bool spoils() const;
  bool survives(const Node& n) const;
  bool hurries(unsigned caller) const { return clock_.now() - callers_[caller].down_since > smx::seconds(12); }
  Wire& new_wire(unsigned caller);
  void make_noise(std::vector<uint8_t>& bytes, unsigned one_in);
  void leave_rest(Wire& w);
  void dial(unsigned caller);
  void dial_soon(unsigned caller);
  void open_soon(Wire& w, int side, int64_t us);
  void open(Wire& w, int side);
  void place(Node& n, Wire& w, int side);
  void begin(Node& n, Wire& w, int side);
  void accept(Wire& w);
  void take_over(Node& to, Node& from);
  void ask_older(unsigned caller, const Node* but);
  smx::AskAnswer on_ask(Node& n, const smx::Settings& ask);
  void came_up(Node& n);
  void pumped(Node& n);
  void ending(Node& n);
  void lost(Node& n, smx::Err e);
  void judge(const Node& n, smx::Err e);
  void close(Node& n, bool keep, bool again = true);
  void cut(Wire& w);
  void give_up(Wire& w);
  void die(Wire& w);
  void forget(uint64_t session);
  void disconnect(unsigned caller);

  WorldShape shape_;
  Rng rng_;
  Fault fault_;
  Clock clock_;
  std::vector<std::unique_ptr<Node>> nodes_[2];
  std::deque<Sock*> queue_[2];
  unsigned next_seat_ = 0;
  std::vector<std::unique_ptr<Conn>> conns_;
  unsigned stalled_[2] = {};
  Counts counts_;

  std::vector<std::unique_ptr<Wire>> wires_;
  std::vector<Caller> callers_;
  unsigned fails_[2] = {};
  uint64_t starts_ = 0;
  std::vector<std::array<uint8_t, 16>> ids_;  // which a session can get, by its number - 1
  static constexpr unsigned kBoth = 3, kForgotten = 7;
  std::map<uint64_t, unsigned> known_;        // session -> who knows that both have it, a bit each
  std::map<uint64_t, uint64_t> newest_;       // session -> the newest link that has served it
  std::map<uint64_t, unsigned> owners_;       // session -> whose it is
  std::map<const Node*, uint64_t> attempts_;
  Node* moves_to_ = nullptr;
  std::string first_[2], last_[2];            // of what a side has written to links of before
};

}  // namespace sim

#endif
