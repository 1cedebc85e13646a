// How pure code says that something went wrong: a code, never a string. The words for it are made where it is logged.
//
// Read next: check.h (bugs), core/io/fd.h (errors of the system, with errno).
#ifndef SOCKMUX_CORE_BASE_RESULT_H
#define SOCKMUX_CORE_BASE_RESULT_H

#include <stdint.h>

namespace smx {

// What can be wrong. Each peer's fault has a name of its own, since the log shows it.
enum class [[nodiscard]] Err : uint8_t {
  none,
  // the peer's packets: sockmux(7)
  bad_version,        // first byte of a header is none of this link's dialect
  bad_type,           // no such packet type, and it must not be skipped
  bad_length,         // payload length outside of the limits of its type
  bad_id,             // a channel number that does not exist, or both or neither of the two are given
  bad_state,          // a packet that this channel or link must not get now
  bad_field,          // a field is missing, doubled, too short or too long
  bad_text,           // a text that must end with NUL, or have words, has not
  credit_overrun,     // more data than credit was given for, or credit of 2^31 and more
  bad_ack,            // acknowledges what was never sent
  encrypted,          // DeleGate's own encryption, which we neither offer nor accept
  restarted,          // HELLO on a link that is up: the peer has started anew
  own_echo,           // our own HELLO came back: the link loops
  wrong_dialect,      // SOXCONF=proto:1, and the peer speaks 0.3 only
  speaks_secure,      // a handshake of secure links in place of HELLO
  said_bye,           // the peer ended the link with BYE
  stale,              // an ask for a session that is older than another one that came before: a link given up, delivered late
  session_broken,     // what the peer says it has of the session is not what we have sent
  unframed,           // a lossy line, and the peer's HELLO comes without frames
  busy,               // no place for another session
  moved,              // no fault: the link belongs to another session of ours, which takes it
  // time
  handshake_timeout,  // no HELLO, or no answer, in time
  silent,             // nothing received, not even the answer to ECHO
};

// The words for the log: short, lower case, one line. Never nullptr.
const char* name(Err e);

}  // namespace smx

#endif
