// Read next: world.h, world_links.cc.
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

#include <algorithm>

namespace sim {

using namespace smx;

bool World::v03() const {
  return shape_.config[0].proto == MuxConfig::Proto::v03 || shape_.config[1].proto == MuxConfig::Proto::v03;
}

World::World(uint64_t seed, const WorldShape& shape) : shape_(shape), rng_(seed) {
  for (int side = 0; side < 2; ++side) {
    const unsigned count = side == 0 ? shape_.callers : shape_.seats;
    for (unsigned i = 0; i < count; ++i) {
      nodes_[side].push_back(std::make_unique<Node>(clock_, rng_, fault_, shape_.config[side], (side == 0 ? "C" : "A") + std::to_string(i)));
      Node& n = *nodes_[side].back();
      n.side = side;
      n.caller = side == 0 ? i : 0;
      n.queue = &queue_[side];
      n.lookup = [this](const OpenInfo& info) -> Conn* {
        const uint32_t number = load32(info.client.ip) - 0x0a000000u;
        return number < conns_.size() ? conns_[number].get() : nullptr;
      };
      n.broken = [this](Node& node, Err e) { lost(node, e); };
      n.asked = [this](Node& node, const Settings& ask) { return on_ask(node, ask); };
      n.moved = [this](Node& node) { take_over(*moves_to_, node); };
      n.came_up = [this](Node& node) { came_up(node); };
      n.pumped = [this](Node& node) { pumped(node); };
      n.ending = [this](Node& node) { ending(node); };
      n.stepped = [this, side](Node& node) {
        if (node.mux.confirmed() && node.session != 0) known_[node.session] |= 1u << side;
      };
      n.checks_data = !spoils();
      for (const LinkShape& l : shape_.links) n.garbles = n.garbles || (v03() && l.search);
    }
  }
  callers_.resize(shape_.callers);
  for (unsigned i = 0; i < shape_.callers; ++i) dial(i);
  for (int side = 0; side < 2; ++side) {
    for (unsigned i = 0; i < shape_.clients[side]; ++i) add_client(side);
    for (unsigned i = 0; i < shape_.flows[side]; ++i) add_flow(side);
  }
  const auto some_time = [this] { return static_cast<int64_t>(rng_.below(static_cast<uint64_t>(shape_.busy_us))); };
  for (unsigned i = 0; i < shape_.cuts; ++i)
    clock_.in(rng_.one_in(3) ? static_cast<int64_t>(rng_.below(30000000)) : some_time(), [this] { disconnect(static_cast<unsigned>(rng_.below(shape_.callers))); });
  for (unsigned i = 0; i < shape_.stalls; ++i) {
    clock_.in(some_time(), [this] {
      Wire& w = *callers_[rng_.index(shape_.callers)].current;
      w.troubled = w.stalled = true;
      w.pipe[rng_.below(2)]->stall(clock_.now() + micros(static_cast<int64_t>(rng_.below(3000000))));
    });
  }
}

Conn& World::new_conn() {
  conns_.push_back(std::make_unique<Conn>());
  Conn& c = *conns_.back();
  c.number = static_cast<uint32_t>(conns_.size() - 1);
  c.client.conn = c.server.conn = &c;
  c.server.server = true;
  return c;
}

// Its client comes at some time, to a mux that can open a channel if there is one.
void World::come(int side, Conn& c) {
  clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(shape_.busy_us))), [this, side, &c] {
    const size_t count = nodes_[side].size();
    Node* node = nodes_[side][next_seat_ % count].get();
    Node* doubtful = nullptr;
    for (size_t k = 0; k < count; ++k) {
      Node& n = *nodes_[side][(next_seat_ + k) % count];
      if (!n.mux.can_open()) continue;
      doubtful = &n;
      if (n.probed == kNever) node = &n;
    }
    if (!node->mux.can_open() && doubtful != nullptr) node = doubtful;
    ++next_seat_;
    node->client(c);
  });
}

