// Names to addresses, without ever blocking the loop: a child process calls getaddrinfo(3).
//
//   daemon --request--> helper --fork--> worker (one name, one answer, exits)
//     ^                                    |
//     +---------------answer---------------+        over one SOCK_SEQPACKET pair
//
// Owner: main. Invariants: an address in digits is answered at once, without the child; a name that is being looked up is
// not asked for again, and its answer is kept for kKeep; at most kNames are looked up at once, each within the time limit;
// a slow name never delays another (each has its own worker). The helper is started at the first name and again when it
// dies. Read next: transport/tcp.h, connect.h.
#ifndef SOCKMUX_CORE_IO_RESOLVER_H
#define SOCKMUX_CORE_IO_RESOLVER_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/list.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"

namespace smx {

struct Resolved {
  static constexpr int kMost = 8;
  Address address[kMost];
  int count = 0;
  int error = 0;          // 0, or what went wrong: EAI_* of getaddrinfo(3), made a text by gai_text()
};

// What a failed Resolved says, in words.
const char* gai_text(int error);

// Waits for one answer. Owned by whoever asks; cancel() before it dies.
class ResolveQuery {
 public:
  virtual void on_resolved(const Resolved& answer, Time now) = 0;
  bool waiting() const { return node_.listed(); }

 protected:
  ~ResolveQuery() = default;

 private:
  friend class Resolver;
  ListNode node_;
  uint16_t port_ = 0;
};

class Resolver final : private FdHandler, private TimerHandler {
 public:
  static constexpr int kNames = 64;
  static constexpr size_t kLongestName = 255;
  // How long an answer is kept: getaddrinfo(3) does not tell what the name server allows, so short.
  static constexpr Duration kKeep = seconds(5);
  static constexpr Duration kKeepFailure = seconds(1);

  explicit Resolver(Reactor& reactor) : reactor_(reactor), timer_(*this) {}
  ~Resolver();
  void set_limit(Duration limit) { limit_ = limit; }

  // HOSTS=: a name answered from here before any system resolver. The lookup returns how many addresses.
  using Known = int (*)(void* context, std::string_view name, Address out[Resolved::kMost]);
  void set_known(Known known, void* context) {
    known_ = known;
    known_context_ = context;
  }

  // Answers digits, known names and what is remembered in `now_answer` and returns true; otherwise the query waits and
  // false is returned. A full table answers with EAI_AGAIN at once.
  bool resolve(ResolveQuery& query, std::string_view host, uint16_t port, Resolved* now_answer);
  void cancel(ResolveQuery& query) { query.node_.leave(); }
  // Forgets the answers that are kept (HUP: the network may be another one).
  void forget();
  // Starts the helper now, where it will not be possible later (CHROOT). False: it cannot be.
  bool begin() {
    const bool begun = socket_.valid() || start();
    drops_ = false;
    return begun;
  }
  // Ends the helper: the next name starts one with what the process is by then (user, session, files).
  void stop();
  // The helper that begin() starts becomes this user first.
  void set_user(uint32_t uid, uint32_t gid) {
    uid_ = uid;
    gid_ = gid;
    drops_ = true;
  }
  // SIGCHLD: takes the helper's exit status if it has ended.
  void reap();

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  bool start();
  void lose(Time now);
  void set_timer();

  // One name: free, looked up (id is not 0), or kept until `until`.
  struct Name {
    char text[kLongestName + 1] = {};
    size_t size = 0;  // 0: free
    uint32_t id = 0;
    Time until;       // looked up: when it has failed
    Resolved answer;
    List<ResolveQuery, &ResolveQuery::node_> waiting;
  };
  Name* place_for(std::string_view host);
  bool ask(Name& name);
  void answer(Name& name, const Resolved& r, Time now);

  Reactor& reactor_;
  Fd socket_;
  Timer timer_;
  int pid_ = -1;
  uint32_t uid_ = 0, gid_ = 0;
  bool drops_ = false;
  uint32_t last_id_ = 0;
  Duration limit_ = seconds(10);
  Known known_ = nullptr;
  void* known_context_ = nullptr;
  Name name_[kNames];
};

}  // namespace smx

#endif
