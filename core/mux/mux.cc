// What both dialects share: slots, bytes in, bytes out, deadlines. Read next: mux_v03.cc, mux_v1.cc; mux.h for the rules.
#include "core/mux/mux.h"

#include <string.h>

#include "core/mux/run.h"

namespace smx {

namespace {

// Bytes that may wait unsent in the ring: all of it is ahead of a key press.
constexpr size_t kUnsent = 128 * 1024;
// Data are pulled only if at least so much fits, so that a full ring does not make small packets.
constexpr size_t kPullRoom = 2048;
// Frames that one read of a local socket may fill.
constexpr int kFrames = 8;
constexpr int kGrants = 64;  // turns of data in one gather(), not counting those that found nothing
constexpr size_t kControlRoom = 1024;  // ring room that the control of one channel may need
constexpr size_t kSparseLeaves = 4096;  // ring room that is for control alone
constexpr int kTimersATurn = 256;

}  // namespace

uint32_t blocks_for(uint64_t credit_bytes) {
  // A queue of n bytes that begins anywhere in its first block.
  return credit_bytes == 0 ? 0 : static_cast<uint32_t>((credit_bytes + kBlock - 2) / kBlock + 1);
}

// ---- memory

uint64_t Mux::guaranteed_bytes(const MuxConfig& c) {
  return (uint64_t{c.opens} + c.accepts + kOrphans) * blocks_for(c.first_credit) * kBlock;
}

uint64_t Mux::arena_bytes(const MuxConfig& c) {
  const uint64_t slots = (c.opens < 255u ? 255u : c.opens) + uint64_t{c.accepts} + kOrphans;
  const uint64_t blocks = c.memory_bytes / kBlock;
  const uint64_t map = c.accepts < 256u ? 256u : c.accepts;
  return slots * (sizeof(Channel) + sizeof(Timer*)) + map * sizeof(uint16_t) + blocks * (kBlock + sizeof(uint32_t)) + c.tx_ring +
         c.rx_ring + kMaxPayload + 1024;
}

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
  slots_ = arena.raw<Channel>(opens_ + theirs_slots_);
  timers_memory_ = arena.raw<Timer*>(opens_ + theirs_slots_);
  theirs_ = arena.raw<uint16_t>(config.accepts < 256u ? 256u : config.accepts);
  uint8_t* data = arena.raw<uint8_t>(size_t{blocks} * kBlock);
  uint32_t* next = arena.raw<uint32_t>(blocks);
  uint8_t* tx = arena.raw<uint8_t>(config.tx_ring);
  uint8_t* rx = arena.raw<uint8_t>(config.rx_ring);
  scratch_ = arena.raw<uint8_t>(kMaxPayload);
  if (scratch_ == nullptr || rx == nullptr || tx == nullptr || next == nullptr || data == nullptr || theirs_ == nullptr ||
      timers_memory_ == nullptr || slots_ == nullptr)
    return false;
  if (guaranteed_bytes(config) > config.memory_bytes) return false;
  timers_.set_memory(timers_memory_, opens_ + theirs_slots_);
  pool_ = BlockPool(data, next, blocks);
  tx_ = Ring(tx, config.tx_ring);
  rx_ = Ring(rx, config.rx_ring);
  return true;
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

// ---- slots

Channel* Mux::find(ChannelId id) {
  if (id.slot >= slots()) return nullptr;
  Channel& c = slots_[id.slot];
  return c.generation == id.generation && c.life != Life::free ? &c : nullptr;
}
const Channel* Mux::find(ChannelId id) const { return const_cast<Mux*>(this)->find(id); }

// A free slot; an orphan goes if there is none. In 0.3 both sides' channels take their ids from ours.
Channel* Mux::take_slot(bool mine) {
  const bool own = mine || dialect_ == Dialect::v03;
  List<Channel, &Channel::sched>& list = own ? free_mine_ : free_theirs_;
  uint32_t& fresh = own ? fresh_mine_ : fresh_theirs_;
  const uint32_t limit = own ? number_limit_ : slots();
  // 0.3 takes ids that were never used first, so that a late packet seldom meets a new channel; 1 used memory.
  if (fresh < limit && (list.empty() || dialect_ == Dialect::v03)) {
    list.push_front(new (&slots_[fresh]) Channel(*this));
    ++fresh;
  }
  if (list.empty()) (void)drop_orphan(own ? first_number_ : opens_, limit);
  Channel* c = list.front();
  if (c == nullptr) return nullptr;
  c->sched.leave();
  ++live_;
  return c;
}

// Which of our slots are channels of this link: the others stay out of the free list.
void Mux::set_numbers(uint32_t first, uint32_t limit) {
  first_number_ = first;
  number_limit_ = limit;
  orphan_numbers_ = 0;
  while (Channel* c = free_mine_.front()) c->sched.leave();
  for (; fresh_mine_ < first; ++fresh_mine_) new (&slots_[fresh_mine_]) Channel(*this);
  for (uint32_t i = first; i < fresh_mine_ && i < limit; ++i) {
    if (slots_[i].life == Life::free) free_mine_.push_back(&slots_[i]);
    if (slots_[i].life == Life::orphan) ++orphan_numbers_;
  }
}

// The link, or the peer's patience, is gone, but all that the peer had to say is here: it is still delivered.
void Mux::make_orphan(Channel& c) {
  SMX_CHECK(c.attached);
  if (dialect_ == Dialect::v03 && c.peer_number < 256) theirs_[c.peer_number] = 0;
  c.number = c.peer_number = kNone;
  c.life = Life::orphan;
  orphan_blocks_ += c.blocks;
  const uint32_t blocks = blocks_for(c.queue.size());
  if (blocks > c.blocks) {  // SockMux 1: the rest stood in base_committed_
    SMX_CHECK(blocks - c.blocks <= free_blocks());
    committed_ += blocks - c.blocks;
    orphan_blocks_ += blocks - c.blocks;
    c.blocks = blocks;
  }
  shrink(c);
  orphans_.push_back(&c);
  ++orphans_count_;
  const uint32_t index = index_of(c);
  if (index >= first_number_ && index < number_limit_) ++orphan_numbers_;
}

// The oldest orphan with a slot in [from, to) loses its data, so that others can live. False: there is none.
bool Mux::drop_orphan(uint32_t from, uint32_t to) {
  Channel* c = orphans_.front();
  while (c != nullptr && (index_of(*c) < from || index_of(*c) >= to)) c = orphans_.after(c);
  if (c == nullptr) return false;
  const ChannelId id = id_of(*c);
  detach(*c);
  ++stats_.aborted;
  release(*c);
  events_.on_abort(id, CloseCode::limit);
  return true;
}

void Mux::note_room() {
  if (!room_wanted_ || !can_open()) return;
  room_wanted_ = false;
  events_.on_room();
}

// The end of a channel's life: lists, timer, numbers, memory.
void Mux::release(Channel& c) {
  SMX_CHECK(c.life != Life::free);
  SMX_CHECK(!c.attached);
  timers_.stop(c);
  c.sched.leave();
  c.due_node.leave();
  c.queue.clear(pool_);
  const uint32_t index = index_of(c);
  const bool usable = index >= opens_ || (index >= first_number_ && index < number_limit_);
  if (c.life == Life::opening && c.mine) --opening_;
  if (c.life == Life::orphan) {
    --orphans_count_;
    orphan_blocks_ -= c.blocks;
    if (index < opens_ && usable) --orphan_numbers_;
  } else if (dialect_ == Dialect::v03) {
    if (c.peer_number < 256 && theirs_[c.peer_number] == index + 1) theirs_[c.peer_number] = 0;
  } else if (!c.mine && c.number < config_.accepts && theirs_[c.number] == index - opens_ + 1) {
    theirs_[c.number] = 0;
  }
  committed_ -= c.blocks;
  c.reset();
  --live_;
  List<Channel, &Channel::sched>& list = index < opens_ ? free_mine_ : free_theirs_;
  if (usable) {
    if (dialect_ == Dialect::v03) {
      list.push_back(&c);
    } else {
      list.push_front(&c);
    }
  }
  note_room();
}

void Mux::set_due(Channel& c, uint8_t bits) {
  c.due = static_cast<uint8_t>(c.due | bits);
  if (!c.due_node.listed()) due_.push_back(&c);
}
void Mux::clear_due(Channel& c, unsigned bits) {
  c.due = static_cast<uint8_t>(c.due & ~bits);
  if (c.due == 0) c.due_node.leave();
}

// ---- the link

void Mux::reset_link() {
  dialect_ = Dialect::unknown;
  hello_due_ = settings_due_ = setopt_due_ = echo_due_ = ack_due_ = echook_due_ = bye_due_ = bye_gathered_ = hellook_seen_ =
      false;
  hellook_due_ = 0;
  ctl_size_ = ctl_sent_ = 0;
  tx_.reset(0);
  rx_.reset(0);
  sent_ = frame_end_ = 0;
  rx_numbered_ = rx_acked_ = 0;
  ack_deadline_ = handshake_deadline_ = echo_sent_ = echo_deadline_ = kNever;
  peer_packet_ = kFirstPacket03;
  peer_conndata_ = false;
  peer_channels_ = 0;
  peer_hello_size_ = 0;
  peer_bye_ = 0xff;
  header_ = Header{};
  rtt_ = millis(100);
}

void Mux::link_up(const LinkStart& start, Time now) {
  SMX_CHECK(state_ == State::down);
  reset_link();
  start_ = start;
  nonce_ = (load32(start.random) & 0x7fffffff) | (config_.asks ? 0x80000000u : 0u);
  state_ = State::hello;
  hello_due_ = true;
  last_rx_ = waits_since_ = now;
  handshake_deadline_ = now + config_.hello_timeout;
}

void Mux::link_down(Time now) {
  (void)now;
  if (state_ == State::down) return;
  state_ = State::closing;  // nobody can open a channel from within the calls below
  committed_ -= base_committed_;
  base_committed_ = 0;
  for_each_used([this](Channel& c) {
    if (c.life == Life::orphan) return;
    c.sched.leave();
    c.due_node.leave();
    c.due = 0;
    timers_.stop(c);
    const bool told = c.life == Life::open || c.life == Life::ended;  // an acceptor that still connects has seen nothing
    if (told && c.rx == Rx::end && c.attached && !c.queue.empty()) return make_orphan(c);
    c.queue.clear(pool_);
    if (c.attached) {
      detach(c);
      ++stats_.aborted;
      events_.on_abort(id_of(c), CloseCode::reset);
    }
    if (c.life != Life::free) release(c);
  });
  const size_t numbers = config_.accepts < 256u ? 256u : config_.accepts;
  memset(theirs_, 0, numbers * sizeof *theirs_);
  reset_link();
  room_wanted_ = false;  // on_up() comes first
  state_ = State::down;
}

void Mux::go_up(Time now) {
  state_ = State::up;
  handshake_deadline_ = kNever;
  last_rx_ = now;
  echo_due_ = dialect_ == Dialect::v1;  // measures the round trip, and confirms the session to the answerer
  room_wanted_ = !can_open();
  events_.on_up();
}

void Mux::bye(ByeCode code) {
  if (state_ == State::down || state_ == State::closing) return;
  bye_code_ = code;
  bye_due_ = dialect_ == Dialect::v1;
  state_ = State::closing;
}

void Mux::probe(Time now, Duration patience) {
  if (state_ != State::up) return;
  const Time limit = now + patience;
  if (echo_deadline_ == kNever || limit < echo_deadline_) echo_deadline_ = limit;
  echo_due_ = true;
}

void Mux::make_hello(TextBase& out) const {
  out.add(start_.stamp).add(' ').add_printable(config_.host);
  if (config_.proto != MuxConfig::Proto::v03) out.add(" smx/1:").add_hex(nonce_, 8);
}

// HELLO of either dialect: decides which one it is.
Err Mux::on_hello(Bytes payload, Time now) {
  const std::string_view text = as_text(payload).substr(0, as_text(payload).find('\0'));
  peer_hello_size_ = text.size() < kHelloText ? text.size() : kHelloText;
  memcpy(peer_hello_, text.data(), peer_hello_size_);
  const HelloWord word = parse_hello_word(payload);
  Text<kHelloText> own;
  make_hello(own);
  if ((word.present && word.nonce == nonce_) || text == own.text()) return Err::own_echo;
  if (word.present && config_.proto != MuxConfig::Proto::v03) {
    dialect_ = Dialect::v1;
    peer_nonce_ = word.nonce;
    state_ = nonce_ > peer_nonce_ ? State::ask : State::wait;
    settings_due_ = state_ == State::ask;
    handshake_deadline_ = now + config_.hello_timeout;
    return Err::none;
  }
  if (config_.proto == MuxConfig::Proto::v1) return Err::wrong_dialect;
  dialect_ = Dialect::v03;
  state_ = State::hellook;
  ++hellook_due_;
  handshake_deadline_ = now + config_.hello_timeout;
  return Err::none;
}

// ---- bytes from the link

int Mux::rx_space(MutBytes out[2]) const { return rx_.view(rx_.tail(), rx_.room(), out); }

Err Mux::received(size_t n, Time now) {
  rx_.append(n);
  stats_.rx_bytes += n;
  return parse(now);
}

Err Mux::parse(Time now) {
  Run run;
  Err e = Err::none;
  while (e == Err::none && rx_.used() >= kHeader) {
    uint8_t raw[kHeader];
    rx_.copy_out(rx_.head(), raw, kHeader);
    header_ = decode_header(raw);
    bool known = true;
    e = check_header(header_, dialect_ == Dialect::v1 ? Dialect::v1 : Dialect::v03, &known);
    if (e != Err::none) break;
    const size_t total = kHeader + header_.length;
    if (rx_.used() < total) break;
    last_rx_ = now;
    echo_deadline_ = kNever;
    ++stats_.rx_packets;
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
    if (state_ == State::hello) {
      e = header_.type == static_cast<uint8_t>(Type::hello) ? on_hello(payload, now) : Err::bad_state;
    } else if (!known) {
      ++stats_.skipped_packets;
      if (header_.version == kNumbered && state_ != State::up && state_ != State::closing) e = Err::bad_state;
    } else if (dialect_ == Dialect::v1) {
      e = packet_v1(header_, payload, run, now);
    } else {
      e = packet_v03(header_, payload, run, now);
    }
    if (e == Err::none && dialect_ == Dialect::v1 && header_.version == kNumbered) rx_numbered_ += total;
    rx_.release(rx_.head() + total);
  }
  flush(run, now);
  if (dialect_ == Dialect::v1 && rx_numbered_ > rx_acked_) {
    if (rx_numbered_ - rx_acked_ >= 8192) {
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
  (void)now;
  if (!c->attached) return;
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

// The local socket took `n` bytes: the peer hears of it, at once in 0.3, at half of the window in 1.
void Mux::taken(Channel& c, size_t n) {
  if (n == 0 || c.life == Life::orphan) return;
  if (dialect_ == Dialect::v03) {
    const size_t first = n < c.first_data ? n : c.first_data;
    c.first_data = static_cast<uint16_t>(c.first_data - first);
    c.rx_taken += static_cast<uint32_t>(n - first);
    if (c.life == Life::open && c.rx_taken > 0) set_due(c, kDueCredit);
    return;
  }
  if (c.rx != Rx::data || c.life != Life::open) return;
  const uint32_t out = c.rx_credit + static_cast<uint32_t>(c.queue.size());
  if (out <= c.rx_window / 2) set_due(c, kDueCredit);
}

bool Mux::drain(ChannelId id, Time now) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return false;
  if (!wants_write(id)) return true;
  constexpr int kPieces = 64;
  Bytes piece[kPieces];
  const int pieces = c->queue.view(pool_, piece, kPieces);
  if (pieces > 0) {
    const Taken t = events_.on_data(id, piece, pieces);
    if (t.error) {
      detach(*c);
      abort_local(*c, CloseCode::reset);
      return false;
    }
    c->queue.pop(pool_, t.size);
    taken(*c, t.size);
    if (dialect_ == Dialect::v03) linger_v03(*c, now);
    if (c->rx == Rx::end) shrink(*c);
  }
  settle(*c);
  if (find(id) == nullptr || !c->attached) return false;
  note_room();
  return true;
}

// What follows from "nothing more is queued" and "an end has come", in both dialects.
void Mux::settle(Channel& c) {
  if (c.life == Life::opening) return;  // there is no server yet that could be told
  if (c.rx == Rx::end && c.queue.empty()) {
    c.rx = Rx::done;
    if (c.attached) events_.on_end(id_of(c));
  }
  if (c.rx != Rx::done) return;
  const bool over = c.life == Life::orphan || (dialect_ == Dialect::v03 && c.life == Life::ended) ||
                    (dialect_ == Dialect::v1 && c.life == Life::open && c.tx >= Tx::end_due);
  if (!over) return;
  if (c.attached) {
    detach(c);
    events_.on_done(id_of(c));
  }
  c.sched.leave();
  if (c.life == Life::orphan) return release(c);
  timers_.stop(c);
  if (dialect_ == Dialect::v03) return set_due(c, kDueClosed);
  close_later(c, CloseCode::done);
}

// Our CLOSE becomes due, behind what else is due but credit.
void Mux::close_later(Channel& c, CloseCode code) {
  if (c.life == Life::opening && c.mine) --opening_;
  c.life = Life::closing;
  c.close = code;
  shrink(c);
  clear_due(c, kDueCredit | kDueRefund);
  set_due(c, kDueClose);
}

// ---- bytes for the link

bool Mux::may_send(const Channel& c) const {
  if (state_ != State::up || !c.attached || c.tx != Tx::data) return false;
  if ((c.due & (kDueConnect | kDueConnected)) != 0) return false;
  return c.life == Life::open || (c.life == Life::opening && c.mine);
}

uint32_t Mux::send_room(const Channel& c) const {
  if (dialect_ == Dialect::v1) return c.tx_credit;
  const uint32_t packet = static_cast<uint32_t>(peer_packet_);
  if (c.tx_credit > 4 * packet) return 0;  // sent and not acknowledged
  return 4 * packet + (packet - static_cast<uint32_t>(kHeader)) - c.tx_credit;
}

// The channel may send now: it goes to the scheduler if its socket is known to be readable, else the socket is asked.
void Mux::send_or_ask(Channel& c) {
  if (!may_send(c) || send_room(c) == 0) return;
  if (c.readable) {
    scheduler_.ready(c);
  } else {
    events_.on_wants(id_of(c));
  }
}

void Mux::local_readable(ChannelId id) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return;
  c->readable = true;
  if (may_send(*c) && send_room(*c) > 0) scheduler_.ready(*c);
}

bool Mux::wants_read(ChannelId id) const {
  const Channel* c = find(id);
  return c != nullptr && !c->readable && may_send(*c) && send_room(*c) > 0;
}
bool Mux::wants_write(ChannelId id) const {
  const Channel* c = find(id);
  if (c == nullptr || !c->attached || (c->queue.empty() && c->rx != Rx::end)) return false;
  return c->life == Life::open || c->life == Life::ended || c->life == Life::orphan;
}

void Mux::gather(Time now) {
  if (state_ == State::down) return;
  if (handshake_due()) fill_ctl(now);
  // Nothing goes into the ring before the handshake has gone into ctl_, which is written first.
  const bool was_idle = tx_.used() == 0;
  if (dialect_ != Dialect::unknown && !handshake_due()) {
    if (state_ == State::up) {
      gather_control(now);
      gather_data(now);
      gather_control(now);  // FIN
    } else if (state_ == State::closing && !bye_gathered_) {
      gather_control(now);
      bye_gathered_ = true;
      bye_at_ = tx_.tail();
    }
  }
  if (was_idle && tx_.used() > 0) waits_since_ = now;
  fill_ctl(now);
}

void Mux::gather_control(Time now) {
  while (Channel* c = due_.front()) {
    if (tx_.room() < kControlRoom + (dialect_ == Dialect::v03 ? kMaxPacket / 4 : 0)) return;
    c->due_node.leave();
    if (dialect_ == Dialect::v03) {
      emit_v03(*c, now);
    } else {
      emit_v1(*c, now);
    }
  }
}

// Bulk may fill 7/8 of the ring; the rest is for control and for sparse channels, so that a ring full of one download
// never keeps a key press out.
void Mux::gather_data(Time now) {
  const size_t most = tx_.capacity() / 8 * 7;
  for (int grants = 0; grants < kGrants;) {
    const size_t unsent = static_cast<size_t>(tx_.tail() - sent_);
    const bool full = unsent + kPullRoom > kUnsent || tx_.used() + kPullRoom > most;
    if (full && tx_.room() < kPullRoom + kSparseLeaves) return;
    Channel* c = full ? scheduler_.next_sparse() : scheduler_.next();
    if (c == nullptr) return;
    if (!may_send(*c) || send_room(*c) == 0) {
      scheduler_.remove(*c);
      continue;
    }
    size_t space = kPullRoom;
    if (!full) space = kUnsent - unsent < most - tx_.used() ? kUnsent - unsent : most - tx_.used();
    Pulled::State state = Pulled::State::more;
    const size_t n = pull(*c, space, now, &state);
    if (n > 0) ++grants;
    if (n == 0 && state == Pulled::State::more) state = Pulled::State::empty;
    if (state == Pulled::State::error) {
      detach(*c);
      abort_local(*c, CloseCode::reset);
      continue;
    }
    if (state != Pulled::State::more) c->readable = false;
    if (state == Pulled::State::end) {
      scheduler_.remove(*c);
      end_of_local(*c, now);
    } else if (state == Pulled::State::empty || send_room(*c) == 0) {
      scheduler_.remove(*c);
      if (state == Pulled::State::empty) events_.on_wants(id_of(*c));
    } else {
      scheduler_.served(*c, n);
    }
  }
}

// Reads the local socket straight into the ring, behind the places of the headers: `space` ring bytes at most.
size_t Mux::pull(Channel& c, size_t space, Time now, Pulled::State* state) {
  const bool v1 = dialect_ == Dialect::v1;
  const size_t largest = (v1 ? kMaxPacket : peer_packet_) - kHeader;
  size_t left = send_room(c);
  if (left > static_cast<size_t>(c.deficit)) left = static_cast<size_t>(c.deficit);
  MutBytes piece[2 * kFrames];
  size_t frame[kFrames];
  int frames = 0;
  int pieces = 0;
  size_t asked = 0;
  for (uint64_t at = tx_.tail(); frames < kFrames && left > 0 && space > kHeader; ++frames) {
    size_t n = left < largest ? left : largest;
    if (n > space - kHeader) n = space - kHeader;
    pieces += tx_.view(at + kHeader, n, piece + pieces);
    frame[frames] = n;
    at += kHeader + n;
    space -= kHeader + n;
    left -= n;
    asked += n;
  }
  SMX_CHECK(frames > 0);
  const Pulled p = events_.on_pull(id_of(c), piece, pieces);
  SMX_CHECK(p.size <= asked);
  *state = p.state;
  size_t rest = p.size;
  for (int i = 0; rest > 0; ++i) {
    const size_t n = rest < frame[i] ? rest : frame[i];
    Header h{v1 ? kNumbered : kVersion03, static_cast<uint8_t>(Type::send), c.number, c.peer_number, static_cast<uint16_t>(n)};
    if (v1) {
      h.said = c.mine ? c.number : kNone;
      h.raid = c.mine ? kNone : c.number;
    }
    uint8_t raw[kHeader];
    encode_header(h, raw);
    tx_.copy_in(tx_.tail(), raw, kHeader);
    tx_.append(kHeader + n);
    ++stats_.tx_packets;
    rest -= n;
  }
  const uint32_t sent_now = static_cast<uint32_t>(p.size);
  c.tx_credit = v1 ? c.tx_credit - sent_now : c.tx_credit + sent_now;
  if (sent_now > 0) c.sent_at = now;
  return p.size;
}

void Mux::put_packet(const Header& h, const uint8_t* payload) {
  uint8_t raw[kHeader];
  encode_header(h, raw);
  tx_.copy_in(tx_.tail(), raw, kHeader);
  tx_.copy_in(tx_.tail() + kHeader, payload, h.length);
  tx_.append(kHeader + h.length);
  ++stats_.tx_packets;
}

void Mux::put_ctl(uint8_t version, Type type, uint16_t none, const uint8_t* payload, size_t n) {
  SMX_CHECK(kHeader + n <= sizeof ctl_ - ctl_size_);
  encode_header({version, static_cast<uint8_t>(type), none, none, static_cast<uint16_t>(n)}, ctl_ + ctl_size_);
  if (n > 0) memcpy(ctl_ + ctl_size_ + kHeader, payload, n);
  ctl_size_ += kHeader + n;
  ++stats_.tx_packets;
}

// Unnumbered packets, made when the last ones are written; they go out at the next packet end.
void Mux::fill_ctl(Time now) {
  if (ctl_sent_ < ctl_size_) return;
  ctl_size_ = ctl_sent_ = 0;
  const uint8_t version = dialect_ == Dialect::v1 ? kUnnumbered : kVersion03;
  const uint16_t none = dialect_ == Dialect::v1 ? kNone : kNone03;
  if (hello_due_ || hellook_due_ > 0) {
    Text<kHelloText> text;
    make_hello(text);
    const uint8_t* bytes = reinterpret_cast<const uint8_t*>(text.c_str());
    if (hello_due_) put_ctl(kVersion03, Type::hello, kNone, bytes, text.size() + 1);
    for (; hellook_due_ > 0; --hellook_due_) put_ctl(kVersion03, Type::hellook, kNone, bytes, text.size() + 1);
    hello_due_ = false;
  }
  if (settings_due_) {
    settings_due_ = false;
    Settings s;
    s.answered_nonce = peer_nonce_;
    s.has_attempt = nonce_ > peer_nonce_;
    s.attempt = start_.attempt;
    memcpy(s.session, session_, sizeof session_);
    s.credit = config_.first_credit;
    s.channels = config_.accepts;
    memcpy(s.peer_name, config_.name, sizeof s.peer_name);
    uint8_t payload[230];
    put_ctl(kUnnumbered, Type::settings, kNone, payload, make_settings(s, payload, sizeof payload));
  }
  if (setopt_due_) {
    setopt_due_ = false;
    const uint32_t packet = my_packet_ < config_.packet_size ? my_packet_ : config_.packet_size;
    const uint8_t size[3] = {kOptPackSize, static_cast<uint8_t>(packet >> 8), static_cast<uint8_t>(packet)};
    const uint8_t data[3] = {kOptConnData, 1, 0};
    put_ctl(kVersion03, Type::setopt, kNone03, size, sizeof size);
    put_ctl(kVersion03, Type::setopt, kNone03, data, sizeof data);
  }
  if (ack_due_ && rx_numbered_ > rx_acked_) {
    uint8_t payload[8];
    store64(payload, rx_numbered_);
    put_ctl(kUnnumbered, Type::ack, kNone, payload, sizeof payload);
    rx_acked_ = rx_numbered_;
    ack_deadline_ = kNever;
  }
  ack_due_ = false;
  if (echook_due_) {
    echook_due_ = false;
    SMX_CHECK(kHeader + echook_size_ <= sizeof ctl_ - ctl_size_);
    const size_t at = ctl_size_;
    put_ctl(version, Type::echook, none, echook_, echook_size_);
    store16(ctl_ + at + 2, echook_said_);
    store16(ctl_ + at + 4, echook_raid_);
  }
  if (echo_due_ && state_ == State::up) {
    echo_due_ = false;
    if (echo_deadline_ == kNever) echo_deadline_ = now + (dialect_ == Dialect::v1 ? seconds(10) : seconds(30));
    echo_sent_ = now;
    if (dialect_ == Dialect::v1) {
      uint8_t payload[8];
      store64(payload, static_cast<uint64_t>(now.us));
      put_ctl(version, Type::echo, none, payload, sizeof payload);
    } else {
      Text<24> text;
      text.add_u(static_cast<uint64_t>(now.us / 1000));
      put_ctl(version, Type::echo, none, reinterpret_cast<const uint8_t*>(text.c_str()), text.size() + 1);
    }
  }
  if (bye_due_ && bye_gathered_ && sent_ >= bye_at_) {
    bye_due_ = false;
    const uint8_t payload[1] = {static_cast<uint8_t>(bye_code_)};
    put_ctl(kUnnumbered, Type::bye, kNone, payload, sizeof payload);
  }
}

// Ring bytes up to the end of the packet that is being written, then ctl_, then the rest of the ring.
int Mux::tx_pending(Bytes out[kTxPieces]) const {
  int pieces = 0;
  MutBytes part[2];
  const auto add_ring = [&](uint64_t from, uint64_t to) {
    const int parts = tx_.view(from, static_cast<size_t>(to - from), part);
    for (int i = 0; i < parts; ++i) out[pieces++] = {part[i].data, part[i].size};
  };
  uint64_t from = sent_;
  if (ctl_sent_ < ctl_size_) {
    if (ctl_sent_ == 0 && sent_ < frame_end_) {
      add_ring(sent_, frame_end_);
      from = frame_end_;
    }
    out[pieces++] = {ctl_ + ctl_sent_, ctl_size_ - ctl_sent_};
  }
  add_ring(from, tx_.tail());
  return pieces;
}

void Mux::sent(size_t n) {
  stats_.tx_bytes += n;
  const auto take_ring = [&](uint64_t limit) {
    const size_t k = n < limit - sent_ ? n : static_cast<size_t>(limit - sent_);
    sent_ += k;
    n -= k;
  };
  if (ctl_sent_ < ctl_size_) {
    if (ctl_sent_ == 0 && sent_ < frame_end_) take_ring(frame_end_);
    const size_t k = n < ctl_size_ - ctl_sent_ ? n : ctl_size_ - ctl_sent_;
    ctl_sent_ += k;
    n -= k;
  }
  take_ring(tx_.tail());
  SMX_CHECK(n == 0);
  while (frame_end_ < sent_) {
    uint8_t raw[kHeader];
    tx_.copy_out(frame_end_, raw, kHeader);
    frame_end_ += kHeader + load16(raw + 6);
  }
  // 0.3 keeps nothing once it is written; 1 keeps numbered packets until ACK.
  if (dialect_ != Dialect::v1) tx_.release(sent_);
}

// ---- time

// When an idle link must be asked. Source: sockmux(7), "Keep-alive and timers".
Time Mux::ping_deadline() const {
  if (state_ != State::up) return kNever;
  if (echo_deadline_ != kNever) return echo_deadline_;
  if (dialect_ == Dialect::v03) return last_rx_ + (config_.ping_interval < seconds(30) ? config_.ping_interval : seconds(30));
  if (tx_.used() > 0 || opening_ > 0) return (waits_since_ > last_rx_ ? waits_since_ : last_rx_) + seconds(5);
  return last_rx_ + (config_.asks ? config_.ping_interval : Duration{config_.ping_interval.us / 10 * 11});
}

Time Mux::deadline() const {
  if (state_ == State::down) return timers_.next();
  return earlier(earlier(timers_.next(), handshake_deadline_), earlier(ack_deadline_, ping_deadline()));
}

Err Mux::tick(Time now) {
  timers_.run(now, kTimersATurn);
  if (state_ == State::down) return Err::none;
  if (handshake_deadline_ <= now) return Err::handshake_timeout;
  if (ack_deadline_ <= now) {
    ack_due_ = true;
    ack_deadline_ = kNever;
  }
  if (ping_deadline() <= now) {
    if (echo_deadline_ != kNever) return Err::silent;
    echo_due_ = true;
    echo_deadline_ = now + (dialect_ == Dialect::v1 ? seconds(10) : seconds(30));
  }
  return Err::none;
}

void Mux::on_timer(Timer& timer, Time now) {
  Channel& c = static_cast<Channel&>(timer);
  if (dialect_ == Dialect::v03) {
    timer_v03(c);
  } else {
    timer_v1(c, now);
  }
}

// ---- channels, for their owners

bool Mux::can_open() const {
  if (state_ != State::up) return false;
  if (dialect_ == Dialect::v03)
    return live_ - orphans_count_ < kMostChannels03 && blocks_for(6u * my_packet_) <= free_blocks() + orphan_blocks_;
  return !free_mine_.empty() || fresh_mine_ < number_limit_ || orphan_numbers_ > 0;
}

ChannelId Mux::open(Time now) {
  SMX_CHECK(can_open());
  Channel* c = take_slot(true);
  SMX_CHECK(c != nullptr);
  c->mine = true;
  c->attached = true;
  c->readable = true;  // the first read is a try: what came with the connection goes out with CONNECT
  c->life = Life::opening;
  c->number = static_cast<uint16_t>(index_of(*c));
  c->sent_at = now;
  ++opening_;
  ++stats_.opened;
  if (dialect_ == Dialect::v03) {
    const bool fits = commit_v03(*c);
    SMX_CHECK(fits);
  } else {
    c->rx_credit = c->rx_window = config_.first_credit;
    c->tx_credit = peer_credit_;
    c->tx = Tx::data;
    scheduler_.ready(*c);
  }
  set_due(*c, kDueConnect);
  if (!can_open()) room_wanted_ = true;
  return id_of(*c);
}

bool Mux::make_room(Time now) {
  if (dialect_ != Dialect::v03 || state_ != State::up) return false;
  if (!can_open()) room_wanted_ = true;
  Channel* oldest = nullptr;
  for_each_used([&](Channel& c) {
    const bool lingers = c.life == Life::open && c.tx == Tx::end_due && c.queue.empty() && c.tx_credit == 0 && c.running();
    if (lingers && (oldest == nullptr || c.deadline() < oldest->deadline())) oldest = &c;
  });
  // Who was heard of within the last second may still be about to answer.
  if (oldest == nullptr || oldest->deadline() > now + Duration{config_.linger.us - seconds(1).us}) return false;
  timers_.stop(*oldest);
  timer_v03(*oldest);
  return true;
}

void Mux::accept(ChannelId id, Time now) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached || c->life != Life::opening || c->mine) return;
  c->life = Life::open;
  c->tx = Tx::data;
  c->sent_at = now;
  set_due(*c, kDueConnected);
  if (wants_write(id)) events_.on_wants(id);
}

