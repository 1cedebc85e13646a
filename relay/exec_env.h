// What a program that serves a channel is told of its client: the values of kClientVariables.
//
// Owner: the stack of whoever starts the program.
// Read next: exec.cc, core/io/child.h. Source: RFC 3875 4.1; sockmux.conf(5), "Programs as servers".
#ifndef SOCKMUX_RELAY_EXEC_ENV_H
#define SOCKMUX_RELAY_EXEC_ENV_H

#include "core/base/check.h"
#include "core/io/helper.h"
#include "core/session/session.h"

namespace smx {

class ClientValues {
 public:
  void add(std::string_view value) { view_[size_] = text_[size_].add_printable(value).text(); ++size_; }
  // In the order of kClientVariables.
  const std::string_view* list() const { return view_; }
  size_t size() const { return size_; }

 private:
  Text<kClientValue - 1> text_[kClientVariableCount];
  std::string_view view_[kClientVariableCount];
  size_t size_ = 0;
};

inline std::string_view ip_text(Text<kAddressText>& to, const Address& a) {
  to.clear();
  if (!a.is_none()) append_ip(to, a);
  return to.text();
}

inline std::string_view port_text(Text<kAddressText>& to, const Address& a) {
  to.clear();
  return to.add_u(a.port).text();
}

// RFC 3875 4.1, and sockmux.conf(5), "Programs as servers".
inline void describe_client(ClientValues& v, Session& session, const OpenInfo& info) {
  Text<kAddressText> text;
  v.add(ip_text(text, info.client));
  v.add(text.text());
  v.add(port_text(text, info.client));
  v.add(ip_text(text, info.local));
  v.add(port_text(text, info.local));
  v.add(text.text());
  // What the peers file calls it is proven; what it calls itself is not.
  const std::string_view peer = session.peer_key() != nullptr ? session.peer_label() : session.mux().peer_name();
  v.add(peer.empty() ? ip_text(text, session.peer()) : peer);
  SMX_CHECK(v.size() == kClientVariableCount);
}

}  // namespace smx

#endif
