// A packet as a line of text. Read next: dump.h, core/mux/packet.h. Source of all names: sockmux(7).
#include <string.h>

#include "core/base/letters.h"
#include "tools/ctl/dump.h"

namespace smx::ctl {

namespace {

struct TypeName {
  Type type;
  const char* name;
};
constexpr TypeName kNames[] = {
    {Type::noop, "NOOP"},       {Type::hello, "HELLO"},     {Type::connect, "CONNECT"},     {Type::bind, "BIND"},
    {Type::send, "SEND"},       {Type::sendoob, "SENDOOB"}, {Type::close, "CLOSE"},         {Type::echo, "ECHO"},
    {Type::setopt, "SETOPT"},   {Type::crypton, "CRYPTON"}, {Type::unbind, "UNBIND"},       {Type::settings, "SETTINGS"},
    {Type::ack, "ACK"},         {Type::repeat, "REPEAT"},   {Type::bye, "BYE"},             {Type::credit, "CREDIT"},
    {Type::fin, "FIN"},         {Type::dgram, "DGRAM"},     {Type::part, "PART"},           {Type::refund, "REFUND"},
    {Type::hellook, "HELLOOK"}, {Type::connected, "CONNECTED"}, {Type::bindok, "BINDOK"},   {Type::sent, "SENT"},
    {Type::sentoob, "SENTOOB"}, {Type::closed, "CLOSED"},   {Type::echook, "ECHOOK"},
};

void add_type(TextBase& to, uint8_t type) {
  for (const TypeName& n : kNames)
    if (static_cast<uint8_t>(n.type) == type) return void(to.add(n.name));
  to.add("type-").add_hex(type, 2);
}

// Up to `column` of the line that begins at `begin`, and one blank at least.
void pad(TextBase& to, size_t begin, size_t column) {
  to.add(' ');
  while (to.size() - begin < column) to.add(' ');
}

void add_hex(TextBase& to, Bytes b) {
  for (size_t i = 0; i < b.size; ++i) to.add_hex(b.data[i], 2);
}

// As C writes it.
void add_quoted(TextBase& to, Bytes b) {
  to.add('"');
  for (size_t i = 0; i < b.size; ++i) {
    const uint8_t c = b.data[i];
    if (c == '\n') to.add("\\n");
    else if (c == '\r') to.add("\\r");
    else if (c == '"' || c == '\\') to.add('\\').add(static_cast<char>(c));
    else if (c >= 0x20 && c < 0x7f) to.add(static_cast<char>(c));
    else to.add("\\x").add_hex(c, 2);
  }
  to.add('"');
}

Bytes rest_of(Bytes b, size_t from) { return from >= b.size ? Bytes{} : Bytes{b.data + from, b.size - from}; }
Bytes up_to_nul(Bytes b) {
  const void* nul = b.size == 0 ? nullptr : memchr(b.data, 0, b.size);
  return nul == nullptr ? b : Bytes{b.data, static_cast<size_t>(static_cast<const uint8_t*>(nul) - b.data)};
}

// The data of a channel: as much as is here.
void add_data(TextBase& to, Bytes b) {
  if (b.size > 0) add_quoted(to.add(' '), b);
}

// ---- fields of SockMux 1

enum class Kind : uint8_t { address, number, text, session, attempt, to_client };
struct FieldName {
  Type type;
  uint8_t field;
  Kind kind;
  const char* name;
};
constexpr FieldName kFields[] = {
    {Type::settings, 1, Kind::session, "session"}, {Type::settings, 2, Kind::number, "received"},
    {Type::settings, 3, Kind::attempt, "attempt"}, {Type::settings, 4, Kind::number, "credit"},
    {Type::settings, 5, Kind::number, "channels"}, {Type::settings, 6, Kind::number, "hold"},
    {Type::settings, 7, Kind::text, "name"},       {Type::connect, 1, Kind::address, "client"},
    {Type::connect, 2, Kind::address, "at"},       {Type::connect, 3, Kind::text, "via"},
    {Type::connect, 4, Kind::number, "bind"},      {Type::connect, 0x85, Kind::to_client, "to-client"},
    {Type::bind, 2, Kind::address, "at"},          {Type::bind, 0x86, Kind::number, "for-client"},
    {Type::bindok, 2, Kind::address, "at"},
};

bool all_are(Bytes b, uint8_t c) {
  for (size_t i = 0; i < b.size; ++i)
    if (b.data[i] != c) return false;
  return true;
}

void add_field(TextBase& to, Kind kind, Bytes v) {
  Address a;
  switch (kind) {
    case Kind::address:
      if (parse_address_field(v, &a) != Err::none) break;
      if (a.family != 0) return append_address(to, a);
      return void(to.add_printable(as_text(rest_of(v, 1))));
    case Kind::number:
      if (v.size == 2) return void(to.add_u(load16(v.data)));
      if (v.size == 4) return void(to.add_u(load32(v.data)));
      if (v.size == 8) return void(to.add_u(load64(v.data)));
      break;
    case Kind::text: return void(to.add_printable(as_text(v)));
    case Kind::session:
      if (all_are(v, 0)) return void(to.add("none"));
      return void(to.add("(secret)"));
    case Kind::attempt:
      if (v.size == 8) return void(to.add_hex(load32(v.data), 8).add('.').add_u(load32(v.data + 4)));
      break;
    case Kind::to_client:
      if (v.size == 4) return void(to.add_u(load16(v.data)).add(':').add_u(load16(v.data + 2)));
      break;
  }
  to.add("bad:");
  add_hex(to, v);
}

void add_fields(TextBase& to, Type type, Bytes payload) {
  Fields fields(payload);
  uint8_t number = 0;
  Bytes value;
  while (fields.next(&number, &value)) {
    const FieldName* known = nullptr;
    for (const FieldName& f : kFields)
      if (f.type == type && f.field == number) known = &f;
    to.add(' ');
    if (known != nullptr) {
      add_field(to.add(known->name).add(type == Type::settings ? '=' : ' '), known->kind, value);
    } else {
      add_hex(to.add("field-").add_hex(number, 2).add('='), value);
    }
  }
  if (!fields.ok()) to.add(" bad fields");
}

void add_kind(TextBase& to, Bytes payload) {
  if (payload.size == 0) return;
  const uint8_t kind = payload.data[0];
  if (kind == 1) to.add(" TCP");
  else if (kind == 2) to.add(" UDP");
  else to.add(" kind-").add_u(kind);
}

// A code, its name, and a text.
void add_reason(TextBase& to, Bytes payload, const char* (*name_of)(uint8_t)) {
  if (payload.size == 0) return;
  to.add(' ').add_u(payload.data[0]).add(' ').add(name_of(payload.data[0]));
  if (payload.size > 1) add_quoted(to.add(' '), rest_of(payload, 1));
}

void add_v1(TextBase& to, Type type, Bytes b) {
  switch (type) {
    case Type::settings:
      if (b.size < 4) break;
      to.add(" nonce=").add_hex(load32(b.data), 8);
      return add_fields(to, type, rest_of(b, 4));
    case Type::connect:
    case Type::bind: return add_kind(to, b), add_fields(to, type, rest_of(b, 1));
    case Type::connected:
    case Type::bindok: return add_fields(to, type, b);
    case Type::ack:
      if (b.size == 8) return void(to.add(' ').add_u(load64(b.data)));
      break;
    case Type::repeat:
      if (b.size != 16) break;
      to.add(' ').add_u(load64(b.data)).add("..");
      if (load64(b.data + 8) != 0) to.add_u(load64(b.data + 8));
      return;
    case Type::credit:
    case Type::refund:
      if (b.size == 4) return void(to.add(' ').add_u(load32(b.data)));
      break;
    case Type::close: return add_reason(to, b, [](uint8_t c) { return name(close_code(c)); });
    case Type::bye: return add_reason(to, b, [](uint8_t c) { return name(static_cast<ByeCode>(c)); });
    case Type::echo:
    case Type::echook: break;
    default: return add_data(to, b);
  }
  if (b.size > 0) add_hex(to.add(' '), b);
}

// ---- 0.3

void add_words(TextBase& to, Type type, Bytes b) {
  Address one, two;
  size_t used = 0;
  if (parse_connect_text(b, &one, &two, &used) != Err::none) {
    const Bytes text = up_to_nul(b);
    add_quoted(to.add(' '), text);
    return add_data(to, rest_of(b, text.size + 1));
  }
  append_address(to.add(type == Type::connect ? " client " : " server "), one);
  append_address(to.add(type == Type::connect ? " at " : " from "), two);
  add_data(to, rest_of(b, used));
}

void add_option(TextBase& to, Bytes b) {
  if (b.size >= 3 && b.data[0] == kOptPackSize) return void(to.add(" PACKSIZE ").add_u(load16(b.data + 1)));
  if (b.size >= 2 && b.data[0] == kOptConnData) return void(to.add(" CONNDATA ").add_u(b.data[1]));
  if (b.size >= 1 && b.data[0] == kOptCrypt) to.add(" CRYPT");
  if (b.size > 0) add_hex(to.add(' '), b);
}

void add_v03(TextBase& to, Type type, Bytes b) {
  switch (type) {
    case Type::connect:
    case Type::connected:
      if (b.size > 0) add_words(to, type, b);
      return;
    case Type::setopt: return add_option(to, b);
    case Type::hello:
    case Type::hellook:
    case Type::close:
    case Type::closed:
    case Type::echo:
    case Type::echook:
      if (b.size > 0) add_quoted(to.add(' '), up_to_nul(b));
      return;
    case Type::sent:
    case Type::sentoob: return void(to.add(' ').add_printable(as_text(up_to_nul(b))));
    default: return add_data(to, b);
  }
}

// ---- a line

// "13:05:59.000123"
void add_time(TextBase& to, uint64_t us) {
  const uint64_t s = us / 1000000 % 86400;
  to.add_padded(s / 3600, 2).add(':').add_padded(s / 60 % 60, 2).add(':').add_padded(s % 60, 2).add('.').add_padded(us % 1000000, 6);
}

// SockMux 1 has a number of the opener; 0.3 an id of each side, ours first.
void add_channel(TextBase& to, const Header& h, bool sent) {
  const auto id = [&](uint16_t v) {
    if (v == kNone03 || v == kNone) to.add('-');
    else to.add_u(v);
  };
  if (h.version == kVersion03) {
    const uint16_t mine = sent ? h.said : h.raid, theirs = sent ? h.raid : h.said;
    const bool hello = h.type == static_cast<uint8_t>(Type::hello) || h.type == static_cast<uint8_t>(Type::hellook);
    if (hello || ((mine == kNone03 || mine == kNone) && (theirs == kNone03 || theirs == kNone))) return void(to.add('-'));
    id(mine);
    to.add('/');
    return id(theirs);
  }
  if (h.said == kNone && h.raid == kNone) return void(to.add('-'));
  const bool by_sender = h.said != kNone;
  to.add(by_sender == sent ? "us:" : "peer:").add_u(by_sender ? h.said : h.raid);
}

}  // namespace

void add_packet(TextBase& to, const DumpPacket& p) {
  const size_t begin = to.size();
  const Header h = decode_header(p.bytes.data);
  Bytes payload = rest_of(p.bytes, kHeader);
  if (payload.size > h.length) payload.size = h.length;  // what is behind it is none of it
  const Type type = static_cast<Type>(h.type);
  add_time(to, p.at_us);
  to.add(' ').add_u(p.session).add(p.sent ? " sent " : " received ");
  pad(to, begin, 28);
  add_type(to, h.type);
  pad(to, begin, 38);
  add_channel(to, h, p.sent);
  pad(to, begin, 47);
  to.add_u(h.length);
  if (h.length > 0 && payload.size > 0) pad(to, begin, 52);
  if (h.version == kUnnumbered || h.version == kNumbered) add_v1(to, type, payload);
  else if (h.version == kVersion03) add_v03(to, type, payload);
  bool known = false;
  const bool v1 = h.version != kVersion03 || p.dialect == Dialect::v1;
  const Err e = check_header(h, v1 ? Dialect::v1 : Dialect::v03, &known);
  if (e != Err::none) to.add(" !").add(name(e)).add(" (first byte ").add_hex(h.version, 2).add(')');
}

// ---- the sink

int TextSink::print(TextBase& line) {
  const int code = out_.add(line.text().data(), line.size());
  return code != 0 ? code : out_.add("\n", 1);  // one that was cut has no room for it
}

int TextSink::session(uint32_t number, std::string_view what) {
  Text<600> line("# session ");
  line.add_u(number).add(": ").add_printable(what);
  if (line.text() == named_.text()) return 0;
  named_.clear();
  named_.add(line.text());
  return print(line);
}

int TextSink::packet(const DumpPacket& p) {
  if (p.lost > 0) {
    const int code = lost(p.lost);
    if (code != 0) return code;
  }
  Text<kDumpText> line;
  add_packet(line, p);
  return print(line);
}

int TextSink::lost(uint64_t n) {
  Text<100> line("# ");
  line.add_u(n).add(n == 1 ? " packet was lost here:" : " packets were lost here:").add(" they came faster than they were read");
  return print(line);
}

}  // namespace smx::ctl
