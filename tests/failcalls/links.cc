// Scenarios of links: TCP with all that may happen to one, and the other kinds. Read next: scenarios.h.
#include <signal.h>
#include <unistd.h>

#include "tests/e2e/line.h"
#include "tests/e2e/pipes.h"
#include "tests/e2e/secure_site.h"
#include "tests/failcalls/scenarios.h"

namespace failcalls {

using namespace e2e;

namespace {

// As short as they may be, so that what is tried again is tried soon.
const Words kSoon = {"TIMEOUT=retry:1"};

Words join(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Clients both ways, at once: half-close, a key press that gets its answer, an urgent byte.
void traffic(Run& run, uint16_t one, uint16_t two) {
  Conn bulk(one), back(two), talk(one);
  bulk.expect_pattern(1).send_pattern(1, 300000).shut();
  back.expect_pattern(2).send_pattern(2, 200000).shut();
  talk.send("ab").send_urgent('!').send("cd");
  run.wish(wait_for([&] { return talk.text().size() >= 4 || talk.over(); }, 20), "an answer comes");
  run.wish(talk.text().find("abcd") != std::string::npos || talk.text() == "ab!cd", "the answer is right: " + talk.text());
  talk.close();
  run.wish(wait_for([&] { return bulk.over() && back.over(); }, 20), "clients get all, or an end");
  run.need(!bulk.wrong() && !back.wrong(), "no byte is wrong");
  run.wish(bulk.received() == 300000 && back.received() == 200000, "clients get all");
}

// Both sides serve each other, then rest, then end.
void serve_and_end(Run& run, Daemon& one, Daemon& two) {
  traffic(run, run.port(one), run.port(two));
  for (Daemon* d : {&one, &two}) {
    (*d)->signal(SIGHUP);
    (*d)->signal(SIGUSR1);
  }
  run.lives("one", one);
  run.lives("two", two);
  run.serves(run.port(one));
  run.serves(run.port(two));
  run.rests("one", one);
  run.rests("two", two);
  run.ends(two);
  run.ends(one);
}

}  // namespace

void run_tcp(Run& run) {
  Server echo(echoes);
  const Words both{"PORT=127.0.0.1:0", "DEST=" + local(echo.port())};
  Daemon hub(join({"SERVER=sockmux", "-P127.0.0.1:0"}, join(both, kSoon)), run.with("one"));
  run.start("one", hub);
  Wire wire(run.link_port(hub));
  Daemon caller(join({"SERVER=sockmux://" + local(wire.port())}, join(both, kSoon)), run.with("two"));
  run.start("two", caller);
  traffic(run, run.port(hub), run.port(caller));
  // A cut in the middle of a transfer is a pause.
  Conn client(run.port(hub));
  client.expect_pattern(3).send_pattern(3, 400000).shut();
  (void)wait_for([&] { return client.received() > 100000 || client.over(); }, 10);
  wire.cut();
  run.wish(wait_for([&] { return client.over(); }, 20) && client.received() == 400000, "a cut costs nothing: " + text(client.received()));
  run.need(!client.wrong(), "no byte is wrong");
  serve_and_end(run, hub, caller);
}

void run_fifo(Run& run) {
  Server echo(echoes);
  Fifos fifos;
  const Words both = join({"PORT=127.0.0.1:0", "DEST=" + local(echo.port())}, kSoon);
  Daemon one(fifos.one(both), run.with("one"));
  Daemon two(fifos.two(both), run.with("two"));
  run.start("one", one);
  run.start("two", two);
  serve_and_end(run, one, two);
}

void run_tty(Run& run) {
  Server echo(echoes);
  TempFolder folder;
  Line line(folder);
  // Locks of others that were killed, whose number somebody has by now.
  for (const int end : {0, 1}) (void)::unlink(line.lock(end).c_str());
  const Words both = join({"PORT=127.0.0.1:0", "DEST=" + local(echo.port())}, kSoon);
  const auto words = [&](int end) { return join({"SERVER=sockmux:comm@" + line.name(end)}, both); };
  Daemon one(words(0), run.with("one"));
  Daemon two(words(1), run.with("two"));
  run.start("one", one);
  run.start("two", two);
  serve_and_end(run, one, two);
}

// A daemon that starts another one as its link, which speaks at its standard input and output.
void run_program(Run& run) {
  Server echo(echoes);
  // Programs are found and read by whoever the daemon is, which is root here.
  const std::string inner = run.prefix("inner") + " " + daemon_path() + " SERVER=sockmux:comm@- OWNER=root TIMEOUT=retry:1 DEST=" + local(echo.port());
  Daemon outer(join({"SERVER=sockmux:proc@" + inner, "PORT=127.0.0.1:0", "OWNER=root"}, kSoon), run.with("outer"));
  run.start("outer", outer);
  run.echo(run.port(outer), 1, 200000);
  outer->signal(SIGHUP);
  run.lives("outer", outer);
  run.serves(run.port(outer));
  run.rests("outer", outer);
  run.ends(outer);
}

void run_secure(Run& run) {
  Server echo(echoes);
  TwoSites sites;
  const Words both = join({"PORT=127.0.0.1:0", "DEST=" + local(echo.port())}, kSoon);
  Daemon one(sites.hub.words(join({"SERVER=sockmuxs", "-P127.0.0.1:0"}, both)), run.with("one"));
  run.start("one", one);
  Wire wire(run.link_port(one));
  Daemon two(sites.branch.words(join({"SERVER=sockmuxs://" + local(wire.port())}, both)), run.with("two"));
  run.start("two", two);
  run.echo(run.port(one), 7, 100000);
  wire.cut();
  serve_and_end(run, one, two);
}

}  // namespace failcalls
