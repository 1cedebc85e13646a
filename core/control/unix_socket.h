// Stream sockets that have a path: where a daemon is asked, and by whom.
//
// Invariant: what is returned is CLOEXEC; what listens is NONBLOCK, too. Errors are errno values.
// Read next: control.h. Source: unix(7), getpeereid(3).
#ifndef SOCKMUX_CORE_CONTROL_UNIX_SOCKET_H
#define SOCKMUX_CORE_CONTROL_UNIX_SOCKET_H

#include <stdint.h>

#include "core/io/fd.h"

namespace smx {

// Longest path: sun_path has 104 bytes on BSD, 108 on Linux, one of them for the NUL.
constexpr size_t kUnixPath = 103;

// Where root's daemon is asked if nothing else is said: in /run, or /var/run where there is no /run.
const char* usual_control_path();

// Listens at `path`, with mode 0600 whatever the umask says. A socket that nobody answers at is replaced; nothing else that
// is there ever is. EADDRINUSE: somebody answers there. EEXIST: it is no socket.
Fd listen_unix(const char* path, int backlog, int* error);
// Blocks for as long as the listener's queue is full, at most `limit_s` where the system can say so.
Fd connect_unix(const char* path, int limit_s, int* error);

// What there is at a path, to know it again. number 0: nothing that can be asked for.
struct FileId {
  uint64_t device = 0, number = 0;
  bool operator==(const FileId& o) const { return device == o.device && number == o.number; }
};
FileId file_at(const char* path);

// Is `path` the address of this socket?
bool is_bound_to(int fd, const char* path);

// Who is at the other end, as of its connect(). False: the system does not tell.
[[nodiscard]] bool peer_uid(int fd, uint32_t* uid);
// At the other end of connect_unix(): is it root, or our own user? Words and descriptors of anybody else are not to be used: who may
// write the folder may put a socket there. `*uid` says who it is; false, and UINT32_MAX: that is not known.
bool is_listener_trusted(int fd, uint32_t* uid);

}  // namespace smx

#endif
