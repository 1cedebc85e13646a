// The peers file as it is in force: read at start and again on HUP, without the heap.
//
//     load() --> list() in force --reload() good--> the new list() in force, old() beside it --forget_old()--> erased
//                                --reload() bad---> list() as before, and a report
//
// Owner: main(). Invariants: list() is always a whole, right file; whatever had a PSK in it is erased before its memory is
// used again. Memory: two halves set aside at start, each of twice what the file needs then, and of 64 KiB at least.
// Pointers to a Peer are good until the next reload(): keep its key instead. Read next: peers.h, changes.h (what to do
// with old()), links.h. One of the two parts of config/ that make system calls; file.h is the other.
#ifndef SOCKMUX_CONFIG_PEERS_TABLE_H
#define SOCKMUX_CONFIG_PEERS_TABLE_H

#include "config/peers/peers.h"

namespace smx {

constexpr size_t kMaxPeersBytes = size_t{32} << 20;  // of the file
constexpr size_t kLeastPeersHalf = size_t{64} << 10;

struct PeersSource {
  std::string_view path;  // a NUL is behind its end
  PeerKey own;
  bool has_own = false;
  View<HostEntry> hosts;  // HOSTS=
  bool (*decode)(const char* text, size_t size, uint8_t out[PeerKey::kSize]) = nullptr;  // as in PeersText
};

class Peers {
 public:
  Peers() = default;
  Peers(const Peers&) = delete;
  Peers& operator=(const Peers&) = delete;

  // At start, once; what `source` points to must live on. False: report->status() is the exit code.
  [[nodiscard]] bool load(const PeersSource& source, Report* report);
  // HUP, with the rights that are left. Blocks as reading a file does. False: the old list stays, and the report says why.
  [[nodiscard]] bool reload(Report* report);

  const PeerList& list() const { return half_[now_].list; }
  // What was in force before the last good reload(), until forget_old().
  const PeerList& old() const { return half_[1 - now_].list; }
  void forget_old();

  const Peer* find(const PeerKey& key) const { return list().find(key); }
  const Peer* find(std::string_view name) const { return list().find(name); }
  std::string_view path() const { return source_.path; }

  // Where the PSKs are: half 0 and 1, of that size; for what keeps pages out of swap, dumps and children.
  void* memory(int half) const { return half_[half].memory; }
  size_t half_bytes() const { return half_bytes_; }

 private:
  struct Half {
    void* memory = nullptr;
    size_t used = 0;
    PeerList list;
  };
  enum class Outcome : uint8_t { ok, wrong, too_big };  // wrong: reported
  Outcome read(Half* half, size_t bytes, Report* report);
  Outcome read_open(int fd, Half* half, size_t bytes, Report* report);
  void erase(Half* half);

  PeersSource source_;
  Half half_[2];
  size_t half_bytes_ = 0;
  int now_ = 0;
};

}  // namespace smx

#endif
