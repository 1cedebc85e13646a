// Lines that wait for room in the socket of syslogd, in their order: two bytes with the size of each, then the line.
//
// Owner: core/io/log.cc. Invariant: a line is in it as a whole or not at all, until some of its beginning has gone. Pure.
#ifndef SOCKMUX_CORE_BASE_HELD_LINES_H
#define SOCKMUX_CORE_BASE_HELD_LINES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

namespace smx {

class HeldLines {
 public:
  static constexpr size_t kRoom = 16384;
  bool empty() const { return used_ == 0; }
  // False: there is no room for it. size <= 65535.
  bool add(const char* line, size_t size) {
    if (size + 2 > kRoom - used_) return false;
    set_size(used_, size);
    memcpy(held_ + used_ + 2, line, size);
    used_ += 2 + size;
    return true;
  }
  // Gives each to `send(line, size)`, which returns how much of it has gone, until one has not gone whole. True: something has gone.
  template <typename Send>
  bool give(Send send) {
    size_t done = 0;
    while (done < used_) {
      uint16_t size;
      memcpy(&size, held_ + done, sizeof size);
      const size_t sent = send(held_ + done + 2, size);
      done += sent;
      if (sent == size) done += 2;
      else if (sent > 0) set_size(done, size - sent);  // of a stream
      if (sent < size) break;
    }
    used_ -= done;
    memmove(held_, held_ + done, used_);
    return done > 0;
  }

 private:
  void set_size(size_t at, size_t size) {
    const uint16_t n = static_cast<uint16_t>(size);
    memcpy(held_ + at, &n, sizeof n);
  }
  char held_[kRoom] = {};
  size_t used_ = 0;
};

}  // namespace smx

#endif
