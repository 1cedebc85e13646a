// Read next: exit.h.
#include "relay/exit.h"

#include "core/io/log.h"
#include "core/io/socket.h"
#include "relay/exec.h"
#include "relay/proxy.h"

namespace smx {

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
      if (target.udp && udp_ != nullptr && udp_->open(session, id, target, info)) return;
      const bool room = !target.udp && !streams_.full() && streams_.reactor().fds_left() > kExitSpareFds;
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
  if (bound_ports_ != nullptr && !shut_) {
    bound_ports_->open(session, id, info, now);
    return true;
  }
  const CloseCode code = shut_ ? CloseCode::shutdown : CloseCode::forbidden;
  LogLine(LogLevel::warning, "bind-refused").kv("session", session.number()).kv("at", info.local).kv("reason", name(code));
  session.refuse(id, code);
  return true;
}

// ---- HUP: peers may have other rights now
//
// What is being connected is asked about when it stands (Dial and ProxyStream, on_connected()), and SOCKS UDP for each
// datagram. Data connections of FTP are asked about in the words of their control connection, which may have ended before.

void ExitDoor::ask_again() {
  streams_.ask_again();
  if (streams_.proxies() != nullptr) streams_.proxies()->ask_again();
  if (streams_.execs() != nullptr) streams_.execs()->ask_again();
  if (udp_ != nullptr) udp_->ask_again();
  if (bound_ports_ != nullptr) bound_ports_->ask_again();
}

namespace {

void log_end(const Session& session, const Address& server) {
  LogLine(LogLevel::warning, "channel-refused")
      .kv("session", session.number())
      .kv("server", server)
      .kv("reason", "DEST= in the peers file has changed");
}

}  // namespace

void Streams::ask_again() {
  for (uint32_t i = 0; i < fresh_; ++i) {
    Stream& s = streams_[i];
    const bool of_ftp = s.port_ != 0;  // with a rule
    const bool asked = s.state_ == Stream::State::open || (of_ftp && s.state_ == Stream::State::connecting);
    if (!asked || s.rule_ == nullptr || s.session_ == nullptr) continue;
    Address to = s.peer_;
    if (of_ftp) to.port = s.port_;
    if (router_->still_allowed(s.rule_, s.session_->peer_key(), {}, to)) continue;
    log_end(*s.session_, s.peer_);
    s.session_->abort(s.id_, CloseCode::forbidden);
    s.abort(CloseCode::forbidden);
  }
}

void Proxies::ask_again() {
  for (uint32_t i = 0; i < fresh_; ++i) {
    ProxyStream& p = proxies_[i];
    if (p.session_ == nullptr || !p.desk_.server_open) continue;
    if (router_->still_allowed(p.target_.rule, p.session_->peer_key(), p.desk_.wish.host, p.desk_.server)) continue;
    log_end(*p.session_, p.desk_.server);
    p.session_->abort(p.id_, CloseCode::forbidden);
    p.session_ = nullptr;
    p.die();
  }
}

void Execs::ask_again() {
  for (uint32_t i = 0; i < count_; ++i) {
    Exec& e = execs_[i];
    if (e.state_ != Exec::State::open || e.session_ == nullptr) continue;
    if (router_->still_allowed(e.rule_, e.session_->peer_key(), {}, kProgramAddress)) continue;
    log_end(*e.session_, kProgramAddress);
    e.session_->abort(e.id_, CloseCode::forbidden);
    e.abort(CloseCode::forbidden);
  }
}

void ServerFlows::ask_again() {
  ServerFlow* next = nullptr;
  for (ServerFlow* f = by_age_.front(); f != nullptr; f = next) {
    next = by_age_.after(f);
    if (f->state_ != ServerFlow::State::open || f->session_ == nullptr) continue;
    const Address to = peer_address(f->fd_.get());
    if (router_.still_allowed(f->rule_, f->session_->peer_key(), {}, to)) continue;
    log_end(*f->session_, to);
    finish(*f, CloseCode::forbidden);
  }
}

}  // namespace smx
