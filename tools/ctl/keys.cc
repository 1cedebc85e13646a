// genkey, pubkey, genpsk: private keys go from random numbers to a file that nobody else can read, and are erased.
//
// Invariants: no file is ever overwritten; a private key is on the stack, in a Secret, and in the file, and nowhere else.
// Read next: transport/secure/keys.h, key_file.h. Source: sockmuxctl(8); wg(8).
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/prctl.h>
#include <sys/syscall.h>
#endif

#include <initializer_list>

#include "core/io/fd.h"
#include "tools/ctl/ctl.h"
#include "transport/secure/key_file.h"

namespace smx::ctl {

namespace {

using secure::kKeyText;
using secure::Secret;
using KeyLine = secure::SecretBytes<kKeyText + 1>;  // and a line end

constexpr const char* kFolder = "/etc/sockmux";
constexpr const char* kKeyFile = "/etc/sockmux/key";

char* text_of(KeyLine& line) { return reinterpret_cast<char*>(line.data()); }
std::string_view view_of(const KeyLine& line) { return as_text(line.view()); }
void end_line(KeyLine& line) { line.data()[kKeyText] = '\n'; }

// What we hold shall not be found in a core file, nor be read by a debugger.
void hide_memory() {
  const rlimit none{0, 0};
  (void)setrlimit(RLIMIT_CORE, &none);
#if defined(__linux__)
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
#endif
}

#if defined(__linux__)
// 0 or errno. A kernel without getrandom(2) (before 3.17): /dev/random tells when there are random numbers at all
// (random(4)), and /dev/urandom has them.
int from_device(uint8_t* out, size_t n) {
  const Fd ready(::open("/dev/random", O_RDONLY | O_CLOEXEC));
  pollfd wait{ready.get(), POLLIN, 0};
  while (ready.valid() && poll(&wait, 1, -1) < 0)
    if (errno != EINTR) return errno;
  const Fd source(::open("/dev/urandom", O_RDONLY | O_CLOEXEC));
  if (!source.valid()) return errno;
  while (n > 0) {
    const IoResult r = read_fd(source.get(), out, n);
    if (r.size == 0) return r.error != 0 ? r.error : EIO;
    out += r.size;
    n -= r.size;
  }
  return 0;
}

// Waits for the kernel, unlike the daemon: a key that is made on the first boot must not be one that others can guess.
int fill_strong(uint8_t* out, size_t n) {
#if defined(SYS_getrandom)
  constexpr unsigned kNonBlock = 1;
  long got = syscall(SYS_getrandom, out, n, kNonBlock);
  if (got < 0 && errno == EAGAIN) {
    complain({"waiting for the kernel's random numbers"});
    do got = syscall(SYS_getrandom, out, n, 0);
    while (got < 0 && errno == EINTR);
  }
  if (got == static_cast<long>(n)) return 0;
  if (got < 0 && errno != ENOSYS) return errno;
#endif
  return from_device(out, n);
}
#else
int fill_strong(uint8_t* out, size_t n) {
  arc4random_buf(out, n);
  return 0;
}
#endif

int make_random(Secret* out) {
  const int error = fill_strong(out->data(), secure::kKey);
  if (error == 0) return 0;
  complain({"random numbers: ", strerror(error)});
  return kSystem;
}

int say_public(std::string_view private_line) {
  char shown[kKeyText + 1];
  const secure::KeyFault fault = secure::pubkey(private_line, shown);
  if (fault != secure::KeyFault::none) {
    complain({"standard input: not a key: one line of 44 base64 characters is wanted (", secure::name(fault), ")"});
    return kData;
  }
  shown[kKeyText] = '\n';
  return print({shown, sizeof shown});
}

// For others to read what we print, the way that a shell has opened it for us, is rarely what is wanted.
void warn_of_readers() {
  struct stat s;
  if (fstat(STDOUT_FILENO, &s) == 0 && S_ISREG(s.st_mode) && (s.st_mode & 077) != 0)
    complain({"warning: others can read the file that this key goes to; 'umask 077' before, and a new key, make it safe"});
}

int make_folder() {
  if (mkdir(kFolder, 0755) == 0) {
    // Whatever the umask says: the daemon reads the peers file there with the rights that it has left.
    if (chmod(kFolder, 0755) == 0) return 0;
  } else if (errno == EEXIST) {
    return 0;
  }
  const int error = errno;
  complain({kFolder, ": ", strerror(error)});
  return error == EACCES || error == EPERM ? kPermission : kCannotCreate;
}

int write_key(const char* file, const KeyLine& line) {
  Fd fd(::open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY, 0600));
  if (!fd.valid() && errno == EEXIST) {
    complain({file, ": is there already, and is never overwritten; 'sockmuxctl pubkey ", file, "' prints its public key"});
    return kCannotCreate;
  }
  if (!fd.valid()) {
    const int error = errno;
    complain({file, ": ", strerror(error)});
    return error == EACCES || error == EPERM ? kPermission : kCannotCreate;
  }
  int error = fchmod(fd.get(), 0600) < 0 ? errno : 0;  // a strange umask may have left less
  if (error == 0) error = put(fd.get(), view_of(line));
  if (error == 0 && fsync(fd.get()) < 0 && errno != EINVAL && errno != ENOTSUP) error = errno;
  if (error == 0) return 0;
  complain({file, ": ", strerror(error)});
  (void)::unlink(file);  // it is ours: half a key is none
  return kIo;
}

}  // namespace

int genkey(const char* file) {
  hide_memory();
  Secret random;
  int code = make_random(&random);
  if (code != 0) return code;
  KeyLine line;
  secure::genkey(random, text_of(line));
  end_line(line);
  if (file != nullptr && std::string_view(file) == "-") {
    warn_of_readers();
    return print(view_of(line));
  }
  if (file == nullptr) {
    file = kKeyFile;
    code = make_folder();
    if (code != 0) return code;
  }
  code = write_key(file, line);
  if (code != 0) return code;
  code = say_public(view_of(line));
  if (code != 0) complain({file, ": the key is made; 'sockmuxctl pubkey ", file, "' prints its public key"});
  return code;
}

int pubkey(const char* file) {
  hide_memory();
  if (file == nullptr) file = kKeyFile;
  secure::SecretBytes<kKeyText + 2> text;  // one more than a key and its line end: then it is too long
  if (std::string_view(file) == "-") {
    size_t size = 0;
    while (size < kKeyText + 2) {
      const IoResult r = read_fd(STDIN_FILENO, text.data() + size, kKeyText + 2 - size);
      if (r.error != 0 || r.again) {
        complain({"standard input: ", strerror(r.again ? EAGAIN : r.error)});
        return kIo;
      }
      if (r.size == 0) break;
      size += r.size;
    }
    return say_public(as_text({text.data(), size}));
  }
  Secret key;
  const secure::KeyFile read = secure::read_key_file(file, &key);
  if (read.status != secure::KeyFile::Status::ok) {
    Text<400> why;
    secure::explain(read, file, &why);
    complain({why.text()});
    return secure::exit_code(read);
  }
  KeyLine line;
  secure::encode_key(key.data(), text_of(line));
  end_line(line);
  return say_public(view_of(line));
}

int genpsk() {
  hide_memory();
  Secret random;
  const int code = make_random(&random);
  if (code != 0) return code;
  KeyLine line;
  secure::genpsk(random, text_of(line));
  end_line(line);
  return print(view_of(line));
}

}  // namespace smx::ctl
