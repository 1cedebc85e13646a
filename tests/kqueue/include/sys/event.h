// kqueue(2) where there is none: what core/io/poll_kqueue.cc and its tests need of <sys/event.h>. On Linux
// tests/kqueue/kqueue_over_poll.cc stands behind it.
//
// The fields have the types that they have on FreeBSD, and there is EVFILT_EXCEPT, as on OpenBSD. One of these makes it
// another system's, to see that poll_kqueue.cc compiles there (tests/test_build.sh): KQUEUE_OF_FREEBSD, KQUEUE_OF_OPENBSD,
// KQUEUE_OF_NETBSD9, KQUEUE_OF_NETBSD10, KQUEUE_OF_MACOS.
// Source: kqueue(2) of each of them.
#ifndef SOCKMUX_TESTS_KQUEUE_SYS_EVENT_H
#define SOCKMUX_TESTS_KQUEUE_SYS_EVENT_H

#pragma GCC system_header  // as the real one is: its function hides the struct's constructor
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(KQUEUE_OF_NETBSD9) || defined(KQUEUE_OF_NETBSD10)

#define EVFILT_READ 0U
#define EVFILT_WRITE 1U

struct kevent {
  uintptr_t ident;
  uint32_t filter;
  uint32_t flags;
  uint32_t fflags;
  int64_t data;
#if defined(KQUEUE_OF_NETBSD9)
  intptr_t udata;
#else
  void* udata;
#endif
};
#define KQUEUE_COUNT size_t

#else

#define EVFILT_READ (-1)
#define EVFILT_WRITE (-2)
#if defined(KQUEUE_OF_MACOS)
#define EVFILT_EXCEPT (-15)
#elif !defined(KQUEUE_OF_FREEBSD)
#define EVFILT_EXCEPT (-9)
#endif

struct kevent {
  uintptr_t ident;        // for these filters a descriptor
  short filter;
  unsigned short flags;
  unsigned int fflags;
#if defined(KQUEUE_OF_MACOS)
  intptr_t data;
#else
  int64_t data;
#endif
  void* udata;            // comes back as it was given
#if !defined(KQUEUE_OF_OPENBSD) && !defined(KQUEUE_OF_MACOS)
  uint64_t ext[4];
#endif
};
#define KQUEUE_COUNT int

#endif

// What to do
#define EV_ADD 0x0001       // or change
#define EV_DELETE 0x0002
#define EV_ENABLE 0x0004
#define EV_DISABLE 0x0008
// How
#define EV_ONESHOT 0x0010   // delete it when it has been told
#define EV_CLEAR 0x0020     // tell changes, not states
#define EV_RECEIPT 0x0040   // tell as EV_ERROR that it was done, with 0 in `data`
#define EV_DISPATCH 0x0080  // disable it when it has been told
// What came of it
#define EV_ERROR 0x4000     // errno in `data`
#define EV_EOF 0x8000       // with the socket's error, if there is one, in `fflags`
#if defined(KQUEUE_OF_MACOS)
#define EV_OOBAND 0x2000
#endif

// EVFILT_READ, EVFILT_WRITE: as many bytes as in `data`
#define NOTE_LOWAT 0x0001
// EVFILT_EXCEPT: urgent data
#if defined(KQUEUE_OF_OPENBSD)
#define NOTE_OOB 0x0004
#elif defined(EVFILT_EXCEPT)
#define NOTE_OOB 0x0002
#endif

extern "C" int kqueue(void);
extern "C" int kevent(int kq, const struct kevent* changelist, KQUEUE_COUNT nchanges, struct kevent* eventlist, KQUEUE_COUNT nevents,
                      const struct timespec* timeout);

#endif
