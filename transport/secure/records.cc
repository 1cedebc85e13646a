// Read next: records.h.
#include "transport/secure/records.h"

#include "core/base/check.h"
#include "transport/secure/noise.h"

namespace smx::secure {

namespace {

constexpr size_t kMagicSize = sizeof kMagic - 1;
constexpr uint16_t kEpochBit = 0x8000;

size_t length_in(const uint8_t* head) { return load16(head) & ~kEpochBit; }

}  // namespace

void SendKey::start(const Secret& key, Time now) {
  key_ = key;
  n_ = 0;
  epoch_ = 0;
  records_ = 0;
  since_ = now;
}

void SendKey::seal_next(Bytes plain, uint8_t* out, Time now) {
  if (records_ >= kRekeyRecords || now >= since_ + kRekeyAfter) {
    rekey(&key_);
    ++epoch_;
    records_ = 0;
    since_ = now;
  }
  seal(key_, n_, {}, plain, out);
  ++n_;
  ++records_;
}

void RecordWriter::start(const Secret& key, Time now) {
  key_.start(key, now);
  ended_ = false;
}

size_t RecordWriter::seal(uint8_t* record, size_t content, Time now) { return seal(record, {record + kRecordHead, content}, now); }

size_t RecordWriter::seal(uint8_t* record, Bytes content, Time now) {
  SMX_CHECK(content.size > 0);
  return put(record, content, now);
}

size_t RecordWriter::seal_end(uint8_t* record, Time now) {
  const size_t size = put(record, {}, now);
  ended_ = true;
  key_.erase();
  return size;
}

size_t RecordWriter::put(uint8_t* record, Bytes content, Time now) {
  SMX_CHECK(!ended_);
  SMX_CHECK(content.size <= kRecordContent);
  key_.seal_next(content, record + kRecordHead, now);
  store16(record, static_cast<uint16_t>((content.size + kTag) | ((key_.epoch() & 1) != 0 ? kEpochBit : 0)));
  return content.size + kRecordOverhead;
}

void RecordReader::start(const Secret& key, uint8_t* memory, size_t size) {
  key_ = key;
  n_ = 0;
  epoch_ = 0;
  records_ = 0;
  held_ = 0;
  ended_ = false;
  content_ = {};
  fault_ = Fault::none;
  lend(memory, size);
}

void RecordReader::lend(uint8_t* memory, size_t size) {
  SMX_CHECK(!partial());
  SMX_CHECK(size >= kRecordOverhead);
  SMX_CHECK(size <= kRecord);
  memory_ = memory;
  limit_ = size;
}

RecordReader::Got RecordReader::take(MutBytes* in, MutBytes to) {
  content_ = {};
  if (fault_ != Fault::none) return Got::bad;
  if (held_ == 0 && in->size >= kRecordOverhead) {
    const Got got = judge_head(in->data, in->size);
    const size_t size = got == Got::anew ? kMagicSize : kRecordHead + length_in(in->data);
    if (got == Got::anew || (got == Got::content && size <= in->size)) {
      uint8_t* record = in->data;
      in->data += size;
      in->size -= size;
      return got == Got::anew ? got : open_record(record, to);
    }
    if (got == Got::bad) return got;
  }
  while (in->size > 0) {
    size_t wanted = kRecordHead;
    if (held_ >= kRecordHead) {
      const bool is_magic = memcmp(memory_, kMagic, kRecordHead) == 0;
      wanted = is_magic ? kMagicSize : kRecordHead + length_in(memory_);
    }
    const size_t n = wanted - held_ < in->size ? wanted - held_ : in->size;
    memcpy(memory_ + held_, in->data, n);
    held_ += n;
    in->data += n;
    in->size -= n;
    if (held_ < wanted) break;
    const Got got = judge_head(memory_, held_);
    if (got == Got::bad) return got;
    if (got == Got::anew || (got == Got::content && held_ == kRecordHead + length_in(memory_))) {
      held_ = 0;
      return got == Got::anew ? got : open_record(memory_, to);
    }
  }
  return Got::nothing;
}

// content: a record may have such a head; nothing: it may become kMagic.
RecordReader::Got RecordReader::judge_head(const uint8_t* head, size_t size) {
  if (memcmp(head, kMagic, size < kMagicSize ? size : kMagicSize) == 0) {
    return size < kMagicSize ? Got::nothing : Got::anew;
  }
  const size_t length = length_in(head);
  if (length < kTag || length > kRecordContent + kTag) return fail(Fault::record_length);
  if (ended_) return fail(Fault::after_end);
  if (kRecordHead + length > limit_) return fail(Fault::record_large);
  return Got::content;
}

RecordReader::Got RecordReader::open_record(uint8_t* record, MutBytes to) {
  const Bytes sealed{record + kRecordHead, length_in(record)};
  uint8_t* plain = sealed.size - kTag <= to.size ? to.data : record + kRecordHead;
  if (((load16(record) & kEpochBit) != 0) == ((epoch_ & 1) != 0)) {
    if (records_ == kMostRecords) return fail(Fault::epoch_overused);
    if (!open(key_, n_, {}, sealed, plain)) return fail(Fault::record_forged);
  } else {
    Secret next = key_;
    rekey(&next);
    if (!open(next, n_, {}, sealed, plain)) return fail(Fault::record_forged);
    key_ = next;
    ++epoch_;
    records_ = 0;
  }
  ++n_;
  ++records_;
  if (sealed.size == kTag) {
    ended_ = true;
    key_.erase();
    return Got::end;
  }
  content_ = {plain, sealed.size - kTag};
  return Got::content;
}

RecordReader::Got RecordReader::fail(Fault fault) {
  fault_ = fault;
  key_.erase();
  return Got::bad;
}

Fault RecordReader::end_of_file() const {
  if (fault_ != Fault::none) return fault_;
  if (held_ > 0) return Fault::cut_in_record;
  return ended_ ? Fault::none : Fault::cut;
}

}  // namespace smx::secure
