// Which peer a link or a port is for: the options and the peers file looked at together.
//
// Owner: nobody; pure functions. Read next: peers.h, config/config.h. Source: sockmux.conf(5), "PEERS FILE".
#ifndef SOCKMUX_CONFIG_PEERS_LINKS_H
#define SOCKMUX_CONFIG_PEERS_LINKS_H

#include "config/config.h"
#include "config/peers/peers.h"
#include "config/report.h"

namespace smx {

// If SOXCONF= names none.
constexpr char kKeyFile[] = "/etc/sockmux/key";
constexpr char kPeersFile[] = "/etc/sockmux/peers";

// Is there a secure link, so that both files are needed?
bool has_secure_link(const Config& config);

// Must we know who is there before the first byte? Who makes a link must, and both ends of a line: the one with the
// smaller key begins.
bool needs_peer(const LinkSpec& link);

// Who must be at the other end; nullptr: anybody of the file (needs_peer() is false), or nobody at all, since the file
// does not tell who: such a link must not be made.
const Peer* peer_of(const LinkSpec& link, const PeerList& peers);

// Do options and file fit together? False: the report has each error. `path` is the file's, for messages. After the start
// (`reread`) what does not fit is a warning, since a line may be taken away from a peer whose name is on the command
// line: then nobody gets that link or port until there is a line with its name again.
bool check_peers(const Config& config, const PeerList& peers, std::string_view path, bool reread, Report* report);

}  // namespace smx

#endif
