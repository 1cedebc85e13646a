// One mux, its link of the moment, and the endpoints of its channels. What outlives the link is here.
//
//   connector:  idle --start()--> dialing --link--> up --lost--> waiting --pause over, or retry_now()--> dialing
//   by ways:    idle --start()--> dialing --take()--> up --lost--> dialing;  up --take() of a better one--> up
//   acceptor:   idle --attach(), take()--> up --lost--> idle
//   both:       up --shut()--> closing (BYE; at most 1 s) --> as lost
//
// Where the mux holds its session over the loss (held()), its channels go on with the next link: the one that this
// session dials, or one that an acceptor's other session got, and gives to this one when the peer has asked for it.
//
// Owner: Sessions. Invariants: endpoint_of(id) is the one that was attached to that slot's channel and has not been
// forgotten; the link is always read, whatever can or cannot be written. A raw pointer to an endpoint is kept here, and
// one to the session there: each side clears the other's before it dies.
// Read next: core/mux/mux.h, link.h, endpoint.h, sessions.h.
#ifndef SOCKMUX_CORE_SESSION_SESSION_H
#define SOCKMUX_CORE_SESSION_SESSION_H

#include <stdint.h>

#include <string_view>

#include "core/base/text.h"
#include "core/base/tokens.h"
#include "core/io/reactor.h"
#include "core/mux/mux.h"
#include "core/session/backoff.h"
#include "core/session/endpoint.h"
#include "core/session/link.h"

namespace smx {

class Session;

// The second word of a HELLO's text, the name of its host; empty: there is none.
std::string_view hello_host(std::string_view hello);

// Where a session gets its links from that has several ways to make them: ways.h.
class LinkSource {
 public:
  // Starts, or has lost its link: take() is to follow.
  virtual void on_link_wanted(Time now) = 0;
  virtual void on_link_up(Time now) = 0;
  // The peer is asked for a sign of life (ECHO), and has not given one yet.
  virtual void on_link_asked(Time now) = 0;
  virtual void retry_now(Time now) = 0;
  virtual void stop(Time now) = 0;

 protected:
  ~LinkSource() = default;
};

// Who is told of a session's life.
class SessionOwner {
 public:
  // It has got a link, or its peer another name: peer_key() and peer_label() may have changed.
  virtual void on_session_link(Session& session) = 0;
  virtual void on_session_up(Session& session, Time now) = 0;
  // Its link is closed; by now it may have another one.
  virtual void on_session_lost(Session& session, const Link& link, Time now) = 0;
  virtual void on_session_room(Session& session, Time now) = 0;
  // The peer asks for a session at the link of `session`. elsewhere: on_session_moved() follows, which takes the link.
  virtual AskAnswer on_session_ask(Session& session, const Settings& ask) = 0;
  virtual void on_session_moved(Session& session, Time now) = 0;
  // Its peer opens a channel. False: too many in this second.
  virtual bool may_open(Session& session, Time now) = 0;

 protected:
  ~SessionOwner() = default;
};

class Session final : private MuxEvents, private LinkOwner, private DialOwner, private Task, private TimerHandler {
 public:
  enum class State : uint8_t { idle, dialing, waiting, up, closing };

  Session(Reactor& reactor, SessionOwner& owner, Exit& exit, uint32_t number)
      : mux_(*this), reactor_(reactor), owner_(owner), exit_(exit), timer_(*this), number_(number) {}

  static uint64_t arena_bytes(const MuxConfig& config);
  // False: the arena is too small.
  [[nodiscard]] bool init(const MuxConfig& config, Arena& arena);

  // ---- the link
  // Connector: dials from now on, for ever. `longest_pause` between two attempts.
  void start(Dialer& dialer, Duration longest_pause, Time now);
  void start(LinkSource& source, Time now);
  // Acceptor: a link has come. The session is idle.
  void attach(Link& link, Time now);
  // A link whose handshake was begun by somebody else (a trial). An older link of this session ends.
  void take(Link& link, LinkHandover& handover, Time now);
  // The same, of another session of ours, whose peer has asked for this one.
  void take_over(Session& from, Time now);
  // HUP: does not wait for the end of the pause, or of an attempt; a link that is up is asked for a sign of life.
  void retry_now(Time now);
  // Ends the link for good, with BYE.
  void shut(ByeCode code, Time now);
  // Ends the link, with BYE, and the session, at once. `why` is a literal.
  void end(ByeCode code, std::string_view why, Time now);
  // Ends it at once.
  void drop(std::string_view why, Time now);
  // Is the peer still there? Silent within `patience`: the link ends.
  void probe(Duration patience, Time now);
  // The same, and the peer may have started anew: if it says nothing any more, its session is held for a moment only.
  void doubt(Duration patience, Time now);

