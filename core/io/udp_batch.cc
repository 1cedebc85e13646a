// Read next: udp_batch.h.
#include "core/io/udp_batch.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"

namespace smx {

bool UdpBatch::init(bool joins, Arena& arena) {
  joins_ = joins;
  memory_ = arena.raw<uint8_t>(kRoom);
  return memory_ != nullptr;
}

void UdpBatch::add(UdpSender& to, const Bytes* piece, int pieces) {
  const size_t size = total_size(piece, pieces);
  const bool alone = !joins_ || size == 0 || size > kLargest || rest_ > 0;
  if (sender_ != &to || alone || size > segment_ || size > kRoom - used_) flush();
  if (alone) {
    if (rest_ > 0) --rest_;
    return to.send_one(piece, pieces);
  }
  if (count_ == 0) {
    sender_ = &to;
    segment_ = size;
    reactor_.at_end_of_turn(*this);
  }
  for (int i = 0; i < pieces; ++i) {
    if (piece[i].size > 0) memcpy(memory_ + used_, piece[i].data, piece[i].size);
    used_ += piece[i].size;
  }
  ++count_;
  if (size < segment_ || count_ == kMost) flush();
}

void UdpBatch::flush() {
  if (count_ == 0) return;
  UdpSender& to = *sender_;
  const Bytes all{memory_, used_};
  const size_t segment = segment_;
  const int count = count_;
  sender_ = nullptr;
  used_ = segment_ = 0;
  count_ = 0;
  task_node.leave();
  if (count > 1) {
    const int error = to.send_joined(all, segment, count);
    if (error == 0) return;
    // EINVAL, EMSGSIZE: a smaller MTU on the way; EIO: an interface, or IPsec, that computes no checksums for it. What else it
    // may be (EAGAIN) is met again by the single ones, and counted there.
    if (error == EINVAL || error == EMSGSIZE || error == EIO) rest_ = kRest;
  }
  for (size_t at = 0; at < all.size; at += segment) {
    const Bytes one{all.data + at, all.size - at < segment ? all.size - at : segment};
    to.send_one(&one, 1);
  }
}

void UdpBatch::on_task(Time now) {
  (void)now;
  flush();
}

}  // namespace smx
