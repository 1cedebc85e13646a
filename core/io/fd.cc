// Read next: fd.h.
#include "core/io/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

namespace smx {

// A log of more than 2 GiB, and a file whose inode has a large number, can be opened, and asked about by stat(2).
static_assert(sizeof(off_t) == 8, "needs -D_FILE_OFFSET_BITS=64");

Fd& Fd::operator=(Fd&& other) noexcept {
  reset(other.release());
  return *this;
}

Fd::~Fd() { reset(); }

void Fd::reset(int fd) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = fd;
}

namespace {

IoResult result(ssize_t n) {
  IoResult r;
  if (n >= 0) {
    r.size = static_cast<size_t>(n);
  } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
    r.again = true;
  } else {
    r.error = errno;
  }
  return r;
}

}  // namespace

IoResult readv_fd(int fd, const MutBytes* piece, int pieces) {
  if (pieces == 1) return read_fd(fd, piece->data, piece->size);
  iovec v[kMaxPieces];
  const int n = pieces < kMaxPieces ? pieces : kMaxPieces;
  for (int i = 0; i < n; ++i) v[i] = {piece[i].data, piece[i].size};
  ssize_t got;
  do {
    got = ::readv(fd, v, n);
  } while (got < 0 && errno == EINTR);
  return result(got);
}

IoResult writev_fd(int fd, const Bytes* piece, int pieces) {
  if (pieces == 1) return write_fd(fd, piece->data, piece->size);
  iovec v[kMaxPieces];
  const int n = pieces < kMaxPieces ? pieces : kMaxPieces;
  for (int i = 0; i < n; ++i) v[i] = {const_cast<uint8_t*>(piece[i].data), piece[i].size};  // writev(2) does not write
  ssize_t put;
  do {
    put = ::writev(fd, v, n);
  } while (put < 0 && errno == EINTR);
  return result(put);
}

IoResult read_fd(int fd, void* to, size_t n) {
  ssize_t got;
  do {
    got = ::read(fd, to, n);
  } while (got < 0 && errno == EINTR);
  return result(got);
}

IoResult write_fd(int fd, const void* from, size_t n) {
  ssize_t put;
  do {
    put = ::write(fd, from, n);
  } while (put < 0 && errno == EINTR);
  return result(put);
}

int write_whole(int fd, const void* from, size_t n) {
  const uint8_t* p = static_cast<const uint8_t*>(from);
  for (size_t done = 0; done < n;) {
    const IoResult r = write_fd(fd, p + done, n - done);
    if (r.size == 0) return r.again ? EAGAIN : r.error != 0 ? r.error : ENOSPC;
    done += r.size;
  }
  return 0;
}

namespace {
// Room for one message of kMaxPassed.
struct Passing {
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMaxPassed)] = {};
  iovec piece;
  msghdr message{};
  Passing(void* data, size_t n) : piece{data, n} {
    message.msg_iov = &piece;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
  }
};
}  // namespace

IoResult write_with_fds(int socket, const void* from, size_t n, const int* fd, int fds) {
  Passing p(const_cast<void*>(from), n);  // sendmsg(2) does not write
  const size_t size = sizeof(int) * static_cast<size_t>(fds);
  p.message.msg_controllen = static_cast<decltype(p.message.msg_controllen)>(CMSG_SPACE(size));
  cmsghdr* c = CMSG_FIRSTHDR(&p.message);
  c->cmsg_level = SOL_SOCKET;
  c->cmsg_type = SCM_RIGHTS;
  c->cmsg_len = static_cast<decltype(c->cmsg_len)>(CMSG_LEN(size));
  memcpy(CMSG_DATA(c), fd, size);
  ssize_t put;
  do {
    put = ::sendmsg(socket, &p.message, 0);
  } while (put < 0 && errno == EINTR);
  return result(put);
}

IoResult read_with_fds(int socket, void* to, size_t n, Fd fd[kMaxPassed], int* fds) {
  Passing p(to, n);
  *fds = 0;
#if defined(MSG_CMSG_CLOEXEC)
  constexpr int kFlags = MSG_CMSG_CLOEXEC;
#else
  constexpr int kFlags = 0;
#endif
  ssize_t got;
  do {
    got = ::recvmsg(socket, &p.message, kFlags);
  } while (got < 0 && errno == EINTR);
  for (cmsghdr* c = got < 0 ? nullptr : CMSG_FIRSTHDR(&p.message); c != nullptr; c = CMSG_NXTHDR(&p.message, c)) {
    if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int one = -1;
      memcpy(&one, CMSG_DATA(c) + i * sizeof one, sizeof one);
      if (kFlags == 0) (void)fcntl(one, F_SETFD, FD_CLOEXEC);
      Fd owned(one);
      if (*fds < kMaxPassed) fd[(*fds)++] = static_cast<Fd&&>(owned);
    }
  }
  return result(got);
}

IoResult write_urgent(int fd, uint8_t byte) {
  ssize_t put;
  do {
    put = ::send(fd, &byte, 1, MSG_OOB);
  } while (put < 0 && errno == EINTR);
  return result(put);
}

bool takes_now(int fd) {
  pollfd p{fd, POLLOUT, 0};
  return ::poll(&p, 1, 0) != 0;  // also if it cannot be asked, or is broken: write(2) says what it is
}

int replace_fd(int by, int fd) {
  constexpr int kTries = 100;
  for (int i = 0; i < kTries && dup2(by, fd) < 0; ++i)
    if ((errno != EINTR && errno != EBUSY) || i == kTries - 1) return errno;
  return 0;
}

int prepare_fd(int fd) {
  const int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return errno;
  return 0;
}

uint32_t raise_fd_limit(uint32_t wanted) {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 256;
  const rlim_t hard = limit.rlim_max;
  if (limit.rlim_cur < wanted) {
    rlimit more = limit;
    more.rlim_cur = hard == RLIM_INFINITY || hard > wanted ? wanted : hard;
#if defined(__APPLE__)
    if (more.rlim_cur > OPEN_MAX) more.rlim_cur = OPEN_MAX;  // more is EINVAL: setrlimit(2), "COMPATIBILITY"
#endif
    if (setrlimit(RLIMIT_NOFILE, &more) == 0) limit = more;
  }
  return limit.rlim_cur > wanted ? wanted : static_cast<uint32_t>(limit.rlim_cur);
}

}  // namespace smx
