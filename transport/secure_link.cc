// Read next: secure_link.h.
#include "transport/secure_link.h"

#include <errno.h>

#include <new>

#include "core/io/clock.h"

namespace smx::secure {

namespace {

constexpr Duration kRenewAgain = seconds(300);  // where it may not be yet, at most
constexpr size_t kReadAtOnce = 64 * 1024;
constexpr size_t kMostBatch = 4 * kRecordContent;  // what is sealed before it is written
constexpr size_t kMostOut = 4 * kRecord;

}  // namespace

struct SecureLink::InBuffer {
  InBuffer* next_free;
  uint8_t bytes[kReadAtOnce];
  uint8_t record[kRecord];  // one that comes in pieces
};
struct SecureLink::OutBuffer {
  OutBuffer* next_free;
  uint8_t bytes[kMostOut];
};

// ---- the table

uint64_t SecureLinks::arena_bytes(uint32_t count) {
  return uint64_t{count} * (sizeof(SecureLink) + sizeof(SecureLink::InBuffer) + sizeof(SecureLink::OutBuffer) + 64) + 64;
}

bool SecureLinks::init(uint32_t count, Duration renew, Arena& arena) {
  renew_ = renew;
  fresh_ = arena.raw<SecureLink>(count);
  left_ = count;
  SecureLink::InBuffer* in = arena.raw<SecureLink::InBuffer>(count);
  SecureLink::OutBuffer* out = arena.raw<SecureLink::OutBuffer>(count);
  if (fresh_ == nullptr || in == nullptr || out == nullptr) return false;
  in_.start(in, count);
  out_.start(out, count);
  return true;
}

SecureLink* SecureLinks::make(Shake& shake, LinkKeeper* keeper, Time now) {
  SecureLink* link = free_;
  if (link != nullptr) {
    free_ = link->next_free_;
  } else if (left_ > 0) {
    --left_;
    link = new (fresh_++) SecureLink(reactor_, *this);
  }
  if (link != nullptr) {
    const bool renews = !shake.is_answering() && renew_.us > 0;
    SecureStart start;
    Link& below = shake.take(&start);
    link->begin(below, start, keeper, renews ? renew_ : Duration{}, now);
  }
  shake.reset();
  return link;
}

void SecureLinks::give(SecureLink& link) {
  link.next_free_ = free_;
  free_ = &link;
}

// ---- a link

void SecureLink::begin(Link& below, const SecureStart& start, LinkKeeper* keeper, Duration renew, Time now) {
  below_ = &below;
  keeper_ = keeper;
  owner_ = nullptr;
  writer_.start(start.send_key, now);
  reader_ = start.reader;
  key_ = start.peer.key;
  name_.clear();
  name_.add(start.peer.name.text());
  why_ = {};
  batch_ = kMostBatch;
  wanted_ = 0;
  ended_ = magic_ = shut_ = failed_ = renews_ = renewed_ = false;
  broken_ = 0;
  longest_ = kFirstContent;
  called_ = start.called;
  said_ = start.said;
  sealed_ = {};
  plain_ = {};
  out_at_ = out_size_ = 0;
  if (start.plain.size + start.sealed.size > 0) {
    static_assert(kReadAtOnce > kSecondPayload + kMessage2);
    in_ = table_.in_.take();
    memcpy(in_->bytes, start.plain.data, start.plain.size);
    plain_ = {in_->bytes, start.plain.size};
    sealed_ = {in_->bytes + plain_.size, start.sealed.size};
    if (sealed_.size > 0) memcpy(sealed_.data, start.sealed.data, sealed_.size);
  }
  below.set_owner(*this);
  if (renew.us == 0) return;
  uint32_t random = 0;
  fill_random(&random, sizeof random);
  const int64_t tenth = renew.us / 10;  // so that not all links of a hub are renewed at once
  reactor_.timers().start(timer_, now + Duration{renew.us - tenth * (random % 1024) / 1024});
}

void SecureLink::set_owner(LinkOwner& owner) {
  owner_ = &owner;
  if (has_news()) reactor_.at_end_of_turn(*this);
}

// The next link begins behind this one, on the same pipe: nothing that is in it already is lost, nobody sees an end of file, and
// a program goes on. Who has called will call again; who was called has heard that the other one has ended, or has begun. What was
// sealed and is not sent matters no more: who begins skips all in front of the answer.
bool SecureLink::goes_on() const {
  if (keeper_ == nullptr || broken_ != 0) return false;
  return called_ ? renewed_ : magic_ || (ended_ && !shut_);
}

void SecureLink::close(bool gently) {
  const bool kept = goes_on();
  if (!kept && !failed_ && broken_ == 0 && !shut_ && out_ == nullptr) shut_write();
  reactor_.timers().stop(timer_);
  task_node.leave();
  if (kept) {
    below_->set_owner(*keeper_);
    keeper_->keep(*below_, magic_, called_ ? Bytes{} : Bytes{sealed_.data, sealed_.size}, reactor_.now());
  }
  plain_ = {};
  sealed_ = {};
  if (in_ != nullptr) table_.in_.give(in_);
  in_ = nullptr;
  if (out_ != nullptr) table_.out_.give(out_);
  out_ = nullptr;
  writer_.erase();
  reader_.erase();
  owner_ = nullptr;
  Link* below = below_;
  below_ = nullptr;
  table_.give(*this);
  if (!kept) below->close(gently);
}

void SecureLink::fail(std::string_view why) {
  if (failed_) return;
  failed_ = true;
  why_ = why;
  reader_.erase();
  writer_.erase();
}

void SecureLink::wish() {
  // Behind our end nothing goes, though there would be room for it: who waits for that waits for the link's end.
  const bool over = shut_ && writer_.ended();
  const bool writes = broken_ == 0 && (out_ != nullptr || (!over && (wanted_ & kWrite) != 0));
  below_->want(static_cast<uint8_t>((failed_ ? 0 : wanted_ & kRead) | (writes && !failed_ ? kWrite : 0)));
}

void SecureLink::want(uint8_t events) {
  wanted_ = events;
  wish();
}

void SecureLink::keep_unsent(size_t bytes) {
  batch_ = bytes < kRecordContent ? kRecordContent : bytes > kMostBatch ? kMostBatch : bytes;
  below_->keep_unsent(bytes);
}

void SecureLink::on_link_ready(uint8_t ready, Time now) {
  if ((ready & kWrite) != 0) {
    const int error = flush();
    if (error != 0) broken_ = error;
    if (shut_ && out_ == nullptr) {
      if (writer_.ended()) shut_below();
      else put_end(now);
    }
    if (out_ != nullptr) ready = static_cast<uint8_t>(ready & ~kWrite);
    if (renews_ && out_ == nullptr && writer_.ended()) return end_renewed(now);
  }
  wish();
  ready = static_cast<uint8_t>(failed_ ? kRead : broken_ != 0 ? (ready & wanted_) | kWrite : ready & wanted_);
  if (ready != 0 && owner_ != nullptr) owner_->on_link_ready(ready, now);
}

// What is here already, and no descriptor tells of.
void SecureLink::on_task(Time now) {
  if (owner_ == nullptr || !(has_news() || broken_ != 0)) return;
  owner_->on_link_ready(static_cast<uint8_t>(kRead | (broken_ != 0 ? kWrite : 0)), now);
}

// The session goes on over the next link. What is sealed goes out first, and the last record behind it.
void SecureLink::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (failed_ || shut_) return;
  if (owner_ == nullptr || !owner_->may_renew()) {
    return reactor_.timers().start(timer_, now + (table_.renew_ < kRenewAgain ? table_.renew_ : kRenewAgain));
  }
  renews_ = true;
  shut_write();
  end_renewed(now);
}

