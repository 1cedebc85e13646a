// The control command `probe`: what this daemon listens at, what becomes of its links, and whether the peer's servers answer.
//
// Read next: daemon_probe.h. Source: sockmuxctl(8), "doctor".
#include "core/base/check.h"
#include "daemon.h"
#include "daemon_tell.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx {

namespace {
// Longer than the peer tries to reach its server (TIMEOUT=con:10s), shorter than sockmuxctl waits for a line.
constexpr Duration kPatience = seconds(13);
constexpr Duration kGently = seconds(1);
constexpr Duration kLook = millis(50);
}  // namespace

// ---- one

void Probe::start(Session& session, const Address& local, bool udp, Time now) {
  session_ = &session;
  local_ = local;
  udp_ = udp;
  peer_.clear();
  if (!session.peer_label().empty())
    peer_.add(session.peer_label());
  else
    append_address(peer_, session.peer());
  since_ = now;
  until_ = now + kPatience;
  state_ = State::opening;
  id_ = session.open(*this, udp);
}

// A server that has answered sees a client that leaves, not one that breaks.
void Probe::stop(Time now) {
  if (state_ == State::ending) return;
  Session* const session = session_;
  if (session == nullptr || state_ != State::connected || udp_) {
    session_ = nullptr;
    state_ = State::free;
    if (session != nullptr) session->abort(id_, udp_ ? CloseCode::idle : CloseCode::reset);
    return;
  }
  state_ = State::ending;
  until_ = now + kGently;
  session->readable(id_);
}

void Probe::look(Time now) {
  if (now < until_) return;
  if (state_ == State::opening || state_ == State::ending) {
    Session* const session = session_;
    session_ = nullptr;
    state_ = state_ == State::opening ? State::silent : State::free;
    session->abort(id_, CloseCode::reset);
  }
}

void Probe::abort(CloseCode code) {
  session_ = nullptr;
  code_ = code;
  if (state_ == State::opening) state_ = State::closed;
  if (state_ == State::ending) state_ = State::free;
}

Pulled Probe::pull(const MutBytes* piece, int pieces) {
  (void)piece, (void)pieces;
  return {0, state_ == State::ending ? Pulled::State::end : Pulled::State::empty};
}

// What a server says first is nobody's.
Taken Probe::push(const Bytes* piece, int pieces) {
  Taken t;
  for (int i = 0; i < pieces; ++i) t.size += piece[i].size;
  return t;
}

void Probe::describe(OpenInfo* info) {
  info->client = loopback_of(local_.family);
  info->client.port = 1;  // no client has that one
  info->local = meant(local_);
}

// ---- those of one asker

bool Probes::begin(Time now) {
  if (asked_) return false;
  asked_ = true;
  if (!timer_.running()) reactor_.timers().start(timer_, now + kLook);
  return true;
}

void Probes::end(Time now) {
  asked_ = false;
  for (Probe& p : probe_) p.stop(now);
}

void Probes::on_timer(Timer& timer, Time now) {
  bool any = asked_;
  for (Probe& p : probe_) {
    p.look(now);
    any = any || p.state() != Probe::State::free;
  }
  if (any) reactor_.timers().start(timer, now + kLook);
  if (asked_) control_.wake();
}

// ---- the command

namespace {

uint64_t micros(Duration d) { return d.us < 0 ? 0 : static_cast<uint64_t>(d.us); }

}  // namespace

