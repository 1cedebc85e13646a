// Connections, servers and lines of a test, all turned by the loop of harness.h.
//
// Invariant: each byte of a pattern depends on its seed and its place, so that a byte that is lost, doubled, or from
// another connection is found at once. Read next: sockets.cc; harness.h for the loop.
#ifndef SOCKMUX_TESTS_E2E_SOCKETS_H
#define SOCKMUX_TESTS_E2E_SOCKETS_H

#include <stddef.h>
#include <stdint.h>

#include <deque>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <vector>

#include "tests/e2e/harness.h"

namespace e2e {

// Bytes [from, from + size) of the pattern of `seed`.
void fill_pattern(uint64_t seed, uint64_t from, char* out, size_t size);
std::string pattern(uint64_t seed, size_t size);
// FNV-1a of bytes, 16 hex digits.
std::string digest_of(const std::string& bytes);

// One end of a TCP connection. What is to be sent is queued; what comes is compared with a pattern, echoed, or kept.
class Conn final : public Actor {
 public:
  // Makes a connection; `from` is the source address.
  Conn(const std::string& host, uint16_t port, const std::string& from = "");
  explicit Conn(uint16_t port) : Conn("127.0.0.1", port) {}
  // Of an accepted one.
  explicit Conn(int fd);
  ~Conn() override;

  // ---- sending, in the order of the calls
  Conn& send(const std::string& bytes);
  Conn& send_pattern(uint64_t seed, uint64_t size);
  // One byte with MSG_OOB.
  Conn& send_urgent(char byte);
  // Ends this direction behind all that.
  Conn& shut();
  // Closes behind all that, whatever comes.
  Conn& close_behind();
  // Now. reset(): with a RST.
  void close();
  void reset();

  // ---- receiving
  // All that comes from now on must be this pattern.
  Conn& expect_pattern(uint64_t seed);
  // Urgent bytes stay in line, and urgent() says how many bytes came before each of them.
  Conn& watch_urgent();
  const std::vector<uint64_t>& urgent() const { return urgent_; }
  bool reading = true;
  double rate = 0;    // bytes a second that are read; 0: no limit
  bool echo = false;  // what comes is sent back, and so is the end
  bool digest = false;  // at the end, the digest of all that came is sent, and our end
  std::function<void(const char* bytes, size_t size)> on_bytes;  // in place of text()

  uint64_t sent() const { return sent_; }
  uint64_t received() const { return received_; }
  // A byte was not that of the pattern.
  bool wrong() const { return wrong_; }
  // What came and was not compared.
  const std::string& text() const { return text_; }
  bool connected() const { return connected_; }
  // The other side has ended its direction.
  bool ended() const { return ended_; }
  // errno, if the connection failed.
  int error() const { return error_; }
  // Nothing comes any more.
  bool over() const { return ended_ || error_ != 0; }
  bool closed() const { return fd_ < 0; }
  // All is sent, and the end too if it was asked for.
  bool all_sent() const { return queue_.empty() && (!shut_wanted_ || shut_); }
  // All that was sent has arrived in the kernel at the other end.
  bool delivered() const;
  bool alive() const { return fd_ >= 0 && connected_ && !over(); }

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  struct Piece {
    std::string bytes;  // or, if empty, the pattern:
    uint64_t seed = 0, from = 0, to = 0;
    size_t done = 0;
    bool urgent = false;
  };
  void write_some();
  void read_some();
  void took(const char* bytes, size_t size);
  void fail(int error);

  int fd_ = -1;
  bool connected_ = false, ended_ = false, wrong_ = false, compare_ = false;
  bool watch_urgent_ = false;
  std::vector<uint64_t> urgent_;
  bool shut_wanted_ = false, shut_ = false, close_wanted_ = false;
  int error_ = 0;
  std::deque<Piece> queue_;
  size_t queued_ = 0;  // bytes in it that are no pattern
  uint64_t sent_ = 0, received_ = 0, seed_ = 0, compared_ = 0, hash_ = 14695981039346656037u;
  double began_ = 0;
  std::string text_;
};

// A connection to that port of 127.0.0.1 whose socket takes a few KB that are not read; for a Conn.
int connect_small(uint16_t port);

// Accepts at a free port and does with each connection what `greet` says.
class Server final : public Actor {
 public:
  using Greet = std::function<void(Conn&)>;
  explicit Server(Greet greet, const std::string& host = "127.0.0.1", uint16_t port = 0);
  ~Server() override;

