// What the answers of control commands are made of: rows of tables. Private to daemon_*.cc.
//
// Invariant: a field is printable and has no tab; a name's end says what a number counts: _s, _us, _bytes; "-": nothing is
// known. Read next: core/control/control.h, daemon_status.cc. Source: sockmuxctl(8), "The socket".
#ifndef SOCKMUX_DAEMON_TELL_H
#define SOCKMUX_DAEMON_TELL_H

#include "core/base/letters.h"
#include "core/control/control.h"
#include "core/session/session.h"

namespace smx {

constexpr std::string_view kNobody = "-";

// One line of a table: fields with a tab in between.
class Row {
 public:
  Row& add(std::string_view field) {
    next().add_printable(field.empty() ? kNobody : field);
    return *this;
  }
  Row& add(const char* field) { return add(std::string_view(field)); }
  Row& add(uint64_t number) {
    next().add_u(number);
    return *this;
  }
  Row& add(const Address& address) {
    if (address.family == 0) return add(kNobody);
    append_address(next(), address);
    return *this;
  }
  std::string_view text() const { return text_.text(); }

 private:
  TextBase& next() { return text_.size() > 0 ? text_.add('\t') : text_; }

  Text<ControlReply::kLine> text_;
};

inline uint64_t whole_seconds(Duration d) { return d.us < 0 ? 0 : static_cast<uint64_t>(d.us / 1000000); }
inline const char* yes(bool is) { return is ? "yes" : "no"; }

// daemon_peers.cc
const char* state_of(const Session& s);
// Has it a peer, had one that may come back, or looks for one?
bool is_somebodys(const Session& s);
// Who is not an address: "tty:/dev/ttyS0", "stdio"; where we call and nobody has answered yet, who is called.
void append_place(TextBase& to, const Session& s);

}  // namespace smx

#endif
