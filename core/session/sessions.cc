// Read next: sessions.h.
#include "core/session/sessions.h"

#include <new>

#include "core/base/bytes.h"
#include "core/base/check.h"
#include "core/io/log.h"
#include "core/session/likeness.h"

namespace smx {

namespace {

// Of two held sessions: which one should take a link of `peer`, and end if that one asks for none of them. Its own, else
// of a clear link any clear one, since another ends at once; else one without channels, else the older one.
bool less_missed(const Session& a, const Session& b, const Address& peer, const PeerKey* key) {
  if (kHasKeys && same_key(a.peer_key(), key) != same_key(b.peer_key(), key)) return same_key(a.peer_key(), key);
  const auto own = [&](const Session& s) {
    return same_key(s.peer_key(), key) && (key != nullptr || (peer.family != 0 && same_ip(s.peer(), peer)));
  };
  if (own(a) != own(b)) return own(a);
  if ((a.mux().channels() == 0) != (b.mux().channels() == 0)) return a.mux().channels() == 0;
  return a.link_since() < b.link_since();
}

PeerMarks marks_of(const Session& s) { return {s.mux().peer_name(), hello_host(s.mux().peer_hello()), s.peer()}; }

}  // namespace

// All that one session takes.
static constexpr size_t kPage = 4096;
static uint64_t session_bytes(const MuxConfig& config) { return Session::arena_bytes(config) + sizeof(Session) + kPage + 64; }

uint64_t Sessions::arena_bytes(const MuxConfig& config, uint32_t most) {
  return most * (session_bytes(config) + sizeof(Session*) + sizeof(Tag)) + 64;
}

bool Sessions::init(const MuxConfig& config, uint32_t most, Exit& exit, Arena& arena) {
  SMX_CHECK(most > 0 && most <= kMost);
  session_ = arena.raw<Session*>(most);
  tag_ = arena.raw<Tag>(most);
  if (session_ == nullptr || tag_ == nullptr) return false;
  const size_t bytes = static_cast<size_t>(most * session_bytes(config));
  void* memory = arena.take(bytes);
  if (memory == nullptr) return false;
  new (&arena_) Arena(memory, bytes);
  config_ = config;
  exit_ = &exit;
  most_ = most;
  return true;
}

void Sessions::make_next() {
  SMX_CHECK(count_ < most_);
  static_cast<void>(arena_.take(0, kPage));  // so that it touches as few pages as it can
  Session* s = arena_.create<Session>(reactor_, static_cast<SessionOwner&>(*this), *exit_, count_ + 1);
  SMX_CHECK(s != nullptr);
  const bool made = s->init(config_, arena_);
  SMX_CHECK(made);  // arena_bytes() has counted it
  session_[count_++] = s;
  s->mux().set_tap(tap_, s->number());
}

void Sessions::set_tap(MuxTap* tap) {
  tap_ = tap;
  for (uint32_t i = 0; i < count_; ++i) session_[i]->mux().set_tap(tap, session_[i]->number());
}

Session& Sessions::at(uint32_t i) {
  while (count_ <= i) make_next();
  return *session_[i];
}

uint32_t Sessions::tag_of(const PeerKey* key) { return key == nullptr ? kClear : load32(key->bytes) | 2; }

// FNV-1a
uint32_t Sessions::hash_of(std::string_view label) {
  uint32_t h = 2166136261u;
  for (const char c : label) h = (h ^ static_cast<uint8_t>(c)) * 16777619u;
  return h;
}

void Sessions::on_session_link(Session& session) { tag(session) = {tag_of(session.peer_key()), hash_of(session.peer_label())}; }

Session* Sessions::next_of(const PeerKey* key, uint32_t* at) {
  const uint32_t wanted = tag_of(key);
  while (*at < count_) {
    const uint32_t i = (*at)++;
    if (tag_[i].key == wanted && same_key(session_[i]->peer_key(), key)) return session_[i];
  }
  return nullptr;
}

// Where a link from `peer` can go; nullptr: nowhere.
Session* Sessions::place_for(const Address& peer, const PeerKey* key, Time now) {
  const auto is_idle = [](const Session& s) { return !s.dials() && !s.held() && s.state() == Session::State::idle && !s.has_link(); };
  for (uint32_t i = 0; i < count_; ++i)
    if (tag_[i].key == kNobody && is_idle(*session_[i])) return session_[i];
  if (count_ < most_) {
    make_next();
    return session_[count_ - 1];
  }
  Session* idle = nullptr;
  Session* oldest = nullptr;
  Session* oldest_of_it = nullptr;  // of this key
  Session* held = nullptr;
  for (uint32_t i = 0; i < count_; ++i) {
    Session& s = *session_[i];
    if (s.dials()) continue;
    if (s.held()) {
      if (held == nullptr || less_missed(s, *held, peer, key)) held = &s;
      continue;
    }
    if (is_idle(s)) {
      tag_[i].key = kNobody;  // it was held until now
      idle = &s;
    }
    const bool shaking = s.has_link() && !s.up() && s.state() == Session::State::up;
    if (!shaking) continue;
    if (oldest == nullptr || s.link_since() < oldest->link_since()) oldest = &s;
    if (key == nullptr || !same_key(s.peer_key(), key)) continue;
    if (oldest_of_it == nullptr || s.link_since() < oldest_of_it->link_since()) oldest_of_it = &s;
  }
  // A peer with a key takes its own held session, or the place of a link that is not up yet, of its own before others'; those
  // that others hold come last, so that no peer can end them by links that never say what they want; and who has none ends none of a key.
  if (idle == nullptr && held != nullptr && same_key(held->peer_key(), key)) idle = held;
  if (oldest_of_it != nullptr) oldest = oldest_of_it;
  if (idle == nullptr && oldest != nullptr) {
    oldest->drop("no handshake yet, and a newer link needs its place", now);
    idle = oldest;
  }
  if (idle == nullptr && key != nullptr) idle = held;
  return idle;
}

bool Sessions::attach(Link& link, Time now) {
  Session* place = place_for(link.peer(), link.peer_key(), now);
  if (place == nullptr) {
    LogLine(LogLevel::warning, "link-refused").kv("peer", link.peer_name()).kv("reason", "MAXIMA=links reached").kv("links", most_);
    ask_older(link.peer(), nullptr, now);  // if one of them is dead, the peer's next attempt finds its place
    link.close(false);
    return false;
  }
  place->attach(link, now);
  return true;
}

bool Sessions::take(Trial& trial, Time now) {
  const Settings* ask = trial.ask();
  Session* place = nullptr;
  const PeerKey* key = trial.link().peer_key();
  uint32_t at = 0;
  while (ask != nullptr && place == nullptr) {
    Session* s = next_of(key, &at);
    if (s == nullptr) break;
    if (s->mux().is_stale(ask->attempt, trial.asks_again())) return false;
    if (s->mux().has_session(ask->session)) place = s;
  }
  if (place == nullptr) place = place_for({}, key, now);
  if (place == nullptr) {
    LogLine(LogLevel::warning, "link-refused").kv("peer", trial.target()).kv("reason", "MAXIMA=links reached").kv("links", most_);
    return false;
  }
  LinkHandover handover;
  Link& link = trial.take(&handover, now);
  place->take(link, handover, now);
  return true;
}

AskAnswer Sessions::on_session_ask(Session& session, const Settings& ask) {
  uint32_t at = 0;
  while (Session* found = next_of(session.peer_key(), &at)) {
    Session& other = *found;
    if (&other == &session) continue;
    if (other.mux().is_stale(ask.attempt, session.mux().asks_again())) return AskAnswer::stale;
    if (!other.mux().has_session(ask.session)) continue;
    moves_to_ = &other;
    return AskAnswer::elsewhere;
  }
  return AskAnswer::here;
}

void Sessions::on_session_moved(Session& session, Time now) {
  moves_to_->take_over(session, now);
  if (!session.has_link() && !session.held()) tag(session).key = kNobody;
}

bool Sessions::may_open(Session& session, Time now) {
  if (opens_a_second_ == 0 || session.peer_key() == nullptr || session.dials()) return true;
  if (session.opens().take(opens_a_second_, now) && opens_.take(kAll * opens_a_second_, now)) return true;
  LogLine(LogLevel::warning, "channel-refused").kv("session", session.number()).kv("name", session.peer_label()).kv("reason", "more a second than MAXIMA=opens allows");
  return false;
}

// By turns; a session that was asked whether it still lives only if there is no other.
Session* Sessions::pick(Time now, std::string_view peer, bool makes_room) {
  Session* doubtful = nullptr;
  const uint32_t hash = hash_of(peer);
  const auto differs = [&](uint32_t i) { return tag_[i].key == kNobody || (!peer.empty() && tag_[i].label != hash); };
  for (uint32_t k = 0; k < count_; ++k) {
    const uint32_t i = next_ + k < count_ ? next_ + k : next_ + k - count_;
    if (differs(i)) continue;
    Session& s = *session_[i];
    if (!s.can_open() || !s.leads_to(peer)) continue;
    if (s.probed()) {
      doubtful = &s;
      continue;
    }
    return &s;
  }
  if (doubtful != nullptr) return doubtful;
  for (uint32_t k = 0; k < count_ && makes_room; ++k)
    if (!differs(k) && session_[k]->up() && session_[k]->leads_to(peer) && session_[k]->make_room(now)) break;
  return nullptr;
}

void Sessions::add_opener(Opener& opener) {
  SMX_CHECK(openers_ < kOpeners);
  opener_[openers_++] = &opener;
}

// A peer that comes again with a new session, while an older link from there seems to stand: that one is asked. It may be
// dead, with nothing in between to tell us (a router that lost power, a NAT that forgot). A session of it that is held
// will hardly be asked for again: it is kept for 5 s, or ends at once if its peer had the same name (SOXCONF=name).
// One at another address that only its host is called the same is asked, and held as long as any: many routers have one name.
void Sessions::on_session_up(Session& session, Time now) {
  if (session.mux().resumed()) return;
  if (session.peer_key() != nullptr) replace_older(session, now);
  else ask_older(session.peer(), &session, now);
}

// Whose key it is, is known: no need to ask whether the older link still lives. But two that call each other have two links: there one
// says nothing about the other, which may be dead.
void Sessions::replace_older(const Session& session, Time now) {
  uint32_t at = 0;
  while (Session* found = next_of(session.peer_key(), &at)) {
    Session& other = *found;
    if (&other == &session) continue;
    if (other.dials() != session.dials()) {
      if (other.held()) other.hold_until(now + seconds(5));
      else if (other.up()) other.doubt(seconds(1), now);
      continue;
    }
    if (other.has_link() && !other.dials()) count_turn(session, other.peer(), now);
    if (other.held() || !other.dials()) other.end(ByeCode::replaced, "replaced by a newer link", now);
  }
}

// A key on two machines: they take the link from each other for ever. Said once a minute.
void Sessions::count_turn(const Session& session, const Address& other, Time now) {
  const PeerKey* key = session.peer_key();
  if (key == nullptr) return;
  Turns* t = &turns_[0];
  for (Turns& x : turns_) {
    if (x.count > 0 && x.key == *key) {
      t = &x;
      break;
    }
    if (x.since < t->since) t = &x;
  }
  if (t->count == 0 || t->key != *key || now > t->since + seconds(60)) *t = {*key, now, 0};
  if (++t->count != kOften) return;
  LogLine(LogLevel::warning, "peer-twice").kv("name", session.peer_label()).kv("peer", session.peer()).kv("other", other).kv("reason", "taken over again and again: is its key on two machines?");
}

void Sessions::ask_older(const Address& peer, const Session* but, Time now) {
  const PeerMarks marks = but == nullptr ? PeerMarks{{}, {}, peer} : marks_of(*but);
  for (uint32_t i = 0; i < count_; ++i) {
    if (tag_[i].key != kClear) continue;
    Session& other = *session_[i];
    if (&other == but || (!other.up() && !other.held()) || other.peer_key() != nullptr) continue;
    const Likeness like = likeness(marks, marks_of(other));
    if (like == Likeness::other) continue;
    if (like == Likeness::maybe) {
      other.probe(seconds(10), now);
    } else if (other.held()) {
      other.hold_until(like == Likeness::is ? now : now + seconds(5));
    } else {
      other.doubt(other.mux().dialect() == Dialect::v1 ? seconds(1) : seconds(10), now);
    }
  }
}

void Sessions::add_watcher(LinkWatcher& watcher) {
  SMX_CHECK(watchers_ < kWatchers);
  watcher_[watchers_++] = &watcher;
}

void Sessions::on_session_lost(Session& session, const Link& link, Time now) {
  if (!session.has_link() && !session.held()) tag(session).key = kNobody;
  for (int i = 0; i < watchers_; ++i) watcher_[i]->on_link_closed(link, now);
}

void Sessions::on_session_room(Session& session, Time now) {
  (void)session;
  (void)now;
  reactor_.at_end_of_turn(*this);
}

void Sessions::on_task(Time now) {
  for (int i = 0; i < openers_; ++i) opener_[i]->on_room(now);
}

void Sessions::retry_now(Time now) {
  for (uint32_t i = 0; i < count_; ++i) session_[i]->retry_now(now);
}

void Sessions::shut(ByeCode code, Time now) {
  for (uint32_t i = 0; i < count_; ++i) session_[i]->shut(code, now);
}

void Sessions::end_all(Time now) {
  for (uint32_t i = 0; i < count_; ++i) session_[i]->mux().end_all(now);
}

bool Sessions::any_link() const {
  for (uint32_t i = 0; i < count_; ++i)
    if (session_[i]->has_link()) return true;
  return false;
}

uint32_t Sessions::most_own(std::string_view peer) const {
  uint32_t n = 0;
  for (uint32_t i = 0; i < count_; ++i)
    if (session_[i]->up() && session_[i]->leads_to(peer)) n += session_[i]->mux().most_own();
  return n;
}

uint32_t Sessions::channels() const {
  uint32_t n = 0;
  for (uint32_t i = 0; i < count_; ++i) n += session_[i]->mux().channels();
  return n;
}

}  // namespace smx
