// The helper process, as daemons see it: it looks names up and runs programs. What it finds is the scenario's.
//
//   daemon <--packets: HelperRequest, HelperAnswer--> HelperProcess --> Pump, ...
//
// Source: core/io/helper.h, whose requests and answers these are. Invariant: each program that was begun is told of once when it has
// ended. Owner: the world; one for each fork(2). Read next: pump.h, calls_process.cc.
#ifndef SOCKMUX_TESTS_SIMOS_HELPER_H
#define SOCKMUX_TESTS_SIMOS_HELPER_H

#include "core/io/helper.h"
#include "tests/simos/pump.h"

namespace simos {

// What is there outside.
struct Outside {
  virtual ~Outside() = default;
  // What getaddrinfo(3) says, and after what time; -1: never.
  virtual Micros look_up(const std::string& name, smx::HelperAnswer* answer) = 0;
  // A program that `daemon` has asked for; `client`: where one of a server has come in, the values of kClientVariables. 0 or errno.
  virtual int plan(const Process& daemon, bool of_link, const smx::HelperRequest& q, Pump::Plan* out) = 0;
  virtual bool is_well() const = 0;  // nothing goes wrong any more
};
extern Outside* outside;

class HelperProcess final : public Holder, public Pump::Owner {
 public:
  // `end` is its own from now on.
  HelperProcess(Process& daemon, PairEnd* end);
  int pid() const { return pid_; }
  bool over() const { return over_; }
  size_t running(smx::Helper::Topic topic) const;
  void on_socket() override;
  void on_event(int what) override;
  void kill();

 private:
  void obey(PairEnd::Packet& p);
  void begin_program(const smx::HelperRequest& q, PairEnd::Packet& p);
  void answer(const smx::HelperAnswer& a);
  void say_ended(uint32_t id, int error, int status);
  void on_pump_ended(Pump& p, int status) override;
  bool is_well() const override { return outside->is_well(); }

  Process& daemon_;
  const int life_;  // of it
  const int pid_;
  PairEnd* end_;
  std::vector<Pump*> running_;
  std::vector<smx::HelperAnswer> found_;  // names: answers that are due
  std::deque<std::string> unsent_;        // answers that have found no room
  bool scheduled_ = false, over_ = false;
};

}  // namespace simos

#endif
