// Keys of secure links: are they there, and do both sides hold the right ones? A handshake as the daemon's, which ends when
// message 2 has opened: until the first record the other side changes nothing.
//
// Invariant: our private key is read as the daemon reads it, and goes nowhere. Read next: transport/secure/handshake.h.
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "config/peers/links.h"
#include "config/peers/table.h"
#include "core/io/clock.h"
#include "core/io/process.h"
#include "core/io/socket.h"
#include "tools/ctl/doctor.h"
#include "transport/random_secret.h"
#include "transport/secure/handshake.h"
#include "transport/secure/key_file.h"
#include "transport/secure/peer_book.h"

namespace smx::ctl {

using namespace secure;

namespace {

class RealKeys final : public Keys {
 public:
  explicit RealKeys(Arena& arena) : arena_(arena) {}

  bool load(Findings& f, const Config& config) override {
    config_ = &config;
    start_crypto();
    forbid_dumps();
    const std::string_view key_path = config.key_file.empty() ? std::string_view(smx::kKeyFile) : config.key_file;
    path_ = config.peers_file.empty() ? std::string_view(smx::kPeersFile) : config.peers_file;
    Secret key;
    const KeyFile file = read_key_file(key_path.data(), &key);
    if (file.status != KeyFile::Status::ok) return tell_key_file(f, file, key_path), false;
    own_ = arena_.create<OwnKeys>(key);
    peers_ = arena_.create<Peers>();
    Report* report = arena_.create<Report>();
    if (own_ == nullptr || peers_ == nullptr || report == nullptr) return false;
    append_key(shown_, own_->shown());
    f.ok("key %: only its owner can read it; its public key is %", {key_path, shown_.text()});
    PeersSource source;
    source.path = path_;
    source.own = own_->shown();
    source.has_own = true;
    source.hosts = config.hosts;
    source.decode = decode_key;
    const bool good = peers_->load(source, report) && check_peers(config, peers_->list(), path_, false, report);
    for (const Problem& e : report->errors())
      f.fail(Place::here, "wrong peers file: %", {e.text.text()},
             "A line of it is 'NAME KEY': a name of your choice, and what 'sockmuxctl pubkey' prints on that machine.");
    for (const Problem& w : report->warnings())
      f.warn("peers file: %", {w.text.text()}, "Add a line 'NAME KEY' for each machine that shall call.");
    if (good) f.ok("peers file %: %", {path_, Number(peers_->list().count(), "peer", "peers")});
    return good;
  }

  void shake(Findings& f, const LinkSpec& link, Fd fd, const Address& to) override {
    at_.clear();
    append_address(at_, to);
    const Peer* peer = peer_of(link, peers_->list());
    if (peer == nullptr) return;  // it was told
    Initiator initiator(own_->pair, peer->key.bytes, Secret(peer->psk), Carrier::connection);
    uint8_t out[kMessage1];
    const size_t size = initiator.begin(random_secret(), {}, read_clock(), out);
    if (size == 0)
      return f.fail(Place::here, "wrong peers file: the key of '%' is none that can be used", {peer->name},
                    "Copy it anew: 'sockmuxctl pubkey' there prints it.");
    Initiator::Got got = Initiator::Got::nothing;
    bool ended = write_fd(fd.get(), out, size).error != 0;
    while (!ended && got != Initiator::Got::up && got != Initiator::Got::bad) {
      if (!wait_for_fd(fd.get(), POLLIN, initiator.deadline() - read_clock())) break;
      uint8_t in[512];
      const IoResult r = read_fd(fd.get(), in, sizeof in);
      if (r.again) continue;
      ended = r.error != 0 || r.size == 0;
      for (Bytes rest{in, r.size}; rest.size > 0 && got != Initiator::Got::up && got != Initiator::Got::bad;)
        got = initiator.take(&rest, read_clock());
    }
    fd.reset();
    tell(f, *peer, initiator, got, ended, to);
  }

  std::string_view peers_file() const override { return path_; }
  std::string_view peer_name(size_t i) const override {
    return i < peers_->list().count() ? peers_->list().peers[i].name : std::string_view();
  }

 private:
  void tell_key_file(Findings& f, const KeyFile& file, std::string_view path) {
    Text<400> text;
    explain(file, path, &text);
    const std::string_view words = text.text();
    switch (file.status) {
      case KeyFile::Status::ok: return;
      case KeyFile::Status::missing:
        return f.fail(Place::here, "no key: %", {words},
                      "Its public key then belongs into the peers file of the other side.");
      case KeyFile::Status::unreadable:
        return f.fail(Place::here, "no permission: %", {words}, "Run this as root, as the daemon is started.");
      case KeyFile::Status::wrong_owner:
      case KeyFile::Status::open_mode:
        return f.fail(Place::here, "key open to others: %", {words}, "The daemon does not start with such a key.");
      case KeyFile::Status::not_a_file:
      case KeyFile::Status::not_a_key:
        return f.fail(Place::here, "not a key: %", {words}, "'sockmuxctl genkey FILE' makes a key in a new file.");
    }
  }

