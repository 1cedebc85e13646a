// Read next: secure_door.h.
#include "transport/secure_door.h"

#include "core/io/log.h"

namespace smx::secure {

namespace {

void log_refused(const Address& from, std::string_view why) {
  LogLine(LogLevel::warning, "link-refused").kv("peer", from).kv("reason", why);
}

}  // namespace

uint64_t SecureDoor::arena_bytes(uint32_t half_open) { return half_open * (sizeof(Shake) + 64) + sizeof(SecureDoor) + 64; }

bool SecureDoor::init(uint32_t half_open, const OwnKeys& own, const PeerBook& book, const Greeter* greeter, Arena& arena) {
  for (uint32_t i = 0; i < half_open; ++i) {
    Shake* s = arena.create<Shake>(reactor_, own, book);
    if (s == nullptr) return false;
    s->set_greeter(greeter);
    free_.push_back(s);
  }
  return true;
}

// Where a new link can wait: a free place, or that of one which is late while others wait, or was refused already.
Shake* SecureDoor::place_for(const Address& from, Time now) {
  uint32_t same = 0;
  Shake* late = nullptr;
  Shake* late_one_of_it = nullptr;
  for (Shakes* list : {&open_, &queued_, &known_}) {
    for (Shake* s = list->front(); s != nullptr; s = list->after(s)) {
      const bool is_same = is_same_place(s->from(), from);
      if (is_same) ++same;
      const bool is_late = s->state() == Shake::State::refusing || (s->state() == Shake::State::waits && now >= s->since() + kPatience);
      if (is_late && late == nullptr) late = s;
      if (is_late && is_same && late_one_of_it == nullptr) late_one_of_it = s;
    }
  }
  Shake* place = nullptr;
  if (same >= kOfOneAddress) {
    place = late_one_of_it;
  } else {
    place = free_.front();
    if (place == nullptr) place = late;
  }
  if (place == nullptr) return nullptr;
  if (place->state() != Shake::State::idle) {
    log_refused(place->from(), "no handshake yet, and a newer link needs its place");
    place->reset();
  }
  place->node.leave();
  return place;
}

bool SecureDoor::attach(Link& link, Time now) {
  const Address from = link.peer();
  if (!buckets_.has_some(from, now)) {
    log_refused(from, "too many failed handshakes");
    link.close(false);
    return false;
  }
  Shake* s = place_for(from, now);
  if (s == nullptr) {
    log_refused(from, "too many links that have not shown who they are (MAXIMA=halfopen)");
    link.close(false);
    return false;
  }
  open_.push_back(s);
  s->answer(link, Carrier::connection, {}, *this, now);
  return true;
}

void SecureDoor::on_message(Shake& shake, Time now) {
  (void)now;
  shake.node.leave();
  (buckets_.is_known(shake.from()) ? known_ : queued_).push_back(&shake);
  reactor_.at_end_of_turn(*this);
}

// One step of one handshake a turn, so that links that are up have their turn behind each.
void SecureDoor::on_task(Time now) {
  Shakes& list = known_.empty() ? queued_ : known_;
  Shake* s = list.front();
  if (s != nullptr) {
    s->step(now);
    if (s->state() != Shake::State::queued) {
      s->node.leave();
      (s->state() == Shake::State::idle ? free_ : open_).push_back(s);
    }
  }
  if (!known_.empty() || !queued_.empty()) reactor_.at_end_of_turn(*this);
}

void SecureDoor::on_shaken(Shake& shake, Time now) {
  buckets_.praise(shake.from(), now);
  const Address from = shake.from();
  SecureLink* link = links_.make(shake, now);
  give(shake);
  if (link == nullptr) return log_refused(from, "no room for another link");
  static_cast<void>(sessions_.attach(*link, now));
}

void SecureDoor::on_shake_failed(Shake& shake, Time now) {
  buckets_.charge(shake.from(), now);
  log_refused(shake.from(), shake.why());
  shake.reset();
  give(shake);
}

void SecureDoor::give(Shake& shake) {
  shake.node.leave();
  free_.push_back(&shake);
}

}  // namespace smx::secure
