// What tests may ask of the emulation of kqueue(2), beyond what the system call can do.
//
// Read next: kqueue_over_poll.cc.
#ifndef SOCKMUX_TESTS_KQUEUE_KQUEUE_OVER_POLL_H
#define SOCKMUX_TESTS_KQUEUE_KQUEUE_OVER_POLL_H

namespace smxtest {

// Fill in `data` (bytes, or who waits to be accepted) and, at EV_EOF, the socket's error. Off in a daemon: it takes ioctl(2),
// which the sandbox does not let it have, and getsockopt(2) takes the error away from who looks for it later.
extern bool kqueue_tells_details;

// Each EV_ADD fails with this errno, as long as it is not 0.
extern int kqueue_refuses;

// kevent(2) has been called so many times, in all.
extern unsigned long kevent_calls;

}  // namespace smxtest

#endif
