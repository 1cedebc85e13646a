// Read next: world.h.
#include "tests/sim/world.h"

#include <stdio.h>
#include <string.h>

namespace sim {

using namespace smx;

bool World::v03() const {
  return shape_.config[0].proto == MuxConfig::Proto::v03 || shape_.config[1].proto == MuxConfig::Proto::v03;
}

// Do connections live through a cut? The session must be known to both, and both must hold it for longer than a cut takes.
bool World::holds() const {
  for (int i = 0; i < 2; ++i)
    if (shape_.config[i].hold < seconds(60) || !nodes_[i]->mux.confirmed()) return false;
  return shape_.spoil_one_in == 0;
}

World::World(uint64_t seed, const WorldShape& shape) : shape_(shape), rng_(seed) {
  for (int i = 0; i < 2; ++i) {
    nodes_[i] = std::make_unique<Node>(clock_, rng_, fault_, shape_.config[i], i == 0 ? "C" : "A");
    pipes_[i] = std::make_unique<Pipe>(clock_, shape_.pipe[i]);
    nodes_[i]->lookup = [this](const OpenInfo& info) -> Conn* {
      const uint32_t number = load32(info.client.ip) - 0x0a000000u;
      return number < conns_.size() ? conns_[number].get() : nullptr;
    };
    nodes_[i]->broken = [this](Node& n, Err e) { lost(n, e); };
    nodes_[i]->checks_data = shape_.spoil_one_in == 0;
  }
  for (int i = 0; i < 2; ++i) {
    nodes_[i]->tx = pipes_[i].get();
    nodes_[i]->rx = pipes_[1 - i].get();
    pipes_[i]->writable = [this, i] { nodes_[i]->pump(); };
    pipes_[i]->readable = [this, i] { nodes_[1 - i]->read_link(); };
    if (shape_.spoil_one_in == 0) continue;
    pipes_[i]->spoil = [this](std::vector<uint8_t>& bytes) {
      if (!rng_.one_in(shape_.spoil_one_in)) return;
      const size_t at = rng_.below(bytes.size());
      switch (rng_.below(4)) {
        case 0: bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << rng_.below(8)); break;
        case 1: bytes.erase(bytes.begin() + static_cast<long>(at)); break;
        case 2: bytes.insert(bytes.begin() + static_cast<long>(at), static_cast<uint8_t>(rng_.next())); break;
        default: bytes[at] = static_cast<uint8_t>(rng_.next());
      }
    };
  }
  connect();
  for (int side = 0; side < 2; ++side)
    for (unsigned i = 0; i < shape_.clients[side]; ++i) add_client(side);
  for (unsigned i = 0; i < shape_.cuts; ++i)
    clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(shape_.busy_us))), [this] { disconnect(); });
  for (unsigned i = 0; i < shape_.stalls; ++i)
    clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(shape_.busy_us))), [this] {
      const Time until = clock_.now() + micros(static_cast<int64_t>(rng_.below(3000000)));
      pipes_[rng_.below(2)]->stall(until);
    });
}

void World::add_client(int side) {
  conns_.push_back(std::make_unique<Conn>());
  Conn& c = *conns_.back();
  c.number = static_cast<uint32_t>(conns_.size() - 1);
  c.client.conn = c.server.conn = &c;
  c.server.server = true;
  const bool old = v03();
  for (Sock* s : {&c.client, &c.server}) {
    Habit& h = s->habit;
    h.sends = rng_.log(shape_.most_bytes);
    h.trickles = rng_.one_in(3);
    if (rng_.one_in(4)) h.out_most = 1 + rng_.log(3000);
    if (rng_.one_in(6)) h.out_most = 1;
    if (rng_.one_in(4)) h.in_most = 1 + rng_.log(3000);
    if (rng_.one_in(4)) h.in_most = 1;
    if (rng_.one_in(3)) h.in_buffer = 1 + rng_.log(5000);
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
  if (shape_.trouble && rng_.one_in(3)) {
    // As many may stall as leave one channel for the others.
    const unsigned channels = old ? 20u : std::min<unsigned>(shape_.config[side].opens, shape_.config[1 - side].accepts);
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
        one.habit.in_buffer = rng_.log(3000);
        ++stalled_[side];
        break;
    }
  }
  clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(shape_.busy_us))), [this, side, &c] { nodes_[side]->client(c); });
}

void World::connect() {
  ++links_;
  for (int i = 0; i < 2; ++i) {
    LinkStart start;
    snprintf(start.stamp, sizeof start.stamp, "20261123-%06u.%06u", static_cast<unsigned>(links_ * 2 + static_cast<unsigned>(i)),
             static_cast<unsigned>(rng_.below(1000000)));
    for (uint8_t& b : start.random) b = static_cast<uint8_t>(rng_.next());
    start.attempt = links_;
    nodes_[i]->start(start);
  }
}

