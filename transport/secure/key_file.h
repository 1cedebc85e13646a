// The file with our private key: one line, which nobody else may read. The only part of transport/secure that makes
// system calls.
//
// Invariant: all checks are made on the open descriptor, so what was checked is what is read; what was read is erased.
// A symbolic link is followed, since tools that bring secrets to a machine leave one, and what it leads to is checked
// just the same. Read next: keys.h.
#ifndef SOCKMUX_TRANSPORT_SECURE_KEY_FILE_H
#define SOCKMUX_TRANSPORT_SECURE_KEY_FILE_H

#include "core/base/text.h"
#include "transport/secure/keys.h"

namespace smx::secure {

struct KeyFile {
  enum class Status : uint8_t {
    ok,
    missing,
    unreadable,   // `error` is an errno
    not_a_file,   // a folder, a FIFO, a device
    wrong_owner,  // `owner`: neither root nor the user we are
    open_mode,    // `mode`: group or others have a right to it
    not_a_key,    // `fault`
  };
  Status status = Status::ok;
  int error = 0;
  uint32_t owner = 0;
  uint32_t mode = 0;
  KeyFault fault = KeyFault::none;
};

// Reads the key at `path`; `out` is erased unless it is ok. Blocks, as reading a file does; called at start only,
// before root is dropped.
[[nodiscard]] KeyFile read_key_file(const char* path, Secret* out);

// What the user reads (status not ok), and the exit code that goes with it (sysexits.h).
void explain(const KeyFile& file, std::string_view path, TextBase* out);
int exit_code(const KeyFile& file);

}  // namespace smx::secure

#endif
