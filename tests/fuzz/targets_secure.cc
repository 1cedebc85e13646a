// Targets that SECURE=sodium adds. Read next: targets.cc.
#include "tests/fuzz/targets.h"

namespace fuzz {

void add_secure_targets(std::vector<Target>* to) {
  const Target more[] = {
      {"secure_message", secure_message, 1500},
      {"secure_handshake", secure_handshake, 600},
      {"secure_records", secure_records, 600},
      {"secure_line", secure_line, 700},
  };
  to->insert(to->end(), std::begin(more), std::end(more));
}

}  // namespace fuzz
