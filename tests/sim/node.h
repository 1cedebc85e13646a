// One side of a simulated pair: a mux, what core/session does around it, and simulated local sockets.
//
// Owner: a world. Invariant: a socket is looked at again only when it changed itself or the mux said on_wants(), as with
// a real poller; so a lost wake-up shows as a connection that never ends.
// Read next: world.h.
#ifndef SOCKMUX_TESTS_SIM_NODE_H
#define SOCKMUX_TESTS_SIM_NODE_H

#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "core/mux/mux.h"
#include "tests/sim/sim.h"

namespace sim {

struct Conn;
class Node;

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
  smx::ChannelId id;
  bool live = false;  // the mux knows it
  bool done = false, aborted = false, saw_end = false, gave_end = false;
  smx::CloseCode code = smx::CloseCode::done;
  uint64_t given = 0, made = 0;  // taken by the mux; there to be taken
  uint64_t got = 0, room = 0;
  bool armed_read = false, armed_write = false;  // what the poller watches
  bool read_event = false, write_event = false;
  bool rests = false;

  uint64_t out_stream() const;
  uint64_t in_stream() const;
  bool may_begin() const;
  bool at_end() const;
  bool readable() const { return may_begin() && (given < made || at_end()); }
};

// One forwarded connection: who asked, and what is expected of it.
struct Conn {
  uint32_t number = 0;
  Sock client, server;
  uint64_t to_server = 0, to_client = 0;  // bytes that the two will send
  bool whole = true;     // nothing breaks it: all bytes must arrive, and both must see an orderly end
  bool reached = false;  // the server side has heard of it
  enum class Answer : uint8_t { accept, accept_later, refuse, refuse_later, never } answer = Answer::accept;
  int64_t answer_us = 0;
  int64_t leaves_us = -1;  // the client's owner aborts it so long after it was opened
};

class Node final : public smx::MuxEvents {
 public:
  Node(Clock& clock, Rng& rng, Fault& fault, const smx::MuxConfig& config, std::string name);

  smx::Mux mux{*this};
  const smx::MuxConfig config;

  // ---- for the world
  std::function<Conn*(const smx::OpenInfo&)> lookup;  // whose connection a CONNECT names
  std::function<void(Node&, smx::Err)> broken;        // the link must end
  bool checks_data = true;                            // false: garbage may come
  Pipe* tx = nullptr;
  Pipe* rx = nullptr;

  void start(const smx::LinkStart& start);
  void stop();
  void client(Conn& c);  // a client is in the accept queue
  void read_link();
  void pump();
  // Those that stall for ever are closed by their owner.
  void wake();
  bool linked() const { return linked_; }
  size_t waiting() const { return waiting_.size(); }
  uint64_t ticks() const { return ticks_; }

  // ---- MuxEvents
  void on_up() override;
  void on_room() override;
  void on_open(smx::ChannelId id, const smx::OpenInfo& info) override;
  void on_opened(smx::ChannelId id) override;
  void describe(smx::ChannelId id, smx::OpenInfo* info) override;
  smx::Pulled on_pull(smx::ChannelId id, const smx::MutBytes* piece, int pieces) override;
  smx::Taken on_data(smx::ChannelId id, const smx::Bytes* piece, int pieces) override;
  void on_wants(smx::ChannelId id) override;
  void on_end(smx::ChannelId id) override;
  void on_done(smx::ChannelId id) override;
  void on_abort(smx::ChannelId id, smx::CloseCode code) override;

 private:
  Sock* find(smx::ChannelId id);
  void attach(Sock& s, smx::ChannelId id);
  void forget(Sock& s);
  void open_waiting();
  void rearm(Sock& s);
  void poke(Sock& s);
  void produce(Sock& s);
  void after(Sock& s);  // something that may_begin() or at_end() look at has changed
  void soon();
  void watch_deadline();
  void checked();

  Clock& clock_;
  Rng& rng_;
  Fault& fault_;
  std::string name_;
  std::vector<char> memory_;
  std::unique_ptr<smx::Arena> arena_;
  std::vector<Sock*> by_slot_;
  std::deque<Sock*> waiting_;
  std::vector<Sock*> stalled_;
  bool linked_ = false;
  bool soon_ = false;
  uint64_t link_ = 0;
  uint64_t ticks_ = 0;
  smx::Time watched_ = smx::kNever;
};

}  // namespace sim

#endif
