// Read next: sample.h.
#include "tools/ctl/sample.h"

#include <stdlib.h>

#include <new>

#include "core/io/clock.h"
#include "tools/ctl/ctl.h"

namespace smx::ctl {

namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

bool is_part(std::string_view part, std::string_view of) {
  for (size_t i = 0; i + part.size() <= of.size(); ++i) {
    size_t n = 0;
    while (n < part.size() && lower(of[i + n]) == lower(part[n])) ++n;
    if (n == part.size()) return true;
  }
  return false;
}

bool fits(const Item& i, std::string_view filter) {
  if (filter.empty()) return true;
  for (const std::string_view field : {i.id, i.name, i.state, i.client, i.local, i.server, i.kind})
    if (is_part(filter, field)) return true;
  return false;
}

// qsort() has no context.
struct {
  Order by;
  bool reverse;
} order;

int compare(uint64_t a, uint64_t b) { return a < b ? -1 : a > b ? 1 : 0; }

int compare_items(const void* left, const void* right) {
  const Item& a = *static_cast<const Item*>(left);
  const Item& b = *static_cast<const Item*>(right);
  int c = 0;
  switch (order.by) {
    case Order::rate: c = compare(b.rate(), a.rate()); break;
    case Order::bytes: c = compare(b.bytes(), a.bytes()); break;
    case Order::name: c = a.name.compare(b.name); break;
    case Order::age: c = compare(b.age_s, a.age_s); break;
    case Order::idle: c = compare(b.idle_s, a.idle_s); break;
  }
  if (order.reverse) c = -c;
  return c != 0 ? c : compare(a.place, b.place);
}

// A daemon that was started anew counts from 0.
uint64_t rate_of(uint64_t now, uint64_t before, int64_t us) {
  return now <= before || us <= 0 ? 0 : (now - before) * 1000 / (static_cast<uint64_t>(us) / 1000 + 1);
}

}  // namespace

bool Sample::add(const Rows& r) {
  if (count_ == room_) {
    const size_t more = room_ == 0 ? 64 : room_ * 2;
    Item* p = static_cast<Item*>(realloc(static_cast<void*>(items_), more * sizeof(Item)));
    if (p == nullptr) return false;
    items_ = p;
    room_ = more;
  }
  Item& i = *new (&items_[count_]) Item;
  i.place = count_++;
  const bool channels = what_ == What::channels;
  i.id = r.get(channels ? "id" : "session");
  i.name = r.get(channels ? "peer" : "name");
  if (i.name == "-") i.name = r.get("address");
  i.state = r.get("state");
  i.client = r.get(channels ? "client" : "address");
  i.local = r.get("local");
  i.server = r.get("server");
  i.kind = r.get("kind");
  i.udp = r.get("transport") == "udp";
  i.age_s = r.number(channels ? "age_s" : "since_s");
  i.idle_s = r.number("idle_s");
  i.rx_bytes = r.number("rx_bytes");
  i.tx_bytes = r.number("tx_bytes");
  i.channels = r.number("channels");
  i.has_rtt = number_of(r.get("rtt_us"), &i.rtt_us);
  return true;
}

int Sample::take(What what, const char* path) {
  count_ = shown_ = 0;
  rx_rate_ = tx_rate_ = highest_ = 0;
  what_ = what;
  why_.clear();
  int code = status_.try_ask("status", path);
  if (code != 0) why_.add(status_.why());
  if (code != 0) return code;
  taken_us_ = read_clock().us;
  code = rows_.try_ask(what == What::channels ? "channels" : "peers", path);
  if (code != 0) why_.add(rows_.why());
  if (code != 0) return code;
  Rows rows(rows_.lines());
  while (rows.next())
    if (!add(rows)) {
      why_.add("no memory for all of them");
      return kSystem;
    }
  shown_ = count_;
  return 0;
}

// Both answers have their rows in the same order, since a daemon tells of its tables from the beginning to the end. What has
// gone, or come, in between is passed over; what has come began with nothing.
void Sample::set_rates(const Sample& before) {
  const int64_t us = taken_us_ - before.taken_us_;
  if (before.taken_us_ == 0 || status().get("pid") != before.status().get("pid")) return;
  rx_rate_ = rate_of(status().number("rx_bytes"), before.status().number("rx_bytes"), us);
  tx_rate_ = rate_of(status().number("tx_bytes"), before.status().number("tx_bytes"), us);
  if (before.what_ != what_) return;
  Rows old(before.rows_.lines());
  const std::string_view id = what_ == What::channels ? "id" : "session";
  bool more = old.next();
  const auto behind = [&](const Item& i) {  // is the old row in front of this one?
    std::string_view a = old.get(id), b = i.id;
    for (int part = 0; part < 2; ++part) {
      uint64_t m = 0, n = 0;
      (void)number_of(next_part(&a, '.'), &m);
      (void)number_of(next_part(&b, '.'), &n);
      if (m != n) return m < n;
    }
    return false;
  };
  for (size_t n = 0; n < count_; ++n) {
    Item& i = items_[n];
    while (more && behind(i)) more = old.next();
    const bool same = more && old.get(id) == i.id;
    i.rx_rate = rate_of(i.rx_bytes, same ? old.number("rx_bytes") : 0, us);
    i.tx_rate = rate_of(i.tx_bytes, same ? old.number("tx_bytes") : 0, us);
    if (i.rate() > highest_) highest_ = i.rate();
  }
}

void Sample::arrange(Order by, bool reverse, std::string_view filter) {
  shown_ = 0;
  for (size_t i = 0; i < count_; ++i) {
    if (!fits(items_[i], filter)) continue;
    if (i != shown_) {
      const Item swapped = items_[i];
      items_[i] = items_[shown_];
      items_[shown_] = swapped;
    }
    ++shown_;
  }
  order = {by, reverse};
  if (shown_ > 1) qsort(items_, shown_, sizeof(Item), compare_items);
}

}  // namespace smx::ctl