// Rows, in this order: who we are; where links are accepted; links; ports, whose rows come as the peer answers; ports at the peer.
bool Daemon::tell_probe(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  if constexpr (!kHasProbe) return reply.fail("probe: this sockmuxd was built without probe (make WITHOUT=)"), true;
  Daemon& d = *static_cast<Daemon*>(self);
  const Time now = d.reactor_.now();
  if (*next == 0) {
    if (!d.probes_->begin(now)) return reply.fail("probe: somebody else asks at this moment; try again"), true;
    d.probe_rows_ = {static_cast<uint32_t>(d.acceptors_), d.sessions_.count(),
                     static_cast<uint32_t>(d.listeners_ + d.udp_listeners_),
                     d.far_ports_ == nullptr ? 0 : static_cast<uint32_t>(d.far_ports_->count()), 0};
    reply.line("kind\tat\tpeer\tresult\ttime_us\tdialect\treason");
    reply.line(Row().add("daemon").add(uint64_t{own_process()}).add("").add(SMX_VERSION).text());
    *next = 1;
  }
  const ProbeRows& rows = d.probe_rows_;
  const bool reloaded = rows.accepts != d.acceptors_ || rows.ports != d.listeners_ + d.udp_listeners_;
  if (reloaded) return true;  // the other rows would be of other ports
  for (; *next - 1 < rows.accepts + rows.sessions + rows.ports + rows.far_ports; ++*next) {
    if (!reply.has_room()) return false;
    uint32_t i = *next - 1;
    if (i < rows.accepts) {
      reply.line(Row().add("accept").add(d.acceptor_[i]->local()).add("").add("listens").add(uint64_t{0}).text());
      continue;
    }
    i -= rows.accepts;
    if (i < rows.sessions) {
      const Session& s = d.sessions_.at(i);
      if (s.dials())
        reply.line(Row()
                       .add("link")
                       .add(s.target())
                       .add(s.peer_label())
                       .add(state_of(s))
                       .add(micros(now - s.since()))
                       .add(s.up() ? name(s.mux().dialect()) : "")
                       .add(s.down_why())
                       .text());
      else if (s.has_link() || s.held())
        reply.line(
            Row().add("caller").add(s.peer()).add(s.peer_label()).add(state_of(s)).add(micros(now - s.since())).text());
      continue;
    }
    i -= rows.sessions;
    if (i < rows.ports) {
      if (!d.probe_port(i, now, reply)) return false;
      continue;
    }
    const BindLook far = d.far_ports_->look(i - rows.ports);
    Text<160> why;
    d.far_ports_->add_why(i - rows.ports, why);
    reply.line(
        Row().add("far").add(far.at).add(far.peer).add(far.state).add(uint64_t{0}).add("").add(why.text()).text());
  }
  return true;
}

// `next` is 0 for one who was sent away.
void Daemon::end_probe(void* self, uint32_t next) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (next > 0) d.probes_->end(d.reactor_.now());
}

// False: its peer has not answered yet.
bool Daemon::probe_port(uint32_t i, Time now, ControlReply& reply) {
  const uint32_t ports = probe_rows_.ports;
  const auto is_open = [this](uint32_t k) {
    return k < listeners_ ? listener_[k]->open() : udp_listener_[k - listeners_]->open();
  };
  const auto is_udp = [this](uint32_t k) { return k >= listeners_; };
  const auto at = [this](uint32_t k) {
    return k < listeners_ ? listener_[k]->local() : udp_listener_[k - listeners_]->local();
  };
  for (; probe_rows_.started < ports && probe_rows_.started < i + Probes::kAtOnce; ++probe_rows_.started) {
    Probe& p = probes_->of(probe_rows_.started);
    if (p.state() != Probe::State::free || !is_open(probe_rows_.started)) break;
    const uint32_t k = probe_rows_.started;
    Session* session =
        sessions_.pick(now, k < listeners_ ? listener_[k]->peer() : udp_listener_[k - listeners_]->peer());
    if (session == nullptr) break;  // told below, when it is this one's turn
    p.start(*session, at(k), is_udp(k), now);
  }
  const std::string_view kind = is_udp(i) ? "udp" : "tcp";
  if (probe_rows_.started == i && !is_open(i)) {  // closed by a reload
    ++probe_rows_.started;
    return true;
  }
  if (probe_rows_.started == i) {
    if (probes_->of(i).state() != Probe::State::free) return false;  // of one before, which ends
    const std::string_view wanted = i < listeners_ ? listener_[i]->peer() : udp_listener_[i - listeners_]->peer();
    bool any = false;
    for (uint32_t k = 0; k < sessions_.count(); ++k)
      any = any || (sessions_.at(k).up() && sessions_.at(k).leads_to(wanted));
    reply.line(Row().add(kind).add(at(i)).add(wanted).add(any ? "no channel" : "no link").add(uint64_t{0}).text());
    ++probe_rows_.started;
    return true;
  }
  Probe& p = probes_->of(i);
  const char* result = "connected";
  switch (p.state()) {
    case Probe::State::opening: return false;
    case Probe::State::closed: result = name(p.code()); break;
    case Probe::State::silent: result = "no answer"; break;
    case Probe::State::connected: break;
    case Probe::State::free:
    case Probe::State::ending: SMX_CHECK(false); break;  // it is told of once
  }
  reply.line(Row().add(kind).add(at(i)).add(p.peer()).add(result).add(micros(now - p.since())).text());
  p.stop(now);
  return true;
}

}  // namespace smx
