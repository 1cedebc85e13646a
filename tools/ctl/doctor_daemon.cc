// What the daemon that runs says of its links and of the peer's servers: its control command `probe`.
//
// Read next: doctor.h, daemon_probe.cc. Source: sockmuxctl(8), "The socket".
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "core/control/unix_socket.h"
#include "core/io/process.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/doctor.h"

namespace smx::ctl {

namespace {

constexpr int kPatienceSeconds = 15;             // a peer's answer takes up to 13 s: daemon_probe.cc
constexpr size_t kMostAnswer = size_t{8} << 20;  // rows of a hub's callers: 32,768 with long names and addresses take 5 MiB

std::string_view next_part(std::string_view* rest, char end) {
  const size_t at = place_of(*rest, end);
  const std::string_view part = first(*rest, at);
  *rest = at == kNowhere ? std::string_view() : skip(*rest, at + 1);
  return part;
}

// What comes for "1 probe", up to the end. 0 or errno.
int exchange(int fd, std::string_view line, char* memory, size_t room, size_t* size) {
  int error = put(fd, line);
  if (error == EPIPE || error == ECONNRESET) error = 0;  // it has said why
  for (bool told = false; error == 0 && *size < room;) {
    if (!told && !wait_for_fd(fd, POLLIN, kUntold)) {
      told = true;
      complain({"doctor: the daemon has not answered yet: servers behind its ports that say nothing have up to 13 s, 16 at a time"});
    }
    const IoResult r = read_fd(fd, memory + *size, room - *size);
    if (r.again) return EAGAIN;
    if (r.error == ECONNRESET || (r.error == 0 && r.size == 0)) return 0;
    error = r.error;
    *size += r.size;
  }
  return error;
}

void tell_unasked(Findings& f, const char* path, int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      return f.warn(
          "no daemon: none answers at %", {path},
          "Is it started? What follows is what it would meet; the far servers can only be asked through a daemon that runs. (One with another control socket: --socket FILE.)");
    case EACCES:
    case EPERM:
      return f.fail(Place::here, "no permission: the control socket %: %", {path, strerror(error)},
                    "Run this as root, or as the user who has started the daemon.");
    case EAGAIN:
      return f.fail(Place::here, "daemon hangs: at % it takes the question and does not answer", {path},
                    "Restart it; its log may say what it does.");
    default: return f.warn("daemon not asked: %: %", {path, strerror(error)}, "--socket FILE says where it listens.");
  }
}

void add_period(TextBase& to, uint64_t s) {
  if (s < 120)
    to.add_u(s).add(" s");
  else if (s < 7200)
    to.add_u(s / 60).add(" min");
  else
    to.add_u(s / 3600).add(" h");
}

}  // namespace

bool next_row(std::string_view* rest, RunningRow* out) {
  while (!rest->empty()) {
    std::string_view line = next_part(rest, '\n');
    if (line.empty()) continue;
    out->kind = next_part(&line, '\t');
    out->at = next_part(&line, '\t');
    out->peer = next_part(&line, '\t');
    out->result = next_part(&line, '\t');
    const Text<24> time(next_part(&line, '\t'));
    uint64_t us = 0;
    (void)read_digits(time.c_str(), 10, &us);
    out->seconds = us / 1000000;
    out->dialect = next_part(&line, '\t');
    out->reason = next_part(&line, '\t');
    return true;
  }
  return false;
}

void ask_daemon(Patient& p) {
  if (p.running.asked) return;
  if (is_mute(p))
    return p.findings.warn("daemon not asked: SOXCONF=control:no leaves it without a control socket", {},
                           "Without that word it can tell how its links are, and whether the far servers answer.");
  ask_daemon(p.findings, p.arena,
             p.socket != nullptr             ? p.socket
             : p.config.control_file.empty() ? usual_control_path()
                                             : p.config.control_file.data(),
             &p.running);
}

