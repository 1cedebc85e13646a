// Settings of a serial line, from text: "115200,8n1,rtscts,local", each at most once, in any order.
//
// Invariant: what is returned can be obeyed by some system; whether this one knows the speed is core/io/serial.h's to say.
// Pure. Read next: core/base/serial.h. Source: sockmux.conf(5).
#ifndef SOCKMUX_CONFIG_SERIAL_H
#define SOCKMUX_CONFIG_SERIAL_H

#include <string_view>

#include "core/base/serial.h"
#include "core/base/text.h"

namespace smx {

// What stands behind the first comma. False: `why` says what is wrong with which word, and what was expected.
bool parse_serial(std::string_view words, SerialSettings* out, TextBase& why);

}  // namespace smx

#endif
