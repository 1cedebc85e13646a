// The servers of a Config, as channels know them: by a handle that outlives a reload, if the server does.
//
//   free --a server of the Config--> used --match(): the next Config has it, too--> used
//    ^                                 +--match(): it has not--> gone --settle(), when its channels have ended--+
//    +-----------------------------------------------------------------------------------------------------------+
//
// Owner: Daemon; memory is set aside at the start, and not touched before it is needed. Invariants: what a used or gone one
// says of itself stays where it is; its spec is of the Config in force, or nullptr if it is gone. Pure. Read next: compare.h,
// rules.h (who asks).
#ifndef SOCKMUX_CONFIG_RELOAD_PLACES_H
#define SOCKMUX_CONFIG_RELOAD_PLACES_H

#include "config/config.h"
#include "core/base/arena.h"
#include "core/base/text.h"

namespace smx {

struct ServerPlace {
  const ServerSpec* spec = nullptr;  // nullptr: gone
  // Of an exec: where the command stood at the start, as the helper knows it.
  const char* command = nullptr;
  size_t command_size = 0;
  Text<32> label;
  Text<256> host;
  bool used = false;
};

class ServerPlaces {
 public:
  static uint64_t arena_bytes(size_t most) { return most * (sizeof(ServerPlace) + sizeof(ServerPlace*)) + 64; }
  // False: the arena is too small. `config` has at most `most` servers, whose commands live on.
  [[nodiscard]] bool init(const Config& config, size_t most, Arena& arena);

  // nullptr: it is not of this Config.
  const ServerPlace* find(const ServerSpec* spec) const;

  // Reload. First each server of `next` gets the place of the same one, and those that find none are gone; when no channel
  // knows these any more, the servers that are new get places. `next` has at most as many servers as there are places, and
  // no command that was not there at the start.
  void match(const Config& next);
  void settle(const Config& next);
  size_t added() const { return added_; }
  size_t removed() const { return removed_; }

 private:
  void take(const ServerSpec& spec, View<ServerSpec> known);

  View<ServerSpec> start_;
  ServerPlace* place_ = nullptr;
  ServerPlace** of_ = nullptr;  // match(): of each server of `next`
  size_t most_ = 0;
  size_t count_ = 0;  // from here on never used
  size_t added_ = 0, removed_ = 0;
};

}  // namespace smx

#endif
