// What the local end of a channel must be able to do: the seam between sessions and relays.
//
// Owner: its relay. Invariant: after done() or abort(), or after it has returned an error, the session has forgotten the
// endpoint, and the endpoint must not name its channel again. Read next: session.h, relay/stream.h.
#ifndef SOCKMUX_CORE_SESSION_ENDPOINT_H
#define SOCKMUX_CORE_SESSION_ENDPOINT_H

#include "core/base/clock.h"
#include "core/mux/mux.h"

namespace smx {

class Session;

class Endpoint {
 public:
  // As MuxEvents (core/mux/mux.h), which says what each means.
  virtual Pulled pull(const MutBytes* piece, int pieces) = 0;
  virtual Taken push(const Bytes* piece, int pieces) = 0;
  // UDP only.
  virtual PulledDatagram pull_datagram(const MutBytes* piece, int pieces, size_t largest) {
    (void)piece, (void)pieces, (void)largest;
    return {};
  }
  virtual void datagram(const Bytes* piece, int pieces) { (void)piece, (void)pieces; }
  virtual void wants_changed() = 0;
  virtual void opened() = 0;
  virtual void end() = 0;
  virtual void done() = 0;
  virtual void abort(CloseCode code) = 0;
  virtual void describe(OpenInfo* info) = 0;

 protected:
  ~Endpoint() = default;
};

// Who serves the channels that peers open.
class Exit {
 public:
  // Answers now or later with session.accept() or session.refuse().
  virtual void on_open(Session& session, ChannelId id, const OpenInfo& info, Time now) = 0;

 protected:
  ~Exit() = default;
};

// Who waits until a channel can be opened.
class Opener {
 public:
  virtual void on_room(Time now) = 0;

 protected:
  ~Opener() = default;
};

}  // namespace smx

#endif
