// The sandbox: what it forbids ends the process, and what the daemon needs goes on. Each call is made by a child of its own
// that has entered the sandbox before. Read next: core/io/sandbox_linux.cc.
#include <doctest/doctest.h>

#if defined(__linux__)

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <string>

#include "core/base/clock.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/process.h"
#include "core/io/sandbox.h"
#include "core/io/socket.h"

using namespace smx;

namespace {

constexpr int kNoSandbox = 90, kRefused = 91;

// How a child ends that does this in the sandbox: its status, or -signal. What it writes to standard error comes back in `said`.
template <typename F>
int in_sandbox(const SandboxNeeds& needs, F call, std::string* said = nullptr) {
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const pid_t pid = fork();
  if (pid == 0) {
    (void)dup2(ends[1], 2);
    set_log(LogSetup{});  // other tests have left it elsewhere
    (void)signal(SIGABRT, SIG_DFL);  // the test program's own handler has other needs
    if (forbid_new_privileges() != 0 || enter_sandbox(needs) != 0) _exit(kNoSandbox);
    _exit(call() ? 0 : kRefused);
  }
  close(ends[1]);
  char text[1000];
  for (ssize_t n = read(ends[0], text, sizeof text); n > 0; n = read(ends[0], text, sizeof text))
    if (said != nullptr) said->append(text, static_cast<size_t>(n));
  close(ends[0]);
  int status = 0;
  REQUIRE(waitpid(pid, &status, 0) == pid);
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

// Not under sanitizers, on an unknown processor or under an emulator.
bool has_filter() { return strcmp(sandbox_name(), "seccomp") == 0 && in_sandbox(SandboxNeeds{}, [] { return true; }) != kNoSandbox; }

struct Row {
  const char* name;
  bool (*call)();
};

SandboxNeeds all_needs() {
  SandboxNeeds n;
  n.programs = n.reads = n.fifos = n.devices = n.syslog = n.removes = true;
  return n;
}

bool run_sh() {
  char* const words[] = {const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(":"), nullptr};
  return execve("/bin/sh", words, words + 3) == 0;
}
// As the library would, without what it does around it
bool make_process() {
  const long pid = syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr);
  if (pid == 0) _exit(0);
  return pid > 0;
}
bool map_code(int protection) {
  void* p = mmap(nullptr, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_EXEC) == 0;
}
bool opens(const char* path, int flags) { return ::open(path, flags, 0600) >= 0; }

const char* temp_file() {
  static char path[64];
  strcpy(path, "/tmp/sockmux-sandbox-XXXXXX");
  const int fd = mkstemp(path);
  REQUIRE(fd >= 0);
  close(fd);
  return path;
}

}  // namespace

TEST_CASE("sandbox: these end the process, whatever the configuration needs") {
  if (!has_filter()) return;
  static const Row kRows[] = {
      {"execve", run_sh},
#ifdef SYS_execveat
      {"execveat", [] { return syscall(SYS_execveat, AT_FDCWD, "/bin/true", nullptr, nullptr, 0) == 0; }},
#endif
      {"fork", make_process},
#ifdef SYS_clone3
      {"clone3", [] { return syscall(SYS_clone3, nullptr, 0) == 0; }},
#endif
      {"ptrace", [] { return ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) == 0; }},
      {"mount", [] { return mount("none", "/mnt", "tmpfs", 0, nullptr) == 0; }},
      {"chroot", [] { return chroot("/") == 0; }},
      {"setuid", [] { return setuid(geteuid()) == 0; }},
      {"a file that is made", [] { return opens("/tmp/sockmux-forbidden", O_WRONLY | O_CREAT); }},
      {"a file that is emptied", [] { return opens("/dev/null", O_WRONLY | O_TRUNC); }},
      {"a file without a name", [] { return opens("/tmp", O_WRONLY | O_TMPFILE); }},
      {"chmod", [] { return chmod("/dev/null", 0666) == 0; }},
      {"rename", [] { return rename("/tmp/sockmux-a", "/tmp/sockmux-b") == 0; }},
#if !defined(__i386__)  // There it is socketcall(2), whose arguments a filter cannot see.
      {"AF_PACKET", [] { return socket(AF_PACKET, SOCK_RAW, 0) >= 0; }},
      {"netlink, but of routes", [] { return socket(AF_NETLINK, SOCK_RAW, 15) >= 0; }},
      {"a pair that is not AF_UNIX", [] { int p[2]; return socketpair(AF_INET, SOCK_STREAM, 0, p) == 0; }},
#endif
      {"mmap of code", [] { return map_code(PROT_READ | PROT_WRITE | PROT_EXEC); }},
      {"mprotect to code", [] { return map_code(PROT_READ | PROT_WRITE); }},
      {"kill", [] { return ::kill(getppid(), SIGURG) == 0; }},
      {"tgkill of another", [] { return syscall(SYS_tgkill, getppid(), getppid(), SIGURG) == 0; }},
      {"TIOCSTI", [] { return ioctl(0, TIOCSTI, "x") == 0; }},
      {"prctl", [] { return prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0; }},
      {"reboot", [] { return syscall(SYS_reboot, 0, 0, 0, nullptr) == 0; }},
      {"a call that no kernel has", [] { return syscall(100000) == 0; }},
  };
  for (const Row& r : kRows) {
    CAPTURE(std::string(r.name));
    CHECK(in_sandbox(SandboxNeeds{}, r.call) == -SIGSYS);
    CHECK(in_sandbox(all_needs(), r.call) == -SIGSYS);
  }
}

