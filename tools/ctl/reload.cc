// What a daemon has said to `reload`: errors and warnings, each with file and line, and what has changed. Read next: ask.cc,
// daemon_reload.cc (who says it).
#include <initializer_list>

#include "core/base/letters.h"
#include "core/base/text.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"

namespace smx::ctl {

int reload(const Words& words) {
  Answer answer;
  const int asked = answer.ask("reload", words.socket);
  if (asked != 0) return asked;
  std::string_view lines = answer.lines();
  int code = kProtocol;  // until it has said how it went
  while (!lines.empty()) {
    const size_t end = place_of(lines, '\n');
    const std::string_view line = first(lines, end);
    lines = end == kNowhere ? std::string_view() : skip(lines, end + 1);
    const size_t tab = place_of(line, '\t');
    const std::string_view kind = first(line, tab), text = tab == kNowhere ? std::string_view() : skip(line, tab + 1);
    if (kind == "error") {
      complain({text});
    } else if (kind == "warning") {
      complain({"warning: ", text});
    } else if (kind == "failed") {
      complain({text});
      code = kConfig;
    } else if (kind == "done") {
      Text<600> said("reloaded; ");
      code = print(said.add_printable(text).add('\n').text());
    }
  }
  if (code == kProtocol) complain({"the daemon has not said how it went"});
  return code;
}

}  // namespace smx::ctl
