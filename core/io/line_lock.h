// The lock file of a serial line, as the system's own tools make and honour it: LCK..ttyS0 in /run/lock (or /var/lock,
// /var/spool/lock), with the process id in ten characters and a newline (HDB UUCP; FHS 3.0, 5.9).
//
// Invariant: the file is ours from lock() to unlock(), and removed then as far as we may. A file of a process that has
// died is taken over. Errors are errno values. Read next: transport/tty.h.
#ifndef SOCKMUX_CORE_IO_LINE_LOCK_H
#define SOCKMUX_CORE_IO_LINE_LOCK_H

#include <stdint.h>

#include "core/base/text.h"
#include "core/io/fd.h"

namespace smx {

constexpr size_t kLockPath = 120;

class LineLock {
 public:
  LineLock() = default;
  LineLock(const LineLock&) = delete;
  LineLock& operator=(const LineLock&) = delete;
  ~LineLock() { unlock(); }

  // For this device; another one's lock is given up. 0: it is ours, or was. EBUSY: holder() has it, or 0: a fresh file that
  // names nobody. Else: no folder could be written; path() is the last one tried.
  int lock(const char* device);
  void unlock();
  bool held() const { return fd_.valid(); }
  const char* path() const { return path_.c_str(); }
  uint32_t holder() const { return holder_; }

  // After a fork: the file names this process. 0 or errno.
  int write_pid();
  // The file will be removed by this user.
  void give_to(uint32_t uid, uint32_t gid);

 private:
  int make();
  bool is_stale();

  Text<kLockPath> path_, name_;
  Fd fd_;
  uint32_t holder_ = 0;
};

}  // namespace smx

#endif
