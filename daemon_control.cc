// What sockmuxctl(8) may ask of a running daemon: one function a command, and a line in kCommands. The socket of it.
//
// Read next: daemon_status.cc, daemon_peers.cc, daemon_channels.cc, daemon_ports.cc (answers), core/control/control.h (the socket), tools/ctl/sockmuxctl.cc. Source: sockmuxctl(8), "The socket".
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/control/unix_socket.h"
#include "daemon.h"

namespace smx {

namespace {

constexpr int kQueue = 16;

}  // namespace

// Bound while we may. Where nobody has said where, it is a convenience, and the daemon does without.
int Daemon::open_control() {
  static constexpr ControlCommand kCommands[] = {
      {"channels", tell_channels},
      {"dump", tell_dump, end_dump, true},
      {"hand-over", hand_over, end_hand_over, true},
      {"kick", do_kick, nullptr, true},
      {"log", tell_log, nullptr, true},
      {"peers", tell_peers},
      {"ports", tell_ports},
      {"probe", tell_probe, end_probe},
      {"process", tell_process},
      {"reload", tell_reload},
      {"servers", tell_servers},
      {"status", tell_status},
      {"take", tell_take},
      {"version", tell_version},
  };
  if constexpr (!kHasControl) return 0;
  const bool asked = !config_.control_file.empty();
  if (!config_.control || (!asked && (!is_root() || stdio_ != nullptr))) return 0;
  const char* path = asked ? config_.control_file.data() : usual_control_path();
  int error = 0;
  Fd fd;
  if (follows()) fd = predecessor_->take_control(path);
  if (!fd.valid()) fd = listen_unix(path, kQueue, &error);
  Text<300> text(path);
  if (error == 0) {
    control_path_ = path;
    control_file_ = file_at(path);
    control_ = tables_.create<Control>(reactor_);
    probes_ = tables_.create<Probes>(reactor_, *control_);
    make_dumps();
    error = control_->start(static_cast<Fd&&>(fd), kCommands, sizeof kCommands / sizeof kCommands[0], this);
  }
  if (error == 0) return 0;
  if (error == EADDRINUSE) {
    text.add(": another daemon answers there");
    if (asked) {
      say("SOXCONF=control:", text.text());
      return kExitUnavailable;
    }
    say("warning: ", text.add("; sockmuxctl does not reach this one (SOXCONF=control)").text());
    return 0;
  }
  text.add(": ").add(error == EEXIST ? "is there already, and no socket" : strerror(error));
  if (!asked) {
    say("warning: no control socket: ", text.text());
    return 0;
  }
  say("SOXCONF=control:", text.text());
  return error == EACCES || error == EPERM ? kExitPermission : kExitCannotCreate;
}

// In a folder of root's it may have to stay: nobody answers there, then, and the next daemon replaces it. Somebody may have removed ours,
// and another daemon have its own there now.
void Daemon::remove_control() {
  if (control_path_ != nullptr && (control_file_.number == 0 || file_at(control_path_) == control_file_)) (void)::unlink(control_path_);
}

}  // namespace smx
