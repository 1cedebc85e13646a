// What tests with real processes are made of: one loop, processes, daemons in pairs, a temporary folder.
//
// Nothing here sleeps: a test says what must come true and how long that may take, and wait_for() turns the loop, in
// which all sockets and the output of all processes take part as long as they live. Invariants: no process outlives its
// object; when a check fails, the logs of all living processes are printed.
// Read next: sockets.h (clients, servers, the line between), peer.h (hand-made peers), any test.
#ifndef SOCKMUX_TESTS_E2E_HARNESS_H
#define SOCKMUX_TESTS_E2E_HARNESS_H

#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace e2e {

// Seconds that only grow.
double now();
// Time limits are multiplied by this: 1, or 6 for a daemon under sanitizers, and if SMX_SLOW is set.
double slowness();

// Takes part in the loop from its construction to its destruction.
class Actor {
 public:
  Actor();
  virtual ~Actor();
  Actor(const Actor&) = delete;
  Actor& operator=(const Actor&) = delete;
  // Adds what it waits for. Nothing it does here or in ready() may turn the loop.
  virtual void want(std::vector<pollfd>& list) = 0;
  // What became of that, in the same order.
  virtual void ready(const pollfd* list, size_t count) = 0;
};

// One turn of the loop, of at most `seconds`.
void turn(double seconds);
// Turns the loop until `done`; false if that takes longer than `seconds` (times slowness()).
bool wait_for(const std::function<bool()>& done, double seconds);

using Words = std::vector<std::string>;

struct ProcessSetup {
  Words environment;      // NAME=value, added to ours; NAME=$$: its own number
  std::vector<int> descriptors;  // become its 3, 4, ...
  unsigned files = 0;     // limit of open descriptors; 0: as ours
  unsigned user = 0;      // user and group; 0: as ours
  std::string input;      // a file as standard input; empty: /dev/null
  bool separate = false;  // standard output is kept apart from standard error
  std::function<void()> prepare;  // runs in the child, just before the program begins; may begin one itself
};

// A child with its output in a pipe. Its whole process group dies with the object.
class Process : public Actor {
 public:
  Process(const Words& words, const ProcessSetup& setup = {});
  ~Process() override;

  pid_t pid() const { return pid_; }
  const std::string& command() const { return command_; }
  // Standard error, and standard output unless it is kept apart.
  const std::string& log() const { return log_; }
  const std::string& output() const { return output_; }
  bool running();
  // The exit code once it has ended; -signal if one killed it.
  int status();
  void signal(int number);
  // False: it still runs.
  bool wait_end(double seconds);
  // `text` stands in the log, behind its first `from` bytes.
  bool wait_log(const std::string& text, double seconds, size_t from = 0);
  bool says(const std::string& text, size_t from = 0) const { return log_.find(text, from) != std::string::npos; }
  size_t count(const std::string& text) const;

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  void drain(int& fd, std::string& to);

  std::string command_, log_, output_;
  pid_t pid_ = -1;
  int error_fd_ = -1, output_fd_ = -1;
  bool ended_ = false;
  int status_ = 0;
};

// Runs a program to its end and returns its standard output; a test failure if it ends otherwise than with 0.
std::string run(const Words& words, double seconds, const ProcessSetup& setup = {});
// The absolute path of a program; a test failure that names it if there is none.
std::string find_program(const std::string& name);
// SOCKMUXD, or ./sockmuxd
std::string daemon_path();
// SOCKMUXCTL, or what stands beside the daemon
std::string ctl_path();
// It is built with a sanitizer, or a script starts it under valgrind or qemu: time and memory are not its own.
bool daemon_sanitized();
bool daemon_static();

// A daemon in the foreground. Port 0 in its words is the way to have any free one; the daemon tells which. Unless they say
// where its control socket is it has none, so that root's tests leave the system's own alone.
class Daemon {
 public:
  explicit Daemon(const Words& words, const ProcessSetup& setup = {});

  Process& process() { return *process_; }
  Process* operator->() { return process_.get(); }
  // A test failure if it has not started after 5 s.
  void await_start();
  // Ports that it chose itself, in the order of the words; both wait for the start.
  uint16_t link_port(size_t i = 0);
  uint16_t port(size_t i = 0);
  // Kills it (-9) and starts it again, with the ports it had. Returns the moment of the start.
  double restart();
  void kill();
  // USR1: the lines "statistics-link" and "statistics" that come then.
  std::string statistics();
  // A number of these lines, as in "channels=12"; -1: there is none.
  static int64_t value(const std::string& lines, const std::string& key);
  // Channels by statistics(), until they are `wanted`.
  bool wait_channels(int64_t wanted, double seconds);
  // Its own memory: what is mapped from files comes and goes as it is used.
  int64_t resident_kib();
  size_t descriptors();

 private:
  std::vector<uint16_t> ports_after(const std::string& text);

  Words words_;
  ProcessSetup setup_;
  std::unique_ptr<Process> process_;
};

// Two daemons with a link that is up: `a` accepts it, `c` makes it.
class Pair {
 public:
  Pair(const Words& a, const Words& c, const ProcessSetup& a_setup = {}, const ProcessSetup& c_setup = {});
  std::unique_ptr<Daemon> a, c;
  // The link is up (again) at both ends, `from` on in their logs.
  bool wait_up(double seconds, size_t a_from = 0, size_t c_from = 0);
};

// Namespaces of mounts and of the network can be made here. Root may not in a container that has no CAP_SYS_ADMIN, as by plain docker; who
// needs them returns then, and why is said. False on systems other than Linux.
bool may_unshare();

// A folder that goes with its object.
class TempFolder {
 public:
  TempFolder();
  ~TempFolder();
  const std::string& path() const { return path_; }
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

void write_file(const std::string& path, const std::string& content);
std::string read_file(const std::string& path);
bool exists(const std::string& path);
std::string text(uint64_t number);
// "127.0.0.1:" and the port
std::string local(uint16_t port);
size_t count_of(const std::string& text, const std::string& part);

}  // namespace e2e

#endif
