// Read next: control.h.
#include "core/control/control.h"

#include <errno.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/control/unix_socket.h"
#include "core/io/log.h"
#include "core/io/socket.h"

namespace smx {

namespace {
constexpr std::string_view kVersion = "1";
constexpr Duration kPatience = seconds(5);
constexpr Duration kPause = seconds(1);  // while no descriptor is left
constexpr int kAcceptsATurn = 8;
constexpr int kWritesATurn = 4;

std::string_view word(std::string_view* rest) {
  const size_t end = place_of(*rest, ' ');
  const std::string_view first = rest->substr(0, end);
  *rest = end == kNowhere ? std::string_view() : skip(*rest, end + 1);
  return first;
}

bool is_printable(std::string_view s) {
  for (const char c : s)
    if (c < 0x20 || c > 0x7e) return false;
  return true;
}

}  // namespace

void ControlReply::fail(std::string_view why) {
  failed_ = true;
  text_.clear();
  text_.add(kVersion).add(" error ").add_printable(why).add('\n');
}

int Control::start(Fd listening, const ControlCommand* commands, size_t count, void* context) {
  const int error = reactor_.watch(listening.get(), *this);
  if (error != 0) return error;
  fd_ = static_cast<Fd&&>(listening);
  commands_ = commands;
  count_ = count;
  context_ = context;
  reactor_.want(fd_.get(), kRead);
  return 0;
}

void Control::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kAcceptsATurn; ++i) {
    Client* place = nullptr;
    for (Client& c : client_)
      if (place == nullptr && c.free()) place = &c;
    if (place == nullptr) return reactor_.want(fd, 0);
    Address none;  // an address with a path is none
    int error = 0;
    Fd socket = accept_tcp(fd, &none, &error);
    if (!socket.valid()) {
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      LogLine(LogLevel::warning, "accept-paused").kv("at", "control socket").error(error);
      reactor_.want(fd, 0);
      reactor_.timers().start(pause_, now + kPause);
      return;
    }
    uint32_t uid = 0;
    if (permitted(socket.get(), &uid)) place->start(*this, static_cast<Fd&&>(socket), uid, now);
  }
}

void Control::on_timer(Timer& timer, Time now) {
  (void)timer, (void)now;
  listen_again();
}

Fd Control::stop() {
  reactor_.timers().stop(pause_);
  if (fd_.valid()) reactor_.unwatch(fd_.get(), false);
  return static_cast<Fd&&>(fd_);
}

void Control::listen_again() {
  if (fd_.valid() && !pause_.running()) reactor_.want(fd_.get(), kRead);
}

// The file's mode keeps others away already; but a folder's or a file's rights are soon changed.
bool Control::permitted(int fd, uint32_t* uid) {
  const bool known = peer_uid(fd, uid);
  if (known && (*uid == 0 || *uid == user_)) return true;
  LogLine line(LogLevel::warning, "control-refused");
  if (known) line.kv("uid", *uid);
  ControlReply reply;
  Text<80> why("not permitted: only root and uid ");
  reply.fail(why.add_u(user_).add(" are answered").text());
  (void)write_fd(fd, reply.text_.c_str(), reply.text_.size());  // a fresh socket takes it
  return false;
}

void Control::wake() {
  for (Client& c : client_) c.wake();
}

// ---- one client

void Control::Client::start(Control& control, Fd fd, uint32_t uid, Time now) {
  if (control.reactor_.watch(fd.get(), *this) != 0) return;  // beyond the table: it is closed
  control_ = &control;
  fd_ = static_cast<Fd&&>(fd);
  size_ = written_ = 0;
  next_ = 0;
  command_ = lasting_ = nullptr;
  answering_ = waits_ = false;
  reply_.text_.clear();
  reply_.failed_ = reply_.over_ = false;
  reply_.fds_ = 0;
  reply_.uid_ = uid;
  control.reactor_.timers().start(timer_, now + kPatience);
  control.reactor_.want(fd_.get(), kRead);
}

void Control::Client::close() {
  control_->reactor_.timers().stop(timer_);
  control_->reactor_.unwatch(fd_.get());
  fd_.reset();
  if (lasting_ != nullptr) lasting_->ended(control_->context_, next_);
  lasting_ = nullptr;
  control_->listen_again();
}

