// Read next: daemon.h.
#include "daemon.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "config/parse.h"
#include "config/report.h"
#include "core/base/letters.h"
#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/log.h"
#include "core/io/notify.h"
#include "core/io/resident.h"
#include "core/io/rt.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx {

void say(const char* kind, std::string_view text) {
  Text<1000> line("sockmuxd: ");  // longer than any that is said. Not stdio, which the program has no other need of
  line.add(kind).add(text).add('\n');
  (void)write_whole(STDERR_FILENO, line.c_str(), line.size());
}

namespace {

constexpr uint32_t kSpareFds = 64;
// Those of the loop, signals, helper and log, what listeners leave to others (relay.h), and a channel or two: with less it would start,
// and serve nobody.
constexpr uint32_t kFdsToServe = 32;
constexpr uint32_t kLargestRing = 16u << 20;
constexpr Duration kDrain = millis(3500);  // with the goodbye less than the 5 s that init systems give
constexpr Duration kGoodbye = seconds(1);

// More than any of them takes.
constexpr size_t kDialerBytes = sizeof(TcpDialer) + sizeof(FifoDialer) + sizeof(StdioDialer) + sizeof(ProgramDialer) + sizeof(TtyLine) + 128;

int exit_code(int error) {
  switch (error) {
    case EACCES:
    case EPERM: return kExitPermission;
    case EADDRINUSE:
    case EADDRNOTAVAIL: return kExitUnavailable;
    default: return kExitSystem;
  }
}

// A serial line is taken for lossy, everything else only if asked for; 0.3 has no frames, and TCP needs none.
bool is_lossy(const Config& config, const LinkSpec& link) {
  if (!kHasLossy || link.kind == LinkSpec::Kind::accept_tcp || link.kind == LinkSpec::Kind::connect_tcp || config.proto == Config::Proto::v03) return false;
  return config.line == Config::Line::lossy || (config.line == Config::Line::automatic && link.kind == LinkSpec::Kind::device);
}

// The muxes' sizes from the options; false: they do not fit, and the user was told the sum.
bool size_muxes(const Config& config, uint32_t links, MuxConfig* m) {
  m->proto = static_cast<MuxConfig::Proto>(config.proto);
  m->accepts = m->opens = static_cast<uint16_t>(config.max_channels);
  m->packet_size = config.packet_size;
  m->hello_timeout = or_never(config.hello_timeout);
  m->ping_interval = or_never(config.ping_interval);
  m->hold = config.resume_hold;
  for (const LinkSpec& l : config.links)
    if (l.kind == LinkSpec::Kind::stdio) m->hold = seconds(0);  // the process ends with its link
  m->linger = or_never(config.linger_timeout);
  m->lines = false;
  for (const LinkSpec& l : config.links) m->lines = m->lines || is_lossy(config, l);
  const uint64_t least = Mux::guaranteed_bytes(*m);
  m->memory_bytes = config.memory_bytes / links;
  if (config.memory_bytes == 0) m->memory_bytes = least / 5 * 8 > (8u << 20) ? least / 5 * 8 : 8u << 20;
  // What a far line needs under way: of as much memory as there is for what comes from it.
  while (m->tx_ring_most < kLargestRing && m->tx_ring_most * 2 <= m->memory_bytes / 4)
    m->tx_ring_most = m->tx_ring_most == 0 ? m->tx_ring : m->tx_ring_most * 2;
  Text<25> host;
  append_host_name(host);
  memcpy(m->host, host.c_str(), host.size() + 1);
  if (!config.own_name.empty() && config.own_name.size() < sizeof m->name) memcpy(m->name, config.own_name.data(), config.own_name.size());
  if (least <= m->memory_bytes) return true;
  Text<300> text("MAXIMA=memory: ");
  text.add_u(config.memory_bytes).add(" bytes are too few: ").add_u(links).add(" links with ").add_u(config.max_channels);
  say("", text.add(" channels each way need ").add_u(least * links).text());
  return false;
}

// Resolves one host of -P or PORT at start; turns the loop until the answer is there.
class StartLookup final : public ResolveQuery {
 public:
  Resolved find(Reactor& reactor, Resolver& resolver, const HostPort& at) {
    answer_ = Resolved{};
    if (at.host.empty()) {
      answer_.count = 1;
      answer_.address[0].family = 4;
      answer_.address[0].port = at.port;
    } else if (!resolver.resolve(*this, at.host, at.port, &answer_)) {
      done_ = false;
      while (!done_) reactor.turn(seconds(1));
    }
    return answer_;
  }

