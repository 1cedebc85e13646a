// Read next: links.h.
#include "config/peers/links.h"

#include "config/scan.h"

namespace smx {

namespace {

constexpr std::string_view kWord = "SERVER=sockmuxs:";

class Check {
 public:
  Check(const PeerList& peers, std::string_view path, bool reread, Report* report)
      : peers_(peers), path_(path), reread_(reread), report_(report) {}

  void link(const LinkSpec& link) {
    if (!link.peer.empty()) return named(link.origin, link.peer);
    if (!needs_peer(link)) {
      if (peers_.count() == 0) report_->warn(link.origin, "% names nobody, so that no link is accepted", {path_});
      return;
    }
    if (peers_.count() == 1) return;
    if (peers_.count() == 0) return wrong(link.origin, "which peer? % names nobody", {path_});
    // The same word with a name in it.
    const std::string_view word = link.origin.word;
    const size_t head = kWord.size() + (starts_with(skip(word, kWord.size()), "//") ? 2 : 0);
    Text<16> count;
    count.add_u(peers_.count());
    wrong(link.origin, "which peer? % names %; write %NAME@%",
          {path_, count.text(), first(word, head), skip(word, head)});
  }

  void named(const Origin& origin, std::string_view name) {
    if (peers_.find(name) != nullptr) return;
    Nearest nearest(name);
    for (const Peer& p : peers_.peers) nearest.give(p.name);
    wrong(origin, "% has no '%'%%%", {path_, name, nearest.lead(), nearest.best(), nearest.best().empty() ? "" : "?"});
  }

  bool good() const { return good_; }

 private:
  void wrong(const Origin& origin, const char* words, Views views) {
    if (reread_) return report_->warn(origin, words, views);
    report_->error(kExitConfig, origin, words, views);
    good_ = false;
  }

  const PeerList& peers_;
  std::string_view path_;
  bool reread_;
  Report* report_;
  bool good_ = true;
};

}  // namespace

bool has_secure_link(const Config& config) {
  for (const LinkSpec& l : config.links) {
    if (l.secure) return true;
  }
  return false;
}

bool needs_peer(const LinkSpec& link) {
  return link.kind != LinkSpec::Kind::accept_tcp && link.kind != LinkSpec::Kind::stdio;
}

const Peer* peer_of(const LinkSpec& link, const PeerList& peers) {
  if (!link.peer.empty()) return peers.find(link.peer);
  return needs_peer(link) && peers.count() == 1 ? &peers.peers[0] : nullptr;
}

bool check_peers(const Config& config, const PeerList& peers, std::string_view path, bool reread, Report* report) {
  Check check(peers, path, reread, report);
  bool is_accept_told = false;  // -P may have many ports
  for (const LinkSpec& l : config.links) {
    if (!l.secure || (l.kind == LinkSpec::Kind::accept_tcp && is_accept_told)) continue;
    is_accept_told = is_accept_told || l.kind == LinkSpec::Kind::accept_tcp;
    check.link(l);
  }
  std::string_view last;  // of a range each port has its own entry
  for (const ListenSpec& l : config.listens) {
    if (l.peer.empty() || l.peer == last) continue;
    last = l.peer;
    check.named(l.origin, l.peer);
  }
  return check.good();
}

}  // namespace smx
