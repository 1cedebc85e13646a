// A daemon in the world: its copy of the program, its descriptors, memory, signals and clock.
//
// The program is what ./sockmuxd is linked of, the same objects; tools/simos.sh has given each copy other names for the system
// calls, sim_read for read, which stand in calls*.cc. main() runs on a stack of its own (fiber.h) until it would wait.
//
// Owner: the runner; one for each copy, used again for each run. Read next: calls.h, file.h.
#ifndef SOCKMUX_TESTS_SIMOS_PROCESS_H
#define SOCKMUX_TESTS_SIMOS_PROCESS_H

#include <signal.h>
#include <sys/epoll.h>

#include <string>
#include <vector>

#include "tests/simos/fault.h"
#include "tests/simos/fiber.h"
#include "tests/simos/file.h"
#include "tests/simos/world.h"

namespace simos {

class HelperProcess;
class PairEnd;

// A copy of the program, with what its variables are before main().
struct Image {
  int (*main)(int, char**);
  char *data, *data_end, *bss, *bss_end;
  std::string fresh;  // data, as loaded
};

class Process final : public Callee {
 public:
  Process(int number, const Image& image);
  static bool is_alive(uint32_t pid);

  // ---- life
  using Variables = std::vector<std::pair<std::string, std::string>>;  // of its environment
  void boot(uint32_t ip, std::vector<std::string> words, Variables variables = {});  // runs from the next event on
  void kill();                                              // kill -9: descriptors close as the kernel closes them
  void signal(int number);
  void freeze(Micros until) { frozen_until_ = until; }  // SIGSTOP, and SIGCONT then
  void forget();  // the world is over
  void on_event(int what) override;

  enum class State : uint8_t { absent, ready, running, waiting, ended };
  State state() const { return state_; }
  bool alive() const { return state_ == State::ready || state_ == State::running || state_ == State::waiting; }
  int exit_code() const { return exit_code_; }
  int number() const { return number_; }
  uint32_t ip() const { return ip_; }
  uint32_t pid() const { return pid_; }
  Micros booted() const { return booted_; }
  int life() const { return life_; }  // another one after each end

  // ---- for the calls
  // The end of the process; they do not return.
  [[noreturn]] void exit(int code);
  [[noreturn]] void crash(const char* why);
  // Waits until a descriptor of the epoll set or of `polls` may be ready, or until then. False: a signal came.
  bool wait(Micros until);
  struct Asked {
    File* file;
    short events;
  };
  // Waits for these alone; none: for the time. The epoll set is nothing to it. False: a signal came.
  bool wait_for(std::vector<Asked> files, Micros until);
  void poke();  // something may be ready
  const char* variable(const std::string& name) const;
  void forget_variable(const std::string& name);

  int take_fd(File* file, int least = 0);  // -1: EMFILE
  int close_fd(int fd);
  void learn(File* file);  // it hears of that one from now on
  File* file(int fd) const { return fd >= 0 && static_cast<size_t>(fd) < fds_.size() ? fds_[static_cast<size_t>(fd)] : nullptr; }
  size_t open_fds() const;
  std::string list_fds() const;
  void replace(int fd, File* file);

  struct Interest {
    int fd;
    File* file;
    uint32_t events;
    uint64_t data;
  };
  std::vector<Interest> interests;
  uint32_t begin = 0;  // of the interests, so that all get their turn
  std::vector<Asked> polls;  // of a poll(2) that waits

  void* map(size_t size);
  void unmap(void* at, size_t size);

  struct sigaction action[65];
  Random random;   // what the kernel decides for it, and getrandom(2)
  uint32_t fd_limit = 1024;
  size_t memory_left = size_t{1} << 30;
  // ---- of this life
  bool started = false;    // "started" stands in the log
  bool link_up = false;    // as its log says it
  bool told_to_end = false;
  int may_end_with = 0;    // where that is told so
  bool no_maps = false;    // memory is set aside by now
  uint64_t turns = 0, calls = 0, calls_of_turn = 0, log_lines = 0, link_ups = 0;
  std::string log;         // its end
  int links = 0;           // that its log has up
  Micros renewed_at = -1;  // a link has ended to be made anew, and is not up again
  Micros longest_renewal = 0;
  bool log_full = false;   // ENOSPC
  HelperProcess* helper = nullptr;  // its child, until it has been waited for
  PairEnd* last_pair = nullptr;     // the second end of the last socketpair(2)
  Faults faults;

 private:
  void enter();
  void run();
  bool anything_ready() const;
  void deliver_signals();
  void close_all();

  const int number_;
  const Image& image_;
  Fiber fiber_;
  State state_ = State::absent;
  Micros booted_ = 0;
  uint32_t ip_ = 0, pid_ = 0;
  int exit_code_ = 0;
  std::vector<std::string> words_;
  Variables variables_;
  std::vector<char*> argv_;
  std::vector<File*> fds_;
  struct Mapping {
    void* at;
    size_t size;
  };
  std::vector<Mapping> maps_;
  std::vector<int> pending_;
  Micros frozen_until_ = 0;
  int life_ = 0;          // events of an earlier life or an earlier wait mean nothing
  int waiting_ = 0;
  bool wake_due_ = false, interrupted_ = false;
};

// Who runs; null: the world.
extern Process* current;

}  // namespace simos

#endif
