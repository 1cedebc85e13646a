// Read next: compare.h.
#include "config/reload/compare.h"

#include "config/choose.h"
#include "config/hostlist.h"
#include "config/scan.h"

namespace smx {

namespace {

constexpr const char* kRestart = "% cannot change while the daemon runs: restart it";

bool same_at(const HostPort& a, const HostPort& b) { return a.port == b.port && equal_fold(a.host, b.host); }

bool same_texts(View<std::string_view> a, View<std::string_view> b) {
  bool same = a.count == b.count;
  for (size_t i = 0; same && i < a.count; ++i) same = a[i] == b[i];
  return same;
}

bool is_access(std::string_view name) {
  return is_one_of("RELIABLE,PERMIT,REJECT,REACHABLE,REMITTABLE,HOSTLIST,HOSTS", name);
}

// Settings in their order; `only`: of these names.
bool same_settings(const Config& a, const Config& b, bool (*only)(std::string_view)) {
  size_t i = 0, k = 0;
  for (;;) {
    while (i < a.settings.count && !only(a.settings[i].name)) ++i;
    while (k < b.settings.count && !only(b.settings[k].name)) ++k;
    if (i == a.settings.count || k == b.settings.count) return i == a.settings.count && k == b.settings.count;
    if (a.settings[i].name != b.settings[k].name || a.settings[i].value != b.settings[k].value) return false;
    ++i, ++k;
  }
}

bool same_serial(const SerialSettings& a, const SerialSettings& b) {
  Text<200> one, other;
  append_serial(one, a);
  append_serial(other, b);
  return a.given == b.given && one.text() == other.text();
}

// But for where it is made to.
bool same_way(const LinkSpec& a, const LinkSpec& b) {
  return a.kind == b.kind && a.secure == b.secure && a.in_path == b.in_path && a.out_path == b.out_path && a.path == b.path &&
         a.peer == b.peer && same_serial(a.serial, b.serial);
}

bool same_link(const LinkSpec& a, const LinkSpec& b) { return same_way(a, b) && same_at(a.at, b.at); }

bool same_listen(const ListenSpec& a, const ListenSpec& b) { return same_port(a, b) && a.peer == b.peer; }

template <typename T>
bool same_all(View<T> a, View<T> b, bool (*same)(const T&, const T&)) {
  if (a.count != b.count) return false;
  for (size_t i = 0; i < a.count; ++i)
    if (!same(a[i], b[i])) return false;
  return true;
}

bool same_hosts(View<HostEntry> a, View<HostEntry> b) {
  return same_all<HostEntry>(a, b, [](const HostEntry& x, const HostEntry& y) {
    bool same = equal_fold(x.name, y.name) && x.addresses.count == y.addresses.count;
    for (size_t i = 0; same && i < x.addresses.count; ++i) same = x.addresses[i] == y.addresses[i];
    return same;
  });
}

bool is_proxy(const ServerSpec& s) { return (s.run && !is_one_of("exec,tcprelay,udprelay", s.label)) || s.label == "ftp"; }

// What a field is called.
template <typename T>
struct Field {
  const char* name;
  T Config::*field;
};
constexpr Field<std::string_view> kTexts[] = {
    {"OWNER", &Config::owner},           {"CHROOT", &Config::chroot_dir},        {"UMASK", &Config::umask_text},
    {"PIDFILE", &Config::pidfile},       {"LOGFILE", &Config::logfile},          {"SYSLOG", &Config::syslog},
    {"SOXCONF=key", &Config::key_file},  {"SOXCONF=peers", &Config::peers_file}, {"SOXCONF=name", &Config::own_name},
    {"SOXCONF=control", &Config::control_file}};
constexpr Field<uint32_t> kNumbers[] = {{"MAXIMA=udprelay", &Config::max_udp_flows},
                                        {"MAXIMA=delegated", &Config::max_programs},
                                        {"MAXIMA=channels", &Config::max_channels},
                                        {"MAXIMA=links", &Config::max_links},
                                        {"MAXIMA=halfopen", &Config::max_half_open}};
constexpr Field<Duration> kPeriods[] = {{"TIMEOUT=lin", &Config::linger_timeout}, {"TIMEOUT=hello", &Config::hello_timeout},
                                        {"TIMEOUT=ping", &Config::ping_interval}, {"TIMEOUT=retry", &Config::retry_max},
                                        {"TIMEOUT=resume", &Config::resume_hold}, {"TIMEOUT=renew", &Config::renew_interval}};
constexpr Field<bool> kFlags[] = {{"-f", &Config::foreground},          {"-v", &Config::log_stderr},
                                  {"SOXCONF=mkfifo", &Config::mkfifo},  {"SOXCONF=control", &Config::control},
                                  {"LOGFILE", &Config::logfile_given},  {"-t", &Config::check_only}};

class Follow {
 public:
  Follow(const Config& now, const Config& next, const StartRoom& room, Report* report) : now_(now), next_(next), room_(room), report_(*report) {}

  bool check() {
    const size_t before = report_.error_count();
    fields();
    links();
    ports();
    servers();
    names();
    return report_.error_count() == before;
  }

