// Read next: exit.h.
#include "relay/exit.h"

#include "core/io/log.h"

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
  return !shut_ && ports_ != nullptr && ports_->open(session, id, info, now);
}

}  // namespace smx
