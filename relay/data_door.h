// What an FTP dialogue asks of the machine: a way for one data connection of its client to its server.
//
// Owner: ftp_data.h makes it; a dialogue finds it on its desk. One way at a time: what is asked for ends the one before, as long as
// no client has come through. Read next: ftp.h (who asks), ftp_data.h (who does it).
#ifndef SOCKMUX_RELAY_DATA_DOOR_H
#define SOCKMUX_RELAY_DATA_DOOR_H

#include "core/base/address.h"
#include "core/mux/packet.h"

namespace smx {

class DataDoor {
 public:
  enum class State : uint8_t { none, waiting, ready, failed };
  // The client will connect: asks the other side to listen for it, and connects it to `server`. ready: where() it listens.
  virtual void listen(const Address& server) = 0;
  // The client listens at `client_port`: connects it to `server`. ready: both stand.
  virtual void call(uint16_t client_port, const Address& server) = 0;
  virtual void drop() = 0;
  virtual State state() const = 0;
  virtual Address where() const = 0;
  // Why it failed.
  virtual CloseCode why() const = 0;

 protected:
  ~DataDoor() = default;
};

}  // namespace smx

#endif
