// The session's state without the machine: bytes from the link go in, bytes for the link come out, time is passed in.
//
//     local sockets --on_pull--> tx ring --tx_pending/sent--> link --rx_space/received--> rx ring --on_data--> local sockets
//
// Owner: core/session. It never sees a descriptor, a clock, errno, the log or the heap: all memory comes from an Arena
// at the start. Invariants: bytes are pulled from a local socket only when their place in the tx ring is reserved; what
// a received packet makes due is state that merges, never a queue; credit given out never exceeds the blocks committed.
//
// One mux serves one link at a time. Per link both dialects are possible; which one is a value (dialect()):
//     link_up --> hello --peer's HELLO lacks the word--> 0.3 handshake --HELLOOK--> up
//                   | both have the word
//                   +-- larger nonce: ask (SETTINGS) --answer--> up        smaller: wait --SETTINGS, answered--> up
//
// A session of SockMux 1 outlives its link (held()): channels, numbering and ring stay, and the next link goes on behind
// the last packet that the peer has processed. It ends with its hold time, with a protocol error, or when the peer asks
// for another one. 0.3 has no such thing: there the session ends with the link.
//
// Memory: blocks for received data are shared out of one pool; a channel's window is committed from it, so that no peer
// that keeps the rules can make us drop data or stop reading.
//
// Datagrams use no credit: one that has come whole is given to its owner at once, who sends or drops it; one to be sent is
// read when the ring has room. A large one travels in pieces, none of another in between: one buffer each way is enough.
//
// On a lossy line everything travels in frames (mux_line.cc): what they bring is put into the rx ring as a stream link would.
//
// Read next: channel.h, mux.cc (the link), mux_session.cc (what outlives it), mux_channels.cc, mux_datagram.cc, mux_tx.cc,
// mux_line.cc, mux_v03.cc, mux_v1.cc and mux_bind.cc (the dialects). Source of every rule: sockmux(7).
#ifndef SOCKMUX_CORE_MUX_MUX_H
#define SOCKMUX_CORE_MUX_MUX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string_view>

#include "core/base/arena.h"
#include "core/base/blocks.h"
#include "core/base/features.h"
#include "core/base/ring.h"
#include "core/base/text.h"
#include "core/base/timer.h"
#include "core/mux/channel.h"
#include "core/mux/line_link.h"
#include "core/mux/line_sealer.h"
#include "core/mux/packet.h"
#include "core/mux/scheduler.h"
#include "core/mux/tap.h"
#include "core/mux/window.h"

