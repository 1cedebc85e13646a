/* Another time than the machine's: loaded by LD_PRELOAD into a daemon, it adds to what clock_gettime(2) says.
 *
 * CLOCK_SHIFT_FILE is mapped: seconds that the test adds to the [0] wall clock, [1] monotonic clock. For machines of 64 bits.
 * Read next: clock.cc. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t* shift;

/* Before the daemon gives up its rights. */
__attribute__((constructor)) static void find(void) {
  const char* path = getenv("CLOCK_SHIFT_FILE");
  const int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
  void* map = fd < 0 ? MAP_FAILED : mmap(NULL, 64, PROT_READ, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  if (map != MAP_FAILED) shift = map;
}

int clock_gettime(clockid_t id, struct timespec* t) {
  const long result = syscall(SYS_clock_gettime, id, t);
  if (result == 0 && shift != NULL && (id == CLOCK_REALTIME || id == CLOCK_MONOTONIC)) t->tv_sec += shift[id == CLOCK_REALTIME ? 0 : 1];
  return (int)result;
}

time_t time(time_t* out) {
  struct timespec t;
  clock_gettime(CLOCK_REALTIME, &t);
  if (out != NULL) *out = t.tv_sec;
  return t.tv_sec;
}
