// The link: memory, its start and end, bytes in, deadlines. Read next: mux_tx.cc (bytes out), mux_channels.cc, mux_v03.cc,
// mux_v1.cc; mux.h for the rules.
#include "core/mux/mux.h"

#include <string.h>

#include "core/base/rate.h"
#include "core/mux/run.h"

namespace smx {

namespace {
constexpr int kTimersATurn = 256;
constexpr Duration kAckPause = millis(4);
// A 0.3 peer may have taken our HELLO for the end of the run before, and wait for another one.
constexpr Duration kHelloAgain = seconds(2);
}  // namespace

// ---- memory

uint32_t blocks_for(uint64_t credit_bytes) {
  // A queue of n bytes that begins anywhere in its first block.
  return credit_bytes == 0 ? 0 : static_cast<uint32_t>((credit_bytes + kBlock - 2) / kBlock + 1);
}

static uint32_t largest_tx_ring(const MuxConfig& c) { return c.tx_ring_most > c.tx_ring ? c.tx_ring_most : c.tx_ring; }

uint64_t Mux::guaranteed_bytes(const MuxConfig& c) {
  return (uint64_t{c.opens} + c.accepts + kOrphans) * blocks_for(c.first_credit) * kBlock;
}

uint64_t Mux::arena_bytes(const MuxConfig& c) {
  const uint64_t slots = (c.opens < 255u ? 255u : c.opens) + uint64_t{c.accepts} + kOrphans;
  const uint64_t blocks = c.memory_bytes / kBlock;
  const uint64_t map = c.accepts < 256u ? 256u : c.accepts;
  return slots * (sizeof(Channel) + (kHasControl ? sizeof(Address) : 0) + sizeof(BareTimer*)) + map * sizeof(uint16_t) + blocks * (kBlock + sizeof(uint32_t)) +
         largest_tx_ring(c) + c.rx_ring + kMaxPayload + 2 * kMaxDatagram + SendWindow::kStamps * sizeof(SendWindow::Stamp) + (c.lines ? sizeof(LineLink) : 0) + 1024;
}

Mux::Mux(MuxEvents& events) : events_(events) {}

bool Mux::init(const MuxConfig& config, Arena& arena) {
  config_ = config;
  SMX_CHECK(config.accepts > 0 && config.accepts <= 60000);
  SMX_CHECK(config.opens > 0 && config.opens <= 60000);
  SMX_CHECK(config.tx_ring >= 4 * kMaxPacket);
  SMX_CHECK(config.rx_ring >= 4 * kMaxPacket);
  opens_ = config.opens < 255u ? 255u : config.opens;  // 0.3 takes its ids from these slots
  theirs_slots_ = config.accepts + kOrphans;
  fresh_theirs_ = opens_;
  const uint32_t blocks = static_cast<uint32_t>(config.memory_bytes / kBlock);
  constexpr size_t kLists = 4 + Scheduler::kLists;
  // Of a long array only the beginning is touched as long as there is little to do. So what is short, or begins a long one,
  // shares its pages with the beginning of the next: an idle session has four of them (README, "What a hub carries").
  ends_ = arena.raw<NearNode>(kLists);
  slots_ = arena.raw<Channel>(opens_ + theirs_slots_);
  SendWindow::Stamp* stamps = arena.raw<SendWindow::Stamp>(SendWindow::kStamps);
  timers_memory_ = arena.raw<BareTimer*>(opens_ + theirs_slots_);
  uint8_t* tx = arena.raw<uint8_t>(largest_tx_ring(config));
  theirs_ = arena.raw<uint16_t>(config.accepts < 256u ? 256u : config.accepts);
  uint8_t* rx = arena.raw<uint8_t>(config.rx_ring);
  uint8_t* data = arena.raw<uint8_t>(size_t{blocks} * kBlock);
  uint32_t* next = arena.raw<uint32_t>(blocks);
  if constexpr (kHasControl) {
    clients_ = arena.raw<Address>(opens_ + theirs_slots_);
    if (clients_ == nullptr) return false;
  }
  scratch_ = arena.raw<uint8_t>(kMaxPayload);
  tx_datagram_ = arena.raw<uint8_t>(kMaxDatagram);
  rx_datagram_ = arena.raw<uint8_t>(kMaxDatagram);
  if (rx_datagram_ == nullptr || tx_datagram_ == nullptr || scratch_ == nullptr || rx == nullptr || tx == nullptr || stamps == nullptr || next == nullptr || data == nullptr || theirs_ == nullptr ||
      timers_memory_ == nullptr || slots_ == nullptr || ends_ == nullptr)
    return false;
  if (config.lines) {
    line_ = arena.create<LineLink>();
    if (line_ == nullptr) return false;
  }
  if (guaranteed_bytes(config) > config.memory_bytes) return false;
  window_.set_memory(stamps);
  timers_.set_memory(timers_memory_, opens_ + theirs_slots_);
  free_mine_.set_end(ends_[0]);
  free_theirs_.set_end(ends_[1]);
  due_.set_end(ends_[2]);
  orphans_.set_end(ends_[3]);
  scheduler_.set_ends(ends_ + 4);
  pool_ = BlockPool(data, next, blocks);
  tx_ = Ring(tx, config.tx_ring, largest_tx_ring(config));
  rx_ = Ring(rx, config.rx_ring);
  return true;
}

int Mux::all_spare_memory(MutBytes out[kSpares]) {
  int n = 0;
  const auto add = [&](MutBytes spare) {
    if (spare.size > 0) out[n++] = spare;
  };
  if (rx_spare() > kLightBytes) add(rx_.spare());
  if (tx_.touched() > kLightBytes) add(tx_.spare());
  if (pool_.touched() > kFewBlocks) add(pool_.spare(kFewBlocks));
  return n;
}

bool Mux::commit(Channel& c, uint32_t blocks) {
  if (blocks > pool_.count() - committed_) return false;
  committed_ += blocks;
  c.blocks += blocks;
  return true;
}

// The first credits of all channels of a new session. Orphans of the last one may stand in the way: the oldest go.
void Mux::reserve_base(uint32_t blocks) {
  while (blocks > free_blocks() && drop_orphan(0, slots())) {
  }
  SMX_CHECK(blocks <= free_blocks());
  base_committed_ = blocks;
  committed_ += blocks;
}

// Gives back the blocks that this channel can't need any more.
void Mux::shrink(Channel& c) {
  const bool more = c.rx == Rx::data && c.life != Life::closing && c.life != Life::orphan;
  uint32_t need = blocks_for(c.queue.size() + (more ? c.rx_credit : 0));
  if (dialect_ == Dialect::v1 && c.life != Life::orphan) {
    const uint32_t base = blocks_for(config_.first_credit);
    need = need > base ? need - base : 0;
  }
  if (need >= c.blocks) return;
  if (c.life == Life::orphan) orphan_blocks_ -= c.blocks - need;
  committed_ -= c.blocks - need;
  c.blocks = need;
}

// ---- the link

void Mux::reset_link() {
  if (!session_live_) dialect_ = Dialect::unknown;
  hello_due_ = settings_due_ = setopt_due_ = echo_due_ = ack_due_ = echook_due_ = bye_due_ = bye_gathered_ = hellook_seen_ =
      hello_out_ = heard_ = wrong_dialect_ = false;
  bare_hello_ = false;
  hellook_due_ = 0;
  ctl_size_ = ctl_sent_ = 0;
  rx_.reset(0);
  ring_open_ = resumed_ = false;
  ack_deadline_ = handshake_deadline_ = echo_sent_ = echo_deadline_ = hello_again_at_ = kNever;
  peer_packet_ = kFirstPacket03;
  peer_conndata_ = false;
  peer_hello_size_ = 0;
  peer_bye_ = 0xff;
  peer_bye_text_.clear();
  header_ = Header{};
  rtt_ = millis(100);
}

uint32_t Mux::nonce_of(const MuxConfig& config, const LinkStart& start) {
  return (load32(start.random) & 0x7fffffff) | (config.asks || start.asks ? 0x80000000u : 0u);
}

void Mux::link_up(const LinkStart& start, Time now) {
  SMX_CHECK(state_ == State::down);
  reset_link();
  start_ = start;
  pace_ = start.lossy ? pace_of_lossy(start.rate, start.sealer != nullptr) : pace_of(start.rate);
  scheduler_.set_quantum(start.rate == 0 && !start.lossy ? Scheduler::kQuantum : static_cast<int32_t>(pace_.largest));
  nonce_ = nonce_of(config_, start);
  state_ = State::hello;
  hello_due_ = !start.said;
  hello_out_ = start.said;
  if (tap_ != nullptr && start.said) {
    uint8_t raw[kFirstPacket];
    const Bytes text{raw + kHeader, first_packet(config_, start, raw) - kHeader};
    tell(true, decode_header(raw), &text, 1);
  }
  last_rx_ = waits_since_ = now;
  if (start.lossy) begin_line(now);
  begin_handshake(now);
  if (start.repeat || start.lossy) hello_again_at_ = now + kHelloRepeat + pace_.patience;
  if (next_hello_size_ > 0 && start.search) {
    const Bytes hello{next_hello_, next_hello_size_};
    next_hello_size_ = 0;
    (void)on_hello(hello, now);  // what cannot be spoken ends with the deadline
  }
}

// The peer's next packet is due. Nobody knows when somebody comes to the other end of a lossy line: there is no limit, but for a program.
void Mux::begin_handshake(Time now) {
  handshake_deadline_ = start_.lossy && start_.repeat ? kNever : now + config_.hello_timeout + pace_.patience;
  // Who says HELLO again and again, and never hears us, does not keep a held session.
  if (start_.search && state_ != State::hello) handshake_deadline_ = earlier(handshake_deadline_, hold_deadline_);
}

void Mux::go_up(Time now) {
  state_ = State::up;
  if (start_.lossy) line_->gaps.reset(rx_numbered_);
  handshake_deadline_ = hello_again_at_ = kNever;
  last_rx_ = now;
  ring_open_ = true;
  window_.reset(tx_.largest() / 8 * 7, tx_.head());
  turn_ = 0;
  arrivals_.reset(rx_numbered_);
  hold_deadline_ = kNever;
  echo_due_ = dialect_ == Dialect::v1;  // measures the round trip, and confirms the session to the answerer
  room_wanted_ = !can_open();
  events_.on_up();
}

void Mux::bye(ByeCode code) {
  if (state_ == State::down || state_ == State::closing) return;
  bye_code_ = code;
  bye_due_ = dialect_ == Dialect::v1 && state_ != State::hello;
  bye_gathered_ = !ring_open_;  // nothing has to go out before it
  bye_at_ = 0;
  state_ = State::closing;
}

void Mux::probe(Time now, Duration patience) {
  if (state_ != State::up) return;
  const Time limit = now + patience + pace_.patience;
  if (echo_deadline_ == kNever || limit < echo_deadline_) echo_deadline_ = limit;
  echo_due_ = true;
}

void Mux::make_hello(const MuxConfig& config, const LinkStart& start, uint32_t nonce, TextBase& out) {
  out.add(start.stamp).add(' ').add_printable(config.host);
  if (config.proto != MuxConfig::Proto::v03) out.add(" smx/1:").add_hex(nonce, 8);
}

size_t Mux::first_packet(const MuxConfig& config, const LinkStart& start, uint8_t* out) {
  Text<kHelloText> text;
  make_hello(config, start, nonce_of(config, start), text);
  const size_t n = text.size() + 1;
  encode_header({kVersion03, static_cast<uint8_t>(Type::hello), kNone, kNone, static_cast<uint16_t>(n)}, out);
  memcpy(out + kHeader, text.c_str(), n);
  return kHeader + n;
}

// An echo of our own HELLO: a login prompt, a loop-back plug.
bool Mux::is_own(Bytes payload) const {
  const HelloWord word = parse_hello_word(payload);
  Text<kHelloText> own;
  make_hello(config_, start_, nonce_, own);
  return (word.present && word.nonce == nonce_) || as_text(payload).substr(0, as_text(payload).find('\0')) == own.text();
}

// HELLO of either dialect: decides which one it is.
Err Mux::on_hello(Bytes payload, Time now) {
  const std::string_view text = as_text(payload).substr(0, as_text(payload).find('\0'));
  const HelloWord word = parse_hello_word(payload);
  if (is_own(payload)) return start_.search ? Err::none : Err::own_echo;
  // Ours may have gone out before the peer was there to hear it.
  const bool other = dialect_ != Dialect::v1 || state_ == State::hello || word.nonce != peer_nonce_;
  if (start_.search && word.present && config_.proto != MuxConfig::Proto::v03 && other) hello_due_ = true;
  const bool v1 = word.present && config_.proto != MuxConfig::Proto::v03;
  const bool again = state_ == State::hellook && text.substr(0, kHelloText) == std::string_view(peer_hello_, peer_hello_size_);
  if (start_.repeat && !v1 && !again) hello_due_ = true;
  peer_hello_size_ = text.size() < kHelloText ? text.size() : kHelloText;
  memcpy(peer_hello_, text.data(), peer_hello_size_);
  // Of a peer that may be gone: if it lives, it answers ours, whose nonce it has not seen yet.
  if (start_.trial && start_.search && word.present && !hello_out_) return Err::none;
  if (v1) {
    dialect_ = Dialect::v1;
    peer_nonce_ = word.nonce;
    state_ = is_asker() ? State::ask : State::wait;
    heard_ = start_.trial && state_ == State::ask;
    settings_due_ = state_ == State::ask && !start_.trial;
    if (!start_.lossy) hello_again_at_ = kNever;
    begin_handshake(now);
    return Err::none;
  }
  if (!kHasV03 || config_.proto == MuxConfig::Proto::v1 || start_.lossy) {
    if (!start_.search) return Err::wrong_dialect;
    wrong_dialect_ = true;  // or the rest of an earlier run: the deadline decides
    return Err::none;
  }
  if (session_live_) events_.on_session_over();
  end_session(now);  // what was held belongs to a peer that could do more
  dialect_ = Dialect::v03;
  state_ = State::hellook;
  heard_ = start_.trial;
  hellook_due_ = start_.trial ? 0 : 1;  // however many came
  begin_handshake(now);
  if (start_.search && !again) hello_again_at_ = now + kHelloAgain + pace_.patience;
  return Err::none;
}

Err Mux::on_bye(Bytes payload) {
  peer_bye_ = payload.data[0];
  peer_bye_text_.clear();
  peer_bye_text_.add_printable(as_text({payload.data + 1, payload.size - 1}));
  return Err::said_bye;
}

// ---- bytes from the link

int Mux::rx_space(MutBytes out[2]) const {
  if (!start_.lossy) return rx_.view(rx_.tail(), rx_.room(), out);
  out[0] = {line_->in, sizeof line_->in};
  return 1;
}

Err Mux::received(size_t n, Time now) {
  stats_.rx_bytes += n;
  if (start_.lossy) return received_line(n, now);
  rx_.append(n);
  return parse(now);
}

// One packet, whose header is header_, of the dialect of the moment.
Err Mux::take_packet(Bytes payload, bool known, Run& run, Time now) {
  ++stats_.rx_packets;
  if (tap_ != nullptr) tell_received(payload, run);
  if (state_ == State::hello) {
    if (header_.version == kUnnumbered) return on_bye(payload);
    return header_.type == static_cast<uint8_t>(Type::hello) ? on_hello(payload, now) : Err::bad_state;
  }
  if (!known) {
    ++stats_.skipped_packets;
    return header_.version == kNumbered && state_ != State::up && state_ != State::closing ? Err::bad_state : Err::none;
  }
  // Given up before the peer's HELLO: no dialect has looked at the lengths, and nobody waits for an answer.
  if (dialect_ == Dialect::unknown) return Err::none;
  return dialect_ == Dialect::v03 ? packet_v03(header_, payload, run, now) : packet_v1(header_, payload, run, now);
}

Err Mux::parse(Time now) {
  Run run;
  Err e = Err::none;
  while (e == Err::none && !heard_ && rx_.used() >= kHeader) {
    if (start_.search && !ring_open_ && state_ != State::closing) {
      const Found found = find_start();
      if (found == Found::part) break;
      if (found == Found::no) {
        rx_.release(rx_.head() + 1);
        continue;
      }
    }
    uint8_t raw[kHeader];
    rx_.copy_out(rx_.head(), raw, kHeader);
    header_ = decode_header(raw);
    bool known = true;
    const bool first = state_ == State::hello && !start_.search;
    if (first && memcmp(raw, "SMXS", 4) == 0) return Err::speaks_secure;
    // HELLO is one of 0.3. Who wants none of this link says BYE at once.
    const bool bye = first && header_.version == kUnnumbered && header_.type == static_cast<uint8_t>(Type::bye);
    const bool v1 = (dialect_ == Dialect::v1 && state_ != State::hello) || bye;
    e = check_header(header_, v1 ? Dialect::v1 : Dialect::v03, &known);
    if (e == Err::none && start_.lossy && header_.version != kNumbered) e = Err::bad_version;
    if (e != Err::none) {
      if (tap_ != nullptr) tell(false, header_, nullptr, 0);
      break;
    }
    const size_t total = kHeader + header_.length;
    if (rx_.used() < total) break;
    last_rx_ = now;
    echo_deadline_ = kNever;
    MutBytes part[2];
    const int parts = rx_.view(rx_.head() + kHeader, header_.length, part);
    Bytes payload{parts > 0 ? part[0].data : scratch_, header_.length};
    const bool data = known && (header_.type == static_cast<uint8_t>(Type::send));
    if (parts == 2 && !data) {
      rx_.copy_out(rx_.head() + kHeader, scratch_, header_.length);
      payload.data = scratch_;
    }
    run.part = part;
    run.parts = parts;
    e = take_packet(payload, known, run, now);
    if (e == Err::none && dialect_ == Dialect::v1 && header_.version == kNumbered) rx_numbered_ += total;
    rx_.release(rx_.head() + total, start_.lossy && !line_->gaps.none());
  }
  flush(run, now);
  if (ring_open_ && dialect_ == Dialect::v1 && rx_numbered_ > rx_acked_) {
    // The second for the sender's window: on a slow line 8,192 bytes are much of what is under way.
    arrivals_.add(rx_numbered_, now, Duration{rtt_.us / 2 > 10000 ? rtt_.us / 2 : 10000});
    const uint64_t owed = rx_numbered_ - rx_acked_;
    if (owed >= SendWindow::kAckBytes || (owed >= SendWindow::kSoonBytes && !(now - rx_acked_at_ < kAckPause))) {
      ack_due_ = true;
    } else if (ack_deadline_ == kNever) {
      ack_deadline_ = now + millis(500);
    }
  }
  return e;
}

// Gives what a run of SENDs brought to the local socket, and keeps the rest.
void Mux::flush(Run& run, Time now) {
  Channel* c = run.channel;
  if (c == nullptr) return;
  run.channel = nullptr;
  if (!c->attached) return;
  count_rx(*c, run.bytes, now);
  size_t skip = 0;
  const bool was_empty = c->queue.empty();
  if (c->life == Life::open && was_empty) {
    const Taken t = events_.on_data(id_of(*c), run.piece, run.pieces);
    if (t.error) {
      detach(*c);
      return abort_local(*c, CloseCode::reset);
    }
    SMX_CHECK(t.size <= run.bytes);
    skip = t.size;
  }
  if (skip < run.bytes) keep(*c, run.piece, run.pieces, skip);
  taken(*c, skip);
  if (was_empty && wants_write(id_of(*c))) events_.on_wants(id_of(*c));
}

// One urgent byte from the peer, at its place in the stream. One that still waits is ordinary from now on.
// Source: sockmux(7), "Urgent data".
void Mux::urgent(Channel& c, uint8_t byte, Time now) {
  if (!c.attached) return;
  count_rx(c, 1, now);
  const bool was_empty = c.queue.empty();
  size_t took = 0;
  if (c.life == Life::open && was_empty) {
    const Taken t = events_.on_urgent(id_of(c), byte);
    if (t.error) {
      detach(c);
      return abort_local(c, CloseCode::reset);
    }
    took = t.size;
  }
  if (took == 0) {
    const Bytes piece{&byte, 1};
    keep(c, &piece, 1, 0);
    c.urgent_at = static_cast<uint32_t>(c.queue.size());
  }
  taken(c, took);
  if (was_empty && wants_write(id_of(c))) events_.on_wants(id_of(c));
}

// Queues all but the first `skip` bytes. The blocks are there: credit was given for them.
void Mux::keep(Channel& c, const Bytes* piece, int pieces, size_t skip) {
  for (int i = 0; i < pieces; ++i) {
    if (skip >= piece[i].size) {
      skip -= piece[i].size;
      continue;
    }
    const bool fits = c.queue.push(pool_, {piece[i].data + skip, piece[i].size - skip});
    SMX_CHECK(fits);
    skip = 0;
  }
}

// ---- time

// Only whole packets are signs of life. While one is coming over a slow line it is given the time that it takes there, once.
Duration Mux::arriving() const {
  constexpr Duration kMost = seconds(60);
  if (start_.rate == 0 || start_.lossy || rx_.used() < kHeader) return Duration{0};
  const Duration takes = time_of(kHeader + header_.length, start_.rate);
  return takes < kMost ? takes : kMost;
}

// When an idle link must be asked. Source: sockmux(7), "Keep-alive and timers".
Time Mux::ping_deadline() const {
  if (state_ != State::up) return kNever;
  if (echo_deadline_ != kNever) return echo_deadline_ + arriving();
  const Duration line = pace_.patience;
  if (dialect_ == Dialect::v03) return last_rx_ + (config_.ping_interval < seconds(30) ? config_.ping_interval : seconds(30)) + line;
  if (tx_.used() > 0 || opening_ > 0) {
    const Duration patience = config_.ping_interval < seconds(5) ? config_.ping_interval : seconds(5);
    return (waits_since_ > last_rx_ ? waits_since_ : last_rx_) + patience + line;
  }
  return last_rx_ + (is_asker() ? config_.ping_interval : Duration{config_.ping_interval.us / 10 * 11}) + line;
}

Time Mux::deadline() const {
  if (state_ == State::down || state_ == State::hello) {
    return earlier(earlier(earlier(timers_.next(), handshake_deadline_), hello_again_at_), hold_deadline_);
  }
  const Time line = start_.lossy ? line_deadline() : kNever;
  return earlier(earlier(timers_.next(), earlier(handshake_deadline_, hello_again_at_)), earlier(earlier(ack_deadline_, line), ping_deadline()));
}

Err Mux::tick(Time now) {
  for (int i = 0; i < kTimersATurn; ++i) {
    BareTimer* due = timers_.pop(now);
    if (due == nullptr) break;
    on_timer(static_cast<Channel&>(*due), now);
  }
  // Not between ask and answer: the two must mean the same session.
  if (hold_deadline_ <= now && (state_ == State::down || state_ == State::hello)) {
    events_.on_session_over();
    end_session(now);
  }
  if (state_ == State::down) return Err::none;
  if (handshake_deadline_ <= now) return bare_hello_ ? Err::unframed : wrong_dialect_ ? Err::wrong_dialect : Err::handshake_timeout;
  if (start_.lossy) {
    tick_line(now);
  } else if (hello_again_at_ <= now) {
    const bool alone = state_ == State::hello;
    hello_again_at_ = alone ? now + kHelloRepeat + pace_.patience : kNever;
    hello_due_ = true;
    if (!alone) hellook_due_ = 1;
  }
  if (ack_deadline_ <= now) {
    ack_due_ = true;
    ack_deadline_ = kNever;
  }
  if (ping_deadline() <= now) {
    if (echo_deadline_ != kNever) return Err::silent;
    echo_due_ = true;
    echo_deadline_ = now + (dialect_ == Dialect::v1 ? seconds(10) : seconds(30)) + pace_.patience;
  }
  return Err::none;
}

void Mux::on_timer(Channel& c, Time now) {
  if (dialect_ == Dialect::v03) {
    timer_v03(c);
  } else {
    timer_v1(c, now);
  }
}

// ---- for tests

void Mux::verify() const {
  uint32_t live = 0, theirs = 0, opening = 0, orphans = 0, numbers = 0, orphan_blocks = 0;
  uint64_t blocks = base_committed_;
  const_cast<Mux*>(this)->for_each_used([&](Channel& c) {
    ++live;
    theirs += !c.mine && c.owner != nullptr;
    if (c.life == Life::opening && c.mine) ++opening;
    blocks += c.blocks;
    if (c.life == Life::orphan) {
      const uint32_t index = index_of(c);
      ++orphans;
      orphan_blocks += c.blocks;
      if (index >= first_number_ && index < number_limit_) ++numbers;
      SMX_CHECK(c.attached);
      SMX_CHECK(c.blocks >= blocks_for(c.queue.size()));
      return;
    }
    SMX_CHECK(c.queue.empty() ? c.life == Life::closing || c.urgent_at == 0 : c.urgent_at <= c.queue.size());
    SMX_CHECK(c.life == Life::closing || c.queue.size() + c.rx_credit <= c.rx_window + (dialect_ == Dialect::v03 ? my_packet_ : 0));
    SMX_CHECK(c.due_node.listed() == (c.due != 0));
    SMX_CHECK(c.tx_credit < 0x80000000u);
    SMX_CHECK(!c.sched.listed() || c.attached);
    SMX_CHECK(!c.readable || !may_send(c) || send_room(c) == 0 || c.sched.listed());  // no turn is missed
    SMX_CHECK(!c.udp || c.queue.empty() || c.life == Life::opening);  // 0.3: what came in CONNECT
    SMX_CHECK(!c.udp || c.rx_window == 0);
    const uint32_t base = dialect_ == Dialect::v1 ? blocks_for(config_.first_credit) : 0;
    const bool more = c.rx == Rx::data && c.life != Life::closing;
    SMX_CHECK(c.blocks + base >= blocks_for(c.queue.size() + (more && dialect_ == Dialect::v1 ? c.rx_credit : 0)));
  });
  SMX_CHECK(tx_pieces_at_ <= tx_pieces_size_);
  SMX_CHECK(tx_pieces_size_ <= kMaxDatagram);
  SMX_CHECK(rx_pieces_size_ <= kMaxDatagram);
  SMX_CHECK(tx_pieces_size_ == 0 || tx_pieces_at_ < tx_pieces_size_);
  SMX_CHECK(tx_pieces_size_ == 0 || (slots_[tx_pieces_slot_].udp && slots_[tx_pieces_slot_].attached));
  SMX_CHECK(rx_pieces_size_ == 0 || (slots_[rx_pieces_slot_].udp && !slots_[rx_pieces_slot_].peer_closed));
  SMX_CHECK(live == live_);
  SMX_CHECK(theirs == theirs_owned_);
  SMX_CHECK(opening == opening_);
  SMX_CHECK(orphans == orphans_count_);
  SMX_CHECK(numbers == orphan_numbers_);
  SMX_CHECK(orphan_blocks == orphan_blocks_);
  SMX_CHECK(blocks == committed_);
  SMX_CHECK(committed_ <= pool_.count());
  SMX_CHECK(pool_.used() <= committed_);
  SMX_CHECK(state_ != State::up || room_wanted_ || can_open());
  SMX_CHECK(tx_.head() <= sent_);
  SMX_CHECK(sent_ <= frame_end_);
  SMX_CHECK(frame_end_ <= tx_.tail());
}

}  // namespace smx
