// Read next: ftp_text.h.
#include "relay/text/ftp_text.h"

#include <string.h>

#include "core/base/letters.h"

namespace smx {

namespace {

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

// A number up to 255 at the front of `s`, which then begins behind it.
bool take_byte(std::string_view* s, uint8_t* out) {
  unsigned v = 0;
  size_t n = 0;
  while (n < s->size() && n < 3 && is_digit((*s)[n])) v = v * 10 + static_cast<unsigned>((*s)[n++] - '0');
  if (n == 0 || v > 255) return false;
  s->remove_prefix(n);
  *out = static_cast<uint8_t>(v);
  return true;
}

// Six numbers with commas between at the front of `s`.
bool take_six(std::string_view* s, Address* out) {
  uint8_t b[6];
  for (int i = 0; i < 6; ++i) {
    if (i > 0) {
      if (s->empty() || s->front() != ',') return false;
      s->remove_prefix(1);
    }
    if (!take_byte(s, &b[i])) return false;
  }
  *out = Address{};
  out->family = 4;
  memcpy(out->ip, b, 4);
  out->port = load16(b + 4);
  return true;
}

}  // namespace

FtpVerb ftp_verb(std::string_view line, std::string_view* argument) {
  static constexpr struct {
    char word[5];
    FtpVerb verb;
  } kVerbs[] = {
      {"USER", FtpVerb::user},     {"PASV", FtpVerb::pasv},      {"EPSV", FtpVerb::epsv},      {"PORT", FtpVerb::port},
      {"EPRT", FtpVerb::eprt},     {"LPSV", FtpVerb::long_form}, {"LPRT", FtpVerb::long_form}, {"AUTH", FtpVerb::auth},
      {"PBSZ", FtpVerb::protect},  {"PROT", FtpVerb::protect},   {"CCC", FtpVerb::protect},    {"ADAT", FtpVerb::protect},
      {"MIC", FtpVerb::protect},   {"CONF", FtpVerb::protect},   {"ENC", FtpVerb::protect},    {"FEAT", FtpVerb::feat},
      {"RETR", FtpVerb::transfer}, {"STOR", FtpVerb::transfer},  {"STOU", FtpVerb::transfer},  {"APPE", FtpVerb::transfer},
      {"LIST", FtpVerb::transfer}, {"NLST", FtpVerb::transfer},  {"MLSD", FtpVerb::transfer},  {"ABOR", FtpVerb::abor},
      {"STAT", FtpVerb::stat},     {"NOOP", FtpVerb::noop},      {"QUIT", FtpVerb::quit},      {"OPEN", FtpVerb::open},
      {"SITE", FtpVerb::site},
  };
  const size_t blank = place_of(line, ' ');
  *argument = blank == kNowhere ? std::string_view() : skip(line, blank + 1);
  const std::string_view word = first(line, blank);
  for (const auto& v : kVerbs)
    if (equal_fold(word, v.word)) return v.verb;
  return FtpVerb::other;
}

FtpLine ftp_line(std::string_view from, char* out, size_t* size, size_t* used) {
  const size_t end = place_of(from, '\n');
  if (end == kNowhere) return from.size() > kFtpLine ? FtpLine::too_long : FtpLine::none;
  if (end > kFtpLine) return FtpLine::too_long;
  size_t n = 0;
  for (size_t i = 0; i < end; ++i) {
    const uint8_t c = static_cast<uint8_t>(from[i]);
    const uint8_t next = i + 1 < end ? static_cast<uint8_t>(from[i + 1]) : uint8_t{0};
    if (c == 0xff && next == 0xff) {
      out[n++] = from[i];
      out[n++] = from[++i];
    } else if (c == 0xff && next >= 0xf0) {
      i += next >= 0xfb ? 2 : 1;  // WILL, WONT, DO, DONT name an option
    } else if (c != 0xff || next != 0) {
      out[n++] = from[i];
    }
  }
  while (n > 0 && out[n - 1] == '\r') --n;
  *size = n;
  *used = end + 1;
  return FtpLine::whole;
}

bool parse_ftp_port(std::string_view argument, Address* out) {
  std::string_view s = trimmed(argument);
  Address a;
  if (!take_six(&s, &a) || !s.empty()) return false;
  *out = a;
  return true;
}

FtpEprt parse_ftp_eprt(std::string_view argument, Address* out) {
  std::string_view s = trimmed(argument);
  if (s.size() < 5 || s.front() != s.back()) return FtpEprt::bad;
  const char mark = s.front();
  s.remove_prefix(1);
  s.remove_suffix(1);
  const size_t one = s.find(mark);
  const size_t two = one == kNowhere ? kNowhere : s.find(mark, one + 1);
  if (two == kNowhere || s.find(mark, two + 1) != kNowhere) return FtpEprt::bad;
  const std::string_view protocol = first(s, one);
  uint16_t port = 0;
  Address a;
  if (!parse_port(skip(s, two + 1), &port)) return FtpEprt::bad;
  if (protocol != "1" && protocol != "2") return FtpEprt::unknown_protocol;
  if (!parse_ip(first(skip(s, one + 1), two - one - 1), &a) || a.family != (protocol == "1" ? 4 : 6))
    return FtpEprt::bad;
  a.port = port;
  *out = a;
  return FtpEprt::good;
}

bool parse_ftp_227(std::string_view line, Address* out) {
  // The words before it differ: the first place behind the code where six numbers stand.
  for (size_t i = 4; i < line.size(); ++i) {
    if (!is_digit(line[i]) || is_digit(line[i - 1]) || line[i - 1] == ',') continue;
    std::string_view s = skip(line, i);
    if (take_six(&s, out) && (s.empty() || (!is_digit(s.front()) && s.front() != ','))) return true;
  }
  return false;
}

bool parse_ftp_229(std::string_view line, uint16_t* port) {
  const size_t open = place_of(line, '('), close = line.find(')', open == kNowhere ? 0 : open);
  if (open == kNowhere || close == kNowhere || close - open < 6) return false;
  const std::string_view s = first(skip(line, open + 1), close - open - 1);
  const char mark = s[0];
  if (s[1] != mark || s[2] != mark || s.back() != mark) return false;
  return parse_port(first(skip(s, 3), s.size() - 4), port);
}

void append_ftp_port(TextBase& to, const Address& a) {
  for (int i = 0; i < 4; ++i) to.add_u(a.ip[i]).add(',');
  to.add_u(a.port >> 8).add(',').add_u(a.port & 255u);
}

bool parse_ftp_reply(std::string_view line, int* code, bool* more) {
  if (line.size() < 3 || !is_digit(line[0]) || !is_digit(line[1]) || !is_digit(line[2])) return false;
  if (line.size() > 3 && line[3] != ' ' && line[3] != '-' && line[3] != '\r') return false;
  const int c = (line[0] - '0') * 100 + (line[1] - '0') * 10 + (line[2] - '0');
  if (c < 100 || c > 659) return false;
  *code = c;
  *more = line.size() > 3 && line[3] == '-';
  return true;
}

bool ftp_feature_hidden(std::string_view line) {
  if (line.size() > 4 && line[3] == '-' && is_digit(line[0])) line.remove_prefix(4);  // as some servers write it
  line = trimmed(line);
  const std::string_view word = first(line, place_of(line, ' '));
  return equal_fold(word, "AUTH") || equal_fold(word, "PBSZ") || equal_fold(word, "PROT") || equal_fold(word, "CCC");
}

bool parse_ftp_host(std::string_view text, std::string_view* host, uint16_t* port) {
  std::string_view s = trimmed(text);
  std::string_view rest;
  if (!s.empty() && s.front() == '[') {
    const size_t close = place_of(s, ']');
    if (close == kNowhere) return false;
    *host = first(skip(s, 1), close - 1);
    rest = skip(s, close + 1);
  } else {
    const size_t colon = place_of_any(s, ": ");
    *host = first(s, colon);
    rest = colon == kNowhere ? std::string_view() : skip(s, colon);
  }
  *port = 21;
  if (!rest.empty() && ((rest[0] != ':' && rest[0] != ' ') || !parse_port(skip(rest, 1), port) || *port == 0))
    return false;
  if (host->empty() || host->size() > 253) return false;
  for (const char c : *host)
    if (c <= ' ' || c > '~' || c == '/') return false;
  return true;
}

bool parse_ftp_login(std::string_view argument, std::string_view* name, std::string_view* host, uint16_t* port) {
  const size_t at = argument.rfind('@');
  if (at == kNowhere || at == 0) return false;
  *name = first(argument, at);
  return parse_ftp_host(skip(argument, at + 1), host, port);
}

std::string_view half_announced_port(std::string_view said) {
  const size_t end = said.rfind('\n');
  const std::string_view half = end == kNowhere ? said : skip(said, end + 1);
  if (half.empty() || half.size() > kFtpHalfLine) return {};
  // Most of what is said in small pieces is told by its first byte to be something else.
  const auto begins = [half](std::string_view verb) {
    const size_t n = half.size() < verb.size() ? half.size() : verb.size();
    return equal_fold(first(half, n), first(verb, n));
  };
  const bool telnet = static_cast<uint8_t>(half[0]) == 0xff;  // which may stand in front of a command
  return telnet || begins("PORT ") || begins("EPRT ") ? half : std::string_view();
}

uint16_t find_announced_port(std::string_view said, const Address& own) {
  uint16_t found = 0;
  while (said.size() >= 5) {
    const size_t end = place_of(said, '\n');
    if (end == kNowhere) break;
    if (end <= 128) {
      char line[kFtpLine];
      size_t size = 0, used = 0;
      std::string_view argument;
      Address a;
      if (ftp_line(said, line, &size, &used) == FtpLine::whole) {
        const FtpVerb verb = ftp_verb({line, size}, &argument);
        const bool good = verb == FtpVerb::port ? parse_ftp_port(argument, &a)
                                                : verb == FtpVerb::eprt && parse_ftp_eprt(argument, &a) == FtpEprt::good;
        if (verb == FtpVerb::port || verb == FtpVerb::eprt) found = good && same_ip(a, own) ? a.port : uint16_t{0};
      }
    }
    said.remove_prefix(end + 1);
  }
  return found;
}

}  // namespace smx
