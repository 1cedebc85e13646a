// Names and connections, as the daemon would meet them. Read next: doctor.h.
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>

#include "config/choose.h"
#include "core/io/clock.h"
#include "core/io/socket.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/doctor.h"

namespace smx::ctl {

namespace {

constexpr Duration kLongest = seconds(15);  // whatever TIMEOUT= says: somebody sits and waits

Duration within(Duration asked) { return asked.us <= 0 || kLongest < asked ? kLongest : asked; }

uint64_t ms_since(Time begin) { return static_cast<uint64_t>((read_clock() - begin).us) / 1000; }

// The name servers of resolv.conf(5), for a person to look at.
void add_name_servers(TextBase& to) {
  FILE* file = fopen("/etc/resolv.conf", "re");
  if (file == nullptr) return;
  char line[256];
  constexpr std::string_view kWord = "nameserver ";
  size_t n = 0;
  while (fgets(line, sizeof line, file) != nullptr) {
    const std::string_view text(line);
    if (!begins(text, kWord)) continue;
    const std::string_view rest = skip(text, kWord.size());
    to.add(n++ == 0 ? "" : ", ").add_printable(first(rest, place_of(rest, '\n')));
  }
  (void)fclose(file);
}

void tell_unresolved(Patient& p, const HostPort& at, std::string_view what, Place far, int error, uint64_t ms) {
  if (error == EAI_AGAIN) {
    Text<200> servers;
    add_name_servers(servers);
    p.findings.fail(
        far, "no DNS: nobody answers who '%' is, asked for by % (% ms)", {at.host, what, Number(ms)},
        "Is this machine's network up? /etc/resolv.conf names the name servers: %. An address in place of the name, or "
        "HOSTS=%/ADDRESS, does without them.",
        {servers.size() == 0 ? "none" : servers.text(), at.host});
    return;
  }
  p.findings.fail(far, "name unknown: '%', asked for by %, has no address: %", {at.host, what, gai_text(error)},
                  "Correct the name, or give its address: HOSTS=%/ADDRESS.", {at.host});
}

void tell_resolved(Patient& p, const HostPort& at, const Resolved& list, uint64_t ms) {
  Address digits;
  if (parse_ip(at.host, &digits)) return;
  Text<600> addresses;
  for (int i = 0; i < list.count; ++i) append_ip(addresses.add(i == 0 ? "" : ", "), list.address[i]);
  p.findings.ok("name %: % (% ms)", {at.host, addresses.text(), Number(ms)});
}

void tell_unreached(Patient& p, const HostPort& at, std::string_view what, Place far, const Resolved& list, int error,
                    const Address& last) {
  Text<kAddressText> address;
  append_address(address, last);
  Text<8> port;
  port.add_u(at.port);
  const std::string_view a = address.text();
  bool six = true;
  for (int i = 0; i < list.count; ++i) six = six && list.address[i].family == 6;
  Findings& f = p.findings;
  if (error == ECONNREFUSED && far == Place::server) {
    return f.fail(far, "server down: nothing listens at %, where % leads (connection refused)", {a, what},
                  "Start the server there, or correct address and port in %.", {what});
  }
  if (error == ECONNREFUSED) {
    return f.fail(far, "wrong port or peer down: nothing listens at %, asked for by % (connection refused)", {a, what},
                  "Is sockmuxd started on %, and does it have -P%? If the port is another one there, correct it in %.",
                  {at.host, port.text(), what});
  }
  if (error == ETIMEDOUT) {
    return f.fail(
        far, "no answer: % does not answer at all, asked for by %", {a, what},
        "A firewall drops what we send, the machine is down, or the address is wrong. Try 'ping %', and let TCP port % in there.",
        {at.host, port.text()});
  }
  if (six && (error == ENETUNREACH || error == EHOSTUNREACH || error == EADDRNOTAVAIL || error == EAFNOSUPPORT)) {
    return f.fail(far, "no IPv6 here: '%', asked for by %, has IPv6 addresses alone (%)",
                  {at.host, what, strerror(error)},
                  "Give this machine IPv6, or give the other one an IPv4 address in DNS or by HOSTS=.");
  }
  if (error == ENETUNREACH || error == EHOSTUNREACH) {
    return f.fail(far, "no route: this machine does not know the way to %, asked for by % (%)",
                  {a, what, strerror(error)},
                  "Is its network up, and is there a default route ('ip route', 'netstat -rn')?");
  }
  if (error == EADDRNOTAVAIL && !p.config.source.host.empty()) {
    return f.fail(Place::here, "wrong SRCIF: % is no address of this machine", {p.config.source.host},
                  "Correct SRCIF=, or leave it out.");
  }
  f.fail(far, "no connection: to %, asked for by %: %", {a, what, strerror(error)},
         "A firewall of this machine may forbid it.");
}

}  // namespace

bool Finder::init(Arena& arena) {
  constexpr uint32_t kFds = 256, kTimers = 64;
  if (reactor_.init(arena, kFds, kTimers) != 0) return false;
  resolver_.set_limit(within(config_.dns_timeout));
  resolver_.set_known(known, const_cast<Config*>(&config_));
  return true;
}

int Finder::known(void* context, std::string_view name, Address out[Resolved::kMost]) {
  int n = 0;
  for (const Address& a : find_host(*static_cast<const Config*>(context), name))
    if (n < Resolved::kMost) out[n++] = a;
  return n;
}

void Finder::on_resolved(const Resolved& answer, Time now) {
  (void)now;
  answer_ = answer;
  done_ = true;
}

Resolved Finder::find(const HostPort& at, uint64_t* ms) {
  reactor_.turn(Duration{});  // the clock
  const Time begin = read_clock();
  answer_ = Resolved{};
  if (at.host.empty()) {
    answer_.count = 1;
    answer_.address[0].family = 4;
    answer_.address[0].port = at.port;
  } else if (!resolver_.resolve(*this, at.host, at.port, &answer_)) {
    done_ = false;
    while (!done_) reactor_.turn(seconds(1));
  }
  *ms = ms_since(begin);
  return answer_;
}

Address source_of(const Config& config) {
  Address source;
  if (parse_ip(config.source.host, &source)) source.port = 0;  // the port may be the daemon's at this moment
  return source;
}

bool wait_for_fd(int fd, short events, Duration limit) {
  const Time until = read_clock() + limit;
  for (;;) {
    const Duration left = until - read_clock();
    pollfd wait{fd, events, 0};
    const int n = poll(&wait, 1, left.us <= 0 ? 0 : static_cast<int>(left.us / 1000 + 1));
    if (n > 0) return true;
    if (n == 0 || errno != EINTR) return false;
  }
}

int connect_within(const Address& to, const Address& source, Duration limit, Fd* out) {
  int error = 0;
  Fd fd = connect_tcp(to, source.family == to.family ? source : Address{}, &error);
  if (!fd.valid()) return error;
  const Duration whole = within(limit);
  if (!wait_for_fd(fd.get(), POLLOUT, whole < kUntold ? whole : kUntold)) {
    if (!(kUntold < whole)) return ETIMEDOUT;
    Text<kAddressText> address;
    append_address(address, to);
    complain({"doctor: ", address.text(), " has not answered yet; it has ", Text<20>("").add_u(static_cast<uint64_t>(whole.us / 1000000)).text(), " s"});
    if (!wait_for_fd(fd.get(), POLLOUT, Duration{whole.us - kUntold.us})) return ETIMEDOUT;
  }
  error = connect_result(fd.get());
  if (error == 0) *out = static_cast<Fd&&>(fd);
  return error;
}

bool reach(Patient& p, const HostPort& at, std::string_view what, Place far, Reached* out) {
  uint64_t ms = 0;
  const Resolved list = p.finder.find(at, &ms);
  if (list.count == 0) return tell_unresolved(p, at, what, far, list.error, ms), false;
  tell_resolved(p, at, list, ms);
  int error = 0, error_of_six = 0;
  Address last, six;
  for (int i = 0; i < list.count; ++i) {
    last = list.address[i];
    const Time begin = read_clock();
    error = connect_within(last, source_of(p.config), p.config.connect_timeout, &out->fd);
    if (error != 0 && last.family == 6) error_of_six = error, six = last;
    if (error != 0) continue;
    out->to = last;
    Text<kAddressText> address, lost;
    append_address(address, last);
    append_address(lost, six);
    if (error_of_six != 0 && last.family == 4) {
      p.findings.warn("IPv6 broken: % cannot be reached, % can: %",
                      {lost.text(), address.text(), strerror(error_of_six)},
                      "Each new link loses time with it. Mend IPv6, or give the IPv4 address in place of the name.");
    }
    p.findings.ok("connection to %, for % (% ms)", {address.text(), what, Number(ms_since(begin))});
    return true;
  }
  tell_unreached(p, at, what, far, list, error, last);
  return false;
}

}  // namespace smx::ctl
