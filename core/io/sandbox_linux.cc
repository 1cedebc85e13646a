// Linux: a seccomp filter, made by hand of a table.
//
// Invariants: a call that is not in the table, or not with these arguments, ends the process; the table names what
// glibc 2.31 to 2.41 and musl 1.2 make of our calls, on 64-bit machines and, with both kinds of time, on 32-bit ones (a
// number that this build's headers do not know is left out: then its C library does not use it either). Nothing here makes
// a new process, runs a program, changes an identity, or maps memory that can be executed.
// Read next: sandbox.h. Source: seccomp(2), and the kernel's Documentation/userspace-api/seccomp_filter.rst.
#include "core/io/sandbox.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/io/log.h"

// How the kernel names the kind of call, by processor.
#if defined(__x86_64__) && !defined(__ILP32__)
#define SMX_MACHINE EM_X86_64
#elif defined(__i386__)
#define SMX_MACHINE EM_386
#elif defined(__aarch64__) && !defined(__AARCH64EB__)
#define SMX_MACHINE EM_AARCH64
#elif defined(__arm__)
#define SMX_MACHINE EM_ARM
#elif defined(__mips__)
#define SMX_MACHINE EM_MIPS
#elif defined(__riscv)
#define SMX_MACHINE EM_RISCV
#elif defined(__powerpc64__)
#define SMX_MACHINE EM_PPC64
#elif defined(__powerpc__)
#define SMX_MACHINE EM_PPC
#elif defined(__s390x__)
#define SMX_MACHINE EM_S390
#elif defined(__loongarch64)
#define SMX_MACHINE 258
#endif

// The sanitizers' own work needs more calls than we do.
#if defined(__SANITIZE_ADDRESS__)
#undef SMX_MACHINE
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#undef SMX_MACHINE
#endif
#endif

