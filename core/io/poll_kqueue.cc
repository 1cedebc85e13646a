// kqueue(2): FreeBSD, OpenBSD, NetBSD, DragonFly, macOS.
//
// A wish is only noted, and goes to the kernel with the next wait: one call a turn for both. What the kernel refuses then is
// told as ready, since read() or write() says why, and is tried again.
//
// Invariants: a descriptor is in the list of changes at most once; the kernel watches what is `registered`, or less, since
// close(2) takes it out behind our back; a delete that comes too late for that fails, which changes nothing.
// Read next: poller.h; tests/kqueue (how it runs on Linux). Source: kqueue(2) of each of these systems.
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <sys/event.h>
#include <sys/time.h>
#include <time.h>

#include "core/base/check.h"
#include "core/io/poller.h"

namespace smx {

namespace {

using Event = struct kevent;  // there is a function of this name too

constexpr int kMost = 64;     // changes, and events, of one call
constexpr int kRetryMs = 50;  // until what was refused is tried again

struct Filter {
  uint8_t event;
  decltype(Event::filter) filter;
  decltype(Event::fflags) fflags;
  decltype(Event::data) data;
};
constexpr Filter kFilters[] = {
#if defined(__APPLE__)
    {kRead, EVFILT_READ, NOTE_LOWAT, 1},  // so that devices can be watched that do not count their bytes
#else
    {kRead, EVFILT_READ, 0, 0},
#endif
    {kWrite, EVFILT_WRITE, 0, 0},
#if defined(EVFILT_EXCEPT) && defined(NOTE_OOB)
    {kUrgent, EVFILT_EXCEPT, NOTE_OOB, 0},  // OpenBSD since 6.8, DragonFly, macOS. FreeBSD and NetBSD can't tell
#endif
};
constexpr int kFilterCount = static_cast<int>(sizeof kFilters / sizeof kFilters[0]);

uint8_t event_of(const Event& e) {
  for (const Filter& f : kFilters)
    if (f.filter == e.filter) return f.event;
  return 0;
}

// `udata` is a pointer; on NetBSD before 10 it is an intptr_t.
// NOLINTNEXTLINE(performance-no-int-to-ptr): it comes back as it was, and is no pointer
[[maybe_unused]] void put_tag(void** to, uint32_t tag) { *to = reinterpret_cast<void*>(static_cast<uintptr_t>(tag)); }
[[maybe_unused]] void put_tag(intptr_t* to, uint32_t tag) { *to = static_cast<intptr_t>(tag); }
[[maybe_unused]] uint32_t tag_of(void* udata) { return static_cast<uint32_t>(reinterpret_cast<uintptr_t>(udata)); }
[[maybe_unused]] uint32_t tag_of(intptr_t udata) { return static_cast<uint32_t>(udata); }

// By hand: EV_SET() is not C++ everywhere, and the types of the fields differ.
Event make_change(int fd, const Filter& f, bool add, uint32_t tag) {
  Event e{};
  e.ident = static_cast<decltype(e.ident)>(fd);
  e.filter = f.filter;
  e.flags = static_cast<decltype(e.flags)>(add ? EV_ADD : EV_DELETE);
  e.fflags = f.fflags;
  e.data = f.data;
  put_tag(&e.udata, tag);
  return e;
}

// NetBSD counts in size_t.
template <typename Count>
int call(int (*function)(int, const Event*, Count, Event*, Count, const timespec*), int fd, const Event* change, int changes, Event* event,
         int limit, const timespec* time) {
  return function(fd, change, static_cast<Count>(changes), event, static_cast<Count>(limit), time);
}

int open_queue(Fd* out) {
  *out = Fd(::kqueue());
  // kqueue1(2) and kqueuex(2) would do both at once; few have one of them, and nobody forks in between.
  return out->valid() && fcntl(out->get(), F_SETFD, FD_CLOEXEC) == 0 ? 0 : errno;
}

// What is wanted of the kernel, and what it knows of that.
struct Queue {
  struct Watch {
    uint32_t tag;
    uint8_t wanted;
    uint8_t registered;
    uint8_t flags;
  };
  static constexpr uint8_t kListed = 1;   // in the list of changes
  static constexpr uint8_t kAnew = 2;     // add all that is wanted: with another tag, or what the kernel has forgotten
  static constexpr uint8_t kRefused = 4;  // the last time
  static constexpr uint8_t kEnded = 8;    // no urgent byte comes any more

