// Names to addresses, without ever blocking the loop: the helper process (helper.h) calls getaddrinfo(3).
//
// Owner: main. Invariants: an address in digits is answered at once, without the child; a name that is being looked up is
// not asked for again, and its answer is kept for kKeep; at most kNames are looked up at once, each within the time limit;
// a slow name never delays another (each has its own worker), and however many names clients wish for, there are places for
// those of the configuration. A helper of its own is started at the first name and again when it dies, unless it is sealed.
// Read next: helper.h, transport/tcp.h, connect.h.
#ifndef SOCKMUX_CORE_IO_RESOLVER_H
#define SOCKMUX_CORE_IO_RESOLVER_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/list.h"
#include "core/io/helper.h"
#include "core/io/reactor.h"

namespace smx {

struct Resolved {
  static constexpr int kMost = HelperAnswer::kMostAddresses;
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

class Resolver final : private HelperUser, private TimerHandler {
 public:
  static constexpr int kNames = 64;
  static constexpr int kWished = 48;  // of these, for names that clients of proxies wish for; the helper has workers for twice as many
  static constexpr size_t kLongestName = 255;
  // How long an answer is kept: getaddrinfo(3) does not tell what the name server allows, so short.
  static constexpr Duration kKeep = seconds(5);
  static constexpr Duration kKeepFailure = seconds(1);

  explicit Resolver(Reactor& reactor) : reactor_(reactor), own_(reactor), timer_(*this) { use(own_); }
  ~Resolver();
  void set_limit(Duration limit) { limit_ = limit; }

  // HOSTS=: a name answered from here before any system resolver. The lookup returns how many addresses.
  using Known = int (*)(void* context, std::string_view name, Address out[Resolved::kMost]);
  void set_known(Known known, void* context) {
    known_ = known;
    known_context_ = context;
  }

  // Answers digits, known names and what is remembered in `now_answer` and returns true; otherwise the query waits and
  // false is returned. A full table answers with EAI_AGAIN at once. `session`: whose client wishes for the name; it has at most as
  // many places as it leaves to others of kWished, also for questions that were cancelled, until their time is over. nullptr: the
  // configuration.
  bool resolve(ResolveQuery& query, std::string_view host, uint16_t port, Resolved* now_answer, const void* session = nullptr);
  void cancel(ResolveQuery& query) { query.node_.leave(); }
  // Forgets the answers that are kept (HUP: the network may be another one).
  void forget();
  // Whose helper is asked from now on; nothing may be asked at this moment.
  void use(Helper& helper) {
    helper_ = &helper;
    helper.set_user(Helper::Topic::names, *this);
  }
  // The one that is used as long as no other was given. Once it is stopped, the next name starts one with what the process
  // is by then (user, session, files).
  Helper& own_helper() { return own_; }

 private:
  void on_helper_answer(const HelperAnswer& a, Time now) override;
  void on_helper_ended(Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void set_timer();

  // One name: free, looked up (id is not 0), or kept until `until`.
  struct Name {
    char text[kLongestName + 1] = {};
    size_t size = 0;  // 0: free
    uint32_t id = 0;
    Time until;       // looked up: when it has failed
    const void* session = nullptr;  // looked up: for whose client
    Resolved answer;
    List<ResolveQuery, &ResolveQuery::node_> waiting;
  };
  Name* place_for(std::string_view host, const void* session);
  bool ask(Name& name);
  void answer(Name& name, const Resolved& r, Time now);

  Reactor& reactor_;
  Helper own_;
  Helper* helper_ = nullptr;
  Timer timer_;
  uint32_t last_id_ = 0;
  Duration limit_ = seconds(10);
  Known known_ = nullptr;
  void* known_context_ = nullptr;
  Name name_[kNames];
};

}  // namespace smx

#endif
