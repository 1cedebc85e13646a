// Read next: errors.h.
#include "tests/failcalls/errors.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

namespace failcalls {

namespace {

using Codes = std::vector<int>;

// A file that blocks has no EAGAIN, but for a time limit of its own, which sockmuxctl sets (SO_RCVTIMEO: socket(7)).
Codes with_again(Codes codes, uint64_t kind) {
  if ((kind & kWaits) == 0 || (kind & S_IFMT) == S_IFSOCK) codes.push_back(EAGAIN);
  return codes;
}

// read(2), recv(2), readv(2), recvmsg(2): of what kind is the file?
Codes of_reading(uint64_t kind) {
  switch (kind & S_IFMT) {
    case S_IFSOCK: return with_again({EINTR, kShortResult, ECONNRESET, ETIMEDOUT, ENOMEM}, kind);
    case S_IFIFO: return with_again({EINTR, kShortResult}, kind);
    case S_IFCHR: return with_again({EINTR, kShortResult, EIO}, kind);
    default: return {EINTR, kShortResult, EIO};
  }
}

Codes of_writing(uint64_t kind) {
  switch (kind & S_IFMT) {
    case S_IFSOCK: return with_again({EINTR, kShortResult, EPIPE, ECONNRESET, ENOBUFS, ENOMEM}, kind);
    case S_IFIFO: return with_again({EINTR, kShortResult, EPIPE}, kind);
    case S_IFCHR: return with_again({EINTR, kShortResult, EIO}, kind);
    default: return {EINTR, kShortResult, ENOSPC, EIO};
  }
}

Codes of_syscall(uint64_t number) {
  switch (number) {
#ifdef SYS_recvmmsg
    case SYS_recvmmsg: return {EINTR, EAGAIN, ENOSYS, ENOMEM, ECONNREFUSED};
#endif
#ifdef SYS_sendmmsg
    case SYS_sendmmsg: return {EINTR, EAGAIN, ENOSYS, ENOBUFS, ENOMEM, EPERM, ECONNREFUSED, ENETUNREACH};
#endif
#ifdef SYS_seccomp
    case SYS_seccomp: return {ENOSYS, EACCES, ENOMEM};
#endif
#ifdef SYS_close_range
    case SYS_close_range: return {ENOSYS, EMFILE, ENOMEM};
#endif
#ifdef SYS_getrandom
    case SYS_getrandom: return {ENOSYS, EINTR, EAGAIN};
#endif
    default: return {ENOSYS, EPERM};
  }
}

Codes of(uint32_t call, uint64_t detail) {
  switch (call) {
    case kCall_accept4: return {EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPERM, EPROTO, ENETDOWN};
    case kCall_access: return {EACCES, ENOENT, EIO, ENOMEM};
    case kCall_bind: return {EACCES, EADDRINUSE, EADDRNOTAVAIL, ENOMEM};
    case kCall_chdir: return {EACCES, EIO, ENOENT, ENOMEM};
    case kCall_chmod:
    case kCall_fchmod: return {EPERM, EIO, EROFS};
    case kCall_chroot: return {EPERM, EACCES, EIO, ENOMEM};
    case kCall_close: return {EINTR, EIO};
    case kCall_connect:
      if (detail == AF_UNIX) return {ECONNREFUSED, EAGAIN, EACCES, ENOENT, EINTR};
      return {EINTR, EADDRNOTAVAIL, EAGAIN, ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EACCES, ENOBUFS};
    case kCall_dup2: return {EINTR, EBUSY};
    case kCall_epoll_create1: return {EMFILE, ENFILE, ENOMEM};
    case kCall_epoll_ctl: return detail == EPOLL_CTL_DEL ? Codes{ENOMEM} : Codes{ENOMEM, ENOSPC};
    case kCall_epoll_wait:
    case kCall_pselect: return {EINTR};
    case kCall_poll: return {EINTR, ENOMEM};
    case kCall_execve:
    case kCall_execvp: return {EACCES, E2BIG, ENOENT, ENOMEM, ETXTBSY};
    case kCall_fchown: return {EPERM, EIO, EROFS};
    case kCall_fcntl64: return detail == F_GETFL || detail == F_SETFL || detail == F_GETFD || detail == F_SETFD ? Codes{EPERM} : Codes{EAGAIN, EMFILE};
    case kCall_flock: return {ENOLCK, EWOULDBLOCK};  // EINTR: only what waits (LOCK_NB)
    case kCall_fopen64:
    case kCall_open64:
    case kCall_opendir: return {EACCES, EMFILE, ENFILE, ENOENT, ENOMEM, ENXIO, EROFS, ENOSPC};  // EINTR: only what waits, and none of ours does
    case kCall_fork: return {EAGAIN, ENOMEM};
    case kCall_fstat64:
    case kCall_stat64:
    case kCall_lstat64: return {EACCES, ENOENT, ENOMEM};
    case kCall_statvfs64: return {EACCES, EINTR, EIO, ENOSYS};
    case kCall_fsync: return {EIO, ENOSPC, EINTR};
    case kCall_ftruncate64: return {EINTR, EIO, EPERM};
    case kCall_getaddrinfo: return {EAI_AGAIN, EAI_FAIL, EAI_MEMORY, EAI_NONAME, EAI_SYSTEM};
    case kCall_getcwd: return {EACCES, ENOENT, ENOMEM};
    case kCall_getgrnam:
    case kCall_getpwnam:
    case kCall_getpwuid: return {EIO, EMFILE, ENOENT};
    case kCall_gethostname: return {EPERM};
    case kCall_getifaddrs: return {EMFILE, ENOBUFS, ENOMEM};
    case kCall_getpeername: return {ENOTCONN, ENOBUFS};
    case kCall_getrlimit64:
    case kCall_setrlimit64: return {EPERM};
    case kCall_getsockname: return {ENOBUFS};
    case kCall_getsockopt: return {ENOPROTOOPT, ENOMEM};
    case kCall_setsockopt: return {ENOPROTOOPT, ENOMEM, EPERM};
    case kCall_ioctl: return {ENOTTY, EIO, EPERM};
    case kCall_kill: return {ESRCH, EPERM};
    case kCall_listen: return {EADDRINUSE};
    case kCall_lseek64: return {ESPIPE};
    case kCall_madvise: return {EAGAIN, ENOMEM, EPERM};
    case kCall_mkdir:
    case kCall_mkfifo: return {EACCES, EEXIST, ENOSPC, EROFS};
    case kCall_mlock: return {EAGAIN, ENOMEM, EPERM};
    case kCall_mmap64: return {ENOMEM, EAGAIN};
    case kCall_nanosleep: return {EINTR};
    case kCall_pipe:
    case kCall_socketpair: return {EMFILE, ENFILE};
    case kCall_prctl: return {EPERM, EACCES};
    case kCall_read:
    case kCall_readv:
    case kCall_pread64: return of_reading(detail);
    case kCall_recv:  // by Unix sockets alone, of which none times out
    case kCall_recvmsg: return with_again({EINTR, kShortResult, ECONNRESET, ENOMEM}, detail);
    case kCall_write:
    case kCall_writev:
    case kCall_pwrite64:
    case kCall_send:
    case kCall_sendmsg: return of_writing(detail);
    case kCall_readlinkat:
    case kCall_realpath: return {EACCES, EIO, ENOENT, ENOMEM};
    case kCall_setgid:
    case kCall_setgroups: return {EPERM, ENOMEM};
    case kCall_setuid: return {EAGAIN, EPERM};
    case kCall_setpgid: return {EACCES, EPERM, ESRCH};
    case kCall_setsid: return {EPERM};
    case kCall_shutdown: return {ENOTCONN};
    case kCall_sockatmark: return {ENOTTY};
    case kCall_socket: return {EACCES, EAFNOSUPPORT, EMFILE, ENFILE, ENOBUFS, ENOMEM};
    case kCall_syscall: return of_syscall(detail);
    case kCall_tcflush:
    case kCall_tcgetattr: return {ENOTTY, EIO};
    case kCall_tcsetattr: return {EINTR, ENOTTY, EIO};
    case kCall_unlink: return {EACCES, ENOENT, EROFS};
    case kCall_waitpid: return (detail & WNOHANG) != 0 ? Codes{ECHILD} : Codes{EINTR, ECHILD};
    default: return {};
  }
}

}  // namespace

std::vector<int> errors_of(const FailPlace& place) { return of(place.call, place.detail); }

const char* call_name(uint32_t call) {
  static const char* const kNames[] = {
#define FAILCALLS_NAME(name) #name,
      FAILCALLS_FUNCTIONS(FAILCALLS_NAME)
#undef FAILCALLS_NAME
  };
  return call < kCalls ? kNames[call] : "?";
}

std::string error_name(uint32_t call, int code) {
  if (code == kShortResult) return "short";
  if (call == kCall_getaddrinfo) return gai_strerror(code);
  const char* name = strerrorname_np(code);
  return name != nullptr ? name : std::to_string(code);
}

bool is_harmless(const FailPlace& place, int code) {
  const uint32_t call = place.call;
  if (code == kShortResult) return true;
  if (code == EAGAIN && (place.detail & kWaits) != 0) return false;  // of the time limit
  if (code == EINTR) return call != kCall_close && call != kCall_statvfs64;
  switch (call) {
    case kCall_read:
    case kCall_readv:
    case kCall_recv:
    case kCall_recvmsg:
    case kCall_write:
    case kCall_writev:
    case kCall_send:
    case kCall_sendmsg:
    case kCall_accept4: return code == EAGAIN;
    default: return false;
  }
}

}  // namespace failcalls