namespace smx {

// What a local socket gave to on_pull(): `size` bytes, and what is to be expected then.
struct Pulled {
  enum class State : uint8_t {
    more,   // probably more to read
    empty,  // nothing more now; the owner calls local_readable() when there is
    end,    // end of file, behind the `size` bytes
    error,  // broken: the owner has closed it, and hears no more of this channel
  };
  size_t size = 0;
  State state = State::empty;
  bool urgent = false;  // `size` is 1, and that byte is urgent
};

// What a local socket took of on_data(). error: as above.
struct Taken {
  size_t size = 0;
  bool error = false;
};

// What a local socket gave to on_pull_datagram().
struct PulledDatagram {
  enum class State : uint8_t {
    none,   // there is none now; the owner calls local_readable() when there is
    one,    // one of `size` bytes, which may be 0; there may be more
    error,  // broken: the owner has closed it, and hears no more of this channel
  };
  size_t size = 0;
  State state = State::none;
};

// What an ask for a session meets here: whether it names one of ours is for all of our sessions to say.
enum class AskAnswer : uint8_t {
  here,       // this mux answers: with its session, if that is the one, else with a new one
  elsewhere,  // another mux has that session: received() returns Err::moved, and the owner takes the link there
  stale,      // older than an ask that was heard before
  busy,       // no place
};

// Who owns the local sockets. Calls name the channel by id; after on_done(), on_abort(), or an `error` returned, the
// owner hears no more of it and must not name it again. None of these may call received(), gather(), link_down() or
// tick(); only on_up() and on_room() may call open().
class MuxEvents {
 public:
  // The handshake is complete: channels can be opened. resumed() says whether those of before live on.
  virtual void on_up() = 0;
  // The peer asks for a session (SETTINGS of the asker). Nothing may be called from within.
  virtual AskAnswer on_ask(const Settings& ask) {
    (void)ask;
    return AskAnswer::here;
  }
  // A session that was held is not gone on with: its channels end right behind this call.
  virtual void on_session_over() {}
  // can_open() has turned true after it was false while the link was up.
  virtual void on_room() = 0;
  // The peer asks for a connection: answer with accept() or refuse(), now or later.
  virtual void on_open(ChannelId id, const OpenInfo& info) = 0;
  // The peer has connected the channel that we opened.
  virtual void on_opened(ChannelId id) = 0;
  // The addresses for CONNECT (client, where it was accepted) or CONNECTED (server, our address toward it).
  virtual void describe(ChannelId id, OpenInfo* info) = 0;
  virtual Pulled on_pull(ChannelId id, const MutBytes* piece, int pieces) = 0;
  virtual Taken on_data(ChannelId id, const Bytes* piece, int pieces) = 0;
  // The next byte of the stream, which is urgent. `size` of the answer is 0 or 1.
  virtual Taken on_urgent(ChannelId id, uint8_t byte) {
    const Bytes piece{&byte, 1};
    return on_data(id, &piece, 1);
  }
  // UDP: puts one datagram into `piece`. One longer than `largest` must be dropped, and the next one taken; one that is not,
  // but does not fit into `piece`, stays where it is (`none`).
  virtual PulledDatagram on_pull_datagram(ChannelId id, const MutBytes* piece, int pieces, size_t largest) {
    (void)id, (void)piece, (void)pieces, (void)largest;
    return {};
  }
  // UDP: one whole datagram, maybe of no bytes and no pieces; also before accept(). It is sent now, or dropped.
  virtual void on_datagram(ChannelId id, const Bytes* piece, int pieces) { (void)id, (void)piece, (void)pieces; }
  // What wants_read() and wants_write() say may have changed.
  virtual void on_wants(ChannelId id) = 0;
  // Everything from the peer is delivered and no more comes: shut the local write side.
  virtual void on_end(ChannelId id) = 0;
  // Both directions are over, nothing is left to deliver: close the local socket.
  virtual void on_done(ChannelId id) = 0;
  // The channel is broken: reset the local socket. `done`: all that the peer had to say was delivered, and its end; close the socket, so
  // that it can still be read there, and is reset only if it has more to say itself.
  virtual void on_abort(ChannelId id, CloseCode code) = 0;
  // The peer asks us to listen at info.local: answer with bound() or refuse(), now or later. False: forbidden. Its channel
  // ends by abort() or on_abort(), with any code.
  virtual bool on_bind(ChannelId id, const OpenInfo& info) {
    (void)id, (void)info;
    return false;
  }
  // The peer listens for the channel of open_bind(). Its clients come as on_open() with info.bind.
  virtual void on_bound(ChannelId id, const Address& at) { (void)id, (void)at; }

