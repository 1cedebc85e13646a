// A peer that speaks 0.3 as the page about DeleGate says, made by hand from that page alone, and that counts whatever
// would upset a DeleGate: more channels than it has slots, longer packets than it takes, ids used too early.
//
// Owner: a test. Invariant: complaints() is empty as long as the mux keeps the rules. Read next: sim_peer03.cc.
#ifndef SOCKMUX_TESTS_SIM_PEER03_H
#define SOCKMUX_TESTS_SIM_PEER03_H

#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/sim/node.h"

namespace sim {

class Peer03 {
 public:
  struct Shape {
    unsigned packet_size = 16384;  // what it announces
    unsigned slots = 64;           // two are the link, one is a listening port
    bool conn_data = true;         // says that first data may come in CONNECT
    bool none_is_ffff = false;     // writes "none" as 0xFFFF
    unsigned crossing_one_in = 0;  // answers CLOSED even when both have sent CLOSE
  };
  Peer03(Clock& clock, Rng& rng, const Shape& shape) : clock_(clock), rng_(rng), shape_(shape) {}

  Pipe* tx = nullptr;
  Pipe* rx = nullptr;
  std::function<Conn*(uint32_t number)> lookup;

  void start();
  // One of its clients wants a connection; false: it has no slot.
  bool client(Conn& c);
  void read_link();
  void pump();
  void echo();

  const std::vector<std::string>& complaints() const { return complaints_; }
  size_t open() const { return channels_.size(); }
  unsigned most_open() const { return most_open_; }
  unsigned echoes_out() const { return echoes_out_; }

 private:
  struct Channel {
    unsigned id = 0;
    unsigned life = 0;  // tells apart those that had the same id
    unsigned peer = 0xff;
    Conn* conn = nullptr;
    bool server = false;    // the mux opened it
    bool connected = false;
    bool sent_close = false, got_close = false;
    uint64_t given = 0, got = 0;
    uint64_t unwritten = 0;  // received, not yet written to the local socket
    uint64_t first = 0;      // of these, came in CONNECT
    uint64_t unacked = 0;    // sent by us, SENT has not come
    uint64_t mux_unacked = 0;  // sent by the mux, we owe SENT
    bool writing = false;
  };

  void complain(const std::string& what);
  void packet(uint8_t type, unsigned said, unsigned raid, const std::vector<uint8_t>& payload);
  void text(uint8_t type, unsigned said, unsigned raid, const std::string& t);
  void handle(const uint8_t* header, const std::vector<uint8_t>& payload);
  void connect(unsigned said, const std::vector<uint8_t>& payload);
  void take(Channel& c, const uint8_t* data, size_t n);
  void write_local(unsigned id, unsigned life);
  void send_data(Channel& c);
  void forget(unsigned id);
  unsigned free_id() const;
  unsigned none() const { return shape_.none_is_ffff ? 0xffff : 0xff; }

  Clock& clock_;
  Rng& rng_;
  Shape shape_;
  std::vector<uint8_t> in_, out_;
  size_t out_at_ = 0;
  std::map<unsigned, Channel> channels_;  // by our id
  std::map<unsigned, unsigned> mux_ids_;  // ids that the mux has in use -> our id
  std::vector<std::string> complaints_;
  bool up_ = false, announced_ = false, connecting_ = false;
  unsigned hellos_ = 0, hellooks_ = 0, setopts_ = 0;
  unsigned mux_packet_ = 512;  // what the mux takes
  bool mux_conn_data_ = false;
  unsigned most_open_ = 0;
  unsigned lives_ = 0;
  unsigned echoes_out_ = 0;
};

}  // namespace sim

#endif