void ask_daemon(Findings& f, Arena& arena, const char* path, Running* out) {
  out->asked = true;
  int error = 0;
  const Fd fd = connect_unix(path, kPatienceSeconds, &error);
  if (!fd.valid()) return tell_unasked(f, path, error);
  uint32_t uid = 0;
  out->trusted = is_listener_trusted(fd.get(), &uid);
  if (!out->trusted && !is_root()) {
    return f.warn("daemon not asked: uid % listens at %, who is neither root nor you", {Number(uid), path},
                  "Run this as root.");
  }
  char* const memory = arena.raw<char>(kMostAnswer);
  size_t size = 0;
  error = memory == nullptr ? ENOMEM : exchange(fd.get(), "1 probe\n", memory, kMostAnswer, &size);
  if (error != 0) return tell_unasked(f, path, error);
  std::string_view rest(memory, size);
  const std::string_view head = next_part(&rest, '\n');
  if (head != "1 ok") {
    const std::string_view why = skip(head, begins(head, "1 error ") ? 8 : 0);
    if (begins(why, "not permitted"))
      return f.fail(Place::here, "no permission: the daemon at % says: %", {path, why}, "Run this as root.");
    return f.warn("daemon not asked: at % it says: %", {path, why},
                  "It may be of an older version, or be asked by somebody else at this moment.");
  }
  (void)next_part(&rest, '\n');  // the title
  const bool whole = rest.size() >= 4 && skip(rest, rest.size() - 4) == "end\n";
  out->answers = true;
  out->lines = whole ? first(rest, rest.size() - 4) : rest;
  std::string_view rows = out->lines;
  RunningRow row;
  (void)next_row(&rows, &row);
  f.ok("a daemon runs: process %, sockmuxd %, which answers at %", {row.at, row.result, path});
  if (!whole)
    f.warn("answer cut: the daemon has stopped in the middle of it", {}, "Was it ended meanwhile? Run this again.");
}

#if defined(__linux__)

// proc(5): each word ends with a NUL. root may read that of every daemon, others not: it allows no look into its memory.
size_t words_of(const Running& running, Arena& arena, const char* const** words) {
  constexpr size_t kMostText = 128 * 1024, kMostWords = 4096;
  std::string_view rows = running.lines;
  RunningRow row;
  if (!running.trusted || !next_row(&rows, &row) || row.kind != "daemon") return 0;
  for (const char c : row.at)
    if (!is_digit(c)) return 0;
  Text<64> folder("/proc/");
  folder.add(row.at);
  Text<80> path(folder.text());
  const Fd fd(::open(path.add("/cmdline").c_str(), O_RDONLY | O_CLOEXEC));
  char* const text = arena.raw<char>(kMostText + 1);
  const char** const list = arena.raw<const char*>(kMostWords);
  if (!fd.valid() || text == nullptr || list == nullptr) return 0;
  size_t size = 0;
  for (size_t n = 1; n > 0 && size < kMostText; size += n) n = read_fd(fd.get(), text + size, kMostText - size).size;
  text[size] = 0;
  size_t count = 0;
  for (size_t i = 0; i < size && count < kMostWords; i += strlen(text + i) + 1)
    if (i > 0) list[count++] = text + i;
  path.clear();
  if (::chdir(path.add(folder.text()).add("/cwd").c_str()) < 0) return 0;
  *words = list;
  return count;
}

#else

size_t words_of(const Running& running, Arena& arena, const char* const** words) {
  return (void)running, (void)arena, (void)words, 0;
}

#endif

