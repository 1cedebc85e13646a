// Read next: socks_udp.h.
#include "tests/simos/socks_udp.h"

#include <string.h>

namespace simos {

namespace {

constexpr int kAsk = 1, kCome = 2, kLate = 3;
constexpr size_t kGreeting = 2;

}  // namespace

std::string socks_port(uint16_t port) { return {static_cast<char>(port >> 8), static_cast<char>(port)}; }

std::string socks_address(uint32_t ip, bool six) {
  if (six) {
    const in6_addr long_ip = six_of(ip);
    return "\4" + std::string(reinterpret_cast<const char*>(long_ip.s6_addr), sizeof long_ip.s6_addr);
  }
  std::string a = "\1";
  for (int i = 24; i >= 0; i -= 8) a += static_cast<char>(ip >> i);
  return a;
}

std::string socks_name(const std::string& name) { return "\3" + std::string(1, static_cast<char>(name.size())) + name; }

SocksAsker::SocksAsker(const Crowd& crowd, uint32_t number, uint32_t ip, const Way& way) : Asker(number, ip, way.daemon), crowd_(crowd), way_(way), control_(*this) {}

void SocksAsker::come(uint32_t n, Micros pause, Micros late) {
  left_ = n;
  pause_ = pause;
  late_ = late;
  world->after(0, *this, kCome);
}

void SocksAsker::on_event(int what) {
  if (what == kCome) {
    socket_ = call(control_, ip(), to());
    if (socket_->error != 0) return lost("cannot connect", socket_->error);
    out_ = std::string("\5\1\0", 3);
    return control_soon();
  }
  if (what == kAsk && (over_ || left_-- == 0)) return leave();
  if (what == kLate) in_vain_from_ = asked();
  if (world->random.chance(10)) send(nonsense());
  ask_one();
  if (what == kAsk) world->after(pause_, *this, kAsk);
}

std::string SocksAsker::dress(std::string bytes) {
  std::string header(3, '\0');
  if ((!way_.server_six || !way_.server_name.empty()) && world->random.chance(30)) {
    const std::string name = way_.server_name.empty() ? text_of(way_.server.ip, false) : way_.server_name;
    header += socks_name(name);
  } else {
    header += socks_address(way_.server.ip, way_.server_six);
  }
  return header + socks_port(way_.server.port) + bytes;
}

bool SocksAsker::undress(std::string* bytes) {
  // A name may have been found to be either.
  for (const bool six : {way_.server_six, !way_.server_six}) {
    const std::string header = std::string(3, '\0') + socks_address(way_.server.ip, six) + socks_port(way_.server.port);
    if (bytes->compare(0, header.size(), header) == 0) return bytes->erase(0, header.size()), true;
    if (way_.server_name.empty()) break;
  }
  return world->fail("asker %u gets an answer without the address of its server", number()), false;
}

// Its server takes offence at what it was not sent.
std::string SocksAsker::nonsense() {
  const std::string behind = socks_port(way_.server.port) + "nonsense";
  switch (world->random.below(4)) {
    case 0: return std::string("\0\0\1", 3) + socks_address(way_.server.ip, way_.server_six) + behind;  // a fragment
    case 1: return std::string("\0\0\0\7", 4) + behind;                               // no such type
    case 2: return std::string("\0\0\0\3\377", 5) + behind;                           // a name that is cut
    default: return std::string(world->random.below(10), '\0');
  }
}

void SocksAsker::control_soon() {
  if (scheduled_ || over_) return;
  scheduled_ = true;
  world->after(world->random.below(30), control_, 0);
}

void SocksAsker::run_control() {
  scheduled_ = false;
  if (over_ || socket_->state == Tcp::State::connecting) return;
  if (socket_->state == Tcp::State::failed) return lost("cannot connect", socket_->take_error());
  while (!out_.empty()) {
    const ssize_t r = socket_->write(reinterpret_cast<const uint8_t*>(out_.data()), out_.size());
    if (r == -EAGAIN) return scheduled_ = true, world->after(kMilli, control_, 0);
    if (r < 0) return lost("cannot write", static_cast<int>(-r));
    out_.erase(0, static_cast<size_t>(r));
  }
  const std::string granted = std::string("\5\0", kGreeting) + std::string("\5\0\0", 3) + socks_address(to().ip, way_.daemon_six) + socks_port(to().port);
  for (;;) {
    uint8_t byte = 0;
    const ssize_t r = socket_->read(&byte, 1);
    if (r == -EAGAIN) return;
    if (r <= 0) return lost("is told to go", static_cast<int>(-r));
    in_ += static_cast<char>(byte);
    if (in_.size() == kGreeting) {
      out_ = std::string("\5\3\0", 3) + (world->random.chance(50) ? socks_address(ip(), false) + "\1\1" : std::string("\1\0\0\0\0\0\0", 7));
      return control_soon();
    }
    if (in_.size() > kGreeting + 1 && in_[kGreeting + 1] != 0) return lost("is refused", 0);
    if (in_.compare(0, in_.size(), granted, 0, in_.size()) != 0) return world->fail("asker %u gets a wrong answer of SOCKS", number());
    if (in_.size() < granted.size() || granted_) continue;
    granted_ = true;
    SIM_TRACE("asker %u may send its datagrams\n", number());
    world->after(0, *this, kAsk);
  }
}

void SocksAsker::leave() {
  if (over_) return;
  over_ = true;
  SIM_TRACE("asker %u leaves, %u of %u are answered\n", number(), answered(), asked());
  socket_->hard_close = world->random.chance(30);
  socket_->refs = 0;
  socket_->closed();
  if (late_ > 0) world->after(late_, *this, kLate);
}

void SocksAsker::lost(const char* what, int error) {
  if (crowd_.is_strict()) world->fail("asker %u %s: %s, %u of %u are answered", number(), what, strerror(error), answered(), asked());
  late_ = 0;
  leave();
}

}  // namespace simos