namespace smx {

int forbid_new_privileges() { return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? errno : 0; }

#if !defined(SMX_MACHINE)

int enter_sandbox(const SandboxNeeds& needs) {
  (void)needs;
  return 0;
}
const char* sandbox_name() { return "none"; }

#else

namespace {

// What <linux/seccomp.h>, <linux/filter.h> and <linux/audit.h> say; not every C library comes with the kernel's headers.
struct Instruction {
  uint16_t code;
  uint8_t yes, no;
  uint32_t k;
};
struct Program {
  uint16_t size;
  const Instruction* first;
};
struct CallData {
  int number;
  uint32_t arch;
  uint64_t address;
  uint64_t argument[6];
};
constexpr uint16_t kLoad = 0x20, kAnd = 0x54, kJumpIfEqual = 0x15, kReturn = 0x06;
constexpr uint32_t kRetAllow = 0x7fff0000, kRetTrap = 0x00030000, kRetKillThread = 0, kRetKillProcess = 0x80000000;
constexpr int kSetModeFilter = 1, kGetActionAvail = 2, kModeFilter = 2;
constexpr unsigned long kSpecAllow = 4;

constexpr bool kLittle = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__;
constexpr uint32_t kArch = static_cast<uint32_t>(SMX_MACHINE) | (kLittle ? 0x40000000u : 0u)
#if defined(__LP64__) || (defined(_MIPS_SIM) && defined(_ABIN32) && _MIPS_SIM == _ABIN32)
                           | 0x80000000u
#endif
#if defined(_MIPS_SIM) && defined(_ABIN32) && _MIPS_SIM == _ABIN32
                           | 0x20000000u
#endif
    ;

// Allowed if (argument & mask) == value, for both; a mask of 0 asks nothing. Of an argument its low 32 bits count.
struct Where {
  uint8_t argument = 0;
  uint32_t mask = 0;
  uint32_t value = 0;
};
struct Call {
  int number;
  Where first, second;
};

constexpr uint32_t kAll = 0xffffffff;
constexpr uint32_t flags(int v) { return static_cast<uint32_t>(v); }
constexpr Where is(uint8_t argument, unsigned long value) { return {argument, kAll, static_cast<uint32_t>(value)}; }
constexpr Where never(uint8_t argument, int bits) { return {argument, flags(bits), 0}; }

// What open(2) does to a file, but for reading and writing; O_TMPFILE has a bit more than O_DIRECTORY.
constexpr int kMakes = O_CREAT | O_TRUNC | O_EXCL | (O_TMPFILE & ~O_DIRECTORY);
constexpr int kFutexWake = 1, kFutexPrivate = 128;

// The most frequent ones come first: the filter is read from its beginning.
constexpr Call kAlways[] = {
    {SYS_read, {}, {}},
    {SYS_write, {}, {}},
    {SYS_readv, {}, {}},
    {SYS_writev, {}, {}},
#ifdef SYS_epoll_wait
    {SYS_epoll_wait, {}, {}},
#endif
    {SYS_epoll_pwait, {}, {}},
    {SYS_epoll_ctl, {}, {}},
#ifdef SYS_poll
    {SYS_poll, {}, {}},
#endif
    {SYS_ppoll, {}, {}},
#ifdef SYS_ppoll_time64
    {SYS_ppoll_time64, {}, {}},
#endif
    {SYS_sched_yield, {}, {}},
    {SYS_close, {}, {}},
#ifdef SYS_recvmsg
    {SYS_recvmsg, {}, {}},
    {SYS_sendmsg, {}, {}},
    {SYS_recvfrom, {}, {}},
    {SYS_sendto, {}, {}},
#endif
#ifdef SYS_recv
    {SYS_recv, {}, {}},
    {SYS_send, {}, {}},
#endif
    // Time: where the vDSO has no clock. musl has the older ones of 32-bit machines under names of their own.
#ifdef SYS_clock_gettime
    {SYS_clock_gettime, {}, {}},
#endif
#ifdef SYS_clock_gettime32
    {SYS_clock_gettime32, {}, {}},
#endif
#ifdef SYS_gettimeofday_time32
    {SYS_gettimeofday_time32, {}, {}},
#endif
#ifdef SYS_clock_gettime64
    {SYS_clock_gettime64, {}, {}},
#endif
#ifdef SYS_gettimeofday
    {SYS_gettimeofday, {}, {}},
#endif
#ifdef SYS_time
    {SYS_time, {}, {}},
#endif
    {SYS_restart_syscall, {}, {}},  // poll(2) behind a stop and a CONT
    // Sockets: IP; the list of our networks (getifaddrs(3)) comes by rtnetlink
#ifdef SYS_socket
    {SYS_socket, is(0, AF_INET), {}},
    {SYS_socket, is(0, AF_INET6), {}},
    {SYS_socket, is(0, AF_NETLINK), is(2, 0)},
    {SYS_connect, {}, {}},
    {SYS_bind, {}, {}},
    {SYS_listen, {}, {}},
    {SYS_getsockname, {}, {}},
    {SYS_getpeername, {}, {}},
    {SYS_getsockopt, {}, {}},
    {SYS_setsockopt, {}, {}},
    {SYS_shutdown, {}, {}},
#endif
#ifdef SYS_accept4
    {SYS_accept4, {}, {}},
#endif
#ifdef SYS_accept
    {SYS_accept, {}, {}},
#endif
#ifdef SYS_socketcall
    {SYS_socketcall, {}, {}},  // i386 and others: all of the above in one, with arguments that a filter cannot see
#endif
    // Of descriptors
#ifdef SYS_fcntl
    {SYS_fcntl, {}, {}},
#endif
#ifdef SYS_fcntl64
    {SYS_fcntl64, {}, {}},
#endif
    {SYS_ioctl, is(1, SIOCATMARK), {}},
#ifdef SYS_fstat
    {SYS_fstat, {}, {}},
#endif
#ifdef SYS_fstat64
    {SYS_fstat64, {}, {}},
#endif
#ifdef SYS_lseek
    {SYS_lseek, {}, {}},
#endif
#ifdef SYS__llseek
    {SYS__llseek, {}, {}},
#endif
    {SYS_pread64, {}, {}},  // resident_kib()
    // Memory, without any that can be executed
    {SYS_madvise, {}, {}},
    {SYS_munmap, {}, {}},
    {SYS_brk, {}, {}},
    {SYS_mremap, {}, {}},
#ifdef SYS_mmap
    {SYS_mmap, never(2, PROT_EXEC), {}},
#endif
#ifdef SYS_mmap2
    {SYS_mmap2, never(2, PROT_EXEC), {}},
#endif
    {SYS_mprotect, never(2, PROT_EXEC), {}},
    // The process itself
    {SYS_exit_group, {}, {}},
    {SYS_exit, {}, {}},
    {SYS_rt_sigreturn, {}, {}},
#ifdef SYS_sigreturn
    {SYS_sigreturn, {}, {}},
#endif
    {SYS_rt_sigprocmask, {}, {}},
    {SYS_rt_sigaction, {}, {}},
#ifdef SYS_getrandom
    {SYS_getrandom, {}, {}},
#endif
    {SYS_getpid, {}, {}},
    {SYS_gettid, {}, {}},
    {SYS_getppid, {}, {}},
    {SYS_geteuid, {}, {}},
#ifdef SYS_geteuid32
    {SYS_geteuid32, {}, {}},
#endif
    {SYS_wait4, {}, {}},  // the helper
#ifdef SYS_waitpid
    {SYS_waitpid, {}, {}},
#endif
#ifdef SYS_waitid
    {SYS_waitid, {}, {}},
#endif
    {SYS_sysinfo, {}, {}},  // sort functions of glibc ask how much memory there is
#ifdef SYS_futex
    {SYS_futex, is(1, kFutexWake), {}},  // of one who has no threads: the end of a once-only step in glibc
    {SYS_futex, is(1, kFutexWake | kFutexPrivate), {}},
#endif
#ifdef SYS_futex_time64
    {SYS_futex_time64, is(1, kFutexWake), {}},
    {SYS_futex_time64, is(1, kFutexWake | kFutexPrivate), {}},
#endif
};

constexpr Call kPrograms[] = {
#ifdef SYS_pipe
    {SYS_pipe, {}, {}},
#endif
    {SYS_pipe2, {}, {}},
#ifdef SYS_socketpair
    {SYS_socketpair, is(0, AF_UNIX), {}},
#endif
};

constexpr Call kSyslog[] = {
#ifdef SYS_socket
    {SYS_socket, is(0, AF_UNIX), {}},
#endif
};

// To look at files, by name.
constexpr Call kLooks[] = {
#ifdef SYS_access
    {SYS_access, {}, {}},
#endif
    {SYS_faccessat, {}, {}},
#ifdef SYS_faccessat2
    {SYS_faccessat2, {}, {}},
#endif
#ifdef SYS_stat
    {SYS_stat, {}, {}},
    {SYS_lstat, {}, {}},
#endif
#ifdef SYS_stat64
    {SYS_stat64, {}, {}},
    {SYS_lstat64, {}, {}},
#endif
#ifdef SYS_newfstatat
    {SYS_newfstatat, {}, {}},
#endif
#ifdef SYS_fstatat64
    {SYS_fstatat64, {}, {}},
#endif
#ifdef SYS_statx
    {SYS_statx, {}, {}},
#endif
};

constexpr Call kReads[] = {
#ifdef SYS_open
    {SYS_open, never(1, kMakes | O_ACCMODE), {}},
#endif
    {SYS_openat, never(2, kMakes | O_ACCMODE), {}},
};

constexpr Call kFifos[] = {
#ifdef SYS_open
    {SYS_open, never(1, kMakes), {}},
#endif
    {SYS_openat, never(2, kMakes), {}},
};

constexpr Call kRemoves[] = {
#ifdef SYS_unlink
    {SYS_unlink, {}, {}},
#endif
    {SYS_unlinkat, {}, {}},
#ifdef SYS_ftruncate
    {SYS_ftruncate, {}, {}},
#endif
#ifdef SYS_ftruncate64
    {SYS_ftruncate64, {}, {}},
#endif
};

// With what of kFifos, kLooks and kRemoves they need: locks are made anew and nothing else is.
constexpr Call kDevices[] = {
#ifdef SYS_open
    {SYS_open, {1, flags(O_CREAT | O_EXCL | O_NOFOLLOW | O_TRUNC), flags(O_CREAT | O_EXCL | O_NOFOLLOW)}, {}},
#endif
    {SYS_openat, {2, flags(O_CREAT | O_EXCL | O_NOFOLLOW | O_TRUNC), flags(O_CREAT | O_EXCL | O_NOFOLLOW)}, {}},
#ifdef SYS_readlink
    {SYS_readlink, {}, {}},
#endif
    {SYS_readlinkat, {}, {}},
    {SYS_getcwd, {}, {}},
    {SYS_flock, {}, {}},
    {SYS_pwrite64, {}, {}},
    {SYS_kill, is(1, 0), {}},  // does the process live that a lock names?
    {SYS_ioctl, is(1, TCGETS), {}},
    {SYS_ioctl, is(1, TCSETS), {}},
#if defined(__x86_64__) || defined(__i386__) || defined(__arm__) || defined(__aarch64__) || defined(__riscv) || defined(__loongarch64)
    // TCGETS2, TCSETS2: glibc 2.42 sets speeds by them; <termios.h> does not name them.
    {SYS_ioctl, is(1, 0x802c542a), {}},
    {SYS_ioctl, is(1, 0x402c542b), {}},
#endif
    {SYS_ioctl, is(1, TCFLSH), {}},
    {SYS_ioctl, is(1, TIOCMGET), {}},
    {SYS_ioctl, is(1, TIOCOUTQ), {}},
    {SYS_ioctl, is(1, TIOCEXCL), {}},
    {SYS_ioctl, is(1, TIOCNXCL), {}},
};

// ---- the filter

class Filter {
 public:
  explicit Filter(uint32_t action) : action_(action) {
    put(kLoad, offsetof(CallData, arch));
    put(kJumpIfEqual, kArch, 1, 0);
    put(kReturn, action_);
    load_number();
  }