namespace {

// Of a hub: those of its peers file who have no link. Of a large one, too many to be listed.
void tell_missing(Patient& p) {
  constexpr size_t kMost = 200;
  if (p.keys == nullptr || !p.keys->peer_name(kMost).empty()) return;
  Text<300> missing;
  for (size_t i = 0; !p.keys->peer_name(i).empty(); ++i) {
    const std::string_view name = p.keys->peer_name(i);
    std::string_view rest = p.running.lines;
    RunningRow row;
    bool linked = false;
    while (next_row(&rest, &row))
      linked = linked || ((row.kind == "caller" || row.kind == "link") && row.peer == name && row.result == "up");
    if (!linked) missing.add(missing.size() == 0 ? "" : ", ").add(name);
  }
  if (missing.size() > 0)
    p.findings.warn(
        "not linked: % of the peers file", {missing.text()},
        "They have to call: run 'sockmuxctl doctor' there. A line 'link-refused' in the log here says who was sent away, and why.");
}

}  // namespace

bool check_live_links(Patient& p) {
  if (!p.running.answers) return false;
  std::string_view rest = p.running.lines;
  RunningRow row;
  unsigned up = 0, callers = 0, accepts = 0, makes = 0;
  while (next_row(&rest, &row)) {
    Text<24> time;
    add_period(time, row.seconds);
    const bool is_up = row.result == "up";
    if (row.kind == "accept") ++accepts;
    if (row.kind == "caller") callers += is_up ? 1u : 0u;
    if (row.kind != "link") continue;
    ++makes;
    if (!is_up) {
      p.findings.warn("link down: % has had no link for %%%",
                      {row.at == "-" ? "the daemon" : row.at, time.text(),
                       row.reason == "-" ? "" : "; last reason: ", row.reason == "-" ? "" : row.reason},
                      "What follows tries to find out why.");
      continue;
    }
    ++up;
    p.findings.ok("link to %%%%: up for %, SockMux %",
                  {row.at, row.peer == "-" ? "" : " ('", row.peer == "-" ? "" : row.peer, row.peer == "-" ? "" : "')",
                   time.text(), row.dialect});
    if (row.dialect == "0.3" && p.config.proto != Config::Proto::v03) {
      p.findings.warn(
          "peer old: % speaks SockMux 0.3 (a DeleGate)", {row.at},
          "It works, with less: channels do not survive a lost link, there is no half-close, and at most 56 channels at once. A sockmuxd in its place has all that.");
    }
  }
  if (callers > 0)
    p.findings.ok("links: % called and linked", {Number(callers, "peer has", "peers have")});
  else if (accepts > 0 && makes == 0)
    p.findings.warn(
        "nobody linked: no peer has a link to this daemon at this moment", {},
        "The peer has to call: run 'sockmuxctl doctor' there. A line 'link-refused' in the log here says who was sent away, and why.");
  if (callers > 0) tell_missing(p);
  return up > 0;
}

void tell_unexplained(Patient& p) {
  std::string_view rest = p.running.lines;
  RunningRow row;
  while (next_row(&rest, &row)) {
    if (row.kind != "link" || row.result == "up") continue;
    const std::string_view why = row.reason;
    if (place_of(why, "name in use") != kNowhere) {
      p.findings.fail(Place::peer, "name in use: the peer at % has a live link of another machine with our name",
                      {row.at}, "Give each machine a SOXCONF=name: of its own (or a key of its own).");
    } else if (place_of(why, "replaced") != kNowhere) {
      p.findings.fail(Place::peer, "replaced: another machine takes our place at % again and again", {row.at},
                      "Is the same key, or the same SOXCONF=name:, on two machines? Each needs its own.");
    } else {
      p.findings.fail(
          Place::peer, "link down: the daemon has no link over %; its last reason: %",
          {row.at, why.empty() ? "-" : why},
          "All that could be tried from here is well. If the link has only just been lost it comes back by itself ('kill -HUP' tries at once); else run the doctor on the other side, and look at its log.");
    }
  }
}

