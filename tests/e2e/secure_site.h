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

// Relays connections from its port to another one; `meddle` may look at what passes, and change it.
class Tap final : public Actor {
 public:
  // `up`: from who has made the connection. `before`: bytes of that direction that came before these.
  using Meddle = std::function<void(bool up, uint64_t before, std::string& bytes)>;
  explicit Tap(uint16_t target);
  uint16_t port() const { return server_.port(); }
  Meddle meddle;
  std::string seen;  // all that came through, both ways
  std::string up;    // of the newest connection
  // Ends all connections.
  void cut();
  size_t connections() const { return made_; }

  void want(std::vector<pollfd>& list) override { (void)list; }
  void ready(const pollfd* list, size_t count) override;

 private:
  struct Two {
    Conn* near;
    std::unique_ptr<Conn> far;
    uint64_t up = 0, down = 0;
  };
  void pass(Two& t, bool up_way, const char* bytes, size_t size);

  uint16_t target_;
  size_t made_ = 0;
  std::list<Two> two_;
  Server server_;
};

}  // namespace e2e

#endif
