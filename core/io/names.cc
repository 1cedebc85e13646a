// Read next: names.h.
#include "core/io/names.h"

#include "core/base/check.h"
#include "core/io/log.h"

namespace smx {

bool Names::init(const std::string_view* names, size_t count, size_t most, Arena& arena) {
  name_ = arena.raw<Name>(most);
  most_ = most;
  if (most > 0 && name_ == nullptr) return false;
  renew(names, count);
  return true;
}

void Names::renew(const std::string_view* names, size_t count) {
  for (size_t i = 0; i < count_; ++i) {
    Name& n = name_[i];
    size_t k = 0;
    while (k < count && n.text != names[k]) ++k;
    if (k == count && n.waiting()) resolver_.cancel(n);
    n.text = k == count ? std::string_view() : names[k];
  }
  for (size_t k = 0; k < count; ++k) {
    size_t i = 0;
    while (i < count_ && name_[i].text != names[k]) ++i;
    if (i < count_) continue;
    for (i = 0; i < count_ && !name_[i].text.empty();) ++i;
    SMX_CHECK(i < most_);
    if (i == count_) ++count_;
    Name& n = *new (&name_[i]) Name();
    n.text = names[k];
    n.table = this;
  }
}

void Names::refresh(Time now) {
  for (size_t i = 0; i < count_; ++i) name_[i].due = now;
  if (count_ > 0) reactor_.timers().start(timer_, now);
}

void Names::on_timer(Timer& timer, Time now) {
  (void)timer;
  int out = 0;
  Time next = now + kAgain;
  for (size_t i = 0; i < count_; ++i) {
    Name& n = name_[i];
    if (n.text.empty()) continue;
    if (n.waiting()) {
      ++out;
      continue;
    }
    if (n.due <= now && out < kAtOnce) {
      Resolved answer;
      if (resolver_.resolve(n, n.text, 0, &answer)) {
        took(n, answer, now);
      } else {
        ++out;
        continue;
      }
    }
    next = earlier(next, n.due <= now ? now + millis(100) : n.due);
  }
  reactor_.timers().start(timer_, next);
}

void Names::Name::on_resolved(const Resolved& answer, Time now) {
  table->took(*this, answer, now);
  Timer& timer = table->timer_;
  table->reactor_.timers().start(timer, timer.running() ? earlier(timer.deadline(), due) : due);
}

void Names::took(Name& n, const Resolved& answer, Time now) {
  if (answer.count > 0) {
    n.last = answer;
    n.good_until = now + kStale;
    n.due = now + kAgain;
    return;
  }
  n.due = now + kRetry;
  LogLine(LogLevel::warning, "name-unresolved").kv("name", n.text).kv("reason", gai_text(answer.error));
}

Names::Answer Names::has_address(std::string_view name, const Address& address, Time now) const {
  for (size_t i = 0; i < count_; ++i) {
    const Name& n = name_[i];
    if (n.text != name) continue;
    if (n.last.count == 0 || n.good_until < now) return Answer::unknown;
    for (int k = 0; k < n.last.count; ++k)
      if (same_ip(n.last.address[k], address)) return Answer::yes;
    return Answer::no;
  }
  return Answer::unknown;
}

}  // namespace smx
