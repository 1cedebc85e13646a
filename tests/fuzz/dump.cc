// Dumps. Input: a byte that says what the rest is: a file (pcapng) that is shown as text; one that is written anew, which must then be
// readable; a daemon's lines. Nothing that is not printable is shown. Read next: tools/ctl/dump.h, said.h.
#include "tools/ctl/dump.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <initializer_list>

#include "tests/fuzz/said.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

// A descriptor from which `bytes` come, and then the end.
smx::Fd from(const Data& bytes) {
  int pair[2];
  MUST(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  smx::Fd out(pair[0]), in(pair[1]);
  for (size_t at = 0; at < bytes.size();) {
    const ssize_t n = ::write(out.get(), bytes.data() + at, bytes.size() - at);
    MUST(n > 0);  // the input is smaller than a socket's buffer
    at += static_cast<size_t>(n);
  }
  MUST(shutdown(out.get(), SHUT_WR) == 0);
  return in;
}

void look_at_text() {
  for (const char c : said) MUST(c == '\n' || (c >= ' ' && c < 0x7f));
}

// To the memory of said.h; the last argument of both is for messages.
int read_text(const Data& bytes) {
  said.clear();
  smx::ctl::Output out(-1, "text");
  smx::ctl::TextSink text(out);
  const smx::Fd fd = from(bytes);
  const int code = smx::ctl::read_dump(fd.get(), "input", 0, smx::ctl::kAll, text);
  look_at_text();
  return code;
}

}  // namespace

void dump(smx::Bytes input) {
  keeps_said = true;
  Input in(input);
  const uint8_t how = in.u8();
  const Data bytes = data_of(in.rest());
  switch (how % 3) {
    case 0: (void)read_text(bytes); break;
    case 1: {
      said.clear();
      smx::ctl::Output out(-1, "file");
      smx::ctl::FileSink file(out);
      MUST(file.begin() == 0);
      const smx::Fd fd = from(bytes);
      (void)smx::ctl::read_dump(fd.get(), "input", (how & 0x80) != 0 ? 1 : 0, smx::ctl::kAll, file);
      MUST(file.flush() == 0);
      const Data written = said;
      if (written.size() < 8000) MUST(read_text(written) == 0);
      break;
    }
    case 2: {
      said.clear();
      constexpr int kSignals[] = {SIGINT, SIGTERM, SIGHUP};
      struct sigaction before[3];
      for (int i = 0; i < 3; ++i) sigaction(kSignals[i], nullptr, &before[i]);
      smx::ctl::Output out(-1, "text");
      smx::ctl::TextSink text(out);
      const smx::Fd fd = from(bytes);
      smx::ctl::DumpLimits limits;
      limits.count = 1u + (how >> 4);
      limits.payload = how & 4;
      smx::ctl::DumpCounts counts;
      (void)smx::ctl::watch_dump(fd.get(), "daemon", limits, text, &counts);
      for (int i = 0; i < 3; ++i) sigaction(kSignals[i], &before[i], nullptr);
      MUST(counts.packets <= limits.count);
      look_at_text();
      break;
    }
  }
}

}  // namespace fuzz
