// Read next: node.h.
#include "tests/sim/node.h"

#include <stdlib.h>

namespace sim {

using namespace smx;

uint64_t Sock::out_stream() const { return uint64_t{conn->number} * 2 + (server ? 1 : 0); }
uint64_t Sock::in_stream() const { return uint64_t{conn->number} * 2 + (server ? 0 : 1); }

bool Sock::may_begin() const {
  const uint64_t expected = server ? conn->to_server : conn->to_client;
  switch (habit.gate) {
    case Habit::Gate::at_once: return true;
    case Habit::Gate::after_got: return got >= expected;
    case Habit::Gate::after_end: return saw_end;
  }
  return true;
}

bool Sock::readable() const {
  if (conn->udp) return !flow.queue.empty();
  return may_begin() && (given < made || at_end());
}

bool Sock::at_end() const {
  if (gave_end || given < habit.sends) return false;
  const uint64_t expected = server ? conn->to_server : conn->to_client;
  switch (habit.end) {
    case Habit::End::sent: return true;
    case Habit::End::sent_and_got: return got >= expected;
    case Habit::End::peer_end: return saw_end;
  }
  return true;
}

Node::Node(Clock& clock, Rng& rng, Fault& fault, const MuxConfig& c, std::string name)
    : config(c), clock_(clock), rng_(rng), fault_(fault), name_(std::move(name)) {
  const size_t size = static_cast<size_t>(Mux::arena_bytes(c));
  memory_.reset(static_cast<char*>(calloc(size, 1)));
  arena_ = std::make_unique<Arena>(memory_.get(), size);
  const bool ready = mux.init(c, *arena_);
  SIM_EXPECT(fault_, ready, "init");
  by_slot_.resize(mux.slots());
  turns_ = Turns(mux.slots());
}

// After each step. The sums of the mux take long where there are many channels.
void Node::checked() {
  if (++steps_ % 4 == 0 || mux.channels() < 12) mux.verify();
  for_each_live([this](Sock& s) { turns_.look(s.turn, mux.is_listed(s.id)); });
  if (stepped) stepped(*this);
}

Sock* Node::find(ChannelId id) {
  Sock* s = id.slot < by_slot_.size() ? by_slot_[id.slot] : nullptr;
  SIM_EXPECT(fault_, s != nullptr && s->live && s->id.generation == id.generation, name_ + " hears of a channel that is gone");
  if (fault_.any()) return nullptr;
  return s;
}

void Node::attach(Sock& s, ChannelId id) {
  SIM_EXPECT(fault_, id.slot < by_slot_.size() && by_slot_[id.slot] == nullptr, name_ + ": slot in use");
  if (fault_.any()) return;
  s.id = id;
  s.live = true;
  s.node = this;
  s.room = s.habit.in_buffer;
  s.turn = Turn{};
  s.session = session;
  by_slot_[id.slot] = &s;
  s.place = live_.size();
  live_.push_back(&s);
  if (s.habit.stalls) stalled_.push_back(&s);
}

void Node::forget(Sock& s) {
  by_slot_[s.id.slot] = nullptr;
  s.live = false;
  live_[s.place] = live_.back();
  live_[s.place]->place = s.place;
  live_.pop_back();
}

void Node::start(const LinkStart& start) {
  ++link_;
  linked_ = true;
  since = clock_.now();
  probed = kNever;
  mux.link_up(start, clock_.now());
  checked();
  // As core/session does it: what is there before our HELLO goes out is no answer to it.
  if (start.search) read_link();
  soon();
}

void Node::stop(bool keep) {
  if (!linked_) return;
  if (ending) ending(*this);
  linked_ = false;
  ++link_;
  mux.link_down(clock_.now(), keep);
  checked();
  watch_deadline();
}

void Node::give(LinkHandover* out) {
  linked_ = false;
  ++link_;
  mux.give_link(out, clock_.now());
  checked();
  watch_deadline();
}

Err Node::take(const LinkHandover& link) {
  ++link_;
  linked_ = true;
  since = clock_.now();
  probed = kNever;
  const Err e = mux.take_link(link, clock_.now());
  checked();
  soon();
  return e;
}

void Node::probe(Duration patience) {
  if (!mux.up()) return;
  probed = clock_.now();
  mux.probe(clock_.now(), patience);
  soon();
}

void Node::client(Conn& c) {
  c.client.node = this;
  queue->push_back(&c.client);
  open_waiting();
  if (!queue->empty()) (void)mux.make_room(clock_.now());
  soon();
}

void Node::open_waiting() {
  while (!queue->empty() && mux.can_open() && !fault_.any()) {
    Sock& s = *queue->front();
    queue->pop_front();
    s.node = this;
    attach(s, mux.open(clock_.now(), s.conn->udp));
    if (fault_.any()) return;
    produce(s);
    const int64_t leaves = s.conn->leaves_us;
    if (leaves == 0) {
      forget(s);
      mux.abort(s.id, CloseCode::reset);
      s.aborted = true;
      continue;
    }
    if (leaves > 0) {
      clock_.in(leaves, [this, &s] {
        if (!s.live) return;
        forget(s);
        s.aborted = true;
        mux.abort(s.id, CloseCode::reset);
        checked();
        soon();
      });
    }
    rearm(s);
  }
}

// ---- the link

void Node::soon() {
  if (soon_) return;
  soon_ = true;
  clock_.in(0, [this] {
    soon_ = false;
    pump();
  });
}

void Node::read_link() {
  if (!linked_) return;
  const uint64_t link = link_;
  while (linked_ && link == link_ && rx->has_input() && !fault_.any()) {
    MutBytes space[2];
    const int pieces = mux.rx_space(space);
    SIM_EXPECT(fault_, pieces > 0, name_ + " can't read its link");
    if (pieces == 0) return;
    const size_t n = rx->read(space[0].data, space[0].size);
    const Err e = mux.received(n, clock_.now());
    checked();
    if (e == Err::moved) return moved(*this);
    if (e != Err::none) return broken(*this, e);
  }
  if (!linked_ || link != link_ || fault_.any()) return;
  pump();
  if (linked_ && link == link_ && rx->at_end() != 0) broken(*this, Err::none);
}

void Node::pump() {
  if (!linked_ || fault_.any()) return;
  for (;;) {
    mux.gather(clock_.now());
    checked();
    Bytes out[Mux::kTxPieces];
    const int pieces = mux.tx_pending(out);
    size_t total = 0;
    for (int i = 0; i < pieces; ++i) {
      const size_t n = tx->write(out[i].data, out[i].size);
      total += n;
      if (n < out[i].size) break;
    }
    if (total == 0) break;
    mux.sent(total);
    checked();
  }
  watch_deadline();
  if (pumped) pumped(*this);
}

void Node::watch_deadline() {
  const Time at = mux.deadline();
  if (at == kNever || (watched_ != kNever && watched_ <= at)) return;
  watched_ = at;
  clock_.at(at, [this] {
    watched_ = kNever;
    if ((!linked_ && !mux.held()) || fault_.any()) return;
    if (mux.deadline() <= clock_.now()) {
      ++ticks_;
      const Err e = mux.tick(clock_.now());
      checked();
      if (e != Err::none) return broken(*this, e);
      SIM_EXPECT(fault_, mux.deadline() > clock_.now(), name_ + ": a deadline that tick() did not move");
      pump();
    }
    watch_deadline();
  });
}

}  // namespace sim
