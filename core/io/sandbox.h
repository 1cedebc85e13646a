// What the daemon may still ask of the system once it has started: a table of system calls, made of what the configuration
// needs, and every other call ends the process.
//
//   sandbox_linux.cc   no_new_privs and a seccomp filter        sandbox_other.cc   OpenBSD: pledge(2), unveil(2); else nothing
//
// Called by the daemon only, when all is open and the helper (helper.h) runs, who stays outside. The Makefile takes one of
// the two files (SANDBOX). No Capsicum (FreeBSD): capability mode has no connect(2), bind(2) or open(2) by name at all, so
// that every outgoing connection would have to be made by a second process.
// Source: seccomp(2), prctl(2), pledge(2). Read next: daemon_process.cc, sandbox_linux.cc (the table).
#ifndef SOCKMUX_CORE_IO_SANDBOX_H
#define SOCKMUX_CORE_IO_SANDBOX_H

namespace smx {

// Beyond sockets, the poller, memory and the clock.
struct SandboxNeeds {
  bool programs = false;  // pipes and socket pairs for what the helper starts
  bool reads = false;     // files are read again
  bool fifos = false;     // FIFOs are opened
  bool devices = false;   // lines are opened, set and locked
  bool syslog = false;    // syslog(3) connects anew when its daemon has gone
  bool removes = false;   // PIDFILE, SOXCONF=control
  bool passes = false;    // descriptors go to the daemon that takes our place
  bool traps = false;     // a forbidden call is told of in the log before it ends the process
};

// No program that is started from now on gets more rights by being set-user-id; for ever, and for all children. 0 or errno.
int forbid_new_privileges();

// For ever. 0 or errno; ENOSYS: the kernel knows no filters.
int enter_sandbox(const SandboxNeeds& needs);

// What enter_sandbox() does in this build: "seccomp", "pledge", or "none".
const char* sandbox_name();

}  // namespace smx

#endif
