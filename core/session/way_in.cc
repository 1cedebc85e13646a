// Read next: way_in.h.
#include "core/session/way_in.h"

#include "core/io/clock.h"
#include "core/io/log.h"

namespace smx {

namespace {
// A trial or a link that lasted so long is no reason to wait before the next.
constexpr Duration kLasted = seconds(1);
}  // namespace

void WayIn::start(Duration longest_pause, Time now) {
  backoff_.set_longest(longest_pause);
  sessions_.add_watcher(*this);
  try_again(false, now);
}

void WayIn::try_again(bool later, Time now) {
  uint32_t random = 0;
  fill_random(&random, sizeof random);
  reactor_.timers().start(timer_, later ? now + backoff_.next(now, random) : now);
}

void WayIn::on_timer(Timer& timer, Time now) {
  (void)timer;
  since_ = now;
  trial_.start(false, now);
}

void WayIn::retry_now(Time now) {
  if (!timer_.running()) return;
  backoff_.reset();
  reactor_.timers().start(timer_, now);
}

void WayIn::on_new_peers(Time now) {
  if (!trial_.running()) return;
  trial_.cancel(now);
  try_again(false, now);
}

void WayIn::stop(Time now) {
  reactor_.timers().stop(timer_);
  trial_.cancel(now);
  stopped_ = true;
}

void WayIn::on_proven(Trial& trial, Time now) {
  since_ = now;
  failures_ = 0;
  link_ = &trial.link();
  if (sessions_.take(trial, now)) return;
  link_ = nullptr;
  trial.cancel(now);
  try_again(true, now);
}

void WayIn::on_trial_failed(Trial& trial, Err e, std::string_view why, Time now) {
  // Nobody is there: that is no news. Anything else is, once.
  const bool nobody = e == Err::handshake_timeout;
  if (!nobody) ++failures_;
  LogLine(!nobody && failures_ == 1 ? LogLevel::warning : LogLevel::debug, "connect-failed").kv("to", trial.target()).kv("reason", why).kv("tries", failures_);
  const bool lasted = now - since_ > kLasted;
  if (lasted) backoff_.reset();
  try_again(!lasted, now);
}

void WayIn::on_link_closed(const Link& link, Time now) {
  if (&link != link_) return;
  link_ = nullptr;
  if (stopped_) return;
  if (now - since_ > kLasted) backoff_.reset();
  try_again(true, now);
}

}  // namespace smx