 private:
  void on_resolved(const Resolved& answer, Time now) override {
    (void)now;
    answer_ = answer;
    done_ = true;
  }
  Resolved answer_;
  bool done_ = false;
};

// HOSTS=
int known_host(void* context, std::string_view name, Address out[Resolved::kMost]) {
  int n = 0;
  for (const Address& a : find_host(*static_cast<const Config*>(context), name))
    if (n < Resolved::kMost) out[n++] = a;
  if (!kHasNames && n == 0 && equal_fold(name, "localhost")) out[n++] = loopback_of(4);
  return n;
}

}  // namespace

uint32_t Daemon::proxies_count() const {
  constexpr uint64_t kMost = 256;
  bool any = false;
  for (const ServerSpec& s : kHasProxies ? config_.servers : View<ServerSpec>{}) any = any || (s.run && s.label != "exec") || s.label == "ftp";
  const uint64_t channels = uint64_t{links_count_} * config_.max_channels;
  return !any ? 0 : channels < kMost ? static_cast<uint32_t>(channels) : static_cast<uint32_t>(kMost);
}

// Who serves channels, beside Streams, and who runs programs of links.
bool Daemon::make_relays() {
  if constexpr (kHasProgram) {
    children_ = tables_.create<Children>(reactor_, helper_, Helper::Topic::links);
    if (children_ == nullptr || !children_->init(programs(), tables_)) return false;
  }
  if constexpr (kHasProxies) {
    proxies_ = tables_.create<Proxies>(reactor_, resolver_, streams_);
    if (proxies_ == nullptr || !proxies_->init(proxies_count(), tables_)) return false;
    proxies_->set_router(*rules_);
    streams_.set_proxies(*proxies_);
  }
  if constexpr (kHasFtp) {
    ftp_legs_ = tables_.create<FtpLegs>(reactor_, resolver_, streams_);
    data_ports_ = tables_.create<DataPorts>(reactor_, streams_);
    if (ftp_legs_ == nullptr || !ftp_legs_->init(proxies_count(), tables_)) return false;
    if (data_ports_ == nullptr || !data_ports_->init(data_ports_count(), tables_)) return false;
    proxies_->set_legs(*ftp_legs_);
    exit_->set_data_ports(*data_ports_);
  }
  if constexpr (kHasExec) {
    execs_ = tables_.create<Execs>(reactor_, helper_);
    if (execs_ == nullptr || !execs_->init(exec_programs(), tables_)) return false;
    execs_->set_router(*rules_);
    streams_.set_execs(*execs_);
  }
  return true;
}

// Programs that run for links and for channels.
uint32_t Daemon::running() const {
  return (children_ != nullptr ? children_->running() : 0) + (execs_ != nullptr ? execs_->children().running() : 0);
}

// What make_relays() takes, and Streams.
uint64_t Daemon::relay_arena_bytes() const {
  const uint32_t proxies = proxies_count();
  return sizeof(Proxies) + sizeof(FtpLegs) + sizeof(DataPorts) + sizeof(Execs) + sizeof(Children) + sizeof(Rules) +
         Streams::arena_bytes(max_fds_) + Proxies::arena_bytes(proxies) + FtpLegs::arena_bytes(proxies) + DataPorts::arena_bytes(data_ports_count()) +
         Children::arena_bytes(programs()) + Execs::arena_bytes(exec_programs());
}

