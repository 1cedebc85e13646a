// TCP between the processes and actors of the world: paths with delay, rate and faults; sockets that take what they like.
//
//   Tcp (socket) --Stream--> Tcp        each direction of a connection is a Stream: bytes, an end, a reset, an urgent byte
//
// What it is like: bytes of a stream come whole, in order, late, in pieces; a write takes any part of what there is room for; a
// socket that is closed with bytes unread, or gets bytes after that, answers with a reset. Source: tcp(7), RFC 9293, and what
// Linux does. Read next: calls_net.cc, actors.h.
#ifndef SOCKMUX_TESTS_SIMOS_NETWORK_H
#define SOCKMUX_TESTS_SIMOS_NETWORK_H

#include <netinet/in.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tests/simos/file.h"

namespace simos {

struct Place {
  uint32_t ip = 0;
  uint16_t port = 0;
  bool operator<(const Place& o) const { return ip != o.ip ? ip < o.ip : port < o.port; }
};
constexpr uint32_t kLoopback = 0x7f000001;
// Each host has an address of IPv6, too: fd00:: and its four bytes.
std::string text_of(uint32_t ip, bool six);
in6_addr six_of(uint32_t ip);
bool is_six_of_a_host(const in6_addr& a);

// Where the control socket of a host listens: another kind of address, as far as a daemon sees it.
constexpr Place control_place(uint32_t ip) { return {ip ^ 0xff000000, 1}; }
constexpr const char* kControlPath = "/run/sockmux.ctl";

class Tcp;
class Stream;
class Udp;

// A way between two hosts. What is broken about it is said here; connections find out.
struct Path : Callee {
  Micros delay = 50, jitter = 0;
  Micros us_per_kb = 0;         // the rate
  uint32_t room = 65536;        // of each direction of its connections, for bytes under way and unread
  uint32_t odd = 0;             // percent of reads and writes that are cut short
  uint32_t flips = 0;           // of a million bytes, how many arrive with another bit
  bool stalled = false;         // nothing arrives for now
  enum class Connects : uint8_t { yes, refused, silent } connects = Connects::yes;

  std::vector<Stream*> streams;  // that are under way
  void on_event(int what) override { (void)what; }
  void stall(bool on);
  enum class Cut : uint8_t { reset, end, silence };
  // What stands is cut; new ones follow `connects`.
  void cut(Cut how);
};

// One direction of a connection.
class Stream final : public Callee {
 public:
  Stream(Path& path, Tcp* sender, Tcp* receiver) : from(sender), to(receiver), path_(path) {}
  size_t room() const { return dead_reset_ ? 0 : static_cast<size_t>(path_.room) - static_cast<size_t>(wrote - taken); }
  size_t unread() const { return static_cast<size_t>(arrived - taken); }
  void put(const uint8_t* bytes, size_t n, bool urgent);
  size_t take(uint8_t* to_bytes, size_t n);
  void put_end();
  void put_reset();
  void on_event(int what) override;
  void kick();             // the path goes again
  void lose();             // the rest never arrives
  void sever();
  void free_memory();      // nobody reads it any more
  // Descriptors that go with the byte `at`, each with a reference; what a read of up to `n` bytes may take, so that it ends before those
  // of another write; those that went with bytes before `end`. Source: unix(7), SCM_RIGHTS.
  void pass(uint64_t at, const std::vector<File*>& files);
  size_t until_next_passed(size_t n) const;
  std::vector<File*> passed_before(uint64_t end);

  uint64_t wrote = 0, arrived = 0, taken = 0;
  uint64_t urgent_at = UINT64_MAX;   // the last urgent byte: its place
  bool end_put = false, end_arrived = false, reset_put = false;
  Tcp* const from;
  Tcp* const to;

 private:
  void schedule();
  enum class Mark : uint8_t { data, end, reset };
  struct Due {
    Micros when;
    uint64_t upto;
    Mark mark;
  };
  Path& path_;
  struct Passed {
    uint64_t at;
    File* file;
  };
  std::vector<uint8_t> ring_;
  std::deque<Due> due_;
  std::deque<Passed> passed_;
  Micros busy_until_ = 0;
  bool scheduled_ = false, dead_reset_ = false, over_ = false, lost_ = false, severed_ = false;
};

class Tcp final : public File {
 public:
  Tcp() : File(Kind::tcp) {}
  enum class State : uint8_t { fresh, bound, listening, connecting, connected, failed, closed };

  uint32_t ready() const override;
  ssize_t read(uint8_t* to, size_t n) override;
  ssize_t write(const uint8_t* from, size_t n) override;
  ssize_t write_urgent(uint8_t byte);
  void closed() override;
  void on_event(int what) override;
  void shut_write();
  int connect_to(Place to, Path& path);  // 0 or errno
  int connect_unix(Place to);            // the same; of a file's name it is known at once
  bool at_mark() const { return in != nullptr && in->urgent_at == in->taken && in->unread() > 0; }
  bool oob_inline = false, hard_close = false;
  bool six = false;        // a socket of IPv6
  std::string name;        // a Unix socket: the file's
  bool is_unix = false;
  Micros patience = 0;     // how long a call on a Unix socket waits at most
  int take_error();
  Tcp* accept();
  // With the descriptors that came, whose references are the caller's.
  ssize_t read_with(uint8_t* to, size_t n, std::vector<File*>* files);
  void got_reset(int why);
  void break_off();                      // it has been reset, and both ends know

  State state = State::fresh;
  Place local, remote;
  Stream *in = nullptr, *out = nullptr;
  Path* path = nullptr;
  int error = 0;           // to be told once
  bool reset = false;      // no more of either way
  bool shut = false;       // we have ended our way
  Micros made = 0;         // of one that is to be accepted: when the call came
  size_t backlog = 0;
  std::deque<Tcp*> queue;  // connections to be accepted
  bool had_fault = false;  // a call on it was made to fail

 private:
  friend class Stream;
  void reach();
  bool odd() const;
};

// Who listens where, and which path leads there.
class Network {
 public:
  int listen(Tcp* socket, Place at, size_t backlog);
  bool is_taken(Place at) const { return listeners_.count(at) != 0; }
  void unlisten(Tcp* socket);
  Tcp* listener(Place at) const;
  Path* path(uint32_t a, uint32_t b) const;
  void set_path(uint32_t a, uint32_t b, Path* p);
  uint16_t free_port();
  Udp* udp(Place at) const;
  void bind_udp(Udp* socket);
  void unbind_udp(Udp* socket);
  Path* usual = nullptr;

 private:
  std::map<Place, Tcp*> listeners_;
  std::map<Place, Udp*> udp_;
  std::map<std::pair<uint32_t, uint32_t>, Path*> paths_;
  uint16_t next_port_ = 20000;
};

extern Network* network;

// A connection that an actor makes; it hears of it by Holder.
Tcp* call(Holder& who, uint32_t from, Place to);

}  // namespace simos

#endif
