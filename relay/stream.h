// The local end of a TCP channel: a client that was accepted here, or the connection to a server.
//
//   connecting --on_connected--> open --done(), end of file not seen--> lingering --end of file, or time--> buried
//        |                         +----done(), abort(), error------------------------------------------> buried
//        +--failed: refuse()--> buried
//
// Owner: Streams, a table made at the start. Invariants: bytes are read only into the mux's ring, so nothing waits here;
// what events the socket waits for is computed in update() and nowhere else; a stream that dies closes its socket at
// once, and its memory returns at the end of the turn.
// Read next: core/session/endpoint.h, listener.h, exit.h.
#ifndef SOCKMUX_RELAY_STREAM_H
#define SOCKMUX_RELAY_STREAM_H

#include "core/base/arena.h"
#include "core/base/features.h"
#include "core/base/near_list.h"
#include "core/io/connect.h"
#include "core/io/reactor.h"
#include "core/session/session.h"
#include "relay/relay.h"
#include "relay/text/ftp_text.h"

namespace smx {

class Execs;
class Proxies;
class Streams;
class Stream;

// Who is told that a client's stream has ended (MAXIMA=conpch counts them); its channel may be over long before.
class StreamOwner {
 public:
  virtual void on_channel_over() {}
  virtual void on_stream_ended(const Address& client) = 0;

 protected:
  ~StreamOwner() = default;
};

// Who is told that the channel of a client is over, since something else may hang on it.
class ChannelWatch {
 public:
  virtual void on_channel_over(const Endpoint& endpoint) = 0;

 protected:
  ~ChannelWatch() = default;
};

// The words for the peer.
CloseCode close_code_of(const ConnectFailure& why);

// What a stream needs only while its server is being connected. Owner: Streams, which has one for each stream.
class Dial final : private ConnectOwner {
 public:
  Dial(Reactor& reactor, Resolver& resolver) : connect_(reactor, resolver) {}

 private:
  friend class Stream;
  friend class Streams;
  void on_connected(Fd fd, const Address& to, Time now) override;
  void on_connect_failed(const ConnectFailure& why, Time now) override;
  bool address_allowed(const Address& to) override;
  uint32_t fds_to_leave() override;

  Connect connect_;
  Stream* stream_ = nullptr;
  Address client_, accepted_;     // who is to be served, and where it was accepted
  std::string_view host_;         // empty: an address
  uint16_t port_ = 0;
  bool end_due_ = false;          // end() has come already
  uint8_t send_proxy_ = 0;        // as in RelayTarget
};

// Small, since there may be 60,000 of them that have nothing to do.
class Stream final : public Endpoint, private FdHandler {
 public:
  explicit Stream(Streams& table);

  // A client: opens a channel for it. session.can_open() must hold. `bind`: the peer's BIND for which it was accepted.
  void start_client(Session& session, const Address& client, const Address& local, StreamOwner* owner, uint16_t bind = kNone);
  // A channel that the peer opened: connects to the target.
  void start_server(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
  // Data connections of FTP (ftp_data.h). A channel of the peer: connects to an address that is allowed already.
  void start_data_server(Session& session, ChannelId id, const Address& to, const Address& source, Duration limit, const OpenInfo& info);
  // A channel that another endpoint has served so far, with its connected server. `client_ended`: end() came already; `server_ended`: and
  // pull() has told the other one.
  // `rule`: as in RelayTarget, or nullptr; `host_key`: name_key() of the server's name, where the rule does not say it, or 0.
  void take_over(Session& session, ChannelId id, const Address& server, bool client_ended, bool server_ended, const void* rule, uint64_t host_key);
  // Of both: when the peers file has changed it stays or ends as its control connection does, to this port of the same server,
  // whether that one is there or not.
  void goes_with(const void* rule, uint16_t control_port, uint64_t host_key);

 private:
  friend class Streams;
  friend class Dial;
  enum class State : uint8_t { free, connecting, open, lingering, dead };

  // Endpoint
  Pulled pull(const MutBytes* piece, int pieces) override;
  Taken push(const Bytes* piece, int pieces) override;
  Taken push_urgent(uint8_t byte) override;
  void wants_changed() override { update(); }
  void end() override;
  void done() override;
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  bool is_client() const override { return owner_ != nullptr && state_ == State::open; }
  bool called_for(uint16_t port) override;
  // FdHandler
  void on_ready(int fd, uint8_t ready, Time now) override;

  // From its Dial.
  void connected(Fd fd, const Address& to);
  void connect_failed(const ConnectFailure& why);
  bool introduce(const Fd& fd) const;

  Dial& start_dial(Session& session, ChannelId id, const OpenInfo& info);
  void begin(Session& session, const Address& peer);
  uint64_t host_key() const { return node_.listed() ? 0 : host_key_; }
  void linger();
  void lingered(Time now);
  void update();
  IoResult read_urgent(const MutBytes* piece, int pieces, bool* urgent);
  Taken wrote(const IoResult& r, size_t whole);
  void drain_and_drop();
  void listen_in(const MutBytes* piece, size_t size);
  void listen_in(std::string_view said);
  void channel_over();
  void die();

  Streams& table_;
  Session* session_ = nullptr;
  NearNode node_;                  // in one list of the table: free, lingers, dead; or in none
  union {
    Time until_;                   // while it lingers, in the list of those
    uint64_t host_key_ = 0;        // before that: see take_over()
  };
  ChannelId id_;
  union {
    Dial* dial_;                   // while connecting
    StreamOwner* owner_ = nullptr; // else
  };
  Fd fd_;
  const void* rule_ = nullptr;     // the router's word for the target; nullptr: there is none
  Address peer_;                   // the client; the server once it is connected
  uint16_t port_ = 0;              // of a client with an owner: what its last PORT or EPRT named; 0: nothing. See goes_with(), too
  uint16_t bind_ = kNone;          // the BIND of the peer for which the client was accepted; kNone: not for one
  uint16_t drops_ = 0;             // turns in which it said something while it lingered
  State state_ = State::free;
  bool end_seen_ = false;          // the socket has nothing more to read
  bool write_broken_ = false;      // the socket takes nothing more; it may still have something to read
  bool reset_ = false;             // ... and behind that comes no end, but what the write was told
  bool fresh_ = false;             // nothing was read yet, and nobody has looked for an urgent byte
  bool urgent_ = false;            // there is one in the socket, or it may be
  bool half_ = false;              // HalfLines may have the beginning of what it says
};

// Beginnings of lines in which clients may name a port for FTP, until the rest comes. Owner: Streams. They are few at a time: when all
// places are taken, the oldest one is forgotten, and its port is not known.
class HalfLines {
 public:
  void keep(const Stream& whose, std::string_view line);
  // Copies what is kept of that one to `to`, which has room for kFtpHalfLine bytes: how many; and forgets it.
  size_t take(const Stream& whose, char* to);

