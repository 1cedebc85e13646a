// In place of daemon_secure.cc where nothing can be sealed. Read next: daemon_secure.h.
#include "config/report.h"
#include "daemon.h"
#include "daemon_secure.h"

namespace smx {

uint64_t secure_arena_bytes(const Config& config, uint32_t links) { return (void)config, (void)links, 0; }
uint32_t secure_timers(const Config& config, uint32_t links) { return (void)config, (void)links, 0; }

int make_secure_side(const Config& config, const MuxConfig& mux, Reactor& reactor, Sessions& sessions, Arena& arena, SecureSide** out) {
  (void)mux, (void)reactor, (void)sessions, (void)arena, (void)out;
  for (const LinkSpec& l : config.links) {
    if (!l.secure) continue;
    Text<300> text(l.origin.word);
    say("", text.add(": this sockmuxd was built without secure links (make SECURE=sodium builds one with them)").text());
    return kExitConfig;
  }
  return 0;
}

}  // namespace smx
