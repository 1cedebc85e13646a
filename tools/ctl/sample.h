// What `sockmuxctl top` looks at: rows of channels or peers, with rates since the look before.
//
// Invariant: a row is the same thing as one of the look before only if its id is; rates are bytes a second.
// Read next: sample.cc, top.cc.
#ifndef SOCKMUX_TOOLS_CTL_SAMPLE_H
#define SOCKMUX_TOOLS_CTL_SAMPLE_H

#include <stddef.h>
#include <stdint.h>

#include "tools/ctl/ask.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

enum class What : uint8_t { channels, peers };
enum class Order : uint8_t { rate, bytes, name, age, idle };

struct Item {
  std::string_view id, name, state, client, local, server, kind;  // in the answer's text
  bool udp = false, has_rtt = false;
  uint64_t age_s = 0, idle_s = 0, rx_bytes = 0, tx_bytes = 0;
  uint64_t rx_rate = 0, tx_rate = 0;
  uint64_t channels = 0, rtt_us = 0;
  size_t place = 0;  // in the answer

  uint64_t rate() const { return rx_rate + tx_rate; }
  uint64_t bytes() const { return rx_bytes + tx_bytes; }
};

class Sample {
 public:
  Sample() = default;
  Sample(const Sample&) = delete;
  Sample& operator=(const Sample&) = delete;
  ~Sample() { free(items_); }
  void set_patience(int seconds) { status_.set_patience(seconds), rows_.set_patience(seconds); }
  // Asks the daemon. Not 0: an exit code, and why() says what it is.
  [[nodiscard]] int take(What what, const char* path);
  // What has passed since `before`. Rates of rows need a look at the same things, those of all links do not.
  void set_rates(const Sample& before);
  // Rows of which `filter` is a part, in this order, or the reverse.
  void arrange(Order order, bool reverse, std::string_view filter);
  size_t count() const { return shown_; }
  size_t all() const { return count_; }
  const Item& at(size_t i) const { return items_[i]; }
  What what() const { return what_; }
  Values status() const { return Values(status_.lines()); }
  std::string_view why() const { return why_.text(); }
  // Of all links.
  uint64_t rx_rate() const { return rx_rate_; }
  uint64_t tx_rate() const { return tx_rate_; }
  uint64_t highest() const { return highest_; }  // rate() of a row

 private:
  bool add(const Rows& rows);

  Answer status_, rows_;
  What what_ = What::channels;
  int64_t taken_us_ = 0;
  Item* items_ = nullptr;
  size_t count_ = 0, room_ = 0, shown_ = 0;
  uint64_t rx_rate_ = 0, tx_rate_ = 0, highest_ = 0;
  Text<512> why_;
};

}  // namespace smx::ctl

#endif