  template <size_t kCount>
  void allow(const Call (&calls)[kCount]) {
    for (const Call& c : calls) allow(c);
  }
  void allow(const Call& c) {
    const int asked = (c.first.mask != 0 ? kAsk : 0) + (c.second.mask != 0 ? kAsk : 0);
    // Behind a call that is this one, but not with these arguments, others follow that look at the number.
    put(kJumpIfEqual, static_cast<uint32_t>(c.number), 0, static_cast<uint8_t>(asked == 0 ? 1 : asked + 2));
    if (c.first.mask != 0) ask(c.first, static_cast<uint8_t>(c.second.mask != 0 ? kAsk + 1 : 1));
    if (c.second.mask != 0) ask(c.second, 1);
    put(kReturn, kRetAllow);
    if (asked != 0) load_number();
  }

  // 0 or errno.
  int install() {
    put(kReturn, action_);
    const Program program{size_, code_};
    // We run no code of others that could look at us by what the processor guesses, and pay no brake on it: kernels before
    // 5.16 put one on with every filter.
#ifdef SYS_seccomp
    if (syscall(SYS_seccomp, kSetModeFilter, kSpecAllow, &program) == 0) return 0;
#endif
    return prctl(PR_SET_SECCOMP, kModeFilter, &program, 0, 0) < 0 ? errno : 0;
  }

