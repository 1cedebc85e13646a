// A port at which clients are accepted (PORT=, and what a peer asks for by BIND); each becomes a channel.
//
// Owner: main; of those of peers BoundPorts, a table made at the start, memory untouched until one is used. Invariants: a client is accepted only when a channel can be opened for it: until then it waits in the
// accept queue; no descriptor left
// pauses the listener, nothing else, until one is closed. Read next: stream.h, core/session/sessions.h.
#ifndef SOCKMUX_RELAY_LISTENER_H
#define SOCKMUX_RELAY_LISTENER_H

#include "core/base/arena.h"
#include "core/io/reactor.h"
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

class Listener final : private FdHandler, private TimerHandler, private Task {
 public:
  Listener(Reactor& reactor, Streams& streams, Sessions& sessions, ClientGate& gate)
      : reactor_(reactor), streams_(streams), sessions_(sessions), gate_(gate), timer_(*this) {}

  // Takes a socket that listens. 0 or errno.
  int start(Fd listening);
  // Clients are for this session alone, and their channels name its BIND. Not for longer than that channel lives.
  void set_session(Session& session, ChannelId bind) {
    session_ = &session;
    bind_ = bind;
  }
  const Address& at() const { return local_; }
  // Clients are for this peer alone (PORT=NAME@...); the text outlives it.
  void set_peer(std::string_view name) { peer_ = name; }
  void stop();
  // A channel can be opened again.
  void on_room();

 private:
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_task(Time now) override { on_timer(timer_, now); }
  void pause(Time now);

  Reactor& reactor_;
  Streams& streams_;
  Sessions& sessions_;
  ClientGate& gate_;
  Fd fd_;
  std::string_view peer_;
  Session* session_ = nullptr;  // of BIND
  ChannelId bind_;
  Address local_;      // port as bound; address only if it is not a wildcard
  bool wildcard_ = false;
  bool starving_ = false;  // waits for a descriptor, not for a channel
  Timer timer_;
};

class BoundPorts;

// A port for everybody that a peer has asked for: what the channel of its BIND is for us.
class BoundPort final : public Endpoint, private Mortal {
 public:
  explicit BoundPort(BoundPorts& table);

 private:
  friend class BoundPorts;
  // Endpoint: nothing is sent on such a channel.
  void done() override { abort(CloseCode::done); }
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override { info->local = listener_.at(); }
  // Mortal
  void on_buried() override;
  void close(CloseCode code);

  BoundPorts& table_;
  Listener listener_;
  Session* session_ = nullptr;  // nullptr: free, or dead
  ChannelId id_;
  Address asked_;
  BoundPort* next_free_ = nullptr;
};

class BoundPorts {
 public:
  static constexpr uint32_t kMostOfOne = 64;  // of one session

  BoundPorts(Reactor& reactor, Streams& streams, Sessions& sessions) : reactor_(reactor), streams_(streams), sessions_(sessions) {}
  static uint64_t arena_bytes(uint32_t count) { return count * sizeof(BoundPort) + 64; }
  [[nodiscard]] bool init(uint32_t count, int backlog, ClientGate& gate, Arena& arena);
  // A BIND that is allowed: answers the channel.
  void open(Session& session, ChannelId id, const Address& at);
  // Channels can be opened again.
  void on_room();
  // The peers file was read again: those that are not allowed any more end.
  void ask_again(Router& router);
  // TERM
  void shut();
  uint32_t used() const { return used_; }

 private:
  friend class BoundPort;
  Reactor& reactor_;
  Streams& streams_;
  Sessions& sessions_;
  ClientGate* gate_ = nullptr;
  BoundPort* ports_ = nullptr;
  BoundPort* free_ = nullptr;
  int backlog_ = 0;
  uint32_t fresh_ = 0, count_ = 0, used_ = 0;
};

}  // namespace smx

#endif
