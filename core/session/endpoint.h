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
  // TCP only; an endpoint that leaves these alone has nothing to send yet, and takes nothing yet.
  virtual Pulled pull(const MutBytes* piece, int pieces) {
    (void)piece, (void)pieces;
    return {};
  }
  virtual Taken push(const Bytes* piece, int pieces) {
    (void)piece, (void)pieces;
    return {};
  }
  // Urgent data are ordinary data where nobody asks for more.
  virtual Taken push_urgent(uint8_t byte) {
    const Bytes piece{&byte, 1};
    return push(&piece, 1);
  }
  virtual void end() {}
  // UDP only.
  virtual PulledDatagram pull_datagram(const MutBytes* piece, int pieces, size_t largest) {
    (void)piece, (void)pieces, (void)largest;
    return {};
  }
  virtual void datagram(const Bytes* piece, int pieces) { (void)piece, (void)pieces; }
  virtual void wants_changed() {}
  virtual void opened() {}
  virtual void done() = 0;
  virtual void abort(CloseCode code) = 0;
  virtual void describe(OpenInfo* info) = 0;
  // Of a channel of the peer's, for who looks: who serves it; none: nobody yet.
  virtual Address server() {
    OpenInfo info;
    describe(&info);
    return info.client;
  }
  // Of a BIND that this endpoint has asked for: the peer listens; a client has come there, whose channel `id` is to be
  // answered with accept() or refuse(), now or later. False: refused.
  virtual void bound(const Address& at) { (void)at; }
  virtual bool bound_client(ChannelId id, const OpenInfo& info, Time now) {
    (void)id, (void)info, (void)now;
    return false;
  }
  // Is it a client that was accepted at one of our ports, for whose sake the peer may ask for more (fields 85 and 86)?
  virtual bool is_client() const { return false; }
  // Has that client asked, by FTP's PORT or EPRT, to be connected to at this port of its host? True once for each time.
  virtual bool called_for(uint16_t port) {
    (void)port;
    return false;
  }

 protected:
  ~Endpoint() = default;
};

// Who serves the channels that peers open.
class Exit {
 public:
  // Answers now or later with session.accept() or session.refuse().
  virtual void on_open(Session& session, ChannelId id, const OpenInfo& info, Time now) = 0;
  // The peer asks us to listen: answers now or later with session.bound() or session.refuse(). False: forbidden.
  virtual bool on_bind(Session& session, ChannelId id, const OpenInfo& info, Time now) {
    (void)session, (void)id, (void)info, (void)now;
    return false;
  }

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
