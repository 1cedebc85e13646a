// Where a link's first packets begin on a FIFO, a line, or a program's output, which may hold the rest of an earlier run, a
// banner, or noise. Source: sockmux(7), "Link start". Read next: mux.cc, parse().
#include <string.h>

#include "core/mux/mux.h"

namespace smx {

namespace {

constexpr size_t kLongestHello = 320;

// A stamp, as far as it is here; then printable bytes, and one NUL at the end.
bool may_be_hello_text(const uint8_t* text, size_t have, size_t size) {
  if (!may_be_hello_stamp({text, have})) return false;
  for (size_t i = kHelloStamp; i < have; ++i) {
    const uint8_t c = text[i];
    if (i + 1 == size) return c == 0;  // last and only there, else a text cut short would swallow the next one
    if (c < 0x20 || c > 0x7e) return false;
  }
  return true;
}

}  // namespace

// Does one of the packets that are waited for begin at the front of the rx ring? HELLO; in 0.3, behind the peer's HELLO, its
// HELLOOK with the same text; in 1 SETTINGS with our nonce.
Mux::Found Mux::find_start() {
  uint8_t raw[kHeader + kLongestHello];
  const size_t n = rx_.used() < sizeof raw ? rx_.used() : sizeof raw;
  rx_.copy_out(rx_.head(), raw, 1);
  if (raw[0] != kVersion03 && raw[0] != kUnnumbered) return Found::no;
  rx_.copy_out(rx_.head(), raw, n);
  const Header h = decode_header(raw);
  const uint8_t* payload = raw + kHeader;
  const size_t have = n - kHeader < h.length ? n - kHeader : h.length;
  const auto is = [&](Type t) { return h.type == static_cast<uint8_t>(t); };
  bool good = false;
  if (h.version == kUnnumbered) {
    good = (state_ == State::ask || state_ == State::wait) && is(Type::settings) && h.said == kNone && h.raid == kNone && h.length >= 12 &&
           h.length <= 230 && (have < 4 || load32(payload) == nonce_);
  } else if (is(Type::hello) || (state_ == State::hellook && is(Type::hellook))) {
    good = h.length >= 25 && h.length <= kLongestHello && may_be_hello_text(payload, have, h.length);
    if (good && is(Type::hellook)) {
      if (!hello_out_) return Found::no;  // it was there before our HELLO: an answer to another one
      const size_t same = have < peer_hello_size_ ? have : peer_hello_size_;
      good = memcmp(payload, peer_hello_, same) == 0;  // else one of an earlier run
    }
  }
  if (!good) return Found::no;
  if (rx_.used() < kHeader + h.length) return Found::part;
  // Cut short, it may have swallowed the HELLO with which the peer has started anew.
  Settings s;
  if (h.version == kUnnumbered && parse_settings({payload, h.length}, &s) != Err::none) return Found::no;
  return Found::whole;
}

// A second HELLO: before the link is up it replaces the first one; behind that the peer has started anew, and the next link
// begins with it, since it may not come again.
Err Mux::hello_again(Bytes payload, Time now) {
  if (!start_.search) return Err::restarted;
  if (is_own(payload)) return Err::none;
  if (!ring_open_) return on_hello(payload, now);
  next_hello_size_ = payload.size < sizeof next_hello_ ? payload.size : sizeof next_hello_;
  memcpy(next_hello_, payload.data, next_hello_size_);
  return Err::restarted;
}

}  // namespace smx
