// What a daemon says of the packets of its links, to a sink, until it is enough.
//
// The daemon's lines, fields with a tab in between: "begin"; "session NUMBER PEER PLACE"; "packet TIME sent|received SESSION
// DIALECT SIZE HEX" with SIZE bytes in HEX and in the "more HEX" behind it; "lost NUMBER"; "end", once we have said that it is
// enough. Read next: dump.h, daemon_dump.cc. Source: sockmuxctl(8), "The socket".
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>

#include <initializer_list>

#include "core/base/letters.h"
#include "core/io/clock.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/dump.h"

namespace smx::ctl {

namespace {

constexpr int kPatienceMs = 15000;

volatile sig_atomic_t interrupted = 0;
void on_interrupt(int) { interrupted = 1; }
void catch_interrupts() {
  struct sigaction a{};
  a.sa_handler = on_interrupt;
  a.sa_flags = static_cast<int>(SA_RESETHAND);  // the second one ends it at once
  for (const int s : {SIGINT, SIGTERM, SIGHUP}) sigaction(s, &a, nullptr);
}

std::string_view next_field(std::string_view* rest) {
  const size_t at = place_of(*rest, '\t');
  const std::string_view f = first(*rest, at);
  *rest = at == kNowhere ? std::string_view() : skip(*rest, at + 1);
  return f;
}

class Watch {
 public:
  Watch(const DumpLimits& limits, const char* path, DumpSink& sink) : limits_(limits), path_(path), sink_(sink) {}
  int run(int fd);
  uint64_t packets() const { return packets_; }
  uint64_t lost() const { return lost_; }

 private:
  enum class State : uint8_t { ask, begin, on, full };
  int line(std::string_view text);
  int wait(int fd, Time end, bool* ready);
  int begin_packet(std::string_view rest);
  int take_hex(std::string_view hex);
  int strange(std::string_view text) const;

