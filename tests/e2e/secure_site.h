// Hosts with keys, and the line between two of them as somebody sees it who may do anything to it.
//
// Read next: secure.cc, secure_bad.cc.
#ifndef SOCKMUX_TESTS_E2E_SECURE_SITE_H
#define SOCKMUX_TESTS_E2E_SECURE_SITE_H

#include <string>

#include "tests/e2e/ctl.h"
#include "tests/e2e/sockets.h"

namespace e2e {

// A key of its own, by sockmuxctl, and a peers file.
class Site {
 public:
  Site();
  const std::string& shown() const { return shown_; }
  std::string key_file() const { return folder_ / "key"; }
  std::string peers_file() const { return folder_ / "peers"; }
  // A line of the peers file more.
  Site& knows(const std::string& name, const Site& who, const std::string& words = "");
  // The whole file anew.
  void write_peers(const std::string& text);
  // What it says to its daemon, with `more`.
  Words words(const Words& more = {}) const;

 private:
  TempFolder folder_;
  std::string shown_, peers_;
};

// Two that know each other as "hub" and "branch".
struct TwoSites {
  Site hub, branch;
  explicit TwoSites(const std::string& psk = "");
};

// The line of a link, and all that went over it.
class Tap {
 public:
  explicit Tap(uint16_t target);
  uint16_t port() const { return wire.port(); }
  Wire wire;
  // As Wire::meddle.
  std::function<void(bool up, uint64_t before, std::string& bytes)> meddle;
  std::string seen;  // both ways, all connections
  std::string up;    // of the newest connection, from who has made it
  size_t made = 0;   // connections
};

}  // namespace e2e

#endif
