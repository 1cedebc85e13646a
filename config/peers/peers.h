// The peers file: who may be at the other end of a secure link, and what each of them may do here.
//
//     file --parse_peers()--> PeerList --find()--> Peer --may_bind(), may_reach(), may_call()--> yes or no
//
// Owner: the arena that parse_peers() is given, and the text; every view points into one of the two. Invariant: a PeerList
// without errors has each key and each name once. Pure: no file, no resolver, no clock.
// Read next: table.h (the file itself, and HUP), changes.h, links.h. Source: sockmux.conf(5), "PEERS FILE".
#ifndef SOCKMUX_CONFIG_PEERS_PEERS_H
#define SOCKMUX_CONFIG_PEERS_PEERS_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "config/hostlist.h"
#include "config/report.h"
#include "core/base/arena.h"
#include "core/base/peer_key.h"

namespace smx {

constexpr size_t kMaxPeers = 16384;
constexpr size_t kMaxPeerLine = 1024;  // bytes, without the line's end
constexpr size_t kMaxPeerItems = 64;   // in one list
constexpr size_t kMaxPeerName = kPeerLabel;
constexpr size_t kKeyTextSize = 44;    // 32 bytes in base64

// One item of PORT=: ports that a BIND may ask for.
struct PeerPort {
  Address at;  // none: at any address; else exactly there
  uint16_t first = 0;
  uint16_t last = 0;  // 0 alone: any free port, chosen by us
  Transport transport = Transport::tcp;
  bool negated = false;
};

// nullptr: the word is left out.
struct PeerRights {
  View<PeerPort> ports;            // none: no BIND
  const HostList* dest = nullptr;  // nullptr: what the command line offers
  const HostList* from = nullptr;  // nullptr: from everywhere
  // As written; empty: left out.
  std::string_view ports_text, dest_text, from_text;
};

struct Peer {
  PeerKey key;
  std::string_view name;
  uint8_t psk[PeerKey::kSize] = {};  // left out: zeros
  bool has_psk = false;
  PeerRights rights;
  uint32_t line = 0;
};

struct PeerList {
  View<Peer> peers;  // in the order of the file
  const uint32_t* by_key = nullptr;
  const uint32_t* by_name = nullptr;

  size_t count() const { return peers.count; }
  // The i-th in the order of the keys.
  const Peer& at(size_t i) const { return peers[by_key[i]]; }
  // nullptr: nobody.
  const Peer* find(const PeerKey& key) const;
  const Peer* find(std::string_view name) const;
};

struct PeersText {
  std::string_view path;         // for messages
  char* text = nullptr;          // the file; what stands behind PSK= is erased once it is read
  size_t size = 0;
  bool others_can_read = false;  // then it must have no PSK=
  const PeerKey* own = nullptr;  // our public key, which must not be among them; nullptr: not known
  View<HostEntry> hosts;         // HOSTS=, for names in DEST=
  // PSK= of 44 characters, in constant time. False: it is none.
  bool (*decode)(const char* text, size_t size, uint8_t out[PeerKey::kSize]) = nullptr;
};

enum class [[nodiscard]] PeersResult : uint8_t {
  ok,
  wrong,      // the report has file and line of each error
  no_memory,  // the arena is too small; the report says nothing of it
};
// Unless it is ok, the text and what the arena gave may still hold a PSK: the caller erases both.
PeersResult parse_peers(const PeersText& file, Arena& arena, PeerList* out, Report* report);

// 32 bytes in strict base64 (RFC 4648, 4: padding, no blanks, the unused bits zero). Public keys only: its time depends
// on the text. append_key() of core/base/peer_key.h writes it.
[[nodiscard]] bool parse_public_key(std::string_view text, PeerKey* out);

// Is that a name of a peer, and no commtype?
bool is_peer_name(std::string_view name);

// May it have a listening port there? `at` as BIND asks for it.
bool may_bind(const PeerRights& rights, const Address& at, Transport transport);
// May its channel be connected to `to`, an address of the `host` that was asked for (a name, an address or empty)? What a
// name of DEST= cannot tell says no.
bool may_reach(const PeerRights& rights, std::string_view host, uint64_t host_key, const Address& to, Transport transport,
               const NameLookup& lookup);
// May its link come from there? Where there is no address (a line, a program), nothing forbids it.
bool may_call(const PeerRights& rights, const Address& from);

// Overwrites `size` bytes in a way that no compiler leaves out.
void erase_bytes(void* at, size_t size);

}  // namespace smx

#endif
