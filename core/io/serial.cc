// Read next: serial.h.
#include "core/io/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

namespace smx {

namespace {

struct Speed {
  uint32_t bits;
  speed_t code;
};

// The same list as in config/serial.cc, as far as this system has names for them.
constexpr Speed kSpeeds[] = {
    {50, B50},       {75, B75},       {110, B110},     {134, B134},     {150, B150},     {200, B200},     {300, B300},
    {600, B600},     {1200, B1200},   {1800, B1800},   {2400, B2400},   {4800, B4800},   {9600, B9600},   {19200, B19200},
    {38400, B38400},
#ifdef B57600
    {57600, B57600},
#endif
#ifdef B115200
    {115200, B115200},
#endif
#ifdef B230400
    {230400, B230400},
#endif
#ifdef B460800
    {460800, B460800},
#endif
#ifdef B500000
    {500000, B500000},
#endif
#ifdef B576000
    {576000, B576000},
#endif
#ifdef B921600
    {921600, B921600},
#endif
#ifdef B1000000
    {1000000, B1000000},
#endif
#ifdef B1152000
    {1152000, B1152000},
#endif
#ifdef B1500000
    {1500000, B1500000},
#endif
#ifdef B2000000
    {2000000, B2000000},
#endif
#ifdef B2500000
    {2500000, B2500000},
#endif
#ifdef B3000000
    {3000000, B3000000},
#endif
#ifdef B3500000
    {3500000, B3500000},
#endif
#ifdef B4000000
    {4000000, B4000000},
#endif
};

#ifdef CRTSCTS
constexpr tcflag_t kRtsCts = CRTSCTS;
#else
constexpr tcflag_t kRtsCts = 0;
#endif

int set_attributes(int fd, const termios& to) {
  int result;
  do {
    result = tcsetattr(fd, TCSANOW, &to);
  } while (result < 0 && errno == EINTR);
  return result;
}

const Speed* find_speed(uint32_t bits) {
  for (const Speed& s : kSpeeds)
    if (s.bits == bits) return &s;
  return nullptr;
}

}  // namespace

bool speed_is_known(uint32_t speed) { return find_speed(speed) != nullptr; }

DeviceKind device_kind(const char* path, int* error) {
  struct stat s;
  *error = 0;
  if (stat(path, &s) < 0) {
    *error = errno;
    return DeviceKind::absent;
  }
  return S_ISCHR(s.st_mode) ? DeviceKind::line : S_ISFIFO(s.st_mode) ? DeviceKind::fifo : DeviceKind::other;
}

int SerialPort::open(const char* path, const SerialSettings& settings) {
  close();
  Fd fd(::open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC));
  if (!fd.valid()) return errno;
  // Other programs of this kind look at one or the other of these; root is above TIOCEXCL.
  if (flock(fd.get(), LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) return EWOULDBLOCK;
  fd_ = static_cast<Fd&&>(fd);
  saved_ = tcgetattr(fd_.get(), &before_) == 0;
  took_all_ = true;
  int lines = 0;
  modem_lines_ = saved_ && ioctl(fd_.get(), TIOCMGET, &lines) == 0;
  if (!saved_) {
    const int error = errno;
    // EIO: a line without hardware behind it
    if (error == ENOTTY || error == EINVAL) return 0;
    close();
    return error;
  }
  (void)ioctl(fd_.get(), TIOCEXCL);
  const int error = set(settings);
  if (error != 0) close();
  return error;
}

int SerialPort::set(const SerialSettings& settings) {
  const Speed* speed = find_speed(settings.speed);
  if (speed == nullptr) return EINVAL;
  termios now = before_;
  now.c_iflag &= ~static_cast<tcflag_t>(BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON | IXOFF | IXANY | INPCK);
  now.c_iflag |= IGNBRK | IGNPAR;  // a break while a plug is put in is no byte
  now.c_oflag &= ~static_cast<tcflag_t>(OPOST);
  now.c_lflag &= ~static_cast<tcflag_t>(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  now.c_cflag &= ~static_cast<tcflag_t>(CSIZE | PARENB | PARODD | CSTOPB | CLOCAL | kRtsCts);
  tcflag_t wanted = CS8 | CREAD;
  if (settings.parity != SerialSettings::Parity::none) wanted |= PARENB;
  if (settings.parity == SerialSettings::Parity::odd) wanted |= PARODD;
  if (settings.stop_bits == 2) wanted |= CSTOPB;
  if (settings.rtscts) wanted |= kRtsCts;
  if (!settings.modem) wanted |= CLOCAL;
  now.c_cflag |= wanted;
  if (settings.parity != SerialSettings::Parity::none) now.c_iflag = (now.c_iflag | INPCK) & ~static_cast<tcflag_t>(IGNPAR);
  now.c_cc[VMIN] = 1;  // 0 would make "nothing there" look like a hangup
  now.c_cc[VTIME] = 0;
  if (cfsetispeed(&now, speed->code) < 0 || cfsetospeed(&now, speed->code) < 0) return errno;
  if (set_attributes(fd_.get(), now) < 0) return errno;
  // tcsetattr() is content when it could do anything at all (POSIX).
  termios is;
  if (tcgetattr(fd_.get(), &is) < 0) return errno;
  const tcflag_t looked_at = CSIZE | PARENB | PARODD | CSTOPB | CLOCAL | kRtsCts;
  took_all_ = (is.c_cflag & looked_at) == (now.c_cflag & looked_at) && cfgetospeed(&is) == speed->code;
  return 0;
}

void SerialPort::close() {
  if (!fd_.valid()) return;
  if (saved_) {
    (void)tcflush(fd_.get(), TCOFLUSH);
    (void)set_attributes(fd_.get(), before_);
    (void)ioctl(fd_.get(), TIOCNXCL);
  }
  saved_ = modem_lines_ = false;
  fd_.reset();
}

size_t SerialPort::output_queue() const {
  int n = 0;
  if (!saved_ || ioctl(fd_.get(), TIOCOUTQ, &n) < 0 || n < 0) return 0;
  return static_cast<size_t>(n);
}

bool SerialPort::carrier() const {
  int lines = 0;
  return !modem_lines_ || (ioctl(fd_.get(), TIOCMGET, &lines) == 0 && (lines & TIOCM_CAR) != 0);
}

bool SerialPort::hung_up() const {
  pollfd p{fd_.get(), POLLIN, 0};
  return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL)) != 0;
}

}  // namespace smx
