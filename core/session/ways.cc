// Read next: ways.h.
#include "core/session/ways.h"

#include "core/base/check.h"
#include "core/io/clock.h"
#include "core/io/log.h"

namespace smx {

bool Ways::add(Dialer& dialer, Duration longest_pause, const MuxConfig& config, Arena& arena) {
  SMX_CHECK(count_ < kMost);
  Way* way = arena.create<Way>(reactor_, static_cast<TrialOwner&>(*this), dialer);
  if (way == nullptr || !way->trial.init(config, arena)) return false;
  way->backoff.set_longest(longest_pause);
  way_[count_++] = way;
  return true;
}

uint32_t Ways::index_of(const Trial& trial) const {
  uint32_t i = 0;
  while (&way_[i]->trial != &trial) ++i;
  return i;
}

// ---- when each way is tried

// Tried later each time, while a worse one serves.
void Ways::put_off(Way& way, Time now) {
  way.due = now + way.pause;
  way.pause = way.pause * 2 < kLate ? way.pause * 2 : kLate;
}

// Says when each way that is not being tried is to be, and starts the timer for the first of them.
void Ways::plan(Time now) {
  Time next = kNever, from = now;
  for (const bool flaky : {false, true}) {  // the flaky ones behind all others
    for (uint32_t i = 0; i < count_; ++i) {
      Way& w = *way_[i];
      if (w.flaky != flaky || !is_tried(i)) continue;
      const bool running = w.trial.running();
      w.start = current_ >= 0 || w.due > from ? w.due : from;
      if (!running) next = earlier(next, w.start);
      const Time enough = (running ? w.since : w.start) + kHeadStart;
      if (w.failures == 0 && enough > from) from = enough;
    }
  }
  if (current_ >= 0 && !up_) next = earlier(next, since_ + kAnswer + session_.mux().pace().patience);
  if (current_ >= 0) next = earlier(next, doubtful_ ? now + kDoubt : doubt_at_);
  reactor_.timers().stop(timer_);
  if (next != kNever) reactor_.timers().start(timer_, next);
}

void Ways::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (current_ >= 0 && !up_ && since_ + kAnswer + session_.mux().pace().patience <= now) {
    session_.drop("HELLO was answered, and the ask for a session was not", now);
    return plan(now);
  }
  look_at_doubt(now);
  for (uint32_t i = 0; i < count_; ++i) {
    Way& w = *way_[i];
    if (!is_tried(i) || w.trial.running() || w.start > now) continue;
    if (current_ >= 0 && !may_move()) {  // channels are open that would end
      w.due = now + kSoon;
      continue;
    }
    w.since = now;
    w.trial.start(true, now);
  }
  plan(now);
}

// When the silence of a peer that was asked is too long.
Time Ways::doubt_begins() const {
  const Mux& mux = session_.mux();
  return current_ >= 0 && up_ && mux.asked() ? mux.heard_at() + kDoubt + mux.pace().patience : kNever;
}

// The link in doubt has come to life again, or it is time to look for another one.
void Ways::look_at_doubt(Time now) {
  const Time begins = doubt_begins();
  if (doubtful_ && begins > now) {
    doubtful_ = false;
    for (uint32_t i = 0; i < count_; ++i)
      if (!is_tried(i)) way_[i]->trial.cancel(now);
  }
  if (doubt_at_ > now) return;
  doubt_at_ = begins > now ? begins : kNever;
  if (begins > now) return;
  doubtful_ = true;
  for (uint32_t i = static_cast<uint32_t>(current_) + 1; i < count_; ++i) way_[i]->due = now;
  plan(now);  // says when each of them starts
}

// Bulk asks all the time, for the round trip: only if no answer comes is it a sign.
void Ways::on_link_asked(Time now) {
  if (stopped_ || doubtful_ || doubt_at_ != kNever) return;
  doubt_at_ = now + kDoubt + session_.mux().pace().patience;
  plan(now);
}

// Would channels survive a move, or are there none?
bool Ways::may_move() const { return session_.mux().resumes() || session_.mux().needs_no_link(); }

