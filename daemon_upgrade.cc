// A new daemon in the place of an old one, and both sides of it.
//
//   new                                             old
//   1 take                              ->
//                                       <-          a line and a descriptor for each port, its PIDFILE, its control socket
//   opens what else it needs, drops root
//   1 hand-over SECONDS control pidfile ->          stops to accept, drains
//   accepts clients and links           <-          1 ok
//   makes links                         <-          the end of the connection: it is gone
//
// Invariant: before hand-over nothing of the old one has changed. Read next: daemon_upgrade.h, tools/ctl/upgrade.cc.
// Source: sockmuxd(8), "Upgrade"; sockmuxctl(8), "The socket".
#include "daemon_upgrade.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/letters.h"
#include "core/control/unix_socket.h"
#include "core/io/log.h"
#include "core/io/notify.h"
#include "daemon.h"

namespace smx {

namespace {

constexpr int kPatienceSeconds = 10;
constexpr uint64_t kLongestDrain = 86400;
constexpr std::string_view kOk = "1 ok\n";

std::string_view next_word(std::string_view* rest) {
  const size_t end = place_of(*rest, ' ');
  const std::string_view word = first(*rest, end);
  *rest = end == kNowhere ? std::string_view() : skip(*rest, end + 1);
  return word;
}

}  // namespace

// ---- the new one

bool Predecessor::fetch(const char* path, const char* drain, HandedSockets& sockets, TextBase& why) {
  path_ = path;
  (void)::signal(SIGPIPE, SIG_IGN);  // as the daemon has it later; one that is no daemon may close at once
  drain_ = drain;
  if (!knock(why)) return false;
  constexpr std::string_view kAsk = "1 take\n";
  if (write_whole(door_.get(), kAsk.data(), kAsk.size()) != 0) return why.add("the daemon there does not listen"), false;
  const bool good = receive(door_, sockets, why);
  door_.reset();
  return good;
}

bool Predecessor::receive(Fd& door, HandedSockets& sockets, TextBase& why) {
  char buffer[1024];
  size_t size = 0;
  for (;;) {
    Fd came[kMaxPassed];
    int fds = 0;
    const IoResult r = read_with_fds(door.get(), buffer + size, sizeof buffer - size, came, &fds);
    if (r.again || r.error != 0 || r.size == 0) return why.add("the daemon there does not say all"), false;
    if (count_ + fds > kWaiting) return why.add("more descriptors than lines"), false;
    for (int i = 0; i < fds; ++i) waiting_[count_++] = static_cast<Fd&&>(came[i]);
    size += r.size;
    size_t done = 0;
    for (std::string_view rest(buffer, size); place_of(rest, '\n') != kNowhere; rest = {buffer + done, size - done}) {
      const std::string_view text = first(rest, place_of(rest, '\n'));
      done += text.size() + 1;
      if (text == "end") return true;
      if (!line(text, sockets, why)) return false;
    }
    memmove(buffer, buffer + done, size - done);
    size -= done;
    if (size == sizeof buffer) return why.add("a line that is too long"), false;
  }
}

bool Predecessor::line(std::string_view text, HandedSockets& sockets, TextBase& why) {
  constexpr std::string_view kError = "1 error ";
  if (!begun_) {
    begun_ = text == "1 ok";
    if (first(text, kError.size()) == kError) why.add("it says: ").add_printable(skip(text, kError.size()));
    else if (!begun_) why.add("no sockmuxd answers there");
    return begun_;
  }
  if (count_ == 0) return why.add("a line without its descriptor"), false;
  Fd fd = static_cast<Fd&&>(waiting_[0]);
  --count_;
  for (int i = 0; i < count_; ++i) waiting_[i] = static_cast<Fd&&>(waiting_[i + 1]);
  if (text == "control") control_ = static_cast<Fd&&>(fd);
  else if (text == "pidfile") pidfile_ = static_cast<Fd&&>(fd);
  else if (const int error = sockets.add(static_cast<Fd&&>(fd), {}); error != 0) return why.add(strerror(error)), false;
  return true;
}

Fd Predecessor::take_control(const char* path) {
  gave_control_ = control_.valid() && is_bound_to(control_.get(), path) && prepare_fd(control_.get()) == 0;
  return gave_control_ ? static_cast<Fd&&>(control_) : Fd();
}

Fd Predecessor::take_pidfile(const char* path) {
  gave_pidfile_ = pidfile_.valid() && same_open_file(pidfile_.get(), path);
  return gave_pidfile_ ? static_cast<Fd&&>(pidfile_) : Fd();
}

bool Predecessor::knock(TextBase& why) {
  int error = 0;
  door_ = connect_unix(path_, kPatienceSeconds, &error);
  if (!door_.valid()) return why.add(strerror(error)), false;
  uint32_t uid = 0;
  if (is_listener_trusted(door_.get(), &uid)) return true;
  why.add("uid ").add_u(uid).add(" listens there, who is neither root nor us");
  door_.reset();
  return false;
}

bool Predecessor::hand_over(TextBase& why) {
  Text<100> ask("1 hand-over ");
  ask.add(*drain_ == 0 ? "-" : drain_);
  if (gave_control_) ask.add(" control");
  if (gave_pidfile_) ask.add(" pidfile");
  ask.add('\n');
  char answer[300];
  size_t size = 0;
  // Once it has been asked it lets go: whoever goes away without its answer leaves nobody.
  int tries = write_whole(door_.get(), ask.c_str(), ask.size()) == 0 ? 3 : 0;
  while (tries > 0 && size < kOk.size()) {
    const IoResult r = read_fd(door_.get(), answer + size, sizeof answer - size);
    if (r.size == 0 && !r.again && r.error == 0) break;
    if (r.size == 0) --tries;
    size += r.size;
  }
  handed_over_ = std::string_view(answer, size) == kOk;
  if (!handed_over_) why.add("the old daemon does not let go: ").add_printable(size == 0 ? "no answer" : std::string_view(answer, size - 1));
  return handed_over_;
}

void Predecessor::await_end(Time now) {
  if (prepare_fd(door_.get()) != 0 || reactor_.watch(door_.get(), *this) != 0) {
    door_.reset();
    return owner_.on_predecessor_gone(now);
  }
  reactor_.want(door_.get(), kRead);
}

void Predecessor::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  char more[64];
  const IoResult r = read_fd(fd, more, sizeof more);
  if (r.again || r.size > 0) return;
  reactor_.unwatch(fd);
  door_.reset();
  owner_.on_predecessor_gone(now);
}

