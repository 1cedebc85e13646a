/* What the library that fails calls and the program that tells it which one share: a file that both map.
 *
 * A place is a function of libc and the first frames of the program's own stack that lead to it, as offsets in the program's file, so
 * that it is the same in each run. Read next: failcalls.c (the library), plan.h (who asks it). */
#ifndef SOCKMUX_TESTS_FAILCALLS_FAILCALLS_H
#define SOCKMUX_TESTS_FAILCALLS_FAILCALLS_H

#include <stdint.h>

/* Every function of libc that the programs call and that ends in a system call which can fail; plan.cc compares that with `nm -u`. */
#define FAILCALLS_FUNCTIONS(X)                                                                                               \
  X(accept4) X(access) X(bind) X(chdir) X(chmod) X(chroot) X(close) X(connect) X(dup2) X(epoll_create1) X(epoll_ctl)         \
  X(epoll_wait) X(execve) X(execvp) X(fchmod) X(fchown) X(fcntl64) X(flock) X(fopen64) X(fork) X(fstat64) X(fsync)           \
  X(ftruncate64) X(getaddrinfo) X(getcwd) X(getgrnam) X(gethostname) X(getifaddrs) X(getpeername) X(getpwnam) X(getpwuid)    \
  X(getrlimit64) X(getsockname) X(getsockopt) X(ioctl) X(kill) X(listen) X(lseek64) X(lstat64) X(madvise) X(mkdir)           \
  X(mkfifo) X(mlock) X(mmap64) X(nanosleep) X(open64) X(opendir) X(pipe) X(poll) X(prctl) X(pread64) X(pselect) X(pwrite64)  \
  X(read) X(readlinkat) X(readv) X(realpath) X(recv) X(recvmsg) X(send) X(sendmsg) X(setgid) X(setgroups) X(setpgid)         \
  X(setrlimit64) X(setsid) X(setsockopt) X(setuid) X(shutdown) X(sockatmark) X(socket) X(socketpair) X(stat64) X(statvfs64)  \
  X(syscall) X(tcflush) X(tcgetattr) X(tcsetattr) X(unlink) X(waitpid) X(write) X(writev)

enum {
#define FAILCALLS_ID(name) kCall_##name,
  FAILCALLS_FUNCTIONS(FAILCALLS_ID)
#undef FAILCALLS_ID
  kCalls
};

enum {
  kFrames = 8,         /* of a place that are kept; the first `depth` of them tell places apart */
  kMostPlaces = 4096,
  kWaits = 1, /* a bit of a file's kind: it blocks */
  kShortResult = 1 << 20 /* in place of an error: one byte goes through */
};

struct FailPlace {
  uint64_t key; /* 0: free */
  uint32_t call, hits;
  uint64_t detail; /* command of fcntl, number of syscall, type of the file that is read or written, ... */
  uint32_t frames;
  uint32_t frame[kFrames]; /* offsets in the program */
  char program[12];
};

/* All of it is zero at first, but for what the driver writes before the start. */
struct FailMap {
  uint32_t depth;
  uint64_t key; /* the place that fails; 0: none */
  uint32_t nth; /* at which time, from 1 */
  int32_t code; /* errno, or what the function returns in its place, or kShortResult */
  uint32_t fired;
  uint32_t lost; /* places that found no room */
  struct FailPlace place[kMostPlaces];
};

#endif