// One side sees it at once, the other one later.
void World::disconnect() {
  if (down_soon_) return;
  down_soon_ = true;
  const int first = static_cast<int>(rng_.below(2));
  const bool holds = this->holds();
  for (const std::unique_ptr<Conn>& c : conns_) {
    const bool begun = c->client.live || c->client.done || c->client.aborted;
    if (begun && !holds && !(c->client.done && c->server.done)) c->whole = false;
  }
  for (const std::unique_ptr<Pipe>& p : pipes_) p->cut();
  nodes_[first]->stop();
  clock_.in(static_cast<int64_t>(rng_.below(5000)), [this, first, holds] {
    // What it opened meanwhile goes nowhere.
    for (const std::unique_ptr<Conn>& c : conns_) {
      const bool begun = c->client.live || c->client.done || c->client.aborted;
      if (begun && !holds && !(c->client.done && c->server.done)) c->whole = false;
    }
    for (const std::unique_ptr<Pipe>& p : pipes_) p->cut();
    nodes_[1 - first]->stop();
    clock_.in(1 + static_cast<int64_t>(rng_.below(100000)), [this] {
      down_soon_ = false;
      for (const std::unique_ptr<Pipe>& p : pipes_) p->cut();
      connect();
    });
  });
}

void World::lost(Node& node, Err e) {
  const std::string who = &node == nodes_[0].get() ? "C" : "A";
  if (shape_.spoil_one_in == 0 && !down_soon_) {
    const Header& h = node.mux.last_header();
    char text[200];
    snprintf(text, sizeof text, "%s ends the link: %s (%02x %02x said %04x raid %04x length %u)", who.c_str(), name(e), h.version,
             h.type, h.said, h.raid, h.length);
    return fault_.set(__FILE__, __LINE__, text);
  }
  disconnect();
}

void World::finish(const std::string& when, bool all) {
  for (const std::unique_ptr<Conn>& c : conns_) {
    const auto say = [&](const char* what) {
      char text[400];
      snprintf(text, sizeof text,
               "%s: connection %u %s; client %s%s%s given %llu of %llu got %llu; server %s%s%s given %llu of %llu got %llu", when.c_str(),
               c->number, what, c->client.live ? "live " : "", c->client.done ? "done " : "", c->client.aborted ? "aborted" : "",
               static_cast<unsigned long long>(c->client.given), static_cast<unsigned long long>(c->to_server),
               static_cast<unsigned long long>(c->client.got), c->server.live ? "live " : "", c->server.done ? "done " : "",
               c->server.aborted ? "aborted" : "", static_cast<unsigned long long>(c->server.given),
               static_cast<unsigned long long>(c->to_client), static_cast<unsigned long long>(c->server.got));
      fault_.set(__FILE__, __LINE__, text);
    };
    if (c->whole && shape_.spoil_one_in == 0) {
      if (!c->client.done || !c->server.done) say("has not ended in order");
      if (c->server.got != c->to_server || c->client.got != c->to_client) say("lost bytes");
      if (!c->client.saw_end || !c->server.saw_end) say("lacks an end");
    }
    if (all && (c->client.live || c->server.live)) say("is still open");
  }
  if (!all) return;
  for (const std::unique_ptr<Node>& n : nodes_) {
    SIM_EXPECT(fault_, n->waiting() == 0, when + ": clients wait for ever");
    SIM_EXPECT(fault_, n->mux.channels() == 0, when + ": channels are left");
    SIM_EXPECT(fault_, n->mux.blocks_used() == 0, when + ": blocks are left");
  }
}

std::string World::run() {
  const Time quiet = clock_.now() + seconds(300);
  while (!fault_.any() && clock_.step(quiet)) {
    if (clock_.steps() > 20000000) fault_.set(__FILE__, __LINE__, "no end of events");
  }
  if (!fault_.any()) finish("after 300 s", false);
  if (shape_.spoil_one_in > 0) {
    // A changed number may have left a channel that one side alone knows; it ends with its link.
    shape_.spoil_one_in = 1000000000;
    disconnect();
  }
  for (const std::unique_ptr<Node>& n : nodes_) n->wake();
  const Time over = clock_.now() + seconds(200);
  while (!fault_.any() && clock_.step(over)) {
  }
  if (!fault_.any()) finish("at the end", true);
  if (!fault_.any()) {
    // An idle link is asked now and then, not all the time.
    const uint64_t before = nodes_[0]->ticks() + nodes_[1]->ticks();
    const Time idle = clock_.now() + seconds(600);
    while (!fault_.any() && clock_.step(idle)) {
    }
    SIM_EXPECT(fault_, nodes_[0]->ticks() + nodes_[1]->ticks() - before < 100, "an idle link keeps the processor busy");
    for (const std::unique_ptr<Node>& n : nodes_)
      SIM_EXPECT(fault_, n->mux.up(), "the link is gone after idle time");
  }
  return fault_.text();
}

}  // namespace sim