// What is already open, before ports are. 0 or an exit code.
int Daemon::receive_sockets() {
  if constexpr (kHasNotify) {
    int error = open_notify();
    if (error != 0) say("warning: ", Text<200>("NOTIFY_SOCKET: ").add(error == EINVAL ? "expected a path from / on, or @name" : strerror(error)).text());
    error = handed_.read_environment();
    if (error != 0) {
      Text<200> text("LISTEN_FDS: ");
      say("", text.add(error == EINVAL ? "expected the number of descriptors, and LISTEN_PID" : strerror(error)).text());
      return kExitUnavailable;
    }
  }
  if constexpr (kHasUpgrade) {
    const char* path = take_variable("SOCKMUX_TAKE");
    const char* drain = take_variable("SOCKMUX_DRAIN");
    if (path == nullptr) return 0;
    predecessor_ = tables_.create<Predecessor>(reactor_, static_cast<PredecessorOwner&>(*this));
    SMX_CHECK(predecessor_ != nullptr);
    Text<400> why;
    if (predecessor_->fetch(path, drain == nullptr ? "" : drain, handed_, why)) return 0;
    say("SOCKMUX_TAKE: ", why.text());
    return kExitUnavailable;
  }
  return 0;
}

// A socket that somebody has opened for us and that nobody uses is a mistake of who has written it down, unless we have left it
// there ourselves, or the daemon before us has, with another configuration. 0 or an exit code.
int Daemon::check_left() {
  if constexpr (!kHasNotify && !kHasUpgrade) return 0;
  size_t at = 0;
  std::string_view name;
  Text<100> what;
  int code = 0;
  while (handed_.next_left(&at, &name, what)) {
    if (HandedSockets::is_stored_name(name)) {
      if (kHasNotify) forget_stored(name);
      continue;
    }
    if (follows()) continue;
    Text<400> text("LISTEN_FDS: the socket ");
    if (!name.empty()) text.add('\'').add_printable(name).add("', ");
    say("", text.add(what.text()).add(", is neither one of -P nor of PORT").text());
    code = kExitConfig;
  }
  handed_.close_rest();
  return code;
}

