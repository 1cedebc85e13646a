// Is a peer that comes the one of an older link? Clear links alone: on others a key tells. Pure.
//
// Read next: sessions.cc, ask_older(). Source: sockmux(7), "Session".
#ifndef SOCKMUX_CORE_SESSION_LIKENESS_H
#define SOCKMUX_CORE_SESSION_LIKENESS_H

#include <string_view>

#include "core/base/address.h"

namespace smx {

// What is known of a peer; empty, or no address: nothing.
struct PeerMarks {
  std::string_view name;  // SOXCONF=name
  std::string_view host;  // of its HELLO
  const Address& at;
};

enum class Likeness : uint8_t {
  other,
  maybe,    // two addresses, and one host name: it has moved, or that is what each of its make is called
  seems,    // one address, which others may share; or one host name where a link has no address
  is,       // one name
};

inline Likeness likeness(const PeerMarks& a, const PeerMarks& b) {
  if (!a.name.empty() && !b.name.empty()) return a.name == b.name ? Likeness::is : Likeness::other;
  const bool both = a.at.family != 0 && b.at.family != 0;
  if (both && same_ip(a.at, b.at)) return Likeness::seems;
  if (a.host.empty() || a.host != b.host || a.host == "localhost") return Likeness::other;
  return both ? Likeness::maybe : Likeness::seems;
}

}  // namespace smx

#endif
