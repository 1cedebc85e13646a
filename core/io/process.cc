// Read next: process.h.
#include "core/io/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include "core/base/letters.h"

namespace smx {

void hide_inherited_fds() {
#if defined(SYS_close_range)
  // Linux 5.11: one call where the loop makes as many as we may have descriptors, which was most of the time of a start.
  constexpr unsigned kCloexec = 4;  // CLOSE_RANGE_CLOEXEC, for which not all systems have the header
  if (syscall(SYS_close_range, 3u, ~0u, kCloexec) == 0) return;
#endif
  constexpr rlim_t kMost = 65536;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) limit.rlim_cur = 1024;
  for (int fd = 3; static_cast<rlim_t>(fd) < (limit.rlim_cur < kMost ? limit.rlim_cur : kMost); ++fd) {
    const int flags = fcntl(fd, F_GETFD);
    if (flags >= 0) (void)fcntl(fd, F_SETFD, flags | FD_CLOEXEC);
  }
}

void fill_standard_fds() {
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0 || errno != EBADF) continue;
    // Takes the lowest free number. Where there is no /dev, a folder: it can be neither read nor written, and is nobody's link.
    if (::open("/dev/null", O_RDWR) < 0) (void)!::open("/", O_RDONLY);
  }
}

// One call for a piece, and not for each descriptor, as in hide_inherited_fds().
uint32_t count_open_fds() {
  constexpr rlim_t kPiece = 1024;
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) return 0;
  pollfd p[kPiece];
  uint32_t open = 0, found = 1;
  for (rlim_t from = 0; from < limit.rlim_cur && found > 0; from += kPiece) {
    const rlim_t count = limit.rlim_cur - from < kPiece ? limit.rlim_cur - from : kPiece;
    for (rlim_t i = 0; i < count; ++i) p[i] = {static_cast<int>(from + i), 0, 0};
    found = 0;
    if (::poll(p, static_cast<nfds_t>(count), 0) < 0) break;
    for (rlim_t i = 0; i < count; ++i) found += (p[i].revents & POLLNVAL) == 0 ? 1u : 0u;
    open += found;
  }
  return open;
}

namespace {
volatile pid_t begun = -1;
void pass_on(int signal) { (void)::kill(begun, signal); }
}  // namespace

int leave_error(int null) { return replace_fd(null, STDERR_FILENO); }

int daemonize(int null, Fd* starter) {
  int ends[2];
  if (::pipe(ends) < 0) return errno;
  Fd read_end(ends[0]);
  *starter = Fd(ends[1]);
  (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
  const pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid > 0) {
    starter->reset();
    begun = pid;  // who tells us to end means the daemon; our own handler (signals.cc) would only note it, here
    for (const int s : {SIGHUP, SIGINT, SIGTERM}) (void)::signal(s, pass_on);
    uint8_t code = 0;
    _exit(read_fd(read_end.get(), &code, sizeof code).size == sizeof code ? code : 71);
  }
  if (setsid() < 0 || chdir("/") < 0) return errno;
  const int error = replace_fd(null, STDIN_FILENO);
  return error != 0 ? error : replace_fd(null, STDOUT_FILENO);
}

void tell_starter(int starter, int exit_code) {
  const uint8_t code = static_cast<uint8_t>(exit_code);
  for (int tries = 0; tries < 2 && write_whole(starter, &code, sizeof code) != 0; ++tries) {
  }
}

Fd open_null(int* error) {
  Fd fd(::open("/dev/null", O_RDWR | O_CLOEXEC));
  *error = fd.valid() ? 0 : errno;
  return fd;
}

namespace {

// "#12" as a number.
bool parse_number(const char* text, uint32_t* out) {
  if (text[0] != '#' || text[1] == 0) return false;
  uint64_t v = 0;
  if (*read_digits(text + 1, 10, &v) != 0 || v > 0xfffffffe) return false;
  *out = static_cast<uint32_t>(v);
  return true;
}

}  // namespace

int find_identity(const char* text, Identity* out) {
  char user[64];
  const char* slash = strchr(text, '/');
  const size_t n = slash == nullptr ? strlen(text) : static_cast<size_t>(slash - text);
  if (n == 0 || n >= sizeof user) return ESRCH;
  memcpy(user, text, n);
  user[n] = 0;
  const passwd* p = nullptr;
  if (parse_number(user, &out->uid)) {
    if constexpr (kHasUsers) p = getpwuid(out->uid);
    out->gid = p == nullptr ? out->uid : p->pw_gid;
  } else {
    if constexpr (kHasUsers) p = getpwnam(user);
    if (p == nullptr) return ESRCH;
    out->uid = p->pw_uid;
    out->gid = p->pw_gid;
  }
  if (slash == nullptr || parse_number(slash + 1, &out->gid)) return 0;
  const group* g = nullptr;
  if constexpr (kHasUsers) g = getgrnam(slash + 1);
  if (g == nullptr) return ESRCH;
  out->gid = g->gr_gid;
  return 0;
}

int become(const Identity& who) {
  const gid_t gid = who.gid;
  if (setgroups(1, &gid) < 0) return errno;
  if (setgid(gid) < 0) return errno;
  if (setuid(who.uid) < 0) return errno;
  return 0;
}

