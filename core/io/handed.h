// Sockets that were open before we were: who has started us hands them over (LISTEN_FDS), or the daemon whose place we take.
//
// They are found by their address and used in place of new ones, so that no client is refused in between.
// Owner: Daemon, at its start. Invariant: each socket is taken once, or closed with this object. Read next: daemon_upgrade.cc.
// Source: sd_listen_fds(3).
#ifndef SOCKMUX_CORE_IO_HANDED_H
#define SOCKMUX_CORE_IO_HANDED_H

#include <stddef.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/text.h"
#include "core/io/fd.h"

namespace smx {

class HandedSockets {
 public:
  static constexpr size_t kMost = 4096;

  // Reads LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, and takes them out of the environment. What is meant for another process
  // is let be. 0, or errno: EINVAL no number, or more than kMost; EBADF one of the descriptors is not there.
  int read_environment();
  // One more. 0 or errno.
  int add(Fd fd, std::string_view name);

  // A socket that listens at `at`, as listen_tcp() or listen_udp() would make it; invalid: there is none.
  Fd take(const Address& at, bool udp, int backlog);

  // The next one, from `*at` on, which moves behind it, that nobody has taken, and whose address nobody has: its name, maybe empty,
  // and what it is ("tcp 127.0.0.1:80"). False: no more.
  bool next_left(size_t* at, std::string_view* name, TextBase& what) const;
  // Closes what is left.
  void close_rest();

  // What the manager shall call a socket that it stores, and whether a name is one of those.
  static void append_stored_name(TextBase& to, int fd);
  static bool is_stored_name(std::string_view name);
  bool was_stored(const Address& at, bool udp) const;
  // The manager has let go of it.
  void was_forgotten(const Address& at, bool udp);

 private:
  struct Handed {
    Fd fd;
    Address at;  // none: neither TCP that listens nor UDP
    bool udp = false;
    bool both = false;  // takes IPv4, too
    bool taken = false;
    std::string_view name;
  };
  Handed* list_ = nullptr;
  size_t count_ = 0;
};

// A variable's value; it is not there for anybody else from now on. nullptr: it is not set.
const char* take_variable(const char* name);
// A decimal number, and nothing else.
bool number_in(const char* text, uint64_t* out);

}  // namespace smx

#endif
