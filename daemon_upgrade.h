// The daemon whose place we take (SOCKMUX_TAKE), seen by its control socket: its listening sockets, PIDFILE and control socket become
// ours, and then it is told to end. Until hand_over() it goes on as if nothing was, whatever becomes of us.
//
//   none --fetch()--> fetched --knock()--> at the door --hand_over()--> it drains --its end--> gone
//
// Owner: Daemon. Invariant: what blocks (fetch, knock, hand_over) is done before the loop runs.
// Read next: daemon_upgrade.cc (both sides). Source: sockmuxd(8), "Upgrade".
#ifndef SOCKMUX_DAEMON_UPGRADE_H
#define SOCKMUX_DAEMON_UPGRADE_H

#include "core/io/handed.h"
#include "core/io/reactor.h"

namespace smx {

class PredecessorOwner {
 public:
  virtual void on_predecessor_gone(Time now) = 0;

 protected:
  ~PredecessorOwner() = default;
};

class Predecessor final : private FdHandler {
 public:
  Predecessor(Reactor& reactor, PredecessorOwner& owner) : reactor_(reactor), owner_(owner) {}

  bool has_handed_over() const { return handed_over_; }
  // Asks who listens at `path` (of SOCKMUX_TAKE; `drain`: of SOCKMUX_DRAIN, or empty). False: it gives nothing; `why` says so.
  bool fetch(const char* path, const char* drain, HandedSockets& sockets, TextBase& why);
  // What it had at these paths; invalid: nothing.
  Fd take_control(const char* path);
  Fd take_pidfile(const char* path);
  // Are they ours by it? Then they are not to be removed as long as it has not handed over.
  bool gave_control() const { return gave_control_; }
  bool gave_pidfile() const { return gave_pidfile_; }
  // While we may: the last step needs a connection made by who has started us.
  bool knock(TextBase& why);
  // It stops to accept and drains. From now on its place is ours.
  bool hand_over(TextBase& why);
  // The owner is told when it has ended.
  void await_end(Time now);
  bool is_gone() const { return !door_.valid(); }

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;
  bool receive(Fd& door, HandedSockets& sockets, TextBase& why);
  bool line(std::string_view text, HandedSockets& sockets, TextBase& why);

  Reactor& reactor_;
  PredecessorOwner& owner_;
  const char* path_ = nullptr;
  const char* drain_ = "";
  Fd door_;
  Fd control_, pidfile_;
  static constexpr int kWaiting = 2 * kMaxPassed;
  Fd waiting_[kWaiting];  // descriptors whose line has not come yet
  int count_ = 0;
  bool begun_ = false;
  bool gave_control_ = false, gave_pidfile_ = false, handed_over_ = false;
};

}  // namespace smx

#endif
