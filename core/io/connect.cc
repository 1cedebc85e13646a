// Read next: connect.h.
#include "core/io/connect.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/io/socket.h"

namespace smx {

namespace {

ConnectFailure::Kind kind_of(int error) {
  switch (error) {
    case ECONNREFUSED: return ConnectFailure::Kind::refused;
    case ETIMEDOUT: return ConnectFailure::Kind::timed_out;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: return ConnectFailure::Kind::no_descriptor;
    case EADDRNOTAVAIL:
    case EACCES:
    case EPERM: return ConnectFailure::Kind::local;
    default: return ConnectFailure::Kind::unreachable;
  }
}

}  // namespace

const char* text(const ConnectFailure& f) {
  if (f.kind == ConnectFailure::Kind::not_found) return gai_text(f.error);
  if (f.kind == ConnectFailure::Kind::timed_out) return "timed out";
  if (f.kind == ConnectFailure::Kind::forbidden) return "forbidden";
  return strerror(f.error);
}

Connect::Connect(Reactor& reactor, Resolver& resolver) : reactor_(reactor), resolver_(resolver), timer_(*this) {}

void Connect::begin(const Address& source, Duration limit, ConnectOwner& owner) {
  SMX_CHECK(owner_ == nullptr);
  owner_ = &owner;
  source_ = source;
  deadline_ = reactor_.now() + limit;
  failure_ = ConnectFailure{};
  list_ = Resolved{};
  next_ = 0;
}

void Connect::start_at(const Address& to, const Address& source, Duration limit, ConnectOwner& owner) {
  begin(source, limit, owner);
  list_.count = 1;
  list_.address[0] = to;
  reactor_.timers().start(timer_, reactor_.now());
}

void Connect::start(std::string_view host, uint16_t port, const Address& source, Duration limit, ConnectOwner& owner, const void* session) {
  begin(source, limit, owner);
  // An answer that is here already is used at the next timers of this turn, so that no owner is called from within.
  if (resolver_.resolve(*this, host, port, &list_, session)) {
    reactor_.timers().start(timer_, reactor_.now());
  } else {
    reactor_.timers().start(timer_, deadline_);
  }
}

void Connect::end_attempt() {
  if (fd_.valid()) reactor_.unwatch(fd_.get());
  fd_.reset();
}

void Connect::cancel() {
  if (owner_ == nullptr) return;
  owner_ = nullptr;
  resolver_.cancel(*this);
  reactor_.timers().stop(timer_);
  end_attempt();
}

void Connect::on_resolved(const Resolved& answer, Time now) {
  list_ = answer;
  try_next(now);
}

// Takes the addresses out of the list that must not be tried.
void Connect::filter() {
  int kept = 0;
  for (int i = 0; i < list_.count; ++i)
    if (owner_->address_allowed(list_.address[i])) list_.address[kept++] = list_.address[i];
  if (kept == 0 && list_.count > 0) failure_ = {ConnectFailure::Kind::forbidden, 0, list_.address[0]};
  list_.count = kept;
}

void Connect::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (fd_.valid()) {
    failure_ = {ConnectFailure::Kind::timed_out, ETIMEDOUT, list_.address[next_ - 1]};
    end_attempt();
  } else if (waiting()) {
    resolver_.cancel(*this);
    failure_.kind = ConnectFailure::Kind::timed_out;
    failure_.error = ETIMEDOUT;
    return fail(now);
  }
  try_next(now);
}

void Connect::try_next(Time now) {  // NOLINT(misc-no-recursion): once for each address
  if (list_.count == 0) {
    failure_ = {ConnectFailure::Kind::not_found, list_.error, Address{}};
    return fail(now);
  }
  if (next_ == 0) filter();
  while (next_ < list_.count && now < deadline_) {
    const Address to = list_.address[next_++];
    const Address source = source_.family == to.family ? source_ : Address{};
    int error = source_.family != 0 && source.family == 0 ? EADDRNOTAVAIL : 0;
    if (error == 0 && reactor_.fds_left() <= owner_->fds_to_leave()) error = EMFILE;
    if (error == 0) fd_ = connect_tcp(to, source, &error);
    if (error == 0) error = reactor_.watch(fd_.get(), *this) == 0 ? 0 : EMFILE;
    if (error == EMFILE) fd_.reset();
    if (error != 0) {
      failure_ = {kind_of(error), error, to};
      continue;
    }
    // On the loopback interface the connection stands already: no need to wait for the poller.
    if (peer_address(fd_.get()).family != 0) return on_ready(fd_.get(), kWrite, now);
    reactor_.want(fd_.get(), kWrite);
    const int64_t left = (deadline_ - now).us / (list_.count - next_ + 1);
    reactor_.timers().start(timer_, now + Duration{left});
    return;
  }
  fail(now);
}

void Connect::on_ready(int fd, uint8_t ready, Time now) {  // NOLINT(misc-no-recursion): as try_next()
  (void)ready;
  const Address to = list_.address[next_ - 1];
  const int error = connect_result(fd);
  reactor_.timers().stop(timer_);
  reactor_.unwatch(fd, error != 0);
  if (error != 0) {
    failure_ = {kind_of(error), error, to};
    fd_.reset();
    return try_next(now);
  }
  ConnectOwner* owner = owner_;
  owner_ = nullptr;
  owner->on_connected(static_cast<Fd&&>(fd_), to, now);
}

void Connect::fail(Time now) {
  ConnectOwner* owner = owner_;
  const ConnectFailure why = failure_;
  cancel();
  owner->on_connect_failed(why, now);
}

}  // namespace smx
