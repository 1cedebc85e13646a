// Read next: ftp_data.h.
#include "relay/ftp_data.h"

#include "core/base/check.h"
#include "core/io/log.h"

namespace smx {

bool FtpLegs::init(uint32_t count, Arena& arena) {
  legs_ = arena.raw<FtpLeg>(count);
  count_ = count;
  return legs_ != nullptr;
}

FtpLeg* FtpLegs::take(Session& session, ChannelId control, const OpenInfo& info, const RelayTarget& target, Task& wake) {
  if (session.mux().dialect() != Dialect::v1) return nullptr;
  FtpLeg* leg = free_;
  if (leg != nullptr) {
    free_ = leg->next_free_;
  } else if (fresh_ < count_) {
    leg = new (&legs_[fresh_++]) FtpLeg(*this, reactor_, resolver_);
  } else {
    return nullptr;
  }
  leg->session_ = &session;
  leg->control_ = control;
  leg->wake_ = &wake;
  leg->client_ = info.client;
  leg->accepted_ = info.local;
  leg->rule_ = target.rule;
  leg->control_port_ = 0;
  leg->host_key_ = 0;
  leg->source_ = target.source;
  leg->limit_ = target.connect_limit;
  leg->step_ = FtpLeg::Step::none;
  return leg;
}

void FtpLeg::release() {
  drop();
  wake_ = nullptr;
  session_ = nullptr;
  next_free_ = table_.free_;
  table_.free_ = this;
}

void FtpLeg::set_step(Step to) {
  static const char* const kName[] = {"none", "binding", "bound", "calling", "connecting", "done", "failed"};
  if (to == step_) return;
  LogLine(LogLevel::debug, "data-state")
      .kv("client", client_)
      .kv("from", kName[static_cast<int>(step_)])
      .kv("to", kName[static_cast<int>(to)]);
  step_ = to;
  if (wake_ != nullptr) table_.reactor_.at_end_of_turn(*wake_);
}

DataDoor::State FtpLeg::state() const {
  switch (step_) {
    case Step::none: return State::none;
    case Step::binding:
    case Step::calling:
    case Step::connecting: return State::waiting;
    case Step::bound:
    case Step::done: return State::ready;
    case Step::failed: return State::failed;
  }
  return State::failed;
}

void FtpLeg::fail(CloseCode why) {
  connect_.cancel();
  why_ = why;
  const bool told = step_ == Step::bound;  // nobody waits for it any more
  if (!told) LogLine(LogLevel::warning, "data-failed").kv("session", session_->number()).kv("client", client_).kv("server", server_).kv("reason", name(why));
  set_step(Step::failed);
}

void FtpLeg::drop() {
  connect_.cancel();
  if (step_ == Step::binding || step_ == Step::bound) session_->abort(id_, CloseCode::done);
  if (step_ == Step::calling || step_ == Step::connecting) session_->abort(id_, CloseCode::reset);
  set_step(Step::none);
}

// ---- passive

void FtpLeg::listen(const Address& server) {
  drop();
  server_ = server;
  if (!session_->can_bind()) return fail(CloseCode::limit);
  id_ = session_->open_bind(*this);
  set_step(Step::binding);
}

// Of BIND, and of CONNECT to the client.
void FtpLeg::describe(OpenInfo* info) {
  info->control = session_->mux().number_of(control_);
  info->local = accepted_;
  if (step_ == Step::binding) {
    info->local.port = 0;
  } else {
    info->client = server_;
    info->client_port = client_port_;
  }
}

void FtpLeg::bound(const Address& at) {
  if (at.family != accepted_.family) {
    session_->abort(id_, CloseCode::unsupported);
    return fail(CloseCode::unsupported);
  }
  at_ = at;
  set_step(Step::bound);
}

bool FtpLeg::bound_client(ChannelId id, const OpenInfo& info, Time now) {
  (void)now;
  if (step_ != Step::bound || info.udp || !same_ip(info.client, client_)) return false;
  Stream* s = table_.streams_.make(Fd());
  if (s == nullptr) return false;
  session_->abort(id_, CloseCode::done);  // one client for each BIND
  set_step(Step::none);
  s->start_data_server(*session_, id, server_, source_, limit_, info);
  s->goes_with(rule_, control_port_, host_key_);
  return true;
}

// ---- active

void FtpLeg::call(uint16_t client_port, const Address& server) {
  drop();
  server_ = server;
  client_port_ = client_port;
  end_seen_ = false;
  if (!session_->can_bind()) return fail(CloseCode::limit);
  id_ = session_->open(*this);
  set_step(Step::calling);
}

// The other side has connected to the client.
void FtpLeg::opened() {
  if (step_ != Step::calling) return;
  set_step(Step::connecting);
  connect_.start_at(server_, source_, limit_, *this);
}

uint32_t FtpLeg::fds_to_leave() { return smx::fds_to_leave(*session_); }

void FtpLeg::on_connected(Fd fd, const Address& to, Time now) {
  (void)now;
  Stream* s = table_.streams_.make(static_cast<Fd&&>(fd));
  if (s == nullptr) {
    session_->abort(id_, CloseCode::limit);
    return fail(CloseCode::limit);
  }
  LogLine(LogLevel::debug, "server-connected").kv("session", session_->number()).kv("server", to).kv("client", client_);
  s->take_over(*session_, id_, to, end_seen_, false, nullptr, 0);
  s->goes_with(rule_, control_port_, host_key_);
  set_step(Step::done);
}

void FtpLeg::on_connect_failed(const ConnectFailure& why, Time now) {
  (void)now;
  const CloseCode code = close_code_of(why);
  session_->abort(id_, code);
  fail(code);
}

}  // namespace smx
