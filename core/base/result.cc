// Names of errors for the log. Read next: result.h.
#include "core/base/result.h"

#include "core/base/features.h"

namespace smx {

const char* name(Err e) {
  switch (e) {
    case Err::none: return "no error";
    case Err::bad_version: return "wrong protocol version";
    case Err::bad_type: return "unknown packet type";
    case Err::bad_length: return "packet length out of bounds";
    case Err::bad_id: return "channel number does not exist";
    case Err::bad_state: return "packet out of order";
    case Err::bad_field: return "bad field";
    case Err::bad_text: return "malformed text";
    case Err::credit_overrun: return "more data than credit";
    case Err::bad_ack: return "acknowledges what was never sent";
    case Err::encrypted: return "peer wants DeleGate's encryption (set SOXCONF=crypt:no there)";
    case Err::restarted: return "peer has started anew";
    case Err::own_echo: return "the link echoes our own bytes";
    case Err::wrong_dialect: return "peer speaks 0.3 only, and SOXCONF=proto:1 forbids it";
    case Err::speaks_secure: return "secure link on a clear port: SERVER=sockmuxs is needed here";
    case Err::said_bye: return "peer said goodbye";
    case Err::stale: return "late: a newer link of this peer has come before";
    case Err::session_broken: return "peer lacks packets that we do not have any more, or has some that we never sent";
    case Err::unframed: return kHasLossy ? "the peer makes no frames for a lossy line (set SOXCONF=line:clean on both sides or on none)" : "";
    case Err::busy: return "no place for another session (MAXIMA=links)";
    case Err::moved: return "belongs to another session";
    case Err::handshake_timeout: return "no handshake in time";
    case Err::silent: return "peer is silent";
  }
  return "unknown error";
}

}  // namespace smx
