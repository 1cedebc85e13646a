// The helper: one process beside the daemon that does what the daemon itself may not do any more once it is under its
// filter (sandbox.h). It looks names up and starts programs.
//
//   daemon --request--> helper --fork--> worker (one name, one answer, exits)
//     ^                    +-----fork--> program (sh -c, a group of its own)
//     +------answer--------+                                over one SOCK_SEQPACKET pair; descriptors by SCM_RIGHTS
//
// Owner: Daemon; a Resolver that was given none has its own. Invariants: it runs only commands that were known when it
// was started, with variables of known names, so that who has taken the daemon over can make it run nothing else; it has
// nothing open but its end of the pair; it ends when the daemon's end is closed, and takes its programs with it. What it
// does not understand it drops.
// Read next: helper_process.cc (the other side), child.h, resolver.h. Source: unix(7), "Ancillary messages".
#ifndef SOCKMUX_CORE_IO_HELPER_H
#define SOCKMUX_CORE_IO_HELPER_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/arena.h"
#include "core/base/features.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"

namespace smx {

// What a program is told of its client (sockmux.conf(5), "Programs as servers").
constexpr const char* kClientVariables[] = {"REMOTE_ADDR", "REMOTE_HOST", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "PORT", "PEER"};
constexpr size_t kClientVariableCount = sizeof kClientVariables / sizeof kClientVariables[0];
constexpr size_t kClientValue = 80;  // bytes of a value, with its NUL

// What goes through the pair, in host byte order: both ends are one program.
struct HelperRequest {
  enum Kind : uint32_t { name = 1, program = 2, signal = 3 };
  uint32_t kind;
  uint32_t id;
  uint32_t number;  // name: seconds; program: which one; signal: its number
  char text[kClientVariableCount * kClientValue];  // name: the name; program: values of kClientVariables
};
struct HelperAnswer {
  enum Kind : uint32_t { name = 1, ended = 2 };
  static constexpr int kMostAddresses = 8;
  uint32_t kind;
  uint32_t id;
  int32_t error;   // name: EAI_*; ended: errno of what could not be started, or 0
  int32_t status;  // ended: of waitpid(2)
  int32_t count;
  Address address[kMostAddresses];
};

// A program that may be started. All of it must stay valid; texts have a NUL behind their end.
struct HelperProgram {
  const char* command = nullptr;  // for sh -c
  bool has_client = false;        // gets kClientVariables
  // NAME=value, more than we have ourselves; of one name the first counts, and those of the client go before all.
  const std::string_view* environment[2] = {nullptr, nullptr};
  size_t environment_size[2] = {0, 0};
};

struct HelperTables {
  struct Running {
    int pid;  // 0: free
    uint32_t id;
  };
  HelperProgram* program = nullptr;
  uint32_t programs = 0, most_programs = 0;
  Running* running = nullptr;
  uint32_t most_running = 0;
};

// The process itself, in helper_process.cc.
[[noreturn]] void serve_as_helper(int socket, const HelperTables& tables);

class HelperUser {
 public:
  // `a.id` is the one of the request.
  virtual void on_helper_answer(const HelperAnswer& a, Time now) = 0;
  // No answer comes any more.
  virtual void on_helper_ended(Time now) = 0;

 protected:
  ~HelperUser() = default;
};

class HelperOwner {
 public:
  // After all users. It can't be started again.
  virtual void on_helper_lost(Time now) = 0;

 protected:
  ~HelperOwner() = default;
};

class Helper final : private FdHandler {
 public:
  enum class Topic : uint8_t { names, links, servers };
  static constexpr uint32_t kIds = 1u << 24;  // of each topic

  explicit Helper(Reactor& reactor) : reactor_(reactor) {}
  ~Helper();
  static uint64_t arena_bytes(uint32_t programs, uint32_t running) {
    return programs * sizeof(HelperProgram) + running * sizeof(HelperTables::Running) + 64;
  }
  // Without it there are names only.
  [[nodiscard]] bool init(uint32_t programs, uint32_t running, Arena& arena);
  void add_program(const HelperProgram& p);
  void set_user(Topic topic, HelperUser& user) { user_[static_cast<int>(topic)] = &user; }
  // Whom the process becomes first, where it is started before root is dropped.
  void set_identity(uint32_t uid, uint32_t gid) {
    uid_ = uid;
    gid_ = gid;
    drops_ = true;
  }

  // True if it runs. False: the log says why, or it was sealed.
  bool start();
  // From now on it is not started any more, and `owner` hears of its end.
  void seal(HelperOwner& owner) { owner_ = &owner; }
  // Ends it and waits for that, a second at most.
  void stop();
  // SIGCHLD.
  void reap(Time now);

  // Below kIds. False: it does not run, or takes no more now.
  bool look_up(uint32_t id, uint32_t limit_s, std::string_view name);
  // Descriptors for 0, 1 and 2; `values` of kClientVariables or nullptr. 0 or errno.
  int start_program(Topic topic, uint32_t id, const char* command, const std::string_view* values, const int fd[3]);
  // To its process group.
  bool send_signal(Topic topic, uint32_t id, int signal);

 private:
  static constexpr int kTopics = 3;
  void on_ready(int fd, uint8_t ready, Time now) override;
  int send(HelperRequest& q, const int* fd);
  void lose(Time now);

  Reactor& reactor_;
  HelperTables tables_;
  Fd socket_;
  int pid_ = -1;
  uint32_t uid_ = 0, gid_ = 0;
  bool drops_ = false;
  bool stands_still_ = false;  // its socket is full, and it was waited for in vain
  HelperUser* user_[kTopics] = {};
  HelperOwner* owner_ = nullptr;
};

}  // namespace smx

#endif
