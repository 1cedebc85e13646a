// Read next: daemon_secure.h.
#include "daemon_secure.h"

#include <stdio.h>
#include <string.h>

#include <new>

#include "config/report.h"
#include "daemon.h"
#include "transport/secure/key_file.h"
#include "transport/secure_dialer.h"
#include "transport/secure_door.h"

namespace smx {

using namespace secure;

namespace {

constexpr const char* kKeyFile = "/etc/sockmux/key";
constexpr const char* kPeersFile = "/etc/sockmux/peers";

class Book final : public PeerBook {
 public:
  SecurePeer peer[64];
  size_t count = 0;
  bool find_key(const PeerKey& key, SecurePeer* out) const override {
    for (size_t i = 0; i < count; ++i)
      if (peer[i].key == key) return copy(i, out);
    return false;
  }
  bool find_name(std::string_view name, SecurePeer* out) const override {
    for (size_t i = 0; i < count; ++i)
      if (peer[i].name.text() == name) return copy(i, out);
    return false;
  }
  bool find_only(SecurePeer* out) const override { return count == 1 && copy(0, out); }
  bool may_come_from(const PeerKey& key, const Address& from) const override { return (void)key, (void)from, true; }
  bool copy(size_t i, SecurePeer* out) const {
    *out = peer[i];
    return true;
  }
};

Carrier carrier_of(const LinkSpec& link) {
  return link.kind == LinkSpec::Kind::connect_tcp || link.kind == LinkSpec::Kind::accept_tcp ? Carrier::connection : Carrier::pipe;
}

SecureDialer::Role role_of(const LinkSpec& link) {
  switch (link.kind) {
    case LinkSpec::Kind::stdio: return SecureDialer::Role::answers;
    case LinkSpec::Kind::fifo:
    case LinkSpec::Kind::device: return SecureDialer::Role::by_key;
    default: return SecureDialer::Role::calls;
  }
}

class Secured final : public SecureSide {
 public:
  Secured(Reactor& reactor, LinkTaker& sessions, Arena& arena, const Secret& key)
      : reactor_(reactor), arena_(arena), own_(key), links_(reactor), door_(reactor, links_, sessions) {}
  bool init(const Config& config, uint32_t links) {
    return links_.init(links, config.renew_interval, arena_) && door_.init(config.max_half_open, own_, book_, arena_);
  }
  Dialer* around(Dialer& below, const LinkSpec& link) override {
    return arena_.create<SecureDialer>(reactor_, below, links_, own_, static_cast<const PeerBook&>(book_), link.peer, role_of(link), carrier_of(link));
  }
  LinkTaker& door() override { return door_; }
  Book& book() { return book_; }

 private:
  Reactor& reactor_;
  Arena& arena_;
  OwnKeys own_;
  Book book_;
  SecureLinks links_;
  SecureDoor door_;
};

}  // namespace

uint64_t secure_arena_bytes(const Config& config, uint32_t links) {
  if (!any_secure(config)) return 0;
  return sizeof(Secured) + SecureLinks::arena_bytes(links) + SecureDoor::arena_bytes(config.max_half_open) +
         config.links.count * (sizeof(SecureDialer) + 64) + 4096;
}

uint32_t secure_timers(const Config& config, uint32_t links) {
  return !any_secure(config) ? 0 : links + config.max_half_open + static_cast<uint32_t>(config.links.count);
}

int make_secure_side(const Config& config, uint32_t links, Reactor& reactor, LinkTaker& sessions, Arena& arena, SecureSide** out) {
  if (!any_secure(config)) return 0;
  start_crypto();
  const char* key_path = config.key_file.empty() ? kKeyFile : config.key_file.data();
  const char* peers_path = config.peers_file.empty() ? kPeersFile : config.peers_file.data();
  Secret key;
  const KeyFile file = read_key_file(key_path, &key);
  if (file.status != KeyFile::Status::ok) {
    Text<400> text;
    explain(file, key_path, &text);
    say("", text.text());
    return secure::exit_code(file);
  }
  Secured* side = arena.create<Secured>(reactor, sessions, arena, key);
  if (side == nullptr || !side->init(config, links)) {
    say("", "cannot set the tables of secure links aside: a bug in the sum of their sizes");
    return kExitSystem;
  }
  FILE* f = fopen(peers_path, "re");
  char name[40], text[60];
  while (f != nullptr && fscanf(f, "%39s %59s", name, text) == 2) {
    SecurePeer& p = side->book().peer[side->book().count];
    p.name.add(name);
    if (decode_key(text, strlen(text), p.key.bytes)) ++side->book().count;
  }
  if (f != nullptr) fclose(f);
  *out = side;
  return 0;
}

}  // namespace smx
