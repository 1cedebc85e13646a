// Read next: data_port.h.
#include "relay/data_port.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/log.h"
#include "core/io/socket.h"

namespace smx {

namespace {
constexpr Duration kUnused = seconds(60);
constexpr Duration kCallLimit = seconds(20);
constexpr int kBacklog = 4;
constexpr int kAcceptsATurn = 16;
constexpr uint16_t kLeastPort = 1024;
}  // namespace

bool DataPorts::init(uint32_t count, Arena& arena) {
  ports_ = arena.raw<DataPort>(count);
  count_ = count;
  streams_.set_watch(*this);
  return ports_ != nullptr;
}

bool DataPorts::open(Session& session, ChannelId id, const OpenInfo& info, Time now) {
  const auto refuse = [&](CloseCode code, const char* why) {
    LogLine(LogLevel::warning, "bind-refused").kv("session", session.number()).kv("at", info.local).kv("reason", why);
    session.refuse(id, code);
    return true;
  };
  ChannelId control;
  Endpoint* client = session.find_mine(info.control, &control);
  if (client == nullptr || !client->is_client()) return refuse(CloseCode::forbidden, "no such client");
  OpenInfo who;
  client->describe(&who);
  if (who.local.family == 0 || !same_ip(who.local, info.local) || info.local.port != 0)
    return refuse(CloseCode::forbidden, "not where the client was accepted");
  uint32_t of_one = 0;
  for (uint32_t i = 0; i < fresh_; ++i) of_one += ports_[i].control_ == client ? 1u : 0u;
  if (of_one >= kMostOfOne) return refuse(CloseCode::limit, "too many of this client");
  const bool room = free_ != nullptr || fresh_ < count_;
  if (!room || reactor_.fds_left() <= kEntrySpareFds) return refuse(CloseCode::limit, "too many data ports");
  Address at = who.local;
  at.port = 0;
  int error = 0;
  Fd fd = listen_tcp(at, kBacklog, &error);
  if (!fd.valid()) return refuse(CloseCode::local_error, strerror(error));
  at = local_address(fd.get());
  if (at.is_none()) return refuse(CloseCode::local_error, "where it listens is not known");
  DataPort* p = free_;
  if (p != nullptr) {
    free_ = p->next_free_;
  } else {
    p = new (&ports_[fresh_++]) DataPort(*this);
  }
  if (reactor_.watch(fd.get(), *p) != 0) {
    p->next_free_ = free_;
    free_ = p;
    return refuse(CloseCode::limit, "no descriptor left");
  }
  ++used_;
  p->fd_ = static_cast<Fd&&>(fd);
  p->at_ = at;
  p->session_ = &session;
  p->id_ = id;
  p->control_ = client;
  p->crowded_ = false;
  p->client_ = who.client;
  set_keepalive(p->fd_.get());  // its clients inherit all three
  set_oob_inline(p->fd_.get());
  set_nodelay(p->fd_.get());
  reactor_.want(p->fd_.get(), kRead);
  reactor_.timers().start(p->timer_, now + kUnused);
  session.bind(id, *p);
  session.bound(id);
  LogLine(LogLevel::debug, "data-port-open").kv("session", session.number()).kv("client", p->client_).kv("at", p->at_);
  return true;
}

void DataPorts::call(Session& session, ChannelId id, const OpenInfo& info) {
  ChannelId control;
  Endpoint* client = session.find_mine(info.control, &control);
  OpenInfo who;
  const char* why = nullptr;
  CloseCode code = CloseCode::forbidden;
  if (client == nullptr || !client->is_client()) {
    why = "no such client";
  } else if (info.client_port < kLeastPort || !client->called_for(info.client_port)) {
    why = "the client has not named this port";
  } else if (streams_.left() == 0 || reactor_.fds_left() <= kEntrySpareFds) {
    why = "no descriptor left";
    code = CloseCode::limit;
  }
  if (client != nullptr) client->describe(&who);
  Stream* s = why == nullptr ? streams_.make(Fd()) : nullptr;
  if (s == nullptr) {
    LogLine line(LogLevel::warning, "data-refused");
    line.kv("session", session.number()).kv("client", who.client).kv("port", info.client_port);
    line.kv("reason", why != nullptr ? why : "no room");
    return session.refuse(id, why != nullptr ? code : CloseCode::limit);
  }
  Address to = who.client, source = who.local;
  to.port = info.client_port;
  source.port = 0;
  s->start_data_server(session, id, to, source, kCallLimit, info);
}

void DataPorts::on_room() {
  for (uint32_t i = 0; i < fresh_ && used_ > 0; ++i)
    if (ports_[i].control_ != nullptr && ports_[i].session_->can_open()) reactor_.want(ports_[i].fd_.get(), kRead);
}

void DataPorts::on_channel_over(const Endpoint& endpoint) {
  for (uint32_t i = 0; i < fresh_ && used_ > 0; ++i)
    if (ports_[i].control_ == &endpoint) ports_[i].close(CloseCode::done);
}

// ---- one of them

void DataPort::abort(CloseCode code) {
  (void)code;
  die();
}

void DataPort::on_timer(Timer& timer, Time now) {
  // While the link is cut, or all channels are in use, who comes waits in the queue, and where a link was is no reason to be sent away.
  const Time until = session_->can_open() && !crowded_ ? session_->end_of_limit(kUnused, now) : now + kUnused;
  if (now < until) return table_.reactor_.timers().start(timer, until);
  LogLine(LogLevel::debug, "data-port-unused").kv("session", session_->number()).kv("client", client_).kv("at", at_);
  close(CloseCode::idle);
}

void DataPort::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  (void)now;
  // While the link is cut, or all channels are in use, the client waits in the accept queue, as at PORT: see on_room().
  crowded_ = control_ != nullptr && !session_->can_open();
  if (crowded_) return table_.reactor_.want(fd, 0);
  for (int i = 0; i < kAcceptsATurn && control_ != nullptr; ++i) {
    Address client;
    int error = 0;
    Fd socket = accept_tcp(fd, &client, &error);
    if (!socket.valid()) {
      // No descriptor: the client is closed with its port.
      if (error == EAGAIN || error == EWOULDBLOCK) return;
      LogLine(LogLevel::warning, "data-refused").kv("session", session_->number()).kv("client", client_).error(error);
      return close(CloseCode::limit);
    }
    const char* why = nullptr;
    if (!same_ip(client, client_)) why = "not the client of the control connection";
    if (why == nullptr && !session_->can_open()) why = "no channel left";
    Stream* s = why == nullptr ? table_.streams_.make(static_cast<Fd&&>(socket)) : nullptr;
    if (s == nullptr) {
      LogLine line(LogLevel::warning, "data-refused");
      line.kv("session", session_->number()).kv("client", client).kv("port", at_.port);
      line.kv("reason", why != nullptr ? why : "no room");
      continue;
    }
    s->start_client(*session_, client, at_, nullptr, session_->mux().number_of(id_));
    close(CloseCode::done);  // behind that CONNECT
  }
}

void DataPort::close(CloseCode code) {
  if (control_ == nullptr) return;
  session_->abort(id_, code);
  die();
}

void DataPort::die() {
  if (control_ == nullptr) return;
  control_ = nullptr;
  session_ = nullptr;
  table_.reactor_.timers().stop(timer_);
  table_.reactor_.unwatch(fd_.get());
  fd_.reset();
  table_.reactor_.bury(*this);
}

void DataPort::on_buried() {
  next_free_ = table_.free_;
  table_.free_ = this;
  --table_.used_;
}

}  // namespace smx
