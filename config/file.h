// The files behind "+=", from the file system. The only part of config/ that makes system calls.
//
// Invariant: the descriptor is closed when read() returns. Read next: parse.h.
#ifndef SOCKMUX_CONFIG_FILE_H
#define SOCKMUX_CONFIG_FILE_H

#include "config/parse.h"

namespace smx {

class DiskFiles final : public FileSource {
 public:
  // Blocks, as reading a file does; called at start and on HUP only.
  FileText read(std::string_view path, Arena& arena) override;
};

}  // namespace smx

#endif