  void tell(Findings& f, const Peer& peer, const Initiator& initiator, Initiator::Got got, bool ended,
            const Address& to) {
    const std::string_view at = at_.text(), name = peer.name;
    if (got == Initiator::Got::up) return tell_up(f, peer, initiator);
    if (got == Initiator::Got::bad && initiator.fault() == Fault::answer) {
      return f.fail(
          Place::peer, "wrong PSK: what '%' at % answers does not open", {name, at},
          "PSK= must be the same in the peers files of both sides, or in neither: 'sockmuxctl genpsk' makes one. (Or the answer was changed on the way.)");
    }
    if (got == Initiator::Got::bad && initiator.fault() == Fault::version)
      return f.fail(Place::peer, "peer too old: '%' at % speaks another version of secure links", {name, at},
                    "Put the same version of sockmuxd on both sides.");
    switch (initiator.code()) {
      case Code::not_accepted:
        return f.fail(
            Place::peer, "wrong key: '%' at % does not accept our key", {name, at},
            "Its peers file needs the line 'NAME %' with a name of your choice, and no FROM= that keeps us out; then 'kill -HUP' the daemon there.",
            {shown_.text()});
      case Code::busy:
        return f.fail(Place::peer, "peer busy: '%' at % takes no more handshakes at this moment", {name, at},
                      "Try again in a minute; its log says who calls so often.");
      case Code::version:
        return f.fail(Place::peer, "peer too old: '%' at % speaks another version of secure links", {name, at},
                      "Put the same version of sockmuxd on both sides.");
      case Code::none:
      case Code::anew: break;
    }
    ask_again(f, peer, ended, to);
  }

  void tell_up(Findings& f, const Peer& peer, const Initiator& initiator) {
    uint8_t nothing = 0;
    const Greeting g = classify(initiator.payload(), {&nothing, 0});
    f.ok("handshake with '%' at %: both sides have the right keys%",
         {peer.name, at_.text(), peer.has_psk ? ", and the same PSK" : ""});
    if (g == Greeting::sockmux03 && config_->proto == Config::Proto::v1) {
      f.fail(Place::peer, "peer too old: '%' at % speaks SockMux 0.3, and SOXCONF=proto:1 forbids that",
             {peer.name, at_.text()}, "Take SOXCONF=proto:0.3 away there, or write SOXCONF=proto:auto here.");
    }
  }

  // It has not answered a secure handshake. A clear HELLO tells whether it is of our kind at all.
  void ask_again(Findings& f, const Peer& peer, bool ended, const Address& to) {
    Fd fd;
    uint8_t memory[512];
    Bytes got;
    bool over = false;
    if (connect_within(to, source_of(*config_), seconds(5), &fd) != 0)
      return f.fail(Place::peer, "refused by the peer: % takes no second connection", {at_.text()},
                    "Run the doctor there, too.");
    const Greeting g = greet(fd, {memory, sizeof memory}, &got, &over);
    const std::string_view at = at_.text(), name = peer.name;
    if (g == Greeting::secure_only) {
      return f.fail(Place::peer, "wrong key: the sockmuxd at % has another key than % says for '%'", {at, path_, name},
                    "'sockmuxctl pubkey' there prints its key: put it into the line of '%' here.", {name});
    }
    if (g == Greeting::sockmux03)
      return f.fail(Place::peer, "peer too old: % speaks SockMux 0.3 (a DeleGate), which knows no secure links", {at},
                    "Put a sockmuxd there, or write SERVER=sockmux:// here, which seals nothing.");
    if (g == Greeting::sockmux1)
      return f.fail(Place::peer, "clear links only: % takes no secure link", {at},
                    "Write SERVER=sockmuxs there, too, and give it a key and a peers file.");
    tell_stranger(f, g, got, over || ended, at);
  }

  Arena& arena_;
  const Config* config_ = nullptr;
  OwnKeys* own_ = nullptr;
  Peers* peers_ = nullptr;
  std::string_view path_;
  Text<48> shown_;
  Text<kAddressText> at_;
};

}  // namespace

Keys* make_keys(Arena& arena) { return arena.create<RealKeys>(arena); }

}  // namespace smx::ctl