 private:
  void no(std::string_view word, const Origin& where) { report_.error(kExitConfig, where, kRestart, {word}); }
  // A field that has the name of a setting, "OWNER" or "TIMEOUT=ping".
  void no(std::string_view field) {
    const size_t equals = place_of(field, '=');
    const std::string_view name = first(field, equals), key = equals == kNowhere ? std::string_view() : skip(field, equals + 1);
    for (const Setting& s : next_.settings) {
      const bool is_key = key.empty() || (starts_with(s.value, key) && s.value.size() > key.size() && s.value[key.size()] == ':');
      if (s.name == name && is_key) return no(field, s.origin);
    }
    no(field, Origin{});
  }

  void fields() {
    const auto differ = [&](const auto& f) {
      if (!(now_.*f.field == next_.*f.field)) no(f.name);
    };
    for (const auto& f : kTexts) differ(f);
    for (const auto& f : kNumbers) differ(f);
    for (const auto& f : kPeriods)
      if ((now_.*f.field).us != (next_.*f.field).us) no(f.name);
    for (const auto& f : kFlags) differ(f);
    if (now_.memory_bytes != next_.memory_bytes) no("MAXIMA=memory");
    if (now_.packet_size != next_.packet_size) no("SOXCONF=packsize");
    if (now_.proto != next_.proto) no("SOXCONF=proto");
    if (now_.sandbox != next_.sandbox) no("SOXCONF=sandbox");
    if (now_.line != next_.line) no("SOXCONF=line");
    if (!same_at(now_.source, next_.source)) no("SRCIF");
    if (!same_texts(now_.env, next_.env)) no("-e");
  }

  // Ports of -P come and go where there were some, and what a link is made to may change; all else is set up at the start.
  void links() {
    const size_t accept[2] = {acceptors(now_), acceptors(next_)};
    const View<LinkSpec> a{now_.links.first + accept[0], now_.links.count - accept[0]}, b{next_.links.first + accept[1], next_.links.count - accept[1]};
    const bool same = same_all<LinkSpec>(a, b, same_way);
    const bool kind = (accept[0] > 0) == (accept[1] > 0) && (accept[0] == 0 || accept[1] == 0 || now_.links[0].secure == next_.links[0].secure);
    if (!same || !kind) no("its links", next_.links[kind && accept[1] < next_.links.count ? accept[1] : 0].origin);
    bool secure = false;
    for (const LinkSpec& l : now_.links) secure = secure || l.secure;
    // The peers file in force knows them.
    if (secure && !same_hosts(now_.hosts, next_.hosts)) report_.error(kExitConfig, Origin{}, "HOSTS cannot change while there are secure links, whose peers file uses it: restart the daemon");
    if (next_.remote_listens.count <= room_.far_ports) return;
    Text<24> most;
    report_.error(kExitConfig, next_.remote_listens[0].origin, "there was room for % ports of RPORT at the start: restart the daemon", {most.add_u(room_.far_ports).text()});
  }
  static size_t acceptors(const Config& c) {
    size_t n = 0;
    while (n < c.links.count && c.links[n].kind == LinkSpec::Kind::accept_tcp) ++n;
    return n;
  }

  void ports() {
    const size_t accept = acceptors(next_);
    if (accept + next_.listens.count > room_.ports) {
      Text<24> most;
      report_.error(kExitConfig, Origin{}, "there was room for % ports at the start, of PORT and -P: restart the daemon", {most.add_u(room_.ports).text()});
    }
    // The same port twice is one any free port after another (PORT=0,0): of those there are as many as there were.
    const View<LinkSpec> now_accepts{now_.links.first, acceptors(now_)}, next_accepts{next_.links.first, accept};
    for (size_t i = 0; i < accept; ++i)
      if (is_new(now_accepts, next_accepts, i)) port(next_.links[i].at, next_.links[i].origin);
    for (size_t i = 0; i < next_.listens.count; ++i)
      if (is_new(now_.listens, next_.listens, i)) port(next_.listens[i].at, next_.listens[i].origin);
  }
  template <typename Spec>
  static bool is_new(const View<Spec>& now, const View<Spec>& next, size_t i) {
    size_t there = 0, wanted = 0;
    for (const Spec& old : now) there += same_port(old, next[i]) ? 1u : 0u;
    for (size_t k = 0; k <= i; ++k) wanted += same_port(next[k], next[i]) ? 1u : 0u;
    return wanted > there;
  }
  // The loop waits for nobody, and a port that opens later than the others would be no whole configuration.
  void port(const HostPort& at, const Origin& where) {
    Address a;
    if (!find_port(next_, at, &a)) report_.error(kExitConfig, where, "'%' is a name: while the daemon runs, a port can be opened only at an address, localhost, or a name of HOSTS; write the address, or restart", {at.host});
  }

