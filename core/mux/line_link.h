// The lossy line of the moment: frames that are being written, bytes that were read, and what must be sent or asked for again.
//
// Owner: Mux, which has one if MuxConfig::lines says so. Invariant: the next frames are made when the ones before are
// written, so that nothing but they is ahead of a key press. Pure data. Read next: mux_line.cc, line.h, gaps.h.
#ifndef SOCKMUX_CORE_MUX_LINE_LINK_H
#define SOCKMUX_CORE_MUX_LINE_LINK_H

#include "core/base/clock.h"
#include "core/mux/gaps.h"
#include "core/mux/line.h"

namespace smx {

struct LineLink {
  static constexpr size_t kMostFrames = 8;        // in one write
  static constexpr uint64_t kWindow = 32767;      // numbered bytes on their way: off and ack have 16 bits
  static constexpr uint32_t kJudged = 32;         // frames after which the size is looked at
  static constexpr uint32_t kMostShort = 4;       // short frames in a row while bulk waits
  static constexpr int kMostAsked = 12;           // REPEATs in one gather()

  // Out
  uint8_t out[kMostFrames * kLineFrame + 1];  // the 0x00 in front of the first one on an idle line
  size_t out_size = 0, out_sent = 0;
  size_t frame = kLineFrame;       // line bytes of a frame, at most
  Ranges again;                    // what the peer lacks
  uint32_t judged = 0, repeated = 0;  // of the last frames with numbered bytes: all, and those sent again
  uint32_t shorts = 0;             // short frames in a row
  bool short_one = false;          // the next frame holds something that must not wait for the rest of a long one
  bool idle = true;                // nothing has been written since the last gather()
  bool ack_due = false;            // a frame must go, if only for its ack
  uint32_t mark = 0;               // of our frames; 0: not both sides mark them
  // In
  uint8_t in[1024];
  LineDecoder decoder;
  Gaps gaps;
  bool asks_for_tail = false;      // REPEAT of all behind seen() is due, ...
  bool asks_again = false;         // ... or of a gap that was asked for long ago
  // Time
  Time up_since;                   // when HELLO was said first
  Time tail_at = kNever;           // a bad frame, and nothing behind it: was it the last one?
  Time stuck_at = kNever;          // all is sent and ack has not moved: ECHO
  Time echo_again_at = kNever;

  bool hurries() const { return short_one || asks_for_tail || asks_again || gaps.has_new(); }
  bool writes() const { return out_sent < out_size; }
};

}  // namespace smx

#endif
