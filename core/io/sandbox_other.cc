// OpenBSD: pledge(2) and unveil(2). Other systems: nothing. Read next: sandbox.h.
#include "core/io/sandbox.h"

#if defined(__OpenBSD__)
#include <errno.h>
#include <unistd.h>

#include "core/base/text.h"
#endif

namespace smx {

int forbid_new_privileges() { return 0; }  // pledge(2) has no exec, and the helper's programs are the user's own choice

#if defined(__OpenBSD__)

// A promise that is broken ends the process (SIGABRT). No promise has what a line needs (TIOCMGET, TIOCEXCL): without one
// there. syslog(3) is in stdio here.
int enter_sandbox(const SandboxNeeds& needs) {
  if (needs.devices) return ENOTSUP;
  // A FIFO or a peers file may lie anywhere, and is found again by its name. Else no file is left.
  const bool looks = needs.reads || needs.fifos || needs.removes || needs.programs;
  if (!looks && unveil("/", "") < 0) return errno;
  if (unveil(nullptr, nullptr) < 0) return errno;
  Text<120> promises("stdio inet route");  // route: getifaddrs(3)
  if (needs.programs || needs.passes) promises.add(" sendfd");
  if (looks) promises.add(" rpath");
  if (needs.fifos) promises.add(" wpath");
  if (needs.removes) promises.add(" cpath");
  return pledge(promises.c_str(), nullptr) < 0 ? errno : 0;
}

const char* sandbox_name() { return "pledge"; }

#else

int enter_sandbox(const SandboxNeeds& needs) {
  (void)needs;
  return 0;
}

const char* sandbox_name() { return "none"; }

#endif

}  // namespace smx
