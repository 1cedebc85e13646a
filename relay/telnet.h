// The telnet proxy: asks for a host, then relays.
//
//   asking --a line that names a host--> connecting --connected()--> joined --first byte of the client--> raw
//      ^                                     |
//      +---failed(): told in words-----------+        quit, end, kMostTries, kMostCommands, TIMEOUT=login --> close
//
// Invariants: a line holds at most kLongestLine bytes, what is longer is refused as a whole; options that the client
// offers or asks for are refused (RFC 854), so that it edits lines by itself; each step is bounded by what waits in the pipes.
// `joined` is there for the NUL or LF behind a CR that ended the line: it must not reach the server.
// Read next: dialogue.h, telnet.cc. Source: sockmux.conf(5), "Proxies"; RFC 854, RFC 855.
#ifndef SOCKMUX_RELAY_TELNET_H
#define SOCKMUX_RELAY_TELNET_H

#include "core/base/text.h"
#include "relay/dialogue.h"

namespace smx {

class TelnetDialogue final : public Dialogue {
 public:
  static constexpr size_t kLongestLine = 255;
  static constexpr int kMostTries = 10;         // lines that lead to no server
  static constexpr uint32_t kMostCommands = 512;  // telnet commands, and bytes of subnegotiations by 64, without a host

  Next step(Desk& desk) override;
  void connected(Desk& desk) override;
  void failed(Desk& desk, Failure why) override;
  Next timed_out(Desk& desk) override;
  bool leaves_rest(Desk& desk) override { return state_ == State::joined && step(desk) == Next::raw; }

 private:
  enum class State : uint8_t { asking, connecting, joined };
  // Where in a telnet command the next byte stands.
  enum class Code : uint8_t { data, iac, option, sub, sub_iac };

  bool take(uint8_t byte, Desk& desk);
  bool command(uint8_t byte, Desk& desk);
  bool data(uint8_t byte);
  void erase_line() {
    size_ = 0;
    too_long_ = false;
  }
  Next line(Desk& desk);
  Next wrong(Desk& desk, std::string_view what, std::string_view why);
  bool read_wish(std::string_view text, Desk& desk);

  char line_[kLongestLine];
  size_t size_ = 0;
  bool too_long_ = false;
  bool asked_ = false;
  bool after_cr_ = false;  // the LF or NUL that may follow belongs to the end of the line
  bool quits_ = false;
  State state_ = State::asking;
  Code code_ = Code::data;
  uint8_t verb_ = 0;
  int tries_ = 0;
  uint32_t commands_ = 0;
  uint32_t sub_bytes_ = 0;
};

}  // namespace smx

#endif
