// Read next: secure_door.h.
#include "transport/secure_door.h"

#include "core/io/clock.h"
#include "core/io/log.h"

namespace smx::secure {

namespace {

// Has said nothing for so long that a newer link may have its place.
bool is_late(const Shake& s, Time now) {
  const bool waits = s.state() == Shake::State::waits || s.state() == Shake::State::answered;
  return s.state() == Shake::State::refusing || (waits && now >= s.since() + SecureDoor::kPatience);
}

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

// Where a new link can wait: a free place, or that of one which is late while others wait, or was refused already. nullptr:
// nowhere; `crowded` if there are too many of its address.
Shake* SecureDoor::place_for(const Address& from, Time now, bool* crowded) {
  uint32_t same = 0;
  Shake* late = nullptr;
  Shake* late_one_of_it = nullptr;
  for (Shakes* list : {&open_, &queued_, &known_}) {
    for (Shake* s = list->front(); s != nullptr; s = list->after(s)) {
      const bool is_same = is_same_place(s->from(), from);
      if (is_same) ++same;
      if (!is_late(*s, now)) continue;
      if (late == nullptr) late = s;
      if (is_same && late_one_of_it == nullptr) late_one_of_it = s;
    }
  }
  *crowded = same >= kOfOneAddress;
  Shake* place = *crowded ? late_one_of_it : free_.front();
  if (place == nullptr && !*crowded) place = late;
  if (place == nullptr) return nullptr;
  if (place->state() != Shake::State::idle) {
    charge(*place, now);
    log_refused(place->from(), place->state() == Shake::State::refusing ? place->why() : "no handshake yet, and a newer link needs its place");
    place->reset();
  }
  place->node.leave();
  return place;
}

bool SecureDoor::attach(Link& link, Time now) {
  if (waiting_ != nullptr) {
    // Of another acceptor, which did not ask.
    link.close(false);
    return false;
  }
  return let_in(link, now);
}

bool SecureDoor::has_room(Task& task) {
  if (waiting_ == nullptr) return true;
  if (!task.task_node.listed()) acceptors_.push_back(&task);
  return false;
}

// False: it was closed.
bool SecureDoor::let_in(Link& link, Time now) {
  const Address from = link.peer();
  if (!buckets_.has_some(from, now)) {
    log_refused(from, "too many failed handshakes");
    link.close(false);
    return false;
  }
  bool crowded = false;
  Shake* s = place_for(from, now, &crowded);
  if (s == nullptr && crowded && !buckets_.is_known(from)) {
    log_refused(from, "too many links from there that have not shown who they are");
    link.close(false);
    return false;
  }
  if (s == nullptr) {
    waiting_ = &link;
    wait(now);
    return true;
  }
  s->charged = false;
  open_.push_back(s);
  s->answer(link, Carrier::connection, {}, *this, now);
  return true;
}

// Until the first of those that are open is late, if no place is free before.
void SecureDoor::wait(Time now) {
  Time next = now + kPatience;
  for (Shake* s = open_.front(); s != nullptr; s = open_.after(s)) {
    const Time late = s->since() + kPatience;
    if (late > now) next = earlier(next, late);
  }
  reactor_.timers().stop(timer_);
  reactor_.timers().start(timer_, next);
}

void SecureDoor::let_in_waiting(Time now) {
  if (waiting_ == nullptr) return;
  reactor_.timers().stop(timer_);
  Link& link = *waiting_;
  waiting_ = nullptr;
  static_cast<void>(let_in(link, now));
  if (waiting_ != nullptr) return;
  while (Task* t = acceptors_.front()) {
    t->task_node.leave();
    reactor_.at_end_of_turn(*t);
  }
}

void SecureDoor::on_timer(Timer& timer, Time now) {
  (void)timer;
  let_in_waiting(now);
}

void SecureDoor::on_message(Shake& shake, Time now) {
  (void)now;
  shake.node.leave();
  (buckets_.is_known(shake.from()) ? known_ : queued_).push_back(&shake);
  reactor_.at_end_of_turn(*this);
}

// One step of one handshake a turn, so that links that are up have their turn behind each. Where nothing else was ready in this
// turn there is time; else a step has to wait until nine times as long has passed as the last one took.
void SecureDoor::on_task(Time now) {
  let_in_waiting(now);
  const bool known = !known_.empty() && (queued_.empty() || ahead_ < kAhead);
  Shakes& list = known ? known_ : queued_;
  Shake* s = list.front();
  const Time begin = read_clock();
  if (s != nullptr && (reactor_.idle() || begin >= next_step_)) {
    s->step(now);
    ahead_ = known && !queued_.empty() ? ahead_ + 1 : 0;
    const Time end = read_clock();
    next_step_ = end + Duration{(end - begin).us * (kShare - 1)};
    if (s->state() != Shake::State::queued) {
      s->node.leave();
      (s->state() == Shake::State::idle ? free_ : open_).push_back(s);
      if (s->state() == Shake::State::refusing) charge(*s, now);
      place_is_free();
    }
  }
  if (!known_.empty() || !queued_.empty()) reactor_.at_end_of_turn(*this);
}

void SecureDoor::on_shaken(Shake& shake, Time now) {
  buckets_.praise(shake.from());
  const Address from = shake.from();
  SecureLink* link = links_.make(shake, nullptr, now);
  give(shake);
  if (link == nullptr) return log_refused(from, "no room for another link");
  static_cast<void>(sessions_.attach(*link, now));
}

void SecureDoor::on_shake_failed(Shake& shake, Time now) {
  charge(shake, now);
  log_refused(shake.from(), shake.why());
  shake.reset();
  give(shake);
}

// Once for each link.
void SecureDoor::charge(Shake& shake, Time now) {
  if (!shake.charged && !shake.is_blameless()) buckets_.charge(shake.from(), now);
  shake.charged = true;
}

void SecureDoor::give(Shake& shake) {
  shake.node.leave();
  free_.push_back(&shake);
  place_is_free();
}

// Not from within what a Shake does: it may be the place.
void SecureDoor::place_is_free() {
  if (waiting_ != nullptr) reactor_.at_end_of_turn(*this);
}

}  // namespace smx::secure
