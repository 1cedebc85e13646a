// Read next: table.h.
#include "config/peers/table.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/io/fd.h"
#include "core/io/resident.h"

namespace smx {

namespace {

// What a file of so many bytes needs at most; the worst are lists of hosts, where a few characters are one HostTerm.
constexpr size_t kBytesOfByte = 200;
constexpr size_t kMostAtStart = size_t{128} << 20;

size_t most_for(size_t file) { return file > kMostAtStart / kBytesOfByte ? kMostAtStart : file * kBytesOfByte + kLeastPeersHalf; }

// The file's size, for a first guess; 0: nobody knows, and reading it tells why.
size_t size_of(const char* path) {
  struct stat s;
  return ::stat(path, &s) == 0 && s.st_size > 0 ? static_cast<size_t>(s.st_size) : 0;
}

}  // namespace

void Peers::erase(Half* half) {
  erase_bytes(half->memory, half->used);
  give_back_memory(half->memory, half->used);
  half->used = 0;
  half->list = PeerList{};
}

bool Peers::load(const PeersSource& source, Report* report) {
  SMX_CHECK(half_[0].memory == nullptr);
  source_ = source;
  // Read into as much as it could ever need, which costs nothing until it is touched; what is too much is given back.
  size_t bytes = most_for(size_of(source_.path.data()));
  half_[0].memory = reserve_memory(bytes);
  if (half_[0].memory != nullptr) {
    const Outcome outcome = read(&half_[0], bytes, report);
    if (outcome == Outcome::wrong) return false;
    if (outcome == Outcome::ok) {
      const size_t page = static_cast<size_t>(sysconf(_SC_PAGESIZE));
      const size_t wanted = 2 * half_[0].used > kLeastPeersHalf ? 2 * half_[0].used : kLeastPeersHalf;
      half_bytes_ = (wanted + page - 1) / page * page;
      half_[1].memory = reserve_memory(half_bytes_);
      // Where twice as much is more than the most, the first half stays what it is, and both are of one size.
      if (half_bytes_ < bytes) {
        (void)munmap(static_cast<char*>(half_[0].memory) + half_bytes_, bytes - half_bytes_);
      } else {
        half_bytes_ = bytes;
      }
    }
  }
  if (half_[0].memory != nullptr && half_[1].memory != nullptr) return true;
  report->error(kExitConfig, Origin{}, "%: not enough memory for so many peers", {source_.path});
  return false;
}

bool Peers::reload(Report* report) {
  forget_old();
  Half* half = &half_[1 - now_];
  const Outcome outcome = read(half, half_bytes_, report);
  if (outcome == Outcome::ok) {
    now_ = 1 - now_;
    return true;
  }
  if (outcome == Outcome::wrong) return false;
  Text<24> room;
  room.add_u(half_bytes_ / 1024);
  report->error(kExitConfig, Origin{},
                "%: needs more than the % KiB that were set aside for it at the start; start anew",
                {source_.path, room.text()});
  return false;
}

void Peers::forget_old() { erase(&half_[1 - now_]); }

// Whatever was not ok is erased.
Peers::Outcome Peers::read(Half* half, size_t bytes, Report* report) {
  int fd = -1;
  do {  // NONBLOCK: a FIFO must not hold us up; it changes nothing for a file
    fd = ::open(source_.path.data(), O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const int error = errno;
    if (error == ENOENT || error == ENOTDIR) {
      report->error(kExitNoInput, Origin{}, "%: no such file; it has a line 'NAME KEY' for each peer", {source_.path});
    } else {
      const bool is_reread = half_bytes_ != 0;  // root is dropped by now
      report->error(
          error == EACCES ? kExitPermission : kExitNoInput, Origin{}, "%: %%",
          {source_.path, strerror(error),
           is_reread && error == EACCES ? "; the user that the daemon runs as must be able to read it (OWNER=)" : ""});
    }
    return Outcome::wrong;
  }
  const Fd owner(fd);
  const Outcome outcome = read_open(fd, half, bytes, report);
  if (outcome != Outcome::ok) erase(half);
  return outcome;
}

Peers::Outcome Peers::read_open(int fd, Half* half, size_t bytes, Report* report) {
  const auto wrong = [&](std::string_view why) {
    report->error(kExitNoInput, Origin{}, "%: %", {source_.path, why});
    return Outcome::wrong;
  };
  struct stat s;
  if (fstat(fd, &s) != 0) return wrong(strerror(errno));
  if (!S_ISREG(s.st_mode)) return wrong("not a plain file");
  if (static_cast<uint64_t>(s.st_size) > kMaxPeersBytes) return wrong("more than 32 MiB");
  const size_t size = static_cast<size_t>(s.st_size);
  Arena arena(half->memory, bytes);
  PeersText file;
  file.text = static_cast<char*>(arena.take(size + 1, 1));
  if (file.text == nullptr) return Outcome::too_big;
  half->used = size + 1;
  while (file.size <= size) {  // one byte more than it has: then it grows
    const IoResult got = read_fd(fd, file.text + file.size, size + 1 - file.size);
    if (got.error != 0) return wrong(strerror(got.error));
    if (got.size == 0) break;
    file.size += got.size;
  }
  if (file.size != size) return wrong("changes while it is read");
  file.path = source_.path;
  file.others_can_read = (s.st_mode & S_IROTH) != 0;
  file.own = source_.has_own ? &source_.own : nullptr;
  file.hosts = source_.hosts;
  file.decode = source_.decode;
  const PeersResult result = parse_peers(file, arena, &half->list, report);
  half->used = bytes - arena.left();
  switch (result) {
    case PeersResult::ok: return Outcome::ok;
    case PeersResult::wrong: return Outcome::wrong;
    case PeersResult::no_memory: return Outcome::too_big;
  }
  return Outcome::wrong;
}

}  // namespace smx
