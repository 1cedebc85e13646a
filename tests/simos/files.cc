// Read next: files.h.
#include "tests/simos/files.h"

#include <string.h>
#include <sys/epoll.h>

#include <algorithm>
#include <unordered_map>

#include "tests/simos/process.h"

namespace simos {

namespace {
constexpr size_t kLogKept = 20000;
std::unordered_map<uint32_t, Disk> disks;
uint64_t next_number = 1;
}  // namespace

Disk& disk_of(uint32_t ip) { return disks[ip]; }
void forget_disks() {
  disks.clear();
  next_number = 1;
}

// ---- pipes

PipeEnd::PipeEnd(PipeBuffer& b, bool reads, bool writes) : File(Kind::pipe), buffer(b), reads_(reads), writes_(writes), seen_(b.writers_seen) {
  if (writes) ++b.writers, ++b.writers_seen;
  if (reads) ++b.readers;
  b.ends.push_back(this);
  b.poke_all();
}

void PipeBuffer::poke_all() {
  for (PipeEnd* e : ends) e->poke();
}

void PipeEnd::closed() {
  buffer.readers -= reads_;
  buffer.writers -= writes_;
  buffer.ends.erase(std::remove(buffer.ends.begin(), buffer.ends.end(), this), buffer.ends.end());
  if (buffer.ends.empty()) buffer.bytes.clear();
  buffer.poke_all();
}

uint32_t PipeEnd::ready() const {
  uint32_t r = 0;
  if (reads_) {
    if (!buffer.bytes.empty()) r |= EPOLLIN;
    if (buffer.writers == 0 && buffer.writers_seen != seen_) r |= EPOLLHUP;
  }
  if (writes_) {
    if (buffer.bytes.size() + 4096 <= buffer.room || buffer.bytes.empty()) r |= EPOLLOUT;
    if (buffer.readers == 0) r |= EPOLLERR;
  }
  return r;
}

ssize_t PipeEnd::read(uint8_t* to, size_t n) {
  if (!reads_) return -EBADF;
  if (buffer.bytes.empty()) return buffer.writers == 0 ? 0 : -EAGAIN;
  n = std::min(n, buffer.bytes.size());
  if (buffer.odd > 0 && n > 1 && world->random.chance(buffer.odd)) n = 1 + world->random.below(static_cast<uint32_t>(n));
  std::copy_n(buffer.bytes.begin(), n, to);
  buffer.bytes.erase(buffer.bytes.begin(), buffer.bytes.begin() + static_cast<ptrdiff_t>(n));
  buffer.poke_all();
  return static_cast<ssize_t>(n);
}

// Up to PIPE_BUF bytes go whole or not at all.
ssize_t PipeEnd::write(const uint8_t* from, size_t n) {
  constexpr size_t kWhole = 4096;
  if (!writes_) return -EBADF;
  if (buffer.readers == 0) {
    if (owner != nullptr && owner->action[SIGPIPE].sa_handler != SIG_IGN) owner->crash("SIGPIPE");
    return -EPIPE;
  }
  const size_t room = buffer.room > buffer.bytes.size() ? buffer.room - buffer.bytes.size() : 0;
  if (room == 0 || (n <= kWhole && room < n)) return n == 0 ? 0 : -EAGAIN;
  if (n > kWhole) {
    n = std::min(n, room);
    if (buffer.odd > 0 && n > kWhole && world->random.chance(buffer.odd)) n = kWhole + world->random.below(static_cast<uint32_t>(n - kWhole + 1));
  }
  buffer.bytes.insert(buffer.bytes.end(), from, from + n);
  buffer.poke_all();
  return static_cast<ssize_t>(n);
}

// ---- serial lines

void Wire::send(const uint8_t* bytes, size_t n) {
  Due d;
  Random& chance = world->random;
  for (size_t i = 0; i < n; ++i) {
    uint8_t b = bytes[i];
    if (losses > 0 && chance.below(1000000) < losses) continue;
    if (flips > 0 && chance.below(1000000) < flips) b ^= static_cast<uint8_t>(1u << chance.below(8));
    d.bytes.push_back(b);
    if (additions > 0 && chance.below(1000000) < additions) d.bytes.push_back(static_cast<uint8_t>(chance.next()));
  }
  busy_until = std::max(busy_until, world->now) + static_cast<Micros>(n) * us_per_byte;
  d.when = busy_until;
  due.push_back(std::move(d));
  if (due.size() == 1) world->at(due.front().when, *this, 0);
}

void Wire::on_event(int what) {
  (void)what;
  if (due.empty()) return;
  if (!broken) to->input.insert(to->input.end(), due.front().bytes.begin(), due.front().bytes.end());
  due.pop_front();
  if (!due.empty()) world->at(due.front().when, *this, 0);
  constexpr size_t kMostInput = 4096;  // more is lost, as without flow control
  if (to->input.size() > kMostInput) to->input.resize(kMostInput);
  if (to->opened.empty()) to->input.clear();
  for (Terminal* t : to->opened) t->poke();
}

void Node::hang_up() {
  for (Terminal* t : opened) {
    t->hung_up = true;
    t->poke();
  }
}

size_t Terminal::queued() const {
  const Micros left = node.wire->busy_until - world->now;
  return left <= 0 || node.wire->us_per_byte == 0 ? 0 : static_cast<size_t>(left / node.wire->us_per_byte);
}

uint32_t Terminal::ready() const {
  if (hung_up) return EPOLLIN | EPOLLOUT | EPOLLHUP | EPOLLERR;
  return (node.input.empty() ? 0u : uint32_t{EPOLLIN}) | (queued() < 3072 ? uint32_t{EPOLLOUT} : 0u);
}

ssize_t Terminal::read(uint8_t* to, size_t n) {
  if (hung_up) return 0;
  if (node.input.empty()) return -EAGAIN;
  n = std::min(n, node.input.size());
  if (n > 1 && world->random.chance(20)) n = 1 + world->random.below(static_cast<uint32_t>(n));
  std::copy_n(node.input.begin(), n, to);
  node.input.erase(node.input.begin(), node.input.begin() + static_cast<ptrdiff_t>(n));
  return static_cast<ssize_t>(n);
}

ssize_t Terminal::write(const uint8_t* from, size_t n) {
  if (hung_up) return -EIO;
  const size_t held = queued(), room = held < 4096 ? 4096 - held : 0;
  n = std::min(n, room);
  if (n == 0) {
    world->after(2 * kMilli, *this, 0);
    return -EAGAIN;
  }
  node.wire->send(from, n);
  // It is writable again when some of it has left.
  world->after(static_cast<Micros>(n) * node.wire->us_per_byte, *this, 0);
  return static_cast<ssize_t>(n);
}

void Terminal::closed() {
  node.opened.erase(std::remove(node.opened.begin(), node.opened.end(), this), node.opened.end());
  if (node.locked_by == this) node.locked_by = nullptr;
}

// ---- plain files

ssize_t NullFile::read(uint8_t* to, size_t n) {
  for (size_t i = 0; random && i < n; ++i) to[i] = static_cast<uint8_t>(owner->random.next());
  return random ? static_cast<ssize_t>(n) : 0;
}

uint32_t PlainFile::ready() const { return EPOLLIN | EPOLLOUT; }

ssize_t PlainFile::read(uint8_t* to, size_t n) {
  n = at < node.data.size() ? std::min(n, node.data.size() - at) : 0;
  memcpy(to, node.data.data() + at, n);
  at += n;
  return static_cast<ssize_t>(n);
}

ssize_t PlainFile::write(const uint8_t* from, size_t n) {
  if (node.full) return -ENOSPC;
  if ((flags & 02000) != 0) at = node.data.size();  // O_APPEND
  if (node.data.size() < at + n) node.data.resize(at + n);
  memcpy(node.data.data() + at, from, n);
  at += n;
  return static_cast<ssize_t>(n);
}

void PlainFile::closed() {
  if (node.locked_by == this) node.locked_by = nullptr;
}

// ---- the log

ssize_t LogFile::write(const uint8_t* from, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (from[i] != '\n') {
      part_ += static_cast<char>(from[i]);
      continue;
    }
    line(part_);
    part_.clear();
  }
  return process_.log_full ? -ENOSPC : static_cast<ssize_t>(n);  // we know it all the same
}

