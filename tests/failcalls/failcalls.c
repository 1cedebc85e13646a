/* Loaded into a program by LD_PRELOAD: counts its calls of libc by place, and lets one of them fail once.
 *
 * FAILCALLS names the file that is mapped (failcalls.h). Invariants: only calls that the program itself makes count, not those that libc
 * makes for itself; nothing here makes a system call but fstat(2), fcntl(2) and getsockopt(2), which the daemon's filter always allows; what fails
 * has no effect, but for close(2) and connect(2) of EINTR, which have theirs (Linux: close(2), connect(2)).
 * Programs that are no part of sockmux are started without it. Read next: failcalls.h, plan.cc. */
#define _GNU_SOURCE
#include "tests/failcalls/failcalls.h"

#include <alloca.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <ifaddrs.h>
#include <link.h>
#include <netdb.h>
#include <poll.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

static struct FailMap* map;
static uintptr_t program_from, program_to;
static char program_name[12];
static volatile int busy; /* nothing of a signal that comes meanwhile counts */

/* ---- places */

struct Trace {
  uint32_t count;
  uint32_t frame[kFrames];
};

static _Unwind_Reason_Code look(struct _Unwind_Context* context, void* to) {
  struct Trace* trace = to;
  const uintptr_t at = (uintptr_t)_Unwind_GetIP(context);
  if (at >= program_from && at < program_to && trace->count < kFrames) trace->frame[trace->count++] = (uint32_t)(at - program_from);
  else if (trace->count > 0) return _URC_END_OF_STACK; /* a callback of libc, or main()'s caller */
  return trace->count < kFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static uint64_t mix(uint64_t hash, uint64_t value) { return (hash ^ value) * 1099511628211u; }

/* Who has called the wrapper? libc itself, for itself: nobody. */
static struct FailPlace* find_place(uint32_t call, uint64_t detail) {
  struct Trace trace = {0};
  uint64_t key = 14695981039346656037u;
  uint32_t i;
  (void)_Unwind_Backtrace(look, &trace);
  if (trace.count == 0) return NULL;
  key = mix(key, call);
  for (i = 0; program_name[i] != 0; ++i) key = mix(key, (uint8_t)program_name[i]);
  for (i = 0; i < trace.count && i < map->depth; ++i) key = mix(key, trace.frame[i]);
  key |= 1;
  for (i = 0; i < kMostPlaces; ++i) {
    struct FailPlace* p = &map->place[(key + i) % kMostPlaces];
    uint64_t there = __atomic_load_n(&p->key, __ATOMIC_SEQ_CST);
    if (there == 0 && __atomic_compare_exchange_n(&p->key, &there, key, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
      p->call = call;
      p->detail = detail;
      p->frames = trace.count;
      memcpy(p->frame, trace.frame, sizeof p->frame);
      memcpy(p->program, program_name, sizeof p->program);
      return p;
    }
    if (there == key) return p;
  }
  __atomic_fetch_add(&map->lost, 1, __ATOMIC_SEQ_CST);
  return NULL;
}

/* 0: the call is made as usual; else what map->code says, and errno is that. */
static int fails(uint32_t call, uint64_t detail) {
  const int before = errno;
  struct FailPlace* p;
  int code = 0;
  if (map == NULL || busy) return 0;
  busy = 1;
  p = find_place(call, detail);
  if (p != NULL) {
    const uint32_t hit = __atomic_add_fetch(&p->hits, 1, __ATOMIC_SEQ_CST);
    if (p->key == map->key && hit >= map->nth && __atomic_exchange_n(&map->fired, 1, __ATOMIC_SEQ_CST) == 0) code = map->code;
  }
  busy = 0;
  errno = code > 0 && code != kShortResult ? code : before;
  return code;
}

/* Of what kind is the file, and does it block (kWaits)? By syscall(2), since fstat(3) of glibc may be a call that the filter has not. */
static uint64_t kind_of(int fd) {
  static long (*real)(long, ...);
  struct stat is;
  const int before = errno;
  uint64_t kind = 0;
  if (map == NULL) return 0;
  if (real == NULL) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
  if (real(SYS_fstat, (long)fd, &is) == 0) kind = is.st_mode & S_IFMT;
  if ((real(SYS_fcntl, (long)fd, (long)F_GETFL) & O_NONBLOCK) == 0) kind |= kWaits;
  errno = before;
  return kind;
}

/* A datagram goes whole or not at all. */
static int may_be_short(int fd) {
  static int (*real)(int, int, int, void*, socklen_t*);
  int type = 0;
  socklen_t size = sizeof type;
  const int before = errno;
  if (real == NULL) real = (int (*)(int, int, int, void*, socklen_t*))dlsym(RTLD_NEXT, "getsockopt");
  if (real(fd, SOL_SOCKET, SO_TYPE, &type, &size) < 0) type = SOCK_STREAM;
  errno = before;
  return type == SOCK_STREAM;
}

/* ---- the start */

static int look_at_program(struct dl_phdr_info* info, size_t size, void* unused) {
  int i;
  (void)size, (void)unused;
  program_from = info->dlpi_addr;
  for (i = 0; i < info->dlpi_phnum; ++i) {
    const uintptr_t end = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    if (info->dlpi_phdr[i].p_type == PT_LOAD && end > program_to) program_to = end;
  }
  return 1; /* the program comes first */
}

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("FAILCALLS");
  const char* slash = strrchr(program_invocation_name, '/');
  int fd;
  void* at;
  if (path == NULL) return;
  strncpy(program_name, slash != NULL ? slash + 1 : program_invocation_name, sizeof program_name - 1);
  dl_iterate_phdr(look_at_program, NULL);
  fd = (int)((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(SYS_openat, (long)AT_FDCWD, path, (long)(O_RDWR | O_CLOEXEC));
  if (fd < 0) return;
  at = mmap(NULL, sizeof(struct FailMap), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  (void)((long (*)(long, ...))dlsym(RTLD_NEXT, "syscall"))(SYS_close, (long)fd);
  if (at != MAP_FAILED) map = at;
}

/* ---- the calls */

#define REAL(type, name, types)                            \
  static type(*real) types;                                \
  if (real == NULL) real = (type(*) types)dlsym(RTLD_NEXT, #name)

#define WRAP(type, name, types, params, args, detail, failed)     \
  type name params {                                              \
    REAL(type, name, types);                                      \
    if (fails(kCall_##name, (uint64_t)(detail))) return failed;   \
    return real args;                                             \
  }

WRAP(int, accept4, (int, struct sockaddr*, socklen_t*, int), (int fd, struct sockaddr* a, socklen_t* n, int flags), (fd, a, n, flags), 0, -1)
WRAP(int, access, (const char*, int), (const char* path, int mode), (path, mode), 0, -1)
WRAP(int, bind, (int, const struct sockaddr*, socklen_t), (int fd, const struct sockaddr* a, socklen_t n), (fd, a, n), a->sa_family, -1)
WRAP(int, chdir, (const char*), (const char* path), (path), 0, -1)
WRAP(int, chmod, (const char*, mode_t), (const char* path, mode_t mode), (path, mode), 0, -1)
WRAP(int, chroot, (const char*), (const char* path), (path), 0, -1)
WRAP(int, dup2, (int, int), (int from, int to), (from, to), 0, -1)
WRAP(int, epoll_create1, (int), (int flags), (flags), 0, -1)
WRAP(int, epoll_ctl, (int, int, int, struct epoll_event*), (int e, int op, int fd, struct epoll_event* ev), (e, op, fd, ev), op, -1)
WRAP(int, epoll_wait, (int, struct epoll_event*, int, int), (int e, struct epoll_event* ev, int n, int ms), (e, ev, n, ms), 0, -1)
WRAP(int, fchmod, (int, mode_t), (int fd, mode_t mode), (fd, mode), 0, -1)
WRAP(int, fchown, (int, uid_t, gid_t), (int fd, uid_t u, gid_t g), (fd, u, g), 0, -1)
WRAP(int, flock, (int, int), (int fd, int op), (fd, op), 0, -1)
WRAP(FILE*, fopen64, (const char*, const char*), (const char* path, const char* mode), (path, mode), 0, NULL)
WRAP(pid_t, fork, (void), (void), (), 0, -1)
WRAP(int, fstat64, (int, struct stat64*), (int fd, struct stat64* s), (fd, s), 0, -1)
WRAP(int, fsync, (int), (int fd), (fd), 0, -1)
WRAP(int, ftruncate64, (int, off64_t), (int fd, off64_t size), (fd, size), 0, -1)
WRAP(int, getaddrinfo, (const char*, const char*, const struct addrinfo*, struct addrinfo**),
     (const char* h, const char* s, const struct addrinfo* hints, struct addrinfo** list), (h, s, hints, list), 0, map->code)
WRAP(char*, getcwd, (char*, size_t), (char* to, size_t n), (to, n), 0, NULL)
WRAP(struct group*, getgrnam, (const char*), (const char* name), (name), 0, NULL)
WRAP(int, gethostname, (char*, size_t), (char* to, size_t n), (to, n), 0, -1)
WRAP(int, getifaddrs, (struct ifaddrs**), (struct ifaddrs** list), (list), 0, -1)
WRAP(int, getpeername, (int, struct sockaddr*, socklen_t*), (int fd, struct sockaddr* a, socklen_t* n), (fd, a, n), 0, -1)
WRAP(struct passwd*, getpwnam, (const char*), (const char* name), (name), 0, NULL)
WRAP(struct passwd*, getpwuid, (uid_t), (uid_t user), (user), 0, NULL)
WRAP(int, getrlimit64, (__rlimit_resource_t, struct rlimit64*), (__rlimit_resource_t what, struct rlimit64* to), (what, to), 0, -1)
WRAP(int, getsockname, (int, struct sockaddr*, socklen_t*), (int fd, struct sockaddr* a, socklen_t* n), (fd, a, n), 0, -1)
WRAP(int, getsockopt, (int, int, int, void*, socklen_t*), (int fd, int level, int option, void* to, socklen_t* n), (fd, level, option, to, n),
     level * 1000 + option, -1)
WRAP(int, kill, (pid_t, int), (pid_t pid, int signal), (pid, signal), 0, -1)
WRAP(int, listen, (int, int), (int fd, int n), (fd, n), 0, -1)
WRAP(off64_t, lseek64, (int, off64_t, int), (int fd, off64_t to, int from), (fd, to, from), 0, -1)
WRAP(int, lstat64, (const char*, struct stat64*), (const char* path, struct stat64* s), (path, s), 0, -1)
WRAP(int, madvise, (void*, size_t, int), (void* at, size_t n, int advice), (at, n, advice), 0, -1)
WRAP(int, mkdir, (const char*, mode_t), (const char* path, mode_t mode), (path, mode), 0, -1)
WRAP(int, mkfifo, (const char*, mode_t), (const char* path, mode_t mode), (path, mode), 0, -1)
WRAP(int, mlock, (const void*, size_t), (const void* at, size_t n), (at, n), 0, -1)
WRAP(void*, mmap64, (void*, size_t, int, int, int, off64_t), (void* at, size_t n, int prot, int flags, int fd, off64_t from),
     (at, n, prot, flags, fd, from), 0, MAP_FAILED)
WRAP(int, nanosleep, (const struct timespec*, struct timespec*), (const struct timespec* t, struct timespec* left), (t, left), 0, -1)
WRAP(DIR*, opendir, (const char*), (const char* path), (path), 0, NULL)
WRAP(int, pipe, (int[2]), (int fd[2]), (fd), 0, -1)
WRAP(int, poll, (struct pollfd*, nfds_t, int), (struct pollfd* fd, nfds_t n, int ms), (fd, n, ms), 0, -1)
WRAP(int, pselect, (int, fd_set*, fd_set*, fd_set*, const struct timespec*, const sigset_t*),
     (int n, fd_set* r, fd_set* w, fd_set* e, const struct timespec* t, const sigset_t* s), (n, r, w, e, t, s), 0, -1)
WRAP(ssize_t, readlinkat, (int, const char*, char*, size_t), (int fd, const char* path, char* to, size_t n), (fd, path, to, n), 0, -1)
WRAP(char*, realpath, (const char*, char*), (const char* path, char* to), (path, to), 0, NULL)
WRAP(int, setgid, (gid_t), (gid_t gid), (gid), 0, -1)
WRAP(int, setgroups, (size_t, const gid_t*), (size_t n, const gid_t* list), (n, list), 0, -1)
WRAP(int, setpgid, (pid_t, pid_t), (pid_t pid, pid_t group), (pid, group), 0, -1)
WRAP(int, setrlimit64, (__rlimit_resource_t, const struct rlimit64*), (__rlimit_resource_t what, const struct rlimit64* to), (what, to), 0, -1)
WRAP(pid_t, setsid, (void), (void), (), 0, -1)
WRAP(int, setsockopt, (int, int, int, const void*, socklen_t), (int fd, int level, int option, const void* from, socklen_t n),
     (fd, level, option, from, n), level * 1000 + option, -1)
WRAP(int, setuid, (uid_t), (uid_t uid), (uid), 0, -1)
WRAP(int, shutdown, (int, int), (int fd, int how), (fd, how), 0, -1)
WRAP(int, sockatmark, (int), (int fd), (fd), 0, -1)
WRAP(int, socket, (int, int, int), (int family, int type, int protocol), (family, type, protocol), family, -1)
WRAP(int, socketpair, (int, int, int, int[2]), (int family, int type, int protocol, int fd[2]), (family, type, protocol, fd), 0, -1)
WRAP(int, stat64, (const char*, struct stat64*), (const char* path, struct stat64* s), (path, s), 0, -1)
WRAP(int, statvfs64, (const char*, struct statvfs64*), (const char* path, struct statvfs64* s), (path, s), 0, -1)
WRAP(int, tcflush, (int, int), (int fd, int queue), (fd, queue), 0, -1)
WRAP(int, tcgetattr, (int, struct termios*), (int fd, struct termios* t), (fd, t), 0, -1)
WRAP(int, tcsetattr, (int, int, const struct termios*), (int fd, int when, const struct termios* t), (fd, when, t), 0, -1)
WRAP(int, unlink, (const char*), (const char* path), (path), 0, -1)
WRAP(pid_t, waitpid, (pid_t, int*, int), (pid_t pid, int* status, int options), (pid, status, options), options, -1)

/* The descriptor is gone, whatever the result (close(2), "Dealing with error returns"). */
int close(int fd) {
  REAL(int, close, (int));
  const int code = fails(kCall_close, 0);
  const int result = real(fd);
  if (code == 0) return result;
  errno = code;
  return -1;
}

/* EINTR: it goes on by itself. */
int connect(int fd, const struct sockaddr* a, socklen_t n) {
  REAL(int, connect, (int, const struct sockaddr*, socklen_t));
  const int code = fails(kCall_connect, a->sa_family);
  if (code == 0) return real(fd, a, n);
  if (code == EINTR) (void)real(fd, a, n);
  errno = code;
  return -1;
}

int fcntl64(int fd, int command, ...) {
  REAL(int, fcntl64, (int, int, ...));
  va_list list;
  void* argument;
  va_start(list, command);
  argument = va_arg(list, void*);
  va_end(list);
  return fails(kCall_fcntl64, (uint64_t)command) ? -1 : real(fd, command, argument);
}

int ioctl(int fd, unsigned long request, ...) {
  REAL(int, ioctl, (int, unsigned long, ...));
  va_list list;
  void* argument;
  va_start(list, request);
  argument = va_arg(list, void*);
  va_end(list);
  return fails(kCall_ioctl, request) ? -1 : real(fd, request, argument);
}

int prctl(int option, ...) {
  REAL(int, prctl, (int, ...));
  va_list list;
  unsigned long a[4];
  int i;
  va_start(list, option);
  for (i = 0; i < 4; ++i) a[i] = va_arg(list, unsigned long);
  va_end(list);
  return fails(kCall_prctl, (uint64_t)option) ? -1 : real(option, a[0], a[1], a[2], a[3]);
}

int open64(const char* path, int flags, ...) {
  REAL(int, open64, (const char*, int, ...));
  va_list list;
  mode_t mode;
  va_start(list, flags);
  mode = va_arg(list, mode_t);
  va_end(list);
  return fails(kCall_open64, (uint64_t)flags) ? -1 : real(path, flags, mode);
}

long syscall(long number, ...) {
  REAL(long, syscall, (long, ...));
  va_list list;
  long a[6];
  int i;
  va_start(list, number);
  for (i = 0; i < 6; ++i) a[i] = va_arg(list, long);
  va_end(list);
  return fails(kCall_syscall, (uint64_t)number) ? -1 : real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/* ---- those that may do a part of what they were asked for */

#define SHORTENED(name, types, params, fd, n, whole, part)        \
  ssize_t name params {                                           \
    REAL(ssize_t, name, types);                                   \
    const int code = fails(kCall_##name, kind_of(fd));            \
    if (code == 0) return real whole;                             \
    if (code != kShortResult) return -1;                          \
    return n > 1 && may_be_short(fd) ? real part : real whole;    \
  }

SHORTENED(read, (int, void*, size_t), (int fd, void* to, size_t n), fd, n, (fd, to, n), (fd, to, 1))
SHORTENED(write, (int, const void*, size_t), (int fd, const void* from, size_t n), fd, n, (fd, from, n), (fd, from, 1))
SHORTENED(recv, (int, void*, size_t, int), (int fd, void* to, size_t n, int flags), fd, n, (fd, to, n, flags), (fd, to, 1, flags))
SHORTENED(send, (int, const void*, size_t, int), (int fd, const void* from, size_t n, int flags), fd, n, (fd, from, n, flags), (fd, from, 1, flags))
SHORTENED(pread64, (int, void*, size_t, off64_t), (int fd, void* to, size_t n, off64_t at), fd, n, (fd, to, n, at), (fd, to, 1, at))
SHORTENED(pwrite64, (int, const void*, size_t, off64_t), (int fd, const void* from, size_t n, off64_t at), fd, n, (fd, from, n, at), (fd, from, 1, at))

/* The first piece that is not empty, as one byte. */
static struct iovec one_byte(const struct iovec* piece, size_t count) {
  struct iovec one = {NULL, 0};
  size_t i;
  for (i = 0; i < count && one.iov_len == 0; ++i)
    if (piece[i].iov_len > 0) one = (struct iovec){piece[i].iov_base, 1};
  return one;
}

#define VECTORED(name)                                                        \
  ssize_t name(int fd, const struct iovec* piece, int count) {                \
    REAL(ssize_t, name, (int, const struct iovec*, int));                     \
    const int code = fails(kCall_##name, kind_of(fd));                        \
    const struct iovec one = one_byte(piece, (size_t)count);                  \
    if (code == 0) return real(fd, piece, count);                             \
    if (code != kShortResult) return -1;                                      \
    return may_be_short(fd) ? real(fd, &one, 1) : real(fd, piece, count);     \
  }
VECTORED(readv)
VECTORED(writev)

#define MESSAGE(name, qualifier)                                              \
  ssize_t name(int fd, qualifier struct msghdr* m, int flags) {               \
    REAL(ssize_t, name, (int, qualifier struct msghdr*, int));                \
    const int code = fails(kCall_##name, kind_of(fd));                        \
    struct iovec one, *all = m->msg_iov;                                      \
    const size_t count = m->msg_iovlen;                                       \
    struct msghdr part;                                                       \
    ssize_t result;                                                           \
    if (code == 0) return real(fd, m, flags);                                 \
    if (code != kShortResult) return -1;                                      \
    if (!may_be_short(fd)) return real(fd, m, flags);                         \
    one = one_byte(all, count);                                               \
    part = *m;                                                                \
    part.msg_iov = &one;                                                      \
    part.msg_iovlen = 1;                                                      \
    result = real(fd, &part, flags);                                          \
    KEEP_##name                                                               \
    return result;                                                            \
  }
#define KEEP_sendmsg
#define KEEP_recvmsg                         \
  m->msg_controllen = part.msg_controllen;   \
  m->msg_namelen = part.msg_namelen;         \
  m->msg_flags = part.msg_flags;
MESSAGE(sendmsg, const)
MESSAGE(recvmsg, )

/* ---- programs */

static int is_ours(const char* path) {
  const char* slash = strrchr(path, '/');
  return strncmp(slash != NULL ? slash + 1 : path, "sockmux", 7) == 0;
}

int execve(const char* path, char* const* argv, char* const* environment) {
  size_t n = 0, to = 0, i;
  char** without;
  REAL(int, execve, (const char*, char* const*, char* const*));
  if (fails(kCall_execve, 0)) return -1;
  if (is_ours(path)) return real(path, argv, environment);
  while (environment[n] != NULL) ++n;
  without = alloca((n + 1) * sizeof *without);
  for (i = 0; i < n; ++i)
    if (strncmp(environment[i], "LD_PRELOAD=", 11) != 0 && strncmp(environment[i], "FAILCALLS=", 10) != 0) without[to++] = environment[i];
  without[to] = NULL;
  return real(path, argv, without);
}

int execvp(const char* file, char* const* argv) {
  REAL(int, execvp, (const char*, char* const*));
  if (fails(kCall_execvp, 0)) return -1;
  if (!is_ours(file)) {
    (void)unsetenv("LD_PRELOAD");
    (void)unsetenv("FAILCALLS");
  }
  return real(file, argv);
}
