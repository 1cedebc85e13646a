// This machine: user, files, limits, clock, who is let in. Read next: doctor.h, daemon_process.cc (what the daemon does).
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/timex.h>
#endif

#include "config/choose.h"
#include "core/io/process.h"
#include "core/io/socket.h"
#include "core/mux/mux.h"
#include "tools/ctl/doctor.h"

namespace smx::ctl {

namespace {

// ---- who the daemon becomes, and what he may read

bool may(const struct stat& s, const Identity& who, mode_t right) {
  if (who.uid == 0) return true;
  if (s.st_uid == who.uid) return (s.st_mode & (right << 6)) != 0;
  if (s.st_gid == who.gid) return (s.st_mode & (right << 3)) != 0;
  return (s.st_mode & right) != 0;
}

// 0; or ENOENT, or EACCES: `*where` is the file or folder that is closed to him.
int readable_by(const Identity& who, std::string_view path, TextBase* where) {
  Text<2048> whole;
  if (!absolute_path(path, &whole)) return 0;
  const std::string_view all = whole.text();
  for (size_t i = 1; i <= all.size(); ++i) {
    if (i < all.size() && all[i] != '/') continue;
    where->clear();
    where->add(first(all, i));
    struct stat s;
    if (stat(where->c_str(), &s) < 0) return errno;
    if (!may(s, who, i < all.size() ? S_IXOTH : S_IROTH)) return EACCES;
  }
  return 0;
}

void check_owner(Patient& p, View<std::string_view> files) {
  const Config& c = p.config;
  Identity who{own_user(), static_cast<uint32_t>(getgid())};
  if (!c.owner.empty()) {
    if (find_identity(c.owner.data(), &who) != 0) {
      return p.findings.fail(Place::here, "unknown user: OWNER=%: no such user or group", {c.owner},
                             "Make it ('useradd -r NAME'), or correct OWNER=.");
    }
    if (!is_root())
      return p.findings.warn("OWNER=%: only root can change its user", {c.owner},
                             "Run doctor and daemon as root, or leave OWNER= out.");
  } else if (is_root() && find_identity("nobody", &who) != 0) {
    who = {65534, 65534};
  }
  const std::string_view name = c.owner.empty() ? (is_root() ? "nobody" : "you") : c.owner;
  bool good = true;
  const auto check = [&](std::string_view path) {
    Text<2048> where;
    if (path.empty() || readable_by(who, path, &where) != EACCES) return;
    good = false;
    p.findings.warn("no permission: once started the daemon is '%', who cannot read % (because of %)",
                    {name, path, where.text()},
                    "It starts, but a reload will fail: 'chmod' or 'chgrp' it, or say OWNER=.");
  };
  for (const std::string_view path : files) check(path);
  if (p.keys != nullptr) check(p.keys->peers_file());
  if (good) p.findings.ok("user: the daemon runs as '%', who can read what a reload needs", {name});
}

// ---- files that it writes

void check_folder(Patient& p, const char* word, std::string_view path) {
  Text<2048> folder;
  const bool there = access(path.data(), F_OK) == 0;
  if (there)
    folder.add(path);
  else if (!absolute_path(path, &folder))
    return;
  std::string_view text = folder.text();
  if (!there) {
    size_t end = text.size();
    while (end > 1 && text[end - 1] != '/') --end;
    if (end > 1) --end;
    const Text<2048> parent(first(text, end));
    folder.clear();
    folder.add(parent.text());
  }
  text = folder.text();
  if (access(folder.c_str(), W_OK) < 0) {
    const int error = errno;
    const char* const advice = error == EROFS
                                   ? "The file system is mounted read-only: choose a place in /run or /tmp, not %."
                               : error == ENOENT ? "Make the folder: 'mkdir -p %'"
                                                 : "Start the daemon as a user who may write %.";
    return p.findings.fail(Place::here, "cannot write: %=%: %: %", {word, path, text, strerror(error)}, advice, {text});
  }
  struct statvfs v;
  if (statvfs(folder.c_str(), &v) == 0 && v.f_blocks > 0 && v.f_bavail == 0)
    return p.findings.warn("disk full: %=% is on a file system without room", {word, path}, "Remove something there.");
  p.findings.ok("%=% can be written", {word, path});
}

void check_pidfile(Patient& p) {
  const std::string_view path = p.config.pidfile;
  if (path.empty()) return;
  Fd fd(::open(path.data(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (fd.valid() && flock(fd.get(), LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
    char text[24];
    const ssize_t n = ::read(fd.get(), text, sizeof text);
    const std::string_view all(text, n < 0 ? 0 : static_cast<size_t>(n));
    const std::string_view pid = first(all, place_of(all, '\n'));
    if (p.running.answers) return p.findings.ok("PIDFILE=%: of the daemon that runs, process %", {path, pid});
    if (is_mute(p)) return p.findings.ok("PIDFILE=%: of a daemon that runs, process %", {path, pid});
    return p.findings.fail(
        Place::here, "already running: PIDFILE=% belongs to process %, which does not answer at the control socket",
        {path, pid}, "'kill %' ends it. Two daemons of one configuration cannot run at once.", {pid});
  }
  fd.reset();  // with our lock, which keeps a daemon from starting: who reads what follows may take his time
  check_folder(p, "PIDFILE", path);
}

// ---- limits

uint32_t count_links(const Config& c) {
  bool accepts = false, connects = false;
  for (const LinkSpec& l : c.links) (is_way_in(c, l) ? accepts : connects) = true;
  const uint32_t n = c.max_links != 0 ? c.max_links : accepts ? 16 : 1;
  return accepts && connects ? n + 1 : n;
}

void check_limits(Patient& p) {
  const Config& c = p.config;
  const uint64_t links = count_links(c);
  const uint64_t wanted = links * (2 * c.max_channels + 1) + c.listens.count + c.links.count + 64;
  const uint64_t least = 2 * uint64_t{c.max_channels} + c.listens.count + c.links.count + 64;  // of one link
  rlimit limit;
  const uint64_t most = getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_max == RLIM_INFINITY
                            ? UINT64_MAX
                            : static_cast<uint64_t>(limit.rlim_max);
  if (most < least) {
    p.findings.warn(
        "few descriptors: % are allowed, % are needed for % channels each way (MAXIMA=channels)",
        {Number(most), Number(least), Number(c.max_channels)},
        "Raise the hard limit (LimitNOFILE= of systemd, 'ulimit -Hn'), or lower MAXIMA=channels: clients beyond it wait.");
  } else {
    p.findings.ok("descriptors: enough for % with % channels each way",
                  {Number(most < wanted ? 1 : links, "link", "links"), Number(c.max_channels)});
  }
  MuxConfig m;
  m.accepts = m.opens = static_cast<uint16_t>(c.max_channels);
  m.packet_size = c.packet_size;
  m.lines = false;
  const uint64_t need = Mux::guaranteed_bytes(m) * links;
  if (c.memory_bytes != 0 && c.memory_bytes < need) {
    p.findings.fail(Place::here,
                    "too little memory: MAXIMA=memory gives % bytes, and % with % channels each way need %",
                    {Number(c.memory_bytes), Number(links, "link", "links"), Number(c.max_channels), Number(need)},
                    "Raise MAXIMA=memory, or lower MAXIMA=channels or MAXIMA=links.");
  }
#if defined(_SC_PHYS_PAGES)
  const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
  const uint64_t machine = pages > 0 && page > 0 ? static_cast<uint64_t>(pages) * static_cast<uint64_t>(page) : 0;
  if (machine != 0 && (c.memory_bytes > machine || need > machine)) {
    p.findings.warn("much memory: the options may take % bytes, this machine has %",
                    {Number(c.memory_bytes > need ? c.memory_bytes : need), Number(machine)},
                    "Lower MAXIMA=memory, MAXIMA=channels or MAXIMA=links.");
  }
#endif
}

// ---- the clock

void check_clock(Patient& p) {
  constexpr time_t k2024 = 1704067200;
  const time_t now = time(nullptr);
  if (now < k2024) {
    tm parts;
    const int year = gmtime_r(&now, &parts) == nullptr ? 1970 : parts.tm_year + 1900;
    return p.findings.warn(
        "clock wrong: it is the year % here", {Number(static_cast<uint64_t>(year))},
        "The tunnel does without a right clock; times in the log do not. Set it (ntpd, chrony, 'date -s').");
  }
#if defined(__linux__)
  timex t{};
  if (adjtimex(&t) >= 0 && (t.status & STA_UNSYNC) != 0) {
    return p.findings.warn("clock not synchronised: no time server sets it", {},
                           "The tunnel does without; times in the log may be wrong. Start ntpd or chrony.");
  }
#endif
  p.findings.ok("clock");
}

// ---- who is let in

class NoNames final : public NameLookup {
 public:
  NoNames() {
    OwnNetwork own[kMaxNetworks];
    count_ = own_networks(own);
    for (size_t i = 0; i < count_; ++i) network_[i] = {own[i].address, own[i].prefix};
  }
  Answer has_address(std::string_view name, const Address& address) const override {
    return (void)name, (void)address, Answer::unknown;
  }
  View<Network> local_networks() const override { return {network_, count_}; }

 private:
  Network network_[kMaxNetworks];
  size_t count_ = 0;
};

// Can it say yes to anybody? Source: config/hostlist.h.
bool lets_somebody_in(const HostList& list) {  // NOLINT(misc-no-recursion): kMaxListDepth
  bool can = list.count > 0 && list.terms[0].negated;
  for (size_t i = 0; i < list.count; ++i) {
    const HostTerm& t = list.terms[i];
    if (t.negated && t.kind == HostTerm::Kind::any) can = false;
    if (!t.negated) can = can || t.kind != HostTerm::Kind::list || t.list == nullptr || lets_somebody_in(*t.list);
  }
  return can;
}

void check_access(Patient& p) {
  const Config& c = p.config;
  bool opens = !c.listens.empty();
  for (const LinkSpec& l : c.links) opens = opens || l.kind == LinkSpec::Kind::accept_tcp;
  if (!opens) return;
  if (c.reliable != nullptr && !lets_somebody_in(*c.reliable)) {
    return p.findings.fail(
        Place::here, "nobody let in: RELIABLE=% keeps everybody away", {c.reliable->text},
        "Name who may come: RELIABLE=.localnet, addresses, networks, or RELIABLE='*' for everybody.");
  }
  bool open = false;
  const auto check = [&](const HostPort& at, std::string_view word) {
    if (!is_open_to_world(c, at)) return;
    open = true;
    p.findings.warn("open to everybody: %", {word},
                    "Whoever reaches this machine may use it. RELIABLE= says who may; without it only local networks.");
  };
  for (const LinkSpec& l : c.links)
    if (l.kind == LinkSpec::Kind::accept_tcp && !l.secure) check(l.at, l.origin.word);
  std::string_view last;
  for (const ListenSpec& l : c.listens) {
    if (l.origin.word.data() != last.data()) check(l.at, l.origin.word);
    last = l.origin.word;
  }
  const NoNames names;
  Subject us;
  us.client = loopback_of(4);
  if (open) return;
  if (allowed_client(c, us, names))
    return p.findings.ok("access: this machine may use its own ports; not everybody may");
  p.findings.warn("not for us: RELIABLE= or PERMIT= lets no client of this machine itself in", {},
                  "If you test from here, add 'localhost' to RELIABLE=.");
}

}  // namespace

void check_host(Patient& p, View<std::string_view> files) {
  check_owner(p, files);
  check_pidfile(p);
  if (!p.config.logfile.empty()) check_folder(p, "LOGFILE", p.config.logfile);
  if (!p.config.chroot_dir.empty() && check_chroot(p.config.chroot_dir.data()) != 0)
    p.findings.fail(Place::here, "no CHROOT: %: % ",
                    {p.config.chroot_dir, is_root() ? "no such folder, or no folder" : "only root can do that"},
                    "Make it, or correct CHROOT=.");
  check_access(p);
  check_limits(p);
  check_clock(p);
}

}  // namespace smx::ctl
