// Read next: daemon_secure.h.
#include "daemon_secure.h"

#include <new>

#include "config/peers/changes.h"
#include "config/report.h"
#include "core/io/log.h"
#include "core/io/process.h"
#include "core/io/resident.h"
#include "daemon.h"
#include "transport/secure/key_file.h"
#include "transport/secure_dialer.h"
#include "transport/secure_door.h"
#include "transport/secure_line.h"

namespace smx {

using namespace secure;

namespace {

// The peers file as handshakes ask for it.
class Book final : public PeerBook {
 public:
  explicit Book(const Peers& peers) : peers_(peers) {}
  uint32_t edition() const override { return edition_; }
  void renew() { ++edition_; }
  bool find_key(const PeerKey& key, SecurePeer* out) const override { return copy(peers_.find(key), out); }
  bool find_name(std::string_view name, SecurePeer* out) const override { return copy(peers_.find(name), out); }
  bool find_only(SecurePeer* out) const override { return peers_.list().count() == 1 && copy(&peers_.list().at(0), out); }
  bool may_come_from(const PeerKey& key, const Address& from) const override {
    const Peer* peer = peers_.find(key);
    return peer != nullptr && (from.family == 0 || may_call(peer->rights, from));
  }

 private:
  static bool copy(const Peer* peer, SecurePeer* out) {
    if (peer == nullptr) return false;
    out->key = peer->key;
    out->name.clear();
    out->name.add(peer->name);
    out->psk = Secret(peer->psk);
    return true;
  }
  const Peers& peers_;
  uint32_t edition_ = 0;
};

// HELLO of a session that is to be found.
class Hello final : public Greeter {
 public:
  explicit Hello(const MuxConfig& mux) : mux_(mux) {}
  size_t greet(Link& below, LinkStart* start, uint8_t* out) const override {
    *start = new_start(below);
    return Mux::first_packet(mux_, *start, out);
  }

 private:
  const MuxConfig& mux_;
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
  Secured(const Config& config, const MuxConfig& mux, Reactor& reactor, Sessions& sessions, Arena& arena, const Secret& key)
      : config_(config), hello_(mux), reactor_(reactor), sessions_(sessions), arena_(arena), own_(key), links_(reactor), door_(reactor, links_, sessions) {}

  bool init(uint32_t links) override {
    return links_.init(links, config_.renew_interval, arena_) && door_.init(config_.max_half_open, own_, book_, &hello_, arena_);
  }
  // False: report_ says why.
  bool load(std::string_view path) {
    if (!absolute_path(path, &path_)) path_.clear(), path_.add(path);
    PeersSource source;
    source.path = path_.text();
    source.own = own_.shown();
    source.has_own = true;
    source.hosts = config_.hosts;
    source.decode = decode_key;
    return peers_.load(source, &report_) && check_peers(config_, peers_.list(), path, false, &report_);
  }
  const Report& report() const override { return report_; }

  Dialer* around(Dialer& below, const LinkSpec& link, bool lossy) override {
    // A program that hangs is ended, and started again; to the other end of a FIFO or a line somebody may come at any time.
    const Duration patience = link.kind == LinkSpec::Kind::program ? config_.hello_timeout : Duration{};
    if (lossy) {
      SecureLine* line = arena_.create<SecureLine>(reactor_.timers(), below, own_, static_cast<const PeerBook&>(book_), link.peer, config_.renew_interval);
      if (line == nullptr) return nullptr;
      line->set_patience(patience);
      line->next = lines_;
      return lines_ = line;
    }
    auto* dialer = arena_.create<SecureDialer>(reactor_, below, links_, own_, static_cast<const PeerBook&>(book_), link.peer, role_of(link), carrier_of(link));
    if (dialer != nullptr) dialer->set_patience(patience);
    return dialer;
  }
  LinkTaker& door() override { return door_; }
  const Peers& peers() const override { return peers_; }

