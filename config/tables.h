// What DeleGate's command line knows: names of parameters and what we do with each, protocols and their ports, words
// of lists.
//
// Invariant: constant data only. Read next: parser.h. Source: sockmuxd(8), sockmux.conf(5), DeleGate's manual.
#ifndef SOCKMUX_CONFIG_TABLES_H
#define SOCKMUX_CONFIG_TABLES_H

#include <stdint.h>

#include <string_view>

#include "config/config.h"

namespace smx {

// Where a link goes to if SERVER=sockmux://host gives no port.
constexpr uint16_t kLinkPort = 8707;

struct Protocol {
  std::string_view name;  // lower case
  uint16_t port = 0;      // 0: must be given
  Transport transport = Transport::tcp;
  bool has_proxy = false;   // SERVER=name,-in can be served by us
  bool needs_host = false;  // the proxy relays to one address, which must be given
};

// nullptr: unknown. Case does not count.
const Protocol* find_protocol(std::string_view name);
View<Protocol> protocols();

// Parameters that are accepted without effect.
View<std::string_view> ignored_parameters();
// DeleGate's words of TIMEOUT, MAXIMA and SOXCONF that have no meaning here.
View<std::string_view> ignored_timeouts();
View<std::string_view> ignored_maxima();
View<std::string_view> ignored_soxconf();
bool is_one_of(View<std::string_view> names, std::string_view name);

// Parameters that are refused, in groups with one reason.
struct Refused {
  std::string_view name;
  std::string_view reason;
};
View<Refused> refused_parameters();
// nullptr: not refused.
const Refused* find_refused(std::string_view name);

// The facilities of SYSLOG=-fname: syslog(3).
View<std::string_view> syslog_facilities();

}  // namespace smx

#endif
