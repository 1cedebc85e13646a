// Records: what a secure link carries behind its handshake, on everything that keeps bytes whole and in order.
//
//     0   2   E (bit 15: low bit of the sender's key epoch), L (bits 14..0: how many bytes follow, 16..16400)
//     2   L   the content, sealed with nonce n = 0, 1, 2, ...: 0..16384 bytes and the tag; no associated data
//
// A record without content is the last one. Owner: the link, one RecordWriter and one RecordReader each. Pure: works in
// the caller's memory, is told the time. Invariant: the reader hands up a prefix of what the writer sealed, whatever
// happens to the bytes between them, and says if it was all. Read next: line_blocks.h (lines that lose bytes),
// handshake.h (where the keys come from). Source: Noise, revision 34, 5.1 and 11.3; the numbers are ours.
#ifndef SOCKMUX_TRANSPORT_SECURE_RECORDS_H
#define SOCKMUX_TRANSPORT_SECURE_RECORDS_H

#include "core/base/clock.h"
#include "transport/secure/crypto.h"
#include "transport/secure/fault.h"

namespace smx::secure {

constexpr size_t kRecordHead = 2;
constexpr size_t kRecordOverhead = kRecordHead + kTag;
constexpr size_t kRecordContent = 16384;
constexpr size_t kRecord = kRecordContent + kRecordOverhead;
// The first record of an initiator has at most this content, so that a responder, which does not know yet whom it talks
// to, waits for it with less than 2 KiB.
constexpr size_t kFirstContent = 768;
constexpr size_t kFirstRecord = kFirstContent + kRecordOverhead;

constexpr uint32_t kRekeyRecords = 65536;
constexpr Duration kRekeyAfter = seconds(120);
constexpr uint32_t kMostRecords = 1u << 20;  // under one key: a sender that does not rekey is broken

// The first four bytes of each handshake message. As the head of a record they have an L that no record has, so a new
// handshake is told from a record.
constexpr char kMagic[5] = "SMXS";
static_assert(('S' << 8 | 'M') > static_cast<int>(kRecordContent + kTag));
static_assert(('S' & 0x80) == 0);

// The key of one direction at its sender's side: when it is due to become the next one, and the nonce.
class SendKey {
 public:
  void start(const Secret& key, Time now);
  // Seals with the next nonce, after a REKEY if one is due. `out` gets plain.size + kTag bytes and may be plain.data.
  // The epoch and the nonce taken are told for the head of the record.
  void seal_next(Bytes plain, uint8_t* out, Time now);
  uint64_t n() const { return n_; }  // of the next one
  // Of the last one.
  uint32_t epoch() const { return epoch_; }
  void erase() { key_.erase(); }

 private:
  Secret key_;
  uint64_t n_ = 0;
  uint32_t epoch_ = 0;    // REKEYs so far
  uint32_t records_ = 0;  // sealed in this epoch
  Time since_;
};

class RecordWriter {
 public:
  void start(const Secret& key, Time now);
  // The content stands at record + kRecordHead already, 1..kRecordContent bytes of it, and kTag bytes of room behind
  // it. The size of the record, which now stands at `record`.
  size_t seal(uint8_t* record, size_t content, Time now);
  // The same of content that stands elsewhere, and not within the record.
  size_t seal(uint8_t* record, Bytes content, Time now);
  // The last record, kRecordOverhead bytes. Nothing may be sealed behind it.
  size_t seal_end(uint8_t* record, Time now);
  bool ended() const { return ended_; }
  void erase() { key_.erase(); }

 private:
  size_t put(uint8_t* record, Bytes content, Time now);

  SendKey key_;
  bool ended_ = false;
};

class RecordReader {
 public:
  enum class Got : uint8_t {
    nothing,  // all bytes are taken
    content,  // of one record: look at content(), then call again with the rest
    end,      // the last record; what follows can only be `anew`
    anew,     // kMagic where a record is due: the peer begins a new handshake. The four bytes are taken
    bad,      // fault() says why; the link ends
  };
  // `memory` holds a record that comes in pieces, and `size`, kRecordOverhead..kRecord, bounds every record, in pieces
  // or not.
  void start(const Secret& key, uint8_t* memory, size_t size);
  // Other memory from here on; not while partial().
  void lend(uint8_t* memory, size_t size);
  // Takes bytes from the front of `in`, which is shortened by what was taken. A record that is whole in `in` is opened
  // there, or into `to` if its content fits.
  Got take(MutBytes* in, MutBytes to = {});
  // Valid until the next call, in `in`, in `to` or in the memory.
  Bytes content() const { return content_; }
  Fault fault() const { return fault_; }
  bool partial() const { return held_ > 0; }
  // The stream is at its end: none, if its last record has come.
  Fault end_of_file() const;
  void erase() { key_.erase(); }

 private:
  Got judge_head(const uint8_t* head, size_t size);
  Got open_record(uint8_t* record, MutBytes to);
  Got fail(Fault fault);

  Secret key_;
  uint64_t n_ = 0;
  uint32_t epoch_ = 0;
  uint32_t records_ = 0;  // opened in this epoch
  uint8_t* memory_ = nullptr;
  size_t limit_ = 0;
  size_t held_ = 0;  // bytes of a partial record in memory_
  bool ended_ = false;
  Bytes content_;
  Fault fault_ = Fault::none;
};

}  // namespace smx::secure

#endif