  bool reload(Time now) override {
    report_.clear();
    const bool good = peers_.reload(&report_);
    if (good) static_cast<void>(check_peers(config_, peers_.list(), peers_.path(), true, &report_));
    for (const Problem& p : report_.errors()) LogLine(LogLevel::error, "peers-wrong").kv("reason", p.text.text());
    for (const Problem& p : report_.warnings()) LogLine(LogLevel::warning, "peers-wrong").kv("reason", p.text.text());
    if (!good) return false;
    book_.renew();
    PeerChanges changes(peers_.old(), peers_.list());
    PeerChange change;
    while (changes.next(&change))
      if (change.any() && !change.gone()) live_by(change, now);
    // Nobody stays of whom the file knows nothing, however he came in.
    for (uint32_t i = 0; i < sessions_.count(); ++i) {
      Session& s = sessions_.at(i);
      if (s.peer_key() != nullptr && (s.has_link() || s.held()) && peers_.find(*s.peer_key()) == nullptr) s.end(ByeCode::forbidden, "key removed", now);
    }
    for (SecureLine* l = lines_; l != nullptr; l = l->next) l->on_new_book(now);
    LogLine(LogLevel::info, "peers-read").kv("file", peers_.path()).kv("peers", peers_.list().count());
    return true;
  }
  void forget_old() override { peers_.forget_old(); }

  void protect() override {
    forbid_dumps();
    hide(true);
    lock_memory(&own_, sizeof own_);  // at least that, where little may be locked
    lock_memory(this, sizeof *this);
    for (int half = 0; half < 2; ++half) lock_memory(peers_.memory(half), peers_.half_bytes());
  }
  void hide(bool on) override {
    hide_memory(this, sizeof *this, on);
    for (int half = 0; half < 2; ++half) hide_memory(peers_.memory(half), peers_.half_bytes(), on);
  }

 private:
  void live_by(const PeerChange& change, Time now) {
    uint32_t at = 0;
    while (Session* found = sessions_.next_of(&change.old->key, &at)) {
      Session& s = *found;
      if (!s.has_link() && !s.held()) continue;
      if (change.renamed && s.dials()) s.drop("its name in the peers file is another one", now);
      if (change.renamed) s.rename(change.now->name);
      // The session goes on over a link that is made with the new one.
      if (change.psk) s.drop("PSK= changed", now);
      if (change.from && !s.dials() && s.has_link() && !may_call(change.now->rights, s.peer())) s.drop("FROM= forbids", now);
    }
  }

  const Config& config_;
  Hello hello_;
  Reactor& reactor_;
  Sessions& sessions_;
  Arena& arena_;
  OwnKeys own_;
  Text<1200> path_;
  Peers peers_;
  Book book_{peers_};
  Report report_;
  SecureLinks links_;
  SecureDoor door_;
  SecureLine* lines_ = nullptr;
};

constexpr size_t kPage = 64 * 1024;  // of any machine, at most

}  // namespace

uint64_t secure_arena_bytes(const Config& config, uint32_t links) {
  if (!has_secure_link(config)) return 0;
  constexpr size_t kDialer = sizeof(SecureDialer) > sizeof(SecureLine) ? sizeof(SecureDialer) : sizeof(SecureLine);
  return SecureLinks::arena_bytes(links) + SecureDoor::arena_bytes(config.max_half_open) + config.links.count * (kDialer + 64) + 4096;
}

uint32_t secure_timers(const Config& config, uint32_t links) {
  return !has_secure_link(config) ? 0 : links + config.max_half_open + 1 + 2 * static_cast<uint32_t>(config.links.count);
}

int make_secure_side(const Config& config, const MuxConfig& mux, Reactor& reactor, Sessions& sessions, Arena& arena, SecureSide** out) {
  if (!has_secure_link(config)) return 0;
  start_crypto();
  const std::string_view key_path = config.key_file.empty() ? std::string_view(smx::kKeyFile) : config.key_file;
  Secret key;
  const KeyFile file = read_key_file(key_path.data(), &key);
  if (file.status != KeyFile::Status::ok) {
    Text<400> text;
    explain(file, key_path, &text);
    say("", text.text());
    return secure::exit_code(file);
  }
  // Pages of its own, for protect().
  void* memory = reserve_memory((sizeof(Secured) + kPage - 1) / kPage * kPage);
  Secured* side = memory == nullptr ? nullptr : new (memory) Secured(config, mux, reactor, sessions, arena, key);
  if (side == nullptr) {
    say("", "cannot set the peers aside");
    return kExitSystem;
  }
  const bool good = side->load(config.peers_file.empty() ? std::string_view(kPeersFile) : config.peers_file);
  for (const Problem& p : side->report().errors()) say("", p.text.text());
  for (const Problem& p : side->report().warnings()) say("warning: ", p.text.text());
  *out = side;
  return good ? 0 : side->report().status();
}

}  // namespace smx