  const DumpLimits& limits_;
  const char* path_;
  DumpSink& sink_;
  State state_ = State::ask;
  DumpPacket packet_;
  bool ends_ = false;  // we have said so
  Time since_;         // when the daemon has spoken last
  size_t wanted_ = 0, have_ = 0;  // bytes of it; 0: none is under way
  uint64_t packets_ = 0, lost_ = 0, lost_before_ = 0;
  uint8_t bytes_[kMaxPacket];
};

int Watch::strange(std::string_view text) const {
  complain({path_, ": this is no sockmuxd, or one of another version: it says '", first(text, 60), "'"});
  return kProtocol;
}

int Watch::take_hex(std::string_view hex) {
  if (hex.size() % 2 != 0 || hex.size() / 2 > wanted_ - have_ || hex.empty()) return strange(hex);
  for (size_t i = 0; i < hex.size(); i += 2) {
    int v = 0;
    for (const char c : {hex[i], hex[i + 1]}) {
      if (!is_digit(c) && (c < 'a' || c > 'f')) return strange(hex);
      v = v * 16 + (is_digit(c) ? c - '0' : c - 'a' + 10);
    }
    bytes_[have_++] = static_cast<uint8_t>(v);
  }
  if (have_ < wanted_) return 0;
  wanted_ = 0;
  packet_.bytes = {bytes_, have_};
  packet_.lost = lost_before_;
  lost_before_ = 0;
  const int code = sink_.packet(packet_);
  if (code == 0 && ++packets_ == limits_.count) state_ = State::full;
  return code;
}

int Watch::begin_packet(std::string_view rest) {
  uint64_t session = 0, size = 0;
  bool good = small_number(next_field(&rest), kAll, &packet_.at_us);
  const std::string_view way = next_field(&rest);
  good = good && (way == "sent" || way == "received") && small_number(next_field(&rest), UINT32_MAX, &session);
  const std::string_view dialect = next_field(&rest);
  good = good && small_number(next_field(&rest), kMaxPacket, &size) && size >= kHeader;
  if (!good) return strange(rest);
  packet_.sent = way == "sent";
  packet_.session = static_cast<uint32_t>(session);
  packet_.dialect = dialect == "1" ? Dialect::v1 : dialect == "0.3" ? Dialect::v03 : Dialect::unknown;
  wanted_ = static_cast<size_t>(size);
  have_ = 0;
  return take_hex(rest);
}

int Watch::line(std::string_view text) {
  if (state_ == State::full) return 0;
  if (state_ == State::ask) {
    constexpr std::string_view kError = "1 error ";
    if (first(text, kError.size()) == kError) {
      const std::string_view why = skip(text, kError.size());
      complain({path_, ": ", why});
      return first(why, 13) == "not permitted" ? kPermission : kProtocol;
    }
    if (text != "1 ok") return strange(text);
    state_ = State::begin;
    return 0;
  }
  if (state_ == State::begin) {
    if (text != "begin") return strange(text);
    state_ = State::on;
    if (limits_.payload > 0) complain({"data of channels are shown: they may hold passwords and other secrets"});
    return 0;
  }
  std::string_view rest = text;
  const std::string_view what = next_field(&rest);
  if (wanted_ > 0) return what == "more" ? take_hex(rest) : strange(text);
  if (ends_ && text == "end") {
    state_ = State::full;
    return 0;
  }
  if (what == "packet") return begin_packet(rest);
  uint64_t n = 0;
  if (what == "lost" && small_number(rest, kAll, &n)) {
    lost_ += n;
    lost_before_ += n;
    return 0;
  }
  if (what == "session" && small_number(next_field(&rest), UINT32_MAX, &n)) {
    const std::string_view peer = next_field(&rest);
    Text<600> where;
    if (peer != "-") where.add_printable(peer).add(' ');
    return sink_.session(static_cast<uint32_t>(n), where.add_printable(rest).text());
  }
  return strange(text);
}

// Until the daemon has said something (*ready), or there may be something to do.
int Watch::wait(int fd, Time end, bool* ready) {
  pollfd p{fd, POLLIN, 0};
  *ready = ::poll(&p, 1, 0) > 0;
  const int code = *ready || state_ < State::on ? 0 : sink_.flush();
  if (*ready || code != 0) return code;
  constexpr int64_t kMostMs = 1000;  // a signal may have come just before
  const Time until = earlier(end, state_ == State::ask || ends_ ? since_ + millis(kPatienceMs) : kNever);
  const int64_t left = until == kNever ? kMostMs : (until - read_clock()).us / 1000 + 1;
  *ready = ::poll(&p, 1, static_cast<int>(left < 0 ? 0 : left < kMostMs ? left : kMostMs)) > 0;
  return 0;
}

// Until it is enough, or the daemon ends. What it has seen up to the end is still read.
int Watch::run(int fd) {
  char buffer[8192];
  size_t size = 0;
  Time end = limits_.seconds == 0 ? kNever : read_clock() + seconds(static_cast<int64_t>(limits_.seconds));
  since_ = read_clock();
  while (state_ != State::full) {
    if (!ends_ && (interrupted != 0 || end <= read_clock())) {
      ends_ = true;
      end = kNever;
      since_ = read_clock();
      (void)shutdown(fd, SHUT_WR);
    }
    bool ready = false;
    const int waited = wait(fd, end, &ready);
    if (waited != 0) return waited;
    if (!ready && (state_ == State::ask || ends_) && since_ + millis(kPatienceMs) <= read_clock()) {
      complain({path_, ": the daemon does not answer"});
      return kTemporary;
    }
    if (!ready) continue;
    since_ = read_clock();
    const IoResult r = read_fd(fd, buffer + size, sizeof buffer - size);
    if (r.again) continue;
    if (r.error != 0 || r.size == 0) {
      const int code = state_ < State::on ? 0 : sink_.flush();
      if (code != 0) return code;
      complain({path_, ": the daemon has ended", r.error == 0 || r.error == ECONNRESET ? "" : ": ", r.error == 0 || r.error == ECONNRESET ? "" : strerror(r.error)});
      return kUnavailable;
    }
    size += r.size;
    std::string_view rest(buffer, size);
    for (size_t at; (at = place_of(rest, '\n')) != kNowhere; rest = skip(rest, at + 1)) {
      const int code = line(first(rest, at));
      if (code != 0) return code;
    }
    if (rest.size() == sizeof buffer) return strange(rest);
    size = rest.size();
    if (size > 0) memmove(buffer, rest.data(), size);
  }
  int code = lost_before_ > 0 ? sink_.lost(lost_before_) : 0;
  if (code == 0) code = sink_.flush();
  return code;
}

}  // namespace

bool small_number(std::string_view text, uint64_t most, uint64_t* out) {
  uint64_t n = 0;
  if (text.empty() || text.size() > 18) return false;
  for (const char c : text) {
    if (!is_digit(c)) return false;
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  *out = n;
  return n <= most;
}

int watch_dump(int fd, const char* path, const DumpLimits& limits, DumpSink& sink, DumpCounts* out) {
  catch_interrupts();
  Watch w(limits, path, sink);
  const int code = w.run(fd);
  out->packets = w.packets();
  out->lost = w.lost();
  return code;
}

}  // namespace smx::ctl
