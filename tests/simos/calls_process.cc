// Calls about the process itself: memory, time, signals, identity, and what it has no use for here. Read next: calls.h.
#include "tests/simos/calls.h"

#include <grp.h>
#include <ifaddrs.h>
#include <link.h>
#include <netdb.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "tests/simos/helper.h"

using namespace simos;

namespace {

void say(const char* text, size_t n) {
  if (File* f = current->file(2)) (void)f->write(reinterpret_cast<const uint8_t*>(text), n);
}

}  // namespace

extern "C" {

void sim__exit(int code) { current->exit(code); }
void sim_abort() { current->crash("aborts"); }
int sim___cxa_atexit(void (*f)(void*), void* a, void* d) { return (void)f, (void)a, (void)d, 0; }

// ---- memory

void* sim_mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  (void)at, (void)protection, (void)flags, (void)fd, (void)offset;
  const Gate gate(Call::mmap);
  void* p = gate.error() != 0 ? nullptr : current->map(size);
  if (p != nullptr) return p;
  errno = gate.error() != 0 ? gate.error() : ENOMEM;
  return MAP_FAILED;
}

int sim_munmap(void* at, size_t size) { return current->unmap(at, size), 0; }
int sim_madvise(void* at, size_t size, int advice) { return (void)at, (void)size, (void)advice, 0; }
int sim_mlock(const void* at, size_t size) { return (void)at, (void)size, refuse(ENOMEM); }

// ---- time and chance

int sim_clock_gettime(clockid_t which, timespec* out) {
  const Micros t = which == CLOCK_REALTIME ? world->now + world->wall_offset : world->now + 5000 * kSecond;
  out->tv_sec = t / kSecond;
  out->tv_nsec = t % kSecond * 1000;
  return 0;
}

time_t sim_time(time_t* out) {
  const time_t t = static_cast<time_t>((world->now + world->wall_offset) / kSecond);
  if (out != nullptr) *out = t;
  return t;
}

void sim_tzset() {}

long sim_syscall(long number, ...) {
  va_list list;
  va_start(list, number);
  const long a = va_arg(list, long), b = va_arg(list, long);
  va_end(list);
  if (number == SYS_getrandom) {
    const Gate gate(Call::getrandom);
    if (gate.error() != 0) return refuse(gate.error());
    uint8_t* to = reinterpret_cast<uint8_t*>(a);
    for (long i = 0; i < b; ++i) to[i] = static_cast<uint8_t>(current->random.next() >> 32);
    return b;
  }
  return refuse(ENOSYS);
}

// ---- signals and processes

int sim_sigaction(int number, const struct sigaction* in, struct sigaction* out) {
  const Gate gate(Call::sigaction);
  if (gate.error() != 0) return refuse(gate.error());
  if (out != nullptr) *out = current->action[number];
  if (in != nullptr) current->action[number] = *in;
  return 0;
}

void (*sim_signal(int number, void (*handler)(int)))(int) {
  current->action[number].sa_handler = handler;
  return SIG_DFL;
}

int sim_sigprocmask(int how, const sigset_t* in, sigset_t* out) { return (void)how, (void)in, (void)out, 0; }
int sim_kill(pid_t pid, int number) {
  if (HelperProcess* h = current->helper; h != nullptr && h->pid() == pid && number == SIGKILL) return h->kill(), 0;
  return Process::is_alive(static_cast<uint32_t>(pid)) ? 0 : refuse(ESRCH);
}
int sim_raise(int number) { return (void)number, 0; }
unsigned sim_alarm(unsigned s) { return (void)s, 0; }
// The helper, whose end of the pair was opened last.
pid_t sim_fork() {
  const Gate gate(Call::fork);
  if (gate.error() != 0) return refuse(gate.error());
  if (current->last_pair == nullptr) current->crash("fork(2) without a pair of sockets");
  current->helper = world->make<HelperProcess>(*current, current->last_pair);
  return current->helper->pid();
}

