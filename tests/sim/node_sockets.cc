// The local sockets of a node. Read next: node.h, node_udp.cc.
#include "tests/sim/node.h"

namespace sim {

using namespace smx;

namespace {

std::string text(const Sock& s) {
  return "connection " + std::to_string(s.conn->number) + (s.server ? " server" : " client") + ", given " +
         std::to_string(s.given) + ", got " + std::to_string(s.got);
}

}  // namespace

void Node::served(Sock& s, size_t n) {
  turns_.served(s.turn, s.id.slot, n);
  const size_t quantum = Scheduler::kQuantum;
  for_each_live([&](Sock& other) {
    if (&other == &s) return;
    const std::string what = turns_.judge(other.turn, s.turn, s.id.slot, quantum);
    SIM_EXPECT(fault_, what.empty(), name_ + ": " + text(other) + " " + what);
  });
}

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
