// The questions that the daemon asks of a Config while it runs: may this client come in, which server gets its channel,
// may that server be reached.
//
// Owner: nobody; pure functions. Invariant: no answer waits for a resolver. What can't be decided yet (a name that is
// not resolved) lets nobody in. Read next: hostlist.h. Source: sockmuxd(8), "Access".
//
//     a client or a link comes in     allowed_client()
//     the peer sends CONNECT          choose(), then allowed_connect() for the server, for each address of its name
//                                     (a proxy: for each server that its client asks for)
#ifndef SOCKMUX_CONFIG_CHOOSE_H
#define SOCKMUX_CONFIG_CHOOSE_H

#include <string_view>

#include "config/config.h"
#include "config/hostlist.h"

namespace smx {

// May `who` use PORT, or make a link at -P? RELIABLE (.localnet if neither it nor PERMIT is given) must match, the
// clients of one PERMIT must match, if there is one, and of no REJECT whose protocols and servers are "*".
bool allowed_client(const Config& config, const Subject& who, const NameLookup& lookup);

// The server for a channel, or nullptr: CLOSE "No server". The first in order whose condition matches; if the kind is
// known, only among servers of that kind. who.client: as CONNECT tells it; none if that is no IP address.
const ServerSpec* choose(const Config& config, const Subject& who, const NameLookup& lookup);

// A server that is about to be connected to.
struct Target {
  std::string_view host;  // as it was asked for: a name or an address
  uint64_t host_key = 0;  // or name_key() of it, 0: neither
  uint16_t port = 0;
  Transport transport = Transport::tcp;
  Address address;  // one of its addresses; none: not resolved
  std::string_view protocol;  // of what a proxy's client asks for; empty: that of the server
};
// At the exit, at every CONNECT. Of the Config: REACHABLE must match; if a PERMIT has protocols or servers other than
// "*", one PERMIT must match; no REJECT of that kind may match. Of the words of -in(...): the same, with every PERMIT,
// REJECT and RELIABLE that stands there. With address none, names of lists can match the host's name only, so that a
// list of addresses says no: ask when the address is known.
bool allowed_connect(const Config& config, const ServerSpec& server, const Subject& who, const Target& target,
                     const NameLookup& lookup);

// The same of a client or a channel that was let in before the lists changed: what can't be decided, as a name that is not
// resolved yet, or a client that nobody remembers, lets it stay. `target.protocol` empty: unknown, if a proxy serves it.
bool still_allowed_client(const Config& config, const Subject& who, const NameLookup& lookup);
bool still_allowed_connect(const Config& config, const ServerSpec& server, const Target& target, const NameLookup& lookup);

// May a proxy relay `protocol` to `port`? REMITTABLE of its words, else of the command line, else `otherwise`: the
// proxy's own default.
bool remittable(const Config& config, const ServerSpec& server, std::string_view protocol, uint16_t port,
                bool otherwise);

// The addresses that HOSTS= gives to a name, before any resolver is asked; empty: it does not.
View<Address> find_host(const Config& config, std::string_view name);
View<Address> find_host(const Config& config, const ServerSpec& server, std::string_view name);

// May anybody in the world use this port (of PORT or -P)? Judged by what the lists say about addresses that belong to
// nobody (RFC 5737, RFC 3849); a port at a loopback address is never open.
bool is_open_to_world(const Config& config, const HostPort& at);

}  // namespace smx

#endif