// What makes and takes links.
uint64_t Daemon::link_arena_bytes() const {
  const uint64_t a_link = kDialerBytes + 2 * kWholePath + 3 * sizeof(Dialer*);
  const uint64_t a_trial = Ways::arena_bytes(mux_) + sizeof(WayIn) + 2 * sizeof(Dialer*);
  return sizeof(Ways) + Sessions::arena_bytes(mux_, links_count_) + TcpLinks::arena_bytes(tcp_links_count()) + config_.links.count * a_link +
         trials() * a_trial + secure_arena_bytes(config_, secure_links_count());
}

// Ports, servers and names, and room for those that a reload may bring.
uint64_t Daemon::port_arena_bytes() const {
  const uint64_t a_port = sizeof(Listener) + sizeof(TcpAcceptor) + 2 * sizeof(OpenPort) + sizeof(Resolved) + 128;
  return start_.ports * a_port + Names::arena_bytes(start_.names) + ServerPlaces::arena_bytes(start_.places);
}

// Who talks to the people and programs around.
uint64_t Daemon::control_arena_bytes() const {
  return sizeof(Control) + sizeof(Probes) + sizeof(Service) + sizeof(Predecessor) + (kHasDump ? sizeof(Dumps) + Dumps::arena_bytes() : 0);
}

uint64_t Daemon::arena_bytes() const {
  const auto helped = static_cast<uint32_t>(config_.links.count + config_.servers.count);
  return Reactor::arena_bytes(max_fds_, timers()) + Helper::arena_bytes(helped, programs() + exec_programs()) + link_arena_bytes() + port_arena_bytes() +
         relay_arena_bytes() + control_arena_bytes() + udp_arena_bytes() + bind_arena_bytes() + 65536;
}

// A link's program may run while the one before it comes to its end.
uint32_t Daemon::programs() const {
  if constexpr (!kHasProgram) return 0;
  uint32_t n = 0;
  for (const LinkSpec& l : config_.links) n += l.kind == LinkSpec::Kind::program ? 4u : 0u;
  return n;
}

// MAXIMA=delegated; nothing is set aside where no server is a program.
uint32_t Daemon::exec_programs() const {
  if constexpr (!kHasExec) return 0;
  for (const ServerSpec& s : config_.servers)
    if (s.run && s.label == "exec") return config_.max_programs;
  return 0;
}

uint32_t Daemon::timers() const {
  return max_fds_ * 2 + trials() * 2 + links_count_ * 4 + proxies_count() * 3 + data_ports_count() + 2 * bound_ports_count() + bound_udp_ports_count() + FarPorts::kTimers + programs() + Execs::timers(exec_programs()) + secure_timers(config_, secure_links_count()) + Control::kTimers + 256;
}