 protected:
  ~MuxEvents() = default;
};

struct MuxConfig {
  enum class Proto : uint8_t { automatic, v03, v1 };
  Proto proto = Proto::automatic;
  bool asks = false;             // this side proposes the session (a TCP connector)
  uint16_t accepts = 1000;       // channels that the peer may open: 1..60000
  uint16_t opens = 1000;         // channels that we may open: 1..60000
  uint32_t first_credit = 2048;  // 512..1 MiB: bytes toward us, each channel, guaranteed
  uint64_t memory_bytes = 8u << 20;  // blocks for received data
  uint32_t tx_ring = 256 * 1024;     // power of two, at least 64 KiB
  uint32_t tx_ring_most = 0;         // power of two: what it may grow to where a far line needs it; 0: it does not
  uint32_t rx_ring = 256 * 1024;     // power of two, at least 64 KiB
  uint16_t packet_size = 16384;      // 0.3: the largest PACKSIZE we announce, 129..16384
  char host[26] = "localhost";       // for HELLO, cut to 25
  char name[64] = {};                // for SETTINGS; may be empty
  Duration hello_timeout = seconds(15);
  Duration ping_interval = seconds(60);
  Duration hold = seconds(0);        // a session without a link is kept so long, if the peer does the same; 0: never; to 65535 s
  Duration linger = seconds(30);     // 0.3: silence after the client's end of file before CLOSE
  bool lines = true;                 // there may be links with LinkStart::lossy
};

// What is new at each link: the time of day for HELLO ("YYYYMMDD-HHMMSS.uuuuuu") and fresh random bytes.
struct LinkStart {
  char stamp[23] = "19700101-000000.000000";
  uint8_t random[24] = {};
  uint64_t attempt = 0;  // u32 of the process, u32 counting
  uint32_t rate = 0;     // bytes a second that the link carries; 0: unknown, and fast
  bool asks = false;     // this side proposes the session, whatever the peer does (MuxConfig::asks: on each link)
  Flag<kHasPipes> repeat;  // with search: HELLO is said each second until the peer's has come, and once more in answer to it; with lossy, without end
  Flag<kHasPipes> search;  // bytes that are none of the peer's may come before its HELLO, and between it and SETTINGS
  Flag<kHasLossy> lossy;   // a line that flips and drops bytes: frames. With search; never 0.3
  bool said = false;     // our HELLO is out already: first_packet(), of this start
  LineSealer* sealer = nullptr;  // with lossy: frames are sealed; lives as long as the link
  Flag<kHasFailover> trial;  // HELLO only: as soon as the link is proven(), another mux is to take it
};

// A link on its way to another mux: its ask belongs to that one's session, or it was on trial.
struct LinkHandover {
  LinkStart start;
  bool asked = false;     // the peer has asked for a session: `ask`
  MutBytes rest[2];       // what came behind that; in the giver's memory, until its next link
  int rest_pieces = 0;
  uint32_t nonce = 0, peer_nonce = 0;
  char peer_hello[kHelloText + 1] = {};
  size_t peer_hello_size = 0;
  Settings ask;
};

struct MuxStats {
  uint64_t rx_bytes = 0, tx_bytes = 0, rx_packets = 0, tx_packets = 0;
  uint64_t opened = 0, accepted = 0, refused = 0, aborted = 0, skipped_packets = 0;
  uint64_t rx_datagrams = 0, tx_datagrams = 0;
  uint64_t empty_datagrams = 0;  // 0.3: of no bytes, which its SEND cannot carry; dropped
  uint64_t late_datagrams = 0;   // came for a channel that had ended here
  uint64_t bad_frames = 0;       // lossy lines: broken ones, or noise
  uint64_t old_frames = 0, forged_frames = 0;  // with a sealer: heard before, or overtaken; that did not open
  uint64_t frames_again = 0;     // and those that had to be sent again
};

// What a link of a known rate changes, so that a key press is not behind seconds of bulk. Unknown: nothing.
// Source: sockmux(7), "Order of sending".
struct Pace {
  size_t largest;       // payload bytes of a packet of data, and of one channel's turn: 5 ms of line, 128..kMaxPayload
  size_t unsent;        // data are pulled while no more than this waits unsent in the ring; what is pulled comes on top
  size_t packet;        // 0.3: the largest packet that we ask for: 250 ms of line, since 4 of them may be on their way; 129..kMaxPacket
  Duration patience;    // what the line's own time adds to every deadline of the peer's
  size_t frame = 0;     // lossy line: line bytes of a frame at most, 96..kLineFrame
  size_t frames = 0;    // and how many are made at once
};
Pace pace_of(uint32_t rate);
Pace pace_of_lossy(uint32_t rate, bool sealed);

// The dialect of a link, as far as this build knows them.
class DialectNow {
 public:
  DialectNow& operator=(Dialect d) {
    value_ = d;
    return *this;
  }
  operator Dialect() const { return value_; }
  bool operator==(Dialect d) const { return (kHasV03 || d != Dialect::v03) && value_ == d; }
  bool operator!=(Dialect d) const { return !(*this == d); }

 private:
  Dialect value_ = Dialect::unknown;
};

class Mux final {
 public:
  enum class State : uint8_t { down, hello, hellook, ask, wait, up, closing };
  static constexpr int kTxPieces = 5;   // tx_pending() fills at most so many
  static constexpr uint32_t kOrphans = 64;

  // Fits the guarantee of first credits into memory_bytes: bytes that must at least be given.
  static uint64_t guaranteed_bytes(const MuxConfig& c);
  // Arena bytes that the constructor takes.
  static uint64_t arena_bytes(const MuxConfig& c);

  // HELLO as a link with this start says it first, for who says it before there is a mux to go on with the link. `out`: kFirstPacket
  // bytes of room; its size.
  static constexpr size_t kFirstPacket = kHeader + kHelloText + 1;
  static size_t first_packet(const MuxConfig& config, const LinkStart& start, uint8_t* out);

  explicit Mux(MuxEvents& events);
  Mux(const Mux&) = delete;
  Mux& operator=(const Mux&) = delete;
  // Takes its memory; false if the arena is too small or the guarantee exceeds memory_bytes.
  [[nodiscard]] bool init(const MuxConfig& config, Arena& arena);