bool is_root() { return geteuid() == 0; }
uint32_t own_process() { return static_cast<uint32_t>(getpid()); }
uint32_t own_user() { return geteuid(); }

int check_chroot(const char* path) {
  struct stat s;
  if (stat(path, &s) < 0) return errno;
  if (!S_ISDIR(s.st_mode)) return ENOTDIR;
  return is_root() ? 0 : EPERM;
}
int enter_chroot(const char* path) { return chroot(path) < 0 || chdir("/") < 0 ? errno : 0; }

bool set_umask(const char* octal) {
  uint64_t v = 0;
  const char* end = read_digits(octal, 8, &v);
  if (end == octal || *end != 0 || v > 0777) return false;
  umask(static_cast<mode_t>(v));
  return true;
}

namespace {

Fd open_file(const char* path, int flags, mode_t mode, int* error) {
  Fd fd(::open(path, O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | flags, mode));
  *error = fd.valid() ? 0 : errno;
  return fd;
}

// It is emptied, by root as a rule, and may be in a folder where others can make files: no link of theirs is followed, and what is
// no file is let be.
Fd lock_pidfile(const char* path, int* error) {
  Fd fd = open_file(path, O_WRONLY | O_NOFOLLOW, 0644, error);
  struct stat s;
  if (fd.valid() && (fstat(fd.get(), &s) < 0 || !S_ISREG(s.st_mode))) {
    *error = EINVAL;
    fd.reset();
  }
  if (!fd.valid()) return fd;
  int result = flock(fd.get(), LOCK_EX | LOCK_NB);
  while (result == 0 && (result = ftruncate(fd.get(), 0)) < 0 && errno == EINTR) result = 0;
  if (result < 0) {
    *error = errno;
    fd.reset();
  }
  return fd;
}

}  // namespace

Fd open_pidfile(const char* path, int* error) {
  constexpr int kTries = 100;
  // Who has just ended may have removed it between our open(2) and our lock.
  for (int i = 0; i < kTries; ++i) {
    Fd fd = lock_pidfile(path, error);
    if (!fd.valid() || same_open_file(fd.get(), path)) return fd;
  }
  *error = EWOULDBLOCK;  // that many have had it meanwhile
  return Fd();
}

// A FIFO that nobody reads is opened for both ways, so that its reader may come later, and go.
Fd open_logfile(const char* path, int* error) {
  Fd fd = open_file(path, O_WRONLY | O_APPEND, 0640, error);
  if (*error == ENXIO) fd = open_file(path, O_RDWR | O_APPEND, 0640, error);
  return fd;
}

// In place, and cut behind it, so that a full disk has room for it where there was a number before. Half of a number is that of
// somebody else.
int write_pid(int fd) {
  Text<24> text;
  text.add_u(static_cast<uint64_t>(getpid())).add('\n');
  int error = 0;
  for (int tries = 0; tries < 2; ++tries) {
    error = lseek(fd, 0, SEEK_SET) < 0 ? errno : write_whole(fd, text.c_str(), text.size());
    if (error == 0) break;
  }
  (void)!ftruncate(fd, error == 0 ? static_cast<off_t>(text.size()) : 0);
  return error;
}

bool same_open_file(int fd, const char* path) {
  struct stat open {}, there {};
  return fstat(fd, &open) == 0 && stat(path, &there) == 0 && open.st_dev == there.st_dev && open.st_ino == there.st_ino;
}

// Somebody may have removed it, and another daemon have its own there now.
void drop_pidfile(int fd, const char* path) {
  if (!same_open_file(fd, path) || ::unlink(path) < 0) (void)!ftruncate(fd, 0);
}

void lock_memory(void* memory, size_t size) { (void)mlock(memory, size); }

void hide_memory(void* memory, size_t size, bool on) {
#if defined(MADV_WIPEONFORK)
  (void)madvise(memory, size, MADV_DONTDUMP);
  (void)madvise(memory, size, on ? MADV_WIPEONFORK : MADV_KEEPONFORK);
#elif defined(MAP_INHERIT_ZERO)
  (void)minherit(memory, size, on ? MAP_INHERIT_ZERO : MAP_INHERIT_COPY);
#elif defined(INHERIT_ZERO)
  (void)minherit(memory, size, on ? INHERIT_ZERO : INHERIT_COPY);
#else
  (void)memory, (void)size, (void)on;
#endif
}

void forbid_dumps() {
  const rlimit none{};
  (void)setrlimit(RLIMIT_CORE, &none);
  // Address sanitizer looks for leaks from another process.
#if defined(__linux__) && !defined(__SANITIZE_ADDRESS__)
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

bool absolute_path(std::string_view path, TextBase* out) {
  out->clear();
  if (path.empty() || path[0] != '/') {
    char here[1024];
    if (getcwd(here, sizeof here) == nullptr) return false;
    out->add(here).add('/');
  }
  out->add(path);
  return !out->cut();
}

void append_host_name(TextBase& to) {
  char host[256] = {};
  if (gethostname(host, sizeof host - 1) < 0 || host[0] == 0 || host[0] == '.') {
    to.add("localhost");
    return;
  }
  for (const char* p = host; *p != 0 && *p != '.'; ++p) to.add(*p > 0x20 && *p < 0x7f ? *p : '-');
}

}  // namespace smx
