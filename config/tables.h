// What DeleGate's command line knows: names of parameters and what we do with each, protocols and their ports, words
// of lists.
//
// Invariant: constant data only. Read next: parser.h. Source: sockmuxd(8), sockmux.conf(5), DeleGate's manual.
#ifndef SOCKMUX_CONFIG_TABLES_H
#define SOCKMUX_CONFIG_TABLES_H

#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "config/scan.h"

namespace smx {

// Where a link goes to if SERVER=sockmux://host gives no port.
constexpr uint16_t kLinkPort = 8707;

struct Protocol {
  char name[9];       // lower case
  uint16_t port = 0;  // 0: must be given
  Transport transport = Transport::tcp;
  bool has_proxy = false;   // SERVER=name,-in can be served by us; false as well for what this build lacks
  bool needs_host = false;  // the proxy relays to one address, which must be given
};

// nullptr: unknown. Case does not count.
const Protocol* find_protocol(std::string_view name);
Nearest nearest_protocol(std::string_view name);

// Lists of names are texts with commas, for Items and is_one_of(): a table would need a pointer for each name.

// Parameters that are accepted without effect.
const char* ignored_parameters();
// DeleGate's words of TIMEOUT, MAXIMA and SOXCONF that have no meaning here.
const char* ignored_timeouts();
const char* ignored_maxima();
const char* ignored_soxconf();

// nullptr: that parameter is not refused.
const char* why_refused(std::string_view name);
void give_refused(Nearest* nearest);

// The facilities of SYSLOG=-fname: syslog(3).
const char* syslog_facilities();

}  // namespace smx

#endif
