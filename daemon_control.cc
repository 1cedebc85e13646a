// What sockmuxctl(8) may ask of a running daemon: one function a command, and a line in kCommands.
//
// Read next: core/control/control.h (the socket), tools/sockmuxctl.cc. Source: sockmuxctl(8), "The socket".
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "core/base/letters.h"
#include "core/control/unix_socket.h"
#include "daemon.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx {

namespace {

constexpr int kQueue = 16;
constexpr std::string_view kNobody = "-";

// One line of a table: fields with a tab in between. A name's end says what a number counts: _s, _us, _bytes.
class Row {
 public:
  Row& add(std::string_view field);
  Row& add(uint64_t number);
  std::string_view text() const { return text_.text(); }

 private:
  TextBase& next() { return text_.size() > 0 ? text_.add('\t') : text_; }

  Text<ControlReply::kLine> text_;
};

Row& Row::add(std::string_view field) {
  next().add_printable(field.empty() ? kNobody : field);
  return *this;
}

Row& Row::add(uint64_t number) {
  next().add_u(number);
  return *this;
}

std::string_view state_of(const Session& s) {
  if (s.up()) return "up";
  return s.held() ? "held" : "connecting";
}

// Who is not an address: "tty:/dev/ttyS0", "stdio"; where we call and nobody has answered yet, who is called.
void append_place(TextBase& to, const Session& s) {
  if (s.peer().family != 0) return append_address(to, s.peer());
  std::string_view target = s.target();
  constexpr std::string_view kTcp = "tcp ";
  if (first(target, kTcp.size()) == kTcp) target = skip(target, kTcp.size());
  for (const char c : target) to.add(c == ' ' ? ':' : c);
}

uint64_t whole_seconds(Duration d) { return d.us < 0 ? 0 : static_cast<uint64_t>(d.us / 1000000); }

}  // namespace

// Sessions keep their numbers, so the answer goes on where it was, however long the socket took for a part of it.
bool Daemon::tell_peers(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (!argument.empty()) {
    reply.fail("peers: no argument is expected");
    return true;
  }
  if (*next == 0) reply.line("name\tkey\taddress\tstate\tsince_s\tchannels\trx_bytes\ttx_bytes\trtt_us");
  for (; *next < d.sessions_.count(); ++*next) {
    if (!reply.has_room()) return false;
    const Session& s = d.sessions_.at(*next);
    if (!s.has_link() && !s.held() && !s.dials()) continue;  // nobody's
    Text<46> key;
    if (s.peer_key() != nullptr) append_key(key, *s.peer_key());
    Text<200> place;
    append_place(place, s);
    Row row;
    row.add(s.peer_label()).add(key.text()).add(place.text()).add(state_of(s)).add(whole_seconds(d.reactor_.now() - s.since()));
    row.add(s.mux().channels()).add(s.mux().stats().rx_bytes).add(s.mux().stats().tx_bytes);
    if (s.up()) row.add(static_cast<uint64_t>(s.mux().round_trip().us));
    else row.add(kNobody);
    reply.line(row.text());
  }
  return true;
}

bool Daemon::tell_version(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  (void)self, (void)next;
  if (!argument.empty()) reply.fail("version: no argument is expected");
  else reply.line("sockmuxd " SMX_VERSION);
  return true;
}

// Bound while we may. Where nobody has said where, it is a convenience, and the daemon does without.
int Daemon::open_control() {
  static constexpr ControlCommand kCommands[] = {
      {"peers", tell_peers},
      {"version", tell_version},
  };
  if constexpr (!kHasControl) return 0;
  const bool asked = !config_.control_file.empty();
  if (!config_.control || (!asked && (!is_root() || stdio_ != nullptr))) return 0;
  const char* path = asked ? config_.control_file.data() : usual_control_path();
  int error = 0;
  Fd fd = listen_unix(path, kQueue, &error);
  Text<300> text(path);
  if (error == 0) {
    control_path_ = path;
    control_ = tables_.create<Control>(reactor_);
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

// In a folder of root's it may have to stay: nobody answers there, then, and the next daemon replaces it.
void Daemon::remove_control() {
  if (control_path_ != nullptr) (void)::unlink(control_path_);
}

}  // namespace smx
