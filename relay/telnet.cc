// Read next: telnet.h.
#include "relay/telnet.h"

#include "core/base/letters.h"

namespace smx {

namespace {

// RFC 854, "TELNET command structure"
enum : uint8_t {
  kEof = 236, kSe = 240, kBreak = 243, kInterrupt = 244, kAreYouThere = 246, kEraseCharacter = 247, kEraseLine = 248,
  kSb = 250, kWill = 251, kWont = 252, kDo = 253, kDont = 254, kIac = 255
};

constexpr char kPrompt[] = ">> Host name: ";
constexpr char kHelp[] =
    "-- Type one of\r\n"
    "     host            for its telnet server, port 23\r\n"
    "     host port       also host:port, [IPv6 address]:port\r\n"
    "     help            for this text\r\n"
    "     quit            to end\r\n";
// Room that must be there before anything is said: the longest that one step says at a time.
constexpr size_t kRoom = 2048;

bool is_blank(char c) { return c == ' ' || c == '\t'; }

std::string_view trim(std::string_view s) {
  while (!s.empty() && is_blank(s.front())) s.remove_prefix(1);
  while (!s.empty() && is_blank(s.back())) s.remove_suffix(1);
  return s;
}

bool is_name(std::string_view host) {
  return is_name_text(host) && !host.empty() && host[0] != '-';
}

}  // namespace

Dialogue::Next TelnetDialogue::step(Desk& desk) {
  if (state_ == State::connecting) return Next::wait;
  if (state_ == State::joined) {
    // Until the client speaks, what the server says is passed on here.
    (void)move_bytes(desk.from_server, desk.to_client);
    if (desk.from_client.empty()) {
      if (!after_cr_ || desk.client_ended) return Next::raw;
      // The server's end can't be passed on here. But what belongs to the line's end is not the server's, whenever it comes.
      desk.clock = desk.server_ended ? Desk::Clock::moment : Desk::Clock::off;
      return Next::wait;
    }
    const uint8_t first = desk.from_client.data().data[0];
    if (after_cr_ && (first == '\n' || first == 0)) desk.from_client.consume(1);
    return Next::raw;
  }
  while (desk.to_client.room() >= kRoom) {
    if (quits_) return Next::close;
    if (!asked_) asked_ = desk.to_client.say(kPrompt);
    const Bytes in = desk.from_client.data();
    size_t used = 0;
    bool whole = false;
    while (used < in.size && !whole && !quits_ && desk.to_client.room() >= kRoom) whole = take(in.data[used++], desk);
    desk.from_client.consume(used);
    if (quits_) return Next::close;
    // A line that the end of the client ends counts, too.
    if (!whole && desk.from_client.empty() && desk.client_ended) {
      if (size_ == 0) return Next::close;
      whole = true;
    }
    if (!whole) return Next::wait;
    const Next next = line(desk);
    if (next != Next::wait) return next;
  }
  return Next::wait;
}

// One byte of the client. True: a line is complete.
bool TelnetDialogue::take(uint8_t byte, Desk& desk) {
  switch (code_) {
    case Code::data:
      if (byte != kIac) return data(byte);
      code_ = Code::iac;
      return false;
    case Code::iac: return command(byte, desk);
    case Code::option: {
      // Nothing is agreed to. WONT and DONT say that nothing is on, as it is: no answer, or there would be no end of them.
      const char answer[3] = {static_cast<char>(kIac), static_cast<char>(verb_ == kWill ? kDont : kWont), static_cast<char>(byte)};
      if (verb_ == kWill || verb_ == kDo) (void)desk.to_client.say({answer, 3});
      code_ = Code::data;
      return false;
    }
    case Code::sub:
      if (byte == kIac) code_ = Code::sub_iac;
      if (++sub_bytes_ % 64 == 0 && ++commands_ > kMostCommands) quits_ = true;
      return false;
    case Code::sub_iac:
      code_ = byte == kSe ? Code::data : Code::sub;
      return false;
  }
  return false;
}

// The byte behind IAC.
bool TelnetDialogue::command(uint8_t byte, Desk& desk) {
  code_ = Code::data;
  if (byte == kIac) return data(byte);
  if (++commands_ > kMostCommands) {
    (void)desk.to_client.say("\r\n-- too many telnet commands\r\n");
    quits_ = true;
    return false;
  }
  switch (byte) {
    case kWill:
    case kWont:
    case kDo:
    case kDont:
      verb_ = byte;
      code_ = Code::option;
      break;
    case kSb: code_ = Code::sub; break;
    case kAreYouThere: (void)desk.to_client.say("\r\n-- yes\r\n"), asked_ = false; break;
    case kEraseCharacter: return data(8);
    case kEraseLine: erase_line(); break;
    case kBreak:
    case kInterrupt:
      erase_line();
      (void)desk.to_client.say("\r\n");
      asked_ = false;
      break;
    case kEof: quits_ = true; break;
    default: break;  // NOP, GA, data mark, ...: nothing to do
  }
  if (!asked_) asked_ = desk.to_client.say(kPrompt);
  return false;
}

// A byte of text: ends of lines are CR LF, CR NUL (RFC 854), LF, and CR of programs.
bool TelnetDialogue::data(uint8_t byte) {
  const bool ended_before = after_cr_ && (byte == '\n' || byte == 0);
  after_cr_ = false;
  if (ended_before) return false;
  if (byte == '\r' || byte == '\n') {
    after_cr_ = byte == '\r';
    return true;
  }
  if (byte == 8 || byte == 127) {
    if (size_ > 0) --size_;
  } else if (byte == 21) {  // ^U
    erase_line();
  } else if (byte == 4 && size_ == 0) {  // ^D
    quits_ = true;
  } else if (byte < ' ' && byte != '\t') {
    return false;
  } else if (size_ == sizeof line_) {
    too_long_ = true;
  } else {
    line_[size_++] = static_cast<char>(byte);
  }
  return false;
}

// "host", "host port", "host:port", "[v6]", "[v6]:port", "v6", "v6 port"
bool TelnetDialogue::read_wish(std::string_view text, Desk& desk) {
  std::string_view host = text, port;
  const size_t gap = place_of_any(text, " \t");
  if (gap != kNowhere) {
    host = first(text, gap);
    port = trim(skip(text, gap));
  }
  Address literal;
  const size_t bracket = place_of(host, ']');
  if (!host.empty() && host[0] == '[' && bracket != kNowhere) {
    const std::string_view behind = skip(host, bracket + 1);
    host = first(skip(host, 1), bracket - 1);
    if (!parse_ip(host, &literal) || literal.family != 6) return false;
    if (!behind.empty()) {
      if (behind[0] != ':' || !port.empty()) return false;
      port = skip(behind, 1);
      if (port.empty()) return false;
    }
  } else if (!parse_ip(host, &literal)) {
    const size_t colon = place_of(host, ':');
    if (colon != kNowhere) {
      if (!port.empty()) return false;
      port = skip(host, colon + 1);
      host = first(host, colon);
      if (port.empty()) return false;
    }
    if (!is_name(host)) return false;
  }
  uint16_t number = 23;
  if (!port.empty() && (!parse_port(port, &number) || number == 0)) return false;
  desk.wish = {"telnet", host, number, number == 23, false};
  return true;
}

Dialogue::Next TelnetDialogue::line(Desk& desk) {
  const std::string_view text = trim({line_, size_});
  const bool too_long = too_long_;
  size_ = 0;  // the bytes stay where they are: the wish points at them
  too_long_ = false;
  asked_ = false;
  if (too_long) return wrong(desk, "", "the line is longer than 255 characters");
  if (text == "quit" || text == "exit") return Next::close;
  if (text == "help" || text == "?") {
    (void)desk.to_client.say(kHelp);
    return ++tries_ > kMostTries ? Next::close : Next::wait;
  }
  if (text.empty() || text == "-") return ++tries_ > kMostTries ? Next::close : Next::wait;
  if (!read_wish(text, desk)) return wrong(desk, text, "expected host, host port or host:port; help tells more");
  state_ = State::connecting;
  desk.clock = Desk::Clock::off;
  return Next::connect;
}

Dialogue::Next TelnetDialogue::wrong(Desk& desk, std::string_view what, std::string_view why) {
  Text<600> text("-- ");
  if (!what.empty()) text.add_printable(what).add(": ");
  text.add(why).add("\r\n");
  if (++tries_ > kMostTries) text.add("-- too many tries\r\n");
  (void)desk.to_client.say(text.text());
  return tries_ > kMostTries ? Next::close : Next::wait;
}

void TelnetDialogue::connected(Desk& desk) {
  Text<400> text("-- connected to ");
  text.add(desk.wish.host).add(' ');
  append_address(text, desk.server);
  (void)desk.to_client.say(text.add("\r\n").text());
  state_ = State::joined;
}

void TelnetDialogue::failed(Desk& desk, Failure why) {
  Text<300> what(desk.wish.host);
  what.add(' ').add_u(desk.wish.port);
  if (wrong(desk, what.text(), in_words(why)) == Next::close) quits_ = true;
  state_ = State::asking;
  desk.clock = Desk::Clock::login;
  ++desk.round;
}

Dialogue::Next TelnetDialogue::timed_out(Desk& desk) {
  if (state_ == State::joined) {
    if (desk.from_client.empty()) after_cr_ = false;  // the CR of a program
    return step(desk);
  }
  (void)desk.to_client.say("\r\n-- timed out\r\n");
  return Next::close;
}

}  // namespace smx