  uint16_t port() const { return port_; }
  // From now on each connection holds little that is not read, at either end: about 50 KB, where the local ones hold MBs.
  void hold_little();
  size_t accepted() const { return accepted_; }
  // Connections that are not closed yet, the oldest first.
  std::list<std::unique_ptr<Conn>>& conns() { return conns_; }
  Conn& last() { return *conns_.back(); }

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  Greet greet_;
  int fd_ = -1;
  uint16_t port_ = 0;
  size_t accepted_ = 0;
  std::list<std::unique_ptr<Conn>> conns_;
};

void echoes(Conn& c);
void answers_digest(Conn& c);
void reads_nothing(Conn& c);
void closes_at_once(Conn& c);
// Sends a pattern and closes.
Server::Greet gives(uint64_t seed, uint64_t size);

// A port of 127.0.0.1 where nobody listens (bound as long as it lives, so that nobody gets it).
class DeadPort {
 public:
  DeadPort();
  ~DeadPort();
  uint16_t port() const { return port_; }

 private:
  int fd_ = -1;
  uint16_t port_ = 0;
};

// The number of a port that nobody has at the moment, TCP and UDP, nor the one behind it as TCP; below those that systems give to who
// asks for any (from 32768 on where we know it), so that nobody gets them before the test does.
uint16_t quiet_port();

// The line of a link: relays from its port to another one; can be frozen, thawed, and cut.
class Wire final : public Actor {
 public:
  explicit Wire(uint16_t target);
  ~Wire() override;
  uint16_t port() const { return port_; }
  // Connections that stand carry nothing any more, and nobody hears of it; new ones are not accepted unless `let_in`.
  void freeze(bool let_in = false);
  void thaw();
  // Resets all connections.
  void cut();
  // Who has made the connections sees them reset; for who has accepted them they only hang, for ever.
  void cut_makers();
  // What the acceptor says ends here, as if it had closed in the middle; what came before is passed on.
  void end_acceptors();
  size_t connections() const;
  // New connections are reset at once.
  bool refuses = false;
  // May look at what passes, and change it. `up`: from who has made the connection; `before`: bytes of that direction so far.
  std::function<void(bool up, uint64_t before, std::string& bytes)> meddle;

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  struct Way {
    int from = -1, to = -1;
    std::string held;
    uint64_t passed = 0;
    bool end = false, shut = false;
  };
  struct Line {
    int fd[2] = {-1, -1};
    Way way[2];
    bool frozen = false, broken = false, hangs = false;
  };
  void accept_one();

  int fd_ = -1;
  uint16_t port_ = 0, target_;
  bool holds_new_ = false;
  std::vector<std::unique_ptr<Line>> lines_;
};

// Many clients of echo servers, `at_once` of them at a time: each sends a pattern, ends, and compares what comes back.
struct Crowd {
  std::vector<uint16_t> ports;  // by turns
  size_t count = 100;
  size_t at_once = 50;
  uint64_t most_bytes = 10000;  // sizes are 0 .. most_bytes
  uint64_t seed = 1;
  double seconds = 30;
};
struct Outcome {
  size_t good = 0, wrong = 0, broken = 0, open = 0;
  uint64_t bytes = 0;
  double seconds = 0;
};
Outcome run_crowd(const Crowd& crowd);
// A test failure unless each of them was served right.
void check_crowd(const Crowd& crowd);

// "request" to `port`, up to the end of the answer; what came, or the error in words.
std::string ask(uint16_t port, const std::string& request, double seconds = 5, const std::string& host = "127.0.0.1",
                const std::string& from = "");
// One echo through `port` works within `seconds`; tries again until then.
bool serves(uint16_t port, double seconds, const std::string& host = "127.0.0.1");

}  // namespace e2e

#endif