void LogFile::line(const std::string& text) {
  SIM_TRACE("%d| %s\n", process_.number(), text.c_str());
  ++process_.log_lines;
  if (text.find(": bug at ") != std::string::npos) world->fail("process %d: %s", process_.number(), text.c_str());
  const size_t at = text.find("] ");
  const std::string said = at == std::string::npos ? text : text.substr(at + 2);
  const auto begins = [&said](const char* word) { return said.compare(0, strlen(word), word) == 0; };
  if (begins("started ")) process_.started = true;
  const bool up = begins("link-up "), down = begins("warning link-down ") || begins("link-down ");
  if (up) process_.link_up = ++process_.links > 0, ++process_.link_ups;
  if (down) process_.link_up = --process_.links > 0;
  if ((up || down) && process_.renewed_at >= 0) process_.longest_renewal = std::max(process_.longest_renewal, world->now - process_.renewed_at);
  if (up || down) process_.renewed_at = down && said.find("renewed after TIMEOUT=renew") != std::string::npos ? world->now : -1;
  if (process_.log.size() > kLogKept) process_.log.erase(0, kLogKept / 2);
  char stamp[32];
  snprintf(stamp, sizeof stamp, "%.6f ", static_cast<double>(world->now) / 1e6);
  process_.log += stamp + said + "\n";
}

// ---- paths

Node* Disk::find(const std::string& path) const {
  const auto it = nodes_.find(path);
  return it == nodes_.end() ? nullptr : it->second;
}

Node* Disk::put(const std::string& path, Node::Kind kind, std::string data) {
  Node* n = world->make<Node>(kind);
  n->data = std::move(data);
  n->number = next_number++;
  if (kind == Node::Kind::fifo) n->fifo = world->make<PipeBuffer>();
  nodes_[path] = n;
  return n;
}

int Disk::remove(const std::string& path) { return nodes_.erase(path) == 1 ? 0 : ENOENT; }

}  // namespace simos