namespace {

// What a client of our port would meet.
void tell_port(Patient& p, const RunningRow& row) {
  Findings& f = p.findings;
  const std::string_view port = row.at, peer = row.peer, kind = row.kind;
  const std::string_view why = row.result;
  constexpr const char* kThere = "The log there ('server-failed') names the server.";
  if (why == "connected" || why == "done")
    return kind == "udp" ? f.ok("port %/udp: the peer (%) serves it; whether its server answers only a datagram shows",
                                {port, peer})
                         : f.ok("port %: its server, at the peer (%), answers", {port, peer});
  if (why == "refused")
    return f.fail(
        Place::server, "server down: port % leads to the peer (%), where nothing listens at its server's port",
        {port, peer},
        "Start the server there, or correct DEST= or SERVER=...,-in of the peer. The log there ('server-failed') names the server.");
  if (why == "no server")
    return f.fail(
        Place::server, "no server: the peer (%) has none for port %", {peer, port},
        "The peer needs DEST=HOST:PORT or SERVER=...,-in for this port (and for %), without a condition that leaves us out; its log has a line 'channel-refused'. A SockMux 0.3 says this for every failure.",
        {kind});
  if (why == "name not found")
    return f.fail(Place::server, "far name unknown: the peer (%) cannot find the name of the server of port %",
                  {peer, port}, "Correct the name in DEST= there, or its DNS. The log there ('server-failed') has it.");
  if (why == "unreachable")
    return f.fail(Place::server, "server unreachable: the peer (%) has no way to the server of port %", {peer, port},
                  kThere);
  if (why == "timed out" || why == "no answer")
    return f.fail(Place::server, "server silent: the server of port %, at the peer (%), does not answer at all",
                  {port, peer}, "It is down, or a firewall between it and the peer drops what is sent.");
  if (why == "forbidden")
    return f.fail(Place::server, "forbidden: the peer (%) forbids the server of port %", {peer, port},
                  "PERMIT=, REJECT=, REACHABLE= there, or DEST= of our line in its peers file, must allow it.");
  if (why == "limit")
    return f.fail(Place::server, "peer full: the peer (%) has reached a limit, for port %", {peer, port},
                  "MAXIMA= there, or descriptors: run the doctor there.");
  if (why == "no channel")
    return f.fail(Place::server, "peer full: no channel is left for port %", {port},
                  "MAXIMA=channels of either side is reached: clients that never end?");
  if (why == "unsupported")
    return f.fail(Place::peer, "peer too old: % does not know what port % asks for", {peer, port},
                  "Put the same version of sockmuxd on both sides.");
  if (why == "no link")
    return f.warn("port % waits: no link leads %%", {port, peer == "-" ? "anywhere" : "to ", peer == "-" ? "" : peer},
                  "Clients that connect wait until there is one.");
  f.fail(Place::server, "server failed: port %, at the peer (%): %", {port, peer, why}, kThere);
}

// RPORT=
void tell_far_port(Patient& p, const RunningRow& row) {
  if (row.result == "open") return p.findings.ok("port % at the peer (%) is open for us", {row.at, row.peer});
  if (row.result == "refused") {
    return p.findings.fail(
        Place::peer, "far port refused: the peer (%) does not listen at % for us: %", {row.peer, row.at, row.reason},
        "Mend that there; the daemon asks again by itself. The log there has a line 'bind-refused'.");
  }
  if (row.result == "ended")
    return p.findings.warn("far port ended: % at the peer (%) is open no more: %", {row.at, row.peer, row.reason},
                           "Somebody has ended it (sockmuxctl kick), here or there. The daemon asks for it again within a minute; HUP does at once.");
  p.findings.warn("far port waits: % is not open at the peer yet", {row.at},
                  "It is asked for as soon as the link is up.");
}

}  // namespace

void check_far_servers(Patient& p) {
  std::string_view rest = p.running.lines;
  RunningRow row;
  while (next_row(&rest, &row))
    if (row.kind == "tcp" || row.kind == "udp")
      tell_port(p, row);
    else if (row.kind == "far")
      tell_far_port(p, row);
}

}  // namespace smx::ctl
