// Calls on any descriptor: reading, writing, waiting. Read next: calls.h.
#include "tests/simos/calls.h"

#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <time.h>

#include "tests/simos/files.h"
#include "tests/simos/network.h"

using namespace simos;

namespace {

File* file_of(int fd) {
  File* f = current->file(fd);
  if (f == nullptr) errno = EBADF;
  return f;
}

ssize_t told(const char* what, int fd, ssize_t r) {
  SIM_TRACE("%d %s(%d) = %zd\n", current->number(), what, fd, r);
  world->note(static_cast<uint64_t>(fd), static_cast<uint64_t>(r));
  return fail_with(r);
}

// A call that would wait is a bug: the daemon never waits but for all at once. Only a new one waits for the one before it.
ssize_t checked(File* f, const char* what, ssize_t r) {
  if (r == -EAGAIN && (f->flags & O_NONBLOCK) == 0 && !may_wait(f)) current->crash(what);
  return r;
}

ssize_t write_to(File* f, const uint8_t* from, size_t n) {
  const ssize_t r = checked(f, "write(2) blocks", waited(f, POLLOUT, [&] { return f->write(from, n); }));
  if (r == -EPIPE && current->action[SIGPIPE].sa_handler != SIG_IGN) current->crash("SIGPIPE");
  return r;
}

// EPIPE is said of a connection alone that is no more, and had been ended by the other side before: else it is ECONNRESET.
int write_error(File* f, int error) {
  if (error != EPIPE || f->kind != File::Kind::tcp) return error;
  Tcp* t = static_cast<Tcp*>(f);
  if (t->state != Tcp::State::connected || !t->in->end_arrived) return ECONNRESET;
  t->break_off();
  return error;
}

}  // namespace

bool simos::may_wait(const File* f) { return f->kind == File::Kind::tcp && (f->flags & O_NONBLOCK) == 0 && static_cast<const Tcp*>(f)->patience > 0; }