 private:
  static constexpr int kAsk = 3;
  void put(uint16_t code, uint32_t k, uint8_t yes = 0, uint8_t no = 0) {
    SMX_CHECK(size_ < kMost);
    code_[size_++] = {code, yes, no, k};
  }
  void load_number() { put(kLoad, offsetof(CallData, number)); }
  // `over`: how many instructions lie between this and the one that loads the number again.
  void ask(const Where& w, uint8_t over) {
    put(kLoad, static_cast<uint32_t>(offsetof(CallData, argument)) + 8u * w.argument + (kLittle ? 0u : 4u));
    put(kAnd, w.mask);
    put(kJumpIfEqual, w.value, 0, over);
  }

  static constexpr uint16_t kMost = 600;
  const uint32_t action_;
  Instruction code_[kMost];
  uint16_t size_ = 0;
};

// SOXCONF=sandbox:trap. The call has not been made: it is safe to do here what the daemon does elsewhere.
void on_forbidden_call(int signal, siginfo_t* info, void* context) {
  (void)context;
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  sigemptyset(&action.sa_mask);
  sigaction(SIGSYS, &action, nullptr);
  LogLine(LogLevel::error, "forbidden-call").kv("number", static_cast<uint64_t>(info->si_syscall)).kv("arch", static_cast<uint64_t>(info->si_arch));
  (void)raise(signal);  // when we return
}

uint32_t forbidden_action(bool traps) {
  if (traps) {
    struct sigaction action {};
    action.sa_sigaction = on_forbidden_call;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGSYS, &action, nullptr);
    return kRetTrap;
  }
#ifdef SYS_seccomp
  if (syscall(SYS_seccomp, kGetActionAvail, 0, &kRetKillProcess) == 0) return kRetKillProcess;
#endif
  return kRetKillThread;  // Linux before 4.14: the thread, and we have one
}

}  // namespace

int enter_sandbox(const SandboxNeeds& needs) {
  // Are there filters at all? EFAULT: yes, but none is at address 0. Source: prctl(2).
  if (prctl(PR_SET_SECCOMP, kModeFilter, nullptr, 0, 0) < 0 && errno == EINVAL) return ENOSYS;
  Filter filter(forbidden_action(needs.traps));
  filter.allow(kAlways);
  // abort(3) and raise(3), of ourselves
#ifdef SYS_tgkill
  filter.allow({SYS_tgkill, is(0, static_cast<unsigned long>(getpid())), {}});
#endif
#ifdef SYS_tkill
  filter.allow({SYS_tkill, is(0, static_cast<unsigned long>(getpid())), {}});
#endif
  if (needs.programs) filter.allow(kPrograms);
  if (needs.syslog) filter.allow(kSyslog);
  if (needs.programs || needs.reads || needs.fifos || needs.devices || needs.removes) filter.allow(kLooks);
  if (needs.reads) filter.allow(kReads);
  if (needs.fifos || needs.devices) filter.allow(kFifos);
  if (needs.removes || needs.devices) filter.allow(kRemoves);
  if (needs.devices) filter.allow(kDevices);
  return filter.install();
}

const char* sandbox_name() { return "seccomp"; }

#endif

}  // namespace smx
