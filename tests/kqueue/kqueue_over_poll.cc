// kqueue(2) over poll(2), for Linux: so that core/io/poll_kqueue.cc runs where there is no BSD. `make POLLER=kqueue` links it.
//
// It keeps to the rules of the manual pages; where these leave room, it does what the kernels do:
//   close(2) and dup2(2) take a descriptor out, without a word: both are ours here, so that we see it (a number that comes
//     back is another file, with no events)
//   a child of fork(2) has no queue: its number is free there
//   errors of changes are told alone, before any event; without room for one, the call fails and the changes behind it are lost
//   EVFILT_WRITE of a pipe without a reader: EPIPE (FreeBSD); of a plain file: EINVAL
//   EVFILT_EXCEPT also tells, without NOTE_OOB, the end of the stream (macOS)
//   of more events than fit, those come first the next time that were left out
// Not so: EV_CLEAR sees a change only if there are other conditions, or more bytes, than the last time; no filters but these
// three; one thread. Invariant: no heap, and no system call that a daemon in its sandbox may not make.
// Read next: kqueue_over_poll.h, test_kqueue.cc. Source: kqueue(2) of FreeBSD, OpenBSD, NetBSD and macOS.
#include "tests/kqueue/kqueue_over_poll.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <sys/event.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

namespace smxtest {
bool kqueue_tells_details = false;
int kqueue_refuses = 0;
unsigned long kevent_calls = 0;
}  // namespace smxtest

using namespace smxtest;

namespace {

using Event = struct kevent;

constexpr int kQueues = 256;
constexpr uint32_t kFds = 1u << 17;
constexpr uint32_t kFilters = 3;
constexpr short kFilter[kFilters] = {EVFILT_READ, EVFILT_WRITE, EVFILT_EXCEPT};
constexpr short kAsked[kFilters] = {POLLIN | POLLRDHUP, POLLOUT, POLLPRI | POLLRDHUP};
constexpr short kHangUp[kFilters] = {POLLRDHUP | POLLHUP, POLLHUP, POLLRDHUP | POLLHUP | POLLERR};
constexpr unsigned short kKept = EV_ONESHOT | EV_CLEAR | EV_DISPATCH;
constexpr unsigned short kThere = 0x1000, kDisabled = EV_DISABLE;  // in Note::flags

struct Note {
  void* udata;
  uint32_t fflags;
  int32_t low_water;
  int32_t seen_data;
  unsigned short flags;
  short seen;  // EV_CLEAR: the conditions that were told last
};

struct Queue {
  int fd = -1;
  Note (*note)[kFilters] = nullptr;  // by descriptor
  pollfd* set = nullptr;             // ~fd: nothing of it is asked for
  uint32_t* where = nullptr;         // by descriptor: index in set + 1
  uint32_t count = 0;
  uint32_t begin = 0;                // of the notes of all in set: where to look first
};
Queue queues[kQueues];

constexpr size_t kBytes = kFds * (sizeof(Note) * kFilters + sizeof(pollfd) + sizeof(uint32_t));

Queue* find_queue(int fd) {
  for (Queue& q : queues)
    if (fd >= 0 && q.fd == fd) return &q;
  return nullptr;
}

void end_queue(Queue& q) {
  (void)munmap(q.note, kBytes);
  q = Queue();
}

void in_child() {
  for (Queue& q : queues) {
    if (q.fd < 0) continue;
    (void)syscall(SYS_close, q.fd);
    end_queue(q);
  }
}

// What poll(2) is asked for `fd`; a descriptor without notes leaves the set.
void refresh(Queue& q, uint32_t fd) {
  bool there = false;
  int asked = 0;
  for (uint32_t k = 0; k < kFilters; ++k) {
    const unsigned short flags = q.note[fd][k].flags;
    there = there || (flags & kThere) != 0;
    if ((flags & kThere) != 0 && (flags & kDisabled) == 0) asked |= kAsked[k];
  }
  if (there && q.where[fd] == 0) q.where[fd] = ++q.count;
  if (q.where[fd] == 0) return;
  const uint32_t at = q.where[fd] - 1;
  if (there) {
    q.set[at] = {asked != 0 ? static_cast<int>(fd) : ~static_cast<int>(fd), static_cast<short>(asked), 0};
    return;
  }
  q.where[fd] = 0;
  --q.count;
  if (at == q.count) return;
  q.set[at] = q.set[q.count];
  const int moved = q.set[at].fd;
  q.where[moved < 0 ? ~moved : moved] = at + 1;
}

void forget(int fd) {
  for (Queue& q : queues) {
    if (q.fd < 0 || fd < 0 || static_cast<uint32_t>(fd) >= kFds || q.where[fd] == 0) continue;
    for (Note& n : q.note[fd]) n = Note();
    refresh(q, static_cast<uint32_t>(fd));
  }
}

bool is_socket(int fd) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0;
}

