// The HTTP proxy's dialogue, bound to a server and not. Input: a byte that says which, then stage.h.
//
// Judged: what a server is told over one connection is one request, whose end it and we see at the same place. Read next: relay/http.h.
#include "core/base/letters.h"
#include "relay/http.h"
#include "tests/fuzz/stage.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

// What is left of a body in chunks behind its end; SIZE_MAX: it is not whole. MUST if it is none.
size_t behind_chunks(std::string_view text) {
  for (;;) {
    const size_t line = text.find("\r\n");
    if (line == std::string_view::npos) return SIZE_MAX;
    MUST(line > 0);
    uint64_t n = 0;
    for (const char c : text.substr(0, line)) {
      const char l = smx::fold(c);
      MUST(smx::is_digit(c) || (l >= 'a' && l <= 'f'));
      n = n * 16 + static_cast<uint64_t>(smx::is_digit(c) ? c - '0' : l - 'a' + 10);
    }
    text.remove_prefix(line + 2);
    if (n == 0) {
      if (text.size() < 2) return SIZE_MAX;
      MUST(text.substr(0, 2) == "\r\n");
      return text.size() - 2;
    }
    if (text.size() < n + 2) return SIZE_MAX;
    MUST(text.substr(n, 2) == "\r\n");
    text.remove_prefix(n + 2);
  }
}

void judge(Stage& stage) {
  const std::string_view told = stage.server;
  if (told.empty()) return;
  size_t from = 0;
  const size_t size = smx::find_head(told, &from);
  if (size == 0) return;
  smx::HttpRequest r;
  if (stage.raw && stage.raw_from == 0) return;  // CONNECT: the head was for us
  const smx::HttpFault fault = smx::parse_request(told.substr(0, size), &r);
  if (fault.status == 431) return;  // we add three fields, and another proxy of ours counts them
  MUST(fault.status == 0);
  MUST(r.target[0] == '/' || r.target == "*");
  MUST(r.minor == 1);
  MUST(!(r.chunked && r.has_length));
  if (stage.raw) return;
  const std::string_view body = told.substr(size);
  if (r.chunked) {
    const size_t behind = behind_chunks(body);
    MUST(behind == 0 || behind == SIZE_MAX);
  } else {
    MUST(body.size() <= (r.has_length ? r.length : 0));
  }
}

}  // namespace

void http(smx::Bytes input) {
  Input in(input);
  Stage stage;
  stage.judge = judge;
  smx::HttpDialogue dialogue;
  if (in.flag()) dialogue.bind_to("server", 8080);
  stage.play(dialogue, in);
}

}  // namespace fuzz
