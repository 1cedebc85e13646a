// Who asks a daemon by its control socket, as sockmuxctl does: at once, slowly, with nonsense, and who leaves in the middle.
//
// An answer is "1 ok", lines of printable text, "end"; or "1 error WHY". Where all is well it comes, whole and soon. Source:
// sockmuxctl(8), "The socket". Owner: the world. Read next: core/control/control.h.
#ifndef SOCKMUX_TESTS_SIMOS_WATCHER_H
#define SOCKMUX_TESTS_SIMOS_WATCHER_H

#include "tests/simos/talker.h"

namespace simos {

class Watcher final : public Holder {
 public:
  // `well`: an answer must come, and be one.
  Watcher(const Crowd& crowd, const std::string& asked, bool goes_on, bool well);
  void ask(Place control);
  void on_socket() override;
  void on_event(int what) override;
  bool over() const { return over_; }
  const std::string& asked() const { return asked_; }
  bool answered() const { return answered_; }

 private:
  void write_some();
  void read_some();
  void finish();
  void look_at(const std::string& line);
  const Crowd& crowd_;
  const std::string asked_;
  const bool goes_on_, well_;
  Tcp* socket_ = nullptr;
  std::string left_, line_;
  size_t lines_ = 0, heard_ = 0, read_most_ = 4096, leaves_at_ = SIZE_MAX;
  Micros pause_ = 0;
  bool scheduled_ = false, over_ = false, answered_ = false, ended_ = false, paused_ = false;
};

}  // namespace simos

#endif
