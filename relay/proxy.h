// A channel that a proxy serves: the channel at one side, a server that the client asks for at the other, and a dialogue
// between them that decides what is passed on.
//
//   talking --Next::raw, pipes empty--> (a Stream takes over)
//      |  +--Next::close--> ending --both ends told, or kLinger of a link without progress--> buried
//      |  +--Next::abort, or the channel breaks--> buried
//      +--raw, and the channel is over (0.3 has no half-close)--> parting --all is written, or time--> buried
//
// Owner: Proxies, a table made at the start, memory untouched until a proxy is used. Invariants: bytes are taken from
// the channel or from the server only while their pipe has room; what the server's socket waits for is computed in
// update() and nowhere else; the dialogue is called from pump() only, and from within the mux only in done().
// Read next: dialogue.h, stream.h, exit.h.
#ifndef SOCKMUX_RELAY_PROXY_H
#define SOCKMUX_RELAY_PROXY_H

#include <stddef.h>

#include "core/base/arena.h"
#include "core/io/connect.h"
#include "core/io/reactor.h"
#include "core/session/session.h"
#include "relay/dialogue.h"
#include "relay/ftp_data.h"
#include "relay/http.h"
#include "relay/relay.h"
#include "relay/socks.h"
#include "relay/stream.h"
#include "relay/telnet.h"

namespace smx {

class Proxies;
class SocksFlows;

// A request's or answer's head is at most this long. The way out has room for what a proxy adds.
constexpr size_t kPipeIn = 64 * 1024;
constexpr size_t kPipeOut = kPipeIn + 2048;

class ProxyStream final : public Endpoint, private FdHandler, private TimerHandler, private Task, private Mortal, private ConnectOwner {
 public:
  explicit ProxyStream(Proxies& table);
  // Makes the dialogue in kDialogueBytes of memory.
  using Make = Dialogue* (*)(void* memory, const RelayTarget& target);
  // Takes the channel that the peer opened: accepts it, and begins to talk.
  void start(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info, Make make);

 private:
  friend class Proxies;
  enum class State : uint8_t { free, talking, raw, ending, parting, dead };
  struct Memory {
    alignas(max_align_t) uint8_t dialogue[kDialogueBytes];
    uint8_t from_client[kPipeIn], from_server[kPipeIn];
    uint8_t to_client[kPipeOut], to_server[kPipeOut];
  };

  // Endpoint
  Pulled pull(const MutBytes* piece, int pieces) override;
  Taken push(const Bytes* piece, int pieces) override;
  Taken push_urgent(uint8_t byte) override;
  void wants_changed() override { kick(); }
  void end() override;
  void done() override;
  void abort(CloseCode code) override;
  void describe(OpenInfo* info) override;
  Address server() override { return desk_.server_open ? desk_.server : Address(); }
  // FdHandler, TimerHandler, Task, Mortal, ConnectOwner
  void on_ready(int fd, uint8_t ready, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_task(Time now) override;
  void on_buried() override;
  void on_connected(Fd fd, const Address& to, Time now) override;
  void on_connect_failed(const ConnectFailure& why, Time now) override;
  bool address_allowed(const Address& to) override;
  uint32_t fds_to_leave() override;

  void set_state(State to);
  void kick();
  void pump(Time now);
  Dialogue::Next step();
  bool take_from_client();
  void read_server();
  void write_server();
  void close_server();
  void drop_server();
  void start_connect();
  void fail(Failure why, const char* reason);
  void begin_ending(Time now);
  void end_idle();
  bool overstays(Time now) const;
  void end_now(CloseCode code);
  void hand_over();
  // Behind what to_client holds comes nothing. A server may end its direction and leave the other one full.
  bool says_end() const { return state_ == State::ending || (state_ == State::raw && desk_.server_ended && !desk_.server_broken && desk_.from_server.empty()); }
  bool is_raw() const { return state_ == State::raw || state_ == State::parting; }
  void part(Time now);
  void set_clock(Time now);
  Duration limit() const;
  void update();
  uint64_t moved() const;
  void die();

  Proxies& table_;
  Fd fd_;
  Timer timer_;
  Session* session_ = nullptr;  // nullptr while parting, and when it is dead
  ChannelId id_;
  Connect* connect_ = nullptr;  // while connecting
  Dialogue* dialogue_ = nullptr;
  Part<kHasFtp, FtpLeg> leg_;   // FTP: the way for its data connections
  Desk desk_;
  RelayTarget target_;
  Dialect dialect_ = Dialect::unknown;
  State state_ = State::free;
  const Session* associated_ = nullptr;  // whose SocksFlows knows of it
  bool end_told_ = false;      // pull() has returned the end
  Time waits_since_;           // ... then; parting: the server took something then
  bool shut_ = false;          // the direction to the server is ended
  bool write_broken_ = false;  // the server takes nothing more
  bool reset_ = false;         // ... and had not ended before: see Stream::push()
  Desk::Clock clock_ = Desk::Clock::off;
  uint32_t round_ = 0;
  uint32_t drops_ = 0;         // parting: turns in which the server said something
  uint64_t moved_at_ = 0;      // moved() when the clock started
  uint64_t changes_ = 0;       // ends, failures, servers dropped
  Text<kAddressText> known_;   // an address that HOSTS= gives to the wished name
  ProxyStream* next_free_ = nullptr;
  Memory* memory_ = nullptr;
};

class Proxies {
 public:
  Proxies(Reactor& reactor, Resolver& resolver, Streams& streams) : reactor_(reactor), resolver_(resolver), streams_(streams) {}
  static uint64_t arena_bytes(uint32_t count);
  // At most `count` channels are served at once.
  [[nodiscard]] bool init(uint32_t count, Arena& arena);
  void set_router(Router& router) { router_ = &router; }
  void set_legs(FtpLegs& legs) { legs_ = &legs; }
  // Who relays the datagrams of SOCKS; without it UDP ASSOCIATE is not supported.
  void set_socks_udp(SocksFlows& flows) { socks_udp_ = &flows; }
  // Takes the channel, or returns false: all are in use, and a line in the log says so. Before that happens, those that
  // are idle (kept HTTP connections) end, the longest idle first, and those whose client was told the end 30 s ago and stays.
  bool open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info, ProxyStream::Make make);
  uint32_t ask_again(const char* why);  // exit.cc
  // Those whose channel is over, but whose server has not got all yet.
  uint32_t parting() const { return parting_; }
  // The daemon ends: such a server must not take what it has got for all.
  void end_parting();

 private:
  friend class ProxyStream;
  void make_room();
  Reactor& reactor_;
  Resolver& resolver_;
  Streams& streams_;
  Router* router_ = nullptr;
  Part<kHasFtp, FtpLegs> legs_;
  Part<kHasUdp && kHasSocks, SocksFlows> socks_udp_;
  ProxyStream* proxies_ = nullptr;
  ProxyStream::Memory* memory_ = nullptr;
  Connect* connects_ = nullptr;  // one each
  ProxyStream* free_ = nullptr;
  uint32_t fresh_ = 0;  // from here on never used
  uint32_t count_ = 0;
  uint32_t used_ = 0;
  uint32_t parting_ = 0;  // at most a quarter of them
};

// Relays of the registry: SERVER=telnet,-in and so on. With an address and no proxy's work to do they are open_tcp().
bool open_http(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
bool open_socks(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
bool open_ftp(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);
bool open_telnet(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info);

}  // namespace smx

#endif
