// Read next: key_file.h.
#include "transport/secure/key_file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/fd.h"

namespace smx::secure {

namespace {

constexpr uint32_t kOthers = 077;
constexpr int kNoInput = 66, kNoPermission = 77, kBadConfig = 78;  // sysexits.h: EX_NOINPUT, EX_NOPERM, EX_CONFIG

KeyFile failed(KeyFile::Status status, int error = 0) {
  KeyFile out;
  out.status = status;
  out.error = error;
  return out;
}

KeyFile read_open(int fd, Secret* out) {
  struct stat s;
  if (fstat(fd, &s) != 0) return failed(KeyFile::Status::unreadable, errno);
  if (!S_ISREG(s.st_mode)) return failed(KeyFile::Status::not_a_file);
  KeyFile result;
  result.owner = s.st_uid;
  result.mode = s.st_mode & 07777;
  if (s.st_uid != 0 && s.st_uid != geteuid()) {
    result.status = KeyFile::Status::wrong_owner;
    return result;
  }
  if ((result.mode & kOthers) != 0) {
    result.status = KeyFile::Status::open_mode;
    return result;
  }
  SecretBytes<kKeyText + 2> text;  // one more than a key and its LF: then it is too long
  size_t size = 0;
  while (size < kKeyText + 2) {
    const IoResult got = read_fd(fd, text.data() + size, kKeyText + 2 - size);
    if (got.error != 0) return failed(KeyFile::Status::unreadable, got.error);
    if (got.size == 0) break;
    size += got.size;
  }
  result.fault = parse_key_line(as_text({text.data(), size}), out);
  if (result.fault != KeyFault::none) result.status = KeyFile::Status::not_a_key;
  return result;
}

}  // namespace

KeyFile read_key_file(const char* path, Secret* out) {
  out->erase();
  int fd = -1;
  do {  // NONBLOCK: a FIFO must not hold up the start; it changes nothing for a file
    fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  if (fd < 0) {
    return errno == ENOENT || errno == ENOTDIR ? failed(KeyFile::Status::missing)
                                               : failed(KeyFile::Status::unreadable, errno);
  }
  const Fd owner(fd);
  return read_open(fd, out);
}

void explain(const KeyFile& file, std::string_view path, TextBase* out) {
  out->add_printable(path).add(": ");
  switch (file.status) {
    case KeyFile::Status::ok: out->add("a key"); break;
    case KeyFile::Status::missing: out->add("no such file; 'sockmuxctl genkey' makes a key"); break;
    case KeyFile::Status::unreadable: out->add(strerror(file.error)); break;
    case KeyFile::Status::not_a_file: out->add("not a plain file"); break;
    case KeyFile::Status::wrong_owner:
      out->add("owner is uid ").add_u(file.owner).add("; must be root or the daemon's user");
      break;
    case KeyFile::Status::open_mode:
      out->add("others can read this key (mode ");
      for (int shift = 9; shift >= 0; shift -= 3) out->add(static_cast<char>('0' + (file.mode >> shift & 7)));
      out->add("): 'chmod 600 ").add_printable(path).add("', and make a new one if others have been here");
      break;
    case KeyFile::Status::not_a_key:
      out->add("not a key: one line of 44 base64 characters is wanted (").add(name(file.fault)).add(")");
      break;
  }
}

int exit_code(const KeyFile& file) {
  switch (file.status) {
    case KeyFile::Status::ok: return 0;
    case KeyFile::Status::missing:
    case KeyFile::Status::not_a_file: return kNoInput;
    case KeyFile::Status::unreadable: return file.error == EACCES ? kNoPermission : kNoInput;
    case KeyFile::Status::wrong_owner:
    case KeyFile::Status::open_mode: return kNoPermission;
    case KeyFile::Status::not_a_key: return kBadConfig;
  }
  return kBadConfig;
}

}  // namespace smx::secure