  State state() const { return state_; }
  bool up() const { return state_ == State::up && mux_.up(); }
  bool probed() const { return probed_ && up() && mux_.asked(); }
  // The link ends, or has ended, to be made anew: that is no failure of its way.
  bool renews() const { return renewing_; }
  bool held() const { return link_ == nullptr && mux_.held(); }
  // It makes its links itself, or will, so that others are only for its peer.
  bool dials() const { return dialer_ != nullptr || source_ != nullptr || reserved_; }
  void reserve() { reserved_ = true; }
  // Held, and maybe never asked for again: not for longer than that.
  void hold_until(Time until);
  bool has_link() const { return link_ != nullptr; }
  // Of the link; of the last one while the session is held, and until a clear link that has its place then is up: it may be a
  // stranger's.
  const Address& peer() const { return peer_; }
  // The same of the key that its peer has proven to hold; nullptr: a clear link.
  const PeerKey* peer_key() const { return kHasKeys && has_key_ ? &key_ : nullptr; }
  // And of what the peers file calls it; empty: a clear link.
  std::string_view peer_label() const { return label_.text(); }
  // "tcp 192.0.2.1:9000", of the link, or of what it dials; empty: of neither.
  std::string_view target() const;
  // Is its peer called so? `name` empty: whoever it is.
  bool leads_to(std::string_view name) const { return name.empty() || (has_key_ && label_.text() == name); }
  void rename(std::string_view label) {
    label_.clear();
    label_.add(label);
    owner_.on_session_link(*this);
  }
  Time link_since() const { return link_since_; }
  // When a limit of that length may run out at the earliest, if it counts only what time a link was up.
  Time end_of_limit(Duration limit, Time now) const { return (up() ? since_ : now) + limit; }
  // Of this peer: how often its link came up, and why the last one ended (empty: none has) and when.
  uint32_t links() const { return links_; }
  // Bytes of this peer's links.
  uint64_t rx_bytes() const { return mux_.stats().rx_bytes - rx_before_; }
  uint64_t tx_bytes() const { return mux_.stats().tx_bytes - tx_before_; }
  std::string_view down_why() const { return down_why_.text(); }
  Time down_at() const { return down_at_; }
  // Since when it is up, or held, or tries to get a link.
  Time since() const { return since_; }
  uint32_t number() const { return number_; }
  // Channels that its peer opens.
  Tokens& opens() { return opens_; }
  // UDP flows of its peer, which the tables of relay/udp_exit.h and relay/socks_udp.h count here.
  uint32_t& server_flows() { return server_flows_; }
  uint32_t& socks_flows() { return socks_flows_; }
  Mux& mux() { return mux_; }
  const Mux& mux() const { return mux_; }
  const Reactor& reactor() const { return reactor_; }

  // ---- channels, for endpoints
  bool can_open() const { return up() && mux_.can_open(); }
  // can_open() must hold.
  ChannelId open(Endpoint& endpoint, bool udp = false);
  // Binds an endpoint to a channel that the peer opened; before accept().
  void bind(ChannelId id, Endpoint& endpoint);
  // Its server takes datagrams: before accept().
  void serve_datagrams(ChannelId id) { mux_.serve_datagrams(id); }
  bool waits_for_peer(ChannelId id) const { return mux_.waits_for_peer(id); }
  // Another endpoint serves the channel from now on. Not from within one of its calls.
  void rebind(ChannelId id, Endpoint& endpoint);
  void accept(ChannelId id);
  void refuse(ChannelId id, CloseCode code);
  void abort(ChannelId id, CloseCode code);
  // For who looks: what the endpoint of a channel says of itself. False: it has none.
  bool look(ChannelId id, OpenInfo* info, Address* server);
  // Ends a channel on both sides, and its endpoint. False: it has none.
  bool end_channel(ChannelId id, CloseCode code);
  void readable(ChannelId id);
  // False: the channel is gone: the endpoint returned an error from push(), or done() was called.
  bool writable(ChannelId id);
  bool wants_read(ChannelId id) const { return mux_.wants_read(id); }
  bool wants_write(ChannelId id) const { return mux_.wants_write(id); }
  bool make_room(Time now);
  // This one, if a channel can be opened; else nullptr, and it `makes_room`.
  Session* pick(Time now, bool makes_room = true) {
    if (can_open()) return this;
    if (makes_room) (void)make_room(now);
    return nullptr;
  }
  // BIND: asks the peer to listen, as describe() of the endpoint says. can_bind() must hold.
  bool can_bind() const { return up() && mux_.can_bind(); }
  ChannelId open_bind(Endpoint& endpoint);
  // Listens for the BIND of the peer; describe() of its endpoint says where.
  void bound(ChannelId id);
  // The endpoint of the channel that we have opened under this number; nullptr: there is none.
  Endpoint* find_mine(uint16_t number, ChannelId* id) const;

