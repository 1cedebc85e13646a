// The table of streams: who is free, who lingers, who is dead until the end of the turn. Read next: stream.h, stream.cc.
#include "core/base/check.h"
#include "relay/stream.h"

namespace smx {

uint64_t Streams::arena_bytes(uint32_t count) {
  return count * (sizeof(Stream) + sizeof(Dial) + sizeof(Dial*)) + 256;
}

bool Streams::init(uint32_t count, Arena& arena) {
  NearNode* ends = arena.raw<NearNode>(3);
  streams_ = arena.raw<Stream>(count);
  dials_ = arena.raw<Dial>(count);
  free_dials_ = arena.raw<Dial*>(count);
  count_ = count;
  if (ends == nullptr || streams_ == nullptr || dials_ == nullptr || free_dials_ == nullptr) return false;
  free_.set_end(ends[0]);
  lingers_.set_end(ends[1]);
  dead_.set_end(ends[2]);
  return true;
}

Stream* Streams::make(Fd fd) {
  Stream* s = free_.front();
  if (s == nullptr) {
    if (fresh_ == count_) return nullptr;
    s = new (&streams_[fresh_++]) Stream(*this);
    free_.push_front(s);
  }
  if (fd.valid() && reactor_.watch(fd.get(), *s) != 0) return nullptr;
  s->node_.leave();
  s->fd_ = static_cast<Fd&&>(fd);
  ++used_;
  return s;
}

Dial& Streams::take_dial() {
  if (idle_dials_ > 0) return *free_dials_[--idle_dials_];
  SMX_CHECK(fresh_dials_ < count_);  // there are as many as streams
  return *new (&dials_[fresh_dials_++]) Dial(reactor_, resolver_);
}

void Streams::give(Dial& d) { free_dials_[idle_dials_++] = &d; }

// All linger for the same time, so the list is in order.
void Streams::linger(Stream& s, Time until) {
  s.node_.leave();
  s.until_ = until;
  lingers_.push_back(&s);
  if (!timer_.running()) reactor_.timers().start(timer_, until);
}

void Streams::on_timer(Timer& timer, Time now) {
  (void)timer;
  Stream* s = lingers_.front();
  for (; s != nullptr && s->until_ <= now; s = lingers_.front()) {
    s->node_.leave();
    s->lingered(now);
  }
  if (s != nullptr) reactor_.timers().start(timer_, s->until_);
}

void Streams::bury(Stream& s) {
  s.node_.leave();
  if (dead_.empty()) reactor_.bury(*this);
  dead_.push_back(&s);
}

void Streams::on_buried() {
  while (Stream* s = dead_.front()) {
    s->node_.leave();
    s->state_ = Stream::State::free;
    free_.push_front(s);
    --used_;
  }
}

}  // namespace smx
