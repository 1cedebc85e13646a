// Read next: unix_socket.h.
#include "core/control/unix_socket.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/io/process.h"

namespace smx {

namespace {

static_assert(kUnixPath < sizeof(sockaddr_un::sun_path));

Fd open_unix(int* error) {
#if defined(SOCK_CLOEXEC)
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
#else
  Fd fd(::socket(AF_UNIX, SOCK_STREAM, 0));
#endif
  *error = fd.valid() ? 0 : errno;
  return fd;
}

int fill(const char* path, sockaddr_un* out) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  const size_t n = strlen(path);
  if (n == 0 || n > kUnixPath) return ENAMETOOLONG;
  memcpy(out->sun_path, path, n + 1);
  return 0;
}

int bind_to(int fd, const sockaddr_un& at) {
  const mode_t before = umask(0177);  // a socket gets its mode from it, with no time in between
  const int error = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) < 0 ? errno : 0;
  umask(before);
  return error;
}

// EADDRINUSE of bind(): is that a daemon that lives? 0: it is not, and its socket is out of the way.
int remove_stale(const char* path) {
  struct stat s;
  if (lstat(path, &s) < 0) return errno == ENOENT ? 0 : errno;
  if (!S_ISSOCK(s.st_mode)) return EEXIST;
  int error = 0;
  const Fd probe = open_unix(&error);
  sockaddr_un at;
  if (error == 0) error = prepare_fd(probe.get());  // one that does not accept must not hold us up
  if (error == 0) error = fill(path, &at);
  if (error != 0) return error;
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0) return EADDRINUSE;
  if (errno == EAGAIN || errno == EINPROGRESS) return EADDRINUSE;  // its queue is full
  if (errno != ECONNREFUSED) return errno;
  return ::unlink(path) < 0 && errno != ENOENT ? errno : 0;
}

}  // namespace

const char* usual_control_path() {
  struct stat s;
  return stat("/run", &s) == 0 && S_ISDIR(s.st_mode) ? "/run/sockmux.sock" : "/var/run/sockmux.sock";
}

Fd listen_unix(const char* path, int backlog, int* error) {
  sockaddr_un at;
  *error = fill(path, &at);
  if (*error != 0) return Fd();
  Fd fd = open_unix(error);
  if (*error == 0) *error = prepare_fd(fd.get());
  if (*error == 0) *error = bind_to(fd.get(), at);
  if (*error == EADDRINUSE) {
    *error = remove_stale(path);
    if (*error == 0) *error = bind_to(fd.get(), at);
  }
  if (*error == 0 && ::listen(fd.get(), backlog) < 0) *error = errno;
  if (*error != 0) fd.reset();
  return fd;
}

Fd connect_unix(const char* path, int limit_s, int* error) {
  sockaddr_un at;
  *error = fill(path, &at);
  if (*error != 0) return Fd();
  Fd fd = open_unix(error);
  if (*error != 0) return Fd();
  const timeval limit{limit_s, 0};
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  (void)setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  int result = 0;
  do {
    result = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&at), sizeof at);
  } while (result < 0 && errno == EINTR);
  if (result < 0 && errno != EISCONN) {  // which an interrupted one may have become
    *error = errno;
    fd.reset();
  }
  return fd;
}

FileId file_at(const char* path) {
  struct stat s;
  if (stat(path, &s) < 0) return {};
  return {static_cast<uint64_t>(s.st_dev), static_cast<uint64_t>(s.st_ino)};
}

bool is_bound_to(int fd, const char* path) {
  sockaddr_un at{};
  socklen_t size = sizeof at - 1;  // a NUL stays behind it
  return getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0 && at.sun_family == AF_UNIX && strcmp(at.sun_path, path) == 0;
}

bool peer_uid(int fd, uint32_t* uid) {
#if defined(SO_PEERCRED) && defined(__linux__)
  // struct ucred is hidden behind _GNU_SOURCE on some C libraries: pid, uid, gid.
  struct {
    int32_t pid;
    uint32_t uid, gid;
  } who{};
  socklen_t n = sizeof who;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) < 0 || n != sizeof who) return false;
  *uid = who.uid;
  return true;
#else
  uid_t u = 0;
  gid_t g = 0;
  if (getpeereid(fd, &u, &g) < 0) return false;
  *uid = u;
  return true;
#endif
}

bool is_listener_trusted(int fd, uint32_t* uid) {
  *uid = UINT32_MAX;
  return peer_uid(fd, uid) && (*uid == 0 || *uid == own_user());
}

}  // namespace smx