  Watch* watch = nullptr;
  uint32_t* list = nullptr;   // descriptors whose wish the kernel does not know yet
  uint32_t* place = nullptr;  // descriptor -> index of its event in this wait
  uint32_t count = 0;         // of list
  bool refused = false;       // something was, the last time

  void note(int fd, uint8_t events, uint32_t tag, bool anew);
  int gather(Event* change, int limit, bool rest, bool* more);
  bool refuse(const Event& e, int error);
  int take(const Event& e, PollEvent* out, int n);

 private:
  static uint8_t wish(const Watch& w) { return static_cast<uint8_t>((w.flags & kEnded) != 0 ? w.wanted & ~kUrgent : w.wanted); }
};

void Queue::note(int fd, uint8_t events, uint32_t tag, bool anew) {
  Watch& w = watch[fd];
  if (anew || w.tag != tag) w.flags = static_cast<uint8_t>((w.flags & kListed) | kAnew);
  w.wanted = events;
  w.tag = tag;
  if ((w.flags & kListed) != 0) return;
  w.flags |= kListed;
  list[count++] = static_cast<uint32_t>(fd);
}

// Fills `change` from the list; returns how many. `rest`: not those who were refused; `more`: not all of the others fitted.
int Queue::gather(Event* change, int limit, bool rest, bool* more) {
  int n = 0;
  uint32_t kept = 0;
  *more = false;
  for (uint32_t i = 0; i < count; ++i) {
    const uint32_t fd = list[i];
    Watch& w = watch[fd];
    const bool rests = rest && (w.flags & kRefused) != 0;
    if (rests || n + kFilterCount > limit) {
      *more = *more || !rests;
      list[kept++] = fd;
      continue;
    }
    const uint8_t wanted = wish(w);
    const uint8_t known = (w.flags & kAnew) != 0 ? 0 : w.registered;
    const uint8_t before = w.registered;
    w.registered = 0;
    for (const Filter& f : kFilters) {
      if ((wanted & f.event) == 0) {
        if ((before & f.event) != 0) change[n++] = make_change(static_cast<int>(fd), f, false, w.tag);
        continue;
      }
      if ((known & f.event) == 0) change[n++] = make_change(static_cast<int>(fd), f, true, w.tag);
      w.registered |= f.event;
    }
    w.flags &= kEnded;
  }
  count = kept;
  return n;
}

// The change `e` was not made. True: it is to be told as ready.
bool Queue::refuse(const Event& e, int error) {
  const int fd = static_cast<int>(e.ident);
  Watch& w = watch[fd];
  const uint8_t event = event_of(e);
  if (w.tag != tag_of(e.udata) || (wish(w) & event) == 0) return false;  // a delete
  w.registered &= static_cast<uint8_t>(~event);
  note(fd, w.wanted, w.tag, false);
  w.flags |= kRefused;
  refused = true;
  // EPIPE (NetBSD: EBADF): it is a pipe, and its reader has gone. EINVAL: such a file can't be watched at all.
  return error != ENOMEM;
}

// Adds what `e` says to the `n` events in `out`, where a descriptor has one; returns how many there are then.
int Queue::take(const Event& e, PollEvent* out, int n) {
  const int fd = static_cast<int>(e.ident);
  const uint32_t tag = tag_of(e.udata);
  Watch& w = watch[fd];
  uint8_t ready = event_of(e);
  if ((e.flags & EV_ERROR) != 0) {
    if (!refuse(e, static_cast<int>(e.data))) return n;
  } else if ((w.wanted & ready) == 0) {
    // Its delete has failed.
    w.registered |= ready;
    note(fd, w.wanted, w.tag, false);
    return n;
#if defined(NOTE_OOB)
  } else if (ready == kUrgent && (e.fflags & NOTE_OOB) == 0) {
    // The end of the stream, which macOS tells for ever here; who reads hears of it by EVFILT_READ.
    w.flags |= kEnded;
    note(fd, w.wanted, w.tag, false);
    return n;
#elif defined(EV_OOBAND)
  } else if (ready == kRead && (e.flags & EV_OOBAND) != 0) {
    ready |= kUrgent;  // older macOS, to who reads
#endif
  }
  const uint32_t at = place[fd];
  if (at < static_cast<uint32_t>(n) && out[at].fd == fd && out[at].tag == tag) {
    out[at].ready |= ready;
    return n;
  }
  place[fd] = static_cast<uint32_t>(n);
  out[n].fd = fd;
  out[n].tag = tag;
  out[n].ready = ready;
  return n + 1;
}

Queue& queue(void* set) { return *static_cast<Queue*>(set); }

}  // namespace

const char* Poller::name() { return "kqueue"; }

int Poller::open(Arena& arena, uint32_t max_fds) {
  s_.capacity = max_fds;
  Queue* q = arena.create<Queue>();
  if (q == nullptr) return ENOMEM;
  s_.set = q;
  q->watch = arena.raw<Queue::Watch>(max_fds);
  q->list = arena.raw<uint32_t>(max_fds);
  q->place = arena.raw<uint32_t>(max_fds);
  if (q->watch == nullptr || q->list == nullptr || q->place == nullptr) return ENOMEM;
  return open_queue(&s_.handle);
}

// A child has no queue (kqueue(2)), and the number of ours is free in it.
int Poller::forked() {
  (void)s_.handle.release();
  Queue& q = queue(s_.set);
  for (uint32_t fd = 0; fd < s_.capacity; ++fd) {
    Queue::Watch& w = q.watch[fd];
    w.registered = 0;
    if (w.wanted != 0) q.note(static_cast<int>(fd), w.wanted, w.tag, true);
  }
  return open_queue(&s_.handle);
}

// Anew: the number may have been that of a file that was closed without a word to us.
int Poller::add(int fd, uint8_t events, uint32_t tag) {
  queue(s_.set).note(fd, events, tag, true);
  return 0;
}

int Poller::change(int fd, uint8_t events, uint32_t tag) {
  queue(s_.set).note(fd, events, tag, false);
  return 0;
}

void Poller::remove(int fd, bool closing) {
  Queue::Watch& w = queue(s_.set).watch[fd];
  if (!closing) return queue(s_.set).note(fd, 0, w.tag, false);
  w.wanted = w.registered = 0;  // close(2) deletes all events of a descriptor
}

int Poller::wait(PollEvent* out, int limit, int timeout_ms) {
  Queue& q = queue(s_.set);
  Event change[kMost], event[kMost];
  if (limit > kMost) limit = kMost;
  SMX_CHECK(limit >= kFilterCount);
  // Who was refused has every second wait, and the one between is short: by failures alone we would never sleep.
  const bool rest = q.refused;
  q.refused = false;
  bool more = false;
  const int changes = q.gather(change, limit, rest, &more);
  if (rest && (timeout_ms < 0 || timeout_ms > kRetryMs)) timeout_ms = kRetryMs;
  if (more) timeout_ms = 0;
  timespec time{};
  time.tv_sec = timeout_ms / 1000;
  time.tv_nsec = timeout_ms % 1000 * 1000000L;
  // There is room for the error of each change: else the first one would end the call, and those behind it be lost.
  const int got = call(::kevent, s_.handle.get(), change, changes, event, limit, timeout_ms < 0 ? nullptr : &time);
  // An interrupted call has made its changes. Source: FreeBSD's kqueue(2), "ERRORS"; the others do the same.
  if (got < 0 && errno != EINTR) {
    SMX_CHECK(errno != EBADF);  // who has closed it, or has not called forked()?
    for (int i = 0; i < changes; ++i) (void)q.refuse(change[i], ENOMEM);
  }
  int n = 0;
  for (int i = 0; i < got; ++i) n = q.take(event[i], out, n);
  return n;
}

}  // namespace smx
