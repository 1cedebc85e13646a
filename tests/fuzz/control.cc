// Who asks at the control socket. Input: a byte (how the bytes come in pieces, and how it ends), then what an asker says. One answer
// comes, in whole lines, and then the end; nobody else is kept waiting by it. Read next: core/control/control.h.
#include "core/control/control.h"

#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>

#include "core/control/unix_socket.h"
#include "core/io/clock.h"
#include "tests/fuzz/socket.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

bool count(void*, std::string_view argument, uint32_t* next, smx::ControlReply& reply) {
  if (argument == "none") return reply.fail("none \x1b here"), true;
  for (; *next < 40; ++*next) {
    if (!reply.has_room()) return false;
    reply.line(std::string(*next * 20, 'x'));
  }
  return true;
}
bool plain(void*, std::string_view argument, uint32_t*, smx::ControlReply& reply) {
  MUST(argument.empty());
  reply.line("plain");
  return true;
}
bool last(void*, std::string_view, uint32_t* next, smx::ControlReply& reply) {
  if (*next < 3 && reply.has_room()) reply.line("line"), ++*next;
  return reply.over();
}
void last_ended(void*, uint32_t) {}
const smx::ControlCommand kCommands[] = {{"count", count, nullptr, true}, {"plain", plain}, {"last", last, last_ended, true}};

// One daemon for all runs: a client that has gone leaves nothing.
struct Served {
  Served() {
    ::signal(SIGPIPE, SIG_IGN);
    MUST(reactor.init(arena, 64, 16) == 0);
    path = socket_path("control", getpid());
    int error = 0;
    smx::Fd fd = smx::listen_unix(path.c_str(), 16, &error);
    MUST(error == 0);
    MUST(control.start(static_cast<smx::Fd&&>(fd), kCommands, 3, nullptr) == 0);
    control.set_user(geteuid());
  }
  ~Served() { unlink(path.c_str()); }
  std::string path;
  std::vector<uint8_t> memory = std::vector<uint8_t>(static_cast<size_t>(smx::Reactor::arena_bytes(64, 16)));
  smx::Arena arena{memory.data(), memory.size()};
  smx::Reactor reactor;
  smx::Control control{reactor};
};

}  // namespace

void control(smx::Bytes input) {
  static const std::unique_ptr<Served> served(new Served);
  Served& s = *served;
  Input in(input);
  const uint8_t how = in.u8();
  const Data says = data_of(in.rest());
  int error = 0;
  smx::Fd fd = smx::connect_unix(s.path.c_str(), 1, &error);
  MUST(error == 0);
  MUST(smx::prepare_fd(fd.get()) == 0);
  const auto turn = [&] { s.reactor.turn(smx::Duration{0}); };
  turn();
  const size_t step = (how & 1) != 0 ? 1 + (how >> 4) : 4096;
  for (size_t at = 0; at < says.size(); at += step) {
    const size_t n = step < says.size() - at ? step : says.size() - at;
    if (smx::write_fd(fd.get(), says.data() + at, n).error != 0) break;
    turn();
  }
  bool ended = (how & 2) != 0;
  if (ended) (void)shutdown(fd.get(), SHUT_WR);
  Data heard;
  for (int i = 0; i < 60; ++i) {
    turn();
    s.control.wake();
    char buffer[2048];
    const smx::IoResult r = smx::read_fd(fd.get(), buffer, (how & 4) != 0 ? 64 : sizeof buffer);
    if (r.error != 0 && !r.again) break;
    if (!r.again && r.size == 0) break;
    heard.append(buffer, r.size);
    if (r.again && ended) break;
    if (r.again && i > 20) {  // it waits for the rest of a line, or goes on
      (void)shutdown(fd.get(), SHUT_WR);
      ended = true;
    }
  }
  fd.reset();
  for (int i = 0; i < 3; ++i) turn();
  if (heard.empty() || (how & 4) != 0) return;
  MUST(heard.compare(0, 5, "1 ok\n") == 0 || heard.compare(0, 8, "1 error ") == 0);
  for (const char c : heard) MUST(c == '\n' || (c >= ' ' && c < 0x7f));
  MUST(heard.back() == '\n');
}

}  // namespace fuzz
