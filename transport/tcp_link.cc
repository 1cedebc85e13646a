// Read next: tcp_link.h.
#include "transport/tcp_link.h"

#include "core/io/socket.h"

namespace smx {

namespace {
constexpr uint32_t kUnsentInKernel = 128 * 1024;
}

void TcpLink::shut_write() { shutdown_write(fd_.get()); }

void TcpLink::close() {
  reactor_.unwatch(fd_.get());
  fd_.reset();
  owner_ = nullptr;
  table_.give(*this);
}

bool TcpLinks::init(uint32_t count, Arena& arena) {
  for (uint32_t i = 0; i < count; ++i) {
    void* memory = arena.take(sizeof(TcpLink), alignof(TcpLink));
    if (memory == nullptr) return false;
    give(*new (memory) TcpLink(reactor_, *this));
  }
  return true;
}

TcpLink* TcpLinks::make(Fd fd, const Address& peer) {
  TcpLink* link = free_;
  if (link == nullptr || reactor_.watch(fd.get(), *link) != 0) return nullptr;
  free_ = link->next_free_;
  set_nodelay(fd.get());
  set_notsent_lowat(fd.get(), kUnsentInKernel);
  link->fd_ = static_cast<Fd&&>(fd);
  link->peer_ = peer;
  link->name_.clear();
  link->name_.add("tcp ");
  append_address(link->name_, peer);
  return link;
}

void TcpLinks::give(TcpLink& link) {
  link.next_free_ = free_;
  free_ = &link;
}

}  // namespace smx
