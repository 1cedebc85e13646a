// One direction of a connection, and its path. Read next: network.h.
#include <string.h>

#include <algorithm>

#include "tests/simos/network.h"
#include "tests/simos/pair.h"

namespace simos {

namespace {
// How long a sender goes on that hears nothing: tcp_retries2 of tcp(7) makes it 15 minutes; this is TCP_USER_TIMEOUT of some.
constexpr Micros kGivesUp = 300 * kSecond;
enum Event { kDue, kSevered, kGiveUp };
}  // namespace

void Stream::put(const uint8_t* bytes, size_t n, bool urgent) {
  if (severed_) return world->after(path_.delay, *this, kSevered);
  if (urgent) urgent_at = wrote;
  if (lost_) {  // it lies in the sender's buffer
    if (wrote == arrived) world->after(kGivesUp, *this, kGiveUp);
    wrote += n;
    return;
  }
  if (over_) {  // nobody is there to read it, and its host will say so
    wrote += n;
    due_.push_back({std::max(world->now + path_.delay, due_.empty() ? 0 : due_.back().when), wrote, Mark::data});
    return schedule();
  }
  size_t size = ring_.size();
  if (static_cast<size_t>(wrote - taken) + n > size) {
    const size_t need = static_cast<size_t>(wrote - taken) + n;
    size_t larger = size == 0 ? 1024 : size;
    while (larger < need) larger *= 2;
    std::vector<uint8_t> bigger(larger);
    for (uint64_t i = taken; i < wrote; ++i) bigger[i & (larger - 1)] = ring_[i & (size - 1)];
    ring_.swap(bigger);
    size = larger;
  }
  const size_t at = static_cast<size_t>(wrote) & (size - 1), first = std::min(n, size - at);
  memcpy(ring_.data() + at, bytes, first);
  memcpy(ring_.data(), bytes + first, n - first);
  if (path_.flips > 0 && world->random.below(1000000) < static_cast<uint64_t>(path_.flips) * n)
    ring_[(wrote + world->random.below(static_cast<uint32_t>(n))) & (size - 1)] ^= static_cast<uint8_t>(1u << world->random.below(8));
  wrote += n;
  busy_until_ = std::max(busy_until_, world->now) + static_cast<Micros>(n) * path_.us_per_kb / 1024;
  Micros when = busy_until_ + path_.delay;
  if (path_.jitter > 0) when += world->random.below(static_cast<uint32_t>(path_.jitter));
  if (!due_.empty() && when < due_.back().when) when = due_.back().when;
  // Large ones come in pieces.
  if (n > 1 && path_.odd > 0 && world->random.chance(path_.odd)) due_.push_back({when, wrote - 1 - world->random.below(static_cast<uint32_t>(n - 1)), Mark::data});
  due_.push_back({when, wrote, Mark::data});
  schedule();
}

size_t Stream::take(uint8_t* bytes, size_t n) {
  n = std::min(n, unread());
  // A read ends in front of the urgent byte.
  if (urgent_at != UINT64_MAX && taken < urgent_at && taken + n > urgent_at) n = static_cast<size_t>(urgent_at - taken);
  const size_t size = ring_.size(), at = static_cast<size_t>(taken) & (size - 1), first = std::min(n, size - at);
  memcpy(bytes, ring_.data() + at, first);
  memcpy(bytes + first, ring_.data(), n - first);
  taken += n;
  if (urgent_at < taken) urgent_at = UINT64_MAX;
  return n;
}

void Stream::put_end() {
  if (end_put || reset_put) return;
  end_put = true;
  if (lost_) return;
  const Micros when = std::max(busy_until_, world->now) + path_.delay;
  due_.push_back({due_.empty() ? when : std::max(when, due_.back().when), wrote, Mark::end});
  schedule();
}

// What was not delivered by now may be lost with it.
void Stream::put_reset() {
  if (reset_put) return;
  reset_put = true;
  if (lost_) return;
  if (world->random.chance(50)) due_.clear();
  const Micros when = world->now + path_.delay;
  due_.push_back({due_.empty() ? when : std::max(when, due_.back().when), arrived, Mark::reset});
  schedule();
}

void Stream::schedule() {
  if (scheduled_ || due_.empty() || path_.stalled || lost_) return;
  scheduled_ = true;
  world->at(due_.front().when, *this, kDue);
}

void Stream::kick() { schedule(); }

void Stream::lose() {
  lost_ = true;
  due_.clear();
  if (wrote > arrived) world->after(kGivesUp, *this, kGiveUp);
}

// A box in the middle ends it, behind what is under way; the sender does not know.
void Stream::sever() {
  put_end();
  severed_ = true;
}

void Stream::pass(uint64_t at, const std::vector<File*>& files) {
  for (File* f : files) passed_.push_back({at, f});
}

size_t Stream::until_next_passed(size_t n) const {
  for (const Passed& p : passed_)
    if (p.at > passed_.front().at) return std::min(n, static_cast<size_t>(p.at - taken));
  return n;
}

std::vector<File*> Stream::passed_before(uint64_t end) {
  std::vector<File*> files;
  for (; !passed_.empty() && passed_.front().at < end; passed_.pop_front()) files.push_back(passed_.front().file);
  return files;
}

void Stream::free_memory() {
  for (File* f : passed_before(UINT64_MAX)) let_go(f);
  over_ = true;
  std::vector<uint8_t>().swap(ring_);
  taken = wrote;
  if (from != nullptr && from->state != Tcp::State::closed) from->poke();
}

void Stream::on_event(int what) {
  if (what == kSevered) {  // bytes behind the end that somebody in the middle has made
    if (from->state == Tcp::State::connected) from->got_reset(ECONNRESET);
    return;
  }
  if (what == kGiveUp) {
    if (from->state == Tcp::State::connected && wrote > arrived) from->got_reset(ETIMEDOUT);
    return;
  }
  scheduled_ = false;
  if (path_.stalled || lost_) return;
  bool news = false;
  while (!due_.empty() && due_.front().when <= world->now) {
    const Due d = due_.front();
    due_.pop_front();
    news = true;
    if (d.mark == Mark::reset) {
      dead_reset_ = true;
      due_.clear();
      to->got_reset(ECONNRESET);
      return;
    }
    if (d.upto > arrived) arrived = d.upto;
    if (over_) taken = arrived;
    if (d.mark == Mark::end) end_arrived = true;
    if (d.mark == Mark::data && to->state == Tcp::State::closed) {
      // Bytes for a socket that is closed: its host says so.
      to->out->put_reset();
    }
  }
  schedule();
  if (news && to->state != Tcp::State::closed) to->poke();
}

// ---- a path

void Path::stall(bool on) {
  if (stalled == on) return;
  stalled = on;
  SIM_TRACE("path %s\n", on ? "stalls" : "goes on");
  if (on) return;
  for (Stream* s : streams) s->kick();
}

void Path::cut(Cut how) {
  static constexpr const char* kHow[] = {"reset", "end", "silence"};
  SIM_TRACE("path is cut: %s\n", kHow[static_cast<int>(how)]);
  std::vector<Stream*> all;
  all.swap(streams);
  for (Stream* s : all) {
    if (how == Cut::silence) {
      s->lose();
    } else if (how == Cut::reset) {
      s->lose();
      if (s->to->state == Tcp::State::connected) s->to->got_reset(ECONNRESET);
    } else {
      s->sever();
    }
  }
}

}  // namespace simos
