// Reload (HUP, `sockmuxctl reload`): the words of the command line and their files are read again, and the daemon lives by what
// they say now.
//
//     read_again() --> can_follow() --> new ports listen --> adopt: from here on nothing fails --> what is over ends
//         \----------------\--------------------\--> reload-failed: nothing has changed
//
// All of it in one turn of the loop. What did not change keeps its sockets, queues and channels: servers are known to channels
// by handles that outlive this (config/reload/places.h); whoever has a text or a list of the configuration looks it up at each
// use, or gets the new one here.
//
// Invariants: behind close_old_ports() and settle() nothing points into a configuration that is not in force, but for the first
// one, whose memory stays (links, programs, and paths of files that were opened are of that). Read next: daemon.h,
// config/reload/compare.h. Source: sockmuxd(8), "Reload".
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "config/scan.h"
#include "core/io/handed.h"
#include "core/io/log.h"
#include "core/io/notify.h"
#include "core/io/process.h"
#include "core/io/resident.h"
#include "core/io/socket.h"
#include "core/io/udp.h"
#include "daemon.h"

namespace smx {

namespace {

constexpr size_t kHalf = 8u << 20;      // as main() gives for the first
constexpr size_t kMorePorts = 16, kMoreServers = 16, kMoreNames = 16, kMoreFarPorts = 8;
constexpr uint32_t kLeastFds = 16;      // that new ports leave to clients
constexpr const char* kWhy = "the configuration has changed";

// items[0 .. *used) without this one, which is kept behind them.
template <typename T>
void retire(T** items, size_t* used, T* item) {
  size_t i = 0;
  while (items[i] != item) ++i;
  items[i] = items[--*used];
  items[*used] = item;
}

// Of -P.
ListenSpec spec_of_link(const LinkSpec& link) {
  ListenSpec spec;
  spec.at = link.at;
  spec.origin = link.origin;
  return spec;
}

// Has HOSTS another address for the host of a port than that at which it stands?
bool moved(const Config& next, std::string_view host, const Address& at) {
  const View<Address> known = find_host(next, host);
  for (const Address& a : known)
    if (same_ip(a, at)) return false;
  return !known.empty();
}

bool same_addresses(const View<Address>& a, const View<Address>& b) {
  bool same = a.count == b.count;
  for (size_t i = 0; same && i < a.count; ++i) same = same_ip(a[i], b[i]);
  return same;
}

bool is_at(const Address& port, const Address& local) {
  static constexpr Address kAny{};
  return port.port == local.port && port.family == local.family && (same_ip(port, local) || memcmp(port.ip, kAny.ip, sizeof port.ip) == 0);
}

}  // namespace

// ---- at the start

// With files to read again there is room for more than they say now: it is reserved, and costs nothing before it is used.
void Daemon::count_room() {
  start_.servers = config_.servers;
  start_.ports = config_.links.count + config_.listens.count;
  start_.places = config_.servers.count;
  start_.names = config_.names.count;
  start_.far_ports = config_.remote_listens.count;
  std::string_view name;
  Origin where;
  start_.resolves = asks_names(config_, &name, &where);
  if (!reloads()) return;
  start_.ports = 2 * start_.ports + kMorePorts;
  start_.places = 2 * start_.places + kMoreServers;
  start_.names = 2 * start_.names + kMoreNames;
  bool asks = false;  // a peer who could give us ports
  for (const LinkSpec& l : config_.links) asks = asks || (l.secure && !is_way_in(config_, l));
  if (kHasBind && asks) start_.far_ports = 2 * start_.far_ports + kMoreFarPorts;
}

bool Daemon::prepare_reload() {
  if (!kHasReload) return true;
  port_ = tables_.raw<OpenPort>(start_.ports);
  if (port_ == nullptr) return start_.ports == 0;
  if (!reloads()) return true;
  new_port_ = tables_.raw<OpenPort>(start_.ports);
  void* halves = reserve_memory(2 * kHalf);
  if (new_port_ == nullptr || halves == nullptr) return false;
  reader_.set_halves(halves, kHalf);
  files_.set_plain_only();
  // In the background we are at "/"; in the foreground a folder above ours may be closed to OWNER.
  Text<1024> folder;
  if (!config_.foreground && config_.chroot_dir.empty() && absolute_path(".", &folder)) files_.set_folder(folder.text());
  return true;
}

// ---- reload

void Daemon::reload(const char* reason, Time now) {
  LogLine(LogLevel::info, "retry-now").kv("reason", reason);
  const bool tells = kHasNotify && service_ != nullptr && ending_ == Ending::no;
  if (tells) notify_reloading();
  rules_->read_networks();
  if (kHasReload && ending_ == Ending::no) reload_config(now);
  resolver_.forget();
  if constexpr (kHasNames) names_.refresh(now);
  if (secure_ != nullptr && secure_->reload(now)) {
    for (uint32_t i = 0; i < ways_in_; ++i) way_in_[i]->on_new_peers(now);
    static_cast<void>(exit_->ask_again("DEST= in the peers file has changed"));
    secure_->forget_old();
  }
  sessions_.retry_now(now);
  if (far_ports_ != nullptr) far_ports_->retry_now(now);
  for (uint32_t i = 0; i < ways_in_; ++i) way_in_[i]->retry_now(now);
  if (tells) service_->tell_ready(now);
}

void Daemon::reload_config(Time now) {
  reloaded_ = Reloaded{};
  report_.clear();
  if (!reloads()) return;
  bool good = reader_.read_again(&report_);
  if (!good) explain_unreadable();
  good = good && can_follow(config_, reader_.next(), start_, &report_);
  if (good) good = follow(now);
  if (!good) reloaded_.outcome = Reloaded::Outcome::failed;
  // Of the two halves the one that is not in force; the first reading has memory of its own.
  give_back_memory(reader_.spare(), reader_.spare_size());
  log_reload();
}

// A file that could be read at the start, by root and before CHROOT, may be out of reach by now.
void Daemon::explain_unreadable() {
  if (report_.status() != kExitNoInput) return;
  if (!config_.chroot_dir.empty()) return report_.error(kExitNoInput, Origin{}, "the daemon is under CHROOT=%, and looks for its files in there", {config_.chroot_dir});
  Text<24> uid;
  const std::string_view text = report_.errors()[0].text.text();
  if (ends_with(text, "can't be read"))
    report_.error(kExitNoInput, Origin{}, "the daemon is user % now (OWNER), who must be able to read its files, and to enter their folders", {uid.add_u(own_user()).text()});
}

// The configuration that was read is one that we can live by. False: it is not after all, since a port cannot be opened.
bool Daemon::follow(Time now) {
  const Config& next = reader_.next();
  reloaded_.outcome = Reloaded::Outcome::unchanged;
  reopen_ports();
  if (same_config(config_, next)) return true;
  if (!open_new_ports(next)) {
    drop_new_ports();
    return false;
  }
  reloaded_.outcome = Reloaded::Outcome::changed;
  const bool access = !same_access(config_, next);
  const bool log = config_.log_level != next.log_level;
  move_links(next, now);
  places_.match(next);
  reader_.adopt();
  probe_rows_.accepts = UINT32_MAX;  // an answer of `probe` that is under way ends: its rows would be of other ports
  names_.renew(config_.names.first, config_.names.count);
  close_old_ports();
  reloaded_.channels_ended = end_what_is_over(access);
  places_.settle(config_);
  reloaded_.servers_added = static_cast<uint32_t>(places_.added());
  reloaded_.servers_removed = static_cast<uint32_t>(places_.removed());
  SMX_CHECK(make_udp_tables());  // udp_arena_bytes() has counted them
  const Duration silence = or_never(config_.udp_timeout);
  if (client_flows_ != nullptr) client_flows_->set_silence(silence);
  if (server_flows_ != nullptr) server_flows_->set_silence(silence);
  if (socks_flows_ != nullptr) socks_flows_->set_silence(silence);
  resolver_.set_limit(or_never(config_.dns_timeout));
  sessions_.set_opens(config_.max_opens);
  streams_.set_patience(client_patience());
  if (log) set_log_words(config_.log_level);
  for (size_t i = 0; i < new_ports_; ++i) {
    OpenPort& p = new_port_[i];
    if (bound_ports_ != nullptr) bound_ports_->add_own(p.at, p.spec.transport == Transport::udp);
    // open_new_ports() has left room for it in all tables.
    store_port(p.fd, p.spec.transport == Transport::udp);
    LogLine(LogLevel::info, "port-open").kv("at", p.at).kv("for", p.other ? "links" : p.spec.transport == Transport::udp ? "datagrams" : "clients");
    const int error = start_port(Fd(p.fd), p.at, p.spec, p.other);
    if (error != 0) report_.error(kExitSystem, p.spec.origin, "the port is not served: %", {strerror(error)});  // the poller takes no more
    ++reloaded_.ports_added;
  }
  new_ports_ = 0;
  renew_far_ports();  // retry_now() asks for them
  return true;
}

// A link that is made to another place from now on is made anew. Its session is held meanwhile, and goes on if that is the
// same peer.
void Daemon::move_links(const Config& next, Time now) {
  uint32_t made = 0;
  size_t old_first = 0, next_first = 0;
  while (old_first < config_.links.count && config_.links[old_first].kind == LinkSpec::Kind::accept_tcp) ++old_first;
  while (next_first < next.links.count && next.links[next_first].kind == LinkSpec::Kind::accept_tcp) ++next_first;
  for (size_t i = 0; old_first + i < config_.links.count; ++i) {
    const LinkSpec &old = config_.links[old_first + i], &l = next.links[next_first + i];
    if (is_way_in(config_, old)) continue;
    const uint32_t way = made++;
    if (tcp_dialer_[way] == nullptr) continue;  // not over TCP
    tcp_dialer_[way]->set_limit(or_never(next.connect_timeout));
    if (l.kind != LinkSpec::Kind::connect_tcp || (same_port(old, l) && same_addresses(find_host(config_, l.at.host), find_host(next, l.at.host)))) continue;
    tcp_dialer_[way]->set_target(l.at.host, l.at.port);
    Session& session = sessions_.at(0);
    const bool used = ways_ != nullptr ? ways_->current() == static_cast<int>(way) : session.has_link();
    if (used) session.drop("its address in the configuration has changed", now);
    ++reloaded_.links_moved;
  }
}

// ---- ports

// What is new listens, or nothing has changed. One at an address that a port which goes still has (PORT=80 that becomes
// PORT=127.0.0.1:80) comes last: that one is closed for it, and opened again if it has to be.
bool Daemon::open_new_ports(const Config& next) {
  new_ports_ = 0;
  for (size_t i = 0; i < ports_; ++i) port_[i].keep = port_[i].other = port_[i].paused = false;
  const auto look_at = [&](const ListenSpec& spec, bool for_links) {
    for (size_t i = 0; i < ports_; ++i) {
      OpenPort& p = port_[i];
      if (p.keep || (p.links != nullptr) != for_links || !same_port(p.spec, spec) || moved(next, spec.at.host, p.at)) continue;
      p.keep = true;
      p.other = p.spec.peer != spec.peer;
      return;
    }
    OpenPort& p = *new (&new_port_[new_ports_++]) OpenPort();
    p.spec = spec;
    p.other = for_links;
    SMX_CHECK(find_port(next, spec.at, &p.at));  // can_follow() has looked
  };
  for (const LinkSpec& l : next.links)
    if (l.kind == LinkSpec::Kind::accept_tcp) look_at(spec_of_link(l), true);
  for (const ListenSpec& l : next.listens) look_at(l, false);
  bool good = true;
  for (size_t i = 0; i < new_ports_; ++i) good = open_new_port(next, new_port_[i], false) && good;
  for (size_t i = 0; good && i < new_ports_; ++i) good = new_port_[i].fd >= 0 || open_new_port(next, new_port_[i], true);
  if (good) return true;
  drop_new_ports();  // they may stand where the old ones were
  reopen_ports();
  return false;
}

// True, but no descriptor: not yet.
bool Daemon::open_new_port(const Config& next, OpenPort& p, bool last) {
  int error = EMFILE;
  const bool udp = p.spec.transport == Transport::udp, room = reactor_.fds_left() > kLeastFds + new_ports_;
  Fd fd = listen_for(p.at, udp, room, &error);
  bool waits = false;
  for (size_t i = 0; error == EADDRINUSE && !fd.valid() && i < ports_; ++i) {
    OpenPort& old = port_[i];
    if (old.keep || old.at.port != p.at.port || (old.udp != nullptr) != udp) continue;
    waits = true;
    if (last) pause(old);
  }
  if (waits && !last) return true;
  if (waits) fd = listen_for(p.at, udp, room, &error);
  Text<100> where;
  append_address(where, p.at);
  if (!fd.valid()) {
    report_.error(kExitUnavailable, p.spec.origin, "cannot listen at %: %%",
                  {where.text(), strerror(error), error == EACCES ? "; a port below 1024 needs root, which the daemon is not any more: restart it" : ""});
    return false;
  }
  // Clients of a name that means both would come to either.
  if (bound_ports_ != nullptr && bound_ports_->has_near(local_address(fd.get()), udp)) {
    report_.error(kExitUnavailable, p.spec.origin, "cannot listen at %: a peer has this port (RPORT)", {where.text()});
    return false;
  }
  p.at = local_address(fd.get());
  p.fd = fd.release();
  if (is_open_to_world(next, p.spec.at)) report_.warn(p.spec.origin, "open to the world: %", {where.text()});
  return true;
}

// `room`: for another descriptor.
Fd Daemon::listen_for(const Address& at, bool udp, bool room, int* error) const {
  if (!room) return Fd();
  *error = 0;
  return udp ? listen_udp(at, error) : listen_tcp(at, static_cast<int>(reader_.next().listen_backlog), error);
}

void Daemon::pause(OpenPort& p) {
  unstore(p);
  p.paused = true;
  if (p.tcp != nullptr) p.tcp->stop();
  if (p.links != nullptr) p.links->stop();
  if (kHasUdp && p.udp != nullptr) p.udp->stop();
}

// Ports that stand in the configuration and are closed: they were paused, or could not be opened again after that.
void Daemon::reopen_ports() {
  for (size_t i = 0; i < ports_; ++i) {
    OpenPort& p = port_[i];
    if (is_open(p)) continue;
    int error = 0;
    Fd fd = listen_for(p.at, p.udp != nullptr, true, &error);
    const int socket = fd.get();
    if (fd.valid() && p.tcp != nullptr) error = p.tcp->start(static_cast<Fd&&>(fd));
    else if (fd.valid() && p.links != nullptr) error = p.links->start(static_cast<Fd&&>(fd));
    else if (kHasUdp && fd.valid() && p.udp != nullptr) error = p.udp->start_again(static_cast<Fd&&>(fd));
    // Somebody has taken it in that moment. It is tried again with the next reload.
    if (error != 0) {
      report_.warn(p.spec.origin, "is closed, and cannot be opened again: %", {strerror(error)});
      continue;
    }
    p.paused = false;
    store_port(socket, p.udp != nullptr);
  }
}

bool Daemon::is_open(const OpenPort& p) {
  if (p.tcp != nullptr) return p.tcp->open();
  if (p.links != nullptr) return p.links->open();
  return !kHasUdp || p.udp == nullptr || p.udp->open();
}

// The manager may have it for the next daemon.
void Daemon::unstore(const OpenPort& p) {
  if (!kHasNotify || !can_store() || p.paused) return;
  const int fd = p.tcp != nullptr ? p.tcp->fd() : p.links != nullptr ? p.links->fd() : p.udp != nullptr ? p.udp->fd() : -1;
  Text<100> name;
  if (fd < 0) return;
  HandedSockets::append_stored_name(name, fd);
  forget_stored(name.text());
  handed_.was_forgotten(local_address(fd), p.udp != nullptr);
}

void Daemon::drop_new_ports() {
  for (size_t i = 0; i < new_ports_; ++i)
    if (new_port_[i].fd >= 0) Fd(new_port_[i].fd).reset();
  new_ports_ = 0;
}

// Those that stay get their words of the configuration that is in force now.
void Daemon::close_old_ports() {
  const auto spec_of = [&](const OpenPort& p, size_t nth) -> const ListenSpec* {
    for (const ListenSpec& l : config_.listens)
      if (same_port(l, p.spec) && nth-- == 0) return &l;
    return nullptr;
  };
  for (size_t i = 0; i < ports_;) {
    OpenPort& p = port_[i];
    if (!p.keep) {
      if (bound_ports_ != nullptr) bound_ports_->drop_own(p.at, p.udp != nullptr);
      unstore(p);
      LogLine(LogLevel::info, "port-closed").kv("at", p.at);
      if (p.tcp != nullptr) p.tcp->stop(), retire(listener_, &listeners_, p.tcp);
      if (p.links != nullptr) p.links->stop(), retire(acceptor_, &acceptors_, p.links);
      if (kHasUdp && p.udp != nullptr) {
        client_flows_->end(*p.udp, CloseCode::shutdown);
        p.udp->stop();
        retire(static_cast<UdpListener**>(udp_listener_), &udp_listeners_, p.udp);
      }
      ++reloaded_.ports_removed;
      for (size_t k = i + 1; k < ports_; ++k) port_[k - 1] = port_[k];
      --ports_;
      continue;
    }
    ++i;
    if (p.links != nullptr) {
      for (const LinkSpec& l : config_.links) {
        const ListenSpec spec = spec_of_link(l);
        if (l.kind == LinkSpec::Kind::accept_tcp && same_port(p.spec, spec)) p.spec = spec;
      }
      continue;
    }
    // The same port twice is one any free port after another (PORT=0,0).
    size_t before = 0;
    for (size_t k = 0; k + 1 < i; ++k) before += port_[k].links == nullptr && same_port(port_[k].spec, p.spec) ? 1u : 0u;
    const ListenSpec* spec = spec_of(p, before);
    SMX_CHECK(spec != nullptr);
    p.spec = *spec;
    if (p.tcp != nullptr) p.tcp->set_peer(spec->peer);
    if (p.udp != nullptr) p.udp->set_peer(spec->peer);
  }
}

// How many channels.
uint32_t Daemon::end_what_is_over(bool access) {
  class Judge final : public ClientJudge {
   public:
    Judge(const Daemon& d, bool access) : d_(d), access_(access) {}
    CloseCode why_end(const Address& client, const Address& local, bool udp, bool bind) override {
      bool open = bind;
      for (size_t i = 0; i < d_.ports_; ++i) {
        const OpenPort& p = d_.port_[i];
        open = open || (p.links == nullptr && !p.other && (p.udp != nullptr) == udp && is_at(p.at, local));
      }
      if (!open) return CloseCode::shutdown;
      const bool stays = !access_ || d_.rules_->client_may_stay(client, local, udp ? Transport::udp : Transport::tcp);
      return stays ? CloseCode::done : CloseCode::forbidden;
    }

   private:
    const Daemon& d_;
    const bool access_;
  } judge(*this, access);
  rules_->set_asked(access ? Rules::Asked::lists : Rules::Asked::servers);
  uint32_t ended = exit_->ask_again(kWhy);
  rules_->set_asked(Rules::Asked::peers);
  bool other = access || reloaded_.ports_removed > 0;
  for (size_t i = 0; i < ports_; ++i) other = other || port_[i].other;
  if (!other) return ended;
  ended += streams_.judge_clients(judge);
  if (client_flows_ != nullptr) ended += client_flows_->judge_clients(judge);
  for (size_t i = 0; kHasUdp && i < udp_listeners_; ++i) udp_listener_[i]->forget_unwelcome();
  return ended;
}

}  // namespace smx
