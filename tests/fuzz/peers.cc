// The peers file, and what its peers may. Input: the file. Where it is right each key and name is there once, and is found.
// Read next: config/peers/peers.h.
#include "config/peers/changes.h"
#include "config/peers/links.h"
#include "config/peers/peers.h"
#include "core/base/letters.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/texts.h"

namespace fuzz {

namespace {

bool decode(const char* text, size_t size, uint8_t out[smx::PeerKey::kSize]) {
  smx::PeerKey key;
  const bool good = smx::parse_public_key({text, size}, &key);
  if (good) memcpy(out, key.bytes, sizeof key.bytes);
  return good;
}

void use(const smx::Peer& p, const Lookup& lookup) {
  for (const char* ip : {"127.0.0.1", "10.0.0.5", "2001:db8::1", "0.0.0.0", "::"}) {
    smx::Address at;
    MUST(smx::parse_ip(ip, &at));
    (void)smx::may_call(p.rights, at);
    for (const uint16_t port : {uint16_t{0}, uint16_t{22}, uint16_t{2222}, uint16_t{65535}}) {
      at.port = port;
      for (const smx::Transport t : {smx::Transport::tcp, smx::Transport::udp}) {
        const bool bound = smx::may_bind(p.rights, at, t);
        if (p.rights.ports.empty()) MUST(!bound);
        (void)smx::may_reach(p.rights, "kname", 0, at, t, lookup);
        (void)smx::may_reach(p.rights, "", smx::name_key("kname"), at, t, lookup);
      }
    }
  }
}

}  // namespace

void peers(smx::Bytes input) {
  constexpr size_t kMemory = 256 * 1024;
  const Lookup lookup;
  static smx::Report report;
  report.clear();
  Exact text(input);
  smx::PeersText file;
  file.path = "peers";
  file.text = text.size() == 0 ? nullptr : reinterpret_cast<char*>(text.data());
  file.size = text.size();
  file.decode = decode;
  smx::Arena arena(zeroed<kMemory>(), kMemory);
  smx::PeerList list;
  const smx::PeersResult result = smx::parse_peers(file, arena, &list, &report);
  if (result == smx::PeersResult::no_memory) return;
  look_at(report, result == smx::PeersResult::ok);
  if (result != smx::PeersResult::ok) return;
  for (size_t i = 0; i < list.count(); ++i) {
    const smx::Peer& p = list.peers[i];
    MUST(smx::is_peer_name(p.name));
    MUST(list.find(p.key) == &p);
    MUST(list.find(p.name) == &p);
    if (i > 0) MUST(memcmp(list.at(i - 1).key.bytes, list.at(i).key.bytes, sizeof p.key.bytes) < 0);
    use(p, lookup);
  }
}

}  // namespace fuzz
