// Read next: said.h; tools/ctl/sockmuxctl.cc, whose functions these are.
#include "tests/fuzz/said.h"

#include <unistd.h>

#include <initializer_list>

#include "tools/ctl/ctl.h"

namespace fuzz {
bool keeps_said = false;
Data said;
}  // namespace fuzz

namespace smx::ctl {

// What the peer or a file has said goes to a terminal: made printable by who prints it, or by complain().
void complain(std::initializer_list<std::string_view> pieces) {
  for (const std::string_view p : pieces) MUST(p.size() < 100000);
}
int misused(std::initializer_list<std::string_view>) { return kUsage; }
int put(int fd, std::string_view text) {
  if (fd < 0) {
    if (fuzz::keeps_said) fuzz::said += text;
    return 0;
  }
  if (fd <= 2) return print(text);
  for (size_t at = 0; at < text.size();) {
    const ssize_t n = ::write(fd, text.data() + at, text.size() - at);
    if (n <= 0) return 32;  // EPIPE
    at += static_cast<size_t>(n);
  }
  return 0;
}

int put_waiting(int fd, std::string_view text) { return put(fd, text); }
int print(std::string_view text) {
  for (const char c : text) MUST(c == '\n' || c == '\t' || (c >= ' ' && c < 0x7f));
  return 0;
}

}  // namespace smx::ctl
