// A stage for somebody hostile: a hub and a branch with a link between them, and a witness who uses that link all the while.
//
// Invariant of survives(): the act is played twice, so that what it makes the daemons touch has been touched before anything is
// compared; then both daemons live, the witness was served within bounds, and memory, descriptors and channels are what they were.
// Read next: hostile_peers.cc, hostile_clients.cc, hostile_proxies.cc, hostile_udp.cc; peer.h.
#ifndef SOCKMUX_TESTS_E2E_HOSTILE_H
#define SOCKMUX_TESTS_E2E_HOSTILE_H

#include <functional>
#include <memory>
#include <string>

#include "tests/e2e/peer.h"

namespace e2e {

// A dialogue on one channel that never ends, and a newcomer every moment who asks once and goes.
class Witness final : public Actor {
 public:
  explicit Witness(uint16_t port);
  // No newcomers from now on; true once the last one is gone.
  bool rests();
  void goes_on() { resting_ = false; }
  // From now on.
  void forget();
  size_t rounds() const { return rounds_; }
  size_t served() const { return served_; }
  // Newcomers that were sent away; a steady channel that has ended.
  size_t failed() const { return failed_; }
  // Seconds that an answer has taken, or takes by now, at most.
  double worst() const;

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override { (void)list, (void)count; }

 private:
  const uint16_t port_;
  std::unique_ptr<Conn> steady_, newcomer_;
  bool resting_ = false;
  double asked_ = 0, came_ = 0, next_ = 0, worst_ = 0;  // asked_: 0, nothing is awaited; next_: when the next newcomer comes
  uint64_t expected_ = 0;
  size_t rounds_ = 0, served_ = 0, failed_ = 0;
};

struct Stage {
  // The hub accepts links and has a server for all, an echo; the branch has the witness's port. Words come behind these.
  explicit Stage(const Words& hub = {}, const Words& branch = {}, const ProcessSetup& setup = {});
  Daemon& hub() { return *pair->a; }
  Daemon& branch() { return *pair->c; }
  // Plays it twice.
  void survives(const std::function<void()>& act);
  // Lines of both logs, at most, for all that happened since the start.
  size_t most_lines = 100;
  // What memory may grow by from the first play to the second: what a fast line has under way, up to 960 KiB, comes and goes.
  int64_t most_kib = 1280;
  // An answer takes at most so long. Wide, since the machine may have other things to do; who is kept waiting waits for ever.
  double patience = 3;

  Server echo{echoes};
  std::unique_ptr<Pair> pair;
  std::unique_ptr<Witness> witness;

 private:
  void settle();
  size_t hub_fds_ = 0, branch_fds_ = 0;
};

// Does `step` over and over until `seconds` are over, turning the loop.
void keep_doing(double seconds, const std::function<void()>& step);
// Does it until there is `enough`, which is asked behind each step; false if that takes longer than `most` seconds (times slowness()).
// For what is counted: how much of it a machine does in a second is not what a test is about.
bool keep_doing_until(const std::function<void()>& step, const std::function<bool()>& enough, double most = 10);
// All are over, within `seconds`.
bool all_over(const std::vector<std::unique_ptr<Conn>>& conns, double seconds);
// Sends `bytes` one at a time, as fast as `pause` says, until all are sent or the other side ends; returns how many were sent.
class Slowly final : public Actor {
 public:
  Slowly(Conn& conn, const std::string& bytes, double pause) : conn_(conn), bytes_(bytes), pause_(pause) {}
  size_t sent() const { return sent_; }
  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override { (void)list, (void)count; }

 private:
  Conn& conn_;
  std::string bytes_;
  double pause_, next_ = 0;
  size_t sent_ = 0;
};

}  // namespace e2e

#endif
