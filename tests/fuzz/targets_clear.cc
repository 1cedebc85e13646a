// Without secure links there is nothing to add. Read next: targets_secure.cc.
#include "tests/fuzz/targets.h"

namespace fuzz {

void add_secure_targets(std::vector<Target>*) {}

}  // namespace fuzz
