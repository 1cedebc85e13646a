// Read next: exit.h.
#include "relay/exit.h"

#include "core/io/log.h"
#include "core/io/socket.h"
#include "relay/exec.h"
#include "relay/proxy.h"
#include "relay/udp_listener.h"

namespace smx {

uint32_t fds_to_leave(const Session& session) {
  return kExitSpareFds + (session.reactor().scarce() ? session.mux().peers_channels() / 7 : 0);
}

void ExitDoor::on_open(Session& session, ChannelId id, const OpenInfo& info, Time now) {
  (void)now;
  CloseCode code = CloseCode::shutdown;
  if (info.control != kNone && !shut_) {
    if (ports_ != nullptr) return ports_->call(session, id, info);
    code = CloseCode::forbidden;
  } else if (!shut_) {
    if (info.udp && socks_udp_ != nullptr && socks_udp_->open(session, id, info)) return;
    RelayTarget target;
    code = CloseCode::no_server;
    if (router_.choose(info, session.mux().dialect(), &target)) {
      code = CloseCode::limit;
      const uint32_t leave = fds_to_leave(session);
      if (target.udp && udp_ != nullptr && udp_->open(session, id, target, info)) return;
      // Streams that are being connected have no descriptor yet.
      const bool room = !target.udp && streams_.left() > leave && streams_.reactor().fds_left() > leave;
      if (room && find_relay(target.label).open(streams_, session, id, target, info)) return;
    }
  }
  LogLine(LogLevel::warning, "channel-refused")
      .kv("session", session.number())
      .kv("client", info.client)
      .kv("at", info.local)
      .kv("reason", name(code));
  session.refuse(id, code);
}

bool ExitDoor::on_bind(Session& session, ChannelId id, const OpenInfo& info, Time now) {
  if (info.control != kNone && !shut_) return ports_ != nullptr && ports_->open(session, id, info, now);
  if (bound_ports_ != nullptr && !ports_shut_) {
    bound_ports_->open(session, id, info, now);
    return true;
  }
  const CloseCode code = ports_shut_ ? CloseCode::shutdown : CloseCode::forbidden;
  LogLine(LogLevel::warning, "bind-refused").kv("session", session.number()).kv("at", info.local).kv("reason", name(code));
  session.refuse(id, code);
  return true;
}

// ---- HUP: peers may have other rights now, and servers may be gone
//
// What is being connected is asked about when it stands (Dial and ProxyStream, on_connected()), but for what goes to a server
// that is gone; and SOCKS UDP for each datagram. Data connections of FTP are asked about in the words of their control
// connection, which may have ended before.

uint32_t ExitDoor::ask_again(const char* why) {
  uint32_t ended = streams_.ask_again(why);
  if (streams_.proxies() != nullptr) ended += streams_.proxies()->ask_again(why);
  if (streams_.execs() != nullptr) ended += streams_.execs()->ask_again(why);
  if (udp_ != nullptr) ended += udp_->ask_again(why);
  if (kHasReload && socks_udp_ != nullptr) ended += socks_udp_->ask_again();
  if (bound_ports_ != nullptr) bound_ports_->ask_again();
  return ended;
}

namespace {

void log_end(const Session& session, const Address& server, const char* why) {
  LogLine line(LogLevel::warning, "channel-refused");
  line.kv("session", session.number());
  if (server.family != 0) line.kv("server", server);
  line.kv("reason", why);
}

// For the peer.
CloseCode code_of(bool gone) { return gone ? CloseCode::shutdown : CloseCode::forbidden; }

}  // namespace

uint32_t Streams::ask_again(const char* why) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < fresh_; ++i) {
    Stream& s = streams_[i];
    if (s.rule_ == nullptr || s.session_ == nullptr || (s.state_ != Stream::State::open && s.state_ != Stream::State::connecting)) continue;
    const bool gone = kHasReload && router_->is_gone(s.rule_);
    const bool of_ftp = s.port_ != 0;  // with a rule
    const bool asked = s.state_ == Stream::State::open || of_ftp;
    Address to = s.peer_;
    if (of_ftp) to.port = s.port_;
    if (!gone && (!asked || router_->still_allowed(s.rule_, s.session_->peer_key(), {}, {}, s.host_key(), to))) continue;
    log_end(*s.session_, s.peer_, why);
    s.session_->abort(s.id_, code_of(gone));
    s.abort(code_of(gone));
    ++ended;
  }
  return ended;
}

