// Read next: secure_site.h.
#include "tests/e2e/secure_site.h"

#include <doctest/doctest.h>
#include <sys/stat.h>

namespace e2e {

Site::Site() {
  const Said made = ctl({"genkey", key_file()});
  REQUIRE_MESSAGE(made.status == 0, made.error);
  shown_ = made.out.substr(0, 44);
  // Daemons of root become somebody else, and read the peers again on HUP.
  REQUIRE(chmod(folder_.path().c_str(), 0755) == 0);
  write_peers("");
}

Site& Site::knows(const std::string& name, const Site& who, const std::string& words) {
  write_peers(peers_ + name + " " + who.shown() + " " + words + "\n");
  return *this;
}

void Site::write_peers(const std::string& text) {
  peers_ = text;
  write_file(peers_file(), text);
  // Nobody else but root's daemons may read a PSK.
  REQUIRE(chmod(peers_file().c_str(), text.find("PSK=") == std::string::npos ? 0644 : 0640) == 0);
}

Words Site::words(const Words& more) const {
  Words words{"SOXCONF=key:" + key_file() + ",peers:" + peers_file()};
  words.insert(words.end(), more.begin(), more.end());
  return words;
}

TwoSites::TwoSites(const std::string& psk) {
  const std::string words = psk.empty() ? "" : "PSK=" + psk;
  hub.knows("branch", branch, words);
  branch.knows("hub", hub, words);
}

Tap::Tap(uint16_t target) : target_(target), server_([this](Conn& c) {
    two_.push_back({&c, std::make_unique<Conn>(target_)});
    Two& t = two_.back();
    ++made_;
    up.clear();
    c.on_bytes = [this, &t](const char* bytes, size_t size) { pass(t, true, bytes, size); };
    t.far->on_bytes = [this, &t](const char* bytes, size_t size) { pass(t, false, bytes, size); };
  }) {}

void Tap::pass(Two& t, bool up_way, const char* bytes, size_t size) {
  std::string piece(bytes, size);
  uint64_t& before = up_way ? t.up : t.down;
  if (meddle) meddle(up_way, before, piece);
  before += size;
  seen += piece;
  if (up_way) up += piece;
  if (!piece.empty()) (up_way ? *t.far : *t.near).send(piece);
}

void Tap::ready(const pollfd* list, size_t count) {
  (void)list, (void)count;
  for (Two& t : two_) {
    if (t.near->over() && !t.far->closed()) t.far->close_behind();
    if (t.far->over() && !t.near->closed()) t.near->close_behind();
  }
}

void Tap::cut() {
  for (Two& t : two_) {
    if (!t.near->closed()) t.near->reset();
    if (!t.far->closed()) t.far->reset();
  }
}

}  // namespace e2e