// Everything that can fail and that a user must hear of, while standard error is still there.
int Daemon::prepare() {
  int code = make_secure_side(config_, mux_, reactor_, sessions_, tables_, &secure_);
  if (code != 0) return code;
  count_links();
  count_room();
  if (!size_muxes(config_, links_count_, &mux_)) return kExitConfig;
  const uint32_t foreign = count_open_fds();
  const uint64_t wanted = foreign + uint64_t{links_count_} * (2u * config_.max_channels + 1) + start_.ports + data_ports_count() + bound_ports_count() +
                          config_.links.count + 2 * (programs() + exec_programs()) + (has_secure_link(config_) ? config_.max_half_open : 0) + Control::kFds + kSpareFds;
  max_fds_ = raise_fd_limit(wanted > 1000000 ? 1000000u : static_cast<uint32_t>(wanted));
  if (max_fds_ < wanted && links_count_ > 1) reactor_.set_scarce();
  const uint64_t least = foreign + start_.ports + config_.links.count + kFdsToServe;
  if (max_fds_ < least) {
    Text<100> text("descriptors: ");
    say("", text.add_u(least).add(" are needed, ").add_u(max_fds_).add(" may be open (ulimit -n)").text());
    return kExitSystem;
  }
  if (arena_bytes() > SIZE_MAX / 2) {
    Text<200> text("MAXIMA: the tables need ");
    say("", text.add_u(arena_bytes()).add(" bytes, more than this machine can address").text());
    return kExitConfig;
  }
  const size_t size = static_cast<size_t>(arena_bytes());
  void* memory = reserve_memory(size);
  if (memory == nullptr) {
    Text<100> text("cannot set aside ");
    say("", text.add_u(size).add(" bytes: see MAXIMA in sockmux.conf(5)").text());
    return kExitSystem;
  }
  new (&tables_) Arena(memory, size);
  const int error = reactor_.init(tables_, max_fds_, timers());
  reactor_.set_foreign_fds(foreign);
  if (error != 0) {
    say("cannot start the event loop: ", strerror(error));
    return kExitSystem;
  }
  resolver_.set_limit(or_never(config_.dns_timeout));
  resolver_.set_known(known_host, const_cast<Config*>(&config_));
  if (!config_.source.host.empty()) {
    StartLookup lookup;
    const Resolved list = lookup.find(reactor_, resolver_, config_.source);
    if (list.count == 0) {
      say("SRCIF=", Text<300>(config_.source.host).add(": ").add(gai_text(list.error)).text());
      return kExitUnavailable;
    }
    source_ = list.address[0];
  }
  rules_ = tables_.create<Rules>(config_, places_, source_, names_, reactor_);
  streams_.set_router(*rules_);
  exit_ = tables_.create<ExitDoor>(streams_, *rules_);
  if (!streams_.init(max_fds_, tables_) || !make_relays() || !tcp_links_.init(tcp_links_count(), tables_) ||
      !init_helper() || !names_.init(config_.names.first, config_.names.count, start_.names, tables_) || !places_.init(config_, start_.places, tables_) || !prepare_reload() || !init_udp() ||
      !sessions_.init(mux_, links_count_, *exit_, tables_) || (secure_ != nullptr && !secure_->init(secure_links_count())) || !init_binds()) {
    say("", "the tables are larger than was computed: a bug");
    return kExitSystem;
  }
  sessions_.set_opens(config_.max_opens);
  streams_.set_patience(client_patience());
  if (secure_ != nullptr) rules_->set_peers(secure_->peers());
  code = receive_sockets();
  if (code == 0) code = make_dialers();
  if (code == 0) code = open_ports();
  if (code == 0) code = check_left();
  if (code == 0) code = open_control();
  if (code == 0) code = detach();
  if (code != 0) end_lines();
  if (code != 0 && !(waits() && predecessor_->gave_control())) remove_control();
  if (code != 0 && pidfile_.valid() && !(waits() && predecessor_->gave_pidfile())) drop_pidfile(pidfile_.get(), pidfile_path_.data());
  return code;
}

int Daemon::open_port(const HostPort& at, const Resolved& list, const Origin& origin, const LinkSpec* link, const ListenSpec* port) {
  Text<300> where(origin.word);
  where.add(": ");
  if (list.count == 0) {
    say("", where.add("cannot find ").add(at.host).add(": ").add(gai_text(list.error)).text());
    return kExitUnavailable;
  }
  // A name may have several addresses: the first that is ours is taken.
  int error = 0;
  const bool udp = port != nullptr && port->transport == Transport::udp;
  Fd fd = find_handed(list, udp);
  for (int i = 0; i < list.count && !fd.valid(); ++i) fd = udp ? listen_udp(list.address[i], &error) : listen_tcp(list.address[i], static_cast<int>(config_.listen_backlog), &error);
  if (!fd.valid()) {
    append_address(where.add("cannot listen at "), list.address[0]);
    say("", where.add(": ").add(strerror(error)).text());
    return exit_code(error);
  }
  const Address bound = local_address(fd.get());
  store_port(fd.get(), udp);
  if (bound_ports_ != nullptr) bound_ports_->add_own(bound, udp);
  if (at.port == 0) {
    Text<100> text(port == nullptr ? "links are accepted at " : "clients are accepted at ");
    append_address(text, bound);
    say("", text.text());
  }
  if (is_open_to_world(config_, at)) {
    Text<100> text("warning: open to the world: ");
    append_address(text, bound);
    say("", text.text());
  }
  ListenSpec spec;
  if (port != nullptr) spec = *port;
  else spec.at = link->at;
  error = start_port(static_cast<Fd&&>(fd), bound, spec, port == nullptr);
  if (error == 0) return 0;
  say("", where.add(strerror(error)).text());
  return kExitSystem;
}

