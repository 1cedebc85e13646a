// The environment of a program that serves a channel: who its client is, and -eNAME=value.
//
// Owner: the stack of whoever starts the program. Invariant: of each name the first one that was put is the one.
// Read next: exec.cc, core/io/child.h. Source: RFC 3875 4.1; sockmux.conf(5), "Programs as servers".
#ifndef SOCKMUX_RELAY_EXEC_ENV_H
#define SOCKMUX_RELAY_EXEC_ENV_H

#include <string.h>

#include "core/io/child.h"
#include "core/session/session.h"

namespace smx {

class Environment {
 public:
  void add(const char* name, std::string_view value) {
    Text<kVariable>& v = own_[own_size_++];
    v.add(name).add('=').add_printable(value);
    put(v.c_str());
  }
  // A name that is there already is not added.
  void put(const char* variable) {
    const char* end = strchr(variable, '=');
    const size_t n = end == nullptr ? strlen(variable) : static_cast<size_t>(end - variable) + 1;
    for (int i = 0; i < size_; ++i)
      if (strncmp(list_[i], variable, n) == 0) return;
    if (size_ < ChildSetup::kMostEnvironment) list_[size_++] = variable;
  }
  const char* const* list() const { return list_; }
  int size() const { return size_; }

 private:
  static constexpr size_t kVariable = 96;
  Text<kVariable> own_[8];
  int own_size_ = 0;
  const char* list_[ChildSetup::kMostEnvironment];
  int size_ = 0;
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
inline void describe_client(Environment& e, Session& session, const OpenInfo& info) {
  Text<kAddressText> text;
  e.add("REMOTE_ADDR", ip_text(text, info.client));
  e.add("REMOTE_HOST", text.text());
  e.add("REMOTE_PORT", port_text(text, info.client));
  e.add("SERVER_NAME", ip_text(text, info.local));
  e.add("SERVER_PORT", port_text(text, info.local));
  e.add("PORT", text.text());
  const std::string_view peer = session.mux().peer_name();
  e.add("PEER", peer.empty() ? ip_text(text, session.peer()) : peer);
}

}  // namespace smx

#endif
