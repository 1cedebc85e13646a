// The ports of PORT= and -P: can they be had, and if not, who has them? Read next: doctor.h. Source: proc(5).
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/address.h"
#include "core/io/process.h"
#include "tools/ctl/doctor.h"

namespace smx::ctl {

namespace {

// Binds as the daemon does, and listens not: nobody can come in. 0 or errno.
int try_bind(const Address& at, bool udp) {
  sockaddr_storage s{};
  socklen_t size = sizeof(sockaddr_in);
  if (at.family == 6) {
    sockaddr_in6 six{};
    six.sin6_family = AF_INET6;
    six.sin6_port = htons(at.port);
    memcpy(&six.sin6_addr, at.ip, 16);
    memcpy(&s, &six, size = sizeof six);
  } else {
    sockaddr_in four{};
    four.sin_family = AF_INET;
    four.sin_port = htons(at.port);
    memcpy(&four.sin_addr, at.ip, 4);
    memcpy(&s, &four, sizeof four);
  }
  const Fd fd(::socket(at.family == 6 ? AF_INET6 : AF_INET, udp ? SOCK_DGRAM : SOCK_STREAM, 0));
  if (!fd.valid()) return errno;
  const int yes = 1;
  if (!udp) (void)setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (at.family == 6) (void)setsockopt(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, &yes, sizeof yes);
  return ::bind(fd.get(), reinterpret_cast<const sockaddr*>(&s), size) < 0 ? errno : 0;
}

#if defined(__linux__)

// The inode of the socket that has this port, by /proc/net/tcp and its like; 0: none that is told.
uint64_t inode_of(const char* table, uint16_t port, bool udp, uint32_t* uid) {
  FILE* file = fopen(table, "re");
  if (file == nullptr) return 0;
  char line[512];
  uint64_t found = 0;
  while (found == 0 && fgets(line, sizeof line, file) != nullptr) {
    unsigned at = 0, state = 0, user = 0;
    unsigned long long inode = 0;
    // NOLINTNEXTLINE(cert-err34-c): the kernel wrote it; what does not fit is no line of this port
    if (sscanf(line, " %*u: %*[0-9A-Fa-f]:%x %*[0-9A-Fa-f]:%*x %x %*s %*s %*s %u %*u %llu", &at, &state, &user,
               &inode) != 4)
      continue;
    constexpr unsigned kListens = 0x0a;
    if (at != port || (!udp && state != kListens)) continue;
    found = inode;
    *uid = user;
  }
  (void)fclose(file);
  return found;
}

// A process that has this socket open; 0: none that we may look into.
int process_with(uint64_t inode) {
  Text<40> wanted("socket:[");
  wanted.add_u(inode).add(']');
  DIR* proc = opendir("/proc");
  if (proc == nullptr) return 0;
  int found = 0;
  while (const dirent* e = found == 0 ? readdir(proc) : nullptr) {
    if (e->d_name[0] < '1' || e->d_name[0] > '9') continue;
    Text<300> folder("/proc/");
    folder.add(e->d_name).add("/fd");
    DIR* fds = opendir(folder.c_str());
    if (fds == nullptr) continue;
    while (const dirent* f = readdir(fds)) {
      char to[64];
      const ssize_t n = readlinkat(dirfd(fds), f->d_name, to, sizeof to);
      if (n <= 0 || std::string_view(to, static_cast<size_t>(n)) != wanted.text()) continue;
      found = atoi(e->d_name);  // NOLINT(cert-err34-c): the name of a process in /proc
      break;
    }
    closedir(fds);
  }
  closedir(proc);
  return found;
}

void add_holder(TextBase& to, uint16_t port, bool udp) {
  uint32_t uid = 0;
  uint64_t inode = inode_of(udp ? "/proc/net/udp" : "/proc/net/tcp", port, udp, &uid);
  if (inode == 0) inode = inode_of(udp ? "/proc/net/udp6" : "/proc/net/tcp6", port, udp, &uid);
  const int pid = inode == 0 ? 0 : process_with(inode);
  if (pid == 0) {
    if (inode != 0)
      to.add("a program of uid ").add_u(uid);
    else
      to.add("another program");
    return;
  }
  Text<64> path("/proc/");
  path.add_i(pid).add("/comm");
  char name[64] = {};
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t n = fd.valid() ? ::read(fd.get(), name, sizeof name - 1) : 0;
  const std::string_view text(name, n < 0 ? 0 : static_cast<size_t>(n));
  to.add('\'').add_printable(first(text, place_of(text, '\n'))).add("', process ").add_i(pid);
}

#else

void add_holder(TextBase& to, uint16_t port, bool udp) {
  (void)port, (void)udp;
  to.add("another program");
}

#endif

struct Counts {
  unsigned free = 0, ours = 0;
};

// Has the running daemon said that it listens there?
bool is_ours(const Patient& p, const Address& at, std::string_view kind) {
  Text<kAddressText> text;
  append_address(text, at);
  std::string_view rest = p.running.lines;
  RunningRow row;
  while (next_row(&rest, &row))
    if (row.kind == kind && row.at == text.text()) return true;
  return false;
}

void check_port(Patient& p, const HostPort& at, bool udp, std::string_view kind, std::string_view word,
                Counts* counts) {
  if (at.port == 0) return;  // any that is free
  uint64_t ms = 0;
  const Resolved list = p.finder.find(at, &ms);
  Findings& f = p.findings;
  if (list.count == 0)
    return f.fail(Place::here, "name unknown: '%', where % shall listen, has no address: %",
                  {at.host, word, gai_text(list.error)}, "Give an address of this machine, or leave the host out.");
  int error = EADDRNOTAVAIL;
  Address tried;
  for (int i = 0; i < list.count && (i == 0 || error == EADDRNOTAVAIL); ++i) {  // as the daemon: the first that is ours
    tried = list.address[i];
    if (is_ours(p, tried, kind)) {
      ++counts->ours;
      return;
    }
    error = try_bind(tried, udp);
  }
  Text<kAddressText> address;
  append_address(address, tried);
  const std::string_view a = address.text();
  if (error == 0) {
    ++counts->free;
    return;
  }
  if (error == EADDRINUSE) {
    Text<120> holder;
    add_holder(holder, at.port, udp);
    if (is_mute(p) && begins(holder.text(), "'sockmuxd',"))
      return f.warn("port in use: % (%) belongs to %", {a, word, holder.text()}, kMaybeOurs);
    return f.fail(Place::here, "port taken: % (%) belongs to %", {a, word, holder.text()},
                  "End that program, or choose another port. ('ss -lntup' or 'sockstat -l' lists who has which.)");
  }
  if (error == EACCES || error == EPERM)
    return f.fail(Place::here, "port not allowed: % (%): below 1024 only root may listen", {a, word},
                  "Start the daemon as root (it becomes OWNER= afterwards), or choose a port from 1024 on.");
  if (error == EADDRNOTAVAIL)
    return f.fail(Place::here, "not our address: % (%) is of no interface of this machine", {a, word},
                  "'ip addr' shows the addresses there are. Leave the host out to listen at all of them.");
  if (error == EAFNOSUPPORT)
    return f.fail(Place::here, "no IPv6 here: % (%): this machine has none", {a, word}, "Give an IPv4 address.");
  f.fail(Place::here, "cannot listen: % (%): %", {a, word, strerror(error)}, "Choose another port.");
}

}  // namespace

void check_ports(Patient& p) {
  Counts counts;
  for (const LinkSpec& l : p.config.links)
    if (l.kind == LinkSpec::Kind::accept_tcp) check_port(p, l.at, false, "accept", first(l.origin.word, 60), &counts);
  for (const ListenSpec& l : p.config.listens) {
    const bool udp = l.transport == Transport::udp;
    check_port(p, l.at, udp, udp ? "udp" : "tcp", first(l.origin.word, 60), &counts);
  }
  if (counts.ours > 0) p.findings.ok("ports: the daemon listens at %", {Number(counts.ours, "port", "ports")});
  if (counts.free > 0 && p.running.answers) {
    p.findings.warn("not listening: the daemon that runs does not listen at % of this configuration",
                    {Number(counts.free, "port", "ports")}, "It was started with other words: reload or restart it.");
  } else if (counts.free > 0) {
    p.findings.ok("ports: % free for the daemon", {Number(counts.free, "port is", "ports are")});
  }
}

}  // namespace smx::ctl
