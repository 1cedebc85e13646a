// Datagrams at both ends of the tunnel: each one says whose it is, and all of its bytes; an echo comes back, or nothing.
// Read next: udp.h, scenario.h.
#ifndef SOCKMUX_TESTS_SIMOS_DATAGRAMS_H
#define SOCKMUX_TESTS_SIMOS_DATAGRAMS_H

#include <utility>

#include "tests/simos/udp.h"

namespace simos {

// Sends what it gets back to where it came from.
class Echo final : public Holder {
 public:
  explicit Echo(Place at);
  void on_socket() override;
  void on_event(int what) override;
  uint64_t seen = 0;

 private:
  Udp* socket_;
  bool scheduled_ = false;
};

class Asker : public Holder {
 public:
  Asker(uint32_t number, uint32_t ip, Place to);
  // `n` datagrams from `begin` on, a `pause` apart.
  void ask(uint32_t n, Micros begin, Micros pause);
  void on_socket() override;
  void on_event(int what) override;
  uint32_t number() const { return number_; }
  uint32_t asked() const { return asked_; }
  uint32_t answered() const { return answered_; }

 protected:
  uint32_t ip() const { return socket_->local.ip; }
  Place to() const { return to_; }
  void ask_one();
  void send(std::string bytes) { socket_->send_bytes(to_, std::move(bytes)); }
  // What stands around the bytes of a question, and of an answer. False: the world has failed.
  virtual std::string dress(std::string bytes) { return bytes; }
  virtual bool undress(std::string* bytes) { return (void)bytes, true; }
  uint32_t in_vain_from_ = UINT32_MAX;  // this one, and those behind it, must have no answer

 private:
  const uint32_t number_;
  const Place to_;
  Udp* socket_;
  uint32_t asked_ = 0, answered_ = 0;
  Random random_;
};

}  // namespace simos

#endif
