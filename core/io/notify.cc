// Read next: notify.h.
#include "core/io/notify.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "core/base/text.h"
#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/handed.h"

namespace smx {

namespace {

int notify_fd = -1;  // open as long as the process
Duration interval;
constexpr uint64_t kSoonest = 1000, kLatest = uint64_t{86400} * 1000000;  // of it, in us, whatever the environment says
bool stores = false;

// With `passed` not -1 the descriptor goes with it. False: lost, as in a full queue.
bool send_text(std::string_view text, int passed) {
  if (notify_fd < 0) return false;
  const IoResult r = passed >= 0 ? write_with_fds(notify_fd, text.data(), text.size(), &passed, 1) : write_fd(notify_fd, text.data(), text.size());
  return r.size == text.size() || r.error == ECONNREFUSED || r.error == ENOTCONN;  // nobody is there
}

}  // namespace

int open_notify() {
  const char* path = take_variable("NOTIFY_SOCKET");
  const char* usec = take_variable("WATCHDOG_USEC");
  const char* pid = take_variable("WATCHDOG_PID");
  uint64_t stored = 0, every = 0, whose = 0;
  const bool storing = number_in(take_variable("FDSTORE"), &stored) && stored > 0;
  if (path == nullptr || *path == 0) return 0;
  sockaddr_un to{};
  to.sun_family = AF_UNIX;
  const size_t size = strlen(path);
  if ((path[0] != '/' && path[0] != '@') || size < 2) return EINVAL;
  if (size >= sizeof to.sun_path) return ENAMETOOLONG;
  memcpy(to.sun_path, path, size);
  if (path[0] == '@') to.sun_path[0] = 0;  // no file: unix(7), "Abstract sockets"
  Fd fd(::socket(AF_UNIX, SOCK_DGRAM, 0));
  if (!fd.valid()) return errno;
  const int error = prepare_fd(fd.get());
  if (error != 0) return error;
  const size_t length = offsetof(sockaddr_un, sun_path) + size + (path[0] == '/' ? 1 : 0);
  while (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), static_cast<socklen_t>(length)) < 0)
    if (errno != EINTR) return errno;
  notify_fd = fd.release();
  stores = storing;
  // Nobody's in particular, or ours: sd_watchdog_enabled(3)
  const bool ours = pid == nullptr || (number_in(pid, &whose) && whose == static_cast<uint64_t>(getpid()));
  if (ours && number_in(usec, &every) && every > 0) interval.us = static_cast<int64_t>(every / 2 < kSoonest ? kSoonest : every / 2 > kLatest ? kLatest : every / 2);
  return 0;
}

bool has_notify() { return notify_fd >= 0; }
Duration watchdog_interval() { return interval; }

bool notify_ready() {
  Text<60> text("READY=1\nMAINPID=");
  return send_text(text.add_u(static_cast<uint64_t>(getpid())).text(), -1);
}

void notify_reloading() {
  Text<60> text("RELOADING=1\nMONOTONIC_USEC=");
  send_text(text.add_u(static_cast<uint64_t>(read_clock().us)).text(), -1);
}

void notify_stopping() { send_text("STOPPING=1", -1); }

void notify_status(std::string_view words) {
  Text<200> text("STATUS=");
  send_text(text.add_printable(words).text(), -1);
}

void notify_alive() { send_text("WATCHDOG=1", -1); }

bool can_store() { return notify_fd >= 0 && stores; }

void store_socket(int fd, std::string_view name) {
  Text<200> text("FDSTORE=1\nFDNAME=");
  send_text(text.add(name).text(), fd);
}

void forget_stored(std::string_view name) {
  Text<200> text("FDSTOREREMOVE=1\nFDNAME=");
  send_text(text.add(name).text(), -1);
}

}  // namespace smx