// 0 or errno.
int Daemon::start_port(Fd socket, const Address& at, const ListenSpec& port, bool for_links) {
  OpenPort p;
  int error = 0;
  if (for_links) {
    LinkTaker& taker = config_.links[0].secure ? secure_->door() : sessions_;
    if (acceptors_ == made_acceptors_) acceptor_[made_acceptors_++] = tables_.create<TcpAcceptor>(reactor_, tcp_links_, taker, *rules_);
    p.links = acceptor_[acceptors_++];
    error = p.links->start(static_cast<Fd&&>(socket));
  } else if (port.transport == Transport::udp) {
    error = open_udp_port(static_cast<Fd&&>(socket), port.peer, &p.udp);
  } else {
    if (listeners_ == made_listeners_) listener_[made_listeners_++] = tables_.create<Listener>(reactor_, streams_, sessions_, *rules_);
    p.tcp = listener_[listeners_++];
    p.tcp->set_peer(port.peer);
    error = p.tcp->start(static_cast<Fd&&>(socket));
  }
  if (!kHasReload) return error;
  SMX_CHECK(ports_ < start_.ports);
  p.spec = port;
  p.at = at;
  port_[ports_++] = p;
  return error;
}

int Daemon::open_ports() {
  acceptor_ = tables_.raw<TcpAcceptor*>(start_.ports + 1);
  listener_ = tables_.raw<Listener*>(start_.ports + 1);
  // All names first: looking them up turns the loop, and nobody must come in before everything stands.
  Resolved* found = tables_.make<Resolved>(config_.links.count + config_.listens.count);
  SMX_CHECK(found != nullptr);
  Resolved* next = found;
  StartLookup lookup;
  for (const LinkSpec& l : config_.links)
    if (l.kind == LinkSpec::Kind::accept_tcp) *next++ = lookup.find(reactor_, resolver_, l.at);
  for (const ListenSpec& l : config_.listens) *next++ = lookup.find(reactor_, resolver_, l.at);
  resolver_.own_helper().stop();  // the one that runs later has what we are then
  next = found;
  for (const LinkSpec& l : config_.links) {
    const int code = l.kind == LinkSpec::Kind::accept_tcp ? open_port(l.at, *next++, l.origin, &l, nullptr) : 0;
    if (code != 0) return code;
  }
  for (const ListenSpec& l : config_.listens) {
    const int code = open_port(l.at, *next++, l.origin, nullptr, &l);
    if (code != 0) return code;
  }
  return 0;
}

void Daemon::end_lines() {
  if constexpr (!kHasTty) return;
  for (size_t i = 0; i < lines_; ++i) line_[i]->end();
}

// What makes links, one for each way to make them; opens what cannot be opened later, and finds out what can be known of
// the others before. 0 or an exit code.
int Daemon::make_dialers() {
  foreground_ = config_.foreground;
  dialer_ = tables_.raw<Dialer*>(config_.links.count + 1);
  line_dialer_ = tables_.raw<Dialer*>(config_.links.count + 1);
  tcp_dialer_ = tables_.raw<TcpDialer*>(config_.links.count + 1);
  line_ = tables_.raw<TtyLine*>(config_.links.count + 1);
  for (const LinkSpec& l : config_.links) {
    if (l.kind == LinkSpec::Kind::accept_tcp) continue;
    Dialer** place = is_way_in(config_, l) ? &line_dialer_[ways_in_++] : &dialer_[dialers_++];
    const int code = make_dialer(l, place);
    if (code != 0) return code;
    if (l.secure) *place = secure_->around(**place, l, is_lossy(config_, l));
    SMX_CHECK(*place != nullptr);
  }
  SMX_CHECK(make_ways());  // arena_bytes() has counted them
  return 0;
}

