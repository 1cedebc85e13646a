// Names of faults for the log. Read next: fault.h.
#include "transport/secure/fault.h"

namespace smx::secure {

const char* name(Fault f) {
  switch (f) {
    case Fault::none: return "no error";
    case Fault::clear_hello: return "clear SockMux on a secure port";
    case Fault::magic: return "not SockMux";
    case Fault::version: return "speaks another secure version";
    case Fault::type: return "handshake message out of order";
    case Fault::length: return "handshake message length out of bounds";
    case Fault::code: return "unknown refusal code";
    case Fault::mac1: return "does not know our public key";
    case Fault::ephemeral: return "weak ephemeral key";
    case Fault::static_key: return "handshake changed: its key does not open";
    case Fault::weak_static: return "weak static key";
    case Fault::payload: return "handshake changed: its payload does not open";
    case Fault::answer: return "the answer does not open: PSK= differs, or it was changed on the way";
    case Fault::no_message: return "no handshake in time";
    case Fault::no_answer: return "no answer to the handshake in time";
    case Fault::no_record: return "no record behind the handshake in time";
    case Fault::record_length: return "record length out of bounds";
    case Fault::record_large: return "first record too long";
    case Fault::record_forged: return "record does not open: changed on the way";
    case Fault::epoch_overused: return "too many records under one key";
    case Fault::after_end: return "record behind the end";
    case Fault::cut_in_record: return "cut in a record";
    case Fault::cut: return "cut without end";
  }
  return "unknown error";
}

}  // namespace smx::secure
