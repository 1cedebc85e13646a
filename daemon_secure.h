// The daemon's secure links: our key, the peers, what is put around dialers and doors. All that needs transport/secure is
// behind this; a daemon without it (SECURE=no) has daemon_clear.cc in place of daemon_secure.cc, and refuses.
//
// Owner: Daemon. Invariant: key and peers are read before privileges are dropped. Read next: transport/secure_door.h.
#ifndef SOCKMUX_DAEMON_SECURE_H
#define SOCKMUX_DAEMON_SECURE_H

#include "config/config.h"
#include "config/peers/links.h"
#include "config/peers/table.h"
#include "config/report.h"
#include "core/base/arena.h"
#include "core/io/reactor.h"
#include "core/session/sessions.h"

namespace smx {

class SecureSide {
 public:
  // Sets its tables aside, for `links` at once. False: the arena is too small.
  [[nodiscard]] virtual bool init(uint32_t links) = 0;
  // A dialer of secure links over one of clear ones; nullptr: the arena is too small.
  // `lossy`: its links change and drop bytes.
  virtual Dialer* around(Dialer& below, const LinkSpec& link, bool lossy) = 0;
  // Where links that were accepted show who they are.
  virtual LinkTaker& door() = 0;
  // The peers file that is in force.
  virtual const Peers& peers() const = 0;
  // HUP: reads it again. What changed for whom is lived by, but for channels: peers() has the old file, too, until
  // forget_old(). False: the file has an error, and nothing changes.
  virtual bool reload(Time now) = 0;
  virtual void forget_old() = 0;
  // What was wrong with the peers file when it was last read.
  virtual const Report& report() const = 0;
  // In the process that runs the loop, once: keeps keys out of swap and dumps, and out of all children from then on.
  virtual void protect() = 0;
  // Before that: children that are made meanwhile have no keys.
  virtual void hide(bool on) = 0;

 protected:
  ~SecureSide() = default;
};

// Of the arena and the timers, for `links` at once.
uint64_t secure_arena_bytes(const Config& config, uint32_t links);
uint32_t secure_timers(const Config& config, uint32_t links);
// Reads key and peers; `mux`, which outlives this, is how sessions speak, once that is known. 0, or an exit code, and the user
// was told. `sessions` get the links that were accepted. Nothing of the arena is taken before init().
int make_secure_side(const Config& config, const MuxConfig& mux, Reactor& reactor, Sessions& sessions, Arena& arena, SecureSide** out);

}  // namespace smx

#endif
