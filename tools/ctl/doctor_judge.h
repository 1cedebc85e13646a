// What `sockmuxctl doctor` makes of what it has seen: which cause is the one, and who has answered at a port.
//
// Invariant: pure, no system call. Read next: doctor.h; tests/test_doctor.cc. Source: sockmuxctl(8), "doctor".
#ifndef SOCKMUX_TOOLS_CTL_DOCTOR_JUDGE_H
#define SOCKMUX_TOOLS_CTL_DOCTOR_JUDGE_H

#include "core/base/bytes.h"
#include "core/base/letters.h"
#include "core/base/text.h"
#include "core/mux/packet.h"

namespace smx::ctl {

enum class Grade : uint8_t { ok, warn, fail };

// Where a cause lies, from near to far; the exit code.
enum class Place : uint8_t { here = 1, way = 2, peer = 3, server = 4 };

// The cause is the nearest one: what lies behind it could not be seen, or is broken by it. Of those at one place the first.
class Verdict {
 public:
  void add(Grade grade, Place place, std::string_view what) {
    if (grade == Grade::warn) ++warnings_;
    if (grade != Grade::fail) return;
    if (++fails_ > 1 && place >= place_) return;
    place_ = place;
    cause_.clear();
    cause_.add(what);
  }
  int exit_code() const { return fails_ == 0 ? 0 : static_cast<int>(place_); }
  std::string_view cause() const { return cause_.text(); }
  unsigned fails() const { return fails_; }
  unsigned warnings() const { return warnings_; }

 private:
  unsigned fails_ = 0, warnings_ = 0;
  Place place_ = Place::here;
  Text<700> cause_;
};

// Who answers where a SockMux was expected, and has got a HELLO of ours.
enum class Greeting : uint8_t {
  nothing,      // not a byte yet
  partial,      // may be one of the next, when more has come
  sockmux1,     // HELLO with the word of SockMux 1
  sockmux03,    // HELLO without it: a DeleGate
  secure_only,  // BYE: it wants secure links
  bye,          // BYE for another reason
  secure,       // a message of a secure link
  echo,         // what we have said ourselves
  ssh,
  http,
  tls,
  text,  // some other program's words
  binary,
};

inline bool begins(std::string_view s, std::string_view with) { return first(s, with.size()) == with; }

// BYE: "secure link only: ...", in the words of a secure port. Source: sockmux(7), "BYE".
constexpr std::string_view kSecureOnly = "secure link only";
// The text of HELLO and BYE, without what ends it; of anything else as much as is printable.
inline std::string_view greeting_text(Bytes got) {
  std::string_view s = as_text(got);
  if (got.size > kHeader && (got.data[0] == kVersion03 || got.data[0] == kUnnumbered)) {
    const size_t length = load16(got.data + 6);
    const size_t code = got.data[1] == static_cast<uint8_t>(Type::bye) ? 1u : 0u;
    s = skip(first(skip(s, kHeader), length), code);
  }
  size_t n = 0;
  while (n < s.size() && s[n] >= 0x20 && s[n] <= 0x7e) ++n;
  return first(s, n);
}

// `ours`: what we have said.
inline Greeting classify(Bytes got, Bytes ours) {
  const std::string_view s = as_text(got);
  if (got.size == 0) return Greeting::nothing;
  if (got.size <= ours.size && s == first(as_text(ours), got.size))
    return got.size == ours.size ? Greeting::echo : Greeting::partial;
  const bool hello = got.data[0] == kVersion03, unnumbered = got.data[0] == kUnnumbered;
  if (hello || unnumbered) {
    if (got.size < kHeader) return Greeting::partial;
    const uint8_t type = got.data[1];
    const size_t length = load16(got.data + 6);
    const bool known = type == static_cast<uint8_t>(hello ? Type::hello : Type::bye);
    if (!known || length == 0 || length > 320) return Greeting::binary;
    if (got.size < kHeader + length) return Greeting::partial;
    if (unnumbered) return begins(greeting_text(got), kSecureOnly) ? Greeting::secure_only : Greeting::bye;
    return parse_hello_word({got.data + kHeader, length}).present ? Greeting::sockmux1 : Greeting::sockmux03;
  }
  struct Mark {
    std::string_view begin;
    Greeting greeting;
  };
  using namespace std::literals;
  constexpr Mark kMarks[] = {{"SMXS"sv, Greeting::secure},
                             {"SSH-"sv, Greeting::ssh},
                             {"HTTP/"sv, Greeting::http},
                             {"\x15\x03"sv, Greeting::tls},
                             {"\x16\x03"sv, Greeting::tls}};
  for (const Mark& m : kMarks) {
    if (begins(s, m.begin)) return m.greeting;
    if (s.size() < m.begin.size() && begins(m.begin, s)) return Greeting::partial;
  }
  if (begins(s, "<") || greeting_text(got).size() >= 3) return Greeting::text;
  return s.size() < 3 ? Greeting::partial : Greeting::binary;
}

// What such a program is called, behind "at 192.0.2.1:22 ".
inline const char* name(Greeting g) {
  switch (g) {
    case Greeting::sockmux1: return "a SockMux 1 answers";
    case Greeting::sockmux03: return "a SockMux 0.3 (a DeleGate) answers";
    case Greeting::secure_only:
    case Greeting::secure: return "a SockMux for secure links answers";
    case Greeting::bye: return "a SockMux answers that it wants no link";
    case Greeting::echo: return "something sends back what it gets";
    case Greeting::ssh: return "an SSH server answers";
    case Greeting::http: return "a web server answers";
    case Greeting::tls: return "a TLS server answers";
    case Greeting::text:
    case Greeting::binary:
    case Greeting::partial: return "some other program answers";
    case Greeting::nothing: break;
  }
  return "nothing is said";
}

}  // namespace smx::ctl

#endif
