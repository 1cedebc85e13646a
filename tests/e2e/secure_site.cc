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

Tap::Tap(uint16_t target) : wire(target) {
  wire.meddle = [this](bool is_up, uint64_t before, std::string& bytes) {
    if (is_up && before == 0) ++made, up.clear();
    if (meddle) meddle(is_up, before, bytes);
    seen += bytes;
    if (is_up) up += bytes;
  };
}

}  // namespace e2e
