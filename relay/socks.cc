// Read next: socks.h.
#include "relay/socks.h"

#include <string.h>

#include "core/base/letters.h"
#include "core/base/text.h"

namespace smx {

namespace {

// RFC 1928, 6
enum : uint8_t { kGranted = 0, kGeneral = 1, kForbidden = 2, kHostUnreachable = 4, kRefused = 5, kNoCommand = 7, kNoAddressType = 8 };
constexpr uint8_t kConnect = 1, kAssociate = 3;
constexpr uint8_t kIp4 = 1, kName = 3, kIp6 = 4;
constexpr size_t kRoom = 64;            // for any answer
constexpr size_t kMostText = 255;       // a user's name, a host's name

uint8_t code_of(Failure why) {
  switch (why) {
    case Failure::not_found:
    case Failure::unreachable:
    case Failure::timed_out: return kHostUnreachable;
    case Failure::refused: return kRefused;
    case Failure::forbidden:
    case Failure::not_remittable: return kForbidden;
    case Failure::no_room:
    case Failure::local: return kGeneral;
  }
  return kGeneral;
}

}  // namespace

Dialogue::Next SocksDialogue::step(Desk& desk) {
  if (state_ == State::connecting) return Next::wait;
  if (state_ == State::raw) return Next::raw;
  if (state_ == State::closing) return Next::close;
  if (state_ == State::associated) {  // RFC 1928, 7: until this connection ends
    desk.from_client.clear();
    return desk.client_ended ? Next::close : Next::wait;
  }
  if (desk.to_client.room() < kRoom) return Next::wait;
  Next next = Next::wait;
  if (state_ == State::hello) next = read_hello(desk);
  if (state_ == State::request) next = read_request5(desk);
  return next == Next::wait && desk.client_ended ? close(desk) : next;
}

Dialogue::Next SocksDialogue::read_hello(Desk& desk) {
  const Bytes in = desk.from_client.data();
  if (in.size == 0) return Next::wait;
  version_ = in.data[0];
  if (version_ == 4) return read_request4(desk, in);
  if (version_ != 5) return close(desk);  // in which words it would understand a refusal is not known
  if (in.size < 2 || in.size < 2u + in.data[1]) return Next::wait;
  bool plain = false;
  for (size_t i = 0; i < in.data[1]; ++i) plain = plain || in.data[2 + i] == 0;
  desk.from_client.consume(2u + in.data[1]);
  const char answer[2] = {5, static_cast<char>(plain ? 0 : 0xff)};
  (void)desk.to_client.say({answer, 2});
  if (!plain) return close(desk);
  state_ = State::request;
  return Next::wait;
}

// 4, command, port, address, user NUL [, name NUL]: the name if the address is 0.0.0.x (4a)
Dialogue::Next SocksDialogue::read_request4(Desk& desk, Bytes in) {
  if (in.size < 8) return Next::wait;
  const std::string_view behind = as_text({in.data + 8, in.size - 8});
  const size_t user = place_of(behind, '\0');
  if (user == kNowhere) return behind.size() > kMostText ? close(desk) : Next::wait;
  if (user > kMostText) return close(desk);
  size_t used = 8 + user + 1;
  port_ = load16(in.data + 2);
  const bool named = load32(in.data + 4) < 256 && in.data[7] != 0;
  bool good = port_ != 0;
  if (named) {
    const std::string_view rest = skip(behind, user + 1);
    const size_t end = place_of(rest, '\0');
    if (end == kNowhere && rest.size() <= kMostText) return Next::wait;
    if (end == kNowhere) return close(desk);
    used += end + 1;
    good = set_host(first(rest, end)) && good;
  } else {
    Address a;
    a.family = 4;
    memcpy(a.ip, in.data + 4, 4);
    Text<kAddressText> text;
    append_ip(text, a);
    good = set_host(text.text()) && good;
  }
  if (in.data[1] == kConnect && good) return ask(desk, used);
  desk.from_client.consume(used);
  reply4(desk, false);
  return close(desk);
}

// 5, command, 0, type of address, address, port
Dialogue::Next SocksDialogue::read_request5(Desk& desk) {
  const Bytes in = desk.from_client.data();
  if (in.size < 5) return Next::wait;
  const uint8_t type = in.data[3];
  const size_t address = type == kIp4 ? 4 : type == kIp6 ? 16 : type == kName ? 1u + in.data[4] : 0;
  uint8_t code = kGranted;
  if (in.data[0] != 5) {
    code = kGeneral;
  } else if (address == 0) {
    code = kNoAddressType;
  } else {
    if (in.size < 4 + address + 2) return Next::wait;
    port_ = load16(in.data + 4 + address);
    bool good = port_ != 0;
    if (type == kName) {
      good = set_host(as_text({in.data + 5, address - 1})) && good;
    } else {
      Address a;
      a.family = type == kIp4 ? 4 : 6;
      memcpy(a.ip, in.data + 4, address);
      Text<kAddressText> text;
      append_ip(text, a);
      good = set_host(text.text()) && good;
    }
    if (in.data[1] == kAssociate && type != kName) good = true;  // where it will send from, or zeros
    if (in.data[1] == kAssociate && good && desk.may_associate) {
      desk.from_client.consume(4 + address + 2);
      desk.associate = true;
      desk.clock = Desk::Clock::off;
      state_ = State::associated;
      reply5(desk, kGranted, desk.accepted);
      return Next::wait;
    }
    if (in.data[1] != kConnect) {
      code = kNoCommand;
    } else if (!good) {
      code = kGeneral;
    } else {
      return ask(desk, 4 + address + 2);
    }
  }
  reply5(desk, code, Address{});
  return close(desk);
}

bool SocksDialogue::set_host(std::string_view name) {
  if (name.empty() || name.size() > kMostText) return false;
  for (const char c : name)
    if (c <= ' ' || c >= 0x7f) return false;
  memcpy(host_, name.data(), name.size());
  host_size_ = name.size();
  return true;
}

Dialogue::Next SocksDialogue::ask(Desk& desk, size_t used) {
  desk.from_client.consume(used);
  desk.wish = {"socks", {host_, host_size_}, port_, true, false};
  desk.clock = Desk::Clock::off;
  state_ = State::connecting;
  return Next::connect;
}

void SocksDialogue::connected(Desk& desk) {
  if (version_ == 4) {
    reply4(desk, true);
  } else {
    reply5(desk, kGranted, desk.own);
  }
  state_ = State::raw;
}

void SocksDialogue::failed(Desk& desk, Failure why) {
  if (version_ == 4) {
    reply4(desk, false);
  } else {
    reply5(desk, code_of(why), Address{});
  }
  state_ = State::closing;
}

void SocksDialogue::reply4(Desk& desk, bool granted) {
  char answer[8] = {0, static_cast<char>(granted ? 90 : 91), 0, 0, 0, 0, 0, 0};
  (void)desk.to_client.say({answer, sizeof answer});
}

void SocksDialogue::reply5(Desk& desk, uint8_t code, const Address& bound) {
  uint8_t answer[22] = {5, code, 0, kIp4};
  const size_t size = bound.family == 6 ? 16 : 4;
  if (bound.family == 6) answer[3] = kIp6;
  memcpy(answer + 4, bound.ip, size);
  store16(answer + 4 + size, bound.port);
  (void)desk.to_client.put({answer, 4 + size + 2});
}

Dialogue::Next SocksDialogue::close(Desk& desk) {
  desk.from_client.clear();
  state_ = State::closing;
  return Next::close;
}

Dialogue::Next SocksDialogue::timed_out(Desk& desk) { return close(desk); }

}  // namespace smx