TEST_CASE("sandbox: these end the process, unless the configuration needs them") {
  if (!has_filter()) return;
  static const char* const path = temp_file();
  static const struct {
    const char* name;
    bool SandboxNeeds::*need;
    bool (*call)();
  } kRows[] = {
      {"pipe", &SandboxNeeds::programs, [] { int p[2]; return pipe(p) == 0; }},
      {"is there a program?", &SandboxNeeds::programs, [] { return access("/bin/sh", X_OK) == 0; }},
#if !defined(__i386__)  // as above
      {"socketpair", &SandboxNeeds::programs, [] { int p[2]; return socketpair(AF_UNIX, SOCK_STREAM, 0, p) == 0; }},
      {"syslog's socket", &SandboxNeeds::syslog, [] { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0; }},
#endif
      {"reading a file", &SandboxNeeds::reads, [] { return opens(path, O_RDONLY); }},
      {"a FIFO to write", &SandboxNeeds::fifos, [] { return opens(path, O_WRONLY | O_NONBLOCK); }},
      {"a line", &SandboxNeeds::devices, [] { return opens(path, O_RDWR | O_NOCTTY | O_NONBLOCK); }},
      {"a line's speed", &SandboxNeeds::devices, [] { termios t; return tcgetattr(2, &t) < 0 && errno == ENOTTY; }},
      {"does a process live?", &SandboxNeeds::devices, [] { return ::kill(getppid(), 0) == 0; }},
      {"a new lock", &SandboxNeeds::devices,
       [] { return unlink(path) == 0 && opens(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC); }},
      {"PIDFILE goes", &SandboxNeeds::removes, [] { return unlink(path) == 0; }},
  };
  for (const auto& r : kRows) {
    CAPTURE(r.name);
    SandboxNeeds needs;
    CHECK(in_sandbox(needs, r.call) == -SIGSYS);
    needs.*r.need = true;
    CHECK(in_sandbox(needs, r.call) == 0);
  }
  SandboxNeeds reads;
  reads.reads = true;
  CHECK(in_sandbox(reads, [] { return opens(path, O_WRONLY); }) == -SIGSYS);
  CHECK(in_sandbox(reads, [] { return opens(path, O_RDWR); }) == -SIGSYS);
}

TEST_CASE("sandbox: what every daemon does goes on") {
  if (!has_filter()) return;
  prepare_clock();
  static const Row kRows[] = {
      {"sockets", [] { return socket(AF_INET, SOCK_STREAM, 0) >= 0 && socket(AF_INET6, SOCK_DGRAM, 0) >= 0; }},
      {"a port, and a connection to it",
       [] {
         int error = 0;
         Address any, peer;
         if (!parse_ip("127.0.0.1", &any)) return false;
         const Fd listener = listen_tcp(any, 5, &error);
         const Fd client = connect_tcp(local_address(listener.get()), Address{}, &error);
         pollfd p{listener.get(), POLLIN, 0};
         return listener.valid() && client.valid() && poll(&p, 1, -1) == 1 && accept_tcp(listener.get(), &peer, &error).valid();
       }},
      {"our networks", [] { OwnNetwork own[kMaxNetworks]; return own_networks(own) >= 2; }},
      {"random numbers", [] { uint8_t bytes[16]; fill_random(bytes, sizeof bytes); return true; }},
      {"clock and log", [] { LogLine(LogLevel::info, "started"); return true; }},
      {"memory", [] { void* p = malloc(50 << 20); memset(p, 1, 50 << 20); free(p); return true; }},
      {"texts of errors", [] { return strlen(strerror(ECONNREFUSED)) > 0; }},
      {"a filter of its own is not needed any more", [] { return getpid() > 0 && getppid() > 0; }},
  };
  for (const Row& r : kRows) {
    CAPTURE(r.name);
    CHECK(in_sandbox(SandboxNeeds{}, r.call) == 0);
  }
  SUBCASE("abort") {
    CHECK(in_sandbox(SandboxNeeds{}, [] { abort(); return true; }) == -SIGABRT);
  }
}

TEST_CASE("sandbox: trap names the call before it ends the process") {
  if (!has_filter()) return;
  SandboxNeeds needs;
  needs.traps = true;
  std::string said;
  CHECK(in_sandbox(needs, [] { return chroot("/") == 0; }, &said) == -SIGSYS);
  CHECK_MESSAGE(said.find("error forbidden-call number=" + std::to_string(SYS_chroot)) != std::string::npos, said);
}

#endif