  // ---- the link
  void link_up(const LinkStart& start, Time now);
  // The link is gone. The session is held if `keep`, if it is one of SockMux 1 and both sides have a hold time; else it ends.
  void link_down(Time now, bool keep = true);
  // Every channel ends: with on_abort(), unless all that the peer sent is here already.
  void end_session(Time now);
  // The process ends: each of them with on_abort(), since what is not delivered by now never will be.
  void end_all(Time now);
  // There is no link, and the session waits for one.
  bool held() const { return state_ == State::down && session_live_; }
  // A held session ends at `until`, if not before.
  void hold_until(Time until) {
    if (held()) hold_deadline_ = earlier(hold_deadline_, until);
  }
  bool hold_is_over(Time now) const { return hold_deadline_ <= now; }
  // Bytes of this session that have arrived for sure, of both directions; 0.3: that went through the link.
  uint64_t progress() const { return dialect_ == Dialect::v1 ? tx_.head() + rx_numbered_ : stats_.rx_bytes + tx_.head(); }
  // What the peer called itself in its first SETTINGS; empty: nothing.
  const char* peer_name() const { return peer_name_; }
  bool has_session(const uint8_t id[16]) const { return session_live_ && memcmp(session_, id, sizeof session_) == 0; }
  // The asks of one process count up; `attempt` is not above one that this session has heard of the same process. `again`:
  // it came over a link on which asks are said more than once.
  bool is_stale(uint64_t attempt, bool again) const {
    return session_live_ && asked_ && attempt >> 32 == peer_attempt_ >> 32 && (again ? attempt < peer_attempt_ : attempt <= peer_attempt_);
  }
  bool asks_again() const { return start_.search; }
  bool resumed() const { return resumed_; }
  // The peer knows of the session: it would be held.
  bool confirmed() const { return session_live_ && confirmed_; }
  // A lost link would be held().
  bool resumes() const { return confirmed() && hold_.us > 0; }
  // LinkStart::trial: the peer's HELLO has come, and is no leftover of an earlier run; with heard() nothing more is parsed.
  // It is proven when all of ours is written, too.
  bool heard() const { return heard_; }
  bool proven() const { return heard_ && !hello_due_ && tx_idle(); }
  // received() has returned Err::moved, or the link is proven(): gives it away, ...
  void give_link(LinkHandover* out, Time now);
  // ... and another mux, which has no link, answers the ask, or goes on behind HELLO. Not none: as from received().
  Err take_link(const LinkHandover& link, Time now);
  State state() const { return state_; }
  Dialect dialect() const { return dialect_; }
  bool up() const { return state_ == State::up; }
  // Sends BYE (0.3: nothing) behind what is in the ring; the session then waits for tx to drain.
  void bye(ByeCode code);
  // Asks the peer for a sign of life now; silent within `patience` ends the link.
  void probe(Time now, Duration patience);

  // ---- bytes from the link
  int rx_space(MutBytes out[2]) const;
  // `n` bytes were written to rx_space(). Not none: the peer is at fault and the link must end.
  Err received(size_t n, Time now);
  // The header of the packet that received() found at fault.
  const Header& last_header() const { return header_; }
  std::string_view peer_hello() const { return {peer_hello_, peer_hello_size_}; }
  uint8_t peer_bye() const { return peer_bye_; }
  // What it said beside that, in words; empty: nothing.
  std::string_view peer_bye_text() const { return peer_bye_text_.text(); }

  // ---- bytes for the link
  // Fills the tx ring: control, then data by turns. To be called after every other call, and after sent() again until
  // tx_pending() is empty or the link takes no more: only so nothing is left behind.
  void gather(Time now);
  // What is to be written next; how many pieces.
  int tx_pending(Bytes out[kTxPieces]) const;
  bool tx_idle() const {
    return ctl_size_ == ctl_sent_ && (!ring_open_ || sent_ == tx_.tail()) && !(start_.lossy && line_->writes());
  }
  void sent(size_t n);

  // ---- time
  Time deadline() const;
  // Err::silent or Err::handshake_timeout: the link must end.
  Err tick(Time now);
  Duration round_trip() const { return rtt_; }
  const SendWindow& window() const { return window_; }
  const Pace& pace() const { return pace_; }
  // An ECHO is out and nothing has come since.
  bool asked() const { return echo_deadline_ != kNever; }
  // When the last whole packet came.
  Time heard_at() const { return last_rx_; }

  // ---- channels, for their owners
  bool can_open() const;
  // So many channels of ours there may be at once.
  uint32_t most_own() const;
  // A channel for a client that was accepted here. can_open() must hold. An orphan that stands in the way is aborted.
  ChannelId open(Time now, bool udp = false);
  // The server that was chosen for this channel takes datagrams: before accept(). 0.3 does not say it in CONNECT.
  void serve_datagrams(ChannelId id);
  // UDP: it may not send before the peer says CONNECTED, or SENT for what is under way (0.3 only).
  bool waits_for_peer(ChannelId id) const;
  // Asks the peer to listen (BIND): describe() says where. can_bind() must hold.
  bool can_bind() const { return dialect_ == Dialect::v1 && can_open(); }
  ChannelId open_bind(Time now);
  // Listens for the peer's BIND; describe() says where.
  void bound(ChannelId id);
  // SockMux 1: the number that names a channel toward the peer, and the way back for channels of ours that somebody owns.
  uint16_t number_of(ChannelId id) const;
  bool find_mine(uint16_t number, ChannelId* out) const;
  bool is_bind(ChannelId id) const;
  // Frees a channel, to make room for a waiting client: of a peer that lingers after its client's end of file (0.3), or the
  // UDP flow of ours that has been silent longest; of these one at a time. False: there is no room to be expected soon.
  // on_room() comes when the peer has let go of it.
  bool make_room(Time now);
  // The server is connected. What came for it waits in the channel: see wants_write().
  void accept(ChannelId id, Time now);
  void refuse(ChannelId id, CloseCode code);
  // The local socket broke, or its owner wants to end it at once. The owner hears no more of it.
  void abort(ChannelId id, CloseCode code);
  void local_readable(ChannelId id);
  // The local socket takes bytes again: gives it what is queued, and then on_end() if that was all. False: the channel
  // is gone (the owner returned an error, or on_done() came).
  bool drain(ChannelId id, Time now);
  // Call local_readable() when the socket has bytes or its end.
  bool wants_read(ChannelId id) const;
  // Call drain() when the socket takes bytes: something is queued, or an end waits to be told.
  bool wants_write(ChannelId id) const;

