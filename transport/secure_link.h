// A link whose bytes travel in records: a Link around a Link that keeps bytes whole and in order.
//
//     mux -- writev: sealed into the out buffer --> below        below --> in buffer, opened in place -- readv: copied --> mux
//
// It begins behind the handshake (shake.h) and ends with its last record, or with a fault.
//
// Owner: SecureLinks, a table made at the start; a link goes back to it with close(). Invariants: while a part of what was
// sealed is unsent, nothing more is sealed; buffers are held only while something is in them; of a record that does not open,
// and of all behind it, nothing is handed up. Read next: records.h, core/session/link.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_LINK_H
#define SOCKMUX_TRANSPORT_SECURE_LINK_H

#include "core/base/arena.h"
#include "core/base/check.h"
#include "core/io/reactor.h"
#include "core/session/link.h"
#include "transport/shake.h"

namespace smx::secure {

class SecureLinks;

// Who makes the next link over a pipe: it begins where the last one has ended. The owner of the link below from then on.
class LinkKeeper : public LinkOwner {
 public:
  // `rest`: what was read of the next link, valid within the call; `magic`: behind its first four bytes, which are kMagic.
  virtual void keep(Link& below, bool magic, Bytes rest, Time now) = 0;

 protected:
  ~LinkKeeper() = default;
};

class SecureLink final : public Link, private LinkOwner, private Task, private TimerHandler {
 public:
  SecureLink(Reactor& reactor, SecureLinks& table) : reactor_(reactor), table_(table), timer_(*this) {}

  IoResult readv(const MutBytes* piece, int pieces) override;
  IoResult writev(const Bytes* piece, int pieces) override;
  void want(uint8_t events) override;
  void set_owner(LinkOwner& owner) override;
  void shut_write() override;
  void close(bool gently) override;
  bool clean_start() const override { return below_->clean_start(); }
  bool lossy() const override { return false; }
  uint32_t rate() const override { return below_->rate(); }
  size_t frame_hint() const override { return below_->frame_hint(); }
  void keep_unsent(size_t bytes) override;
  Address peer() const override { return below_->peer(); }
  std::string_view peer_name() const override { return below_->peer_name(); }
  const PeerKey* peer_key() const override { return &key_; }
  std::string_view peer_label() const override { return name_.text(); }
  const LinkStart* said() const override { return said_.said ? &said_ : nullptr; }
  std::string_view why() const override { return why_; }

 private:
  friend class SecureLinks;
  struct InBuffer;   // what has come, and is not all handed up
  struct OutBuffer;  // records, and not all of them sent

  void on_link_ready(uint8_t ready, Time now) override;
  void on_task(Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void begin(Link& below, const SecureStart& start, LinkKeeper* keeper, Duration renew, Time now);
  IoResult read_below();
  bool open_next(MutBytes to);
  size_t seal_some(const Bytes* piece, int pieces, size_t at, size_t most, Time now);
  int flush();
  void fail(std::string_view why);
  void put_end(Time now);
  void end_renewed(Time now);
  void wish();
  void give_in();
  bool goes_on() const;
  void shut_below();
  bool has_news() const { return plain_.size > 0 || sealed_.size > 0 || ended_ || failed_; }

  Reactor& reactor_;
  SecureLinks& table_;
  SecureLink* next_free_ = nullptr;
  Link* below_ = nullptr;
  LinkOwner* owner_ = nullptr;
  LinkKeeper* keeper_ = nullptr;  // nullptr: the next link begins with a connection of its own
  Timer timer_;           // renews the link
  RecordWriter writer_;
  RecordReader reader_;
  InBuffer* in_ = nullptr;
  OutBuffer* out_ = nullptr;
  MutBytes sealed_;       // in in_, not opened yet; behind the peer's last record: of the next link
  Bytes plain_;           // opened, not handed up yet
  size_t out_at_ = 0, out_size_ = 0;
  size_t batch_ = 0;      // content bytes sealed at once, at most
  // Bytes in the next record, while they are fewer than in a full one. The first record of who has called is bounded. And since
  // half a record is nothing when the link is cut, none is longer than a fourth of all before it and that.
  size_t longest_ = 0;
  std::string_view why_;
  LinkStart said_;
  PeerKey key_;
  Text<kPeerName> name_;
  uint8_t wanted_ = 0;
  bool called_ = false;   // by us
  bool ended_ = false;    // the peer's last record has come
  bool magic_ = false;    // and the first bytes of the next link
  bool shut_ = false;     // so has ours, or it waits for its place
  bool failed_ = false;
  bool renews_ = false;   // ends as soon as all is sent
  bool renewed_ = false;  // it has
  int broken_ = 0;        // errno of a write
};

// Buffers of one kind. Those that were never used are not touched.
template <typename T>
class Buffers {
 public:
  void start(T* first, uint32_t count) { fresh_ = first, left_ = count; }
  // There is one for everybody who may ask.
  T* take() {
    T* b = free_;
    if (b != nullptr) {
      free_ = b->next_free;
    } else {
      SMX_CHECK(left_ > 0);
      --left_;
      b = fresh_++;
    }
    return b;
  }
  void give(T* b) {
    b->next_free = free_;
    free_ = b;
  }

 private:
  T* fresh_ = nullptr;
  T* free_ = nullptr;
  uint32_t left_ = 0;
};

// The table of secure links, and the buffers that they share. Its memory is set aside at the start, and costs nothing until
// it is used.
class SecureLinks {
 public:
  explicit SecureLinks(Reactor& reactor) : reactor_(reactor) {}
  static uint64_t arena_bytes(uint32_t count);
  [[nodiscard]] bool init(uint32_t count, Duration renew, Arena& arena);
  // Goes on behind a handshake that is up, which is reset. nullptr: the table is full, and the link below is closed.
  // `keeper`: gets the link below where another one is to begin on it; it outlives the link.
  SecureLink* make(Shake& shake, LinkKeeper* keeper, Time now);

 private:
  friend class SecureLink;
  void give(SecureLink& link);

  Reactor& reactor_;
  Duration renew_;
  SecureLink* free_ = nullptr;
  SecureLink* fresh_ = nullptr;  // memory of those that are not made yet
  uint32_t left_ = 0;
  Buffers<SecureLink::InBuffer> in_;
  Buffers<SecureLink::OutBuffer> out_;
};

}  // namespace smx::secure

#endif
