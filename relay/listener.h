// A port at which clients are accepted (PORT=, or a peer's BIND: bind/peer_port.h); each becomes a channel.
//
// Owner: main, or BoundPort. Invariants: a client is accepted only when a channel can be opened for it: until then it waits in the
// accept queue; no descriptor left pauses the listener, nothing else, until one is closed. Where there are other ports, its clients
// leave an eighth of the channels to theirs. Who waits may be what all others wait for, as where the server that they ask is this
// very port: where no client ends and none is accepted for long enough, the one in front is sent away, and so on.
// Read next: stream.h, core/session/sessions.h.
#ifndef SOCKMUX_RELAY_LISTENER_H
#define SOCKMUX_RELAY_LISTENER_H

#include "core/io/reactor.h"
#include "core/io/socket.h"
#include "core/session/sessions.h"
#include "relay/stream.h"

namespace smx {

// Who may be a client: RELIABLE, PERMIT, REJECT, MAXIMA=conpch.
class ClientGate : public StreamOwner {
 public:
  // nullptr: welcome, and counted until on_stream_ended(); else the reason why not.
  virtual const char* client_refused(const Address& client, const Address& local) = 0;

 protected:
  ~ClientGate() = default;
};

class Listener final : private FdHandler, private TimerHandler, private Task, private StreamOwner {
 public:
  Listener(Reactor& reactor, Streams& streams, Sessions& sessions, ClientGate& gate)
      : reactor_(reactor), streams_(streams), sessions_(sessions), gate_(gate), timer_(*this) {}

  // Takes a socket that listens. 0 or errno.
  int start(Fd listening);
  // Clients are for this session alone, and come as those of its peer's BIND of this number; nullptr: they wait.
  void serve(Session* session, uint16_t bind);
  // Clients are for this peer alone (PORT=NAME@...); the text outlives it.
  void set_peer(std::string_view name) { peer_ = name; }
  void stop();
  int fd() const { return fd_.get(); }
  // A channel can be opened again.
  void on_room();

  // For who looks.
  const Address& local() const { return local_; }
  std::string_view peer() const { return peer_; }
  bool open() const { return fd_.valid(); }
  const PortCounts& counts() const { return counts_; }

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_task(Time now) override { on_timer(timer_, now); }
  void on_channel_over() override;
  void on_stream_ended(const Address& client) override { gate_.on_stream_ended(client); }
  bool has_its_share(const Session& session) const;
  void wait_for_channel(Time now);
  void pause(Time now);
  Session* pick(Time now);

  Reactor& reactor_;
  Streams& streams_;
  Sessions& sessions_;
  ClientGate& gate_;
  Fd fd_;
  std::string_view peer_;
  bool for_one_ = false;   // for the session that serve() names, or none
  uint16_t bind_ = kNone;
  Session* session_ = nullptr;
  Address local_;      // port as bound; address only if it is not a wildcard
  bool wildcard_ = false;
  PortCounts counts_;
  bool starving_ = false;  // waits for a descriptor, not for a channel
  bool waits_ = false;     // a client waits for a channel,
  Time waits_since_;       // and no channel of ours has ended since then
  uint32_t live_ = 0;      // clients that have a channel
  Timer timer_;
};

}  // namespace smx

#endif
