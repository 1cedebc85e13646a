// Packets as a pcapng file, which Wireshark reads with tools/sockmux.lua. Read next: dump.h, dump_read.cc.
// Source: the Internet draft "PCAP Now Generic (pcapng) Capture File Format"; sockmux(7), "Dumps".
#include <string.h>

#include "core/base/check.h"
#include "tools/ctl/dump.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx::ctl {

namespace {

// A block's body that is being made.
class Body {
 public:
  Body& u16(uint32_t v) {
    const uint8_t b[2] = {static_cast<uint8_t>(v), static_cast<uint8_t>(v >> 8)};
    return raw(b, sizeof b);
  }
  Body& u32(uint32_t v) { return u16(v & 0xffff).u16(v >> 16); }
  Body& raw(const void* bytes, size_t n) {
    SMX_CHECK(n <= sizeof bytes_ - size_);
    memcpy(bytes_ + size_, bytes, n);
    size_ += n;
    return *this;
  }
  Body& pad() {
    while (size_ % 4 != 0) bytes_[size_++] = 0;
    return *this;
  }
  Body& option(uint16_t code, const void* bytes, size_t n) { return u16(code).u16(static_cast<uint32_t>(n)).raw(bytes, n).pad(); }
  const uint8_t* data() const { return bytes_; }
  size_t size() const { return size_; }

 private:
  uint8_t bytes_[kMaxPacket + 1024];
  size_t size_ = 0;
};

uint32_t hash_of(std::string_view s) {
  uint32_t h = 2166136261u;
  for (const char c : s) h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
  return h;
}

}  // namespace

int FileSink::block(uint32_t type, const uint8_t* body, size_t n) {
  Body frame;
  const uint32_t size = static_cast<uint32_t>(n) + 12;
  frame.u32(type).u32(size);
  int code = out_.add(frame.data(), frame.size());
  if (code == 0) code = out_.add(body, n);
  return code != 0 ? code : out_.add(frame.data() + 4, 4);
}

int FileSink::begin() {
  constexpr std::string_view kProgram = "sockmuxctl " SMX_VERSION;
  Body b;
  b.u32(kByteOrder).u16(1).u16(0).u32(0xffffffff).u32(0xffffffff);  // of unknown length
  b.option(kOptionProgram, kProgram.data(), kProgram.size()).u32(0);
  return block(kBlockSection, b.data(), b.size());
}

// One interface for each link of a session: its name says which.
int FileSink::session(uint32_t number, std::string_view what) {
  const uint32_t hash = hash_of(what);
  Interface& place = of(number);
  if (place.session == number && place.hash == hash) return 0;
  place = {number, hash, made_++};
  Text<300> text("session ");
  text.add_u(number);
  if (!what.empty()) text.add(": ").add_printable(what);
  Body b;
  b.u16(kLinkType).u16(0).u32(0).option(kOptionName, text.text().data(), text.size()).u32(0);
  return block(kBlockInterface, b.data(), b.size());
}

int FileSink::packet(const DumpPacket& p) {
  const Interface& on = of(p.session);
  if (on.session != p.session) {
    const int code = session(p.session, "");
    if (code != 0) return code;
  }
  const size_t whole = kPseudo + kHeader + decode_header(p.bytes.data).length;
  uint8_t pseudo[kPseudo] = {kPseudoVersion, p.sent, static_cast<uint8_t>(p.dialect == Dialect::v1 ? 1 : p.dialect == Dialect::v03 ? 3 : 0), 0};
  store32(pseudo + 4, p.session);
  Body b;
  b.u32(on.number).u32(static_cast<uint32_t>(p.at_us >> 32)).u32(static_cast<uint32_t>(p.at_us));
  b.u32(static_cast<uint32_t>(kPseudo + p.bytes.size)).u32(static_cast<uint32_t>(whole));
  b.raw(pseudo, sizeof pseudo).raw(p.bytes.data, p.bytes.size).pad();
  b.u16(kOptionFlags).u16(4).u32(p.sent ? kOutbound : kInbound);
  const uint64_t gone = p.lost + lost_;
  lost_ = 0;
  if (gone > 0) b.u16(kOptionLost).u16(8).u32(static_cast<uint32_t>(gone)).u32(static_cast<uint32_t>(gone >> 32));
  b.u32(0);
  return block(kBlockPacket, b.data(), b.size());
}

int FileSink::lost(uint64_t n) {
  lost_ += n;
  return 0;
}

}  // namespace smx::ctl
