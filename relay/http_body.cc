// Read next: http_body.h.
#include "relay/http_body.h"

#include <string.h>

#include "core/base/text.h"

namespace smx {

namespace {
constexpr int kMostDigits = 15;
constexpr uint32_t kMostExtra = 16384;  // bytes behind one size, or of all trailers
}  // namespace

void HttpBody::begin(Kind kind, uint64_t length, bool plain) {
  *this = HttpBody{};
  kind_ = kind;
  plain_ = plain;
  left_ = kind == Kind::length ? length : 0;
  state_ = kind == Kind::none || (kind == Kind::length && length == 0) ? State::whole : State::going;
}

HttpBody::State HttpBody::move(Pipe& from, Pipe& to) {
  if (state_ != State::going) return state_;
  if (kind_ == Kind::until_end) {
    (void)move_bytes(from, to);
    return state_;
  }
  if (kind_ == Kind::length) {
    left_ -= move_bytes(from, to, left_);
    if (left_ == 0) state_ = State::whole;
    return state_;
  }
  while (state_ == State::going) {
    if (due_size_ > 0 && !say_due(to)) break;
    if (state_ != State::going || from.empty()) break;
    if (at_ == At::data) {
      const size_t n = move_bytes(from, to, left_);
      left_ -= n;
      if (left_ == 0) {
        at_ = At::data_cr;
      } else if (n == 0) {
        break;
      }
      continue;
    }
    const uint8_t byte = from.data().data[0];
    from.consume(1);
    if (!take(byte)) state_ = State::bad;
  }
  return state_;
}

// Says what a frame of ours needs. False: no room yet.
bool HttpBody::say_due(Pipe& to) {
  if (!plain_ && !to.say({due_, due_size_})) return false;
  due_size_ = 0;
  if (last_) state_ = State::whole;
  return true;
}

void HttpBody::owe(std::string_view text) {
  memcpy(due_, text.data(), text.size());
  due_size_ = static_cast<uint8_t>(text.size());
}

// A byte of the frame. CR LF and nothing less ends its lines: a lone LF is read by some as an end and by others not.
bool HttpBody::take(uint8_t byte) {
  switch (at_) {
    case At::size: {
      const int lower = byte | 0x20;
      const int digit = byte >= '0' && byte <= '9' ? byte - '0' : lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
      if (digit >= 0) {
        left_ = left_ << 4 | static_cast<unsigned>(digit);
        return ++digits_ <= kMostDigits;
      }
      if (digits_ == 0) return false;
      if (byte == '\r') {
        at_ = At::size_lf;
        return true;
      }
      at_ = At::extension;
      return byte == ';' || byte == ' ' || byte == '\t';
    }
    case At::extension:
      if (byte == '\r') at_ = At::size_lf;
      return byte != '\n' && byte != 0 && ++extra_ <= kMostExtra;
    case At::size_lf:
      if (byte != '\n') return false;
      digits_ = 0;
      extra_ = 0;
      at_ = left_ == 0 ? At::trailer : At::data;
      if (left_ > 0) {
        Text<20> line;
        int digits = 1;
        while (digits < 16 && left_ >> (4 * digits) != 0) ++digits;
        owe(line.add_hex(left_, digits).add("\r\n").text());
      }
      return true;
    case At::data: return false;
    case At::data_cr:
      at_ = At::data_lf;
      return byte == '\r';
    case At::data_lf:
      at_ = At::size;
      owe("\r\n");
      return byte == '\n';
    case At::trailer:
      if (byte == '\r') {
        at_ = At::trailer_lf;
        return true;
      }
      line_empty_ = false;
      return byte != '\n' && byte != 0 && ++extra_ <= kMostExtra;
    case At::trailer_lf:
      if (byte != '\n') return false;
      at_ = At::trailer;
      last_ = line_empty_;
      if (last_) owe("0\r\n\r\n");
      line_empty_ = true;
      return true;
  }
  return false;
}

}  // namespace smx
