// A program as daemons start it: it connects to a place, and carries bytes both ways, as `nc` or `ssh -W` do.
//
//   daemon <--socket pair, or two pipes--> Pump <--TCP--> Place           standard error: lines for the log
//
// Each end goes on as an end: where one way is over it closes that way; when both are, it ends with 0. A connection that is cut, and a
// side that takes nothing more, ends it with 1, and what it holds is lost; the others see an end. TERM ends it, or not; KILL does. Owner: the world; its helper hears of its end. Read next: helper.h, core/io/child.h.
#ifndef SOCKMUX_TESTS_SIMOS_PUMP_H
#define SOCKMUX_TESTS_SIMOS_PUMP_H

#include "tests/simos/pair.h"
#include "tests/simos/network.h"

namespace simos {

class Pump final : public Holder {
 public:
  struct Plan {
    uint32_t from = 0;
    Place to;
    Micros begins_after = 0;
    bool ignores_term = false;
    int exits_at_once = -1;    // with that status, before anything else
    Micros hangs_after = -1;   // from then on it carries nothing, and does not end by itself
    Micros dies_after = -1;    // by signal 11
    bool ends_with_either = false;  // one end is both, as for a link
  };
  struct Owner {
    virtual ~Owner() = default;
    virtual void on_pump_ended(Pump& p, int status) = 0;  // of waitpid(2)
    virtual bool is_well() const = 0;                      // nothing goes wrong any more
  };
  // `fd`: references that are its own: standard input, output and error; they may be one file.
  Pump(Owner& owner, uint32_t id, const Plan& plan, File* const (&fd)[3]);
  void on_socket() override { run_soon(); }
  void on_event(int what) override;
  void signal(int number);
  uint32_t id() const { return id_; }
  bool over() const { return over_; }

 private:
  struct Way {
    std::string held;
    bool end_seen = false, ended = false;
  };
  void run_soon();
  void run();
  void say(const char* line);
  bool carry(Way& way, File* from, File* to);
  void end_way(File* to);
  void exit(int status);

  Owner& owner_;
  const uint32_t id_;
  const Plan plan_;
  File* fd_[3];
  Tcp* socket_ = nullptr;
  Way in_, out_;
  bool scheduled_ = false, retries_ = false, over_ = false, hangs_ = false;
};

}  // namespace simos

#endif