uint32_t Proxies::ask_again(const char* why) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < fresh_; ++i) {
    ProxyStream& p = proxies_[i];
    if (p.session_ == nullptr) continue;
    const bool gone = kHasReload && router_->is_gone(p.target_.rule);
    if (!gone && (!p.desk_.server_open || router_->still_allowed(p.target_.rule, p.session_->peer_key(), p.desk_.wish.protocol, p.desk_.wish.host, 0, p.desk_.server))) continue;
    log_end(*p.session_, p.desk_.server, why);
    p.session_->abort(p.id_, code_of(gone));
    p.session_ = nullptr;
    p.die();
    ++ended;
  }
  return ended;
}

uint32_t Execs::ask_again(const char* why) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    Exec& e = execs_[i];
    if (e.state_ != Exec::State::open || e.session_ == nullptr) continue;
    if (router_->still_allowed(e.rule_, e.session_->peer_key(), {}, {}, 0, kProgramAddress)) continue;
    const CloseCode code = code_of(router_->is_gone(e.rule_));
    log_end(*e.session_, kProgramAddress, why);
    e.session_->abort(e.id_, code);
    e.abort(code);
    ++ended;
  }
  return ended;
}

uint32_t ServerFlows::ask_again(const char* why) {
  uint32_t ended = 0;
  ServerFlow* next = nullptr;
  for (ServerFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (f->state_ == ServerFlow::State::free || f->session_ == nullptr) continue;
    const bool gone = kHasReload && router_.is_gone(f->rule_);
    if (f->state_ == ServerFlow::State::looking) {
      if (gone) refuse(*f, code_of(gone), why), ++ended;
      continue;
    }
    const Address to = peer_address(f->fd_.get());
    if (!gone && router_.still_allowed(f->rule_, f->session_->peer_key(), {}, {}, 0, to)) continue;
    log_end(*f->session_, to, why);
    finish(*f, code_of(gone));
    ++ended;
  }
  if (kHasReload) remember_hosts();
  return ended;
}

// What a name means is remembered by the words of who has asked first, and these may be gone; others have the same ones.
void ServerFlows::remember_hosts() {
  for (Server& s : servers_) {
    if (s.users > 0) continue;
    if (s.waiting()) resolver_.cancel(s);
    s.host = {};
    s.port = 0;
    s.known = false;
  }
  for (ServerFlow* f = by_age_.front(); f != nullptr; f = by_age_.after(f)) servers_[f->server_].host = router_.host_of(f->rule_);
}

// Their control connections have ended.
uint32_t SocksFlows::ask_again() {
  uint32_t ended = 0;
  SocksFlow* next = nullptr;
  for (SocksFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (!router_.is_gone(f->target_.rule)) continue;
    finish(*f, code_of(true));
    ++ended;
  }
  return ended;
}

// ---- reload: our own clients

uint32_t Streams::judge_clients(ClientJudge& judge) {
  uint32_t ended = 0;
  for (uint32_t i = 0; i < fresh_; ++i) {
    Stream& s = streams_[i];
    if (s.session_ == nullptr || !s.is_client()) continue;
    const CloseCode code = judge.why_end(s.peer_, local_address(s.fd_.get()), false, s.bind_ != kNone);
    if (code == CloseCode::done) continue;
    s.session_->abort(s.id_, code);
    s.abort(code);
    ++ended;
  }
  return ended;
}

uint32_t ClientFlows::judge_clients(ClientJudge& judge) {
  uint32_t ended = 0;
  ClientFlow* next = nullptr;
  for (ClientFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (f->state_ != ClientFlow::State::open) continue;
    const CloseCode code = judge.why_end(f->client_, f->local_, true, f->listener_->bind_ != kNone);
    if (code == CloseCode::done) continue;
    LogLine(LogLevel::info, "client-refused").kv("client", f->client_).kv("at", f->local_).kv("reason", name(code));
    finish(*f, code);
    ++ended;
  }
  return ended;
}

}  // namespace smx
