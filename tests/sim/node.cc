// Read next: node.h.
#include "tests/sim/node.h"

#include <stdlib.h>

namespace sim {

using namespace smx;

namespace {

std::string text(const Sock& s) {
  return "connection " + std::to_string(s.conn->number) + (s.server ? " server" : " client") + ", given " +
         std::to_string(s.given) + ", got " + std::to_string(s.got);
}

}  // namespace

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
  const size_t size = Mux::arena_bytes(c);
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

void Node::served(Sock& s, size_t n) {
  turns_.served(s.turn, s.id.slot, n);
  const size_t quantum = Scheduler::kQuantum;
  for_each_live([&](Sock& other) {
    if (&other == &s) return;
    const std::string what = turns_.judge(other.turn, s.turn, s.id.slot, quantum);
    SIM_EXPECT(fault_, what.empty(), name_ + ": " + text(other) + " " + what);
  });
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

// ---- local sockets

void Node::rearm(Sock& s) {
  if (!s.live) return;
  s.armed_read = mux.wants_read(s.id);
  s.armed_write = mux.wants_write(s.id);
  poke(s);
}

void Node::poke(Sock& s) {
  if (!s.live) return;
  if (s.armed_read && s.readable() && !s.read_event) {
    s.read_event = true;
    clock_.in(static_cast<int64_t>(rng_.below(3)), [this, &s] {
      s.read_event = false;
      if (!s.live) return;
      mux.local_readable(s.id);
      rearm(s);
      checked();
      soon();
    });
  }
  if (s.armed_write && s.room > 0 && !s.write_event) {
    s.write_event = true;
    clock_.in(static_cast<int64_t>(rng_.below(3)), [this, &s] {
      s.write_event = false;
      if (!s.live) return;
      const bool there = mux.drain(s.id, clock_.now());
      SIM_EXPECT(fault_, there == s.live || !s.live, name_ + ": drain() does not tell that it is gone");
      rearm(s);
      checked();
      soon();
    });
  }
}

// More of what it will send has come.
void Node::produce(Sock& s) {
  if (s.conn->udp) return produce_datagrams(s);
  if (s.made >= s.habit.sends) return;
  if (!s.habit.trickles) {
    s.made = s.habit.sends;
    return;
  }
  s.made += 1 + rng_.log(s.habit.sends - s.made - 1);
  if (s.made < s.habit.sends) {
    clock_.in(static_cast<int64_t>(rng_.below(20000)), [this, &s] {
      if (!s.live) return;
      produce(s);
      poke(s);
    });
  }
}

void Node::after(Sock& s) {
  if (s.live && s.readable()) poke(s);
}

Pulled Node::on_pull(ChannelId id, const MutBytes* piece, int pieces) {
  Pulled p;
  Sock* s = find(id);
  if (s == nullptr) return p;
  if (s->given >= s->habit.breaks_out) {
    forget(*s);
    s->aborted = true;
    p.state = Pulled::State::error;
    return p;
  }
  uint64_t have = s->may_begin() ? s->made - s->given : 0;
  if (have > s->habit.out_most) have = s->habit.out_most;
  for (int i = 0; i < pieces; ++i) {
    for (size_t j = 0; j < piece[i].size && p.size < have; ++j) piece[i].data[j] = pattern(s->out_stream(), s->given + p.size++);
  }
  s->given += p.size;
  if (p.size > 0) served(*s, p.size);
  if (s->may_begin() && s->given < s->made) {
    p.state = Pulled::State::more;
  } else if (s->may_begin() && s->at_end() && (p.size == 0 || rng_.one_in(2))) {
    s->gave_end = true;
    p.state = Pulled::State::end;
  } else {
    p.state = p.size > 0 && rng_.one_in(2) ? Pulled::State::more : Pulled::State::empty;
  }
  return p;
}

Taken Node::on_data(ChannelId id, const Bytes* piece, int pieces) {
  Taken t;
  Sock* s = find(id);
  if (s == nullptr) return t;
  SIM_EXPECT(fault_, !s->saw_end, name_ + ": data behind the end, " + text(*s));
  uint64_t most = s->room < s->habit.in_most ? s->room : s->habit.in_most;
  for (int i = 0; i < pieces; ++i) {
    SIM_EXPECT(fault_, piece[i].size > 0, name_ + ": an empty piece");
    for (size_t j = 0; j < piece[i].size && t.size < most; ++j) {
      if (s->got >= s->habit.breaks_in) {
        forget(*s);
        s->aborted = true;
        t.error = true;
        return t;
      }
      if (checks_data && piece[i].data[j] != pattern(s->in_stream(), s->got)) {
        fault_.set(__FILE__, __LINE__, name_ + ": wrong byte, " + text(*s));
        return t;
      }
      ++s->got;
      ++t.size;
    }
  }
  s->room -= t.size;
  if (s->room == 0 && !s->habit.stalls && !s->rests) {
    s->rests = true;
    clock_.in(1 + static_cast<int64_t>(rng_.below(static_cast<uint64_t>(s->habit.rest_us))), [this, s] {
      s->rests = false;
      s->room += 1 + rng_.below(s->habit.in_buffer);
      poke(*s);
    });
  } else if (s->room > 0) {
    poke(*s);
  }
  after(*s);
  return t;
}

void Node::on_wants(ChannelId id) {
  Sock* s = find(id);
  if (s == nullptr) return;
  if (rng_.one_in(2)) return rearm(*s);
  clock_.in(0, [this, s] { rearm(*s); });
}

void Node::on_end(ChannelId id) {
  Sock* s = find(id);
  if (s == nullptr) return;
  SIM_EXPECT(fault_, !s->saw_end, name_ + ": a second end, " + text(*s));
  s->saw_end = true;
  const Sock& other = s->server ? s->conn->client : s->conn->server;
  if (checks_data && s->conn->whole) SIM_EXPECT(fault_, s->got == other.habit.sends, name_ + ": the end comes before the last byte, " + text(*s));
  after(*s);
}

void Node::on_done(ChannelId id) {
  Sock* s = find(id);
  if (s == nullptr) return;
  SIM_EXPECT(fault_, s->saw_end, name_ + ": done without an end, " + text(*s));
  s->done = true;
  forget(*s);
}

void Node::on_abort(ChannelId id, CloseCode code) {
  Sock* s = find(id);
  if (s == nullptr) return;
  s->aborted = true;
  s->code = code;
  // A flow that makes room for others, or one of 0.3 whose peer has let it go.
  if (s->conn->udp && code == CloseCode::idle && !s->conn->ending) s->conn->whole = false;
  forget(*s);
}

void Node::on_up() {
  if (came_up) came_up(*this);
  open_waiting();
  soon();
}

void Node::on_room() {
  if (rng_.one_in(2)) return open_waiting();
  clock_.in(0, [this] {
    open_waiting();
    soon();
  });
}

void Node::on_open(ChannelId id, const OpenInfo& info) {
  Conn* c = lookup(info);
  if (c == nullptr) return mux.refuse(id, CloseCode::no_server);
  if (c->udp && !info.udp) mux.serve_datagrams(id);
  SIM_EXPECT(fault_, info.udp == c->udp || mux.dialect() == Dialect::v03 || !checks_data, name_ + ": kind of channel");
  SIM_EXPECT(fault_, !c->reached || !checks_data, name_ + ": a connection is opened twice");
  if (c->reached) return mux.refuse(id, CloseCode::no_server);
  c->reached = true;
  if (c->answer == Conn::Answer::refuse) return mux.refuse(id, CloseCode::refused);
  Sock& s = c->server;
  attach(s, id);
  if (fault_.any()) return;
  if (c->answer == Conn::Answer::never) return stalled_.push_back(&s);
  const auto accept = [this, &s] {
    if (!s.live) return;
    produce(s);
    mux.accept(s.id, clock_.now());
    rearm(s);
  };
  if (c->answer == Conn::Answer::accept) return accept();
  clock_.in(c->answer_us, [this, c, &s, accept] {
    if (!s.live) return;
    if (c->answer == Conn::Answer::accept_later) {
      accept();
    } else {
      forget(s);
      s.aborted = true;
      mux.refuse(s.id, CloseCode::unreachable);
    }
    checked();
    soon();
  });
}

void Node::on_opened(ChannelId id) { (void)find(id); }

void Node::describe(ChannelId id, OpenInfo* info) {
  Sock* s = find(id);
  if (s == nullptr) return;
  info->client.family = 4;
  store32(info->client.ip, 0x0a000000u + s->conn->number);
  info->client.port = 50000;
  info->local.family = 4;
  store32(info->local.ip, 0x7f000001u);
  info->local.port = 9023;
}

void Node::wake() {
  for_each_live([this](Sock& s) {
    if (s.conn->udp && !s.server) stalled_.push_back(&s);
  });
  for (Sock* s : stalled_) {
    if (!s->live) continue;
    forget(*s);
    s->aborted = true;
    mux.abort(s->id, CloseCode::idle);
    checked();
  }
  stalled_.clear();
  soon();
}

}  // namespace sim
