// The lossy line of the moment: frames that are being written, bytes that were read, and what must be sent or asked for again.
//
// Owner: Mux, which has one if MuxConfig::lines says so. Invariant: the next frames are made when the ones before are
// written, so that nothing but they is ahead of a key press. Pure data. Read next: mux_line.cc, line.h.
#ifndef SOCKMUX_CORE_MUX_LINE_LINK_H
#define SOCKMUX_CORE_MUX_LINE_LINK_H

#include "core/base/clock.h"
#include "core/mux/line.h"

namespace smx {

struct LineLink {
  static constexpr size_t kMostFrames = 8;        // in one write
  static constexpr uint64_t kWindow = 32767;      // numbered bytes on their way: off and ack have 16 bits
  static constexpr uint32_t kJudged = 32;         // frames after which the size is looked at
  static constexpr uint32_t kMostShort = 4;       // short frames in a row while bulk waits

  uint8_t out[kMostFrames * kLineFrame + 1];  // the 0x00 in front of the first one on an idle line
  size_t out_size = 0, out_sent = 0;
  uint8_t in[1024];
  LineDecoder decoder;

  size_t frame = kLineFrame;       // line bytes of a frame, at most
  uint64_t high = 0;               // behind the last numbered byte that was ever sent in this session
  uint32_t judged = 0, again = 0;  // of the last frames with numbered bytes: all, and those sent again
  bool short_one = false;          // the next frame holds something that must not wait for the rest of a long one
  uint32_t shorts = 0;             // such ones in a row
  bool idle = true;                // nothing has been written since the last gather()
  bool ack_due = false;            // a frame must go, if only for its ack
  bool repeat_due = false;
  bool asked = false;              // REPEAT was sent, ...
  uint64_t asked_for = 0;          // ... for this byte, ...
  Time ask_again;                  // ... and is not sent again for it before, ...
  bool came_back = false;          // ... unless the peer has gone back to it, and it was lost again
  uint64_t last_off = 0;           // of the last good frame
  Time up_since;                   // when HELLO was said first
  Time stuck_at = kNever;          // all is sent and ack has not moved: ECHO
  Time echo_again_at = kNever;

  bool may_grow() const { return (!short_one && !repeat_due) || shorts >= kMostShort; }
  bool writes() const { return out_sent < out_size; }
};

}  // namespace smx

#endif
