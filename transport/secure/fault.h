// What can be wrong with a secure link: a code for each input that is not as it must be, never a string.
//
// Read next: message.h, records.h (who says which). Why not in core/base/result.h: a daemon without secure links needs
// none.
#ifndef SOCKMUX_TRANSPORT_SECURE_FAULT_H
#define SOCKMUX_TRANSPORT_SECURE_FAULT_H

#include <stdint.h>

namespace smx::secure {

enum class [[nodiscard]] Fault : uint8_t {
  none,
  // what comes in place of a handshake message
  clear_hello,     // the HELLO of a link that is not secure
  magic,           // not SMXS
  version,         // of the handshake, not ours
  type,            // a message that this side must not get
  length,          // N out of bounds
  code,            // a refusal with a code that does not exist
  mac1,            // who sent message 1 does not know our public key
  // Noise
  ephemeral,       // e gives an X25519 result of all zeros
  static_key,      // s of message 1 does not open
  weak_static,     // s of message 1 opens, and gives a result of all zeros
  payload,         // that of message 1 does not open
  answer,          // that of message 2 does not open: another PSK, another peer, or changed on the way
  // time
  no_message,      // message 1 has not come in time
  no_answer,       // nor message 2
  no_record,       // nor the first record
  // records
  record_length,   // L out of bounds
  record_large,    // larger than the memory that this record may have: the first one of an initiator
  record_forged,   // does not open
  epoch_overused,  // 2^20 records, and still the same key
  after_end,       // a record behind the last one
  cut_in_record,   // the stream ends within a record, ...
  cut,             // ... or between two, without the end record
};

// The words for the log: short, lower case, one line. Never nullptr.
const char* name(Fault f);

}  // namespace smx::secure

#endif