int sim_execve(const char* path, char* const* argv, char* const* env) { return (void)path, (void)argv, (void)env, refuse(ENOENT); }
pid_t sim_waitpid(pid_t pid, int* status, int options) {
  (void)status;
  HelperProcess* h = current->helper;
  if (h == nullptr || h->pid() != pid) return refuse(ECHILD);
  if (!h->over() && (options & WNOHANG) == 0) current->crash("waitpid(2) blocks");
  if (!h->over()) return 0;
  current->helper = nullptr;
  return pid;
}
pid_t sim_getpid() { return static_cast<pid_t>(current->pid()); }
pid_t sim_setsid() { return refuse(EPERM); }
int sim_setpgid(pid_t pid, pid_t group) { return (void)pid, (void)group, refuse(EPERM); }
int sim_prctl(int what, ...) { return (void)what, 0; }
int sim_pselect(int n, fd_set* r, fd_set* w, fd_set* e, const timespec* t, const sigset_t* s) { return (void)n, (void)r, (void)w, (void)e, (void)t, (void)s, refuse(EINVAL); }

// ---- identity and limits

uid_t sim_geteuid() { return 1000; }
int sim_setuid(uid_t uid) { return (void)uid, refuse(EPERM); }
int sim_setgid(gid_t gid) { return (void)gid, refuse(EPERM); }
int sim_setgroups(size_t n, const gid_t* list) { return (void)n, (void)list, refuse(EPERM); }
passwd* sim_getpwnam(const char* name) { return (void)name, nullptr; }
passwd* sim_getpwuid(uid_t uid) { return (void)uid, nullptr; }
group* sim_getgrnam(const char* name) { return (void)name, nullptr; }

int sim_getrlimit(int what, rlimit* out) {
  (void)what;
  const Gate gate(Call::getrlimit);
  if (gate.error() != 0) return refuse(gate.error());
  out->rlim_cur = out->rlim_max = current->fd_limit;
  return 0;
}

int sim_setrlimit(int what, const rlimit* in) {
  (void)what, (void)in;
  const Gate gate(Call::setrlimit);
  return gate.error() != 0 ? refuse(gate.error()) : 0;
}

long sim_sysconf(int what) {
  if (what == _SC_PAGESIZE) return 4096;
  if (what == _SC_NPROCESSORS_ONLN) return 2;
  return -1;
}

int sim_gethostname(char* to, size_t n) {
  const Gate gate(Call::gethostname);
  if (gate.error() != 0) return refuse(gate.error());
  snprintf(to, n, "host%u", current->ip() & 255);
  return 0;
}

char* sim_getenv(const char* name) { return const_cast<char*>(current->variable(name)); }
int sim_unsetenv(const char* name) { return current->forget_variable(name), 0; }

int sim_getifaddrs(ifaddrs** out) {
  const Gate gate(Call::getifaddrs);
  *out = nullptr;
  return gate.error() != 0 ? refuse(gate.error()) : 0;
}

void sim_freeifaddrs(ifaddrs* list) { (void)list; }
int sim_getaddrinfo(const char* node, const char* service, const addrinfo* hints, addrinfo** out) { return (void)node, (void)service, (void)hints, (void)out, EAI_FAIL; }
int sim_dl_iterate_phdr(int (*f)(dl_phdr_info*, size_t, void*), void* data) { return (void)f, (void)data, 0; }

// ---- what is said

int sim_fputs(const char* text, FILE* to) { return (void)to, say(text, strlen(text)), 0; }
int sim_puts(const char* text) { return say(text, strlen(text)), say("\n", 1), 0; }
int sim_fputc(int c, FILE* to) {
  const char one = static_cast<char>(c);
  return (void)to, say(&one, 1), c;
}
size_t sim_fwrite(const void* from, size_t size, size_t n, FILE* to) { return (void)to, say(static_cast<const char*>(from), size * n), n; }
void sim_openlog(const char* name, int options, int facility) { (void)name, (void)options, (void)facility; }
void sim_closelog() {}
void sim_syslog(int priority, const char* format, ...) { (void)priority, (void)format; }

}  // extern "C"
