// Read next: tty.h.
#include "transport/tty.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/rate.h"
#include "core/io/log.h"

namespace smx {

namespace {

#if defined(__FreeBSD__) || defined(__DragonFly__)
constexpr std::string_view kFirstLines = "/dev/cuau";
#elif defined(__OpenBSD__)
constexpr std::string_view kFirstLines = "/dev/cua0";
#elif defined(__NetBSD__)
constexpr std::string_view kFirstLines = "/dev/tty0";
#else
constexpr std::string_view kFirstLines = "/dev/ttyS";
#endif

constexpr Duration kLookForCarrier = millis(200);
// What waits in the driver and the line: more is written when it has fallen to the first, up to the second. Source:
// sockmux(7), "Order of sending".
constexpr Duration kLowTime = millis(10), kHighTime = millis(20);
constexpr size_t kLow = 24, kHigh = 48;
constexpr Duration kShortestPause = millis(5), kLongestPause = millis(100);
constexpr size_t kFifo = 32;  // bytes that hardware holds and TIOCOUTQ does not tell

size_t low_mark(uint32_t rate) { return bytes_in(rate, kLowTime, kLow, SIZE_MAX); }
size_t high_mark(uint32_t rate) { return bytes_in(rate, kHighTime, kHigh, SIZE_MAX); }

}  // namespace

bool find_device(std::string_view name, Text<kDevicePath>* path) {
  path->clear();
  const bool com = name.size() == 4 && (name[0] | 0x20) == 'c' && (name[1] | 0x20) == 'o' && (name[2] | 0x20) == 'm' && name[3] >= '1' && name[3] <= '9';
  if (com) {
    path->add(kFirstLines).add(static_cast<char>(name[3] - 1));
    return true;
  }
  char here[kDevicePath];
  if (name.empty() || name[0] != '/') {
    if (getcwd(here, sizeof here) == nullptr) return false;
    path->add(here).add('/');
  }
  path->add(name);
  return !path->cut();
}

TtyLine::TtyLine(Reactor& reactor, std::string_view path, const SerialSettings& settings)
    : reactor_(reactor), settings_(settings), path_(path), timer_(*this) {
  name_.add("tty ").add_printable(path);
}

// ---- the device

TtyLine::Start TtyLine::start(TextBase& why) {
  int error = 0;
  const DeviceKind kind = device_kind(path_.c_str(), &error);
  if (kind == DeviceKind::fifo) {
    why.add("is a FIFO; these go one way: commin@ and commout@");
    return Start::wrong;
  }
  if (kind == DeviceKind::other) {
    why.add("is no device; expected a serial line or another character device");
    return Start::wrong;
  }
  if (!speed_is_known(settings_.speed)) {
    why.add_u(settings_.speed).add(": this system knows no such speed");
    return Start::wrong;
  }
  return open(why) ? Start::open : Start::later;
}

bool TtyLine::open(TextBase& why) {
  char real[PATH_MAX];
  int error = realpath(path_.c_str(), real) == nullptr ? errno : 0;
  if (error == 0 && device_kind(real, &error) != DeviceKind::line) {
    why.add(error == 0 ? "is no device" : strerror(error));
    return false;
  }
  if (error == 0) {
    lock_error_ = lock_.lock(real);
    if (lock_error_ == EBUSY) {
      why.add("in use: ").add(lock_.path()).add(" is there");
      if (lock_.holder() != 0) why.add(", of process ").add_u(lock_.holder());
      return false;
    }
    error = port_.open(real, settings_);
  }
  if (error == 0) error = reactor_.watch(port_.fd(), *this);
  if (error != 0) {
    port_.close();
    lock_.unlock();
    why.add(error == EWOULDBLOCK ? "in use by another program" : strerror(error));
    return false;
  }
  broken_ = driver_full_ = announced_ = false;
  busy_until_ = Time{};
  const bool known = settings_.speed_given || port_.has_modem_lines();
  rate_ = known ? bytes_a_second(settings_) : 0;
  // A driver that tells its queue is believed more than a clock that may differ from the line's by a few percent.
  model_rate_ = !settings_.speed_given ? 0 : port_.has_modem_lines() ? rate_ + rate_ / 32 : rate_;
  return true;
}

// A lock that names who has started us would be taken for one of a dead process: there is none, which the first link says.
void TtyLine::forked() {
  const int error = lock_.write_pid();
  if (error == 0) return;
  lock_error_ = error;
  lock_.unlock();
}

void TtyLine::drop_device() {
  if (!port_.is_open()) return;
  reactor_.timers().stop(timer_);
  reactor_.unwatch(port_.fd());
  port_.close();
}

void TtyLine::end() {
  drop_device();
  lock_.unlock();
}

void TtyLine::announce() {
  if (announced_) return;
  announced_ = true;
  Text<60> settings;
  if (port_.has_termios()) append_serial(settings, settings_);
  LogLine(LogLevel::info, "device-open").kv("device", path_.text()).kv("settings", port_.has_termios() ? settings.text() : "none").kv("rate", rate_);
  if (!port_.took_all() || (!port_.has_termios() && settings_.given))
    LogLine(LogLevel::warning, "device-settings").kv("device", path_.text()).kv("reason", "the device does not take all of them");
  if (lock_error_ != 0 && !warned_lock_) {
    warned_lock_ = true;
    LogLine(LogLevel::warning, "device-not-locked").kv("device", path_.text()).kv("file", lock_.path()).error(lock_error_);
  }
}

// ---- Dialer

void TtyLine::dial(DialOwner& owner, Time now) {
  dialer_ = &owner;
  state_ = State::idle;
  if (port_.is_open() && (broken_ || port_.hung_up())) drop_device();
  Text<200> why;
  if (!port_.is_open() && !open(why)) return owner.on_dial_failed(why.text(), now);
  announce();
  if (settings_.modem && !port_.carrier()) {
    LogLine(LogLevel::info, "device-waits").kv("device", path_.text()).kv("reason", "no carrier");
    state_ = State::carrier;
    return reactor_.timers().start(timer_, now + kLookForCarrier);
  }
  state_ = State::linked;
  owner.on_dialed(*this, now);
}

void TtyLine::cancel() {
  if (state_ != State::carrier) return;
  state_ = State::idle;
  reactor_.timers().stop(timer_);
}

// ---- Link

IoResult TtyLine::readv(const MutBytes* piece, int pieces) {
  if (state_ == State::ended) return {};
  const IoResult r = readv_fd(port_.fd(), piece, pieces);
  if (!r.again && (r.error != 0 || r.size == 0)) broken_ = true;
  return r;
}

// Bytes that are not on the line yet: what the driver says, or what the line can't have carried since they were written.
size_t TtyLine::waiting(Time now) const {
  const size_t queue = port_.output_queue();
  if (model_rate_ == 0 || busy_until_ <= now) return queue;
  return bytes_in(model_rate_, busy_until_ - now, queue, SIZE_MAX);
}

IoResult TtyLine::writev(const Bytes* piece, int pieces) {
  SMX_CHECK(pieces <= kMaxPieces);
  IoResult r;
  if (rate_ == 0) {
    r = writev_fd(port_.fd(), piece, pieces);
    driver_full_ = true;  // if it took less, it will say when it takes more
  } else {
    const Time now = reactor_.now();
    const size_t high = high_mark(rate_);
    const size_t there = waiting(now);
    size_t room = there < high ? high - there : 0;
    Bytes some[kMaxPieces];
    int n = 0;
    size_t asked = 0;
    for (; n < pieces && room > 0; ++n) {
      some[n] = {piece[n].data, piece[n].size < room ? piece[n].size : room};
      room -= some[n].size;
      asked += some[n].size;
    }
    driver_full_ = false;
    if (asked == 0) {
      r.again = true;
      return r;
    }
    r = writev_fd(port_.fd(), some, n);
    driver_full_ = r.again || r.size < asked;
    if (r.size > 0 && model_rate_ != 0)
      busy_until_ = (busy_until_ > now ? busy_until_ : now) + time_of(r.size, model_rate_);
  }
  if (r.error != 0) broken_ = true;
  return r;
}

void TtyLine::want(uint8_t events) {
  if (state_ == State::ended) return;
  const bool paced = (events & kWrite) != 0 && !driver_full_;
  if (paced) {
    events = static_cast<uint8_t>(events & ~kWrite);
    if (!timer_.running()) {
      pause_ = kShortestPause;
      look_later(reactor_.now());
    }
  } else if (state_ == State::linked) {
    reactor_.timers().stop(timer_);
  }
  reactor_.want(port_.fd(), events);
}

// When the line will have sent enough. A queue that does not move is looked at less and less often.
void TtyLine::look_later(Time now) {
  const size_t low = low_mark(rate_);
  last_waiting_ = waiting(now);
  Duration pause = last_waiting_ > low ? time_of(last_waiting_ - low, rate_) : Duration{0};
  if (pause < pause_) pause = pause_;
  if (pause > kLongestPause) pause = kLongestPause;
  reactor_.timers().start(timer_, now + pause);
}

void TtyLine::on_timer(Timer& timer, Time now) {
  (void)timer;
  switch (state_) {
    case State::idle:
    case State::ended: return;
    case State::carrier:
      if (port_.hung_up()) {
        state_ = State::idle;
        broken_ = true;
        return dialer_->on_dial_failed("hung up while it waited for a carrier", now);
      }
      if (!port_.carrier()) return reactor_.timers().start(timer_, now + kLookForCarrier);
      state_ = State::linked;
      return dialer_->on_dialed(*this, now);
    case State::linked: {
      const size_t before = last_waiting_;
      const size_t there = waiting(now);
      if (there <= low_mark(rate_)) return owner_->on_link_ready(kWrite, now);
      pause_ = there < before ? kShortestPause : pause_ * 2 < kLongestPause ? pause_ * 2 : kLongestPause;
      return look_later(now);
    }
    case State::draining:
      if (port_.output_queue() > 0 || busy_until_ > now) return reactor_.timers().start(timer_, now + kShortestPause);
      state_ = State::ended;
      return owner_->on_link_ready(kRead, now);
  }
}

void TtyLine::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  if (owner_ != nullptr) owner_->on_link_ready(ready, now);
}

// The last has been written. A line has no end that the peer could see: it ends here, as soon as all has gone out.
void TtyLine::shut_write() {
  state_ = State::draining;
  reactor_.timers().start(timer_, reactor_.now() + (rate_ == 0 ? kShortestPause : time_of(kFifo, rate_)));
}

void TtyLine::close(bool gently) {
  (void)gently;
  owner_ = nullptr;
  state_ = State::idle;
  reactor_.timers().stop(timer_);
  if (broken_) drop_device();
  else if (port_.is_open()) reactor_.want(port_.fd(), 0);
}

}  // namespace smx