  // For the owner of the channels, who looks his part of one up by the slot of its id.
  void* owner_of(uint32_t slot) const { return slots_[slot].owner; }
  void set_owner(uint32_t slot, void* owner);
  uint32_t channels() const { return live_; }
  // Those that the peer has opened, and that have an owner here.
  uint32_t peers_channels() const { return theirs_owned_; }
  // For who looks at all of them: the first one in use with a slot from `*slot` on; *slot moves on to it. Each look costs one
  // of `*looks`; nullptr: they are used up, or, with *slot == slots(), there is none any more.
  const Channel* next_channel(uint32_t* slot, uint32_t* looks) const;
  ChannelId id_of_slot(uint32_t slot) const { return {slot, slots_[slot].generation}; }
  // Is it a channel still?
  bool has(ChannelId id) const { return id.slot < slots() && is_made(id.slot) && find(id) != nullptr; }
  // The client of a channel of the peer's, as it says.
  Address client_of(const Channel& c) const { return clients_ == nullptr || c.mine ? Address() : clients_[index_of(c)]; }
  // TCP: bytes that may be sent at once.
  uint32_t credit_of(const Channel& c) const { return state_ == State::up && !c.udp && !c.bind ? send_room(c) : 0; }
  // In the ring: to be written; and written, but not acknowledged yet. And received, which local sockets have not taken.
  size_t unsent_bytes() const { return static_cast<size_t>(tx_.tail() - (sent_ < tx_.head() ? tx_.head() : sent_)); }
  size_t unacked_bytes() const { return tx_.used() - unsent_bytes(); }
  uint32_t slots() const { return opens_ + theirs_slots_; }
  const MuxStats& stats() const { return stats_; }
  uint32_t blocks_used() const { return pool_.used(); }
  // Memory that a burst of received data has touched, and that holds nothing now: the system may have it back.
  MutBytes spare_memory() { return pool_.spare(kManyBlocks); }
  // The same of whatever was touched in blocks and rings beyond a page or so, which light traffic uses again and again. For
  // seldom use. How many.
  static constexpr int kSpares = 3;
  bool has_spare_memory() const { return tx_.touched() > kLightBytes || rx_spare() > kLightBytes || pool_.touched() > kFewBlocks; }
  int all_spare_memory(MutBytes out[kSpares]);
  uint32_t orphans() const { return orphans_count_; }
  // No channel is one of this session: who has still to read what an ended one has left needs no link.
  bool needs_no_link() const { return live_ == orphans_count_; }
  // Who watches this mux's packets, as those of `session`; nullptr: nobody.
  void set_tap(MuxTap* tap, uint32_t session) {
    tap_ = tap;
    tap_session_ = session;
  }
  // For tests: the sums that must hold after each step. CHECKs.
  void verify() const;
  // For tests: it waits for its turn to send.
  bool is_listed(ChannelId id) const {
    const Channel* c = find(id);
    return c != nullptr && c->sched.listed();
  }

 private:
  static constexpr size_t kShortPacket = 512;
  static constexpr uint32_t kManyBlocks = 128, kFewBlocks = 8;
  static constexpr size_t kLightBytes = 0;
  // On a lossy line, bytes may stand behind the end of the ring.
  size_t rx_spare() const { return start_.lossy ? 0 : rx_.touched(); }
  struct Run;  // consecutive SENDs of one channel, delivered by one on_data()