void SecureLink::end_renewed(Time now) {
  if (!renews_ || failed_ || out_ != nullptr || !writer_.ended()) return;
  renewed_ = true;
  fail("renewed after TIMEOUT=renew");
  if (owner_ != nullptr) owner_->on_link_ready(kRead, now);
}

// ---- what comes

IoResult SecureLink::readv(const MutBytes* piece, int pieces) {
  size_t total = 0;
  int at = 0;
  size_t used = 0;  // of piece[at]
  bool read = false;
  for (;;) {
    while (plain_.size > 0 && at < pieces) {
      const size_t room = piece[at].size - used;
      const size_t n = room < plain_.size ? room : plain_.size;
      memcpy(piece[at].data + used, plain_.data, n);
      plain_ = {plain_.data + n, plain_.size - n};
      total += n;
      used += n;
      if (used < piece[at].size) continue;
      ++at;
      used = 0;
    }
    if (plain_.size > 0 || failed_ || ended_) break;
    if (sealed_.size > 0) {
      uint8_t* to = at < pieces ? piece[at].data + used : nullptr;
      if (!open_next({to, at < pieces ? piece[at].size - used : 0})) break;
      if (plain_.size == 0 || plain_.data != to) continue;
      total += plain_.size;  // it was opened in its place
      used += plain_.size;
      plain_ = {};
      if (used == piece[at].size) ++at, used = 0;
      continue;
    }
    if (read || total > 0) break;
    read = true;
    const IoResult r = read_below();
    if (r.size == 0) {
      give_in();
      return r;
    }
  }
  const bool more = plain_.size > 0 || sealed_.size > 0;
  if (total == 0 && failed_) return {0, false, EPROTO};
  if (more || failed_ || ended_) reactor_.at_end_of_turn(*this);
  if (!more) give_in();
  return {total, total == 0 && !ended_, 0};
}

