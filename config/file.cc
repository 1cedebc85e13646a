// Reading whole files. Read next: file.h.
#include "config/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/features.h"

namespace smx {

namespace {

constexpr size_t kPiece = 4096;

// The arena gives neighbouring pieces, as long as nobody else takes some; so the text is whole.
FileText read_all(int fd, Arena& arena) {
  FileText result;
  const char* begun = nullptr;
  size_t size = 0;
  for (;;) {
    char* piece = static_cast<char*>(arena.take(kPiece, 1));
    if (piece == nullptr) {
      result.status = FileText::Status::no_memory;
      return result;
    }
    if (begun == nullptr) begun = piece;
    SMX_CHECK(piece == begun + size);
    size_t filled = 0;
    while (filled < kPiece) {
      const ssize_t n = ::read(fd, piece + filled, kPiece - filled);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        result.status = errno == EISDIR ? FileText::Status::is_directory : FileText::Status::unreadable;
        return result;
      }
      if (n == 0) break;
      filled += static_cast<size_t>(n);
    }
    size += filled;
    if (size > kMaxFileBytes) {
      result.status = FileText::Status::too_big;
      return result;
    }
    if (filled < kPiece) break;
  }
  result.status = FileText::Status::ok;
  result.text = {begun, size};
  return result;
}

}  // namespace

FileText DiskFiles::read(std::string_view path, Arena& arena) {
  FileText result;
  Text<2048> whole;
  if (kHasReload && folder_.size() > 0 && path.substr(0, 1) != "/") whole.add(folder_.text()).add('/');
  whole.add(path);
  result.status = FileText::Status::unreadable;
  if (whole.cut()) return result;
  const std::string_view name = arena.copy(whole.text());
  if (name.data() == nullptr) {
    result.status = FileText::Status::no_memory;
    return result;
  }
  int fd = -1;
  do {
    fd = open(name.data(), O_RDONLY | O_CLOEXEC | O_NOCTTY | (kHasReload && plain_only_ ? O_NONBLOCK : 0));
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    const bool is_missing = errno == ENOENT || errno == ENOTDIR;
    result.status = is_missing ? FileText::Status::missing : FileText::Status::unreadable;
    return result;
  }
  struct stat s;
  const bool plain = !kHasReload || !plain_only_ || (fstat(fd, &s) == 0 && (S_ISREG(s.st_mode) || S_ISDIR(s.st_mode)));
  if (plain) result = read_all(fd, arena);
  close(fd);
  return result;
}

}  // namespace smx
