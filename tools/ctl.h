// What the parts of sockmuxctl(8) share: how it speaks, how it ends, and the commands.
//
// Invariant: nothing here needs more than libc (and, for keys, the library of SECURE=); nothing that is secret goes through
// a buffer that is not erased. Read next: sockmuxctl.cc.
#ifndef SOCKMUX_TOOLS_CTL_H
#define SOCKMUX_TOOLS_CTL_H

#include <string_view>

namespace smx::ctl {

// sysexits(3)
constexpr int kUsage = 64, kData = 65, kUnavailable = 69, kSystem = 71, kCannotCreate = 73, kIo = 74, kTemporary = 75, kProtocol = 76,
              kPermission = 77, kConfig = 78;

// A line on standard error, in pieces; control characters become '?'.
void complain(std::initializer_list<std::string_view> pieces);
// All of it, to a descriptor that blocks. 0 or errno.
[[nodiscard]] int put(int fd, std::string_view text);
// To standard output. 0, or the exit code, and the user was told.
[[nodiscard]] int print(std::string_view text);

// ctl_keys.cc; ctl_keys_none.cc where there are no secure links. `file`: nullptr: the usual one; "-": standard input or
// output, as wg(8). The exit code.
int genkey(const char* file);
int pubkey(const char* file);
int genpsk();

// ctl_ask.cc: asks the daemon behind the socket at `path` (nullptr: the usual one) and prints what it says, as it is or as
// a table with aligned columns. The exit code.
int ask(std::string_view command, const char* path, bool table);

}  // namespace smx::ctl

#endif
