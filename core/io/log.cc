// Read next: log.h.
#include "core/io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <syslog.h>
#include <unistd.h>

#include "core/base/held_lines.h"
#include "core/io/clock.h"
#include "core/io/fd.h"

namespace smx {

namespace {

constexpr int kBurst = 20;              // lines of one event ...
constexpr Duration kWindow = seconds(10);  // ... within this time
constexpr int kEvents = 96;             // events that are told apart: more than there are

struct Seen {
  const char* event = nullptr;
  Time since;
  int written = 0;
  uint64_t counted = 0;
};

LogSetup setup;
int error_fd = STDERR_FILENO;
Seen seen[kEvents];
uint64_t suppressed;

constexpr int kPriority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

enum Sink : unsigned { at_error, at_file, at_syslog, kSinks };
constexpr unsigned kAllSinks = (1u << kSinks) - 1;

// Lines that nobody took, each where that was. A log that cannot be written must not stop the daemon: a terminal that was told to hold
// (^S), a reader of our pipe or a syslogd that stands still. So nothing here waits; the count is written there once there is room again.
uint64_t untaken[kSinks];

// A line that is cut, as on a disk that gets full, goes on where it was: the next one would else stand behind its half.
void put(Sink sink, int fd, std::string_view line) {
  while (!line.empty() && takes_now(fd)) {
    const IoResult r = write_fd(fd, line.data(), line.size());
    if (r.size == 0) {
      if (!r.again && r.error != ENOSPC && r.error != EDQUOT && r.error != EFBIG) return;  // nobody will ever take it
      break;
    }
    line.remove_prefix(r.size);
  }
  if (!line.empty()) ++untaken[sink];
}

int facility() { return setup.facility < 0 ? LOG_DAEMON : setup.facility; }

#if defined(__linux__)
// syslog(3) of glibc and musl waits for room in the socket of syslogd, for ever if that one was stopped; those of the BSDs do not.
// The time is left out, as RFC 3164, 4.3.2 lets us: whoever writes the log has one.
int syslog_fd = -1;
bool syslog_streams = false;
// That socket holds 10 lines or so (unix(7), max_dgram_qlen). Those of a burst that have no room wait.
constexpr Duration kShortestPause = millis(10), kLongestPause = seconds(1);
constexpr int kEndMs = 10, kEndTries = 100;
HeldLines held;
Duration held_pause;
Time held_until;  // is tried again then

bool open_syslog(int type) {
  if (syslog_fd >= 0) ::close(syslog_fd);
  syslog_fd = ::socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  syslog_streams = type == SOCK_STREAM;
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  memcpy(at.sun_path, "/dev/log", sizeof "/dev/log");
  return syslog_fd >= 0 && ::connect(syslog_fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
}

void connect_syslog() {
  if (!open_syslog(SOCK_DGRAM) && errno == EPROTOTYPE) (void)open_syslog(SOCK_STREAM);
}

// How much of it has gone; all of it, too, if nobody is there. 0: there is no room now.
size_t send_syslog(const char* line, size_t size) {
  for (int tries = 0; tries < 2; ++tries) {
    const ssize_t n = ::send(syslog_fd, line, size, MSG_NOSIGNAL);
    if (n >= 0) return static_cast<size_t>(n);
    if (errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS) return 0;
    if (tries == 0) connect_syslog();  // it may have been started anew
  }
  ++untaken[at_syslog];
  return size;
}

void send_held() {
  if (held.give(send_syslog)) held_pause = kShortestPause;
}

void tell_syslog(int priority, std::string_view text) {
  Text<kLogText + 80> line("<");
  line.add_u(static_cast<uint64_t>(facility() | priority)).add('>').add(setup.name).add('[').add_u(static_cast<uint64_t>(getpid())).add("]: ").add(text);
  const size_t size = line.size() + size_t{syslog_streams};  // records of a stream end with NUL
  send_held();
  const bool first = held.empty();
  const size_t sent = first ? send_syslog(line.c_str(), size) : 0;
  if (sent == size) return;
  if (first) held_pause = kShortestPause, held_until = read_clock() + kShortestPause;
  if (!held.add(line.c_str() + sent, size - sent)) ++untaken[at_syslog];
}
void end_syslog() {}
#else
void connect_syslog() { openlog(setup.name, LOG_PID | LOG_NDELAY, facility()); }
void tell_syslog(int priority, std::string_view text) { ::syslog(priority, "%.*s", static_cast<int>(text.size()), text.data()); }
void end_syslog() { closelog(); }
#endif

// `sinks`: a bit for each that shall have it.
void emit(LogLevel level, std::string_view text, unsigned sinks) {
  if (setup.to_syslog && (sinks >> at_syslog & 1) != 0) tell_syslog(kPriority[static_cast<int>(level)], text);
  // One write(2) a line.
  const bool error = (setup.to_stderr || level == LogLevel::error) && (sinks >> at_error & 1) != 0, for_journal = error && setup.journal, for_people = error && !setup.journal;
  const bool file = setup.file >= 0 && (sinks >> at_file & 1) != 0;
  if (for_journal) {
    Text<kLogText + 20> bare("<");
    bare.add_u(static_cast<uint64_t>(kPriority[static_cast<int>(level)])).add('>').add(text).add('\n');
    put(at_error, error_fd, bare.text());
  }
  if (!for_people && !file) return;
  char stamp[21];
  write_log_stamp(stamp);
  static const char* const kWord[] = {"error ", "warning ", "", "debug "};
  Text<kLogText + 80> line;
  line.add(stamp).add(' ').add(setup.name).add('[').add_u(static_cast<uint64_t>(getpid())).add("] ");
  line.add(kWord[static_cast<int>(level)]).add(text).add('\n');
  if (for_people) put(at_error, error_fd, line.text());
  if (file) put(at_file, setup.file, line.text());
}

void write_line(LogLevel level, std::string_view text) {
  if (setup.silent) return;
  for (unsigned i = 0; i < kSinks; ++i) {
    const uint64_t count = untaken[i];
    if (count == 0) continue;
    untaken[i] = 0;
    Text<100> line("repeated event=log-untaken count=");
    emit(LogLevel::warning, line.add_u(count).text(), 1u << i);
    if (untaken[i] > 0) untaken[i] = count;
  }
  emit(level, text, kAllSinks);
}

void report(Seen& s) {
  if (s.counted == 0) return;
  Text<kLogText> text;
  text.add("repeated event=").add(s.event).add(" count=").add_u(s.counted);
  s.counted = 0;
  write_line(LogLevel::warning, text.text());
}

// False: this one is only counted.
bool passes(const char* event) {
  const Time now = read_clock();
  Seen* mine = nullptr;
  for (Seen& s : seen) {
    if (s.event == nullptr) {
      if (mine == nullptr) {
        s = {event, now, 0, 0};
        mine = &s;
      }
      break;
    }
    if (now - s.since > kWindow) {
      report(s);
      s.since = now;
      s.written = 0;
    }
    if (mine == nullptr && strcmp(s.event, event) == 0) mine = &s;
  }
  if (mine == nullptr || mine->written < kBurst) {
    if (mine != nullptr) ++mine->written;
    return true;
  }
  ++mine->counted;
  ++suppressed;
  return false;
}

}  // namespace

void set_log_level(LogLevel least, bool silent) {
  setup.least = least;
  setup.silent = silent;
}

void set_log(const LogSetup& s) {
  if (setup.to_syslog) end_syslog();
  setup = s;
  if (setup.to_syslog) connect_syslog();
}

bool stderr_is_journal() {
  const char* stream = getenv("JOURNAL_STREAM");
  struct stat is;
  if (stream == nullptr || fstat(STDERR_FILENO, &is) != 0) return false;
  Text<44> text;
  text.add_u(is.st_dev).add(':').add_u(is.st_ino);
  return text.text() == stream;
}

// A terminal has room, says poll(2), when there is room for a byte, and write(2) waits with the rest of the line. O_NONBLOCK at descriptor
// 2 itself would be our starter's, too.
void open_terminal() {
  char name[64];
  if (isatty(STDERR_FILENO) == 0 || ttyname_r(STDERR_FILENO, name, sizeof name) != 0) return;
  const int fd = ::open(name, O_WRONLY | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
  if (fd >= 0) error_fd = fd;  // else it is not ours to open, as behind su(1)
}

bool log_wanted(LogLevel level) { return !setup.silent && level <= setup.least; }
uint64_t log_suppressed() { return suppressed; }

#if defined(__linux__)
int log_wait_ms(int longest) {
  if (!kHasSyslog || held.empty()) return longest;
  const Time now = read_clock();
  if (now >= held_until) {
    held_pause = held_pause * 2 < kLongestPause ? held_pause * 2 : kLongestPause;
    send_held();
    if (held.empty()) return longest;
    held_until = now + held_pause;
  }
  const int ms = static_cast<int>((held_until - now).us / 1000) + 1;
  return ms < longest ? ms : longest;
}

void end_log() {
  for (int i = 0; kHasSyslog && i < kEndTries && !held.empty(); ++i, send_held()) (void)::poll(nullptr, 0, kEndMs);
}
#else
int log_wait_ms(int longest) { return longest; }
void end_log() {}
#endif

LogLine::LogLine(LogLevel level, const char* event) : level_(level), wanted_(log_wanted(level)) {
  // Statistics are the user's wish, one line a link.
  const bool counted = level != LogLevel::debug && strncmp(event, "statistics", 10) != 0;
  if (wanted_ && counted) wanted_ = passes(event);
  if (wanted_) text_.add(event);
}

LogLine::~LogLine() {
  if (wanted_) write_line(level_, text_.text());
}

LogLine& LogLine::kv(const char* key, std::string_view value) {
  if (!wanted_) return *this;
  text_.add(' ').add(key).add('=');
  const bool quote = value.empty() || value.find_first_of(" \"=") != std::string_view::npos;
  if (quote) text_.add('"');
  for (const char c : value) {
    if (c == '"' || c == '\\') text_.add('\\');
    text_.add_printable(std::string_view(&c, 1));
  }
  if (quote) text_.add('"');
  return *this;
}

LogLine& LogLine::kv(const char* key, const char* value) { return kv(key, std::string_view(value)); }

LogLine& LogLine::kv(const char* key, const Address& value) {
  Text<kAddressText> t;
  append_address(t, value);
  return kv(key, t.text());
}

LogLine& LogLine::kv(const char* key, uint64_t value) {
  Text<20> t;
  return kv(key, t.add_u(value).text());
}

LogLine& LogLine::ms(const char* key, Duration value) {
  Text<32> t;
  const uint64_t ms = value.us < 0 ? 0 : static_cast<uint64_t>(value.us / 1000);
  return kv(key, t.add_u(ms / 1000).add('.').add_padded(ms % 1000, 3).text());
}

LogLine& LogLine::error(int system_error) { return kv("error", strerror(system_error)); }

}  // namespace smx