int Daemon::make_dialer(const LinkSpec& l, Dialer** out) {
  const auto made = [out](auto* dialer) {
    SMX_CHECK(dialer != nullptr);  // kDialerBytes were set aside for it
    *out = dialer;
    return dialer;
  };
  const auto fail = [&](std::string_view what, std::string_view why, int code) {
    Text<500> text(l.origin.word);
    say("", text.add(": ").add_printable(what).add(what.empty() ? "" : ": ").add(why).text());
    return code;
  };
  const bool lossy = is_lossy(config_, l);
  switch (l.kind) {
    case LinkSpec::Kind::fifo: {
      if constexpr (!kHasFifo) break;
      Text<200> why;
      for (const std::string_view path : {l.in_path, l.out_path}) {
        const int error = check_fifo(path.data(), path.data() == l.out_path.data(), config_.mkfifo, why);
        if (error != 0) return fail(path, why.text(), error == EACCES ? kExitPermission : kExitNoInput);
      }
      if (same_file(l.in_path.data(), l.out_path.data())) return fail(l.in_path, "the same FIFO for both ways", kExitNoInput);
      FifoDialer* fifo = made(tables_.create<FifoDialer>(reactor_, whole_path(l.in_path), whole_path(l.out_path)));
      fifo->set_lossy(lossy);
      const int error = is_root() ? fifo->keep() : 0;
      return error == 0 ? 0 : fail(l.in_path, strerror(error), exit_code(error));
    }
    case LinkSpec::Kind::program:
      if constexpr (!kHasProgram) break;
      made(tables_.create<ProgramDialer>(reactor_, *children_, l.path))->set_lossy(lossy);
      return 0;
    case LinkSpec::Kind::device: {
      if constexpr (!kHasTty) break;
      Text<kDevicePath> path;
      if (!find_device(l.path, &path)) return fail(l.path, "the path is too long", kExitNoInput);
      // Opened while we may; one that is not there (a USB plug) is tried again like any lost link.
      line_[lines_] = made(tables_.create<TtyLine>(reactor_, path.text(), l.serial));
      line_[lines_]->set_lossy(lossy);
      Text<300> why;
      const TtyLine::Start start = line_[lines_++]->start(why);
      if (start == TtyLine::Start::wrong) return fail(path.text(), why.text(), kExitNoInput);
      if (start == TtyLine::Start::later)
        say("warning: ", Text<700>(l.origin.word).add(": ").add(path.text()).add(": ").add(why.text()).add("; tried again").text());
      return 0;
    }
    case LinkSpec::Kind::stdio: {
      if constexpr (!kHasStdio) break;
      foreground_ = true;
      stdio_ = made(tables_.create<StdioDialer>(reactor_, static_cast<StdioOwner&>(*this)));
      stdio_->set_lossy(lossy);
      Text<200> why;
      return stdio_->take(why) ? 0 : fail("", why.text(), kExitNoInput);
    }
    default:
      tcp_dialer_[dialers_ - 1] = made(tables_.create<TcpDialer>(reactor_, resolver_, tcp_links_, l.at.host, l.at.port, source_,
                                       or_never(config_.connect_timeout)));
      return 0;
  }
  return kExitConfig;  // of a kind that this build lacks: config/ has refused it
}

