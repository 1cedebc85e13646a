// -t: what the daemon will do with a Config, in plain words.
//
// Invariant: one call of line() for each fact, with characters that can be printed; nothing is opened or resolved. Read next: config.h.
#ifndef SOCKMUX_CONFIG_EXPLAIN_H
#define SOCKMUX_CONFIG_EXPLAIN_H

#include <string_view>

#include "config/config.h"

namespace smx {

class LineSink {
 public:
  // One line without its end; the text is valid during the call.
  virtual void line(std::string_view text) = 0;

 protected:
  ~LineSink() = default;
};

constexpr size_t kExplainText = 600;  // a longer line is cut

void explain(const Config& config, LineSink& sink);

}  // namespace smx

#endif
