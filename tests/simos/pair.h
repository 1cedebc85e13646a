// An end of a socketpair(2): of bytes, or of packets, which may carry descriptors. Source: unix(7).
//
// Invariant: what is unread when an end is closed is lost, and the other one is told so by ECONNRESET: behind the bytes that it
// still has, or before its packets.
// Read next: helper.h, pump.h (who has the other ends).
#ifndef SOCKMUX_TESTS_SIMOS_PAIR_H
#define SOCKMUX_TESTS_SIMOS_PAIR_H

#include <deque>
#include <string>
#include <vector>

#include "tests/simos/file.h"

namespace simos {

class PairEnd final : public File {
 public:
  struct Packet {
    std::string bytes;
    std::vector<File*> files;  // each has a reference
  };
  PairEnd() : File(Kind::unix_socket) {}
  static void join(PairEnd& one, PairEnd& two, bool packets);

  uint32_t ready() const override;
  ssize_t read(uint8_t* to, size_t n) override;
  ssize_t write(const uint8_t* from, size_t n) override;
  void closed() override;
  void shut_write();
  ssize_t send(Packet p);
  // 0: nothing there is; 1: one; -1: the end.
  int take(Packet* out);

 private:
  size_t waiting() const { return packets_ ? static_cast<size_t>(packet_.size()) * kPacket : bytes_.size(); }
  bool other_is_done() const { return other_->gone_ || other_->shut_; }
  static constexpr size_t kRoom = 65536, kPacket = 1024;
  PairEnd* other_ = nullptr;
  bool packets_ = false, gone_ = false, shut_ = false;
  int error_ = 0;
  std::deque<uint8_t> bytes_;
  std::deque<Packet> packet_;
};

// One reference less, as close(2) of somebody who is no daemon.
void let_go(File* f);

}  // namespace simos

#endif
