// The telnet proxy: asks for a host, then relays. Read next: dialogue.h, telnet.cc.
#ifndef SOCKMUX_RELAY_TELNET_H
#define SOCKMUX_RELAY_TELNET_H

#include "relay/dialogue.h"

namespace smx {

class TelnetDialogue final : public Dialogue {
 public:
  Next step(Desk& desk) override;
  void connected(Desk& desk) override;
  void failed(Desk& desk, Failure why) override;
  Next timed_out(Desk& desk) override;

 private:
  char host_[256] = {};
  bool asked_ = false, asking_ = false, connected_ = false;
};

}  // namespace smx

#endif
