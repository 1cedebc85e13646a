// Serial lines: termios(3) in raw mode, and what the driver tells about its queue and its modem lines.
//
// Invariant: nothing here blocks: no drain, no open that waits for a carrier. Errors are errno values.
// Read next: core/base/serial.h, transport/tty.h (who uses it). Source: termios(3), tty_ioctl(4), cfmakeraw(3).
#ifndef SOCKMUX_CORE_IO_SERIAL_H
#define SOCKMUX_CORE_IO_SERIAL_H

#include <termios.h>

#include "core/base/serial.h"
#include "core/io/fd.h"

namespace smx {

// Can this system set that speed?
bool speed_is_known(uint32_t speed);

// What a path names.
enum class DeviceKind : uint8_t { absent, line, fifo, other };
// `line` is any character device; absent: with errno in `error`.
DeviceKind device_kind(const char* path, int* error);

class SerialPort {
 public:
  SerialPort() = default;
  SerialPort(const SerialPort&) = delete;
  SerialPort& operator=(const SerialPort&) = delete;
  ~SerialPort() { close(); }

  // Opens it for this process alone: O_NOCTTY, flock(2), TIOCEXCL; raw mode with these settings. What came before is
  // kept: it may be the peer's HELLO. Without termios (ENOTTY) it is used as it is: see has_termios(). EWOULDBLOCK: another program has it.
  int open(const char* path, const SerialSettings& settings);
  // Puts the settings back that it had, drops what is still unsent (a line that is stopped must not stop us), closes.
  void close();

  int fd() const { return fd_.get(); }
  bool is_open() const { return fd_.valid(); }
  bool has_termios() const { return saved_; }
  // A real line has modem lines; a pseudo terminal has none.
  bool has_modem_lines() const { return modem_lines_; }
  // The driver has taken all settings (a pseudo terminal knows no parity).
  bool took_all() const { return took_all_; }

  // Bytes that wait in the driver; 0 where it does not tell.
  size_t output_queue() const;
  bool carrier() const;
  // The other end of a pseudo terminal, the device, or the carrier is gone.
  bool hung_up() const;

 private:
  int set(const SerialSettings& settings);

  Fd fd_;
  termios before_;
  bool saved_ = false, modem_lines_ = false, took_all_ = true;
};

}  // namespace smx

#endif
