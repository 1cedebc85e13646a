// What a relay must be able to do: serve the channels that the peer opens. A new one is a file and a line in registry.cc.
//
// Read next: registry.cc, exit.h (who chooses), stream.h (what all TCP relays share).
#ifndef SOCKMUX_RELAY_RELAY_H
#define SOCKMUX_RELAY_RELAY_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/clock.h"
#include "core/session/session.h"

namespace smx {

class Streams;

// For the lists at the exit a program is a server on this host, at no port.
constexpr Address kProgramAddress = loopback_of(4);

// Descriptors of the reactor that relays leave to links, the resolver and the log. Entries (listeners) leave more than
// exits: a channel that was let in there is served here.
constexpr uint32_t kEntrySpareFds = 16;
constexpr uint32_t kExitSpareFds = 8;

// So many descriptors must be left to others by what serves a channel of this session's peer, when it takes one. Where they are scarce
// a peer has at most seven times what is left for its own channels: one alone seven eighths, the next one seven eighths of the rest.
// Source: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches", IEEE/ACM Transactions on Networking
// 6(2), 1998.
uint32_t fds_to_leave(const Session& session);

// Where a channel is to go, as the configuration says.
struct RelayTarget {
  std::string_view label;  // the protocol's name: "telnet", "tcprelay"
  std::string_view host;
  uint16_t port = 0;
  bool udp = false;        // datagrams: served by udp_exit.h
  Address source;          // SRCIF; none: the system chooses
  Duration connect_limit;
  bool has_address = false;  // host and port are given
  bool run = false;          // a proxy or a program serves the channel: ",-in" without an address, or "-in(words)"
  Duration login_limit;      // TIMEOUT=login, io: for proxies
  Duration io_limit;
  uint8_t send_proxy = 0;    // the server is told of the client first, in this version of proxy_header.h
  // exec: a program serves the channel
  std::string_view command;    // for sh -c, known to the helper; NUL behind its end
  bool pipes = false;          // XFIL: pipes at its fd 0 and 1; else one socket at 0, 1 and 2
  uint32_t max_programs = 0;   // MAXIMA=delegated among the words: of this server at once
  uint32_t max_per_client = 0;  // MAXIMA=conpch among the words; 0: no limit
  const void* rule = nullptr;  // what the router knows it by, when an address is asked about
};

// The configuration's choice: SERVER=...,-in and DEST.
class Router {
 public:
  // False: no server.
  virtual bool choose(const OpenInfo& info, Dialect dialect, RelayTarget* target) = 0;
  // May this address of the target be connected to? PERMIT, REJECT and REACHABLE, once its name is resolved; and DEST= of
  // the peer who has opened the channel (nullptr: a clear link, which knows none).
  virtual bool address_allowed(const void* rule, const OpenInfo& info, Dialect dialect, const PeerKey* peer, const Address& to) = 0;

  // A proxy's client asks for a server. May `protocol` be relayed to `port`? REMITTABLE; `otherwise` where none is given.
  virtual bool remittable(const void* rule, std::string_view protocol, uint16_t port, bool otherwise) = 0;
  // As address_allowed(), for the host that was asked for; `to` is one of its addresses, with the port.
  virtual bool asked_allowed(const void* rule, const OpenInfo& info, Dialect dialect, const PeerKey* peer, std::string_view protocol,
                             std::string_view host, const Address& to) = 0;
  // HOSTS among the proxy's words or the daemon's: an address of that name. False: the resolver knows.
  virtual bool known_host(const void* rule, std::string_view host, Address* out) = 0;
  // The same of a channel that is open, after the peers file or the configuration was read again; `host` as it was asked for,
  // empty: the target's, or name_key() of it is known (0: not); `protocol` that of a proxy's client, empty: the target's, or unknown.
  virtual bool still_allowed(const void* rule, const PeerKey* peer, std::string_view protocol, std::string_view host, uint64_t host_key, const Address& to) = 0;
  // The target is not in the configuration any more: whatever goes there ends, and what its RelayTarget points to is not valid
  // after that.
  virtual bool is_gone(const void* rule) const = 0;
  // RelayTarget::host of it, if it is not gone.
  virtual std::string_view host_of(const void* rule) const = 0;
  // May the peer have a port for everybody there (BIND without field 86)? PORT= of its line in the peers file.
  virtual bool bind_allowed(const PeerKey* peer, const Address& at, bool udp) = 0;

 protected:
  ~Router() = default;
};

// May a client of ours that is in, and the port at which it came, stay? Asked when the configuration was read again.
class ClientJudge {
 public:
  // `bind`: of a port that the peer has asked for. CloseCode::done: it stays.
  virtual CloseCode why_end(const Address& client, const Address& local, bool udp, bool bind) = 0;

 protected:
  ~ClientJudge() = default;
};

struct Relay {
  const char* name;
  const char* about;
  // Takes the channel: answers accept() or refuse(), now or later. False: no room; the caller refuses.
  bool (*open)(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
};

// The relay for a server: by name, or the plain one, which serves every protocol with an address.
const Relay& find_relay(std::string_view name);

}  // namespace smx

#endif