 private:
  // MuxEvents
  void on_up() override;
  AskAnswer on_ask(const Settings& ask) override { return owner_.on_session_ask(*this, ask); }
  void on_session_over() override;
  void on_room() override;
  void on_open(ChannelId id, const OpenInfo& info) override;
  void on_opened(ChannelId id) override;
  void describe(ChannelId id, OpenInfo* info) override;
  Pulled on_pull(ChannelId id, const MutBytes* piece, int pieces) override;
  Taken on_data(ChannelId id, const Bytes* piece, int pieces) override;
  Taken on_urgent(ChannelId id, uint8_t byte) override;
  PulledDatagram on_pull_datagram(ChannelId id, const MutBytes* piece, int pieces, size_t largest) override;
  void on_datagram(ChannelId id, const Bytes* piece, int pieces) override;
  void on_wants(ChannelId id) override;
  void on_end(ChannelId id) override;
  void on_done(ChannelId id) override;
  void on_abort(ChannelId id, CloseCode code) override;
  bool on_bind(ChannelId id, const OpenInfo& info) override;
  void on_bound(ChannelId id, const Address& at) override;
  // LinkOwner, DialOwner, Task, TimerHandler
  void on_link_ready(uint8_t ready, Time now) override;
  bool may_renew() override;
  void on_dialed(Link& link, Time now) override;
  void on_dial_failed(std::string_view why, Time now) override;
  void on_task(Time now) override;
  void on_timer(Timer& timer, Time now) override;

  void set_state(State to);
  void kick() { reactor_.at_end_of_turn(*this); }
  void dial(Time now);
  void wait_and_dial(Time now);
  void read_link(Time now);
  bool read_old(Time now);
  void write_link(Time now);
  void part(ByeCode code, std::string_view why, Time now);
  void lose(Err e, std::string_view why, Time now);
  void set_timer(Time now);
  void give_back(Time now);
  bool give_all_back();
  void begin_link(Link& link, Time now);
  void forget_links();
  void note_down(std::string_view why, Time now);
  uint64_t next_attempt() { return (process_random_ & 0xffffffff) << 32 | ++attempts_; }
  Endpoint* take(ChannelId id);
  Endpoint* endpoint_of(ChannelId id) const { return static_cast<Endpoint*>(mux_.owner_of(id.slot)); }
  void set_endpoint(ChannelId id, Endpoint* endpoint) { mux_.set_owner(id.slot, endpoint); }

  Mux mux_;
  Reactor& reactor_;
  SessionOwner& owner_;
  Exit& exit_;
  Dialer* dialer_ = nullptr;
  LinkSource* source_ = nullptr;  // in place of dialer_
  Flag<kHasUpgrade> reserved_;    // for one of them
  Link* link_ = nullptr;
  Address peer_;
  PeerKey key_;
  Text<kPeerLabel> label_;
  Text<kHasControl ? 79 : 0> down_why_;
  Time down_at_;
  uint64_t rx_before_ = 0, tx_before_ = 0;  // of peers that had this place before
  uint32_t links_ = 0;
  std::string_view over_why_;  // why a held session ends, if that was decided here
  bool has_key_ = false;
  Tokens opens_;
  Backoff backoff_;
  Timer timer_;
  Time gave_back_;
  Time give_all_ = kNever;   // when the memory that was touched goes back
  Time lonely_until_;        // lonely_turns_ are counted until then
  Time wake_ = kNever;       // dialing pause, or end of closing
  Time link_since_;
  Time since_;
  uint32_t number_;
  uint32_t server_flows_ = 0, socks_flows_ = 0;
  Time doubted_at_ = kNever;  // of this link
  uint64_t progress_ = 0;    // mux_.progress() when the link came up
  uint32_t attempts_ = 0;
  uint64_t process_random_ = 0;
  uint32_t failures_ = 0;    // dials that failed in a row
  uint8_t lonely_turns_ = 0;
  State state_ = State::idle;
  bool blocked_ = false;     // the link took less than it was given
  bool was_up_ = false;
  bool probed_ = false;
  bool outdated_ = false;    // held, and its peer has come with another session
  bool room_due_ = false;
  bool shut_write_ = false;
  bool gently_ = false;      // BYE is said, and must arrive
  bool renewing_ = false;    // the link ends, or has ended, to be made anew
  bool taking_ = false;      // the link is lost to another one, which is here already
};

}  // namespace smx

#endif
