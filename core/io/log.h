// The log: one line an event, key=value, to standard error, a file, or syslog.
//
//     LogLine(LogLevel::info, "link-up").kv("peer", address).kv("dialect", "1");   // written when it goes out of scope
//
// Invariant: a line is at most kLogText bytes and one line; texts of peers are made printable; an event that repeats
// is counted instead of written once it was seen kBurst times within kWindow (what a peer can cause must not fill a
// disk); the count is written with the first line of any kind after that.
// One of the two things in the process that are global (signals are the other). Read next: log.cc.
#ifndef SOCKMUX_CORE_IO_LOG_H
#define SOCKMUX_CORE_IO_LOG_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/clock.h"
#include "core/base/features.h"
#include "core/base/text.h"

namespace smx {

enum class LogLevel : uint8_t { error, warning, info, debug };
constexpr size_t kLogText = 500;

struct LogSetup {
  bool to_stderr = true;   // else errors alone: it is that of who starts us, and nobody's later
  Flag<kHasSyslog> to_syslog;
  int file = -1;           // -1: no file
  LogLevel least = LogLevel::info;
  bool silent = false;
  const char* name = "sockmuxd";
  int facility = -1;       // syslog facility; -1: daemon
  Flag<kHasSyslog> journal;  // stderr_is_journal()
};
// Does systemd's journal read standard error? Then it wants the level as "<6>" in front, and knows the time and us: sd-daemon(3),
// JOURNAL_STREAM in systemd.exec(5).
bool stderr_is_journal();
// If standard error is a terminal, its lines go by an open file of their own, which does not wait; for who stays in the foreground, and
// before anything is given up.
void open_terminal();
void set_log(const LogSetup& setup);
// From now on: the least that is written; `silent`: nothing is.
void set_log_level(LogLevel least, bool silent);
bool log_wanted(LogLevel level);
// How many lines were counted and not written since the start.
uint64_t log_suppressed();
// Lines for which a syslogd that is slow had no room yet are sent when that is due: how many ms the loop may sleep, at most `longest`.
int log_wait_ms(int longest);
// Has a moment's patience with it. Behind the last line.
void end_log();
class LogLine {
 public:
  // `event` is a literal: a stable name, lower case, words joined by '-'; listed in sockmuxd(8).
  LogLine(LogLevel level, const char* event);
  ~LogLine();
  LogLine(const LogLine&) = delete;
  LogLine& operator=(const LogLine&) = delete;

  LogLine& kv(const char* key, std::string_view value);  // quoted where it has blanks
  LogLine& kv(const char* key, const char* value);
  LogLine& kv(const char* key, const Address& value);
  LogLine& kv(const char* key, uint64_t value);
  LogLine& ms(const char* key, Duration value);          // "12.345" seconds
  // errno as words.
  LogLine& error(int system_error);

 private:
  LogLevel level_;
  bool wanted_;
  Text<kLogText> text_;
};

}  // namespace smx

#endif