// A socket for a port, if there is one already.
Fd Daemon::find_handed(const Resolved& list, bool udp) {
  for (int i = 0; (kHasNotify || kHasUpgrade) && i < list.count; ++i) {
    Fd fd = handed_.take(list.address[i], udp, static_cast<int>(config_.listen_backlog));
    if (fd.valid()) return fd;
  }
  return Fd();
}

// With the manager, so that they are open when it starts the next daemon.
void Daemon::store_port(int fd, bool udp) {
  if (!kHasNotify || !can_store() || handed_.was_stored(local_address(fd), udp)) return;
  Text<100> name;
  HandedSockets::append_stored_name(name, fd);
  store_socket(fd, name.text());
}

// From here on nothing can fail that we know of. 0 or an exit code.
int Daemon::take_place() {
  if (!waits()) return 0;
  Text<400> why;
  if (!predecessor_->hand_over(why)) {
    LogLine(LogLevel::error, "upgrade-failed").kv("reason", why.text());
    return kExitUnavailable;
  }
  if (predecessor_->gave_pidfile()) (void)put_pid();  // the one before us has gone: too late to give up
  return 0;
}

void Daemon::begin_links() {
  if (!follows()) return start_links();
  if (dialers_ > 0) sessions_.at(0).reserve();  // peers come before we make our link
  predecessor_->await_end(reactor_.now());
}

void Daemon::on_predecessor_gone(Time now) {
  if (ending_ != Ending::no) return reactor_.timers().start(end_, now);
  LogLine(LogLevel::info, "upgraded");
  start_links();
}

// ---- the old one

// Sockets, and the end of this daemon, are for who could have started it.
bool Daemon::may_replace(ControlReply& reply) const {
  if constexpr (!kHasUpgrade) return reply.fail("this daemon was built without upgrade"), false;
  if (reply.uid() == 0 || reply.uid() == started_by_) return true;
  reply.fail("not permitted: only root, and who has started this daemon, may");
  return false;
}

bool Daemon::tell_take(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (!d.may_replace(reply)) return true;
  if (d.ending_ != Ending::no || d.stdio_ != nullptr) {
    reply.fail(d.stdio_ != nullptr ? "take: its link is standard input" : "take: this daemon ends");
    return true;
  }
  const size_t ports = d.acceptors_ + d.listeners_ + d.udp_listeners_;
  for (; *next < ports + 2; ++*next) {
    if (!reply.has_room() || !reply.has_room_for_fd()) return false;
    size_t i = *next;
    int fd = -1;
    const char* what = "tcp";
    if (i < d.acceptors_) fd = d.acceptor_[i]->fd();
    else if ((i -= d.acceptors_) < d.listeners_) fd = d.listener_[i]->fd();
    else if ((i -= d.listeners_) < d.udp_listeners_) what = "udp", fd = d.udp_listener_[i]->fd();
    else if (i == d.udp_listeners_) what = "control", fd = d.control_->fd();
    else what = "pidfile", fd = d.pidfile_.get();
    if (fd < 0) continue;  // it is closed
    reply.line(what);
    reply.attach(fd);
  }
  return true;
}

