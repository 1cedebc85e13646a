// sockmuxctl dump, in parts: packets as the daemon tells them or a file has them, as text, and as a file for Wireshark.
//
//   the daemon's lines (dump_watch.cc) or a file (dump_read.cc) -> DumpSink: text (dump_text.cc) or a file (dump_write.cc)
//
// Invariant: whatever the bytes are, nothing is read beyond them. Read next: dump.cc, core/mux/tap.h. Source: sockmux(7),
// "Dumps"; sockmuxctl(8), "dump".
#ifndef SOCKMUX_TOOLS_CTL_DUMP_H
#define SOCKMUX_TOOLS_CTL_DUMP_H

#include <stdint.h>

#include <string_view>

#include "core/base/text.h"
#include "core/io/fd.h"
#include "core/mux/packet.h"

namespace smx::ctl {

struct DumpPacket {
  uint64_t at_us = 0;  // since 1970
  uint32_t session = 0;
  bool sent = false;
  Dialect dialect = Dialect::unknown;
  uint64_t lost = 0;  // packets that were not seen, before this one
  Bytes bytes;        // the header, and its payload as far as it is here
};

// What packets go to. Errors are exit codes; the user was told.
class DumpSink {
 public:
  virtual int session(uint32_t number, std::string_view what) = 0;
  virtual int packet(const DumpPacket& p) = 0;
  // So many were lost, and none has come since.
  virtual int lost(uint64_t n) = 0;
  // All of it is written now.
  virtual int flush() = 0;

 protected:
  ~DumpSink() = default;
};

// A decimal number of 1 to 18 digits, at most `most`. False: it is none, and `out` may be changed.
bool small_number(std::string_view text, uint64_t most, uint64_t* out);
constexpr uint64_t kAll = UINT64_MAX;

struct DumpLimits {
  uint64_t payload = 0, count = kAll;
  uint64_t seconds = 0;  // 0: no limit
};
struct DumpCounts {
  uint64_t packets = 0, lost = 0;
};

// The daemon at `fd` has been asked for a dump: dump_watch.cc. `path` is for messages. The exit code.
int watch_dump(int fd, const char* path, const DumpLimits& limits, DumpSink& sink, DumpCounts* out);

// To a descriptor, much at a time. `anew`: what a file held before goes when the first bytes come, and it is its owner's alone.
class Output {
 public:
  Output(int fd, const char* name, bool anew = false) : fd_(fd), name_(name), anew_(anew) {}
  int add(const void* bytes, size_t n);
  int flush();

 private:
  int begin_anew();
  int fd_;
  const char* name_;
  bool anew_;
  size_t size_ = 0;
  uint8_t buffer_[32768];
};

// ---- text

// One line of text without its end: time, session, direction, type, channel, length, what is in it.
constexpr size_t kDumpText = 4 * kMaxPayload + 4096;
void add_packet(TextBase& to, const DumpPacket& p);

class TextSink final : public DumpSink {
 public:
  explicit TextSink(Output& out) : out_(out) {}
  int session(uint32_t number, std::string_view what) override;
  int packet(const DumpPacket& p) override;
  int lost(uint64_t n) override;
  int flush() override { return out_.flush(); }

 private:
  int print(TextBase& line);
  Output& out_;
  Text<600> named_;  // what session() has said last
};

// ---- files: pcapng, all of it little-endian as it is written

constexpr uint32_t kBlockSection = 0x0a0d0d0a, kBlockInterface = 1, kBlockPacket = 6;
constexpr uint32_t kByteOrder = 0x1a2b3c4d;
constexpr uint16_t kLinkType = 147;  // LINKTYPE_USER0
constexpr uint16_t kOptionName = 2, kOptionFlags = 2, kOptionLost = 4, kOptionProgram = 4;
constexpr uint32_t kInbound = 1, kOutbound = 2;
// What stands before each packet: version 1, 1 if it was sent, dialect (0 unknown, 1, 3), 0, session u32 big-endian.
constexpr size_t kPseudo = 8;
constexpr uint8_t kPseudoVersion = 1;

class FileSink final : public DumpSink {
 public:
  explicit FileSink(Output& out) : out_(out) {}
  int begin();
  int session(uint32_t number, std::string_view what) override;
  int packet(const DumpPacket& p) override;
  int lost(uint64_t n) override;
  int flush() override { return out_.flush(); }

 private:
  int block(uint32_t type, const uint8_t* body, size_t n);

  // As many as a daemon has sessions at most, whose numbers are small; one beyond that takes the place of another.
  static constexpr uint32_t kMostInterfaces = 32768;
  struct Interface {
    uint32_t session = 0, hash = 0, number = 0;
  };
  Interface& of(uint32_t session) { return interface_[session % kMostInterfaces]; }
  Output& out_;
  Interface interface_[kMostInterfaces];
  uint32_t made_ = 0;
  uint64_t lost_ = 0;
};

// What a file holds, to `sink`; `session` 0: of all; at most `count` packets. `name` is for messages. The exit code.
int read_dump(int fd, const char* name, uint32_t session, uint64_t count, DumpSink& sink);

}  // namespace smx::ctl

#endif
