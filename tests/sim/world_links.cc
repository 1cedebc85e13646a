// The links of a world, and what core/session does with them (sessions.cc, session.cc). Read next: world_ends.cc.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/world.h"

namespace sim {

using namespace smx;

namespace {
constexpr int64_t kLateOpener = 10000000;
constexpr size_t kRemembered = 400;  // bytes of a link that may be left for the next one
}  // namespace

bool World::spoils() const {
  for (const LinkShape& l : shape_.links)
    if (l.spoil_one_in > 0) return true;
  return false;
}

// Do its connections live on without the link?
bool World::survives(const Node& n) const {
  for (const MuxConfig& c : shape_.config)
    if (c.hold < seconds(60)) return false;
  const auto it = known_.find(n.session);
  return !spoils() && n.mux.dialect() == Dialect::v1 && it != known_.end() && it->second == kBoth;
}

// SMX_SIM_TRACE=1: the story of the links.
void World::say(const Node& n, const std::string& what) const {
  static const bool traces = getenv("SMX_SIM_TRACE") != nullptr;
  if (!traces) return;
  fprintf(stderr, "%10.6f %s: link %u: %s\n", static_cast<double>(clock_.now().us) / 1e6, n.name().c_str(),
          static_cast<unsigned>(n.wire->number), what.c_str());
}

// ---- links begin

Wire& World::new_wire(unsigned caller) {
  wires_.push_back(std::make_unique<Wire>());
  Wire& w = *wires_.back();
  w.number = wires_.size();
  w.caller = caller;
  w.shape = shape_.links[rng_.index(shape_.links.size())];
  ++counts_.links;
  if (w.shape.lossy) ++counts_.lossy;
  const Wire* before = callers_[caller].current;
  if (before != nullptr && before->shape.search != w.shape.search) ++counts_.mixed;
  for (int i = 0; i < 2; ++i) {
    w.pipe[i] = std::make_unique<Pipe>(clock_, w.shape.pipe[i]);
    Pipe& p = *w.pipe[i];
    p.writable = [&w, i] {
      if (w.at[i] != nullptr) w.at[i]->pump();
    };
    p.readable = [&w, &p, i] {
      if (w.at[1 - i] != nullptr) return w.at[1 - i]->read_link();
      // A FIFO keeps it for who comes; a stream until it is accepted.
      if (w.shape.repeat || (!w.shape.search && w.closes[1 - i] > 0)) p.discard();
    };
    p.tap = [this, i](const uint8_t* data, size_t n) {
      const char* text = reinterpret_cast<const char*>(data);
      if (first_[i].size() < kRemembered) first_[i].append(text, std::min(n, kRemembered - first_[i].size()));
      last_[i].append(text, n);
      if (last_[i].size() > 4 * kRemembered) last_[i].erase(0, last_[i].size() - kRemembered);
    };
    if (w.shape.noise_one_in > 0) p.spoil = [this, &w](std::vector<uint8_t>& bytes) { make_noise(bytes, w.shape.noise_one_in); };
    if (w.shape.spoil_one_in == 0) continue;
    p.spoil = [this](std::vector<uint8_t>& bytes) {
      if (!rng_.one_in(shape_.links[0].spoil_one_in)) return;
      const size_t at = rng_.index(bytes.size());
      switch (rng_.below(4)) {
        case 0: bytes[at] = static_cast<uint8_t>(bytes[at] ^ 1u << rng_.below(8)); break;
        case 1: bytes.erase(bytes.begin() + static_cast<long>(at)); break;
        case 2: bytes.insert(bytes.begin() + static_cast<long>(at), static_cast<uint8_t>(rng_.next())); break;
        default: bytes[at] = static_cast<uint8_t>(rng_.next());
      }
    };
  }
  return w;
}

// A bit is flipped, or a byte is lost, or there is one too many.
void World::make_noise(std::vector<uint8_t>& bytes, unsigned one_in) {
  for (size_t i = 0; i < bytes.size(); ++i) {
    if (!rng_.one_in(one_in)) continue;
    ++counts_.noise;
    const auto at = bytes.begin() + static_cast<long>(i);
    switch (rng_.below(6)) {
      case 0: bytes.erase(at); break;
      case 1: bytes.insert(at, static_cast<uint8_t>(rng_.next())); break;
      default: bytes[i] = static_cast<uint8_t>(bytes[i] ^ 1u << rng_.below(8));
    }
  }
}

// The rest of an earlier run, cut anywhere; noise; messages of a machine that boots.
void World::leave_rest(Wire& w) {
  for (int i = 0; i < 2; ++i) {
    std::string rest;
    const unsigned pieces = static_cast<unsigned>(rng_.below(4));
    for (unsigned k = 0; k < pieces; ++k) {
      std::string piece;
      switch (rng_.below(4)) {
        case 0: piece = "\r\nU-Boot 2026.01\r\nlogin: "; break;
        case 1:
          for (uint64_t n = rng_.log(300); n > 0; --n) piece.push_back(static_cast<char>(rng_.one_in(2) ? rng_.next() : rng_.below(20)));
          break;
        case 2: piece = first_[i]; break;
        default: piece = last_[i]; break;
      }
      const size_t from = rng_.one_in(2) ? 0 : rng_.index(piece.size() + 1);
      rest += piece.substr(from, rng_.one_in(2) ? std::string::npos : rng_.index(piece.size() + 1));
    }
    if (!rest.empty()) ++counts_.leftovers;
    w.pipe[i]->put(std::vector<uint8_t>(rest.begin(), rest.end()));
    first_[i].clear();
  }
}

void World::dial_soon(unsigned caller) {
  if (callers_[caller].dials) return;
  callers_[caller].dials = true;
  const int64_t pause = static_cast<int64_t>(rng_.below(rng_.one_in(8) && !hurries(caller) ? 2000000 : 100000));
  clock_.in(pause, [this, caller] {
    callers_[caller].dials = false;
    Node& n = *nodes_[0][caller];
    if (n.linked() && n.wire->shape.search) close(n, true, false);
    if (!n.linked()) dial(caller);
  });
}

// The connector's next link.
void World::dial(unsigned caller) {
  Wire& w = new_wire(caller);
  callers_[caller].current = &w;
  const bool troubles = shape_.late && !hurries(caller) && rng_.one_in(2);
  if (w.shape.search) {
    leave_rest(w);
    const int late = static_cast<int>(rng_.below(2));
    const bool far = rng_.one_in(3) && !hurries(caller);
    if (far) ++counts_.late_openers;
    open_soon(w, 1 - late, 0);
    open_soon(w, late, static_cast<int64_t>(rng_.below(static_cast<uint64_t>(far ? kLateOpener : 100000))));
    w.troubled = true;
    return;
  }
  if (troubles) {
    w.trap = rng_.pick({Wire::Trap::ask_is_late, Wire::Trap::answer_is_lost, Wire::Trap::given_up, Wire::Trap::left_at_once});
    w.troubled = true;
  }
  begin(*nodes_[0][caller], w, 0);
  const bool late = troubles && rng_.one_in(3);
  const int64_t takes = late ? static_cast<int64_t>(rng_.below(kLatest)) : w.shape.pipe[0].delay_us;
  clock_.in(takes, [this, &w] { accept(w); });
  if (w.trap == Wire::Trap::given_up) {
    const uint64_t soon = static_cast<uint64_t>(4 * (w.shape.pipe[0].delay_us + w.shape.pipe[1].delay_us) + 1000);
    clock_.in(static_cast<int64_t>(rng_.below(soon)), [this, &w] { give_up(w); });
  }
}

void World::open_soon(Wire& w, int side, int64_t us) {
  clock_.in(us, [this, &w, side] { open(w, side); });
}

// Of a FIFO or a line.
void World::open(Wire& w, int side) {
  Node& n = *nodes_[side][0];
  if (&w != callers_[0].current || w.at[side] != nullptr) return;
  if (n.linked()) {
    // The older one: a stream's end will be seen by itself.
    if (n.wire->shape.search) close(n, true, false);
    if (n.linked()) return;
  }
  begin(n, w, side);
}

void World::place(Node& n, Wire& w, int side) {
  w.at[side] = &n;
  n.wire = &w;
  n.caller = w.caller;
  n.tx = w.pipe[side].get();
  n.rx = w.pipe[1 - side].get();
}

void World::begin(Node& n, Wire& w, int side) {
  place(n, w, side);
  LinkStart start;
  ++starts_;
  say(n, w.shape.lossy ? "opens lossy line" : w.shape.repeat ? "opens line" : w.shape.search ? "opens FIFO" : side == 0 ? "calls" : "accepts");
  snprintf(start.stamp, sizeof start.stamp, "20261123-%06u.%06u", static_cast<unsigned>(starts_ % 1000000), static_cast<unsigned>(rng_.below(1000000)));
  for (uint8_t& b : start.random) b = static_cast<uint8_t>(rng_.next());
  ids_.emplace_back();
  memcpy(ids_.back().data(), start.random + 4, 16);
  uint64_t& attempt = attempts_[&n];
  if (attempt == 0) attempt = rng_.next() << 32;
  start.attempt = ++attempt;
  start.rate = w.shape.rate;
  start.search = w.shape.search;
  start.repeat = w.shape.repeat;
  start.lossy = w.shape.lossy;
  start.asks = start.search ? n.mux.held() : side == 0;
  n.start(start);
  if (w.at[0] == nullptr || w.at[1] == nullptr || !w.shape.search || v03() || w.shape.noise_one_in > 0) return;
  // Both have it open now: whatever was in it, they find each other long before the handshake's time is over.
  const uint64_t closes = w.closes[0] + w.closes[1];
  clock_.in(10000000, [this, &w, closes] {
    if (w.closes[0] + w.closes[1] != closes || w.stalled || spoils()) return;
    SIM_EXPECT(fault_, w.at[0]->mux.up() && w.at[1]->mux.up(), "link " + std::to_string(w.number) + " is open at both ends, and not up");
  });
}

// Which of two held sessions takes the link, and may end by it.
static bool less_missed(const Node& a, const Node& b, unsigned caller) {
  if ((a.caller == caller) != (b.caller == caller)) return a.caller == caller;
  if ((a.mux.channels() == 0) != (b.mux.channels() == 0)) return a.mux.channels() == 0;
  return a.since < b.since;
}

// A stream has come to the acceptor.
void World::accept(Wire& w) {
  if (w.dead) return;
  Node* idle = nullptr;
  Node* oldest = nullptr;
  Node* held = nullptr;
  for (const std::unique_ptr<Node>& n : nodes_[1]) {
    if (!n->linked() && n->mux.held()) {
      if (held == nullptr || less_missed(*n, *held, w.caller)) held = n.get();
    } else if (!n->linked()) {
      if (idle == nullptr) idle = n.get();
    } else if (!n->mux.up() && (oldest == nullptr || n->since < oldest->since)) {
      oldest = n.get();
    }
  }
  if (idle == nullptr) idle = held;
  if (idle == nullptr && oldest != nullptr) {
    close(*oldest, true);
    idle = oldest;
  }
  if (idle != nullptr) {
    begin(*idle, w, 1);
    return idle->read_link();
  }
  ++counts_.refused;
  ask_older(w.caller, nullptr);
  w.pipe[1]->end(++w.closes[1]);
}

void World::ask_older(unsigned caller, const Node* but) {
  for (const std::unique_ptr<Node>& n : nodes_[1]) {
    if (n.get() == but || n->caller != caller) continue;
    if (n->mux.held()) {
      n->mux.hold_until(clock_.now() + seconds(5));
      forget(n->session);
    } else {
      n->probe(n->mux.dialect() == Dialect::v1 ? seconds(1) : seconds(10));
    }
  }
}

AskAnswer World::on_ask(Node& n, const Settings& ask) {
  ++counts_.asked_by[1 - side_of(n)];
  if (side_of(n) == 0) return AskAnswer::here;
  for (const std::unique_ptr<Node>& other : nodes_[1]) {
    if (other.get() == &n) continue;
    if (other->mux.is_stale(ask.attempt, n.mux.asks_again())) return AskAnswer::stale;
    if (!other->mux.has_session(ask.session)) continue;
    moves_to_ = other.get();
    return AskAnswer::elsewhere;
  }
  return AskAnswer::here;
}

void World::take_over(Node& to, Node& from) {
  ++counts_.moved;
  if (to.linked()) {
    ++counts_.replaced;
    to.mux.bye(ByeCode::replaced);
    to.pump();
    if (to.linked()) close(to, true);
  }
  Wire& w = *from.wire;
  LinkHandover handover;
  from.give(&handover);
  from.wire = nullptr;
  place(to, w, 1);
  const Err e = to.take(handover);
  if (e == Err::none) return;
  to.pump();
  if (to.wire == &w) lost(to, e);
}

// ---- links live

void World::came_up(Node& n) {
  Wire& w = *n.wire;
  const int side = side_of(n);
  say(n, n.mux.resumed() ? "resumes" : "begins a session");
  if (side == 0) callers_[w.caller].down_since = clock_.now() + seconds(1000000);
  if (n.mux.resumed()) {
    ++counts_.resumed;
  } else {
    ++counts_.new_sessions;
    if (owners_[n.session] != w.caller) {
      // All muxes were in use but this one, which was held for another connector.
      if (survives(n)) ++counts_.displaced;
      forget(n.session);
    }
    SIM_EXPECT(fault_, n.session == 0 || !survives(n), "a session that both know is replaced by a new one, link " + std::to_string(w.number));
    n.session = 0;
    for (size_t i = ids_.size(); i > 0 && n.session == 0; --i)
      if (n.mux.has_session(ids_[i - 1].data())) n.session = i;
    owners_[n.session] = w.caller;
    if (side == 1) ask_older(w.caller, &n);
  }
  SIM_EXPECT(fault_, n.mux.dialect() == Dialect::v03 || n.session != 0 || spoils(), "a session from nowhere");
  if (side == 1 && n.session != 0) {
    uint64_t& newest = newest_[n.session];
    SIM_EXPECT(fault_, w.number >= newest, "link " + std::to_string(w.number) + " takes the session away from link " + std::to_string(newest));
    newest = w.number;
  }
  // The answer is in the mux yet.
  if (w.trap == Wire::Trap::answer_is_lost && side == 1 && w.at[0] != nullptr) {
    ++counts_.lost_answers;
    clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(w.shape.pipe[1].delay_us + 2))), [this, &w] { cut(w); });
  }
}

void World::pumped(Node& n) {
  if (n.wire == nullptr || side_of(n) != 0) return;
  Wire& w = *n.wire;
  if (w.trap == Wire::Trap::left_at_once && n.mux.tx_idle()) return give_up(w);
  if (w.trap != Wire::Trap::ask_is_late || n.mux.state() != Mux::State::ask || !n.mux.tx_idle()) return;
  ++counts_.late_asks;
  w.pipe[0]->late(clock_.now() + micros(static_cast<int64_t>(rng_.below(kLatest))));
  give_up(w);
}

}  // namespace sim
