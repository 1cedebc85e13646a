// The owner of one descriptor, and the only place that retries EINTR.
//
// Invariant: every descriptor the daemon opens is CLOEXEC and NONBLOCK and has one Fd. Read next: socket.h, reactor.h.
#ifndef SOCKMUX_CORE_IO_FD_H
#define SOCKMUX_CORE_IO_FD_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"

namespace smx {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept;
  ~Fd();

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() {
    const int fd = fd_;
    fd_ = -1;
    return fd;
  }
  // Closes what it owns; never retries (close(2) has released the descriptor even when it says EINTR).
  void reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Bytes moved, or why not. again: the descriptor would block. Otherwise error is an errno, and 0 bytes without one is
// the end of file (read) or nothing taken (write).
struct IoResult {
  size_t size = 0;
  bool again = false;
  int error = 0;
};

// At most kMaxPieces pieces each time (the rest is left); systems take 1024 (POSIX asks for 16 only).
constexpr int kMaxPieces = 64;
IoResult readv_fd(int fd, const MutBytes* piece, int pieces);
// SIGPIPE must be ignored.
IoResult writev_fd(int fd, const Bytes* piece, int pieces);
IoResult read_fd(int fd, void* to, size_t n);
IoResult write_fd(int fd, const void* from, size_t n);
// All of it, piece by piece if need be, as on a disk that gets full. 0 or errno.
int write_whole(int fd, const void* from, size_t n);
// With descriptors, at most kMaxPassed, by a Unix socket (SCM_RIGHTS, unix(7)). They stay the sender's; the receiver's are CLOEXEC, and
// *fds of them have come. One without room for more gets none that are left over.
constexpr int kMaxPassed = 16;
IoResult write_with_fds(int socket, const void* from, size_t n, const int* fd, int fds);
IoResult read_with_fds(int socket, void* to, size_t n, Fd fd[kMaxPassed], int* fds);
// One byte into a socket, as urgent data (MSG_OOB, tcp(7)).
IoResult write_urgent(int fd, uint8_t byte);

// Would a line be taken at once? For descriptors that are shared with others, and so must stay as they are: blocking.
bool takes_now(int fd);

// CLOEXEC and NONBLOCK. 0 or errno.
int prepare_fd(int fd);
// dup2(2), asked again where that passes by itself. 0 or errno.
int replace_fd(int by, int fd);

// Raises the soft limit of open descriptors to `wanted`, or as far as the hard limit goes; returns the new soft limit.
uint32_t raise_fd_limit(uint32_t wanted);

}  // namespace smx

#endif
