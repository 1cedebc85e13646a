// Read next: clock.h.
#include "core/io/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/features.h"
#include "core/base/text.h"

#if defined(__linux__)
#include <sys/syscall.h>
#endif

namespace smx {

// The log goes on after 2038. Source: glibc's feature_test_macros(7), _TIME_BITS.
#if !defined(SMX_TIME32)
static_assert(sizeof(time_t) == 8, "needs -D_TIME_BITS=64 -D_FILE_OFFSET_BITS=64, and glibc 2.34 or musl 1.2; -DSMX_TIME32 does without");
#endif

Time read_clock() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return {static_cast<int64_t>(t.tv_sec) * 1000000 + t.tv_nsec / 1000};
}

namespace {

struct Parts {
  tm day = {};
  long us = 0;
};

// gmtime_r() in a static program brings the time zones with it. The year begins in March here, so that the day that some
// years have more stands at its end. Source: howardhinnant.github.io/date_algorithms.html, civil_from_days.
void fill_day(int64_t second, tm* out) {
  const int64_t day = second / 86400 + 719468;
  const int rest = static_cast<int>(second % 86400);
  const int64_t era = day / 146097;
  const int of_era = static_cast<int>(day % 146097);
  const int year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
  const int of_year = of_era - (365 * year + year / 4 - year / 100);
  const int month = (5 * of_year + 2) / 153;
  out->tm_mday = of_year - (153 * month + 2) / 5 + 1;
  out->tm_mon = month < 10 ? month + 2 : month - 10;
  out->tm_year = static_cast<int>(era) * 400 + year + (out->tm_mon < 2 ? 1 : 0) - 1900;
  out->tm_hour = rest / 3600;
  out->tm_min = rest / 60 % 60;
  out->tm_sec = rest % 60;
}

Parts wall_clock() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  Parts p;
  fill_day(t.tv_sec < 0 ? 0 : t.tv_sec, &p.day);
  p.us = t.tv_nsec / 1000;
  return p;
}

uint64_t u(int v) { return static_cast<uint64_t>(v); }

}  // namespace

int64_t read_wall_clock() {
  timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  return static_cast<int64_t>(t.tv_sec) * 1000000 + t.tv_nsec / 1000;
}

void write_stamp(char out[23]) {
  const Parts p = wall_clock();
  Text<22> t;
  t.add_padded(u(p.day.tm_year + 1900), 4).add_padded(u(p.day.tm_mon + 1), 2).add_padded(u(p.day.tm_mday), 2).add('-');
  t.add_padded(u(p.day.tm_hour), 2).add_padded(u(p.day.tm_min), 2).add_padded(u(p.day.tm_sec), 2).add('.');
  t.add_padded(static_cast<uint64_t>(p.us), 6);
  memcpy(out, t.c_str(), t.size() + 1);
}

void write_log_stamp(char out[21]) {
  const Parts p = wall_clock();
  Text<20> t;
  t.add_padded(u(p.day.tm_year + 1900), 4).add('-').add_padded(u(p.day.tm_mon + 1), 2).add('-');
  t.add_padded(u(p.day.tm_mday), 2).add('T').add_padded(u(p.day.tm_hour), 2).add(':');
  t.add_padded(u(p.day.tm_min), 2).add(':').add_padded(u(p.day.tm_sec), 2).add('Z');
  memcpy(out, t.c_str(), t.size() + 1);
}

namespace {

int random_fd = -1;  // /dev/urandom, where it is needed; kept, since it may not be opened later

void open_random() {
  if (random_fd < 0) random_fd = ::open("/dev/urandom", O_RDONLY | O_CLOEXEC);
}

#if defined(__linux__) && defined(SYS_getrandom)
// By number: older C libraries lack the function. Up to 256 bytes are never cut short (getrandom(2)).
// GRND_NONBLOCK (1): at early boot the pool may not be ready for minutes; /dev/urandom never waits. Asked again, since under the
// filter there is no other way.
bool get_random(void* out, size_t n) {
  for (int i = 0; i < 3; ++i)
    if (syscall(SYS_getrandom, out, n, 1) == static_cast<long>(n)) return true;
  return false;
}
#endif

}  // namespace

void prepare_clock() {
#if !defined(__linux__)
  if constexpr (kHasSyslog) tzset();  // syslog(3) writes the local time
#endif
#if defined(__linux__) && defined(SYS_getrandom)
  uint8_t byte = 0;
  if (!get_random(&byte, sizeof byte)) open_random();
#elif !defined(__FreeBSD__) && !defined(__OpenBSD__) && !defined(__NetBSD__) && !defined(__APPLE__)
  open_random();
#endif
}

void fill_random(void* out, size_t n) {
  SMX_CHECK(n <= 256);
#if defined(__linux__) && defined(SYS_getrandom)
  if (get_random(out, n)) return;
#elif defined(__FreeBSD__) || defined(__OpenBSD__) || defined(__NetBSD__) || defined(__APPLE__)
  arc4random_buf(out, n);
  return;
#endif
  open_random();
  SMX_CHECK(random_fd >= 0);
  uint8_t* p = static_cast<uint8_t*>(out);
  while (n > 0) {
    const ssize_t got = ::read(random_fd, p, n);
    if (got < 0 && errno == EINTR) continue;
    SMX_CHECK(got > 0);
    p += got;
    n -= static_cast<size_t>(got);
  }
}

}  // namespace smx
