// Who we are, and who may be at the other end: what handshakes ask for.
//
// Owner: the daemon, which fills both from files. Invariant: what a PeerBook gives is a copy, so that the files may be read
// again at any time. Read next: shake.h, config/peers.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_PEER_BOOK_H
#define SOCKMUX_TRANSPORT_SECURE_PEER_BOOK_H

#include "core/base/address.h"
#include "core/base/peer_key.h"
#include "core/base/text.h"
#include "transport/secure/message.h"
#include "transport/secure/noise.h"

namespace smx::secure {

constexpr size_t kPeerName = 32;

// Our own key, read at the start.
struct OwnKeys {
  KeyPair pair;
  MacKey mac;
  explicit OwnKeys(const Secret& key) : pair(key), mac(pair.shown) {}
  PeerKey shown() const {
    PeerKey key;
    memcpy(key.bytes, pair.shown, kKey);
    return key;
  }
};

struct SecurePeer {
  PeerKey key;
  Text<kPeerName> name;
  Secret psk;  // zeros: none

  SecurePeer() = default;
  SecurePeer(const SecurePeer& other) { *this = other; }
  SecurePeer& operator=(const SecurePeer& other) {
    if (this == &other) return *this;  // else its name would be cleared before it is read
    key = other.key;
    name.clear();
    name.add(other.name.text());
    psk = other.psk;
    return *this;
  }
};

class PeerBook {
 public:
  // False: there is no such peer.
  virtual bool find_key(const PeerKey& key, SecurePeer* out) const = 0;
  virtual bool find_name(std::string_view name, SecurePeer* out) const = 0;
  // The only peer there is; false: there are none, or several.
  virtual bool find_only(SecurePeer* out) const = 0;
  // FROM=: may a link of this peer come from there? An address without a family is no IP address, and may.
  virtual bool may_come_from(const PeerKey& key, const Address& from) const = 0;
  // Who is wanted at the other end of a link: `name`, or, if it is empty, the only one there is. False: `why` says why not.
  bool find_wanted(std::string_view name, SecurePeer* out, TextBase& why) const {
    if (name.empty() ? find_only(out) : find_name(name, out)) return true;
    if (name.empty()) why.add("which peer? the peers file names none, or several");
    else why.add("the peers file has no '").add_printable(name).add('\'');
    return false;
  }
  // Another one after each change: what was found before may not be true any more.
  virtual uint32_t edition() const = 0;

 protected:
  ~PeerBook() = default;
};

}  // namespace smx::secure

#endif
