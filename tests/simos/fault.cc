// Read next: fault.h, calls.h.
#include "tests/simos/fault.h"

#include <errno.h>
#include <unwind.h>

#include "tests/simos/calls.h"

namespace simos {

const char* name(Call call) {
  static constexpr const char* kNames[] = {
      "accept4", "access", "bind", "close", "connect", "epoll_create1", "epoll_ctl", "epoll_wait", "poll", "fcntl", "flock", "fstat", "ftruncate", "getrandom", "getsockname",
      "getpeername", "getsockopt", "ioctl", "listen", "lseek", "mkfifo", "mmap", "nanosleep", "open", "pipe", "pread", "read", "recv", "recvmsg", "send", "sendmsg", "setrlimit", "setsockopt", "shutdown",
      "sigaction", "sockatmark", "socket", "stat", "tcgetattr", "tcsetattr", "unlink", "write", "getrlimit", "gethostname", "getcwd", "getifaddrs", "fork"};
  static_assert(sizeof kNames / sizeof *kNames == static_cast<size_t>(Call::count_));
  return kNames[static_cast<size_t>(call)];
}

namespace {

// Who has called: as far up as tells two places apart.
struct Walk {
  uint64_t hash;
  int depth;
};

_Unwind_Reason_Code step(_Unwind_Context* context, void* data) {
  constexpr int kSkipped = 2, kFrames = 5;
  Walk& w = *static_cast<Walk*>(data);
  if (w.depth++ >= kSkipped) w.hash = (w.hash ^ static_cast<uint64_t>(_Unwind_GetIP(context))) * 0x100000001b3;
  return w.depth < kSkipped + kFrames ? _URC_NO_REASON : _URC_END_OF_STACK;
}

uint64_t place_of(Call call) {
  Walk w{0xcbf29ce484222325 ^ static_cast<uint64_t>(call), 0};
  (void)_Unwind_Backtrace(step, &w);
  return w.hash << 8 | static_cast<uint64_t>(call);
}

constexpr uint64_t kMostCalls = 20000;  // without that time passes

// Manual pages, section ERRORS, as far as a program without a bug of its own can meet them.
constexpr int kIo[] = {EINTR, EAGAIN, EIO, ECONNRESET, ETIMEDOUT, ENOMEM, 0};
constexpr int kWrite[] = {EINTR, EAGAIN, EIO, ENOSPC, EPIPE, ECONNRESET, ENOBUFS, 0};
constexpr int kMessage[] = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNREFUSED, EMSGSIZE, EPERM, ENETUNREACH, 0};
constexpr int kPacket[] = {EINTR, EAGAIN, ENOMEM, ENOBUFS, ECONNRESET, 0};
constexpr int kAccept[] = {EINTR, EAGAIN, ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM, 0};
constexpr int kConnect[] = {EINTR, EAGAIN, EADDRNOTAVAIL, ECONNREFUSED, ENETUNREACH, ETIMEDOUT, EACCES, 0};
constexpr int kSocket[] = {EMFILE, ENFILE, ENOBUFS, ENOMEM, EACCES, 0};
constexpr int kBind[] = {EADDRINUSE, EADDRNOTAVAIL, EACCES, 0};
constexpr int kOpen[] = {EINTR, EMFILE, ENFILE, ENOMEM, EACCES, ENOENT, ENXIO, EIO, ENOSPC, 0};
constexpr int kPath[] = {EACCES, ENOENT, EIO, ENOMEM, 0};
constexpr int kOfFile[] = {EIO, ENOMEM, 0};
constexpr int kWait[] = {EINTR, 0};
constexpr int kEpoll[] = {ENOMEM, ENOSPC, 0};
constexpr int kNoMemory[] = {ENOMEM, 0};
constexpr int kClose[] = {EINTR, EIO, ENOSPC, 0};
constexpr int kOption[] = {ENOPROTOOPT, ENOMEM, EINVAL, 0};
constexpr int kState[] = {ENOTCONN, ENOBUFS, 0};
constexpr int kFlock[] = {EINTR, ENOLCK, EWOULDBLOCK, 0};
constexpr int kControl[] = {EIO, ENOTTY, 0};
constexpr int kLimit[] = {EPERM, EINVAL, 0};
constexpr int kDup[] = {EMFILE, ENOLCK, 0};
constexpr int kEnough[] = {EAGAIN, ENOSYS, 0};
constexpr int kFork[] = {EAGAIN, ENOMEM, 0};
constexpr int kNone[] = {0};

}  // namespace

const int* errors_of(Call call) {
  switch (call) {
    case Call::read: return kIo;
    case Call::recv: return kPacket;
    case Call::pread: return kOfFile;
    case Call::write:
    case Call::send: return kWrite;
    case Call::recvmsg:
    case Call::sendmsg: return kMessage;
    case Call::accept4: return kAccept;
    case Call::connect: return kConnect;
    case Call::socket:
    case Call::pipe:
    case Call::epoll_create1: return kSocket;
    case Call::bind:
    case Call::listen: return kBind;
    case Call::open: return kOpen;
    case Call::access:
    case Call::stat:
    case Call::unlink:
    case Call::mkfifo:
    case Call::getcwd: return kPath;
    case Call::fstat:
    case Call::ftruncate:
    case Call::lseek: return kOfFile;
    case Call::epoll_wait:
    case Call::poll:
    case Call::nanosleep: return kWait;
    case Call::epoll_ctl: return kEpoll;
    case Call::mmap:
    case Call::getifaddrs: return kNoMemory;
    case Call::close: return kClose;
    case Call::getsockopt:
    case Call::setsockopt:
    case Call::sockatmark: return kOption;
    case Call::shutdown:
    case Call::getsockname:
    case Call::getpeername: return kState;
    case Call::flock: return kFlock;
    case Call::ioctl:
    case Call::tcgetattr:
    case Call::tcsetattr: return kControl;
    case Call::setrlimit:
    case Call::getrlimit: return kLimit;
    case Call::fcntl: return kDup;
    case Call::getrandom: return kEnough;
    case Call::fork: return kFork;
    case Call::sigaction:
    case Call::gethostname:
    case Call::count_: return kNone;
  }
  return kNone;
}

bool costs_nothing(Call call, int error) {
  switch (call) {
    case Call::recv: return true;  // of the helper: it is tried again
    case Call::read:
    case Call::write:
    case Call::accept4:
    case Call::recvmsg: return error == EINTR || error == EAGAIN;
    case Call::epoll_wait:
    case Call::poll:
    case Call::close: return error == EINTR;
    case Call::epoll_ctl: return true;
    default: return false;
  }
}

Gate::Gate(Call call, int fd) {
  Process& p = *current;
  ++p.calls;
  world->note(static_cast<uint64_t>(call) << 32 | static_cast<uint32_t>(fd), static_cast<uint64_t>(world->now));
  if (p.random.below(4) == 0) ++world->now;
  if (++p.calls_of_turn > kMostCalls) p.crash("makes calls for ever without waiting");
  Faults& f = p.faults;
  ++f.count;
  if (f.recording) f.calls.push_back({place_of(call), f.count, call, p.started});
  if (f.count != f.number) return;
  f.done = true;
  f.done_at_start = !p.started;
  f.what = call;
  error_ = f.error;
  SIM_TRACE("%d %s(%d) fails with %d\n", p.number(), name(call), fd, error_);
}

}  // namespace simos
