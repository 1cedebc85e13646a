// The files behind "+=", from the file system. The only part of config/ that makes system calls.
//
// Invariant: the descriptor is closed when read() returns. Read next: parse.h.
#ifndef SOCKMUX_CONFIG_FILE_H
#define SOCKMUX_CONFIG_FILE_H

#include "config/parse.h"
#include "core/base/text.h"

namespace smx {

class DiskFiles final : public FileSource {
 public:
  // Blocks, as reading a file does; called at start and on HUP only.
  FileText read(std::string_view path, Arena& arena) override;
  // From now on relative paths begin there, wherever the process is (at most 1023 bytes, and no '/' at its end).
  void set_folder(std::string_view folder) {
    folder_.clear();
    folder_.add(folder);
  }
  // From now on what is no plain file is unreadable: a FIFO or a device could keep us waiting.
  void set_plain_only() { plain_only_ = true; }

 private:
  Text<1024> folder_;
  bool plain_only_ = false;
};

}  // namespace smx

#endif
