// Read next: datagrams.h.
#include "tests/simos/datagrams.h"

#include <string.h>

namespace simos {

namespace {

constexpr size_t kHead = 12;  // number, which one, size

void put_u32(std::string& to, uint32_t v) {
  for (int i = 0; i < 4; ++i) to += static_cast<char>(v >> i * 8);
}

uint32_t u32_at(const std::string& from, size_t at) {
  uint32_t v = 0;
  for (size_t i = 0; i < 4; ++i) v |= static_cast<uint32_t>(static_cast<uint8_t>(from[at + i])) << i * 8;
  return v;
}

std::string datagram(uint32_t number, uint32_t which, uint32_t size) {
  std::string d;
  put_u32(d, number);
  put_u32(d, which);
  put_u32(d, size);
  Random bytes(static_cast<uint64_t>(number) << 32 | which);
  while (d.size() < size) d += static_cast<char>(bytes.next());
  return d;
}

}  // namespace

Echo::Echo(Place at) : socket_(world->make<Udp>(at.ip)) {
  socket_->holder = this;
  socket_->refs = 1;
  (void)socket_->bind_to(at);
}

void Echo::on_socket() {
  if (scheduled_) return;
  scheduled_ = true;
  world->after(1 + world->random.below(500), *this, 0);
}

void Echo::on_event(int what) {
  (void)what;
  scheduled_ = false;
  std::string bytes;
  Place from;
  while (socket_->take(&bytes, &from)) {
    ++seen;
    if (bytes.size() < kHead || bytes != datagram(u32_at(bytes, 0), u32_at(bytes, 4), u32_at(bytes, 8))) return world->fail("a datagram of %zu bytes has come changed to its server", bytes.size());
    socket_->send_bytes(from, bytes);
  }
}

Asker::Asker(uint32_t number, uint32_t ip, Place to) : number_(number), to_(to), socket_(world->make<Udp>(ip)), random_(world->random.next()) {
  socket_->holder = this;
  socket_->refs = 1;
  (void)socket_->bind_to({ip, 0});
}

void Asker::ask(uint32_t n, Micros begin, Micros pause) {
  for (uint32_t i = 0; i < n; ++i) world->at(begin + pause * static_cast<Micros>(i), *this, 0);
}

void Asker::on_event(int what) {
  (void)what;
  ask_one();
}

void Asker::ask_one() {
  const uint32_t size = random_.chance(5) ? kHead + random_.below(20000) : kHead + random_.skewed(0, 1400);
  send(dress(datagram(number_, asked_, size)));
  ++asked_;
}

void Asker::on_socket() {
  std::string bytes;
  Place from;
  while (socket_->take(&bytes, &from)) {
    if (!undress(&bytes)) return;
    if (bytes.size() < kHead || u32_at(bytes, 0) != number_ || u32_at(bytes, 4) >= asked_ || bytes != datagram(number_, u32_at(bytes, 4), u32_at(bytes, 8)))
      return world->fail("asker %u gets an answer of %zu bytes that is not its own", number_, bytes.size());
    if (u32_at(bytes, 4) >= in_vain_from_) return world->fail("asker %u gets an answer behind the end of its connection", number_);
    if (from.ip != to_.ip || from.port != to_.port) return world->fail("asker %u gets an answer from elsewhere", number_);
    ++answered_;
  }
}

}  // namespace simos
