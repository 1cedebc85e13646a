// A link over one TCP connection.
//
// Owner: TcpLinks, a table made at the start; a link goes back to it with close(), at once or, gently closed, when the
// peer has ended too. Invariant: NODELAY is set; what waits
// unsent in the kernel is bounded where the system can (TCP_NOTSENT_LOWAT), since all of it is ahead of a key press.
// Read next: core/session/link.h, tcp.h (who makes links).
#ifndef SOCKMUX_TRANSPORT_TCP_LINK_H
#define SOCKMUX_TRANSPORT_TCP_LINK_H

#include "core/base/arena.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/session/link.h"

namespace smx {

class TcpLinks;

class TcpLink final : public Link, private FdHandler, private TimerHandler {
 public:
  TcpLink(Reactor& reactor, TcpLinks& table) : reactor_(reactor), table_(table), timer_(*this) {}

  IoResult readv(const MutBytes* piece, int pieces) override { return readv_fd(fd_.get(), piece, pieces); }
  IoResult writev(const Bytes* piece, int pieces) override { return writev_fd(fd_.get(), piece, pieces); }
  void want(uint8_t events) override { reactor_.want(fd_.get(), events); }
  void set_owner(LinkOwner& owner) override { owner_ = &owner; }
  void shut_write() override;
  void close(bool gently) override;
  bool lossy() const override { return false; }
  uint32_t rate() const override { return 0; }
  size_t frame_hint() const override { return 0; }
  void keep_unsent(size_t bytes) override;
  Address peer() const override { return peer_; }
  std::string_view peer_name() const override { return name_.text(); }

 private:
  friend class TcpLinks;
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;

  Reactor& reactor_;
  TcpLinks& table_;
  TcpLink* next_free_ = nullptr;
  LinkOwner* owner_ = nullptr;  // none: gently closed, what comes is dropped
  Timer timer_;
  Fd fd_;
  uint32_t unsent_ = 0;  // what the kernel was told
  Address peer_;
  Text<kAddressText + 8> name_;
};

// The table of TCP links. Its memory is set aside at the start; one that was never used is not touched.
class TcpLinks {
 public:
  explicit TcpLinks(Reactor& reactor) : reactor_(reactor) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(TcpLink) + 64; }
  [[nodiscard]] bool init(uint32_t count, Arena& arena);
  // A link over a connected socket, which is closed if the table is full or the reactor has no place: then nullptr.
  TcpLink* make(Fd fd, const Address& peer);

 private:
  friend class TcpLink;
  void give(TcpLink& link);
  TcpLink* take();

  Reactor& reactor_;
  TcpLink* fresh_ = nullptr;  // memory of those that are not made yet
  uint32_t left_ = 0;
  TcpLink* free_ = nullptr;
};

}  // namespace smx

#endif
