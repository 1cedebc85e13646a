// What a link must be able to do: the seam between sessions and transports.
//
// Owner: its transport, which gets it back through close(). Invariant: the owner is told that the link is ready only for
// what it asked for in want(). Read next: session.h (who uses it), transport/tcp.h (the first of its kind).
#ifndef SOCKMUX_CORE_SESSION_LINK_H
#define SOCKMUX_CORE_SESSION_LINK_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/clock.h"
#include "core/base/peer_key.h"
#include "core/io/fd.h"
#include "core/io/poller.h"

namespace smx {

struct LinkStart;
class LineSealer;

class Task;

class LinkOwner {
 public:
  virtual void on_link_ready(uint8_t ready, Time now) = 0;
  // May the link end now, to be made anew? If so, it will. Not where that costs channels, nor before it was of use.
  virtual bool may_renew() { return true; }

 protected:
  ~LinkOwner() = default;
};

class Link {
 public:
  virtual IoResult readv(const MutBytes* piece, int pieces) = 0;
  virtual IoResult writev(const Bytes* piece, int pieces) = 0;
  virtual void want(uint8_t events) = 0;
  virtual void set_owner(LinkOwner& owner) = 0;
  // No more will be written; the peer reads to the end.
  virtual void shut_write() = 0;
  // Ends it and gives it back to its transport: it must not be used any more. `gently`: what was written last matters
  // (BYE): the transport sees to it that a reset does not destroy it, for at most a second.
  virtual void close(bool gently) = 0;

  // Nothing comes but what the peer has said on this very link, and one side has called the other (TCP). Else the rest of
  // an earlier run, a banner or noise may come first, and none of the two is the caller.
  virtual bool clean_start() const { return true; }
  // What is written before the peer is there is lost (a line), or its time is not known: HELLO is said again until it has answered;
  // if it is lossy(), too, without end.
  virtual bool forgets() const { return false; }
  // A line that may change or drop bytes: everything travels in frames, and what is lost is sent again (a tty).
  virtual bool lossy() const = 0;
  // With lossy(): what seals its frames, as long as the link is there; nullptr: nothing does.
  virtual LineSealer* sealer() { return nullptr; }
  // Bytes a second that it carries, 0: unknown.
  virtual uint32_t rate() const = 0;
  // The largest piece that should be written at once; 0: any.
  virtual size_t frame_hint() const = 0;
  // Of what is written no more than so many bytes should wait in the system before they are sent, where it can say so.
  virtual void keep_unsent(size_t bytes) { (void)bytes; }
  // Who is there; none where that is no address.
  virtual Address peer() const = 0;
  // The same for the log: "tcp 192.0.2.1:9000".
  virtual std::string_view peer_name() const = 0;
  // Whose key the peer has proven to hold; nullptr: a clear link. And what the peers file calls it.
  virtual const PeerKey* peer_key() const { return nullptr; }
  virtual std::string_view peer_label() const { return {}; }
  // Our HELLO is said already, as Mux::first_packet() of this; nullptr: it is not.
  virtual const LinkStart* said() const { return nullptr; }
  // Why the link is at its end, where that is known better than by errno; valid until close().
  virtual std::string_view why() const { return {}; }

 protected:
  ~Link() = default;
};

// Who is given the links that are accepted.
class LinkTaker {
 public:
  // False: it was closed.
  virtual bool attach(Link& link, Time now) = 0;
  // False: links had better wait where they are until `task` runs, once.
  virtual bool has_room(Task& task) {
    (void)task;
    return true;
  }

 protected:
  ~LinkTaker() = default;
};

// Who waits for dial() to end.
class DialOwner {
 public:
  virtual void on_dialed(Link& link, Time now) = 0;
  // `why` is for the log and valid within the call.
  virtual void on_dial_failed(std::string_view why, Time now) = 0;

 protected:
  ~DialOwner() = default;
};

// Makes links, one at a time, when asked.
class Dialer {
 public:
  virtual void dial(DialOwner& owner, Time now) = 0;
  virtual void cancel() = 0;
  // Where to: "tcp hub.example.net:9000".
  virtual std::string_view target() const = 0;

 protected:
  ~Dialer() = default;
};

}  // namespace smx

#endif