 private:
  struct Half {
    const Stream* whose = nullptr;
    size_t size = 0;
    char text[kFtpHalfLine];
  };
  static constexpr uint32_t kPlaces = kHasFtp ? 8 : 1;
  Half* find(const Stream* whose);
  Half half_[kPlaces];
  uint32_t next_ = 0;
};

class Streams final : private TimerHandler, private Mortal {
 public:
  Streams(Reactor& reactor, Resolver& resolver) : reactor_(reactor), resolver_(resolver), timer_(*this) {}
  static uint64_t arena_bytes(uint32_t count);
  [[nodiscard]] bool init(uint32_t count, Arena& arena);

  // A stream for a connected socket, or for one that is to be connected (`fd` invalid). nullptr: the table is full, or
  // the reactor has no place for the socket (which is closed).
  Stream* make(Fd fd);
  // Asked for each address of a server before it is tried.
  void set_router(Router& router) { router_ = &router; }
  // For programs that serve channels: exec.h.
  void set_execs(Execs& execs) { execs_ = &execs; }
  const Part<kHasExec, Execs>& execs() const { return execs_; }
  void set_watch(ChannelWatch& watch) { watch_ = &watch; }
  // How long a client waits for a channel while none of its port's ends: listener.h.
  void set_patience(Duration patience) { patience_ = patience; }
  Duration patience() const { return patience_; }
  // For relays that talk: proxy.h.
  void set_proxies(Proxies& proxies) { proxies_ = &proxies; }
  const Part<kHasProxies, Proxies>& proxies() const { return proxies_; }
  uint32_t ask_again(const char* why);  // exit.cc
  uint32_t judge_clients(ClientJudge& judge);
  uint32_t left() const { return count_ - used_; }
  Reactor& reactor() { return reactor_; }

 private:
  friend class Stream;
  friend class Dial;
  using StreamList = NearList<Stream, &Stream::node_>;
  void on_timer(Timer& timer, Time now) override;
  void on_buried() override;
  Dial& take_dial();
  void give(Dial& d);
  void linger(Stream& s, Time until);
  void bury(Stream& s);

  Reactor& reactor_;
  Resolver& resolver_;
  Router* router_ = nullptr;
  Part<kHasExec, Execs> execs_;
  Part<kHasProxies, Proxies> proxies_;
  Part<kHasFtp, ChannelWatch> watch_;
  HalfLines half_lines_;
  Stream* streams_ = nullptr;
  StreamList free_;
  StreamList lingers_;    // whose time runs out first stands in front
  StreamList dead_;       // until the end of the turn
  Timer timer_;           // of the first that lingers
  Duration patience_;
  uint32_t used_ = 0;
  uint32_t fresh_ = 0;    // streams from here on were never used
  uint32_t count_ = 0;
  Dial* dials_ = nullptr;
  Dial** free_dials_ = nullptr;  // a stack of those that were used
  uint32_t fresh_dials_ = 0;
  uint32_t idle_dials_ = 0;
};

// The relay of every protocol: bytes to host:port, unchanged.
bool open_tcp(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);

}  // namespace smx

#endif