void Mux::refuse(ChannelId id, CloseCode code) {
  ++stats_.refused;
  abort(id, code);
}

void Mux::abort(ChannelId id, CloseCode code) {
  Channel* c = find(id);
  if (c == nullptr || !c->attached) return;
  detach(*c);
  abort_local(*c, code);
}

// The owner is gone. What was read from it before is in the ring and goes out first.
void Mux::abort_local(Channel& c, CloseCode code) {
  SMX_CHECK(!c.attached);
  c.queue.clear(pool_);
  c.sched.leave();
  timers_.stop(c);
  const bool unsent = c.life == Life::opening && c.mine && (c.due & kDueConnect) != 0;
  if (c.life == Life::orphan || unsent) return release(c);
  if (dialect_ == Dialect::v03) {
    if (c.life == Life::opening && c.mine) return clear_due(c, 0xff);  // CLOSE needs the peer's id: it waits for CONNECTED
    const bool unheard = !c.mine && (c.life == Life::opening || (c.due & kDueConnected) != 0);
    const bool ended = c.life == Life::ended;
    clear_due(c, 0xff);
    if (ended) return set_due(c, kDueClosed);
    c.tx = unheard ? Tx::waiting : Tx::done;  // waiting: the peer knows no id of ours, and gets "No server"
  } else {
    clear_due(c, 0xff);
    c.tx = Tx::done;
  }
  close_later(c, code);
  note_room();
}

