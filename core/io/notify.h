// What who has started us wants to hear: datagrams to $NOTIFY_SOCKET, as systemd and its likes define them.
//
//   READY=1   STATUS=...   RELOADING=1   STOPPING=1   MAINPID=n   WATCHDOG=1   FDSTORE=1 with a socket
//
// Invariants: the socket is opened and connected at the start, while we may, and nothing here blocks or fails: what cannot be said is
// not said. Without $NOTIFY_SOCKET every call does nothing. Global as the log is, since whoever has something to say may say it.
// Called by the daemon alone. Read next: daemon_service.h. Source: sd_notify(3), sd_watchdog_enabled(3).
#ifndef SOCKMUX_CORE_IO_NOTIFY_H
#define SOCKMUX_CORE_IO_NOTIFY_H

#include <string_view>

#include "core/base/clock.h"

namespace smx {

// Reads NOTIFY_SOCKET, WATCHDOG_USEC, WATCHDOG_PID and FDSTORE, and takes them out of the environment: they are not for programs
// that we start. 0; EINVAL: NOTIFY_SOCKET is neither a path from / on nor @name; or errno.
int open_notify();
bool has_notify();
// How often a sign of life is wanted: half of WATCHDOG_USEC; 0: never.
Duration watchdog_interval();

// All is open, or read again. Also says our number, which a fork has changed. False: it was lost, and is to be said again.
bool notify_ready();
// The configuration is read again, until notify_ready(). With the time on the monotonic clock, which Type=notify-reload asks for.
void notify_reloading();
void notify_stopping();
// A line for people, in the manager's own status.
void notify_status(std::string_view text);
void notify_alive();

// May sockets be stored with the manager, who hands them back at the next start (FDSTORE)?
bool can_store();
// Stores `fd`; `name`: of letters, digits, '.', '-'. forget_stored() takes it out again.
void store_socket(int fd, std::string_view name);
void forget_stored(std::string_view name);

}  // namespace smx

#endif
