// The ways to the peer, tried as far as they go without a session: each link's connection and handshake, FIFOs, devices,
// programs; and the servers of this side.
//
// Invariant: a handshake ends before SETTINGS (sockmux(7), "Link start"), so that no session is begun or taken over.
// Read next: doctor.h, doctor_judge.h (who answers), doctor_secure.cc.
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/io/clock.h"
#include "core/io/line_lock.h"
#include "core/io/process.h"
#include "core/io/serial.h"
#include "core/io/socket.h"
#include "core/mux/mux.h"
#include "tools/ctl/doctor.h"
#include "transport/fifo.h"
#include "transport/tty.h"

namespace smx::ctl {

namespace {

constexpr Duration kHelloWait = seconds(4);  // a SockMux answers within a round trip
constexpr Duration kTextWait = seconds(1);

// HELLO of a side that has no session to name: the top bit of its nonce is 0.
size_t make_hello(uint8_t out[Mux::kFirstPacket]) {
  MuxConfig config;
  LinkStart start;
  write_stamp(start.stamp);
  fill_random(start.random, sizeof start.random);
  Text<25> host;
  append_host_name(host);
  memcpy(config.host, host.c_str(), host.size() + 1);
  return Mux::first_packet(config, start, out);
}

bool send_all(int fd, Bytes bytes) {
  const IoResult r = write_fd(fd, bytes.data, bytes.size);
  return r.error == 0 && r.size == bytes.size;  // so little goes into a fresh socket
}

// Before SETTINGS it ends the link alone, whatever its code (sockmux(7), "Link start"); the log there has our text.
void say_bye(int fd) {
  constexpr std::string_view kText = "sockmuxctl doctor: only a look";
  uint8_t out[kHeader + 1 + kText.size()];
  Header h;
  h.version = kUnnumbered;
  h.type = static_cast<uint8_t>(Type::bye);
  h.said = h.raid = kNone;
  h.length = static_cast<uint16_t>(1 + kText.size());
  encode_header(h, out);
  out[kHeader] = static_cast<uint8_t>(ByeCode::restart);
  memcpy(out + kHeader + 1, kText.data(), kText.size());
  (void)send_all(fd, {out, sizeof out});
}

// More of what is said, up to `memory`. False: the other side has ended, or nothing came in time.
bool hear(int fd, MutBytes memory, Bytes* got, Duration limit, bool* ended) {
  if (got->size == memory.size || !wait_for_fd(fd, POLLIN, limit)) return false;
  const IoResult r = read_fd(fd, memory.data + got->size, memory.size - got->size);
  if (r.again) return true;
  if (r.error != 0 || r.size == 0) {
    *ended = true;
    return false;
  }
  *got = {memory.data, got->size + r.size};
  return true;
}

std::string_view host_in(std::string_view hello) {
  const size_t at = place_of(hello, ' ');
  const std::string_view rest = at == kNowhere ? std::string_view() : skip(hello, at + 1);
  return first(rest, place_of(rest, ' '));
}

void shake_clear(Patient& p, Fd fd, const Address& to) {
  Text<kAddressText> at;
  append_address(at, to);
  uint8_t memory[512];
  Bytes got;
  bool ended = false;
  const Greeting g = greet(fd, {memory, sizeof memory}, &got, &ended);
  Findings& f = p.findings;
  if (g == Greeting::sockmux1) {
    say_bye(fd.get());
    return f.ok("handshake with %: host '%' speaks SockMux 1", {at.text(), host_in(greeting_text(got))});
  }
  if (g != Greeting::sockmux03) return tell_stranger(f, g, got, ended, at.text());
  const bool needs_1 = p.config.proto == Config::Proto::v1 || p.config.line == Config::Line::lossy;
  if (needs_1) {
    return f.fail(
        Place::peer, "peer too old: % (host '%') speaks SockMux 0.3 (a DeleGate), and %",
        {at.text(), host_in(greeting_text(got)),
         p.config.proto == Config::Proto::v1 ? "SOXCONF=proto:1 forbids that" : "SOXCONF=line:lossy needs SockMux 1"},
        "Put a sockmuxd in its place, or write SOXCONF=proto:auto here.");
  }
  if (p.config.proto == Config::Proto::v03)
    return f.ok("handshake with %: host '%' speaks SockMux 0.3, as SOXCONF=proto:0.3 asks for",
                {at.text(), host_in(greeting_text(got))});
  f.warn(
      "peer old: % (host '%') speaks SockMux 0.3 (a DeleGate)", {at.text(), host_in(greeting_text(got))},
      "It works, with less: channels do not survive a lost link, there is no half-close, and at most 56 channels at once. A sockmuxd in its place has all that.");
}

void check_fifo_link(Patient& p, const LinkSpec& l) {
  const std::string_view both[] = {l.in_path, l.out_path};
  for (const std::string_view& path : both) {
    const bool writes = &path == &both[1];
    Text<200> why;
    const int error = check_fifo(path.data(), writes, false, why);
    if (error == 0)
      p.findings.ok("FIFO % can be %", {path, writes ? "written" : "read"});
    else if (error == ENOENT && p.config.mkfifo)
      p.findings.ok("FIFO % is not there yet; the daemon makes it", {path});
    else if (error == ENOENT)
      p.findings.fail(Place::here, "FIFO missing: %: no such file", {path},
                      "Make it: 'mkfifo %', or let the daemon do it: SOXCONF=mkfifo.", {path});
    else if (error == EACCES)
      p.findings.fail(Place::here, "no permission: FIFO %: %", {path, why.text()},
                      "Run this as root if the daemon starts as root; else 'chmod' or 'chown' it.");
    else
      p.findings.fail(Place::here, "not a FIFO: %: %", {path, why.text()}, "Correct the path.");
  }
}

void check_device_link(Patient& p, const LinkSpec& l) {
  Findings& f = p.findings;
  Text<kDevicePath> path;
  if (!find_device(l.path, &path))
    return f.fail(Place::here, "device missing: %: the path is too long", {l.path}, "Correct the path.");
  int error = 0;
  switch (device_kind(path.c_str(), &error)) {
    case DeviceKind::absent:
      if (error == ENOENT)
        return f.fail(
            Place::here, "device missing: % is not there", {path.text()},
            "Is it plugged in, and is that its name? 'ls /dev/tty*' shows what there is; 'dmesg' says what happened to it.");
      return f.fail(Place::here, "device missing: %: %", {path.text(), strerror(error)}, "Correct the path.");
    case DeviceKind::fifo:
    case DeviceKind::other:
      return f.fail(Place::here, "not a device: % is a file of another kind", {path.text()},
                    "Give the path of a serial line.");
    case DeviceKind::line: break;
  }
  if (access(path.c_str(), R_OK | W_OK) < 0)
    return f.fail(Place::here, "no permission: device %: %", {path.text(), strerror(errno)},
                  "Start the daemon as root, or put its user into the device's group (often 'dialout').");
  if (p.running.answers) return f.ok("device % is there; the daemon has it", {path.text()});
  char real[4096];
  LineLock lock;
  if (realpath(path.c_str(), real) != nullptr && lock.lock(real) == EBUSY) {
    if (is_mute(p))
      return f.warn("device in use: % belongs to process % (%)", {path.text(), Number(lock.holder()), lock.path()}, kMaybeOurs);
    return f.fail(Place::here, "device in use: % belongs to process % (%)",
                  {path.text(), Number(lock.holder()), lock.path()},
                  "End that program, or give the tunnel a line of its own.");
  }
  f.ok("device % is there, and nobody else has it", {path.text()});
}

// The first word of a command for sh(1); what is no plain word is the shell's business.
void check_command(Patient& p, std::string_view command, std::string_view what) {
  while (!command.empty() && command[0] == ' ') command = skip(command, 1);
  const std::string_view word = first(command, place_of(command, ' '));
  if (word.empty() || place_of_any(word, "=$`\"'\\;&|<>(){}*?~") != kNowhere) return;
  Text<512> path;
  if (place_of(word, '/') != kNowhere) {
    path.add(word);
    if (access(path.c_str(), X_OK) == 0) return p.findings.ok("program %, of %", {word, what});
    if (errno == ENOENT)
      return p.findings.fail(Place::here, "program missing: '%', which % starts, is not there", {word, what},
                             "Install it, or correct its path.");
    return p.findings.fail(Place::here, "program not executable: '%', which % starts: %", {word, what, strerror(errno)},
                           "'chmod +x %'", {word});
  }
  const char* const paths = getenv("PATH");
  std::string_view rest(paths == nullptr ? "/usr/bin:/bin" : paths);
  while (!rest.empty()) {
    const std::string_view folder = first(rest, place_of(rest, ':'));
    rest = skip(rest, folder.size() + 1);
    path.clear();
    path.add(folder).add('/').add(word);
    struct stat s;
    if (!path.cut() && stat(path.c_str(), &s) == 0 && S_ISREG(s.st_mode) && access(path.c_str(), X_OK) == 0)
      return p.findings.ok("program %, of %", {path.text(), what});
  }
  constexpr std::string_view kOwn[] = {"exec", "cd", "read", "echo", "exit", "set", "if", "while", "for", ":", "."};
  for (const std::string_view own : kOwn)
    if (word == own) return;
  p.findings.fail(Place::here, "program missing: '%', which % starts, is in no folder of PATH", {word, what},
                  "Install it, or give its whole path: the daemon's PATH may be shorter than yours.");
}

}  // namespace

Greeting greet(Fd& fd, MutBytes memory, Bytes* got, bool* ended) {
  uint8_t hello[Mux::kFirstPacket];
  const Bytes ours{hello, make_hello(hello)};
  const auto settled = [&] {
    const Greeting g = classify(*got, ours);
    return g != Greeting::nothing && g != Greeting::partial;
  };
  *got = {};
  if (!send_all(fd.get(), ours)) *ended = true;
  const Time until = read_clock() + kHelloWait;
  while (!settled() && hear(fd.get(), memory, got, until - read_clock(), ended)) {
  }
  // Programs that wait for a line get one.
  constexpr std::string_view kLine = "\r\n\r\n";
  if (got->size == 0 && !*ended && send_all(fd.get(), as_bytes(kLine))) {
    const Time last = read_clock() + kHelloWait;  // whoever says a byte at a time
    while (!settled() && read_clock() < last && hear(fd.get(), memory, got, kTextWait, ended)) {
    }
  }
  return classify(*got, ours);
}

void tell_stranger(Findings& f, Greeting g, Bytes got, bool ended, std::string_view at) {
  const std::string_view said = first(greeting_text(got), 80);
  if (g == Greeting::secure_only) {
    return f.fail(
        Place::peer, "secure links only: % takes no clear link", {at},
        "Write SERVER=sockmuxs:// in place of SERVER=sockmux://, and give both sides keys: sockmuxd(8), \"Secure links\".");
  }
  if (g == Greeting::bye) return f.fail(Place::peer, "link refused: % says: %", {at, said}, "The log there says more.");
  if (g == Greeting::nothing && ended) {
    return f.fail(
        Place::peer, "refused by the peer: % takes the connection and closes it at once", {at},
        "Its RELIABLE= or PERMIT= does not let this machine in, or it has no room for another link (MAXIMA=links). Its log has a line 'link-refused' with the reason.");
  }
  if (g == Greeting::nothing) {
    return f.fail(Place::peer, "peer silent: % takes the connection and says nothing", {at},
                  "Another kind of server is there, or a sockmuxd that hangs: look at who has that port there.");
  }
  if (g == Greeting::secure || g == Greeting::sockmux1 || g == Greeting::sockmux03)
    return f.fail(Place::peer, "wrong kind of link: at % %", {at, name(g)},
                  "SERVER=sockmux and SERVER=sockmuxs do not go together: the same on both sides.");
  f.fail(Place::way, "wrong port: at % %%%%", {at, name(g), said.empty() ? "" : ": '", said, said.empty() ? "" : "'"},
         "Correct the port: it must be that of -P of the sockmuxd there.");
}

void check_links(Patient& p) {
  const bool live = check_live_links(p);
  const unsigned before = p.findings.verdict().fails();
  for (const LinkSpec& l : p.config.links) {
    switch (l.kind) {
      case LinkSpec::Kind::accept_tcp:
      case LinkSpec::Kind::stdio: break;
      case LinkSpec::Kind::fifo: check_fifo_link(p, l); break;
      case LinkSpec::Kind::device: check_device_link(p, l); break;
      case LinkSpec::Kind::program: check_command(p, l.path, first(l.origin.word, 60)); break;
      case LinkSpec::Kind::connect_tcp: {
        Reached at;
        if (live || !reach(p, l.at, l.origin.word, Place::way, &at)) break;
        if (!l.secure)
          shake_clear(p, static_cast<Fd&&>(at.fd), at.to);
        else if (p.keys != nullptr)
          p.keys->shake(p.findings, l, static_cast<Fd&&>(at.fd), at.to);
        break;
      }
    }
  }
  if (!live && p.findings.verdict().fails() == before) tell_unexplained(p);
}

// Servers of this side, to which the peer's clients go.
void check_own_servers(Patient& p) {
  for (const ServerSpec& s : p.config.servers) {
    if (s.run && s.options != nullptr && s.label == "exec")
      check_command(p, s.options->xcom.empty() ? s.options->xfil : s.options->xcom, "SERVER=exec");
    if (!s.missing_file.empty())
      p.findings.warn("words missing: % names the file %, which is not there",
                      {first(s.origin.word, 60), s.missing_file}, "Until it is, this server serves nobody.");
    if (s.run || !s.has_address || s.to.host.empty() || s.to.port == 0) continue;
    if (s.transport == Transport::udp) {
      uint64_t ms = 0;
      if (p.finder.find(s.to, &ms).count == 0)
        p.findings.fail(Place::server, "name unknown: '%', asked for by %, has no address", {s.to.host, s.origin.word},
                        "Correct the name, or give its address: HOSTS=%/ADDRESS.", {s.to.host});
      continue;  // whether UDP is heard nobody tells
    }
    Reached at;
    (void)reach(p, s.to, s.origin.word, Place::server, &at);
  }
}

}  // namespace smx::ctl