void Mux::end_of_local(Channel& c, Time now) {
  c.tx = Tx::end_due;
  if (dialect_ == Dialect::v03) return linger_v03(c, now);
  timers_.stop(c);
  clear_due(c, kDueRefund);
  set_due(c, kDueFin);
  settle(c);
}

// ---- for tests

void Mux::verify() const {
  uint32_t live = 0, opening = 0, orphans = 0, numbers = 0, orphan_blocks = 0;
  uint64_t blocks = base_committed_;
  const_cast<Mux*>(this)->for_each_used([&](Channel& c) {
    ++live;
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
    SMX_CHECK(c.life == Life::closing || c.queue.size() + c.rx_credit <= c.rx_window + (dialect_ == Dialect::v03 ? my_packet_ : 0));
    SMX_CHECK(c.due_node.listed() == (c.due != 0));
    SMX_CHECK(c.tx_credit < 0x80000000u);
    SMX_CHECK(!c.sched.listed() || c.attached);
    const uint32_t base = dialect_ == Dialect::v1 ? blocks_for(config_.first_credit) : 0;
    const bool more = c.rx == Rx::data && c.life != Life::closing;
    SMX_CHECK(c.blocks + base >= blocks_for(c.queue.size() + (more && dialect_ == Dialect::v1 ? c.rx_credit : 0)));
  });
  SMX_CHECK(live == live_);
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
