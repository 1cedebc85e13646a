// Read next: channel.h.
#include "core/mux/channel.h"

namespace smx {

void Channel::reset() {
  SMX_CHECK(!running());
  SMX_CHECK(!sched.listed());
  SMX_CHECK(!due_node.listed());
  SMX_CHECK(queue.empty());
  ++generation;
  tx_credit = rx_credit = rx_window = rx_taken = blocks = 0;
  deficit = 0;
  window_at = sent_at = Time{};
  number = peer_number = kNone;
  urgent_at = 0;
  life = Life::free;
  tx = Tx::waiting;
  rx = Rx::data;
  due = 0;
  close = CloseCode::done;
  reset_flags();
}

}  // namespace smx
