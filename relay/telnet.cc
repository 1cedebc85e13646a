// Read next: telnet.h.
#include "relay/telnet.h"

namespace smx {

Dialogue::Next TelnetDialogue::step(Desk& desk) {
  if (!asked_) asked_ = desk.to_client.say(">> Host name: ");
  if (connected_) return Next::raw;
  if (asking_) return Next::wait;
  const std::string_view text = desk.from_client.text();
  const size_t end = text.find('\n');
  if (end == std::string_view::npos) return desk.client_ended || desk.from_client.room() == 0 ? Next::close : Next::wait;
  size_t n = end;
  while (n > 0 && text[n - 1] == '\r') --n;
  if (n >= sizeof host_) return Next::close;
  memcpy(host_, text.data(), n);
  desk.from_client.consume(end + 1);
  std::string_view host(host_, n);
  uint16_t port = 23;
  const size_t gap = host.find_first_of(" :");
  if (gap != std::string_view::npos && parse_port(host.substr(gap + 1), &port)) host = host.substr(0, gap);
  desk.wish = {"telnet", host, port, port == 23, false};
  desk.clock = Desk::Clock::off;
  asking_ = true;
  return Next::connect;
}

void TelnetDialogue::connected(Desk& desk) {
  (void)desk;
  connected_ = true;
}

void TelnetDialogue::failed(Desk& desk, Failure why) {
  (void)desk.to_client.say(in_words(why));
  (void)desk.to_client.say("\r\n");
  asked_ = asking_ = false;
  ++desk.round;
  desk.clock = Desk::Clock::login;
}

Dialogue::Next TelnetDialogue::timed_out(Desk& desk) {
  (void)desk;
  return Next::close;
}

}  // namespace smx
