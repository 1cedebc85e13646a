// Read next: keys.h.
#include "transport/secure/keys.h"

namespace smx::secure {

namespace {

bool is_digit_of_base64(char c) {
  return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

// Only for texts that are no keys: it takes its time as it likes.
KeyFault why_not(std::string_view text) {
  if (text.empty()) return KeyFault::empty;
  if (text.find('\n') != std::string_view::npos) return KeyFault::lines;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == ' ' || c == '\t' || c == '\r') return KeyFault::blank;
    if (!is_digit_of_base64(c) && (c != '=' || i + 2 < text.size())) return KeyFault::character;
  }
  if (text.size() < kKeyText) return KeyFault::too_short;
  return text.size() > kKeyText ? KeyFault::too_long : KeyFault::ending;
}

}  // namespace

const char* name(KeyFault f) {
  switch (f) {
    case KeyFault::none: return "no error";
    case KeyFault::empty: return "there is none";
    case KeyFault::too_short: return "too short, a key has 44 characters";
    case KeyFault::too_long: return "too long, a key has 44 characters";
    case KeyFault::blank: return "a blank in it";
    case KeyFault::character: return "a character in it that base64 has not";
    case KeyFault::ending: return "not the base64 of 32 bytes";
    case KeyFault::lines: return "more than one line";
  }
  return "unknown error";
}

KeyFault parse_key(std::string_view text, Secret* out) {
  return decode_key(text.data(), text.size(), out->data()) ? KeyFault::none : why_not(text);
}

KeyFault parse_key_line(std::string_view text, Secret* out) {
  if (!text.empty() && text.back() == '\n') text.remove_suffix(1);
  return parse_key(text, out);
}

void genkey(const Secret& random, char out[kKeyText]) {
  Secret key = random;
  key.data()[0] &= 248;  // RFC 7748, 5
  key.data()[31] = static_cast<uint8_t>((key.data()[31] & 127) | 64);
  encode_key(key.data(), out);
}

void genpsk(const Secret& random, char out[kKeyText]) { encode_key(random.data(), out); }

KeyFault pubkey(std::string_view private_line, char out[kKeyText]) {
  Secret key;
  const KeyFault fault = parse_key_line(private_line, &key);
  if (fault != KeyFault::none) return fault;
  uint8_t shown[kKey];
  x25519_public(key, shown);
  encode_key(shown, out);
  return KeyFault::none;
}

}  // namespace smx::secure
