// What a secure link does to the frames of a lossy line: the content of each is sealed before it gets its CRC-32C, and
// opened behind it. What is sent again is sealed anew.
//
// Owner: the link, which lends it to the mux by LinkStart::sealer. Invariant: the mux knows no cryptography, and no frame
// goes out, or counts as heard, but through here. Read next: mux_line.cc (who calls it), transport/secure/line_cipher.h.
#ifndef SOCKMUX_CORE_MUX_LINE_SEALER_H
#define SOCKMUX_CORE_MUX_LINE_SEALER_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/bytes.h"
#include "core/base/clock.h"

namespace smx {

class LineSealer {
 public:
  static constexpr size_t kOverhead = 20;  // bytes that sealing adds to a content

  enum class Got : uint8_t {
    content,
    aside,   // good, but nothing for the mux: of a handshake
    old,     // repeated, or overtaken
    forged,  // does not open: behind a right CRC that is somebody, not noise
  };
  // `out` gets content.size + kOverhead bytes; not in place. The size, or 0: there is no key for it, and the frame counts
  // as lost on the line.
  virtual size_t seal(Bytes content, uint8_t* out, Time now) = 0;
  // `out` gets at most block.size bytes, counted in *size. Must not call the mux, nor who owns it.
  virtual Got open(Bytes block, uint8_t* out, size_t* size, Time now) = 0;

 protected:
  ~LineSealer() = default;
};

}  // namespace smx

#endif
