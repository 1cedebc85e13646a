// How a serial line is set: what config reads and the transport obeys.
//
// Pure values. Read next: config/serial.h (from text), core/io/serial.h (to the system).
// Source: sockmux.conf(5), "SERVER=sockmux:comm@".
#ifndef SOCKMUX_CORE_BASE_SERIAL_H
#define SOCKMUX_CORE_BASE_SERIAL_H

#include <stdint.h>

#include "core/base/text.h"

namespace smx {

struct SerialSettings {
  enum class Parity : uint8_t { none, even, odd };
  uint32_t speed = 115200;      // bits a second
  bool speed_given = false;     // the user has said so: then it is the line's rate, whatever the device is
  bool given = false;           // any of them was said
  Parity parity = Parity::none;
  uint8_t stop_bits = 1;        // 1 or 2
  bool rtscts = false;
  bool modem = false;           // the carrier counts
};

// Start bit, 8 of data, parity, stop.
constexpr uint32_t bits_of_a_byte(const SerialSettings& s) {
  return 9u + (s.parity != SerialSettings::Parity::none ? 1u : 0u) + s.stop_bits;
}

// What the line carries at most, at least 1.
constexpr uint32_t bytes_a_second(const SerialSettings& s) {
  return s.speed / bits_of_a_byte(s) > 0 ? s.speed / bits_of_a_byte(s) : 1;
}

// "115200 8n1 rtscts local", for people.
inline void append_serial(TextBase& to, const SerialSettings& s) {
  to.add_u(s.speed).add(" 8");
  to.add(s.parity == SerialSettings::Parity::none ? 'n' : s.parity == SerialSettings::Parity::even ? 'e' : 'o');
  to.add_u(s.stop_bits);
  if (s.rtscts) to.add(" rtscts");
  to.add(s.modem ? " modem" : " local");
}

}  // namespace smx

#endif
