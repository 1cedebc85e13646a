// What SERVER=name://host:port,-in can mean. Order is the order of -h. Read next: relay.h.
#include "relay/exec.h"
#include "relay/proxy.h"
#include "relay/relay.h"
#include "relay/stream.h"

namespace smx {

namespace {

constexpr Relay kRelays[] = {
    {"tcprelay", "bytes to host:port, unchanged", open_tcp},
    {"exec", "a program, with the channel at its fd 0 and 1", open_exec},
    {"ftp", "FTP, data connections too; without host: USER name@host", open_ftp},
    {"http", "CONNECT, and requests with a whole URL", open_http},
    {"socks", "SOCKS 4, 4a and 5: CONNECT", open_socks},
    {"telnet", "asks for a host, then relays", open_telnet},
};

}  // namespace

const Relay& find_relay(std::string_view name) {
  for (const Relay& r : kRelays)
    if (name == r.name) return r;
  return kRelays[0];  // any other protocol with an address: its bytes, unchanged
}

}  // namespace smx