// lseek(2) first: in the sandbox no descriptor comes further.
bool is_plain(int fd) {
  struct stat s;
  return lseek(fd, 0, SEEK_CUR) >= 0 && fstat(fd, &s) == 0 && S_ISREG(s.st_mode);
}

// Can this filter be put on that file? 0 or errno.
int attach(int fd, uint32_t k) {
  if (kqueue_refuses != 0) return kqueue_refuses;
  const bool socket = is_socket(fd);
  if (kFilter[k] == EVFILT_EXCEPT && !socket) return EINVAL;
  if (kFilter[k] != EVFILT_WRITE || socket) return 0;
  if (is_plain(fd)) return EINVAL;
  pollfd p{fd, POLLOUT, 0};
  return poll(&p, 1, 0) > 0 && (p.revents & POLLERR) != 0 ? EPIPE : 0;
}

// 0 or errno.
int apply(Queue& q, const Event& c) {
  uint32_t k = 0;
  while (k < kFilters && kFilter[k] != c.filter) ++k;
  if (k == kFilters) return EINVAL;
  if (c.ident >= kFds) return c.ident > 0x7fffffff ? EBADF : ENOMEM;
  const int fd = static_cast<int>(c.ident);
  if (fcntl(fd, F_GETFD) < 0) return EBADF;
  Note& n = q.note[fd][k];
  if ((n.flags & kThere) == 0) {
    if ((c.flags & EV_ADD) == 0) return ENOENT;
    const int error = attach(fd, k);
    if (error != 0) return error;
  }
  if ((c.flags & EV_DELETE) != 0) {
    n = Note();
    refresh(q, static_cast<uint32_t>(fd));
    return 0;
  }
  if ((c.flags & EV_ADD) != 0) {
    const unsigned short disabled = n.flags & kDisabled;
    n = Note();
    n.udata = c.udata;
    n.fflags = c.fflags;
    n.low_water = static_cast<int32_t>(c.data);
    n.flags = static_cast<unsigned short>(kThere | (c.flags & kKept) | disabled);
  }
  if ((c.flags & EV_DISABLE) != 0) n.flags |= kDisabled;
  else if ((c.flags & (EV_ENABLE | EV_ADD)) != 0) n.flags &= static_cast<unsigned short>(~kDisabled);
  refresh(q, static_cast<uint32_t>(fd));
  return 0;
}

// `data` of an event: who waits to be accepted, bytes to read, or room to write.
int32_t count_data(int fd, uint32_t k) {
  int n = 0;
  socklen_t size = sizeof n;
  int listens = 0;
  if (getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && listens != 0) {
    tcp_info info{};
    size = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 ? static_cast<int32_t>(info.tcpi_unacked) : 1;
  }
  if (kFilter[k] != EVFILT_WRITE) return ioctl(fd, FIONREAD, &n) == 0 ? n : 0;
  if (!is_socket(fd)) {
    const int room = fcntl(fd, F_GETPIPE_SZ);
    return room > 0 && ioctl(fd, FIONREAD, &n) == 0 ? room - n : 1;
  }
  int room = 0;
  size = sizeof room;
  return getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, &size) == 0 && ioctl(fd, TIOCOUTQ, &n) == 0 && room > n ? room - n : 1;
}

int take_error(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size) == 0 ? error : 0;
}

// Is there something to tell of this note? Fills `e` then.
bool fires(Note& n, int fd, uint32_t k, short revents, Event* e) {
  const short now = static_cast<short>(revents & (kAsked[k] | POLLHUP | POLLERR));
  if (now == 0) {
    n.seen = 0;
    return false;
  }
  char byte;
  if (kFilter[k] == EVFILT_READ && (now & POLLIN) != 0 && is_plain(fd) && pread(fd, &byte, 1, lseek(fd, 0, SEEK_CUR)) <= 0) return false;
  *e = Event();
  e->ident = static_cast<uintptr_t>(fd);
  e->filter = kFilter[k];
  e->flags = n.flags & kKept;
  e->udata = n.udata;
  e->data = kqueue_tells_details ? count_data(fd, k) : 0;
  const bool eof = (now & kHangUp[k]) != 0 || ((now & POLLERR) != 0 && !is_socket(fd));
  const bool low = kqueue_tells_details && (n.fflags & NOTE_LOWAT) != 0 && e->data < n.low_water;
  if (kFilter[k] == EVFILT_EXCEPT) {
    if ((now & POLLPRI) != 0) e->fflags = NOTE_OOB;
    else if (!eof) return false;
  } else if (low && !eof) {
    return false;
  }
  if ((n.flags & EV_CLEAR) != 0) {
    const bool same = n.seen == now && e->data <= n.seen_data;
    n.seen = now;
    n.seen_data = static_cast<int32_t>(e->data);
    if (same) return false;
  }
  if (eof) e->flags |= EV_EOF;
  if (eof && kqueue_tells_details && is_socket(fd)) e->fflags |= static_cast<uint32_t>(take_error(fd));
  return true;
}