void Control::Client::wake() {
  if (!waits_ || free()) return;
  waits_ = false;
  control_->reactor_.want(fd_.get(), reply_.over_ ? kWrite : kRead | kWrite);
}

void Control::Client::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (answering_) return close();
  refuse("no command within 5 s");
  write_some(now);
}

void Control::Client::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd, (void)ready;
  if (lasting_ != nullptr && !reply_.over_) read_end(now);
  else if (!answering_) read_some(now);
  if (fd_.valid() && answering_ && !waits_) write_some(now);
}

// Who has asked for a command that goes on says no more; its end is the end of it.
void Control::Client::read_end(Time now) {
  char more[kAsk];
  const IoResult r = read_fd(fd_.get(), more, sizeof more);
  if (r.again || r.size > 0) return;
  if (r.error != 0) return close();
  reply_.over_ = true;
  waits_ = false;
  control_->reactor_.timers().start(timer_, now + kPatience);
}

void Control::Client::read_some(Time now) {
  (void)now;
  const IoResult r = read_fd(fd_.get(), line_ + size_, sizeof line_ - size_);
  if (r.again) return;
  if (r.error != 0) return close();
  const size_t before = size_;
  size_ += r.size;
  const std::string_view all(line_, size_);
  const size_t end = all.find('\n', before);
  if (end != kNowhere) return ask(first(all, end));
  if (r.size == 0) return size_ == 0 ? close() : refuse("a line without an end");
  if (size_ == sizeof line_) refuse("the line is too long");
}

// The line is whole: "1 peers".
void Control::Client::ask(std::string_view line) {
  std::string_view rest = line;
  const std::string_view version = word(&rest);
  if (!is_printable(line) || version.empty() || version.find_first_not_of("0123456789") != kNowhere)
    return refuse("not a command: expected '1 COMMAND'");
  if (version != kVersion) return refuse("this daemon answers version 1 only");
  const std::string_view name = word(&rest);
  argument_ = rest;
  for (size_t i = 0; i < control_->count_ && command_ == nullptr; ++i)
    if (name == control_->commands_[i].name) command_ = &control_->commands_[i];
  if (command_ == nullptr) {
    Text<kAsk + 40> why("unknown command '");
    return refuse(why.add(name).add('\'').text());
  }
  if (!command_->takes_argument && !argument_.empty()) return refuse(Text<kAsk + 40>(name).add(": no argument is expected").text());
  answering_ = true;
  if (command_->ended != nullptr) {
    lasting_ = command_;
    control_->reactor_.timers().stop(timer_);
  }
  reply_.text_.add(kVersion).add(" ok\n");
}

void Control::Client::refuse(std::string_view why) {
  answering_ = true;
  command_ = nullptr;
  reply_.fail(why);
}

// What is in the buffer; descriptors go with the first byte that goes.
IoResult Control::Client::write_out() {
  const char* from = reply_.text_.c_str() + written_;
  const size_t size = reply_.text_.size() - written_;
  if (reply_.fds_ == 0) return write_fd(fd_.get(), from, size);
  const IoResult r = write_with_fds(fd_.get(), from, size, reply_.fd_, reply_.fds_);
  if (r.size > 0) reply_.fds_ = 0;
  return r;
}

void Control::Client::write_some(Time now) {
  for (int i = 0; i < kWritesATurn; ++i) {
    if (written_ == reply_.text_.size()) {
      if (command_ == nullptr) return close();
      if (written_ > 0) reply_.text_.clear();
      written_ = 0;
    }
    if (command_ != nullptr && written_ == 0 && reply_.has_room()) {
      const bool all = command_->answer(control_->context_, argument_, &next_, reply_);
      if (all && !reply_.failed_) reply_.text_.add("end\n");
      if (all || reply_.failed_) command_ = nullptr;
      if (reply_.text_.size() == 0) {
        if (lasting_ == nullptr) break;  // it looks at much, and others have their turn first
        if (reply_.over_) return close();
        waits_ = true;
        control_->reactor_.want(fd_.get(), kRead);
        return;
      }
    }
    const IoResult r = write_out();
    if (r.error != 0) return close();
    if (r.again) break;
    written_ += r.size;
    if (lasting_ == nullptr || reply_.over_) control_->reactor_.timers().start(timer_, now + kPatience);
  }
  control_->reactor_.want(fd_.get(), lasting_ != nullptr && !reply_.over_ ? kRead | kWrite : kWrite);
}

}  // namespace smx
