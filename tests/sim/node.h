// One side of a simulated pair: a mux, what core/session does around it, and simulated local sockets.
//
// Owner: a world. An acceptor is several nodes that share one queue of waiting clients. Invariant: a socket is looked at again only when it changed itself or the mux said on_wants(), as with
// a real poller; so a lost wake-up shows as a connection that never ends.
// Read next: turns.h, world.h.
#ifndef SOCKMUX_TESTS_SIM_NODE_H
#define SOCKMUX_TESTS_SIM_NODE_H

#include <stdlib.h>

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/mux/mux.h"
#include "tests/sim/sim.h"
#include "tests/sim/turns.h"

namespace sim {

struct Conn;
class Node;
struct Wire;

// One direction of a UDP flow, at the side that sends it.
struct Flow {
  unsigned sends = 0;            // datagrams
  size_t most = 0;               // bytes in one
  int64_t gap_us = 0;            // between two, at most
  unsigned made = 0, lost = 0;   // of these, lost for want of room here, or since the link takes none of that size
  std::deque<size_t> queue;      // sizes of those that wait
  std::vector<size_t> taken;     // sizes of those that the mux has got, in order
  size_t arrived = 0;            // of these, at the other side
  bool over() const { return made == sends && queue.empty() && arrived == taken.size(); }
};

// How a local socket behaves. Sizes are bytes.
struct Habit {
  uint64_t sends = 0;
  enum class Gate : uint8_t { at_once, after_got, after_end } gate = Gate::at_once;  // when it begins to send
  enum class End : uint8_t { sent, sent_and_got, peer_end } end = End::sent;         // when it is at its end of file
  size_t out_most = SIZE_MAX;  // one read gives at most so much
  size_t in_most = SIZE_MAX;   // one write takes at most so much
  size_t in_buffer = 65536;    // what it takes before it must rest
  int64_t rest_us = 1000;      // how long it rests, at most
  bool trickles = false;       // what it sends comes bit by bit
  bool stalls = false;         // takes in_buffer bytes, and then nothing, until wake()
  uint64_t breaks_out = UINT64_MAX;  // reading it fails behind so many bytes
  uint64_t breaks_in = UINT64_MAX;   // writing to it fails behind so many bytes
};

struct Sock {
  Conn* conn = nullptr;
  Node* node = nullptr;
  bool server = false;
  Habit habit;
  Flow flow;
  smx::ChannelId id;
  bool live = false;  // the mux knows it
  size_t place = 0;   // in its node's list of these
  uint64_t session = 0;
  bool done = false, aborted = false, saw_end = false, gave_end = false;
  smx::CloseCode code = smx::CloseCode::done;
  uint64_t given = 0, made = 0;  // taken by the mux; there to be taken
  uint64_t got = 0, room = 0;
  bool armed_read = false, armed_write = false;  // what the poller watches
  bool read_event = false, write_event = false;
  bool rests = false;
  Turn turn;

  uint64_t out_stream() const;
  uint64_t in_stream() const;
  bool may_begin() const;
  bool at_end() const;
  bool readable() const;
};

// One forwarded connection: who asked, and what is expected of it.
struct Conn {
  uint32_t number = 0;
  bool udp = false;
  Sock client, server;
  uint64_t to_server = 0, to_client = 0;  // bytes that the two will send
  bool whole = true;     // nothing breaks it: all bytes must arrive, and both must see an orderly end; UDP: all datagrams
  bool reached = false;  // the server side has heard of it
  enum class Answer : uint8_t { accept, accept_later, refuse, refuse_later, never } answer = Answer::accept;
  int64_t answer_us = 0;
  int64_t leaves_us = -1;  // the client's owner aborts it so long after it was opened
  bool ending = false;     // UDP: the client's owner ends it, since all has arrived
};

class Node final : public smx::MuxEvents {
 public:
  Node(Clock& clock, Rng& rng, Fault& fault, const smx::MuxConfig& config, std::string name);

  smx::Mux mux{*this};
  const smx::MuxConfig config;

