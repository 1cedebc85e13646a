// Read next: http_head.h. Numbers are sections of RFC 9112, with "9110:" of RFC 9110.
#include "relay/text/http_head.h"

#include "core/base/address.h"
#include "core/base/letters.h"

namespace smx {

namespace {

// 9110:5.6.2
bool is_token(std::string_view s) {
  for (const char c : s) {
    if (!is_alnum(c) && place_of("!#$%&'*+-.^_`|~", c) == kNowhere) return false;
  }
  return !s.empty();
}

std::string_view trim(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\t')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\t')) s.remove_suffix(1);
  return s;
}

bool parse_number(std::string_view s, uint64_t* out) {
  if (s.empty() || s.size() > 18) return false;
  uint64_t v = 0;
  for (const char c : s) {
    if (!is_digit(c)) return false;
    v = v * 10 + static_cast<uint64_t>(c - '0');
  }
  *out = v;
  return true;
}

// One line, without its end; 2.2: a lone LF ends a line, too.
std::string_view take_line(std::string_view* text) {
  const size_t end = place_of(*text, '\n');
  std::string_view line = text->substr(0, end);
  *text = end == kNowhere ? std::string_view{} : text->substr(end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// "HTTP/1.0" and "HTTP/1.1"; a later 1.x counts as 1.1.
int parse_version(std::string_view s, int* minor) {
  if (s.size() != 8 || first(s, 5) != "HTTP/" || !is_digit(s[5]) || s[6] != '.' || !is_digit(s[7])) return 400;
  if (s[5] != '1') return 505;
  *minor = s[7] == '0' ? 0 : 1;
  return 0;
}

// 9110:5.5: no NUL, CR or other controls within a line.
bool is_text(std::string_view line) {
  for (const char c : line)
    if ((static_cast<unsigned char>(c) < 0x20 && c != '\t') || c == 0x7f) return false;
  return true;
}

constexpr HttpFault bad(const char* why) { return {400, why}; }

// What Content-Length, Transfer-Encoding and Connection say; the rest of the syntax, too.
HttpFault parse_fields(std::string_view text, bool is_answer, HttpMessage* m) {
  m->fields = text;
  size_t count = 0;
  while (!text.empty()) {
    const std::string_view line = take_line(&text);
    if (line.empty()) break;
    if (++count > kMostFields) return {431, "more than 256 header fields"};
    if (!is_text(line)) return bad("a control character in a header field");                        // 2.2
    if (line[0] == ' ' || line[0] == '\t') return bad("a header field that is folded over lines");  // 5.2
    const size_t colon = place_of(line, ':');
    if (colon == kNowhere) return bad("a header field without a colon");
    std::string_view name = first(line, colon);
    if (is_answer) name = trim(name);  // 5.1: servers' blanks are removed, clients' refused
    if (!is_token(name)) return bad("the name of a header field is none, or a blank stands before its colon");
    const std::string_view value = trim(skip(line, colon + 1));
    if (equal_fold(name, "content-length")) {  // 6.3, 5.
      uint64_t n = 0;
      if (!parse_number(value, &n)) return bad("Content-Length is no number");
      if (m->has_length && (n != m->length || !is_answer)) return bad("Content-Length is given twice");
      m->has_length = true;
      m->length = n;
    } else if (equal_fold(name, "transfer-encoding")) {  // 6.1
      m->unknown_coding = m->has_coding || !equal_fold(value, "chunked");
      m->has_coding = true;
    } else if (equal_fold(name, "connection") || equal_fold(name, "proxy-connection")) {
      HttpList list(value);
      std::string_view item;
      while (list.next(&item)) {
        if (equal_fold(item, "close")) m->close = true;
        if (equal_fold(item, "keep-alive")) m->keep_alive = true;
        if (equal_fold(item, "upgrade")) m->upgrade = true;
        if (m->options == kMostOptions) return {431, "Connection names more than 32 fields"};
        m->option[m->options++] = item;
      }
    }
  }
  m->chunked = m->has_coding && !m->unknown_coding;
  return {};
}

}  // namespace

bool HttpFields::next(HttpField* out) {
  if (left_.empty()) return false;
  const std::string_view line = take_line(&left_);
  if (line.empty()) return false;
  const size_t colon = place_of(line, ':');
  if (colon == kNowhere) return false;
  out->name = trim(first(line, colon));
  out->value = trim(skip(line, colon + 1));
  return true;
}

bool HttpList::next(std::string_view* out) {
  while (!left_.empty()) {
    const size_t comma = place_of(left_, ',');
    *out = trim(first(left_, comma));
    left_ = comma == kNowhere ? std::string_view{} : skip(left_, comma + 1);
    if (!out->empty()) return true;
  }
  return false;
}

size_t find_head(std::string_view text, size_t* from) {
  size_t at = *from;
  while (true) {
    const size_t end = text.find('\n', at);
    if (end == kNowhere) break;
    // An empty line: LF LF or LF CR LF.
    size_t next = end + 1;
    if (next < text.size() && text[next] == '\r') ++next;
    if (next >= text.size()) break;
    if (text[next] == '\n') return next + 1;
    at = end + 1;
  }
  // The last line end may be the first half of the empty line.
  const size_t back = text.size() < 3 ? 0 : text.size() - 3;
  *from = back > at ? back : at;
  return 0;
}

HttpFault parse_request(std::string_view head, HttpRequest* out) {
  std::string_view text = head;
  const std::string_view line = take_line(&text);
  const size_t blank = place_of(line, ' ');
  const size_t last = line.rfind(' ');
  if (blank == kNowhere || blank == last) return bad("the first line is no request");  // 3
  out->method = first(line, blank);
  out->target = first(skip(line, blank + 1), last - blank - 1);
  if (!is_token(out->method)) return bad("the method is no word");
  for (const char c : out->target)
    if (c <= 0x20 || c == 0x7f) return bad("a blank or a control character in the URL");  // 3.2
  if (out->target.empty()) return bad("the URL is missing");
  const int version = parse_version(skip(line, last + 1), &out->minor);
  if (version != 0) return {version, version == 505 ? "only HTTP/1.0 and HTTP/1.1 are understood" : "the first line is no request"};
  const HttpFault fault = parse_fields(text, false, out);
  if (fault.status != 0) return fault;
  if (out->has_coding && out->has_length) return bad("both Transfer-Encoding and Content-Length");          // 6.1
  if (out->has_coding && out->minor == 0) return bad("Transfer-Encoding in HTTP/1.0");                       // 6.1
  if (out->unknown_coding) return {501, "a Transfer-Encoding other than chunked"};                           // 6.1
  bool has_host = false;
  HttpFields fields(out->fields);
  for (HttpField f; fields.next(&f);) {
    if (equal_fold(f.name, "host")) {
      if (has_host) return bad("Host is given twice");  // 3.2
      has_host = true;
      out->host = f.value;
    } else if (equal_fold(f.name, "expect")) {
      if (equal_fold(f.value, "100-continue")) out->expects_continue = true;
    } else if (equal_fold(f.name, "max-forwards")) {
      uint64_t n = 0;
      if (!parse_number(f.value, &n)) return bad("Max-Forwards is no number");
      out->has_hops = true;
      out->hops_left = n > 0xffff ? 0xffff : static_cast<uint32_t>(n);
    } else if (equal_fold(f.name, "via")) {
      HttpList list(f.value);
      for (std::string_view item; list.next(&item);) {
        const size_t gap = place_of(item, ' ');
        if (gap != kNowhere && first(skip(item, gap + 1), kViaName.size()) == kViaName) ++out->own_via;
      }
    } else if (equal_fold(f.name, "upgrade")) {
      out->upgrade_to = f.value;
    }
  }
  if (!has_host && out->minor == 1) return bad("Host is missing");  // 3.2
  return {};
}

HttpFault parse_answer(std::string_view head, HttpAnswer* out) {
  std::string_view text = head;
  const std::string_view line = take_line(&text);
  if (line.size() < 12 || line[8] != ' ' || !is_text(line)) return bad("the first line is no status line");  // 4
  if (parse_version(first(line, 8), &out->minor) != 0) return bad("the first line is no status line");
  for (size_t i = 9; i < 12; ++i)
    if (!is_digit(line[i])) return bad("the status is no number");
  if (line.size() > 12 && line[12] != ' ') return bad("the status is no number");
  out->status = (line[9] - '0') * 100 + (line[10] - '0') * 10 + (line[11] - '0');
  if (out->status < 100) return bad("the status is no number");
  out->reason = line.size() > 13 ? skip(line, 13) : std::string_view{};
  const HttpFault fault = parse_fields(text, true, out);
  // 6.3, 3.: Transfer-Encoding overrides; what is not chunked in the end goes on until the server closes.
  if (out->has_coding) out->has_length = false;
  return fault;
}

bool ends_here(const HttpMessage& m, std::string_view name) {
  static constexpr char kOurs[][20] = {"connection", "proxy-connection",    "keep-alive", "te", "trailer",
                                       "upgrade",    "transfer-encoding", "proxy-authorization"};
  for (const char* s : kOurs)
    if (equal_fold(name, s)) return true;
  if (equal_fold(name, "content-length")) return false;  // who reads on must find the same end as we
  for (size_t i = 0; i < m.options; ++i)
    if (equal_fold(m.option[i], name)) return true;
  return false;
}

bool parse_authority(std::string_view text, std::string_view* host, uint16_t* port) {
  std::string_view rest;
  if (!text.empty() && text[0] == '[') {
    const size_t end = place_of(text, ']');
    Address literal;
    if (end == kNowhere || !parse_ip(first(skip(text, 1), end - 1), &literal) || literal.family != 6) return false;
    *host = first(skip(text, 1), end - 1);
    rest = skip(text, end + 1);
  } else {
    const size_t colon = place_of(text, ':');
    *host = first(text, colon);
    rest = colon == kNowhere ? std::string_view{} : skip(text, colon);
    if (!is_name_text(*host)) return false;
  }
  if (host->empty() || host->size() > 255) return false;
  if (rest.empty()) return true;
  if (rest[0] != ':') return false;
  if (rest.size() == 1) return true;  // 9110:4.2.1: an empty port is the default
  return parse_port(skip(rest, 1), port) && *port != 0;
}

}  // namespace smx