int collect(Queue& q, Event* event, int limit) {
  const uint32_t all = q.count * kFilters;
  int n = 0;
  uint32_t at = q.begin < all ? q.begin : 0;
  for (uint32_t looked = 0; looked < all && n < limit; ++looked, at = at + 1 == all ? 0 : at + 1) {
    const pollfd& p = q.set[at / kFilters];
    if (p.fd < 0 || p.revents == 0) continue;
    Note& note = q.note[p.fd][at % kFilters];
    if ((note.flags & kThere) == 0 || (note.flags & kDisabled) != 0) continue;
    if (fires(note, p.fd, at % kFilters, p.revents, &event[n])) ++n;
  }
  q.begin = at;
  for (int i = 0; i < n; ++i) {
    if ((event[i].flags & (EV_ONESHOT | EV_DISPATCH)) == 0) continue;
    Event c{};
    c.ident = event[i].ident;
    c.filter = event[i].filter;
    c.flags = (event[i].flags & EV_ONESHOT) != 0 ? EV_DELETE : EV_DISABLE;
    (void)apply(q, c);
  }
  return n;
}

int64_t clock_ns() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000000 + t.tv_nsec;
}

timespec time_of(int64_t ns) {
  timespec t{};
  t.tv_sec = static_cast<decltype(t.tv_sec)>(ns / 1000000000);
  t.tv_nsec = static_cast<decltype(t.tv_nsec)>(ns % 1000000000);
  return t;
}

int scan(Queue& q, Event* event, int limit, const timespec* timeout) {
  const int64_t end = timeout == nullptr ? -1 : clock_ns() + static_cast<int64_t>(timeout->tv_sec) * 1000000000 + timeout->tv_nsec;
  for (;;) {
    const int64_t now = end < 0 ? 0 : clock_ns();
    const timespec left = time_of(end < 0 || end < now ? 0 : end - now);
    const int ready = ppoll(q.set, q.count, end < 0 ? nullptr : &left, nullptr);
    if (ready < 0) return -1;
    const int n = ready > 0 ? collect(q, event, limit) : 0;
    if (n > 0 || (end >= 0 && clock_ns() >= end)) return n;
    // Ready, and nothing to tell: EV_CLEAR, NOTE_LOWAT, the end of a plain file.
    const timespec step = time_of(1000000);
    if (ppoll(nullptr, 0, &step, nullptr) < 0) return -1;
  }
}

}  // namespace

int kqueue(void) {
  static bool first = true;
  if (first) (void)pthread_atfork(nullptr, nullptr, in_child);
  first = false;
  Queue* q = nullptr;
  for (Queue& one : queues)
    if (one.fd < 0) q = &one;
  void* memory = q == nullptr ? MAP_FAILED : mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    errno = ENOMEM;
    return -1;
  }
  q->note = static_cast<Note(*)[kFilters]>(memory);
  q->set = reinterpret_cast<pollfd*>(q->note + kFds);
  q->where = reinterpret_cast<uint32_t*>(q->set + kFds);
  q->fd = eventfd(0, 0);  // never ready, and takes a number
  const int fd = q->fd;
  if (fd < 0) end_queue(*q);
  return fd;
}

int kevent(int kq, const struct kevent* changelist, int nchanges, struct kevent* eventlist, int nevents, const struct timespec* timeout) {
  ++kevent_calls;
  Queue* q = find_queue(kq);
  if (q == nullptr) {
    errno = EBADF;
    return -1;
  }
  int n = 0;
  for (int i = 0; i < nchanges; ++i) {
    const Event change = changelist[i];  // both lists may be the same
    const int error = apply(*q, change);
    if (error == 0 && (change.flags & EV_RECEIPT) == 0) continue;
    if (n == nevents) {
      if (error == 0) return 0;
      errno = error;
      return -1;
    }
    eventlist[n] = change;
    eventlist[n].flags = EV_ERROR;
    eventlist[n++].data = error;
  }
  return n > 0 || nevents == 0 ? n : scan(*q, eventlist, nevents, timeout);
}

extern "C" int close(int fd) {
  if (Queue* q = find_queue(fd)) end_queue(*q);
  else forget(fd);
  return static_cast<int>(syscall(SYS_close, fd));
}

extern "C" int dup2(int from, int to) {
  if (from == to) return fcntl(from, F_GETFD) < 0 ? -1 : to;
  if (Queue* q = find_queue(to)) end_queue(*q);
  else if (fcntl(from, F_GETFD) >= 0) forget(to);
  return static_cast<int>(syscall(SYS_dup3, from, to, 0));
}
