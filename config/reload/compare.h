// A daemon's Config and the one that its files say now: what is the same, and can the daemon live by the new one without a
// restart?
//
// Owner: nobody; pure functions. Invariant: a Config that can_follow() lets through differs from the one in force only in
// what the daemon looks up anew each time, or can change in place. Read next: places.h, daemon_reload.cc (who asks).
// Source: sockmuxd(8), "Reload".
#ifndef SOCKMUX_CONFIG_RELOAD_COMPARE_H
#define SOCKMUX_CONFIG_RELOAD_COMPARE_H

#include "config/config.h"
#include "config/report.h"

namespace smx {

// One socket, which can stay open; whose clients it is for may change.
bool same_port(const ListenSpec& a, const ListenSpec& b);
bool same_port(const LinkSpec& a, const LinkSpec& b);  // of -P; and where a link is made to

// Does a channel that was opened to one go where the other one goes? Conditions, and words of -in(...), may differ.
bool same_target(const ServerSpec& a, const ServerSpec& b);
// The same in each word, and in the files that the words name.
bool same_server(const ServerSpec& a, const ServerSpec& b);
// One command with the same environment.
bool same_program(const ServerSpec& a, const ServerSpec& b);
// Who may come in, and what may be reached.
bool same_access(const Config& a, const Config& b);
// In all that the daemon obeys.
bool same_config(const Config& a, const Config& b);

// May a name have to be looked up? The first one, and where it stands; *name is empty for one that a proxy's client asks for.
bool asks_names(const Config& config, std::string_view* name, Origin* where);

// Where a port listens, if that is known without a resolver: an address, localhost, or a name of HOSTS.
bool find_port(const Config& config, const HostPort& at, Address* out);

// What was set aside at the start.
struct StartRoom {
  View<ServerSpec> servers;  // of the start: their programs can be run, and no other
  size_t ports = 0;          // of PORT and -P
  size_t places = 0;         // of SERVER and DEST
  size_t names = 0;          // in lists of hosts
  size_t far_ports = 0;      // of RPORT
  bool resolves = false;     // names can be looked up
};

// Can a daemon that lives by `now` live by `next`? False: `report` has an error for each thing that only a restart changes.
bool can_follow(const Config& now, const Config& next, const StartRoom& room, Report* report);

}  // namespace smx

#endif
