// FIFOs of a test, and hand-made peers over them.
//
// Read next: fifo.cc, stdio.cc.
#ifndef SOCKMUX_TESTS_E2E_PIPES_H
#define SOCKMUX_TESTS_E2E_PIPES_H

#include <string>

#include "tests/e2e/peer.h"

namespace e2e {

// Two FIFOs in a folder of their own. Root's daemons give their rights away: `shared` lets everybody open them.
class Fifos {
 public:
  explicit Fifos(bool shared = false);
  std::string com0() const { return folder_ / "com0"; }
  std::string com1() const { return folder_ / "com1"; }
  // The words of the two daemons.
  Words one(const Words& more = {}) const;
  Words two(const Words& more = {}) const;
  // Removes both and makes them again.
  void renew();
  const TempFolder& folder() const { return folder_; }

 private:
  void make();
  TempFolder folder_;
  bool shared_;
};

// Carries bytes between a Conn and two descriptors that it closes at the end.
class Pump final : public Actor {
 public:
  Pump(int in, int out);
  // Opens FIFOs as a DeleGate does: each for both ways, so that it never waits, and sees no end.
  Pump(const std::string& in, const std::string& out);
  ~Pump() override;
  Conn& conn() { return *conn_; }

  void want(std::vector<pollfd>& list) override;
  void ready(const pollfd* list, size_t count) override;

 private:
  int in_, out_, near_;
  bool in_ended_ = false;
  std::string to_near_, to_out_;
  std::unique_ptr<Conn> conn_;
};

// Puts bytes into a FIFO, as somebody who was there before; they stay as long as the object.
class Leftover {
 public:
  Leftover(const std::string& path, const std::string& bytes);
  ~Leftover();

 private:
  int fd_;
};

}  // namespace e2e

#endif
