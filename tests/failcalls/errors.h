// Which errors a call can have, by its manual page in section 2 or 3. What only a mistake of the program's own could cause (EBADF,
// EFAULT, EINVAL, ENOTSOCK) is left out: nobody else can make it happen. Read next: errors.cc, plan.h.
#ifndef SOCKMUX_TESTS_FAILCALLS_ERRORS_H
#define SOCKMUX_TESTS_FAILCALLS_ERRORS_H

#include <string>
#include <vector>

#include "tests/failcalls/failcalls.h"

namespace failcalls {

// Codes as FailMap has them, for one place.
std::vector<int> errors_of(const FailPlace& place);
// "ENOMEM", "EAI_AGAIN", "short"
std::string error_name(uint32_t call, int code);
// "read"
const char* call_name(uint32_t call);
// It may cost nothing at all: the call is to be made again, or has done a part.
bool is_harmless(const FailPlace& place, int code);

}  // namespace failcalls

#endif
