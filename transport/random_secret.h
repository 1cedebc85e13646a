// Where the secrets of a handshake come from: the kernel's random numbers.
//
// Read next: core/io/clock.h (fill_random()), transport/secure/handshake.h, which is told them.
#ifndef SOCKMUX_TRANSPORT_RANDOM_SECRET_H
#define SOCKMUX_TRANSPORT_RANDOM_SECRET_H

#include "core/io/clock.h"
#include "transport/secure/crypto.h"

namespace smx::secure {

// Fit for an ephemeral key.
inline Secret random_secret() {
  Secret out;
  fill_random(out.data(), kKey);
  return out;
}

}  // namespace smx::secure

#endif
