// Read next: line_lock.h.
#include "core/io/line_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

namespace smx {

namespace {

constexpr const char* kFolders[] = {"/run/lock", "/var/lock", "/var/spool/lock"};
constexpr int kTakeOvers = 3;
constexpr time_t kFreshSeconds = 10;  // who makes a lock writes his number within that
constexpr int32_t kMostPid = 1 << 22;  // proc(5), pid_max; other systems have smaller ones

// "/dev/ttyS0": "LCK..ttyS0"; "/dev/pts/3": "LCK..pts_3".
void append_name(TextBase& to, const char* device) {
  if (strncmp(device, "/dev/", 5) == 0) device += 5;
  else if (strrchr(device, '/') != nullptr) device = strrchr(device, '/') + 1;
  to.add("LCK..");
  for (; *device != 0; ++device) to.add(*device == '/' ? '_' : *device);
}

}  // namespace

int LineLock::lock(const char* device) {
  Text<kLockPath> name;
  append_name(name, device);
  if (held()) {
    if (name.text() == name_.text()) return 0;
    unlock();
  }
  name_.clear();
  name_.add(name.text());
  int error = ENOENT;
  for (const char* folder : kFolders) {
    if (access(folder, F_OK) < 0) continue;
    path_.clear();
    path_.add(folder).add('/').add(name.text());
    if (path_.cut()) return ENAMETOOLONG;
    error = make();
    if (error == 0 || error == EBUSY) break;
  }
  return error;
}

int LineLock::make() {
  for (int i = 0; i < kTakeOvers; ++i) {
    Fd fd(::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (fd.valid()) {
      fd_ = static_cast<Fd&&>(fd);
      const int error = write_pid();
      if (error != 0) unlock();  // a lock without a number is anybody's soon
      return error;
    }
    if (errno != EEXIST) return errno;
    if (!is_stale()) return EBUSY;
    if (::unlink(path_.c_str()) < 0 && errno != ENOENT) return errno;
  }
  return EBUSY;
}

// Is the process that it names gone?
bool LineLock::is_stale() {
  holder_ = 0;
  Fd fd(::open(path_.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return errno == ENOENT;
  char text[32] = {};
  const IoResult got = read_fd(fd.get(), text, sizeof text - 1);
  if (got.error != 0) return false;  // whose it is is not known
  const size_t n = got.size;
  long pid = strtol(text, nullptr, 10);
  if (n == sizeof(int32_t) && strspn(text, "0123456789 \n") < n) {  // the older form: four bytes; the last of a number is 0
    int32_t binary = 0;
    memcpy(&binary, text, sizeof binary);
    if (binary <= kMostPid) pid = binary;
  }
  if (pid <= 0 || pid > kMostPid) {  // where long has 32 bits, what is larger is the largest of them
    struct stat s;
    if (fstat(fd.get(), &s) != 0 || !S_ISREG(s.st_mode)) return false;
    const time_t age = time(nullptr) - s.st_mtime;  // below 0: the clock was set back
    return age > kFreshSeconds || age < -kFreshSeconds;
  }
  holder_ = static_cast<uint32_t>(pid);
  // Ours: we could not remove it in a folder of root's, or one before us had our number, as in a container.
  return pid == getpid() || (kill(static_cast<pid_t>(pid), 0) < 0 && errno == ESRCH);
}

// 0 or errno.
int LineLock::write_pid() {
  if (!held()) return 0;
  Text<16> digits, text;
  digits.add_u(static_cast<uint64_t>(getpid()));
  for (size_t i = digits.size(); i < 10; ++i) text.add(' ');
  text.add(digits.text()).add('\n');
  for (size_t done = 0; done < text.size();) {
    const ssize_t n = pwrite(fd_.get(), text.c_str() + done, text.size() - done, static_cast<off_t>(done));
    if (n > 0) done += static_cast<size_t>(n);
    else if (n == 0 || errno != EINTR) return n == 0 ? ENOSPC : errno;
  }
  return 0;
}

void LineLock::give_to(uint32_t uid, uint32_t gid) {
  if (held()) (void)!fchown(fd_.get(), uid, gid);
}

// In a folder of root's it may have to stay: it names a process that is dead, then.
void LineLock::unlock() {
  if (!held()) return;
  struct stat ours, there;
  const bool same = fstat(fd_.get(), &ours) == 0 && lstat(path_.c_str(), &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
  fd_.reset();
  if (same) (void)::unlink(path_.c_str());
}

}  // namespace smx
