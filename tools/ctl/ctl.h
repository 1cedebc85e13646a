// What the parts of sockmuxctl(8) share: how it speaks, how it ends, and the commands.
//
// Invariant: nothing here needs more than libc (and, for keys, the library of SECURE=); nothing that is secret goes through
// a buffer that is not erased. Read next: sockmuxctl.cc.
#ifndef SOCKMUX_TOOLS_CTL_H
#define SOCKMUX_TOOLS_CTL_H

#include <stdint.h>

#include <initializer_list>
#include <string_view>

namespace smx::ctl {

// sysexits(3)
constexpr int kUsage = 64, kData = 65, kUnavailable = 69, kSystem = 71, kCannotCreate = 73, kIo = 74, kTemporary = 75, kProtocol = 76,
              kPermission = 77, kConfig = 78;

// A line on standard error, in pieces; control characters become '?'.
void complain(std::initializer_list<std::string_view> pieces);
// The same for a wrong word on the command line. kUsage.
int misused(std::initializer_list<std::string_view> pieces);
// All of it, to a descriptor that blocks. 0 or errno.
[[nodiscard]] int put(int fd, std::string_view text);
// The same to one that who shares it with us may have made one that does not block: it is waited for.
[[nodiscard]] int put_waiting(int fd, std::string_view text);
// To standard output. 0, or the exit code, and the user was told.
[[nodiscard]] int print(std::string_view text);

// The command line: a command with its words, and options.
struct Words {
  static constexpr int kMost = 4;
  const char* word[kMost] = {};
  int count = 0;
  const char* socket = nullptr;  // --socket; nullptr: the usual one
  bool help = false, version = false, json = false;
  uint64_t times = 0;        // --count; 0: none is given
  uint64_t interval_ms = 0;  // --interval; 0: none is given
};

// The commands. The exit code.
// keys.cc; keys_none.cc where there are no secure links. `file`: nullptr: the usual one; "-": standard input or
// output, as wg(8).
int genkey(const char* file);
int pubkey(const char* file);
int genpsk();
// tables.cc, status.cc, change.cc, metrics.cc, reload.cc, top.cc: of a daemon that runs.
int peers(const Words& words);
int channels(const Words& words);
int version(const Words& words);
int status(const Words& words);
int kick(const Words& words);
int log_level(const Words& words);
int metrics(const Words& words);
int reload(const Words& words);
int top(const Words& words);
// dump.cc: all words of the command line, since it has options of its own.
int dump(int argc, char** argv);

// upgrade.cc: the exit code; -1: the words are another command's.
int upgrade(int argc, char** argv);
// doctor.cc: `count` words of sockmuxd; none: /etc/sockmux.conf. `socket`: nullptr: as they say. 0, or the place of the cause.
int doctor(int count, const char* const* words, const char* socket);

}  // namespace smx::ctl

#endif
