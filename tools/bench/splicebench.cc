// splicebench: does splice(2) move a tunnel's bytes cheaper than copying them? Linux only.
//
//   splicebench [-m MIB] [-r ROUNDS] [-c] [SHAPE...]   measures; -c: the copying relays' memory is never in a cache
//   splicebench -v [-m MIB] [SHAPE...]                 verifies: odd sizes, a digest of every byte; status 1 if one is wrong
//
// Four processes in a chain over loopback TCP, made anew for each run: source -> tx relay -> rx relay -> sink. The relays do
// what sockmuxd does with bulk: tx puts an 8-byte header before each 16,376 bytes, rx takes it off. A shape says how:
//
//   copy      tx: one readv of up to 256 KiB into 16 packets of a ring, one write of them. rx: one read of 256 KiB, one writev
//   splice    each packet alone through a pipe. tx: payload in, header by send(MSG_MORE), payload out. rx: header by recv,
//             payload in, payload out; splice-tx and splice-rx: that on one side, copy on the other
//   burst     splice, but the pipe collects 16 packets, so that one of the three calls is for all of them; burst-tx, burst-rx
//   raw-copy, raw-splice   no packets: one call in, one call out
//
// A line of the table: medians over the rounds, which take all shapes in turn. Calls are what a relay counts itself,
// poll(2) among them, which it calls only when the last read found less than it had room for. CPU is user and system time of
// a process; over loopback the kernel's work for the one who receives is done, and counted, at the one who sends.
#include <stdio.h>

#ifndef __linux__
int main() { puts("splicebench: splice(2) is a call of Linux; there is nothing to measure here"); }
#else
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>