IoResult SecureLink::read_below() {
  if (in_ == nullptr) in_ = table_.in_.take();
  if (!reader_.partial()) reader_.lend(in_->record, sizeof in_->record);
  const MutBytes space{in_->bytes, sizeof in_->bytes};
  IoResult r = below_->readv(&space, 1);
  sealed_ = {in_->bytes, r.size};
  if (r.again || r.size > 0) return r;
  if (r.error != 0) {
    fail(strerror(r.error));
    return r;
  }
  const Fault fault = reader_.end_of_file();
  if (fault == Fault::none) return r;
  fail(name(fault));
  return {0, false, EPROTO};
}

// False: nothing was opened that can be handed up.
bool SecureLink::open_next(MutBytes to) {
  if (!reader_.partial()) reader_.lend(in_->record, sizeof in_->record);
  switch (reader_.take(&sealed_, to)) {
    case RecordReader::Got::content: plain_ = reader_.content(); return true;
    case RecordReader::Got::nothing: return true;
    case RecordReader::Got::end: ended_ = true; return false;
    case RecordReader::Got::anew: magic_ = true; fail("the peer has begun a new handshake"); return false;
    case RecordReader::Got::bad: fail(name(reader_.fault())); break;
  }
  sealed_ = {};
  return false;
}

void SecureLink::give_in() {
  if (in_ == nullptr || reader_.partial() || plain_.size > 0 || sealed_.size > 0) return;
  table_.in_.give(in_);
  in_ = nullptr;
}

// ---- what goes

IoResult SecureLink::writev(const Bytes* piece, int pieces) {
  if (failed_) return {0, false, EPROTO};
  if (broken_ != 0) return {0, false, broken_};
  if (shut_) return {0, true, 0};
  const size_t all = total_size(piece, pieces);
  size_t taken = 0;
  int error = flush();
  while (error == 0 && out_ == nullptr && taken < all) {
    out_ = table_.out_.take();
    out_at_ = out_size_ = 0;
    const size_t n = seal_some(piece, pieces, taken, longest_ < kRecordContent ? longest_ : batch_, reactor_.now());
    if (longest_ < kRecordContent) longest_ += n / 4;
    taken += n;
    error = flush();
  }
  if (error == 0) return {taken, out_ != nullptr, 0};
  // What the peer said last may still be there to be read. Of what was sealed now some may have arrived, so it counts as sent,
  // and the next call has the error.
  broken_ = error;
  if (taken == 0) return {0, false, error};
  reactor_.at_end_of_turn(*this);
  return {taken, true, 0};
}

// Seals what stands at `at` of the pieces, `most` bytes of it.
size_t SecureLink::seal_some(const Bytes* piece, int pieces, size_t at, size_t most, Time now) {
  size_t sealed = 0;
  int i = 0;
  while (i < pieces && at >= piece[i].size) at -= piece[i++].size;
  while (i < pieces && sealed < most) {
    uint8_t* record = out_->bytes + out_size_;
    size_t content = 0;
    const size_t room = most - sealed < kRecordContent ? most - sealed : kRecordContent;
    if (piece[i].size - at >= room) {
      out_size_ += writer_.seal(record, Bytes{piece[i].data + at, room}, now);
      sealed += room;
      at += room;
      if (at == piece[i].size) ++i, at = 0;
      continue;
    }
    while (i < pieces && content < room) {
      const size_t left = piece[i].size - at;
      const size_t n = left < room - content ? left : room - content;
      memcpy(record + kRecordHead + content, piece[i].data + at, n);
      content += n;
      at += n;
      if (at < piece[i].size) continue;
      ++i;
      at = 0;
    }
    if (content == 0) break;
    out_size_ += writer_.seal(record, content, now);
    sealed += content;
  }
  return sealed;
}

// Sends what is sealed; the buffer is given back when all of it is. 0 or errno.
int SecureLink::flush() {
  while (out_ != nullptr) {
    const Bytes rest{out_->bytes + out_at_, out_size_ - out_at_};
    const IoResult r = below_->writev(&rest, 1);
    if (r.error != 0) return r.error;
    out_at_ += r.size;
    if (out_at_ < out_size_) return 0;
    table_.out_.give(out_);
    out_ = nullptr;
  }
  return 0;
}

void SecureLink::shut_write() {
  if (shut_ || failed_) return;
  shut_ = true;
  if (out_ == nullptr) put_end(reactor_.now());
}

// Not of a pipe that the next link is to begin on.
void SecureLink::shut_below() {
  if (!renews_ || keeper_ == nullptr) below_->shut_write();
}

// The last record; what was sealed before it is sent.
void SecureLink::put_end(Time now) {
  if (failed_) return;
  out_ = table_.out_.take();
  out_at_ = 0;
  out_size_ = writer_.seal_end(out_->bytes, now);
  static_cast<void>(flush());
  if (out_ == nullptr) shut_below();
  wish();
}

}  // namespace smx::secure