// Is it worth the link that we have? The host at its other end should be the same: only that one knows the session.
bool Ways::is_good(const Trial& trial) const {
  const Mux& mux = session_.mux();
  const Settings* ask = trial.ask();
  if (!session_.has_link()) return true;
  // No session goes on with another key, nor with none.
  if (!same_key(trial.link().peer_key(), session_.peer_key())) return mux.needs_no_link();
  if (ask != nullptr) return mux.has_session(ask->session) && !mux.is_stale(ask->attempt, trial.asks_again());
  if (mux.needs_no_link()) return true;
  return mux.resumes() && trial.dialect() == Dialect::v1 && hello_host(trial.peer_hello()) == hello_host(mux.peer_hello());
}

// ---- what becomes of them

void Ways::on_proven(Trial& trial, Time now) {
  const uint32_t i = index_of(trial);
  Way& w = *way_[i];
  look_at_doubt(now);
  if (!trial.running()) return plan(now);  // the link in doubt has come to life again
  SMX_CHECK(is_tried(i));
  if (!is_good(trial)) {
    trial.cancel(now);
    put_off(w, now);
    return plan(now);
  }
  if (is_behind(i)) way_[current_]->flaky = now - since_ < kLasting;
  current_ = static_cast<int>(i);
  doubtful_ = false;
  doubt_at_ = kNever;
  for (uint32_t k = 0; k < i; ++k) {
    Way& better = *way_[k];
    if (!better.flaky) better.pause = kSoon;
    if (!better.trial.running()) put_off(better, now);
  }
  for (uint32_t k = i + 1; k < count_; ++k) {
    way_[k]->trial.cancel(now);
    way_[k]->failures = 0;
  }
  up_ = false;
  since_ = now;
  LinkHandover handover;
  Link& link = trial.take(&handover, now);
  session_.take(link, handover, now);  // which may end at once, or be up at once
  plan(now);
}

void Ways::on_trial_failed(Trial& trial, Err e, std::string_view why, Time now) {
  (void)e;
  Way& w = *way_[index_of(trial)];
  // The first failure of an outage is news; the rest is not.
  ++w.failures;
  LogLine(w.failures == 1 ? LogLevel::warning : LogLevel::debug, "connect-failed")
      .kv("session", session_.number())
      .kv("to", trial.target())
      .kv("reason", why)
      .kv("tries", w.failures);
  if (current_ >= 0) {
    put_off(w, now);
  } else {
    uint32_t random = 0;
    fill_random(&random, sizeof random);
    w.due = now + w.backoff.next(now, random);
  }
  plan(now);
}

void Ways::on_link_up(Time now) {
  if (current_ < 0) return;  // the peer has called in, and asked for this session
  Way& w = *way_[current_];
  up_ = true;
  since_ = now;
  w.failures = 0;
  if (last_ >= 0 && last_ != current_) {
    LogLine(LogLevel::info, "link-moved")
        .kv("session", session_.number())
        .kv("from", way_[last_]->trial.target())
        .kv("to", w.trial.target())
        .kv("reason", current_ < last_ ? "a better link is there again" : "the better links are down");
  }
  last_ = current_;
  plan(now);
}

void Ways::on_link_wanted(Time now) {
  stopped_ = false;
  if (current_ >= 0) {
    Way& w = *way_[current_];
    w.flaky = !up_ || (now - since_ < kLasting && !session_.renews());
    if (!w.flaky) {
      w.backoff.reset();
      w.pause = kSoon;
    }
  }
  current_ = -1;
  up_ = doubtful_ = false;
  doubt_at_ = kNever;
  for (uint32_t i = 0; i < count_; ++i) {
    Way& w = *way_[i];
    uint32_t random = 0;
    fill_random(&random, sizeof random);
    if (!w.trial.running()) w.due = now + (w.flaky ? w.backoff.next(now, random) : Duration{0});
  }
  plan(now);
}

// HUP: nothing is too early, and nothing that takes long is waited for.
void Ways::retry_now(Time now) {
  if (stopped_) return;
  for (uint32_t i = 0; i < count_; ++i) {
    if (!is_tried(i)) continue;
    Way& w = *way_[i];
    w.trial.cancel(now);
    w.backoff.reset();
    w.pause = kSoon;
    w.failures = 0;
    w.flaky = false;
    w.due = now;
  }
  plan(now);
}

void Ways::stop(Time now) {
  stopped_ = true;
  for (uint32_t i = 0; i < count_; ++i) way_[i]->trial.cancel(now);
  reactor_.timers().stop(timer_);
}

}  // namespace smx