extern "C" {

int sim_close(int fd) {
  const Gate gate(Call::close, fd);
  SIM_TRACE("%d close(%d)\n", current->number(), fd);
  const int r = current->close_fd(fd);  // also when it fails, as on Linux: close(2)
  if (r < 0) current->crash("closes a descriptor that is not open");
  return gate.error() != 0 ? refuse(gate.error()) : 0;
}

ssize_t sim_read(int fd, void* to, size_t n) {
  const Gate gate(Call::read, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  return told("read", fd, gate.error() != 0 ? -gate.error() : checked(f, "read(2) blocks", waited(f, POLLIN, [&] { return f->read(static_cast<uint8_t*>(to), n); })));
}

ssize_t sim_write(int fd, const void* from, size_t n) {
  const Gate gate(Call::write, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  const int error = write_error(f, gate.error());
  // The pipe of the signals is never full; what the log is told counts here, written or not.
  const bool own_pipe = f->kind == File::Kind::pipe && static_cast<PipeEnd*>(f)->node == nullptr;
  if (error != 0 && f->kind == File::Kind::log) (void)f->write(static_cast<const uint8_t*>(from), n);
  return told("write", fd, error != 0 && !own_pipe ? -error : write_to(f, static_cast<const uint8_t*>(from), n));
}

ssize_t sim_readv(int fd, const iovec* v, int count) {
  const Gate gate(Call::read, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return told("readv", fd, -gate.error());
  ssize_t all = 0;
  for (int i = 0; i < count; ++i) {
    if (v[i].iov_len == 0) continue;
    const ssize_t r = checked(f, "readv(2) blocks", f->read(static_cast<uint8_t*>(v[i].iov_base), v[i].iov_len));
    if (r < 0) {
      if (all == 0) all = r;
      break;
    }
    all += r;
    if (static_cast<size_t>(r) < v[i].iov_len) break;
  }
  return told("readv", fd, all);
}

// In one piece, as an application's bytes go into the kernel.
ssize_t sim_writev(int fd, const iovec* v, int count) {
  const Gate gate(Call::write, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  const int error = write_error(f, gate.error());
  if (error != 0) return told("writev", fd, -error);
  static std::vector<uint8_t> whole;
  whole.clear();
  for (int i = 0; i < count; ++i) whole.insert(whole.end(), static_cast<const uint8_t*>(v[i].iov_base), static_cast<const uint8_t*>(v[i].iov_base) + v[i].iov_len);
  return told("writev", fd, write_to(f, whole.data(), whole.size()));
}

int sim_fcntl(int fd, int command, ...) {
  va_list list;
  va_start(list, command);
  const int argument = va_arg(list, int);
  va_end(list);
  const Gate gate(Call::fcntl, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  switch (command) {
    case F_GETFL: return f->flags;
    case F_SETFL: return f->flags = argument, 0;
    case F_GETFD: return 0;
    case F_SETFD: return 0;
    case F_DUPFD_CLOEXEC: {
      const int copy = current->take_fd(f, argument);
      return copy < 0 ? refuse(EMFILE) : copy;
    }
    default: current->crash("fcntl(2) with what is not simulated");
  }
}

int sim_dup2(int fd, int to) {
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  if (fd != to) current->replace(to, f);
  return to;
}

int sim_ioctl(int fd, unsigned long request, ...) {
  va_list list;
  va_start(list, request);
  void* argument = va_arg(list, void*);
  va_end(list);
  const Gate gate(Call::ioctl, fd);
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (request == FIONREAD && f->kind == File::Kind::pipe) return *static_cast<int*>(argument) = static_cast<int>(static_cast<PipeEnd*>(f)->buffer.bytes.size()), 0;
  if (f->kind != File::Kind::terminal) return refuse(ENOTTY);
  Terminal* t = static_cast<Terminal*>(f);
  if (t->hung_up) return refuse(EIO);
  if (request == TIOCOUTQ) return *static_cast<int*>(argument) = static_cast<int>(t->queued()), 0;
  if (request == TIOCMGET) return *static_cast<int*>(argument) = TIOCM_CAR | TIOCM_CTS | TIOCM_DSR, 0;
  if (request == TIOCEXCL || request == TIOCNXCL) return 0;
  return refuse(ENOTTY);
}

// ---- waiting

int sim_epoll_create1(int flags) {
  (void)flags;
  const Gate gate(Call::epoll_create1);
  if (gate.error() != 0) return refuse(gate.error());
  struct EpollFile final : File {
    EpollFile() : File(Kind::epoll) {}
  };
  const int fd = current->take_fd(world->make<EpollFile>());
  return fd < 0 ? refuse(EMFILE) : fd;
}

int sim_epoll_ctl(int handle, int op, int fd, epoll_event* e) {
  const Gate gate(Call::epoll_ctl, fd);
  (void)handle;
  File* f = file_of(fd);
  if (f == nullptr) return -1;
  if (gate.error() != 0) return refuse(gate.error());
  if (f->kind == File::Kind::plain || f->kind == File::Kind::log || f->kind == File::Kind::null) return refuse(EPERM);
  auto& all = current->interests;
  size_t at = 0;
  while (at < all.size() && (all[at].fd != fd || all[at].file != f)) ++at;
  if (op == EPOLL_CTL_ADD && at < all.size()) return refuse(EEXIST);
  if (op != EPOLL_CTL_ADD && at == all.size()) return refuse(ENOENT);
  if (op == EPOLL_CTL_DEL) return all.erase(all.begin() + static_cast<ptrdiff_t>(at)), 0;
  if (op == EPOLL_CTL_ADD) all.push_back({});
  all[at] = {fd, f, e->events, e->data.u64};
  current->learn(f);
  return 0;
}

int sim_epoll_wait(int handle, epoll_event* out, int limit, int timeout) {
  const Gate gate(Call::epoll_wait, handle);
  Process& p = *current;
  if (gate.error() != 0) return refuse(gate.error());
  if (!p.wait(timeout < 0 ? INT64_MAX : world->now + Micros{timeout} * kMilli)) return refuse(EINTR);
  int n = 0;
  const size_t size = p.interests.size();
  p.begin = size == 0 ? 0 : (p.begin + 1) % static_cast<uint32_t>(size);
  for (size_t k = 0; k < size && n < limit; ++k) {
    const Process::Interest& i = p.interests[(p.begin + k) % size];
    const uint32_t r = i.file->ready() & (i.events | EPOLLHUP | EPOLLERR);
    if (r == 0) continue;
    out[n].events = r;
    out[n++].data.u64 = i.data;
    SIM_TRACE("%d   %d is ready: %x\n", p.number(), i.fd, r);
  }
  return n;
}

int sim_poll(pollfd* set, nfds_t count, int timeout) {
  const Gate gate(Call::poll);
  Process& p = *current;
  if (gate.error() != 0) return refuse(gate.error());
  std::vector<Process::Asked> files;
  for (nfds_t i = 0; i < count; ++i)
    if (set[i].fd >= 0) files.push_back({p.file(set[i].fd), set[i].events});
  if (timeout != 0 && !p.wait_for(std::move(files), timeout < 0 ? INT64_MAX : world->now + Micros{timeout} * kMilli)) return refuse(EINTR);
  int n = 0;
  for (nfds_t i = 0; i < count; ++i) {
    const File* f = p.file(set[i].fd);
    set[i].revents = static_cast<short>(f == nullptr ? POLLNVAL : static_cast<int>(f->ready()) & (set[i].events | POLLHUP | POLLERR));
    n += set[i].revents != 0;
  }
  return n;
}

int sim_nanosleep(const timespec* t, timespec* left) {
  (void)left;
  const Gate gate(Call::nanosleep);
  if (gate.error() != 0) return refuse(gate.error());
  const Micros until = world->now + t->tv_sec * kSecond + t->tv_nsec / 1000;
  while (world->now < until && current->wait_for({}, until)) {
  }
  return 0;
}

int sim_sched_yield() { return ++world->now, 0; }

}  // extern "C"
