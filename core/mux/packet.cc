// Encode and decode packets. Read next: packet.h.
#include "core/mux/packet.h"

#include <string.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/base/text.h"

namespace smx {

const char* name(Dialect d) {
  switch (d) {
    case Dialect::unknown: return "?";
    case Dialect::v03: return "0.3";
    case Dialect::v1: return "1";
  }
  return "?";
}

void encode_header(const Header& h, uint8_t out[kHeader]) {
  out[0] = h.version;
  out[1] = h.type;
  store16(out + 2, h.said);
  store16(out + 4, h.raid);
  store16(out + 6, h.length);
}

Header decode_header(const uint8_t in[kHeader]) {
  return {in[0], in[1], load16(in + 2), load16(in + 4), load16(in + 6)};
}

namespace {

constexpr uint8_t kFieldToClient = 0x85;   // CONNECT
constexpr uint8_t kFieldForClient = 0x86;  // BIND

// Which ids a packet carries in SockMux 1.
enum class Ids : uint8_t { none, opener, acceptor, either };

struct Limit {
  Type type;
  uint8_t version;
  Ids ids;
  uint16_t min_length;
  uint16_t max_length;
};

constexpr Limit kLimits1[] = {
    {Type::hello, kVersion03, Ids::either, 25, 320},
    {Type::hellook, kVersion03, Ids::either, 0, kMaxPayload},  // before UP only; ignored
    {Type::settings, kUnnumbered, Ids::none, 12, 230},
    {Type::ack, kUnnumbered, Ids::none, 8, 8},
    {Type::repeat, kUnnumbered, Ids::none, 16, 16},
    {Type::echo, kUnnumbered, Ids::none, 8, 8},
    {Type::echook, kUnnumbered, Ids::none, 8, 8},
    {Type::bye, kUnnumbered, Ids::none, 1, 201},
    {Type::connect, kNumbered, Ids::opener, 1, 1024},
    {Type::connected, kNumbered, Ids::acceptor, 0, 1024},
    {Type::send, kNumbered, Ids::either, 1, kMaxPayload},
    {Type::sendoob, kNumbered, Ids::either, 1, 1},
    {Type::credit, kNumbered, Ids::either, 4, 4},
    {Type::refund, kNumbered, Ids::either, 4, 4},
    {Type::fin, kNumbered, Ids::either, 0, 0},
    {Type::dgram, kNumbered, Ids::either, 0, kMaxPayload},
    {Type::part, kNumbered, Ids::either, 1, kMaxPayload},
    {Type::bind, kNumbered, Ids::opener, 1, 1024},
    {Type::bindok, kNumbered, Ids::acceptor, 0, 1024},
    {Type::close, kNumbered, Ids::either, 1, 201},
};

constexpr Limit kLimits03[] = {
    {Type::noop, kVersion03, Ids::either, 0, kMaxPayload},
    {Type::hello, kVersion03, Ids::either, 1, 320},
    {Type::hellook, kVersion03, Ids::either, 1, 320},
    {Type::connect, kVersion03, Ids::either, 4, kMaxPayload},
    {Type::connected, kVersion03, Ids::either, 4, kMaxPayload},
    {Type::send, kVersion03, Ids::either, 0, kMaxPayload},
    {Type::sent, kVersion03, Ids::either, 2, 16},
    {Type::sendoob, kVersion03, Ids::either, 0, kMaxPayload},
    {Type::sentoob, kVersion03, Ids::either, 2, 16},
    {Type::close, kVersion03, Ids::either, 0, 1024},
    {Type::closed, kVersion03, Ids::either, 0, 1024},
    {Type::echo, kVersion03, Ids::either, 0, 128},
    {Type::echook, kVersion03, Ids::either, 0, 128},
    {Type::setopt, kVersion03, Ids::either, 1, 1024},
    {Type::crypton, kVersion03, Ids::either, 0, kMaxPayload},
};

Err check_ids(const Header& h, Ids ids) {
  const bool said = h.said != kNone;
  const bool raid = h.raid != kNone;
  switch (ids) {
    case Ids::none: return said || raid ? Err::bad_id : Err::none;
    case Ids::opener: return said && !raid ? Err::none : Err::bad_id;
    case Ids::acceptor: return raid && !said ? Err::none : Err::bad_id;
    case Ids::either: return said != raid ? Err::none : Err::bad_id;
  }
  return Err::bad_id;
}

template <size_t n>
const Limit* find(const Limit (&table)[n], uint8_t type) {
  for (const Limit& l : table)
    if (static_cast<uint8_t>(l.type) == type) return &l;
  return nullptr;
}

}  // namespace

Err check_header(const Header& h, Dialect d, bool* known) {
  *known = true;
  if (h.version == kVersion03Crypt) return Err::encrypted;
  if (h.length > kMaxPayload) return Err::bad_length;
  if (d == Dialect::v1) {
    const Limit* l = find(kLimits1, h.type);
    if (l == nullptr) {
      *known = false;
      if (h.version != kUnnumbered && h.version != kNumbered) return Err::bad_version;
      return (h.type & 0x80) != 0 ? Err::bad_type : Err::none;
    }
    if (h.version != l->version) return Err::bad_version;
    if (h.length < l->min_length || h.length > l->max_length) return Err::bad_length;
    return l->version == kVersion03 ? Err::none : check_ids(h, l->ids);
  }
  if (h.version != kVersion03) return Err::bad_version;
  const Limit* l = find(kLimits03, h.type);
  if (l == nullptr) {
    *known = false;  // DeleGate ignores unknown types, and so do we
    return Err::none;
  }
  return h.length < l->min_length || h.length > l->max_length ? Err::bad_length : Err::none;
}

// ---- texts of 0.3

Err parse_connect_text(Bytes payload, Address* a, Address* b, size_t* used) {
  constexpr size_t kLongest = 512;
  const size_t limit = payload.size < kLongest ? payload.size : kLongest;
  const void* nul = limit == 0 ? nullptr : memchr(payload.data, 0, limit);
  if (nul == nullptr) return Err::bad_text;
  const std::string_view text = as_text({payload.data, static_cast<size_t>(static_cast<const uint8_t*>(nul) - payload.data)});
  *used = text.size() + 1;
  const size_t one = place_of(text, ' ');
  if (one == kNowhere) return Err::bad_text;
  const size_t two = text.find(' ', one + 1);
  if (two == kNowhere) return Err::bad_text;
  const size_t end = text.find(' ', two + 1);
  *a = *b = Address{};
  (void)parse_ip_port(first(skip(text, one + 1), two - one - 1), a);
  (void)parse_ip_port(first(skip(text, two + 1), end == kNowhere ? end : end - two - 1), b);
  return Err::none;
}

size_t make_connect_text(const Address& a, const Address& b, uint8_t out[128]) {
  Text<127> text("98304 ");
  append_delegate(text, a);
  text.add(' ');
  append_delegate(text, b);
  memcpy(out, text.c_str(), text.size() + 1);
  return text.size() + 1;
}

Err parse_count(Bytes payload, uint32_t* out) {
  uint64_t value = 0;
  size_t i = 0;
  for (; i < payload.size && payload.data[i] != 0; ++i) {
    const uint8_t c = payload.data[i];
    if (c < '0' || c > '9') return Err::bad_text;
    value = value * 10 + (c - '0');
    if (value > 0x7fffffff) return Err::bad_text;
  }
  if (i == 0 || i == payload.size) return Err::bad_text;
  *out = static_cast<uint32_t>(value);
  return Err::none;
}

// ---- HELLO

bool may_be_hello_stamp(Bytes text) {
  static constexpr char kShape[] = "dddddddd-dddddd.dddddd ";
  static_assert(sizeof kShape - 1 == kHelloStamp, "the stamp and a blank");
  for (size_t i = 0; i < text.size && i < kHelloStamp; ++i) {
    const char c = static_cast<char>(text.data[i]);
    if (kShape[i] == 'd' ? !is_digit(c) : c != kShape[i]) return false;
  }
  return true;
}

HelloWord parse_hello_word(Bytes payload) {
  std::string_view text = as_text(payload);
  text = first(text, place_of(text, '\0'));
  HelloWord word;
  const size_t blank = text.rfind(' ');
  if (blank == kNowhere) return word;
  std::string_view w = skip(text, blank + 1);
  if (first(w, 4) != "smx/") return word;
  w.remove_prefix(4);
  const size_t colon = place_of(w, ':');
  uint16_t version = 0;
  if (colon == kNowhere || !parse_port(first(w, colon), &version)) return word;
  w.remove_prefix(colon + 1);
  if (w.size() != 8) return word;
  uint32_t nonce = 0;
  for (const char c : w) {
    uint32_t digit = 0;
    if (c >= '0' && c <= '9') {
      digit = static_cast<uint32_t>(c - '0');
    } else if (c >= 'a' && c <= 'f') {
      digit = static_cast<uint32_t>(c - 'a' + 10);
    } else {
      return word;
    }
    nonce = nonce << 4 | digit;
  }
  if (version == 0) return word;
  word.present = true;
  word.version = version;
  word.nonce = nonce;
  return word;
}

// ---- fields

bool Fields::next(uint8_t* type, Bytes* value) {
  if (!ok_ || cursor_.left() == 0) return false;
  *type = cursor_.u8();
  const uint8_t length = cursor_.u8();
  *value = cursor_.bytes(length);
  ok_ = cursor_.ok();
  return ok_;
}

void FieldWriter::raw(const uint8_t* data, size_t n) {
  SMX_CHECK(n <= capacity_ - size_);
  memcpy(out_ + size_, data, n);
  size_ += n;
}
void FieldWriter::field(uint8_t type, const uint8_t* data, size_t n) {
  SMX_CHECK(n <= 255);
  const uint8_t head[2] = {type, static_cast<uint8_t>(n)};
  raw(head, 2);
  raw(data, n);
}
void FieldWriter::field16(uint8_t type, uint16_t v) {
  uint8_t b[2];
  store16(b, v);
  field(type, b, sizeof b);
}
void FieldWriter::field32(uint8_t type, uint32_t v) {
  uint8_t b[4];
  store32(b, v);
  field(type, b, sizeof b);
}
void FieldWriter::field64(uint8_t type, uint64_t v) {
  uint8_t b[8];
  store64(b, v);
  field(type, b, sizeof b);
}
void FieldWriter::address(uint8_t type, const Address& a) {
  uint8_t b[19];
  if (a.family == 0) {
    static const uint8_t kUnknown[] = {0x00, '?'};
    return field(type, kUnknown, sizeof kUnknown);
  }
  const size_t ip = a.family == 4 ? 4 : 16;
  b[0] = a.family;
  memcpy(b + 1, a.ip, ip);
  store16(b + 1 + ip, a.port);
  field(type, b, ip + 3);
}

Err parse_address_field(Bytes value, Address* out) {
  Cursor c(value);
  const uint8_t family = c.u8();
  *out = Address{};
  if (value.size == 0) return Err::bad_field;
  if (family == 0) return value.size > 1 ? Err::none : Err::bad_field;
  if (family != 4 && family != 6) return Err::bad_field;
  const size_t ip = family == 4 ? 4 : 16;
  if (value.size != ip + 3) return Err::bad_field;
  out->family = family;
  memcpy(out->ip, c.bytes(ip).data, ip);
  out->port = c.u16();
  return Err::none;
}

namespace {

bool name_is_good(Bytes value) {
  return value.size > 0 && value.size <= 63 && is_name_text(as_text(value));
}

}  // namespace

Err parse_settings(Bytes payload, Settings* out) {
  Settings s;
  if (payload.size < 4) return Err::bad_field;
  s.answered_nonce = load32(payload.data);
  Fields fields({payload.data + 4, payload.size - 4});
  uint8_t type = 0;
  Bytes value;
  unsigned seen = 0;
  while (fields.next(&type, &value)) {
    if (type >= 1 && type <= 7) {
      static constexpr uint8_t kLength[] = {0, 16, 8, 8, 4, 2, 2, 0};
      if (type != 7 && value.size != kLength[type]) return Err::bad_field;
      if ((seen >> type & 1) != 0) return Err::bad_field;
      seen |= 1u << type;
    }
    switch (type) {
      case 1: memcpy(s.session, value.data, 16); break;
      case 2: s.received = load64(value.data); break;
      case 3: s.attempt = load64(value.data); s.has_attempt = true; break;
      case 4: s.credit = load32(value.data); break;
      case 5: s.channels = load16(value.data); break;
      case 6: s.hold_s = load16(value.data); break;
      case 7:
        if (!name_is_good(value)) return Err::bad_field;
        memcpy(s.peer_name, value.data, value.size);
        break;
      case 8: s.marks = kHasLossy; break;
      default:
        if ((type & 0x80) != 0) return Err::bad_field;
    }
  }
  constexpr unsigned kRequired = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5 | 1u << 6;
  if (!fields.ok() || (seen & kRequired) != kRequired) return Err::bad_field;
  if (s.credit < kMinCredit || s.credit > kMaxCredit) return Err::bad_field;
  *out = s;
  return Err::none;
}

size_t make_settings(const Settings& s, uint8_t* out, size_t capacity) {
  FieldWriter w(out, capacity);
  uint8_t nonce[4];
  store32(nonce, s.answered_nonce);
  w.raw(nonce, sizeof nonce);
  w.field(1, s.session, sizeof s.session);
  w.field64(2, s.received);
  if (s.has_attempt) w.field64(3, s.attempt);
  w.field32(4, s.credit);
  w.field16(5, s.channels);
  w.field16(6, s.hold_s);
  const size_t n = strlen(s.peer_name);
  if (n > 0) w.field(7, reinterpret_cast<const uint8_t*>(s.peer_name), n);
  constexpr uint8_t kMarks = 1;
  if (kHasLossy && s.marks) w.field(8, &kMarks, sizeof kMarks);
  return w.size();
}

Err parse_connect_fields(Bytes payload, OpenInfo* out, bool* unsupported) {
  *out = OpenInfo{};
  *unsupported = false;
  if (payload.size == 0) return Err::bad_field;
  const uint8_t kind = payload.data[0];
  if (kind != 1 && (kind != 2 || !kHasUdp)) *unsupported = true;
  out->udp = kind == 2;
  Fields fields({payload.data + 1, payload.size - 1});
  uint8_t type = 0;
  Bytes value;
  unsigned seen = 0;
  while (fields.next(&type, &value)) {
    if ((type >= 1 && type <= 4) || type == kFieldToClient) {
      const unsigned bit = 1u << (type & 0x1f);
      if ((seen & bit) != 0) return Err::bad_field;
      seen |= bit;
    }
    if (type == 1 || type == 2) {
      const Err e = parse_address_field(value, type == 1 ? &out->client : &out->local);
      if (e != Err::none) return e;
    } else if (type == 3) {
      if (value.size == 0) return Err::bad_field;
    } else if (type == 4) {
      if (value.size != 2) return Err::bad_field;
      out->bind = load16(value.data);
      if (out->bind == kNone) return Err::bad_field;
    } else if (type == kFieldToClient) {
      if (value.size != 4) return Err::bad_field;
      out->control = load16(value.data);
      out->client_port = load16(value.data + 2);
      if (out->control == kNone || out->client_port == 0) return Err::bad_field;
    } else if ((type & 0x80) != 0) {
      *unsupported = true;
    }
  }
  if (out->bind != kNone && out->control != kNone) return Err::bad_field;
  if (out->udp && out->control != kNone) *unsupported = true;  // FTP has no datagrams
  return fields.ok() && (seen & 1u << 2) != 0 ? Err::none : Err::bad_field;
}

size_t make_connect_fields(const OpenInfo& info, uint8_t* out, size_t capacity) {
  FieldWriter w(out, capacity);
  const uint8_t kind = info.udp ? 2 : 1;
  w.raw(&kind, 1);
  if (info.client.family != 0) w.address(1, info.client);
  w.address(2, info.local);
  if (info.bind != kNone) w.field16(4, info.bind);
  if (info.control != kNone) w.field32(kFieldToClient, uint32_t{info.control} << 16 | info.client_port);
  return w.size();
}

Err parse_bind_fields(Bytes payload, OpenInfo* out, bool* unsupported) {
  *out = OpenInfo{};
  *unsupported = false;
  if (payload.size == 0) return Err::bad_field;
  const uint8_t kind = payload.data[0];
  if (kind != 1 && (kind != 2 || !kHasUdp)) *unsupported = true;
  out->udp = kind == 2;
  Fields fields({payload.data + 1, payload.size - 1});
  uint8_t type = 0;
  Bytes value;
  bool has_local = false;
  while (fields.next(&type, &value)) {
    if (type == 2) {
      if (has_local) return Err::bad_field;
      has_local = true;
      const Err e = parse_address_field(value, &out->local);
      if (e != Err::none) return e;
    } else if (type == kFieldForClient) {
      if (value.size != 2 || out->control != kNone) return Err::bad_field;
      out->control = load16(value.data);
      if (out->control == kNone) return Err::bad_field;
    } else if ((type & 0x80) != 0) {
      *unsupported = true;
    }
  }
  if (out->udp && out->control != kNone) *unsupported = true;  // FTP has no datagrams
  return fields.ok() && has_local ? Err::none : Err::bad_field;
}

size_t make_bind_fields(const OpenInfo& info, uint8_t* out, size_t capacity) {
  FieldWriter w(out, capacity);
  const uint8_t kind = info.udp ? 2 : 1;
  w.raw(&kind, 1);
  w.address(2, info.local);
  if (info.control != kNone) w.field16(kFieldForClient, info.control);
  return w.size();
}

Err parse_bindok_fields(Bytes payload, Address* out) {
  *out = Address{};
  Fields fields(payload);
  uint8_t type = 0;
  Bytes value;
  while (fields.next(&type, &value)) {
    if (type == 2) {
      if (out->family != 0) return Err::bad_field;
      const Err e = parse_address_field(value, out);
      if (e != Err::none) return e;
    } else if ((type & 0x80) != 0) {
      return Err::bad_field;
    }
  }
  return fields.ok() && out->family != 0 && out->port != 0 ? Err::none : Err::bad_field;
}

size_t make_bindok_fields(const Address& at, uint8_t* out, size_t capacity) {
  FieldWriter w(out, capacity);
  w.address(2, at);
  return w.size();
}

const char* name(CloseCode c) {
  switch (c) {
    case CloseCode::done: return "done";
    case CloseCode::reset: return "reset";
    case CloseCode::refused: return "refused";
    case CloseCode::unreachable: return "unreachable";
    case CloseCode::timed_out: return "timed out";
    case CloseCode::forbidden: return "forbidden";
    case CloseCode::limit: return "limit";
    case CloseCode::no_server: return "no server";
    case CloseCode::idle: return "idle";
    case CloseCode::not_found: return "name not found";
    case CloseCode::unsupported: return "unsupported";
    case CloseCode::local_error: return "local error";
    case CloseCode::shutdown: return "shutdown";
  }
  return "reset";
}

CloseCode close_code(uint8_t wire) {
  return wire > static_cast<uint8_t>(CloseCode::shutdown) ? CloseCode::reset : static_cast<CloseCode>(wire);
}

const char* name(ByeCode c) {
  switch (c) {
    case ByeCode::restart: return "restart";
    case ByeCode::replaced: return "replaced";
    case ByeCode::stale: return "stale";
    case ByeCode::timed_out: return "timed out";
    case ByeCode::busy: return "busy";
    case ByeCode::name_in_use: return "name in use";
    case ByeCode::shutdown: return "shutdown";
    case ByeCode::protocol_error: return "protocol error";
    case ByeCode::unsupported: return "unsupported";
    case ByeCode::forbidden: return "forbidden";
    case ByeCode::session_broken: return "session broken";
  }
  return "unknown";
}

}  // namespace smx