  // mux.cc, mux_channels.cc, mux_tx.cc
  Channel* find(ChannelId id);
  const Channel* find(ChannelId id) const;
  uint32_t index_of(const Channel& c) const { return static_cast<uint32_t>(&c - slots_); }
  ChannelId id_of(const Channel& c) const { return {index_of(c), c.generation}; }
  Channel* take_slot(bool mine, Time now);
  bool is_made(uint32_t slot) const { return slot < opens_ ? slot < fresh_mine_ : slot < fresh_theirs_; }
  static void count_rx(Channel& c, size_t n, Time now) { count(c, n, 0, now); }
  static void count_tx(Channel& c, size_t n, Time now) { count(c, 0, n, now); }
  static void count(Channel& c, size_t rx, size_t tx, Time now) {
    ChannelFacts* f = c.facts();
    if (f == nullptr || rx + tx == 0) return;
    f->rx_bytes += rx;
    f->tx_bytes += tx;
    f->moved = ChannelFacts::tick(now);
  }
  void set_client(const Channel& c, const Address& client) {
    if (clients_ != nullptr) clients_[index_of(c)] = client;
  }
  void release(Channel& c);
  void set_due(Channel& c, uint8_t bits);
  void clear_due(Channel& c, unsigned bits);
  void on_timer(Channel& c, Time now);
  Err parse(Time now);
  void flush(Run& run, Time now);
  void keep(Channel& c, const Bytes* piece, int pieces, size_t skip);
  void urgent(Channel& c, uint8_t byte, Time now);
  Taken deliver_queued(Channel& c);
  void taken(Channel& c, size_t n);
  void settle(Channel& c);
  void detach(Channel& c) { c.attached = false; }
  void close_later(Channel& c, CloseCode code);
  void make_orphan(Channel& c);
  bool drop_orphan(uint32_t from, uint32_t to);
  void set_numbers(uint32_t first, uint32_t limit);
  void shrink(Channel& c);
  void note_room();
  uint32_t free_blocks() const { return pool_.count() - committed_; }
  void abort_local(Channel& c, CloseCode code);
  void end_of_local(Channel& c, Time now);
  bool may_send(const Channel& c) const;
  uint32_t send_room(const Channel& c) const;
  // Numbered packets may go out: not before the answer that the asker waits for.
  bool ring_goes() const { return ring_open_ && !settings_due_; }
  bool handshake_due() const { return hello_due_ || hellook_due_ > 0 || settings_due_ || setopt_due_; }
  void gather_control(Time now);
  void gather_data(Time now);
  size_t bulk_limit();
  bool windowed() const { return dialect_ == Dialect::v1 && start_.rate == 0 && !start_.lossy; }
  size_t pull(Channel& c, size_t limit, Time now, Pulled::State* state);
  Header send_header(const Channel& c, Type type, size_t length) const;
  void put_packet(const Header& h, const uint8_t* payload);
  void append_packet(const Header& h);
  // Bytes of a packet behind `carried` bytes of this link, at most. A link may be cut at any time, and half a packet is forgotten:
  // so the first ones are short, and none is longer than a fourth of all before it and kShortPacket. Whatever a link carries,
  // most of it has arrived for good, though each link be cut before a largest packet is through.
  static size_t longest_behind(uint64_t carried) { return carried / 4 < kMaxPacket - kShortPacket ? kShortPacket + static_cast<size_t>(carried / 4) : kMaxPacket; }
  uint64_t packet_end(uint64_t begin) const;
  void find_frame_end();
  void put_ctl(uint8_t version, Type type, uint16_t none, const uint8_t* payload, size_t n) {
    put_ctl({version, static_cast<uint8_t>(type), none, none, static_cast<uint16_t>(n)}, payload);
  }
  void put_ctl(const Header& h, const uint8_t* payload);
  void fill_ctl(Time now);
  bool commit(Channel& c, uint32_t blocks);
  void reserve_base(uint32_t blocks);
  template <typename F>
  void for_each_used(F f);
  void reset_link();
  Err answer_ask(const Settings& ask, Time now);
  void begin_session(const Settings& peer, Time now);
  Err resume_session(uint64_t received, Time now);
  void cut_anew();
  void send_or_ask(Channel& c);
  Time ping_deadline() const;
  Duration arriving() const;
  void go_up(Time now);
  void begin_handshake(Time now);
  Err on_hello(Bytes payload, Time now);
  Err on_bye(Bytes payload);
  Err take_packet(Bytes payload, bool known, Run& run, Time now);
  enum class Found : uint8_t { no, part, whole };
  Found find_start();
  Err hello_again(Bytes payload, Time now);
  static uint32_t nonce_of(const MuxConfig& config, const LinkStart& start);
  static void make_hello(const MuxConfig& config, const LinkStart& start, uint32_t nonce, TextBase& out);
  bool is_own(Bytes hello) const;

  // tap.cc; tap_ is there
  void tell(bool sent, const Header& h, const Bytes* piece, int pieces) const;
  void tell_sent(const Header& h, uint64_t payload) const;
  void tell_received(Bytes payload, const Run& run) const;

