/* Counts the calls of malloc and the like that a process makes after it has logged that it has started.
 *
 * Loaded by LD_PRELOAD into the daemon. MALLOC_COUNT_FILE is mapped: [0] calls since the start, [1] 1 after the start.
 * Children that the process forks (the resolver's) do not count. Read next: daemon.cc. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

static volatile uint64_t* counter;
static pid_t owner;
static void* (*real_malloc)(size_t);
static void* (*real_calloc)(size_t, size_t);
static void* (*real_realloc)(void*, size_t);
static void* (*real_mmap)(void*, size_t, int, int, int, off_t);
static ssize_t (*real_write)(int, const void*, size_t);

/* dlsym() itself may call calloc() before there is one. */
static char first[4096];
static size_t first_used;

static void find(void) {
  static int busy;
  if (real_write != NULL || busy) return;
  busy = 1;
  real_malloc = (void* (*)(size_t))dlsym(RTLD_NEXT, "malloc");
  real_calloc = (void* (*)(size_t, size_t))dlsym(RTLD_NEXT, "calloc");
  real_realloc = (void* (*)(void*, size_t))dlsym(RTLD_NEXT, "realloc");
  real_mmap = (void* (*)(void*, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
  real_write = (ssize_t(*)(int, const void*, size_t))dlsym(RTLD_NEXT, "write");
  busy = 0;
}

static void* from_first(size_t size) {
  void* p = first + first_used;
  first_used += (size + 15) & ~(size_t)15;
  if (first_used > sizeof first) abort();
  return p;
}

static void count(void) {
  if (counter != NULL && counter[1] == 1 && getpid() == owner) ++counter[0];
}

__attribute__((constructor)) static void begin(void) {
  const char* path = getenv("MALLOC_COUNT_FILE");
  int fd;
  void* map;
  find();
  if (path == NULL || (fd = open(path, O_RDWR | O_CLOEXEC)) < 0) return;
  map = real_mmap(NULL, 64, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  close(fd);
  if (map == MAP_FAILED) return;
  owner = getpid();
  counter = (volatile uint64_t*)map;
  counter[1] = 0; /* a daemon that is started anew */
}

void* malloc(size_t size) {
  find();
  count();
  return real_malloc != NULL ? real_malloc(size) : from_first(size);
}
void* calloc(size_t n, size_t size) {
  find();
  count();
  return real_calloc != NULL ? real_calloc(n, size) : from_first(n * size);
}
void* realloc(void* p, size_t size) {
  find();
  count();
  if (real_realloc == NULL) abort();
  return real_realloc(p, size);
}
void* mmap(void* at, size_t size, int protection, int flags, int fd, off_t offset) {
  find();
  count();
  return real_mmap(at, size, protection, flags, fd, offset);
}
ssize_t write(int fd, const void* bytes, size_t size) {
  find();
  if (counter != NULL && counter[1] == 0 && getpid() == owner && memmem(bytes, size, "] started ", 10) != NULL) counter[1] = 1;
  return real_write(fd, bytes, size);
}