  void servers() {
    if (next_.servers.count > room_.places) {
      Text<24> most;
      report_.error(kExitConfig, Origin{}, "there was room for % of SERVER and DEST at the start: restart the daemon", {most.add_u(room_.places).text()});
    }
    bool proxies = false;
    for (const ServerSpec& s : room_.servers) proxies = proxies || is_proxy(s);
    for (const ServerSpec& s : next_.servers) {
      if (is_proxy(s) && !proxies) report_.error(kExitConfig, s.origin, "the first proxy needs memory that is set aside at the start: restart the daemon");
      if (s.run && s.label == "exec" && !knows(s)) report_.error(kExitConfig, s.origin, "a new command needs a restart: only those of the start can be run");
      Address source;
      if (s.options != nullptr && !same_at(s.options->source, next_.source) && !parse_ip(s.options->source.host, &source)) report_.error(kExitConfig, s.origin, "names in SRCIF inside of -in(...) are not in this version");
    }
  }
  bool knows(const ServerSpec& s) const {
    for (const ServerSpec& old : room_.servers)
      if (same_program(old, s)) return true;
    return false;
  }

  void names() {
    if (next_.names.count > room_.names) {
      Text<24> most;
      report_.error(kExitConfig, Origin{}, "there was room for % names in lists of hosts at the start: restart the daemon", {most.add_u(room_.names).text()});
    }
    std::string_view name;
    Origin where;
    if (room_.resolves || !asks_names(next_, &name, &where)) return;
    report_.error(kExitConfig, where, "'%' is a name, and this daemon was started without any, so that it cannot look it up: write the address, or restart", {name});
  }

  const Config& now_;
  const Config& next_;
  const StartRoom& room_;
  Report& report_;
};

}  // namespace

bool same_port(const ListenSpec& a, const ListenSpec& b) { return a.transport == b.transport && same_at(a.at, b.at); }
bool same_port(const LinkSpec& a, const LinkSpec& b) { return same_at(a.at, b.at); }

bool same_program(const ServerSpec& a, const ServerSpec& b) {
  if (a.options == nullptr || b.options == nullptr || a.label != "exec" || b.label != "exec") return false;
  return a.options->xcom == b.options->xcom && a.options->xfil == b.options->xfil && same_texts(a.options->env, b.options->env);
}

bool same_target(const ServerSpec& a, const ServerSpec& b) {
  if (a.label != b.label || a.transport != b.transport || a.has_address != b.has_address || a.run != b.run) return false;
  if (a.has_address && !same_at(a.to, b.to)) return false;
  return !a.run || a.label != "exec" || same_program(a, b);
}

bool same_server(const ServerSpec& a, const ServerSpec& b) {
  if (!same_target(a, b) || a.when_text != b.when_text || a.missing_file != b.missing_file || !same_texts(a.words, b.words)) return false;
  if ((a.options == nullptr) != (b.options == nullptr)) return false;
  return a.options == nullptr || same_settings(*a.options, *b.options, [](std::string_view) { return true; });
}

bool same_access(const Config& a, const Config& b) {
  return same_settings(a, b, is_access) && same_all<ServerSpec>(a.servers, b.servers, [](const ServerSpec& x, const ServerSpec& y) {
           return x.options == nullptr || y.options == nullptr ? x.options == y.options : same_settings(*x.options, *y.options, is_access);
         });
}

bool same_config(const Config& a, const Config& b) {
  for (const auto& f : kFlags)
    if (a.*f.field != b.*f.field) return false;
  return a.log_level == b.log_level && same_settings(a, b, [](std::string_view) { return true; }) && same_texts(a.env, b.env) &&
         same_all<LinkSpec>(a.links, b.links, same_link) && same_all<ListenSpec>(a.listens, b.listens, same_listen) &&
         same_all<ListenSpec>(a.remote_listens, b.remote_listens, same_listen) && same_all<ServerSpec>(a.servers, b.servers, same_server);
}

bool asks_names(const Config& config, std::string_view* name, Origin* where) {
  if constexpr (!kHasNames) return false;
  Address a;
  const auto asks = [&](std::string_view host, const Origin& origin) {
    if (parse_ip(host, &a) || !find_host(config, host).empty()) return false;
    *name = host;
    *where = origin;
    return true;
  };
  if (!config.names.empty()) {
    *name = config.names[0];
    *where = Origin{};
    return true;
  }
  for (const LinkSpec& l : config.links)
    if (l.kind == LinkSpec::Kind::connect_tcp && asks(l.at.host, l.origin)) return true;
  for (const ServerSpec& s : config.servers)
    if (s.run ? s.label != "exec" : asks(s.has_address ? s.to.host : std::string_view(), s.origin)) return true;
  return false;
}

bool find_port(const Config& config, const HostPort& at, Address* out) {
  *out = Address{4, {}, 0};
  const View<Address> known = find_host(config, at.host);
  bool found = true;
  if (!known.empty()) *out = known[0];
  else if (equal_fold(at.host, "localhost")) *out = loopback_of(4);
  else found = at.host.empty() || parse_ip(at.host, out);
  out->port = at.port;
  return found;
}

bool can_follow(const Config& now, const Config& next, const StartRoom& room, Report* report) { return Follow(now, next, room, report).check(); }

}  // namespace smx