  // mux_datagram.cc
  size_t largest_datagram() const;
  bool pull_datagram(Channel& c, size_t space, Time now);
  void put_pieces(size_t space);
  void deliver(Channel& c, const Bytes* piece, int pieces, Time now);
  Err datagram_v1(Channel& c, Bytes payload, bool last, Time now);
  void forget_pieces(const Channel& c, bool rx);
  bool end_idle_flow(Time now);
  void first_datagram(Channel& c, Time now);

  // mux_v03.cc
  Err packet_v03(const Header& h, Bytes payload, Run& run, Time now);
  Err connect_v03(const Header& h, Bytes payload, Time now);
  Err close_v03(const Header& h, Bytes payload, Time now);
  bool commit_v03(Channel& c);
  void linger_v03(Channel& c, Time now);
  void timer_v03(Channel& c);
  void emit_v03(Channel& c, Time now);
  void setopt_v03(Bytes payload);
  void up_v03(Time now);

  // mux_v1.cc
  Err packet_v1(const Header& h, Bytes payload, Run& run, Time now);
  Err connect_v1(const Header& h, Bytes payload, Time now);
  Err close_v1(Channel& c, Bytes payload);
  // mux_bind.cc
  Err bind_v1(const Header& h, Bytes payload, Time now);
  Err packet_of_bind(Channel& c, Type type, Bytes payload);
  void emit_bind(Channel& c, unsigned due);
  // mux_v1.cc
  Err settings_v1(Bytes payload, Time now);
  Err ack_v1(uint64_t position);
  void emit_v1(Channel& c, Time now);
  uint32_t credit_to_give(Channel& c, Time now);
  void ask_round_trip(Time now, Duration again);
  void timer_v1(Channel& c, Time now);
  void up_v1(Time now);

  // mux_line.cc. line_overhead(): bytes of a frame that are neither packets nor stream.
  void begin_line(Time now);
  Err received_line(size_t n, Time now);
  Err take_frame(const LineFrame& frame, Time now);
  void mark_line(bool both);
  bool is_asker() const { return nonce_ > peer_nonce_; }
  Err take_unnumbered(Bytes packets, Time now);
  Err send_again(uint64_t from, uint64_t to);
  void ask_for_gaps(Time now);
  bool frame_may_grow();
  void make_frames(Time now);
  Err take_block(Bytes block, Time now);
  void put_frame(const LineFrame& frame, uint64_t off, uint64_t ack, Time now);
  size_t line_overhead() const { return kLineOverhead + (start_.sealer != nullptr ? LineSealer::kOverhead : 0); }
  size_t line_target() const { return pace_.frames * (line_->frame - line_overhead()); }
  size_t numbered_for(size_t room, uint64_t* from);
  Duration line_turn() const;
  void ack_moved(Time now);
  Time line_deadline() const;
  void tick_line(Time now);

  MuxEvents& events_;
  MuxConfig config_;
  MuxStats stats_;
  Part<kHasDump, MuxTap> tap_;
  uint32_t tap_session_ = 0;

  // tables
  Channel* slots_ = nullptr;      // [0, opens_): ours; [opens_, slots()): opened by the peer. 0.3: all in [2, 255)
  Part<kHasControl, Address> clients_;  // of each slot, for channels of the peer's
  uint16_t* theirs_ = nullptr;    // peer's number -> slot - opens_ + 1, or 0. 0.3: peer's id -> slot + 1
  BareTimer** timers_memory_ = nullptr;
  TimerHeap timers_;
  NearNode* ends_ = nullptr;      // of the lists, near the slots
  NearList<Channel, &Channel::sched> free_mine_, free_theirs_;
  NearList<Channel, &Channel::due_node> due_;
  NearList<Channel, &Channel::due_node> orphans_;  // the oldest first
  Scheduler scheduler_;
  BlockPool pool_;
  // UDP, SockMux 1: the rest of a datagram whose first pieces are in the tx ring, and the first pieces of one that comes
  uint8_t* tx_datagram_ = nullptr;
  uint8_t* rx_datagram_ = nullptr;
  uint32_t tx_pieces_size_ = 0, tx_pieces_at_ = 0;  // bytes in it; of these, in the ring
  uint32_t rx_pieces_size_ = 0;
  uint32_t tx_pieces_slot_ = 0, rx_pieces_slot_ = 0;
  bool tx_cut_ = false;  // the channel of a datagram in pieces has ended, and its CLOSE is still to be put into the ring
  uint8_t* scratch_ = nullptr;  // one payload that wraps around the end of the rx ring
  uint32_t opens_ = 0;
  uint32_t theirs_slots_ = 0;
  // This link's channels of ours have numbers (0.3: and the peer's have ids) in [first_number_, number_limit_).
  uint32_t first_number_ = 0;
  uint32_t number_limit_ = 0;
  uint32_t orphans_count_ = 0;
  uint32_t orphan_numbers_ = 0;  // of these, in that range
  uint32_t orphan_blocks_ = 0;   // blocks committed to them
  uint32_t fresh_mine_ = 0;    // slots from here on were never used
  uint32_t fresh_theirs_ = 0;
  uint32_t live_ = 0;          // channels that are not free, orphans included
  uint32_t theirs_owned_ = 0;  // of these, those that the peer has opened, and that have an owner
  uint32_t opening_ = 0;       // of these: ours, waiting for the peer's answer
  uint32_t committed_ = 0;     // blocks promised to channels
  uint32_t base_committed_ = 0;  // v1: first credits of all channels that there can be
  bool room_wanted_ = false;   // can_open() was false when it was last looked at
  ChannelId room_from_;        // the last flow that was ended for a waiting client, and when
  Time room_at_;

