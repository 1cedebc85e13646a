// What the names in lists of hosts mean at this moment: each is resolved at the start, and again and again.
//
// Owner: main. Invariant: an answer never blocks; a name that was never resolved, or whose answers are older than kStale,
// has no address. Memory: a table made at the start. Read next: resolver.h.
#ifndef SOCKMUX_CORE_IO_NAMES_H
#define SOCKMUX_CORE_IO_NAMES_H

#include "core/base/arena.h"
#include "core/io/resolver.h"

namespace smx {

class Names final : private TimerHandler {
 public:
  Names(Reactor& reactor, Resolver& resolver) : reactor_(reactor), resolver_(resolver), timer_(*this) {}
  static uint64_t arena_bytes(size_t count) { return count * sizeof(Name) + 64; }
  // `names` must stay valid. False: the arena is too small.
  [[nodiscard]] bool init(const std::string_view* names, size_t count, Arena& arena) { return init(names, count, count, arena); }
  // With room for `most`.
  [[nodiscard]] bool init(const std::string_view* names, size_t count, size_t most, Arena& arena);
  // In place of those of before; what is known of a name that is among both stays. At most as many as init() has room for.
  void renew(const std::string_view* names, size_t count);
  // Begins to resolve. After HUP: all of them again.
  void refresh(Time now);

  enum class Answer : uint8_t { unknown, no, yes };
  Answer has_address(std::string_view name, const Address& address, Time now) const;

 private:
  static constexpr Duration kAgain = seconds(60);
  static constexpr Duration kRetry = seconds(5);
  static constexpr Duration kStale = seconds(600);
  static constexpr int kAtOnce = 8;  // questions out at a time

  struct Name final : ResolveQuery {
    void on_resolved(const Resolved& answer, Time now) override;
    std::string_view text;  // empty: none
    Names* table = nullptr;
    Resolved last;
    Time good_until;  // the addresses count until then
    Time due;
  };
  void on_timer(Timer& timer, Time now) override;
  void took(Name& n, const Resolved& answer, Time now);

  Reactor& reactor_;
  Resolver& resolver_;
  Timer timer_;
  Name* name_ = nullptr;
  size_t count_ = 0, most_ = 0;
};

}  // namespace smx

#endif
