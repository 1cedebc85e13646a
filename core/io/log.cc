// Read next: log.h.
#include "core/io/log.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "core/io/clock.h"
#include "core/io/fd.h"

namespace smx {

namespace {

constexpr int kBurst = 20;              // lines of one event ...
constexpr Duration kWindow = seconds(10);  // ... within this time
constexpr int kEvents = 48;             // events that are told apart

struct Seen {
  const char* event;
  Time since;
  int written;
  uint64_t counted;
};

LogSetup setup;
Seen seen[kEvents];
uint64_t suppressed;

constexpr int kPriority[] = {LOG_ERR, LOG_WARNING, LOG_INFO, LOG_DEBUG};

void write_line(LogLevel level, std::string_view text) {
  if (setup.silent) return;
  if (setup.to_syslog) {
    ::syslog(kPriority[static_cast<int>(level)], "%.*s", static_cast<int>(text.size()), text.data());
  }
  // One write(2) a line; a log that cannot be written must not stop the daemon.
  const bool for_journal = setup.to_stderr && setup.journal, for_people = setup.to_stderr && !setup.journal;
  if (for_journal) {
    Text<kLogText + 20> bare("<");
    bare.add_u(static_cast<uint64_t>(kPriority[static_cast<int>(level)])).add('>').add(text).add('\n');
    (void)write_fd(STDERR_FILENO, bare.c_str(), bare.size());
  }
  if (!for_people && setup.file < 0) return;
  char stamp[21];
  write_log_stamp(stamp);
  static const char* const kWord[] = {"error ", "warning ", "", "debug "};
  Text<kLogText + 80> line;
  line.add(stamp).add(' ').add(setup.name).add('[').add_u(static_cast<uint64_t>(getpid())).add("] ");
  line.add(kWord[static_cast<int>(level)]).add(text).add('\n');
  if (for_people) (void)write_fd(STDERR_FILENO, line.c_str(), line.size());
  if (setup.file >= 0) (void)write_fd(setup.file, line.c_str(), line.size());
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
  if (setup.to_syslog) closelog();
  setup = s;
  if (setup.to_syslog) openlog(setup.name, LOG_PID | LOG_NDELAY, setup.facility < 0 ? LOG_DAEMON : setup.facility);
}

bool stderr_is_journal() {
  const char* stream = getenv("JOURNAL_STREAM");
  struct stat is;
  if (stream == nullptr || fstat(STDERR_FILENO, &is) != 0) return false;
  Text<44> text;
  text.add_u(is.st_dev).add(':').add_u(is.st_ino);
  return text.text() == stream;
}

bool log_wanted(LogLevel level) { return !setup.silent && level <= setup.least; }
uint64_t log_suppressed() { return suppressed; }

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