int Daemon::run() {
  sessions_.add_opener(room_);
  if (bound_ports_ != nullptr) sessions_.add_opener(*bound_ports_);
  if (far_ports_ != nullptr) sessions_.add_opener(*far_ports_);
  if constexpr (kHasNames) names_.refresh(reactor_.now());
  started_ = reactor_.now();
  begin_links();
  LogLine(LogLevel::info, "started").kv("version", SMX_VERSION).kv("poller", Poller::name()).kv("ports", listeners_ + udp_listeners_).kv("links", acceptors_).kv("sandbox", sandbox_);
  if (kHasNotify && has_notify()) {
    service_ = tables_.create<Service>(reactor_, sessions_);
    SMX_CHECK(service_ != nullptr);
    service_->start(reactor_.now());
  }
  allocations_ = allocations();
  reactor_.stay_small();
  reactor_.run();
  // The kernel would end their sockets, as if all had come.
  sessions_.end_all(reactor_.now());
  if (proxies_ != nullptr) proxies_->end_parting();
  if (children_ != nullptr) children_->end_all(true);
  if (execs_ != nullptr) execs_->children().end_all(true);
  helper_.stop();
  resolver_.own_helper().stop();
  end_lines();
  remove_control();
  if (stdio_ != nullptr) stdio_->restore();
  LogLine(LogLevel::info, "ended");
  end_log();
  if (pidfile_.valid()) drop_pidfile(pidfile_.get(), pidfile_path_.data());
  return exit_code_;
}

void Daemon::on_signal(int signal, Time now) {
  switch (signal) {
    case SIGHUP: reload("SIGHUP", now); break;
    case SIGUSR1: write_statistics(); break;
    case SIGCHLD:
      helper_.reap(now);
      resolver_.own_helper().reap(now);
      break;
    case SIGINT:
    case SIGTERM:
      if (ending_ == Ending::goodbye) {
        reactor_.stop();
        break;
      }
      if (ending_ == Ending::draining) {  // no more patience with channels; the peer is still told
        drain_until_ = now;
        reactor_.timers().start(end_, now);
        break;
      }
      begin_shutdown(signal == SIGINT ? "SIGINT" : "SIGTERM", now);
      break;
    default: break;
  }
}

void Daemon::on_stdio_ended(Time now) {
  if (ending_ == Ending::no) begin_shutdown("the link at standard input has ended", now);
}

void Daemon::begin_shutdown(const char* why, Time now) {
  LogLine(LogLevel::info, "ending").kv("reason", why).kv("channels", sessions_.channels());
  if (service_ != nullptr) service_->end(why);
  ending_ = Ending::draining;
  // Behind an upgrade peers have no other daemon to come to until we are gone.
  if (kHasUpgrade && passed_on_) exit_->shut_ports();
  else exit_->shut();
  if (far_ports_ != nullptr) far_ports_->shut();
  for (size_t i = 0; i < listeners_; ++i) listener_[i]->stop();
  stop_udp();
  for (size_t i = 0; i < acceptors_; ++i) acceptor_[i]->stop();
  for (uint32_t i = 0; i < ways_in_; ++i) way_in_[i]->stop(now);
  reactor_.timers().start(end_, now);
  drain_until_ = now + kDrain;
}

// It ends already: with no more patience than a signal would have left from now on.
void Daemon::hurry(Time now) {
  if (now + kDrain < drain_until_) drain_until_ = now + kDrain;
  reactor_.timers().start(end_, now);
}

void Daemon::on_timer(Timer& timer, Time now) {
  (void)timer;
  // Ending: channels may finish, and what is left of those of proxies; then the links say goodbye.
  constexpr Duration kLook = millis(20);
  if (ending_ == Ending::draining) {
    const bool parting = proxies_ != nullptr && proxies_->parting() > 0;
    if ((sessions_.channels() > 0 || parting) && now < drain_until_) return reactor_.timers().start(end_, now + kLook);
    ending_ = Ending::goodbye;
    exit_->shut();
    drain_until_ = now + kGoodbye + kLook;
    sessions_.shut(ByeCode::shutdown, now);
  }
  const bool programs = running() > 0;  // they were told to end
  if ((sessions_.any_link() || programs) && now < drain_until_) return reactor_.timers().start(end_, now + kLook);
  // Who comes after us makes links once we are gone, and they must not meet those of the one before us.
  if (kHasUpgrade && passed_on_ && follows() && !predecessor_->is_gone()) return;
  reactor_.stop();
}

}  // namespace smx