  // ---- for the world
  std::function<Conn*(const smx::OpenInfo&)> lookup;  // whose connection a CONNECT names
  std::function<void(Node&, smx::Err)> broken;        // the link must end; none: the peer has closed it
  std::function<smx::AskAnswer(Node&, const smx::Settings&)> asked;
  std::function<void(Node&)> moved;                   // another node must take the link
  std::function<void(Node&)> came_up, pumped, stepped, ending;  // ending: the link is about to be down
  std::deque<Sock*>* queue = &waiting_;               // accepted clients
  bool checks_data = true;                            // false: garbage may come
  bool garbles = false;  // 0.3 over FIFOs or lines: it can't tell half a CONNECT from the HELLO behind it
  Pipe* tx = nullptr;
  Pipe* rx = nullptr;
  int side = 0;
  unsigned caller = 0;       // which connector it is, or serves
  Wire* wire = nullptr;      // tx and rx belong to it
  uint64_t session = 0;      // names the mux's session, or its last one
  smx::Time since, probed = smx::kNever;  // the link; when it was asked for a sign of life

  void start(const smx::LinkStart& start);
  void stop(bool keep = true);
  // The link goes from one node to another.
  void give(smx::LinkHandover* out);
  smx::Err take(const smx::LinkHandover& link);
  void probe(smx::Duration patience);
  void client(Conn& c);  // a client is in the accept queue
  void read_link();
  void pump();
  // Those that stall for ever are closed by their owner.
  void wake();
  bool linked() const { return linked_; }
  size_t waiting() const { return queue->size(); }
  void open_waiting();
  // Calls f(Sock&) for each that the mux knows; f must not end any.
  template <typename F>
  void for_each_live(F f) {
    for (Sock* s : live_) f(*s);
  }
  uint64_t ticks() const { return ticks_; }
  const std::string& name() const { return name_; }

  // ---- MuxEvents
  void on_up() override;
  void on_room() override;
  void on_open(smx::ChannelId id, const smx::OpenInfo& info) override;
  void on_opened(smx::ChannelId id) override;
  void describe(smx::ChannelId id, smx::OpenInfo* info) override;
  smx::Pulled on_pull(smx::ChannelId id, const smx::MutBytes* piece, int pieces) override;
  smx::Taken on_data(smx::ChannelId id, const smx::Bytes* piece, int pieces) override;
  smx::PulledDatagram on_pull_datagram(smx::ChannelId id, const smx::MutBytes* piece, int pieces, size_t largest) override;
  void on_datagram(smx::ChannelId id, const smx::Bytes* piece, int pieces) override;
  smx::AskAnswer on_ask(const smx::Settings& ask) override { return asked ? asked(*this, ask) : smx::AskAnswer::here; }
  void on_wants(smx::ChannelId id) override;
  void on_end(smx::ChannelId id) override;
  void on_done(smx::ChannelId id) override;
  void on_abort(smx::ChannelId id, smx::CloseCode code) override;

 private:
  Sock* find(smx::ChannelId id);
  void attach(Sock& s, smx::ChannelId id);
  void forget(Sock& s);
  void rearm(Sock& s);
  void poke(Sock& s);
  void produce(Sock& s);
  void after(Sock& s);  // something that may_begin() or at_end() look at has changed
  void produce_datagrams(Sock& s);
  void end_flow(Conn& c);
  void served(Sock& s, size_t n);
  void soon();
  void watch_deadline();
  void checked();

  Clock& clock_;
  Rng& rng_;
  Fault& fault_;
  std::string name_;
  struct Free {
    void operator()(char* p) const { free(p); }
  };
  std::unique_ptr<char, Free> memory_;  // zero, and not touched before it is used
  std::unique_ptr<smx::Arena> arena_;
  std::vector<Sock*> by_slot_, live_;
  Turns turns_{0};
  std::deque<Sock*> waiting_;
  std::vector<Sock*> stalled_;
  bool linked_ = false;
  bool soon_ = false;
  uint64_t link_ = 0;
  uint64_t ticks_ = 0;
  uint64_t steps_ = 0;
  smx::Time watched_ = smx::kNever;
};

}  // namespace sim

#endif
