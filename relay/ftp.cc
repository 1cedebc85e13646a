// Read next: ftp.h.
#include "relay/ftp.h"

#include <string.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/base/text.h"

namespace smx {

namespace {

// A line, its end, and an answer of our own must fit before anything is taken.
constexpr size_t kRoom = kFtpLine + 256;
constexpr uint16_t kLeastPort = 1024;  // data ports below are refused: RFC 2577, 3
constexpr char kGreeting[] = "220 FTP proxy: log in as USER name@host[:port]\r\n";
constexpr char kNotHere[] = "502 Data connections are not possible over this link (SockMux 0.3)\r\n";

// As ABOR is answered, and a transfer that it has ended.
bool may_be_of_abort(int code) { return code == 225 || code == 226 || code == 426; }

const char* family_text(const Address& a) { return a.family == 6 ? "2" : "1"; }

}  // namespace

void FtpDialogue::answer(Desk& desk, std::string_view text) {
  const bool fits = desk.to_client.say(text);
  SMX_CHECK(fits);  // kRoom was looked at
}

void FtpDialogue::answer(Desk& desk, const char* text) { answer(desk, std::string_view(text)); }

void FtpDialogue::wait_for(Desk& desk, Waits what) {
  waits_ = what;
  doubtful_ = false;
  const bool ours = what >= Waits::greeting;
  if (ours) ++desk.round;  // what the client does not see may not take for ever
  desk.clock = ours || desk.client_ended ? Desk::Clock::login : Desk::Clock::off;
}

// ---- start and end

Dialogue::Next FtpDialogue::step(Desk& desk) {
  if (phase_ == Phase::start) {
    if (fixed_host_.empty()) {
      phase_ = Phase::alone;
      answer(desk, kGreeting);
    } else {
      want_server(fixed_host_, fixed_port_, "");
    }
  }
  for (bool moved = true; moved && phase_ != Phase::closing && !connect_due_;) {
    moved = take_replies(desk);
    if (phase_ != Phase::closing && take_commands(desk)) moved = true;
  }
  if (connect_due_) {
    connect_due_ = false;
    desk.wish = {"ftp", host_, wish_port_, wish_port_ == 21, !fixed_host_.empty()};
    desk.clock = Desk::Clock::off;
    return Next::connect;
  }
  if (phase_ == Phase::closing) return Next::close;
  if (phase_ == Phase::alone && desk.client_ended) return Next::close;
  if (phase_ != Phase::open) return Next::wait;
  if (desk.server_ended && place_of(desk.from_server.text(), '\n') == kNowhere) {
    if (!last_word_ && desk.to_client.room() >= kRoom) answer(desk, "421 The server has closed the connection\r\n");
    return Next::close;
  }
  // Nothing more can come from the client: the server hears it, and may still answer.
  if (desk.client_ended && waits_ <= Waits::feat && !desk.shut_server) {
    if (place_of(desk.from_client.text(), '\n') == kNowhere) {
      desk.from_client.clear();
      desk.shut_server = true;
      desk.clock = Desk::Clock::login;
      if (desk.data != nullptr && waits_ != Waits::transfer) desk.data->drop();
    }
  }
  return Next::wait;
}

void FtpDialogue::want_server(std::string_view host, uint16_t port, std::string_view user) {
  if (host.data() != host_) {
    const size_t n = host.size() < sizeof host_ - 1 ? host.size() : sizeof host_ - 1;
    memcpy(host_, host.data(), n);
    host_[n] = 0;
  }
  memcpy(user_, user.data(), user.size());
  user_[user.size()] = 0;
  wish_port_ = port;
  phase_ = Phase::connecting;
  connect_due_ = true;
  waits_ = Waits::nothing;
  armed_ = epsv_only_ = last_word_ = false;
  overtaken_ = aborts_ = 0;
  multi_ = 0;
}

void FtpDialogue::connected(Desk& desk) {
  phase_ = Phase::open;
  wait_for(desk, user_[0] == 0 ? Waits::reply : Waits::greeting);
}

void FtpDialogue::failed(Desk& desk, Failure why) {
  Text<400> text(fixed_host_.empty() ? "530 " : "421 ");
  if (fixed_host_.empty()) text.add_printable(host_).add(": ");
  text.add(in_words(why)).add("\r\n");
  (void)desk.to_client.say(text.text());
  phase_ = fixed_host_.empty() ? Phase::alone : Phase::closing;
  ++desk.round;
  desk.clock = Desk::Clock::login;
}

Dialogue::Next FtpDialogue::timed_out(Desk& desk) {
  if (doubtful_) {  // it was the answer, and the client has it
    overtaken_ = aborts_ = 0;
    mode_ = Mode::none;
    wait_for(desk, Waits::nothing);
    return Next::wait;
  }
  if (desk.data != nullptr) desk.data->drop();
  if (phase_ == Phase::open && (waits_ == Waits::door || waits_ == Waits::call) && !desk.client_ended && desk.to_client.room() >= kRoom) {
    if (waits_ == Waits::call) {  // its command still stands in the pipe
      const size_t end = place_of(desk.from_client.text(), '\n');
      if (end != kNowhere) desk.from_client.consume(end + 1);
    }
    answer(desk, "425 No data connection: timed out\r\n");
    wait_for(desk, Waits::nothing);
    return Next::wait;
  }
  (void)desk.to_client.say("421 Timed out\r\n");
  phase_ = Phase::closing;
  return Next::close;
}

// ---- from the server

bool FtpDialogue::take_replies(Desk& desk) {
  bool moved = false;
  while (phase_ == Phase::open && desk.to_client.room() >= kRoom && desk.to_server.room() >= kRoom) {
    const std::string_view all = desk.from_server.text();
    size_t end = place_of(all, '\n');
    if (end == kNowhere ? all.size() > kFtpLine : end > kFtpLine) {
      answer(desk, "421 The server's reply is too long a line\r\n");
      phase_ = Phase::closing;
      return true;
    }
    if (end == kNowhere) break;
    std::string_view line = first(all, end);
    while (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    on_reply_line(desk, line);
    if (!desk.server_open || desk.drop_server) return true;  // the rest goes with it
    desk.from_server.consume(end + 1);
    moved = true;
  }
  return moved;
}

void FtpDialogue::on_reply_line(Desk& desk, std::string_view line) {
  int code = 0;
  bool more = false;
  const bool is_reply = parse_ftp_reply(line, &code, &more);
  const bool first = multi_ == 0;
  const bool last = first ? is_reply && !more : is_reply && code == multi_ && !more;
  if (first && is_reply) {
    const bool asked_epsv = waits_ == Waits::epsv && mode_ != Mode::none;
    matched_ = (waits_ == Waits::pasv && code == 227) || (waits_ == Waits::epsv && code == 229);
    // A server of IPv4 that does not know EPSV is asked again, by PASV.
    const bool again = asked_epsv && overtaken_ + aborts_ == 0 && desk.server.family == 4 && code >= 500 && code != 530;
    swallow_ = matched_ || again || (waits_ == Waits::greeting && code < 300);
    if (matched_) port_found_ = false;
    if (more) multi_ = code;
  }
  if (first && !is_reply) swallow_ = false;  // no reply at all: the client may make of it what it can
  if (matched_ && swallow_ && !port_found_) {
    if (waits_ == Waits::pasv) port_found_ = parse_ftp_227(line, &server_port_);
    if (waits_ == Waits::epsv) port_found_ = parse_ftp_229(line, &server_port_.port);
  }
  const bool hidden = waits_ == Waits::feat && !first && !last && ftp_feature_hidden(line);
  if (!swallow_ && !hidden) {
    answer(desk, line);
    answer(desk, "\r\n");
  }
  if (!last) return;
  multi_ = 0;
  on_reply(desk, code);
  matched_ = swallow_ = false;
}

// Is this the reply to a command that has overtaken a transfer? A server answers in order, so what comes before 227 or 229 is, as long as
// some are not answered; but ABOR may have one reply or two, and a server may have dropped a command: then nothing follows.
bool FtpDialogue::is_late(Desk& desk, int code) {
  if (overtaken_ == 0 && aborts_ == 0) return false;
  const bool asks_port = waits_ == Waits::pasv || waits_ == Waits::epsv;
  if (waits_ != Waits::nothing && !may_be_of_abort(code) && !asks_port) return false;
  count_late(code);
  if (asks_port && (doubtful_ || code >= 400)) {
    doubtful_ = true;
    desk.clock = Desk::Clock::moment;
    ++desk.round;
  }
  return true;
}

void FtpDialogue::count_late(int code) {
  uint8_t& first = may_be_of_abort(code) ? aborts_ : overtaken_;
  uint8_t& second = may_be_of_abort(code) ? overtaken_ : aborts_;
  if (first > 0) --first;
  else --second;
}

// A reply is complete, and passed on if it was the client's.
void FtpDialogue::on_reply(Desk& desk, int code) {
  last_word_ = code == 221 || code == 421;
  if (code < 200) return;
  if (waits_ == Waits::greeting) {
    if (code >= 300) {  // was passed on
      desk.drop_server = true;
      phase_ = Phase::alone;
      ++desk.round;
      desk.clock = Desk::Clock::login;
      waits_ = Waits::nothing;
      return;
    }
    Text<300> user("USER ");
    (void)desk.to_server.say(user.add(user_).add("\r\n").text());
    return wait_for(desk, Waits::reply);
  }
  if (matched_) {
    overtaken_ = aborts_ = 0;  // what was to come before this does not come
    return got_server_port(desk);
  }
  if (waits_ == Waits::transfer) {
    // ABOR, STAT and the others are answered before or behind it: which is which does not matter, but how many.
    if (overtaken_ + aborts_ > 0 && code != 226 && code != 426 && code != 250 && code < 400) return count_late(code);
    return wait_for(desk, Waits::nothing);
  }
  if (is_late(desk, code)) return;
  if (waits_ == Waits::epsv && swallow_) return ask_server(desk, false);
  if (waits_ <= Waits::feat || waits_ == Waits::pasv || waits_ == Waits::epsv) {
    mode_ = Mode::none;
    wait_for(desk, Waits::nothing);
  }
}

// The server listens for data. Only the port counts: the host is that of the control connection.
void FtpDialogue::got_server_port(Desk& desk) {
  const uint16_t port = server_port_.port;
  server_port_ = desk.server;
  server_port_.port = port;
  if (!port_found_ || port < kLeastPort) {
    answer(desk, "425 The server's answer names no data port that may be used\r\n");
    return wait_for(desk, Waits::nothing);
  }
  if (mode_ == Mode::pasv || mode_ == Mode::epsv) {
    desk.data->listen(server_port_);
    return wait_for(desk, Waits::door);
  }
  armed_ = true;
  answer(desk, mode_ == Mode::port ? "200 PORT command successful\r\n" : "200 EPRT command successful\r\n");
  wait_for(desk, Waits::nothing);
}

// ---- from the client

bool FtpDialogue::take_commands(Desk& desk) {
  bool moved = false;
  while (phase_ != Phase::closing && phase_ != Phase::connecting && desk.to_client.room() >= kRoom && take_command(desk)) moved = true;
  return moved;
}

// One command, or one step of it. False: nothing to do now.
bool FtpDialogue::take_command(Desk& desk) {
  if (waits_ == Waits::door || waits_ == Waits::call) return look_at_door(desk);
  if (phase_ == Phase::open && desk.to_server.room() < kRoom) return false;
  const std::string_view all = desk.from_client.text();
  if (skipping_) {
    const size_t end = place_of(all, '\n');
    skipping_ = end == kNowhere;
    if (all.empty()) return false;
    desk.from_client.consume(skipping_ ? all.size() : end + 1);
    return true;
  }
  char buffer[kFtpLine];
  size_t size = 0, used = 0;
  switch (ftp_line(all, buffer, &size, &used)) {
    case FtpLine::none: return false;
    case FtpLine::too_long:
      if (waits_ != Waits::nothing) return false;
      skipping_ = true;
      answer(desk, "500 The line is too long\r\n");
      return true;
    case FtpLine::whole: break;
  }
  const std::string_view line(buffer, size);
  std::string_view argument;
  const FtpVerb verb = ftp_verb(line, &argument);
  if (waits_ != Waits::nothing) {
    const bool overtakes = verb == FtpVerb::abor || verb == FtpVerb::stat || verb == FtpVerb::noop || verb == FtpVerb::quit;
    uint8_t& count = verb == FtpVerb::abor ? aborts_ : overtaken_;
    if (waits_ != Waits::transfer || !overtakes || count == 255) return false;
    desk.from_client.consume(used);
    ++count;
    if (desk.urgent) {
      // Telnet's IP and Synch (RFC 959, 4.1.3): a server that sends looks at nothing else.
      if (desk.urgent_at == 0) desk.urgent_at = desk.to_server.size() + 3;
      (void)desk.to_server.say("\xff\xf4\xff\xf2");
      desk.urgent = false;
    }
    (void)desk.to_server.say(line);
    (void)desk.to_server.say("\r\n");
    return true;
  }
  if (phase_ == Phase::open && verb == FtpVerb::transfer && armed_) {
    armed_ = false;  // the command stays in the pipe until the client is connected to
    desk.data->call(client_port_, server_port_);
    wait_for(desk, Waits::call);
    return true;
  }
  desk.from_client.consume(used);
  desk.urgent = false;
  if (line.empty()) return true;
  if (phase_ == Phase::alone) {
    command_alone(desk, verb, line, argument);
  } else {
    command(desk, verb, line, argument);
  }
  return true;
}

// No server yet.
void FtpDialogue::command_alone(Desk& desk, FtpVerb verb, std::string_view line, std::string_view argument) {
  std::string_view host;
  uint16_t port = 0;
  switch (verb) {
    case FtpVerb::user: return log_in(desk, line, argument);
    case FtpVerb::open:
    case FtpVerb::site:
      if (!parse_ftp_host(argument, &host, &port)) return answer(desk, "501 Say OPEN host[:port]\r\n");
      return want_server(host, port, "");
    case FtpVerb::quit:
      answer(desk, "221 Goodbye\r\n");
      phase_ = Phase::closing;
      return;
    case FtpVerb::noop: return answer(desk, "200 Here\r\n");
    case FtpVerb::auth: return answer(desk, "534 TLS would hide the data connections from this proxy\r\n");
    default: return answer(desk, "530 Log in as USER name@host[:port] first\r\n");
  }
}

void FtpDialogue::log_in(Desk& desk, std::string_view line, std::string_view argument) {
  std::string_view name, host;
  uint16_t port = 0;
  const bool names_host = parse_ftp_login(argument, &name, &host, &port);
  if (phase_ == Phase::alone) {
    if (!names_host || name.size() >= sizeof user_) return answer(desk, "530 Say USER name@host[:port]\r\n");
    return want_server(host, port, name);
  }
  // Connected: the name may still bring its host, or another one.
  const bool by_user = fixed_host_.empty() && user_[0] != 0 && names_host && name.size() < sizeof user_;
  if (by_user && (host != host_ || port != wish_port_)) return want_server(host, port, name);
  if (by_user) {
    (void)desk.to_server.say("USER ");
    (void)desk.to_server.say(name);
  } else {
    (void)desk.to_server.say(line);
  }
  (void)desk.to_server.say("\r\n");
  wait_for(desk, Waits::reply);
}

void FtpDialogue::command(Desk& desk, FtpVerb verb, std::string_view line, std::string_view argument) {
  Waits then = Waits::reply;
  switch (verb) {
    case FtpVerb::user: return log_in(desk, line, argument);
    case FtpVerb::pasv:
    case FtpVerb::epsv: return passive(desk, verb, argument);
    case FtpVerb::port:
    case FtpVerb::eprt: return active(desk, verb, argument);
    case FtpVerb::long_form: return answer(desk, "502 Use EPSV or EPRT\r\n");
    case FtpVerb::auth: return answer(desk, "534 TLS would hide the data connections from the link\r\n");
    case FtpVerb::protect: return answer(desk, "502 TLS would hide the data connections from the link\r\n");
    case FtpVerb::feat: then = Waits::feat; break;
    case FtpVerb::transfer: then = Waits::transfer; break;
    case FtpVerb::abor: aborts_ = 0; break;  // its reply is that of an earlier one, if that has had one only
    default: break;
  }
  (void)desk.to_server.say(line);
  (void)desk.to_server.say("\r\n");
  wait_for(desk, then);
}

// ---- data connections

void FtpDialogue::passive(Desk& desk, FtpVerb verb, std::string_view argument) {
  if (desk.data == nullptr) return answer(desk, kNotHere);
  const Address& at = desk.accepted;
  if (verb == FtpVerb::epsv) {
    while (!argument.empty() && argument.back() == ' ') argument.remove_suffix(1);
    if (argument.size() == 3 && (argument[0] | 32) == 'a' && (argument[1] | 32) == 'l' && (argument[2] | 32) == 'l') {
      epsv_only_ = true;
      return answer(desk, "200 EPSV ALL accepted\r\n");
    }
    if (argument == "1" || argument == "2") {
      if (argument != family_text(at)) {
        Text<80> text("522 Network protocol not supported, use (");
        return answer(desk, text.add(family_text(at)).add(")\r\n").text());
      }
    } else if (!argument.empty()) {
      return answer(desk, "501 Say EPSV, EPSV 1, EPSV 2 or EPSV ALL\r\n");
    }
  } else if (epsv_only_) {
    return answer(desk, "501 EPSV ALL was said\r\n");
  } else if (at.family != 4) {
    return answer(desk, "425 PASV is for IPv4: use EPSV\r\n");
  }
  armed_ = false;
  desk.data->drop();
  mode_ = verb == FtpVerb::epsv ? Mode::epsv : Mode::pasv;
  ask_server(desk, mode_ == Mode::epsv || desk.server.family == 6);
}

void FtpDialogue::active(Desk& desk, FtpVerb verb, std::string_view argument) {
  if (desk.data == nullptr) return answer(desk, kNotHere);
  const bool eprt = verb == FtpVerb::eprt;
  if (epsv_only_) return answer(desk, "501 EPSV ALL was said\r\n");
  Address at;
  if (eprt) {
    const FtpEprt parsed = parse_ftp_eprt(argument, &at);
    const bool other = parsed == FtpEprt::good && at.family != desk.client.family;
    if (parsed == FtpEprt::unknown_protocol || other) {
      Text<80> text("522 Network protocol not supported, use (");
      return answer(desk, text.add(family_text(desk.client)).add(")\r\n").text());
    }
    if (parsed == FtpEprt::bad) return answer(desk, "501 Say EPRT |1 or 2|address|port|\r\n");
  } else if (!parse_ftp_port(argument, &at)) {
    return answer(desk, "501 Say PORT h1,h2,h3,h4,p1,p2\r\n");
  }
  // Data go to who asks for them, and to no service of theirs: RFC 2577.
  if (!same_ip(at, desk.client) || at.port < kLeastPort)
    return answer(desk, eprt ? "500 Illegal EPRT command\r\n" : "500 Illegal PORT command\r\n");
  armed_ = false;
  desk.data->drop();
  client_port_ = at.port;
  mode_ = eprt ? Mode::eprt : Mode::port;
  ask_server(desk, desk.server.family == 6);
}

void FtpDialogue::ask_server(Desk& desk, bool extended) {
  port_found_ = false;
  (void)desk.to_server.say(extended ? "EPSV\r\n" : "PASV\r\n");
  wait_for(desk, extended ? Waits::epsv : Waits::pasv);
}

// The other side listens, or has connected to the client, or can't. False: not known yet.
bool FtpDialogue::look_at_door(Desk& desk) {
  const DataDoor::State state = desk.data->state();
  if (state == DataDoor::State::waiting || desk.to_server.room() < kRoom) return false;
  const bool call = waits_ == Waits::call;
  char buffer[kFtpLine];
  size_t size = 0, used = 0;
  if (call) {
    const FtpLine line = ftp_line(desk.from_client.text(), buffer, &size, &used);
    SMX_CHECK(line == FtpLine::whole);
    desk.from_client.consume(used);
  }
  if (state != DataDoor::State::ready) {
    Text<120> text(call ? "425 Can't connect to your port: " : "425 Can't open a data port: ");
    answer(desk, text.add(name(desk.data->why())).add("\r\n").text());
    wait_for(desk, Waits::nothing);
  } else if (call) {
    (void)desk.to_server.say({buffer, size});
    (void)desk.to_server.say("\r\n");
    wait_for(desk, Waits::transfer);
  } else {
    const Address at = desk.data->where();
    Text<120> text;
    if (mode_ == Mode::epsv) {
      text.add("229 Entering Extended Passive Mode (|||").add_u(at.port).add("|)\r\n");
    } else {
      append_ftp_port(text.add("227 Entering Passive Mode ("), at);
      text.add(").\r\n");
    }
    answer(desk, text.text());
    wait_for(desk, Waits::nothing);
  }
  return true;
}

}  // namespace smx
