// The part of the daemon that knows which links there are, and who is to have them. Read next: daemon.h, daemon.cc.
#include "config/parse.h"
#include "daemon.h"

namespace smx {

// How many sessions there can be. Of a hub: one for each peer that the file names, and for some that it may name later (HUP);
// a link that comes again takes another one until its peer has said which session it wants, as many as may shake hands.
void Daemon::count_links() {
  bool accepts = false, connects = false, lines = false;
  for (const LinkSpec& l : config_.links) {
    (is_way_in(config_, l) ? accepts : connects) = true;
    lines = lines || (is_way_in(config_, l) && l.kind != LinkSpec::Kind::accept_tcp);
  }
  links_count_ = config_.max_links != 0 ? config_.max_links : accepts ? 16 : 1;
  if (secure_ != nullptr && accepts && config_.max_links == 0) {
    const uint32_t peers = static_cast<uint32_t>(secure_->peers().list().count());
    links_count_ += peers + peers / 4 + config_.max_half_open;
  }
  if (accepts && connects) ++links_count_;
  if (lines) ++links_count_;  // for a link that comes beside the line, to take its session over
  if (links_count_ > Sessions::kMost) links_count_ = Sessions::kMost;
}

// Links that have to prove themselves before a session takes them.
uint32_t Daemon::trials() const {
  if constexpr (!kHasFailover) return 0;
  uint32_t made = 0, lines = 0;
  for (const LinkSpec& l : config_.links)
    if (l.kind != LinkSpec::Kind::accept_tcp) ++(is_way_in(config_, l) ? lines : made);
  return made > 1 ? made + lines : lines;
}

// One way to make the link is the session's own; several have an order.
bool Daemon::make_ways() {
  if constexpr (!kHasFailover) return true;
  static_assert(kMaxLinks <= Ways::kMost);
  static_assert(kMaxLinks <= Sessions::kWatchers);
  if (dialers_ > 1) {
    ways_ = tables_.create<Ways>(reactor_, sessions_.at(0));
    if (ways_ == nullptr) return false;
    for (uint32_t i = 0; i < dialers_; ++i)
      if (!ways_->add(*dialer_[i], longest_pause(), mux_, tables_)) return false;
  }
  way_in_ = tables_.raw<WayIn*>(ways_in_ + 1);
  if (way_in_ == nullptr) return false;
  for (uint32_t i = 0; i < ways_in_; ++i) {
    way_in_[i] = tables_.create<WayIn>(reactor_, sessions_, *line_dialer_[i]);
    if (way_in_[i] == nullptr || !way_in_[i]->init(mux_, tables_)) return false;
  }
  return true;
}

void Daemon::start_links() {
  const Time now = reactor_.now();
  if (ways_ != nullptr) sessions_.at(0).start(*ways_, now);
  else if (dialers_ > 0) sessions_.at(0).start(*dialer_[0], longest_pause(), now);
  for (uint32_t i = 0; i < ways_in_; ++i) way_in_[i]->start(longest_pause(), now);
}

}  // namespace smx
