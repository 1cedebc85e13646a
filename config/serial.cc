// Read next: serial.h.
#include "config/serial.h"

#include "config/scan.h"

namespace smx {

namespace {

// Those that some system has a name for, the lowest first (termios(4), and asm-generic/termbits.h of Linux). 134 is 134.5.
constexpr uint32_t kSpeeds[] = {50,     75,     110,    134,    150,     200,     300,     600,     1200,    1800,
                                2400,   4800,   9600,   19200,  38400,   57600,   115200,  230400,  460800,  500000,
                                576000, 921600, 1000000, 1152000, 1500000, 2000000, 2500000, 3000000, 3500000, 4000000};
constexpr size_t kSpeedCount = sizeof kSpeeds / sizeof *kSpeeds;

constexpr std::string_view kExpected = "expected a speed as 9600, a format as 8n1, rtscts or none, local or modem";

bool all_digits(std::string_view s) {
  for (const char c : s)
    if (!is_digit(c)) return false;
  return !s.empty();
}

bool parse_speed(std::string_view word, SerialSettings* out, TextBase& why) {
  uint64_t n = 0;
  const bool is_number = parse_number(word, kSpeeds[kSpeedCount - 1], &n);
  for (const uint32_t speed : kSpeeds) {
    if (!is_number || n != speed) continue;
    out->speed = speed;
    return true;
  }
  size_t above = 0;
  while (above < kSpeedCount && is_number && kSpeeds[above] < n) ++above;
  if (!is_number) above = kSpeedCount;
  why.clear();
  why.add("'").add(word).add("': no usual speed of a line; near are ");
  if (above > 0 && above < kSpeedCount) why.add_u(kSpeeds[above - 1]).add(" and ").add_u(kSpeeds[above]);
  else if (above == 0) why.add_u(kSpeeds[0]).add(" and ").add_u(kSpeeds[1]);
  else why.add_u(kSpeeds[kSpeedCount - 2]).add(" and ").add_u(kSpeeds[kSpeedCount - 1]);
  return false;
}

// "8n1": bits of data, parity, bits of stop.
bool is_format(std::string_view word) {
  if (word.size() != 3 || !is_digit(word[0]) || !is_digit(word[2])) return false;
  const char parity = fold(word[1]);
  return parity >= 'a' && parity <= 'z';
}

bool parse_format(std::string_view word, SerialSettings* out, TextBase& why) {
  if (word[0] == '7' || word[0] == '6' || word[0] == '5')
    return say(why, "'%': a link is binary and needs all 8 bits of a byte, as in 8n1", word);
  if (word[0] != '8') return say(why, "'%': expected 8 bits of data, as in 8n1", word);
  switch (fold(word[1])) {
    case 'n': out->parity = SerialSettings::Parity::none; break;
    case 'e': out->parity = SerialSettings::Parity::even; break;
    case 'o': out->parity = SerialSettings::Parity::odd; break;
    default: return say(why, "'%': expected parity n, e or o, as in 8n1", word);
  }
  if (word[2] != '1' && word[2] != '2') return say(why, "'%': expected 1 or 2 bits of stop, as in 8n1", word);
  out->stop_bits = static_cast<uint8_t>(word[2] - '0');
  return true;
}

}  // namespace

bool parse_serial(std::string_view words, SerialSettings* out, TextBase& why) {
  enum Kind : uint8_t { kSpeed, kFormat, kFlow, kCarrier, kKinds };
  static constexpr std::string_view kKindNames[] = {"the speed", "the format", "flow control", "local or modem"};
  bool seen[kKinds] = {};
  std::string_view rest = words;
  for (;;) {
    const size_t comma = place_of(rest, ',');
    const std::string_view word = trim(first(rest, comma));
    Kind kind = kCarrier;
    if (word.empty()) return say(why, "an empty setting between commas; %", kExpected);
    if (all_digits(word)) {
      kind = kSpeed;
      if (!parse_speed(word, out, why)) return false;
    } else if (is_format(word)) {
      kind = kFormat;
      if (!parse_format(word, out, why)) return false;
    } else if (equal_fold(word, "rtscts") || equal_fold(word, "crtscts") || equal_fold(word, "none")) {
      kind = kFlow;
      out->rtscts = !equal_fold(word, "none");
    } else if (equal_fold(word, "xonxoff") || equal_fold(word, "ixon")) {
      return say(why, "'%': XON and XOFF are bytes of the link, too; rtscts or none", word);
    } else if (equal_fold(word, "local") || equal_fold(word, "clocal") || equal_fold(word, "modem")) {
      out->modem = equal_fold(word, "modem");
    } else {
      return say(why, "'%': %", word, kExpected);
    }
    if (seen[kind]) return say(why, "'%': % is there twice", word, kKindNames[kind]);
    seen[kind] = true;
    if (comma == kNowhere) break;
    rest = skip(rest, comma + 1);
  }
  out->speed_given = seen[kSpeed];
  out->given = true;
  return true;
}

}  // namespace smx
