// What a proxy says to its client and to its server, as pure code: bytes in four pipes, no descriptor, no clock, no heap.
//
//     client --from_client--> dialogue --to_server--> server
//     client <--to_client---- dialogue <--from_server-- server
//
// Owner: the engine (proxy.h), which fills from_* and empties to_*. Invariants: a dialogue takes only what it can use or
// pass on; what has no place stays in its pipe, and the pipe's bound is the bound of what is read. A dialogue is placed
// into kDialogueBytes of the engine's memory and needs no destructor.
// Read next: proxy.h; telnet.cc, the smallest one.
#ifndef SOCKMUX_RELAY_DIALOGUE_H
#define SOCKMUX_RELAY_DIALOGUE_H

#include <stddef.h>
#include <stdint.h>

#include <new>
#include <string_view>

#include "core/base/address.h"
#include "core/base/bytes.h"
#include "core/base/clock.h"

namespace smx {

// Bytes that wait, in order, in one piece of memory. data() is valid until the next put() or space().
class Pipe {
 public:
  Pipe() = default;
  Pipe(uint8_t* memory, size_t capacity) : memory_(memory), capacity_(capacity) {}

  Bytes data() const { return {memory_ + head_, tail_ - head_}; }
  std::string_view text() const { return as_text(data()); }
  size_t size() const { return tail_ - head_; }
  bool empty() const { return head_ == tail_; }
  size_t room() const { return capacity_ - size(); }
  size_t capacity() const { return capacity_; }

  // The first `n` bytes are done with. n <= size().
  void consume(size_t n);
  void clear() { consume(size()); }
  // All the room, in one piece; append() tells how much of it was filled.
  MutBytes space();
  void append(size_t n);
  // As much of `from` as fits; how much that was.
  size_t put(Bytes from);
  // All of it, or nothing and false.
  bool say(std::string_view text);
  bool say(const char* text);
  // Bytes that ever came and went: changes whenever the pipe does.
  uint64_t moved() const { return moved_; }

 private:
  uint8_t* memory_ = nullptr;
  size_t capacity_ = 0;
  size_t head_ = 0, tail_ = 0;
  uint64_t moved_ = 0;
};

// Moves what fits, at most `most` bytes; how many.
size_t move_bytes(Pipe& from, Pipe& to, uint64_t most = UINT64_MAX);

// Says one message piece by piece. Behind a piece that did not fit nothing more is said.
class Saying {
 public:
  explicit Saying(Pipe& to) : to_(to) {}
  Saying& add(std::string_view piece);
  Saying& add(const char* piece);
  bool fits() const { return fits_; }

 private:
  Pipe& to_;
  bool fits_ = true;
};

// A server that a client asks for. `host` is a name or an address without brackets, and stays valid while it is wanted.
struct Wish {
  std::string_view protocol;   // as REMITTABLE, PERMIT and REJECT name it
  std::string_view host;
  uint16_t port = 0;
  bool by_default = false;     // what holds if no REMITTABLE is given
  bool configured = false;     // it is the one that SERVER names: REMITTABLE is not asked
};

// Why a wish was not fulfilled.
enum class Failure : uint8_t { not_found, refused, unreachable, timed_out, no_room, local, forbidden, not_remittable };
// In words, for a client: short, lower case.
inline const char* in_words(Failure f) {
  switch (f) {
    case Failure::not_found: return "unknown host";
    case Failure::refused: return "connection refused";
    case Failure::unreachable: return "host unreachable";
    case Failure::timed_out: return "timed out";
    case Failure::no_room: return "too many connections";
    case Failure::local: return "local error";
    case Failure::forbidden: return "forbidden";
    case Failure::not_remittable: return "forbidden: not among what this proxy relays (REMITTABLE)";
  }
  return "failed";
}

class DataDoor;  // data_door.h

// What a dialogue works on.
struct Desk {
  Pipe from_client, to_client, from_server, to_server;
  bool client_ended = false;   // nothing comes behind from_client
  bool server_open = false;    // there is a connection to a server
  bool server_ended = false;   // nothing comes behind from_server
  bool server_broken = false;  // ... because the connection broke
  Address server, own;         // while server_open: its address, and ours toward it
  Address client, accepted;    // who the client is, and where it was accepted
  DataDoor* data = nullptr;    // FTP, and only if the link can (SockMux 1)
  bool urgent = false;         // among what came from the client, and was not asked for since, was an urgent byte

  // ---- what the dialogue wants, looked at after each step()
  Wish wish;                 // with Next::connect
  bool drop_server = false;  // close the connection to the server now; to_server and from_server are emptied
  bool shut_server = false;  // end the direction to the server behind what to_server holds
  size_t urgent_at = 0;      // that byte of to_server, counted from 1, goes out as urgent data; 0: none
  // Which limit of time runs: TIMEOUT=login for what the client has to say, TIMEOUT=io for data, a second for what comes at once
  // or not at all. It starts anew whenever `clock` or `round` changes; io also whenever a byte moves. When it is over, timed_out()
  // is called.
  enum class Clock : uint8_t { off, login, io, moment };
  Clock clock = Clock::login;
  uint32_t round = 0;
  bool associate = false;    // SOCKS: the client's datagrams are to be relayed while this connection lasts; says whether they are
  bool may_associate = false;  // ... whether that can be asked for
  bool idle = false;         // it could end now, and the client would only have to come again
};

class Dialogue {
 public:
  enum class Next : uint8_t {
    wait,     // for bytes, for room, for an end
    connect,  // to desk.wish; connected() or failed() follows, not from within step()
    raw,      // all is said: from now on bytes pass unchanged, behind what the pipes hold
    close,    // the client gets what to_client holds, and then the end; the server is dropped
    abort,    // the client's connection is reset: what it got is not whole
  };
  // Does what can be done now. Called again after every change; two calls without a change in between are harmless.
  virtual Next step(Desk& desk) = 0;
  virtual void connected(Desk& desk) = 0;
  virtual void failed(Desk& desk, Failure why) = 0;
  // What step() would return; there is no second chance for the same clock and round.
  virtual Next timed_out(Desk& desk) = 0;
  // Client and channel are gone (0.3). True: what is left in from_client is the server's. Called from within the mux: the pipes only.
  virtual bool leaves_rest(Desk& desk) { return (void)desk, false; }

 protected:
  ~Dialogue() = default;
};

constexpr size_t kDialogueBytes = 1024;

// Makes a dialogue in `memory`, which has kDialogueBytes.
template <typename T>
T* place_dialogue(void* memory) {
  static_assert(sizeof(T) <= kDialogueBytes);
  static_assert(alignof(T) <= alignof(max_align_t));
  return new (memory) T();
}

}  // namespace smx

#endif
