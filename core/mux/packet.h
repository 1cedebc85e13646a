// The packets of both dialects: header, types, limits; encode and decode.
//
//    0        1        2                4                6                8
//    +--------+--------+----------------+----------------+----------------+---------- ...
//    |version | type   | said           | raid           | payload length | payload
//    +--------+--------+----------------+----------------+----------------+---------- ...
//
// All integers are big-endian. Byte 0: 0x03 for all of dialect 0.3 and for HELLO; 0x10 (unnumbered) and 0x11
// (numbered) in SockMux 1.
// Invariant: nothing is read beyond the view, whatever the bytes are. Pure.
// Read next: mux.h. Source: sockmux(7), "Packet"; man/sockmux.7 holds every byte.
#ifndef SOCKMUX_CORE_MUX_PACKET_H
#define SOCKMUX_CORE_MUX_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/features.h"
#include "core/base/result.h"

namespace smx {

constexpr size_t kHeader = 8;
constexpr size_t kMaxPacket = 16384;  // header included; the same in both dialects
constexpr size_t kMaxPayload = kMaxPacket - kHeader;
constexpr size_t kMaxDatagram = 65507;  // UDP over IPv4; IPv6 could carry 20 bytes more, which are dropped
constexpr size_t kFirstPacket03 = 512;  // until the peer's PACKSIZE has come
constexpr uint16_t kNone = 0xffff;
constexpr uint16_t kNone03 = 0x00ff;  // how DeleGate, whose ids have 8 bits, writes "none"

constexpr uint8_t kVersion03 = 0x03;
constexpr uint8_t kVersion03Crypt = 0x83;  // DeleGate's encryption: refused
constexpr uint8_t kUnnumbered = 0x10;
constexpr uint8_t kNumbered = 0x11;

enum class Dialect : uint8_t { unknown, v03, v1 };
const char* name(Dialect d);  // "?", "0.3", "1"

enum class Type : uint8_t {
  noop = 0x00,
  hello = 0x01,
  connect = 0x02,
  bind = 0x04,
  send = 0x06,
  sendoob = 0x07,
  close = 0x08,
  echo = 0x09,
  setopt = 0x0a,
  crypton = 0x0c,
  unbind = 0x0e,
  settings = 0x10,
  ack = 0x11,
  repeat = 0x12,
  bye = 0x13,
  credit = 0x20,
  fin = 0x21,
  dgram = 0x22,
  part = 0x23,
  refund = 0x24,
  hellook = 0x41,
  connected = 0x42,
  bindok = 0x44,
  sent = 0x46,
  sentoob = 0x47,
  closed = 0x48,
  echook = 0x49,
};

struct Header {
  uint8_t version = 0;
  uint8_t type = 0;
  uint16_t said = 0;
  uint16_t raid = 0;
  uint16_t length = 0;  // of the payload
};

void encode_header(const Header& h, uint8_t out[kHeader]);
Header decode_header(const uint8_t in[kHeader]);

// What a header must satisfy in a dialect, from the table of limits: version byte, known type, payload length, and in
// dialect 1 which ids are given. Err::none also for a type that must be skipped (`*known` is false then).
Err check_header(const Header& h, Dialect d, bool* known);

// ---- texts of 0.3

// SETOPT codes; the first byte of its payload.
constexpr uint8_t kOptCrypt = 1;
constexpr uint8_t kOptConnData = 2;
constexpr uint8_t kOptPackSize = 3;

// "BUFSIZE CLIENT LOCAL" NUL, of CONNECT and CONNECTED. `used` is what stands before the first data, NUL included.
// Err::bad_text without NUL within the first 512 bytes, or with fewer than three words. An address that is none of an
// IP (a unix path, say) stays `none`.
Err parse_connect_text(Bytes payload, Address* a, Address* b, size_t* used);
// The same as bytes, NUL included; at most 128. BUFSIZE is 98304, as DeleGate writes it; nobody interprets it.
size_t make_connect_text(const Address& a, const Address& b, uint8_t out[128]);

// Decimal number NUL of SENT. Err::bad_text if it is not that, or above 2^31 - 1.
Err parse_count(Bytes payload, uint32_t* out);

// ---- HELLO

// "YYYYMMDD-HHMMSS.uuuuuu host smx/1:xxxxxxxx" NUL.
constexpr size_t kHelloText = 63;
constexpr size_t kHelloStamp = 23;
// Can a HELLO's text begin so? YYYYMMDD-HHMMSS.uuuuuu and a blank, as far as `text` goes.
bool may_be_hello_stamp(Bytes text);
struct HelloWord {
  bool present = false;
  uint32_t version = 0;
  uint32_t nonce = 0;
};
// The word at the end of a HELLO's text, if there is one. `payload` may lack the NUL.
HelloWord parse_hello_word(Bytes payload);

// ---- fields of SockMux 1: (type u8, length u8, value), to the end of the payload

class Fields {
 public:
  explicit Fields(Bytes payload) : cursor_(payload) {}
  // The next field; false at the end, or when a field does not fit (then ok() is false).
  bool next(uint8_t* type, Bytes* value);
  bool ok() const { return ok_; }