void World::add_client(int side) {
  Conn& c = new_conn();
  const bool old = v03();
  for (Sock* s : {&c.client, &c.server}) {
    Habit& h = s->habit;
    h.sends = rng_.log(shape_.most_bytes);
    h.trickles = rng_.one_in(3);
    if (rng_.one_in(4)) h.out_most = 1 + rng_.size(3000);
    if (rng_.one_in(6)) h.out_most = 1;
    if (rng_.one_in(4)) h.in_most = 1 + rng_.size(3000);
    if (rng_.one_in(4)) h.in_most = 1;
    if (rng_.one_in(3)) h.in_buffer = 1 + rng_.size(5000);
    h.rest_us = 1 + static_cast<int64_t>(rng_.log(3000));
  }
  Habit& client = c.client.habit;
  Habit& server = c.server.habit;
  // 0.3 has no half-close, so there only who has all may end; a client may, if the answer comes soon.
  switch (rng_.below(old ? 3 : 4)) {
    case 0:  // both talk at once
      client.end = server.end = old ? Habit::End::sent_and_got : Habit::End::sent;
      break;
    case 1:  // a question and its answer
      server.gate = Habit::Gate::after_got;
      server.end = Habit::End::sent;
      client.end = rng_.one_in(2) ? Habit::End::sent_and_got : Habit::End::peer_end;
      break;
    case 2:  // the client ends when it has asked
      server.gate = Habit::Gate::after_got;
      server.end = Habit::End::sent;
      client.end = Habit::End::sent;
      server.trickles = false;
      break;
    case 3:  // the server needs the end to know that it was asked
      server.gate = Habit::Gate::after_end;
      server.end = Habit::End::sent;
      client.end = Habit::End::sent;
      break;
  }
  c.to_server = client.sends;
  c.to_client = server.sends;
  if (rng_.one_in(3)) {
    c.answer = Conn::Answer::accept_later;
    c.answer_us = static_cast<int64_t>(rng_.log(3000000));
  }
  if (shape_.trouble && rng_.one_in(3)) add_trouble(c, side);
  come(side, c);
}

void World::add_trouble(Conn& c, int side) {
  // As many may stall as leave one channel for the others.
  const unsigned channels = v03() ? 20u : std::min<unsigned>(shape_.config[side].opens, shape_.config[1 - side].accepts);
  const bool may_stall = stalled_[side] + 1 < channels;
  Sock& one = rng_.one_in(2) ? c.client : c.server;
  c.whole = false;
  switch (rng_.below(7)) {
    case 0: one.habit.breaks_in = rng_.log(one.server ? c.to_server : c.to_client); break;
    case 1: one.habit.breaks_out = rng_.log(one.habit.sends); break;
    case 2: c.answer = Conn::Answer::refuse; break;
    case 3:
      c.answer = Conn::Answer::refuse_later;
      c.answer_us = static_cast<int64_t>(rng_.log(1000000));
      break;
    case 4: c.leaves_us = static_cast<int64_t>(rng_.log(100000)); break;
    case 5:
      if (!may_stall) break;
      c.answer = Conn::Answer::never;
      ++stalled_[side];
      break;
    case 6:
      if (!may_stall) break;
      one.habit.stalls = true;
      one.habit.in_buffer = rng_.size(3000);
      ++stalled_[side];
      break;
  }
}

void World::add_flow(int side) {
  Conn& c = new_conn();
  c.udp = true;
  for (Sock* s : {&c.client, &c.server}) {
    Flow& f = s->flow;
    f.sends = static_cast<unsigned>(rng_.log(20));
    f.most = rng_.size(shape_.most_datagram);
    f.gap_us = static_cast<int64_t>(rng_.log(200000));
  }
  if (rng_.one_in(3)) {
    c.answer = Conn::Answer::accept_later;
    c.answer_us = static_cast<int64_t>(rng_.log(300000));
  }
  if (shape_.trouble && rng_.one_in(4)) {
    c.whole = false;
    if (rng_.one_in(2)) {
      c.leaves_us = static_cast<int64_t>(rng_.log(1000000));
    } else {
      c.answer = Conn::Answer::refuse_later;
      c.answer_us = static_cast<int64_t>(rng_.log(1000000));
    }
  }
  come(side, c);
}

std::string World::story(const Conn& c) const {
  std::string text = "connection " + std::to_string(c.number) + (c.udp ? " (UDP)" : "");
  for (const Sock* s : {&c.client, &c.server}) {
    text += s->server ? "; server" : "; client";
    text += std::string(s->live ? " live" : "") + (s->done ? " done" : "") + (s->aborted ? " aborted" : "");
    if (c.udp) {
      const Flow& f = s->flow;
      text += " made " + std::to_string(f.made) + " of " + std::to_string(f.sends) + ", " + std::to_string(f.lost) + " lost, " +
              std::to_string(f.taken.size()) + " taken, " + std::to_string(f.arrived) + " arrived";
    } else {
      text += " given " + std::to_string(s->given) + " of " + std::to_string(s->habit.sends) + ", got " + std::to_string(s->got);
    }
  }
  return text;
}

