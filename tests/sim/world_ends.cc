// How the links of a world end, and what they may end with. Read next: world.h.
#include <stdio.h>

#include <algorithm>

#include "tests/sim/world.h"

namespace sim {

using namespace smx;

// Before its mux hears of it.
void World::ending(Node& n) {
  if (survives(n)) return;
  n.for_each_live([](Sock& s) { s.conn->whole = false; });
}

// What a link may end with.
void World::judge(const Node& n, Err e) {
  say(n, std::string("loses") + (e == Err::none ? "" : std::string(" it: ") + name(e)));
  if (spoils()) return;
  const Wire& w = *n.wire;
  const int side = side_of(n);
  bool fine = false;
  switch (e) {
    case Err::none: fine = w.closes[1 - side] > 0; break;
    case Err::silent:
    case Err::handshake_timeout: fine = w.troubled || w.at[1 - side] == nullptr || n.probed != kNever; break;
    case Err::restarted: fine = w.shape.search; break;
    // All other muxes were in use, so it sat on one that was held, and a link that had come before asked for that session.
    case Err::said_bye: fine = side == 0 && !w.shape.search && shape_.seats > 1 && !n.mux.up() && n.mux.peer_bye() == static_cast<uint8_t>(ByeCode::replaced); break;
    case Err::stale: fine = side == 1 && w.at[0] == nullptr && !w.shape.search; break;
    default: break;
  }
  // 0.3 can't tell a late answer, or the rest of an earlier run, from what it waits for.
  if (fine || (w.shape.search && v03())) return;
  const Header& h = n.mux.last_header();
  char text[200];
  snprintf(text, sizeof text, "%s ends link %u: %s %d (%02x %02x said %04x raid %04x length %u)", side == 0 ? "C" : "A",
           static_cast<unsigned>(w.number), name(e), n.mux.peer_bye(), h.version, h.type, h.said, h.raid, h.length);
  fault_.set(__FILE__, __LINE__, text);
}

void World::lost(Node& n, Err e) {
  Wire& w = *n.wire;
  if (e == Err::none && w.shape.search && !n.mux.up()) {
    // Of the run before: the next writer is waited for.
    n.rx->take_end();
    return n.read_link();
  }
  judge(n, e);
  if (fault_.any()) return;
  if (e == Err::stale) ++counts_.stale;
  if (e == Err::restarted) ++counts_.restarted;
  const bool fault = e >= Err::bad_version && e <= Err::own_echo && e != Err::restarted;
  const bool ends = fault || e == Err::session_broken || (e == Err::said_bye && (n.mux.peer_bye() & 0x80) != 0);
  close(n, !ends);
}

// `again`: what follows an end follows.
void World::close(Node& n, bool keep, bool again) {
  Wire& w = *n.wire;
  const int side = side_of(n);
  const bool held = survives(n) && n.mux.confirmed();
  Time& down_since = callers_[w.caller].down_since;
  if (side == 0 && (n.mux.up() || down_since > clock_.now())) down_since = clock_.now();
  n.stop(keep);
  SIM_EXPECT(fault_, !held || !keep || n.mux.held(), "a session that both know is not held");
  if (n.probed != kNever) {
    // Its peer may have started anew: it is held briefly.
    n.mux.hold_until(clock_.now() + seconds(5));
    forget(n.session);
  }
  n.wire = nullptr;
  n.tx = n.rx = nullptr;
  w.at[side] = nullptr;
  ++w.closes[side];
  if (!w.shape.repeat) w.pipe[side]->end(w.closes[side]);
  if (!w.shape.search || w.shape.repeat) w.pipe[1 - side]->discard();
  if (w.shape.search && w.at[1 - side] == nullptr) {
    // What is in a FIFO is gone when nobody has it open.
    for (const std::unique_ptr<Pipe>& p : w.pipe) p->cut();
  }
  // As Backoff does it, where a link has come and gone at once.
  fails_[side] = clock_.now() - n.since > seconds(1) ? 0 : std::min(fails_[side] + 1, 6u);
  if (!again) return;
  Wire& current = *callers_[w.caller].current;
  if (current.shape.search && (&current == &w || side == 1))
    return open_soon(current, side, static_cast<int64_t>(rng_.below(uint64_t{100000} << fails_[side])));
  if (side == 0) dial_soon(w.caller);
}

// Both sides lose it, each at its time, and all that is on its way is lost.
void World::cut(Wire& w) {
  if (w.at[0] == nullptr && w.at[1] == nullptr) return;
  const int first = static_cast<int>(rng_.below(2));
  for (const std::unique_ptr<Pipe>& p : w.pipe) p->cut();
  if (w.shape.search) {
    // Both see it, and open it or the next one again.
    for (int side : {first, 1 - first})
      if (w.at[side] != nullptr) close(*w.at[side], true, false);
    if (&w != callers_[w.caller].current) return;
    if (rng_.one_in(2)) return dial_soon(w.caller);
    for (int side = 0; side < 2; ++side) open_soon(w, side, static_cast<int64_t>(rng_.below(100000)));
    return;
  }
  w.dead = true;
  const bool late = shape_.late && rng_.one_in(3);
  const auto ends = [this, &w](int side) {
    for (const std::unique_ptr<Pipe>& p : w.pipe) p->cut();
    ++w.closes[1 - side];
    if (w.at[side] != nullptr) lost(*w.at[side], Err::none);
  };
  ends(first);
  clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(late ? kLatest : 5000))), [ends, first] { ends(1 - first); });
}

// The connector leaves it; what it has said there arrives, maybe late.
void World::give_up(Wire& w) {
  if (w.at[0] == nullptr || w.shape.search) return;
  w.troubled = true;
  if (shape_.late && rng_.one_in(2)) w.pipe[0]->late(clock_.now() + micros(static_cast<int64_t>(rng_.below(kLatest))));
  close(*w.at[0], true);
}

// The connector's process dies, and another one comes. What the old one has said may still arrive.
void World::die(Wire& w) {
  Node& n = *w.at[0];
  ++counts_.deaths;
  forget(n.session);
  attempts_[&n] = 0;
  close(n, false);
}

// Nobody is to keep this session.
void World::forget(uint64_t session) {
  if (session == 0) return;
  known_[session] = kForgotten;
  for (const std::unique_ptr<Conn>& c : conns_)
    if (c->client.session == session || c->server.session == session) c->whole = c->whole && c->client.done && c->server.done;
}

// Something happens to the link of the moment.
void World::disconnect(unsigned caller) {
  Wire& w = *callers_[caller].current;
  if (w.at[0] == nullptr && w.at[1] == nullptr) return;
  if (w.shape.search && rng_.one_in(3)) {
    // One side starts anew alone. On a line without frames that is safe only between two packets.
    const int side = static_cast<int>(rng_.below(2));
    if (w.at[side] != nullptr && (!w.shape.repeat || w.shape.lossy || w.at[side]->mux.tx_idle())) close(*w.at[side], true);
    return;
  }
  if (!w.shape.search && w.at[0] != nullptr && rng_.one_in(8)) return die(w);
  if (!w.shape.search && rng_.one_in(3)) return give_up(w);
  if (!w.shape.search && shape_.late && !(shape_.config[0].hold < seconds(300)) && !(shape_.config[1].hold < seconds(300)) && rng_.one_in(4)) {
    // Nobody hears of it.
    w.troubled = true;
    for (const std::unique_ptr<Pipe>& p : w.pipe) p->late(clock_.now() + seconds(200));
    return;
  }
  cut(w);
}

}  // namespace sim