 private:
  Cursor cursor_;
  bool ok_ = true;
};

// Appends fields to a payload that is being made; CHECKs that they fit (the sender knows its sizes).
class FieldWriter {
 public:
  FieldWriter(uint8_t* out, size_t capacity) : out_(out), capacity_(capacity) {}
  void raw(const uint8_t* data, size_t n);
  void field(uint8_t type, const uint8_t* data, size_t n);
  void field16(uint8_t type, uint16_t v);
  void field32(uint8_t type, uint32_t v);
  void field64(uint8_t type, uint64_t v);
  void address(uint8_t type, const Address& a);
  size_t size() const { return size_; }

 private:
  uint8_t* out_;
  size_t capacity_;
  size_t size_ = 0;
};

// 04 + 4 + port, or 06 + 16 + port; 00 + text gives `none`. Err::bad_field otherwise.
Err parse_address_field(Bytes value, Address* out);

struct Settings {
  uint32_t answered_nonce = 0;
  bool has_attempt = false;
  uint8_t session[16] = {};
  uint64_t received = 0;
  uint64_t attempt = 0;
  uint32_t credit = 0;     // 512..1,048,576
  uint16_t channels = 0;
  uint16_t hold_s = 0;
  char peer_name[64] = {};  // NUL-terminated; empty: not given
  bool marks = false;       // frames of a lossy line are marked: line.h
};
constexpr uint32_t kMinCredit = 512;
constexpr uint32_t kMaxCredit = 1048576;
// Err::bad_field if a required field is missing, doubled, of wrong length or out of its bounds; unknown fields below
// 0x80 are skipped.
Err parse_settings(Bytes payload, Settings* out);
size_t make_settings(const Settings& s, uint8_t* out, size_t capacity);

struct OpenInfo {
  Address client;  // none: unknown
  Address local;   // where the client was accepted; selects the server. BIND: where to listen
  Flag<kHasUdp> udp;
  uint16_t bind = kNone;     // CONNECT, field 04: accepted for the receiver's BIND of this number
  uint16_t control = kNone;  // CONNECT, field 85, and BIND, field 86: a channel that the receiver has opened, whose client is meant
  uint16_t client_port = 0;  // CONNECT, field 85: the port of that client; not 0
};
// Payload of CONNECT in SockMux 1. `kind` other than 1 and 2, and unknown fields of 0x80 and above: *unsupported.
Err parse_connect_fields(Bytes payload, OpenInfo* out, bool* unsupported);
size_t make_connect_fields(const OpenInfo& info, uint8_t* out, size_t capacity);
// The same of BIND; `kind` 2 with field 86: *unsupported.
Err parse_bind_fields(Bytes payload, OpenInfo* out, bool* unsupported);
size_t make_bind_fields(const OpenInfo& info, uint8_t* out, size_t capacity);
// BINDOK: where it listens in fact; an IP address with a port, or Err::bad_field.
Err parse_bindok_fields(Bytes payload, Address* out);
size_t make_bindok_fields(const Address& at, uint8_t* out, size_t capacity);

// Why a channel ended: the code of CLOSE in SockMux 1.
enum class CloseCode : uint8_t {
  done = 0,
  reset = 1,
  refused = 2,
  unreachable = 3,
  timed_out = 4,
  forbidden = 5,
  limit = 6,
  no_server = 7,
  idle = 8,
  not_found = 9,
  unsupported = 10,
  local_error = 11,
  shutdown = 12,
};
const char* name(CloseCode c);
CloseCode close_code(uint8_t wire);  // unknown ones count as reset

// Why a link ended: the code of BYE. With 0x80 set the session ends, too.
enum class ByeCode : uint8_t {
  restart = 0x00,
  replaced = 0x01,
  stale = 0x02,
  timed_out = 0x03,
  busy = 0x04,
  name_in_use = 0x05,
  shutdown = 0x80,
  protocol_error = 0x81,
  unsupported = 0x82,
  forbidden = 0x83,
  session_broken = 0x84,
};
const char* name(ByeCode c);

}  // namespace smx

#endif
