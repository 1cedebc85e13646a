// What sockmuxctl dump asks for: packets of sessions are told to who watches, as lines over the control socket.
//
//   on_packet (a mux) -> ring of each dump that wants it -> lines, as fast as its client reads them
//
// Owner: Daemon. Invariants: while nobody watches no mux knows of this, and no ring is touched; what may not be seen is not put
// into a ring. Read next: core/mux/tap.h, tools/ctl/dump.cc (who reads it). Source: sockmuxctl(8), "The socket".
#ifndef SOCKMUX_DAEMON_DUMP_H
#define SOCKMUX_DAEMON_DUMP_H

#include "core/base/arena.h"
#include "core/control/control.h"
#include "core/mux/tap.h"
#include "core/session/sessions.h"

namespace smx {

class Peers;

class Dumps final : private MuxTap {
 public:
  static constexpr uint32_t kMost = 2;  // at once
  static constexpr size_t kRing = 256 * 1024;  // more than a link brings in one turn, data and all
  static constexpr size_t arena_bytes() { return kMost * (kRing + 64); }

  Dumps(Reactor& reactor, Sessions& sessions, Control& control) : reactor_(reactor), sessions_(sessions), control_(control) {}
  // False: the arena is too small.
  [[nodiscard]] bool init(Arena& arena);
  void set_peers(const Peers& peers) { peers_ = &peers; }

  // ControlCommand's two. `argument`: [payload=BYTES] [session=NUMBER | peer=NAME]
  bool answer(std::string_view argument, uint32_t* next, ControlReply& reply);
  void ended(uint32_t next);

 private:
  struct Dump {
    bool used = false;
    bool ends = false;  // only what is in the ring is still said
    uint8_t* memory = nullptr;
    TapRing ring;
    size_t payload = 0;
    uint32_t session = 0;  // 0: all, or those of `peer`
    Text<kPeerLabel> peer;
    // Of the record at the front: what has been said of it.
    bool lost_said = false, link_said = false;
    size_t bytes_said = 0;
    uint32_t named = 0;    // the session whose name and place were said last
    uint64_t packets = 0, lost = 0;
  };

  void on_packet(const TapPacket& p) override;
  bool wants(const Dump& d, const TapPacket& p);
  bool start(std::string_view argument, Dump& d, ControlReply& reply);
  bool say(Dump& d, ControlReply& reply);
  void say_lost(uint32_t n, ControlReply& reply);
  void say_session(uint32_t number, ControlReply& reply);

  Reactor& reactor_;
  Sessions& sessions_;
  Control& control_;
  const Peers* peers_ = nullptr;
  int64_t wall_ = 0;  // from our time to that of day, in microseconds
  Dump dump_[kMost];
};

}  // namespace smx

#endif