void World::finish_flow(const Conn& c, const std::string& when) {
  for (const Sock* s : {&c.client, &c.server}) {
    const Flow& f = s->flow;
    SIM_EXPECT(fault_, f.over() || !c.whole, when + ": lost datagrams: " + story(c));
    SIM_EXPECT(fault_, f.made == f.lost + f.taken.size() + f.queue.size(), when + ": datagrams that nobody counts: " + story(c));
    SIM_EXPECT(fault_, s->aborted || s->done || !c.whole, when + ": has not ended: " + story(c));  // 0.3: done
  }
}

// What the muxes have counted is what has happened.
void World::finish_counts() {
  bool whole = !spoils();
  uint64_t taken[2] = {}, arrived[2] = {}, tx[2] = {}, rx[2] = {};
  for (const std::unique_ptr<Conn>& c : conns_) {
    if (!c->udp) continue;
    whole = whole && c->whole;
    for (const Sock* s : {&c->client, &c->server}) {
      if (s->node == nullptr) continue;
      const int side = side_of(*s->node);
      taken[side] += s->flow.taken.size();
      arrived[1 - side] += s->flow.arrived;
      counts_.datagrams += s->flow.arrived;
      counts_.lost_datagrams += s->flow.lost;
    }
  }
  if (!whole) return;
  for (int side = 0; side < 2; ++side) {
    for (const std::unique_ptr<Node>& n : nodes_[side]) {
      tx[side] += n->mux.stats().tx_datagrams;
      rx[side] += n->mux.stats().rx_datagrams;
      SIM_EXPECT(fault_, n->mux.stats().late_datagrams == 0, "late datagrams");
    }
    SIM_EXPECT(fault_, tx[side] == taken[side], "datagrams counted as sent");
    SIM_EXPECT(fault_, rx[side] == arrived[side], "datagrams counted as received");
  }
}

void World::finish(const std::string& when, bool all) {
  for (const std::unique_ptr<Conn>& c : conns_) {
    const auto say = [&](const char* what) { fault_.set(__FILE__, __LINE__, when + ": " + what + ": " + story(*c)); };
    if (c->udp) {
      if (!spoils()) finish_flow(*c, when);
    } else if (c->whole && !spoils()) {
      if (!c->client.done || !c->server.done) say("has not ended in order");
      if (c->server.got != c->to_server || c->client.got != c->to_client) say("lost bytes");
      if (!c->client.saw_end || !c->server.saw_end) say("lacks an end");
    }
    if (all && (c->client.live || c->server.live)) say("is still open");
  }
  if (!all) return;
  for (int side = 0; side < 2; ++side) {
    SIM_EXPECT(fault_, queue_[side].empty(), when + ": clients wait for ever");
    for (const std::unique_ptr<Node>& n : nodes_[side]) {
      SIM_EXPECT(fault_, n->mux.channels() == 0, when + ": channels are left");
      SIM_EXPECT(fault_, n->mux.blocks_used() == 0, when + ": blocks are left");
    }
  }
  finish_counts();
}

std::string World::run() {
  const auto until = [this](Duration d) {
    const Time limit = clock_.now() + d;
    while (!fault_.any() && clock_.step(limit)) {
      if (clock_.steps() > 20000000) fault_.set(__FILE__, __LINE__, "no end of events");
    }
  };
  until(seconds(300));
  if (!fault_.any()) finish("after 300 s", false);
  if (spoils()) {
    // A changed number may have left a channel that one side alone knows; it ends with its link.
    shape_.links[0].spoil_one_in = 1000000000;
    for (const Caller& c : callers_) cut(*c.current);
  }
  const auto for_each_node = [this](const std::function<void(Node&)>& f) {
    for (int side = 0; side < 2; ++side)
      for (const std::unique_ptr<Node>& n : nodes_[side]) f(*n);
  };
  for_each_node([](Node& n) { n.wake(); });
  until(seconds(200));
  if (!fault_.any()) finish("at the end", true);
  if (fault_.any()) return fault_.text();
  // An idle link is asked now and then, not all the time.
  const auto ticks = [&] {
    uint64_t sum = 0;
    for_each_node([&](const Node& n) { sum += n.ticks(); });
    return sum;
  };
  const uint64_t before = ticks();
  until(seconds(600));
  SIM_EXPECT(fault_, ticks() - before < 100 * shape_.callers, "an idle link keeps the processor busy");
  for (const Caller& c : callers_) {
    for (const Node* n : c.current->at) SIM_EXPECT(fault_, n != nullptr && n->mux.up(), "the link is gone after idle time");
    if (fault_.any() || v03()) return fault_.text();
    SIM_EXPECT(fault_, c.current->at[0]->session == c.current->at[1]->session, "two sessions on one link");
  }
  return fault_.text();
}

}  // namespace sim