namespace {
constexpr size_t kHeader = 8, kPacket = 16384, kPayload = kPacket - kHeader, kFrames = 16, kBurst = kFrames * kPacket;
constexpr size_t kCold = 64 << 20;   // more than caches hold
constexpr int kPipe = 1 << 20;       // what /proc/sys/fs/pipe-max-size allows everyone
constexpr int kUnsent = 128 * 1024;  // as transport/tcp_link.cc
constexpr int kEnds = 4, kMaxRounds = 99;
enum End { kSource, kTx, kRx, kSink };

// What the processes of a run tell their parent.
struct Told {
  uint64_t calls[kEnds], digest[kEnds];
  double cpu[kEnds];
}* told;
End me;
uint8_t* room;  // kBurst, or kCold of which each burst takes the next part
size_t room_bytes = kBurst;
uint64_t total_bytes = 512ull << 20;
bool verify = false;

[[noreturn]] void die(const char* what) { fprintf(stderr, "splicebench: %s: %s\n", what, strerror(errno)), exit(1); }
// One system call, counted. Less than 0: try again later.
template <class F>
ssize_t call(const char* what, F f) {
  for (ssize_t n;; die(what)) {
    do ++told->calls[me], n = f(); while (n < 0 && errno == EINTR);
    if (n >= 0 || errno == EAGAIN) return n;
  }
}

void wait_for(int fd, short event) { pollfd p = {fd, event, 0}; call("poll", [&] { return poll(&p, 1, -1); }); }
// The next burst's memory.
uint8_t* next_room() { static size_t at = 0; at = (at + kBurst) % room_bytes; return room + at; }
void put(int fd, iovec* v, int n, int flags = 0) {
  while (n > 0) {
    msghdr m{}; m.msg_iov = v; m.msg_iovlen = size_t(n);
    const ssize_t r = call("send", [&] { return sendmsg(fd, &m, flags | MSG_NOSIGNAL); });
    if (r < 0) wait_for(fd, POLLOUT);
    for (size_t k = r < 0 ? 0 : size_t(r); n > 0;) {
      const size_t part = std::min(k, v->iov_len);
      v->iov_base = static_cast<uint8_t*>(v->iov_base) + part, v->iov_len -= part, k -= part;
      if (v->iov_len > 0) break;
      ++v, --n;
    }
  }
}

void put_header(uint8_t* p, size_t length) {
  const uint8_t h[kHeader] = {0x11, 0x06, 0, 1, 0, 2, uint8_t(length >> 8), uint8_t(length)};
  memcpy(p, h, sizeof h);
}
size_t length_of(const uint8_t* h) {
  const size_t n = size_t(h[6]) << 8 | h[7];
  errno = EPROTO;
  if (h[0] != 0x11 || h[1] != 0x06 || n == 0 || n > kPayload) die("a header that nobody wrote");
  return n;
}
struct Pipe {
  int end[2];
  Pipe() {
    if (pipe2(end, O_CLOEXEC | O_NONBLOCK) < 0) die("pipe2");
    fcntl(end[1], F_SETPIPE_SZ, kPipe);  // or as large as it is: then the calls are more
  }
  ssize_t in(int fd, size_t n) const {
    return call("splice in", [&] { return splice(fd, nullptr, end[1], nullptr, n, SPLICE_F_MOVE | SPLICE_F_NONBLOCK); });
  }
  void out(int fd, size_t n, bool more) const {
    const unsigned flags = SPLICE_F_MOVE | SPLICE_F_NONBLOCK | (more ? SPLICE_F_MORE : 0);
    while (n > 0) {
      const ssize_t r = call("splice out", [&] { return splice(end[0], nullptr, fd, nullptr, n, flags); });
      if (r < 0) wait_for(fd, POLLOUT);
      if (r > 0) n -= size_t(r);
    }
  }
};

struct Shape {
  const char* name;
  void (*tx)(int in, int out, const Shape& s), (*rx)(int in, int out, const Shape& s);
  size_t frames;  // that a pipe collects
  bool raw = false;
};

void copy_tx(int in, int out, const Shape&) {
  for (bool dry = true;;) {
    if (dry) wait_for(in, POLLIN);
    uint8_t* const b = next_room();
    iovec v[kFrames];
    for (size_t i = 0; i < kFrames; ++i) v[i] = {b + i * kPacket + kHeader, kPayload};
    const ssize_t n = call("readv", [&] { return readv(in, v, kFrames); });
    if (n == 0) return;
    dry = n < ssize_t(kFrames * kPayload);
    if (n < 0) continue;
    uint8_t* end = b;
    for (size_t left = size_t(n), k; left > 0; left -= k, end += kHeader + k) put_header(end, k = std::min(left, kPayload));
    put(out, &(v[0] = {b, size_t(end - b)}), 1);
  }
}

// Raw: all is one payload without an end.
void copy_rx(int in, int out, const Shape& s) {
  constexpr int kPieces = 64;
  uint8_t head[kHeader], *p;
  size_t have = 0;
  uint64_t payload = s.raw ? UINT64_MAX : 0;  // of the packet that is not whole
  for (bool dry = true;;) {
    if (dry) wait_for(in, POLLIN);
    const ssize_t n = call("read", [&] { return read(in, p = next_room(), kBurst); });
    if (n == 0) return;
    dry = n < ssize_t(kBurst);
    iovec v[kPieces];
    int pieces = 0;
    for (size_t left = n < 0 ? 0 : size_t(n), k; left > 0; left -= k, p += k) {
      if (payload == 0) {
        k = std::min(left, kHeader - have);
        memcpy(head + have, p, k);
        if ((have += k) == kHeader) payload = length_of(head), have = 0;
      } else {
        k = size_t(std::min<uint64_t>(left, payload));
        payload -= k, v[pieces++] = {p, k};
        if (pieces == kPieces) put(out, v, pieces), pieces = 0;
      }
    }
    put(out, v, pieces);
  }
}

void splice_tx(int in, int out, const Shape& s) {
  const Pipe pipe;
  uint8_t head[kHeader];
  const size_t most = s.frames * kPayload;
  for (bool dry = true;;) {
    if (dry) wait_for(in, POLLIN);
    const ssize_t n = pipe.in(in, most);
    if (n == 0) return;
    dry = n < ssize_t(most);
    for (size_t left = n < 0 ? 0 : size_t(n), k; left > 0; left -= k) {
      k = s.raw ? left : std::min(left, kPayload);
      iovec v = {head, kHeader};
      put_header(head, k);
      put(out, &v, s.raw ? 0 : 1, MSG_MORE);
      pipe.out(out, k, left > k);
    }
  }
}

void splice_rx(int in, int out, const Shape& s) {
  const Pipe pipe;
  uint8_t head[kHeader];
  size_t have = 0, payload = 0;
  for (bool dry = true, end = false; !end;) {
    if (dry) wait_for(in, POLLIN);
    size_t piped = 0, whole = 0;
    for (dry = false; !dry && !end && whole < s.frames;) {
      const ssize_t n =
          payload > 0 ? pipe.in(in, payload) : call("recv", [&] { return recv(in, head + have, kHeader - have, 0); });
      if (n <= 0) {
        (n == 0 ? end : dry) = true;
      } else if (payload == 0) {
        if ((have += size_t(n)) == kHeader) payload = length_of(head), have = 0;
      } else {
        piped += size_t(n), payload -= size_t(n), whole += payload == 0;
      }
    }
    pipe.out(out, piped, false);
  }
}

constexpr Shape kShapes[] = {
    {"copy", copy_tx, copy_rx, 0},
    {"splice", splice_tx, splice_rx, 1}, {"splice-tx", splice_tx, copy_rx, 1}, {"splice-rx", copy_tx, splice_rx, 1},
    {"burst", splice_tx, splice_rx, 16}, {"burst-tx", splice_tx, copy_rx, 16}, {"burst-rx", copy_tx, splice_rx, 16},
    {"raw-copy", copy_rx, copy_rx, 0, true}, {"raw-splice", splice_tx, splice_tx, 16, true},
};
constexpr size_t kShapeCount = sizeof kShapes / sizeof kShapes[0];
uint64_t random_next() { static uint64_t x = 88172645463325252ull; x ^= x << 13, x ^= x >> 7; return x ^= x << 17; }
void add_digest(size_t n) { for (size_t i = 0; i < n; ++i) told->digest[me] = (told->digest[me] ^ room[i]) * 1099511628211ull; }

void source(int out) {
  for (uint64_t left = total_bytes; left > 0;) {
    size_t n = size_t(std::min<uint64_t>(left, kBurst));
    if (verify) {
      n = std::min(n, 1 + size_t(random_next() >> 33) % (random_next() & 1 ? kBurst : kPacket / 4));
      for (size_t i = 0; i < n; ++i) room[i] = static_cast<uint8_t>(random_next() >> 32);
      add_digest(n);
    }
    iovec v = {room, n};
    put(out, &v, 1), left -= n;
  }
}

void sink(int in) {
  uint64_t got = 0;
  for (ssize_t n = -1; n != 0; got += n < 0 ? 0 : size_t(n)) {
    wait_for(in, POLLIN);
    n = call("read", [&] { return read(in, room, kBurst); });
    if (verify && n > 0) add_digest(size_t(n));
  }
  errno = EPROTO;
  if (got != total_bytes) die("bytes are lost, or too many");
}
// A connection over loopback: end[0] writes, end[1] reads.
void connect_pair(int end[2], bool link) {
  const int door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
  sockaddr_in a{}; a.sin_family = AF_INET; a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t n = sizeof a;
  sockaddr* const at = reinterpret_cast<sockaddr*>(&a);
  if (bind(door, at, n) < 0 || listen(door, 1) < 0 || getsockname(door, at, &n) < 0) die("listen");
  end[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (connect(end[0], at, n) < 0 || (end[1] = accept(door, nullptr, nullptr)) < 0) die("connect");
  close(door);
  for (int i = 0; i < 2; ++i) {
    setsockopt(end[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (link) setsockopt(end[i], IPPROTO_TCP, TCP_NOTSENT_LOWAT, &kUnsent, sizeof kUnsent);
    fcntl(end[i], F_SETFL, fcntl(end[i], F_GETFL) | O_NONBLOCK);
  }
}

uint8_t* map(size_t n, int flags) {
  void* const m = mmap(nullptr, n, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | flags, -1, 0);
  return m == MAP_FAILED ? die("mmap"), nullptr : static_cast<uint8_t*>(m);
}
double seconds_of(const timeval& t) { return double(t.tv_sec) + 1e-6 * double(t.tv_usec); }
double cpu_now() { rusage u; getrusage(RUSAGE_SELF, &u); return seconds_of(u.ru_utime) + seconds_of(u.ru_stime); }
double clock_now() { timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return double(t.tv_sec) + 1e-9 * double(t.tv_nsec); }

// One run; its seconds.
double run(const Shape& shape) {
  fflush(stdout), memset(told, 0, sizeof *told);
  int leg[3][2], ready[2], start[2];
  for (int i = 0; i < 3; ++i) connect_pair(leg[i], i == 1);
  if (pipe(ready) < 0 || pipe(start) < 0) die("pipe");
  for (int i = 0; i < kEnds; ++i) {
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child > 0) continue;
    me = End(i);
    const int in = i > 0 ? leg[i - 1][1] : -1, out = i < 3 ? leg[i][0] : -1;
    for (int k = 0; k < 6; ++k) if (leg[k / 2][k % 2] != in && leg[k / 2][k % 2] != out) close(leg[k / 2][k % 2]);
    if (me == kSource || me == kSink) room_bytes = kBurst;
    room = map(room_bytes, MAP_PRIVATE | MAP_POPULATE);
    close(start[1]);
    char c = 0;
    if (write(ready[1], &c, 1) != 1 || read(start[0], &c, 1) != 0) die("start");
    const double before = cpu_now();
    if (me == kSource) source(out);
    if (me == kTx) shape.tx(in, out, shape);
    if (me == kRx) shape.rx(in, out, shape);
    if (me == kSink) sink(in);
    else shutdown(out, SHUT_WR);
    told->cpu[me] = cpu_now() - before;
    _exit(0);
  }
  for (int i = 0; i < 6; ++i) close(leg[i / 2][i % 2]);
  close(ready[1]);
  char c;
  for (int i = 0; i < kEnds; ++i) if (read(ready[0], &c, 1) != 1) die("a process is missing");
  const double begin = clock_now();
  close(start[1]);
  int failed = 0;
  for (int i = 0, status; i < kEnds; ++i) failed += wait(&status) < 0 || status != 0;
  if (failed > 0) exit(1);
  close(ready[0]), close(start[0]);
  return clock_now() - begin;
}

double median(double* v, int n) { std::sort(v, v + n); return (v[n / 2] + v[(n - 1) / 2]) / 2; }
}  // namespace

int main(int argc, char** argv) {
  int rounds = 5;
  for (int o; (o = getopt(argc, argv, "cvm:r:")) != -1;) {
    if (o == 'c') room_bytes = kCold;
    else if (o == 'v') verify = true, rounds = 1;
    else if (o == 'm') total_bytes = std::max(1ull, strtoull(optarg, nullptr, 10)) << 20;
    else if (o == 'r') rounds = std::min(kMaxRounds, std::max(1, atoi(optarg)));
    else return fprintf(stderr, "usage: splicebench [-v] [-c] [-m MIB] [-r ROUNDS] [SHAPE...]\n"), 64;
  }
  const auto wanted = [&](const Shape& s) {
    for (int i = optind; i < argc; ++i) if (strcmp(argv[i], s.name) == 0) return true;
    return optind == argc;
  };
  told = reinterpret_cast<Told*>(map(sizeof *told, MAP_SHARED));

  enum { kRate, kCpuTx, kCpuRx, kCpuAll, kCallsTx, kCallsRx, kFigures };
  static double got[kShapeCount][kFigures][kMaxRounds];
  const double mib = double(total_bytes >> 20), gib = mib / 1024;
  int wrong = 0;
  for (int r = 0; r < rounds; ++r) {
    for (size_t s = 0; s < kShapeCount; ++s) {
      if (!wanted(kShapes[s])) continue;
      got[s][kRate][r] = mib / run(kShapes[s]);
      for (int i = 0; i < kEnds; ++i) got[s][kCpuAll][r] += told->cpu[i] / gib;
      got[s][kCpuTx][r] = told->cpu[kTx] / gib, got[s][kCpuRx][r] = told->cpu[kRx] / gib;
      got[s][kCallsTx][r] = double(told->calls[kTx]) / mib, got[s][kCallsRx][r] = double(told->calls[kRx]) / mib;
      const bool same = told->digest[kSource] == told->digest[kSink];
      if (verify) printf("%-11s %s\n", kShapes[s].name, same ? "every byte is right" : "WRONG BYTES");
      wrong += !same;
    }
  }
  if (verify) return wrong > 0;
  puts("                     CPU s/GiB                calls/MiB\nshape         MiB/s       tx      rx   all 4      tx     rx");
  for (size_t s = 0; s < kShapeCount; ++s) {
    if (!wanted(kShapes[s])) continue;
    double v[kFigures];
    for (int f = 0; f < kFigures; ++f) v[f] = median(got[s][f], rounds);
    printf("%-11s %7.0f  %7.3f %7.3f %7.3f  %6.1f %6.1f\n", kShapes[s].name, v[0], v[1], v[2], v[3], v[4], v[5]);
  }
}
#endif
