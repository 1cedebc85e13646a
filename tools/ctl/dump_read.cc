// Reads what dump_write.cc has written, and what other programs have made of it: either byte order, blocks and options that
// are not known. Read next: dump.h.
#include <errno.h>
#include <poll.h>
#include <string.h>

#include <initializer_list>

#include "tools/ctl/ctl.h"
#include "tools/ctl/dump.h"

namespace smx::ctl {

namespace {

constexpr size_t kMostBlock = 1 << 20;
constexpr uint32_t kTold = 65536;  // of those beyond it is not said when they begin
constexpr uint32_t kNamed = 256;   // of the others the text does not say where they lead

class Reader {
 public:
  Reader(int fd, const char* name, uint32_t session, uint64_t count, DumpSink& sink, uint8_t* block)
      : fd_(fd), name_(name), session_(session), left_(count), sink_(sink), block_(block) {}
  int run();

 private:
  int fail(std::initializer_list<std::string_view> why) const;
  int fill(size_t n, bool* end);
  int section();
  int interface_block(const uint8_t* body, size_t n);
  int packet_block(const uint8_t* body, size_t n);
  uint16_t u16(const uint8_t* p) const { return big_ ? load16(p) : static_cast<uint16_t>(p[0] | p[1] << 8); }
  uint32_t u32(const uint8_t* p) const { return big_ ? load32(p) : u16(p) | static_cast<uint32_t>(u16(p + 2)) << 16; }
  // The option `code` of a block, or nullptr.
  const uint8_t* option(const uint8_t* from, size_t n, uint16_t code, size_t* size) const;

