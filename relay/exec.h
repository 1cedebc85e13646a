// Programs that serve channels: SERVER=exec,-in(XCOM=command), and XFIL=command. One program for each channel, as inetd
// starts them.
//
//   free --start(): program runs, channel accepted--> open --done()--> ending --program ends, or 5 s--> dead
//                                                      +--abort(): program stopped---------------------> dead
//   open, and the program has ended: what it has written still goes out, then its end
//
// XCOM: one socket is fd 0, 1 and 2. XFIL: fd 0 and 1 are pipes, and fd 2 goes to our log.
//
// Owner: Daemon (Execs, a table made at the start). Invariants: a program is never left behind by its channel: it is told to
// end (core/io/child.h) when that is over; bytes are read only into the mux's ring; no more than MAXIMA=delegated run.
// Read next: core/io/child.h, stream.h (the same for sockets). Source: sockmux.conf(5), "Programs as servers".
#ifndef SOCKMUX_RELAY_EXEC_H
#define SOCKMUX_RELAY_EXEC_H

#include "core/base/arena.h"
#include "core/io/child.h"
#include "core/io/reactor.h"
#include "core/session/session.h"
#include "relay/relay.h"

namespace smx {

class Execs;
class Streams;

class Exec final : public Endpoint, private FdHandler, private TimerHandler, private Mortal, private ChildOwner {
 public:
  explicit Exec(Execs& table) : table_(table), timer_(*this) {}

 private:
  friend class Execs;
  enum class State : uint8_t { free, open, ending, dead };

  // 0 or errno; the channel is accepted, or nothing has happened to it.
  int start(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
  int make_ends(bool pipes, ChildSetup* setup, Fd theirs[2]);

  // Endpoint
  Pulled pull(const MutBytes* piece, int pieces) override;
  Taken push(const Bytes* piece, int pieces) override;
  void wants_changed() override { update(); }
  void end() override;
  void done() override;
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  // FdHandler, TimerHandler, Mortal, ChildOwner
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_buried() override;
  void on_child_ended(int status, Time now) override;

  int out() const { return pipes_ ? out_.get() : in_.get(); }
  void update();
  void close_in();
  void close_out();
  void drain_and_drop();
  void end_idle();
  void die();

  Execs& table_;
  Fd in_;   // what the program writes; XCOM: both ways
  Fd out_;  // XFIL: what it reads
  Timer timer_;
  Session* session_ = nullptr;
  ChannelId id_;
  Child* child_ = nullptr;
  Address client_, local_;
  Text<100> name_;             // for the log
  const void* rule_ = nullptr;
  Time started_, last_read_;
  Exec* next_free_ = nullptr;
  State state_ = State::free;
  bool pipes_ = false;
  bool end_seen_ = false;      // nothing more comes from the program
  bool abandoned_ = false;     // the program has ended, and whoever else has its output open is not waited for
  bool write_broken_ = false;  // the program reads nothing more; it may still write
};

class Execs {
 public:
  Execs(Reactor& reactor, Helper& helper) : reactor_(reactor), children_(reactor, helper, Helper::Topic::servers) {}
  // `programs` at once; 0: there are no such servers. A channel may outlive its program, so that there are more of them.
  static constexpr uint32_t kSpare = 8;
  static uint32_t channels(uint32_t programs) { return programs == 0 ? 0 : 3 * programs + kSpare; }
  static uint64_t arena_bytes(uint32_t programs) {
    return Children::arena_bytes(programs) + channels(programs) * sizeof(Exec) + 64;
  }
  static uint32_t timers(uint32_t programs) { return programs + channels(programs); }
  [[nodiscard]] bool init(uint32_t programs, Arena& arena);
  void set_router(Router& router) { router_ = &router; }

  // Answers the channel: accept() or refuse().
  void open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
  Children& children() { return children_; }
  uint32_t ask_again(const char* why);  // exit.cc

 private:
  friend class Exec;
  Exec* make();
  void give(Exec& e);
  bool too_many(const Session& session, const RelayTarget& target, const OpenInfo& info, TextBase& why) const;

  Reactor& reactor_;
  Children children_;
  Router* router_ = nullptr;
  uint32_t programs_ = 0;
  Exec* execs_ = nullptr;
  uint32_t count_ = 0;
  Exec* free_ = nullptr;
};

bool open_exec(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);

}  // namespace smx

#endif