  // link
  State state_ = State::down;
  DialectNow dialect_;
  LinkStart start_;
  Pace pace_ = pace_of(0);
  uint32_t nonce_ = 0;
  uint32_t peer_nonce_ = 0;
  char peer_hello_[kHelloText + 1] = {};
  size_t peer_hello_size_ = 0;
  uint8_t peer_bye_ = 0xff;
  Text<80> peer_bye_text_;
  Header header_;
  uint8_t next_hello_[64] = {};  // payload of the HELLO that ended the last link, for the next one (search)
  size_t next_hello_size_ = 0;
  size_t peer_packet_ = kFirstPacket03;  // 0.3: largest packet toward the peer
  bool peer_conndata_ = false;
  uint16_t peer_channels_ = 0;   // v1
  uint32_t peer_credit_ = 0;     // v1
  uint32_t my_packet_ = kMaxPacket;  // 0.3: largest packet that there is memory for: what we announced, at least 512
  Settings ask_;                 // v1, answerer: what received() has returned Err::moved for

  // session, v1
  bool session_live_ = false;    // agreed with the peer; channels and numbering belong to it
  bool confirmed_ = false;       // the peer knows that it is: it will ask for it
  bool resumed_ = false;         // by the link of the moment
  bool asked_ = false;           // peer_attempt_ is one
  bool ring_open_ = false;       // the link of the moment takes numbered packets
  uint64_t peer_attempt_ = 0;    // the highest ask of the peer's process
  uint8_t session_[16] = {};
  char peer_name_[64] = {};
  Duration hold_;                // the smaller one of both sides
  Time hold_deadline_ = kNever;  // without a link

  LineLink* line_ = nullptr;     // MuxConfig::lines

  // unnumbered packets: made from these when ctl_ is empty
  bool hello_due_ = false, settings_due_ = false, setopt_due_ = false, echo_due_ = false, ack_due_ = false;
  uint8_t hellook_due_ = 0;
  bool bye_due_ = false, bye_gathered_ = false;
  uint64_t bye_at_ = 0;  // BYE goes out when the ring is written up to here
  ByeCode bye_code_ = ByeCode::shutdown;
  bool echook_due_ = false;
  uint8_t echook_size_ = 0;
  uint8_t echook_[128];
  uint16_t echook_said_ = kNone, echook_raid_ = kNone;
  bool hellook_seen_ = false;
  bool hello_out_ = false;         // our HELLO is written: what answers it can come
  bool heard_ = false;
  bool wrong_dialect_ = false;     // a HELLO came that proto:1 does not take
  Flag<kHasLossy> bare_hello_;     // one without a frame came on a lossy line
  Time hello_again_at_ = kNever;   // LinkStart::repeat; and 0.3, search: the peer may not have had ours

  uint8_t ctl_[1024];
  size_t ctl_size_ = 0;
  size_t ctl_sent_ = 0;

  Ring tx_;                 // [head, sent): written, kept until released; [sent, tail): to be written
  uint64_t sent_ = 0;
  uint64_t frame_end_ = 0;  // smallest packet end >= sent_
  Ring rx_;
  SendWindow window_;       // v1, a link of unknown rate: how much bulk may be in it
  size_t turn_ = 0;         // the quantum that follows from its rate
  uint64_t rx_numbered_ = 0;  // bytes of numbered packets processed
  uint64_t rx_acked_ = 0;     // of these, told to the peer
  Time rx_acked_at_;
  Train arrivals_;            // v1: how fast numbered bytes come
  Time ack_deadline_ = kNever;

  Time handshake_deadline_ = kNever;
  Time last_rx_;
  Time waits_since_;            // when the ring was filled after it had been empty
  Time echo_sent_ = kNever;     // an ECHO is out
  Time echo_deadline_ = kNever;
  Duration probe_patience_;
  Duration rtt_ = millis(100);
  Time rtt_at_;                 // when it was measured, or asked for
};

}  // namespace smx

#endif
