// Watching packets: who is told of each one that goes into the ring for the link or comes from it, and what may be seen of it.
//
//   Mux --on_packet--> MuxTap (daemon_dump.cc) --add--> TapRing --front, read, pop--> who shows them
//
// Invariants: what goes into the ring may be shown to anybody who may ask the daemon: no data of channels beyond what was asked
// for, and no session's id ever; the link never waits for who watches: what does not fit is counted. Pure.
// Read next: tap.cc, daemon_dump.cc. Source: sockmux(7), "Dumps"; sockmuxctl(8), "dump".
#ifndef SOCKMUX_CORE_MUX_TAP_H
#define SOCKMUX_CORE_MUX_TAP_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/clock.h"
#include "core/base/ring.h"
#include "core/mux/packet.h"

namespace smx {

struct TapPacket {
  uint32_t session = 0;  // as Mux::set_tap() was told
  Dialect dialect = Dialect::unknown;
  bool sent = false;     // else received
  Header header;
  // The payload: all of it, or nothing of a packet whose header is at fault. Valid during the call.
  const Bytes* piece = nullptr;
  int pieces = 0;
};

class MuxTap {
 public:
  // Sent: it is in the ring, and will be written when the link takes it. Nothing of the mux may be called from within.
  virtual void on_packet(const TapPacket& p) = 0;

 protected:
  ~MuxTap() = default;
};

// How many bytes of the payload, from its beginning, may be seen. `data`: of the data of channels that are in it.
size_t shown_bytes(const TapPacket& p, size_t data);

// SETTINGS: what stands in place of each byte of a session's id, and of fields that we don't know. An id of zeros, which is
// none, stays.
constexpr uint8_t kMasked = '*';
constexpr size_t kMostSettings = 230;
void mask_settings(uint8_t* payload, size_t size);

// Packets for one who watches.
class TapRing {
 public:
  struct Record {
    Time at;
    uint32_t session = 0;
    uint32_t lost = 0;   // packets between the one before and this one
    uint16_t shown = 0;  // bytes of the payload that are here
    Dialect dialect = Dialect::unknown;
    bool sent = false;
  };

  TapRing() = default;
  // `capacity` is a power of two; a packet with `data` of its bytes takes so many and 1,100 at most.
  TapRing(uint8_t* memory, size_t capacity) : ring_(memory, capacity) {}

  // False: there is no room, and it is counted as lost.
  bool add(const TapPacket& p, size_t data, Time at);
  // The oldest one; false: there is none.
  bool front(Record* out) const;
  // Of that one `size` bytes from `from` on: its header, and behind that what is shown of its payload.
  void read(size_t from, uint8_t* out, size_t size) const { ring_.copy_out(ring_.head() + sizeof(Record) + from, out, size); }
  void pop();
  bool empty() const { return ring_.used() == 0; }
  // Packets that were lost behind all that are in here; counts from 0 again.
  uint32_t take_lost();
  void clear();

 private:
  Ring ring_;
  uint32_t lost_ = 0;
};

}  // namespace smx

#endif
