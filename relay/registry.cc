// What SERVER=name://host:port,-in can mean; nullptr: not in this build. Order is the order of -h. Read next: relay.h.
#include "core/base/features.h"
#include "relay/exec.h"
#include "relay/proxy.h"
#include "relay/relay.h"
#include "relay/stream.h"

namespace smx {

namespace {

constexpr Relay kRelays[] = {
    {"tcprelay", "bytes to host:port, unchanged", open_tcp},
    {"exec", "a program, with the channel at its fd 0 and 1", kHasExec ? open_exec : nullptr},
    {"ftp", "FTP, data connections too; without host: USER name@host", kHasFtp ? open_ftp : nullptr},
    {"http", "CONNECT, and requests with a whole URL", kHasHttp ? open_http : nullptr},
    {"socks", "SOCKS 4, 4a and 5: CONNECT", kHasSocks ? open_socks : nullptr},
    {"telnet", "asks for a host, then relays", kHasTelnet ? open_telnet : nullptr},
};

}  // namespace

const Relay& find_relay(std::string_view name) {
  for (const Relay& r : kRelays)
    if (name == r.name && r.open != nullptr) return r;
  return kRelays[0];  // any other protocol with an address: its bytes, unchanged
}

}  // namespace smx