// "60 control pidfile": how long to drain, in seconds, or "-"; what is the new one's to remove. Only when all of "1 ok" has been
// written, so that the new one goes on, we let go.
bool Daemon::hand_over(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  const uint32_t step = *next;
  if (kHasUpgrade && step > 1) return false;  // the connection stays until we are gone
  if (step == 1 && !reply.empty()) return false;
  ++*next;
  if (step == 0 && !d.may_replace(reply)) return true;
  const std::string_view drain = next_word(&argument);
  const Text<20> digits(drain);
  uint64_t drain_s = 0;
  const bool good = drain == "-" || (number_in(digits.c_str(), &drain_s) && drain_s <= kLongestDrain);
  if (step == 0) {
    if (d.ending_ == Ending::no && good) return false;
    reply.fail(good ? "hand-over: this daemon ends" : "hand-over: expected seconds");
    return true;
  }
  while (!argument.empty()) {
    const std::string_view what = next_word(&argument);
    if (what == "control") {
      d.control_path_ = nullptr;
      (void)d.control_->stop();
    } else if (what == "pidfile") {
      d.pidfile_.reset();  // the lock is that of the other descriptor, too
    }
  }
  d.passed_on_ = true;
  const Time now = d.reactor_.now();
  if (d.ending_ == Ending::no) d.begin_shutdown("upgrade", now);
  if (drain_s > 0) d.drain_until_ = now + seconds(static_cast<int64_t>(drain_s));
  return false;
}

// Who has taken our place is gone, most likely by a stop that is meant for all of us; of long drains its manager knows nothing.
void Daemon::end_hand_over(void* self, uint32_t next) {
  if (next < 2) return;  // one who was sent away, or whose "1 ok" could not be written
  Daemon& d = *static_cast<Daemon*>(self);
  d.passed_on_ = false;
  d.hurry(d.reactor_.now());
}

void Daemon::set_words(char** argv) {
  words_ = argv;
  started_by_ = own_user();
  (void)absolute_path("", &folder_);
}

namespace {

// Lines of `text` in pieces that are short enough, whatever is in it: the first with `name`, the others with "more". `*line` counts
// them; those before `from` are left out. False: there was no room.
bool add_pieces(const char* name, std::string_view text, uint32_t* line, uint32_t* from, ControlReply& reply) {
  constexpr size_t kPiece = 100;
  for (bool is_first = true; is_first || !text.empty(); is_first = false) {
    const std::string_view piece = first(text, kPiece);
    text = skip(text, kPiece);
    if ((*line)++ < *from) continue;
    if (!reply.has_room()) return false;
    Text<ControlReply::kLine> out(is_first ? name : "more");
    out.add('\t');
    for (const char c : piece) {
      if (c >= 0x20 && c < 0x7f && c != '\\') out.add(c);
      else out.add("\\x").add_hex(static_cast<uint8_t>(c), 2);
    }
    reply.line(out.text());
    ++*from;
  }
  return true;
}

}  // namespace

// How it was started, for who starts the next one.
bool Daemon::tell_process(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (!d.may_replace(reply)) return true;
  uint32_t line = 0;
  Text<20> pid;
  pid.add_u(static_cast<uint64_t>(getpid()));
  const struct {
    const char* name;
    std::string_view value;
  } kFacts[] = {{"pid", pid.text()},
                {"background", d.foreground_ ? "no" : "yes"},
                {"manager", has_notify() ? "yes" : "no"},
                {"stores", can_store() ? "yes" : "no"},
                {"folder", d.folder_.text()}};
  for (const auto& f : kFacts)
    if (!add_pieces(f.name, f.value, &line, next, reply)) return false;
  for (char** w = d.words_; w != nullptr && *w != nullptr; ++w)
    if (!add_pieces("word", *w, &line, next, reply)) return false;
  return true;
}

}  // namespace smx