  int fd_;
  const char* name_;
  uint32_t session_;
  uint64_t left_;
  DumpSink& sink_;
  bool big_ = false;
  uint64_t at_ = 0;       // of the block at hand, in the file
  uint64_t packets_ = 0;
  uint32_t interfaces_ = 0;
  size_t size_ = 0;       // bytes in block_
  uint8_t told_[kTold / 8] = {};
  char what_[kNamed][200] = {};
  uint8_t* block_;        // kMostBlock bytes
};

int Reader::fail(std::initializer_list<std::string_view> why) const {
  Text<600> text(name_);
  text.add(": ");
  for (const std::string_view w : why) text.add(w);
  complain({text.text()});
  return kData;
}

// Reads until block_ has `n` bytes. *end: there is none of them.
int Reader::fill(size_t n, bool* end) {
  *end = false;
  while (size_ < n) {
    const IoResult r = read_fd(fd_, block_ + size_, n - size_);
    if (r.again) {  // who shares it with us may have made it one that does not block
      pollfd p{fd_, POLLIN, 0};
      (void)::poll(&p, 1, -1);
      continue;
    }
    if (r.error != 0) {
      complain({name_, ": ", strerror(r.error)});
      return kIo;
    }
    if (r.size == 0) {
      *end = size_ == 0;
      if (*end) return 0;
      return fail({"cut within the block at byte ", Text<20>("").add_u(at_).text(), ": the file is not whole"});
    }
    size_ += r.size;
  }
  return 0;
}

const uint8_t* Reader::option(const uint8_t* from, size_t n, uint16_t code, size_t* size) const {
  size_t at = 0;
  while (n - at >= 4) {
    const uint16_t c = u16(from + at), length = u16(from + at + 2);
    if (c == 0 || length > n - at - 4) return nullptr;
    *size = length;
    if (c == code) return from + at + 4;
    const size_t step = 4 + (size_t{length} + 3) / 4 * 4;
    if (step > n - at) return nullptr;
    at += step;
  }
  return nullptr;
}

int Reader::interface_block(const uint8_t* body, size_t n) {
  Text<20> number;
  number.add_u(interfaces_);
  if (n < 8) return fail({"interface ", number.text(), ": the block is too short"});
  const uint16_t type = u16(body);
  if (type != kLinkType) {
    Text<20> is;
    return fail({"interface ", number.text(), " is of link type ", is.add_u(type).text(), "; expected 147 (USER0), as sockmuxctl dump -w writes it"});
  }
  size_t size = 0;
  const uint8_t* resolution = option(body + 8, n - 8, 9, &size);
  if (resolution != nullptr && (size != 1 || *resolution != 6)) return fail({"interface ", number.text(), ": its times are not in microseconds"});
  const uint8_t* name = option(body + 8, n - 8, kOptionName, &size);
  if (interfaces_ < kNamed) {
    Text<199> text;
    if (name != nullptr) text.add_printable({reinterpret_cast<const char*>(name), size});
    memcpy(what_[interfaces_], text.c_str(), text.size() + 1);
  }
  ++interfaces_;
  return 0;
}

int Reader::packet_block(const uint8_t* body, size_t n) {
  Text<40> number("packet ");
  number.add_u(packets_ + 1);
  if (n < 20) return fail({number.text(), ": the block is too short"});
  const uint32_t on = u32(body), size = u32(body + 12);
  if (on >= interfaces_) return fail({number.text(), ": is of an interface that the file does not have"});
  if (size > n - 20) return fail({number.text(), ": is longer than its block"});
  const uint8_t* pseudo = body + 20;
  if (size < kPseudo + kHeader) return fail({number.text(), ": ", Text<20>("").add_u(size).text(), " bytes; expected 16 at least (sockmux(7), \"Dumps\")"});
  if (pseudo[0] != kPseudoVersion) return fail({number.text(), ": version ", Text<20>("").add_u(pseudo[0]).text(), "; this sockmuxctl reads version 1"});
  if (size > kPseudo + kMaxPacket) return fail({number.text(), ": is too long"});
  ++packets_;
  DumpPacket p;
  p.session = load32(pseudo + 4);
  if (session_ != 0 && p.session != session_) return 0;
  p.at_us = uint64_t{u32(body + 4)} << 32 | u32(body + 8);
  p.sent = pseudo[1] == 1;
  p.dialect = pseudo[2] == 1 ? Dialect::v1 : pseudo[2] == 3 ? Dialect::v03 : Dialect::unknown;
  p.bytes = {pseudo + kPseudo, size - kPseudo};
  const size_t padded = 20 + (size_t{size} + 3) / 4 * 4;
  size_t have = 0;
  const uint8_t* lost = padded > n ? nullptr : option(body + padded, n - padded, kOptionLost, &have);
  if (lost != nullptr && have == 8) p.lost = big_ ? load64(lost) : u32(lost) | uint64_t{u32(lost + 4)} << 32;
  if (on < kTold && (told_[on / 8] >> on % 8 & 1) == 0) {
    told_[on / 8] = static_cast<uint8_t>(told_[on / 8] | 1 << on % 8);
    std::string_view what = on < kNamed ? what_[on] : "";
    const size_t colon = what.find(": ");  // "session 1: where"
    what = colon == std::string_view::npos ? std::string_view("?") : what.substr(colon + 2);
    const int code = sink_.session(p.session, what);
    if (code != 0) return code;
  }
  --left_;
  return sink_.packet(p);
}

// The section's own block is at hand: which byte order?
int Reader::section() {
  bool end = false;
  const int code = fill(12, &end);
  if (code != 0) return code;
  const uint8_t* order = block_ + 8;
  if (load32(order) == kByteOrder) big_ = true;
  else if (order[0] == 0x4d && order[1] == 0x3c && order[2] == 0x2b && order[3] == 0x1a) big_ = false;
  else return fail({"no pcapng file: its byte order mark is wrong"});
  interfaces_ = 0;
  memset(told_, 0, sizeof told_);
  return 0;
}

int Reader::run() {
  for (bool first = true; left_ > 0; first = false) {
    size_ = 0;
    bool end = false;
    int code = fill(4, &end);
    if (code != 0) return code;
    if (end && first) return fail({"the file is empty"});
    if (end) break;
    const uint32_t magic = load32(block_);
    if (magic == kBlockSection) {
      code = section();
      if (code != 0) return code;
    } else if (first) {
      const bool old = magic == 0xa1b2c3d4 || magic == 0xd4c3b2a1 || magic == 0xa1b23c4d || magic == 0x4d3cb2a1;
      if (old) return fail({"a pcap file of the older kind; expected pcapng, which `editcap -F pcapng` of Wireshark makes of it"});
      return fail({"no pcapng file, as sockmuxctl dump -w writes it"});
    }
    code = fill(8, &end);
    if (code != 0) return code;
    const uint32_t type = u32(block_), size = u32(block_ + 4);
    Text<20> at;
    at.add_u(at_);
    if (size < 12 || size % 4 != 0 || size > kMostBlock) return fail({"the block at byte ", at.text(), " has a length that cannot be"});
    code = fill(size, &end);
    if (code != 0) return code;
    if (u32(block_ + size - 4) != size) return fail({"the block at byte ", at.text(), ": its two lengths differ"});
    at_ += size;
    const uint8_t* body = block_ + 8;
    const size_t n = size - 12;
    if (type == kBlockInterface) code = interface_block(body, n);
    else if (type == kBlockPacket) code = packet_block(body, n);
    if (code != 0) return code;
  }
  return 0;
}

}  // namespace

int read_dump(int fd, const char* name, uint32_t session, uint64_t count, DumpSink& sink) {
  static uint8_t block[kMostBlock];
  Reader reader(fd, name, session, count, sink, block);
  const int code = reader.run();
  const int flushed = sink.flush();
  return code != 0 ? code : flushed;
}

}  // namespace smx::ctl
