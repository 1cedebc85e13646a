// Read next: ftp.h.
#include "tests/simos/ftp.h"

#include <stdio.h>

#include <algorithm>

namespace simos {

namespace {

constexpr size_t kMostLine = 500;
constexpr Micros kPatience = 20 * kSecond;  // of a server, for its data connection

std::string six_numbers(Place p) {
  std::string text;
  for (int i = 24; i >= 0; i -= 8) text += std::to_string(p.ip >> i & 255) + ",";
  return text + std::to_string(p.port >> 8) + "," + std::to_string(p.port & 255);
}

// What one control connection of the server does.
class Session final : public FtpControl {
 public:
  Session(Crowd& crowd, const FtpServer& server, Tcp* socket) : crowd_(crowd), server_(server), excused_(socket->reset || server.manner.rude()) {
    begin(socket);
    say("220-a server");
    say("220 that waits");
  }

 private:
  void on_line(const std::string& line) override {
    const std::string verb = line.substr(0, line.find(' '));
    if (verb == "USER") say("331 and the password?");
    else if (verb == "PASS") say("230 welcome");
    else if (verb == "PASV" || (verb == "EPSV" && server_.knows_epsv)) listen(verb == "EPSV");
    else if (verb == "RETR" || verb == "STOR") begin_transfer();
    else if (verb.compare(0, 1, "\xff") == 0 || verb == "ABOR") abort();
    else if (verb == "NOOP") say(server_.knows_noop ? "200 here" : "504 it does nothing");
    else if (verb == "QUIT") say("221 goodbye"), close_behind();
    else say("500 what is " + verb + "?");
  }
  void on_end(int error) override {
    (void)error;
    shut_door();
    if (talker_ != nullptr) talker_->excused = true;
    close();
  }
  void listen(bool extended) {
    shut_door();
    const Place at{socket_->local.ip, network->free_port()};
    door_ = world->make<FtpDoor>(crowd_, at, server_.manner, false);
    door_->excused = excused_;
    const Place told{server_.lies ? 0x0a636363 : at.ip, at.port};
    say(extended ? "229 Entering Extended Passive Mode (|||" + std::to_string(at.port) + "|)" : "227 Entering Passive Mode (" + six_numbers(told) + ").");
  }
  void begin_transfer() {
    if (door_ == nullptr) return say("425 which port?");
    say("150 it begins");
    transfers_ = true;
    since_ = world->now;
    look_after(kMilli);
  }
  // The transfer ends when its talker has, or when nobody comes.
  void on_look() override {
    if (!transfers_ || over()) return;
    if (talker_ == nullptr && door_ != nullptr) talker_ = door_->talker;
    if (talker_ != nullptr && talker_->over()) {
      say(talker_->end() == Talker::End::clean ? "226 all is there" : "426 it was cut");
      return end_transfer();
    }
    if (talker_ == nullptr && world->now - since_ > kPatience) {
      say("425 nobody comes");
      return end_transfer();
    }
    look_after(10 * kMilli);
  }
  void end_transfer() {
    transfers_ = false;
    talker_ = nullptr;
    shut_door();
  }
  void abort() {
    if (transfers_) {
      if (talker_ == nullptr && door_ != nullptr) talker_ = door_->talker;
      if (talker_ != nullptr) talker_->give_up();
      say("426 given up");
      end_transfer();
    }
    say("226 it is");
  }
  void shut_door() {
    if (door_ != nullptr) door_->open(false);
    door_ = nullptr;
  }
  Crowd& crowd_;
  const FtpServer& server_;
  const bool excused_;
  FtpDoor* door_ = nullptr;
  Talker* talker_ = nullptr;
  bool transfers_ = false;
  Micros since_ = 0;
};

}  // namespace

// ---- a control connection

void FtpControl::begin(Tcp* socket) {
  socket_ = socket;
  socket->holder = this;
  socket->refs = 1;
  run_soon();
}

void FtpControl::on_socket() { run_soon(); }

void FtpControl::run_soon() {
  if (scheduled_ || over_) return;
  scheduled_ = true;
  world->after(world->random.below(30), *this, kRun);
}

void FtpControl::on_event(int what) {
  if (what == kLook) return on_look();
  scheduled_ = false;
  if (over_ || socket_->state == Tcp::State::connecting) return;
  if (socket_->state == Tcp::State::failed) return on_end(socket_->take_error());
  read_some();
  if (!over_) write_some();
}

void FtpControl::write_some() {
  while (!out_.empty()) {
    const ssize_t r = socket_->write(reinterpret_cast<const uint8_t*>(out_.data()), out_.size());
    if (r == -EAGAIN) return world->after(kMilli, *this, kRun);
    if (r < 0) return on_end(static_cast<int>(-r));
    out_.erase(0, static_cast<size_t>(r));
  }
  if (closes_) close();
}

void FtpControl::read_some() {
  while (!over_) {
    uint8_t bytes[256];
    const ssize_t r = socket_->read(bytes, sizeof bytes);
    if (r == -EAGAIN) return;
    if (r <= 0) return on_end(static_cast<int>(-r));
    in_.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(r));
    for (size_t end; !over_ && (end = in_.find('\n')) != std::string::npos;) {
      std::string line = in_.substr(0, end);
      in_.erase(0, end + 1);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      SIM_TRACE("ftp %s hears \"%s\"\n", socket_->local.port < 20000 ? "server" : "client", line.c_str());
      on_line(line);
    }
    if (in_.size() > kMostLine) return world->fail("a line of FTP is longer than it was said");
  }
}

void FtpControl::close() {
  if (over_) return;
  over_ = true;
  socket_->refs = 0;
  socket_->closed();
}

// ---- the server

FtpServer::FtpServer(Crowd& crowd, Place at, const Manner& m, bool six) : Server(crowd, at, m), knows_epsv(six || world->random.chance(70)), knows_noop(world->random.chance(60)), lies(world->random.chance(30)) {}

void FtpServer::take(Tcp* socket) { (void)world->make<Session>(crowd(), *this, socket); }

void FtpDoor::take(Tcp* socket) {
  if (talker != nullptr) {  // one is awaited
    socket->hard_close = true;
    socket->closed();
    return;
  }
  talker = crowd().add(manner, client_);
  talker->excused = excused || socket->reset || manner.rude();
  talker->take(socket);
}

// ---- the client

FtpClient::FtpClient(Crowd& crowd, const Manner& m, bool six, const std::string& host, uint32_t transfers, bool no_data)
    : crowd_(crowd), manner_(m), six_(six), host_(host), transfers_(transfers), no_data_(no_data) {}

void FtpClient::call_from(uint32_t ip, Place to) {
  ip_ = ip;
  to_ = to;
  since_ = world->now;
  begin(call(*this, ip, to));
}

std::string FtpClient::describe() const {
  static constexpr const char* kStates[] = {"greeting", "user", "password", "asked", "begun", "transfer", "data", "quits"};
  return std::string("FTP client at port ") + std::to_string(to_.port) + " (" + kStates[static_cast<int>(state_)] + ", " + std::to_string(transfers_) + " left, heard \"" + last_ + "\")";
}

void FtpClient::lost(const char* what, int error) {
  const bool met = state_ != State::greeting || !last_.empty();
  if (crowd_.is_strict() && !excused && (met || !crowd_.moves())) world->fail("%s: %s, error %d", describe().c_str(), what, error);
  done_ = true;
  if (data_ != nullptr) data_->excused = true;
  if (door_ != nullptr) door_->open(false);
  close();
}

void FtpClient::on_end(int error) {
  if (state_ == State::quits && error == 0) {
    done_ = true;
    return close();
  }
  lost("the control connection has ended", error);
}

void FtpClient::on_line(const std::string& line) {
  last_ = line;
  const int code = line.size() >= 4 && line[3] == ' ' ? atoi(line.c_str()) : 0;
  if (code == 0) return;  // not the last line of a reply
  if (line.find("forbidden") != std::string::npos) return lost("forbidden, what everybody may", 0);
  if (code == 421) return lost("the service has ended", 0);
  if (noops_ > 0 && (code == 200 || code == 504)) {
    --noops_;
    return;
  }
  switch (state_) {
    case State::greeting:
      if (code != 220) return lost("no greeting", 0);
      say("USER me" + (host_.empty() ? "" : "@" + host_));
      state_ = State::user;
      break;
    case State::user:
      if (code != 331) return lost("no password is asked for", 0);
      say("PASS me");
      state_ = State::password;
      break;
    case State::password:
      if (code != 230) return lost("not let in", 0);
      next_transfer();
      break;
    case State::asked:
      if (no_data_ ? code == 502 : code == 425) return next_transfer();  // no channel is free
      if (no_data_) return lost("what the link cannot was not refused", 0);
      if (door_ == nullptr && (code == 227 || code == 229)) return passive(line, code == 229);
      if (door_ == nullptr || code != 200) return lost("no way for data", 0);
      transfer();
      break;
    case State::begun:
      if (code == 425 || code == 426) {
        if (data_ != nullptr) data_->excused = true;
        return transfer_over();
      }
      if (code != 150) return lost("no transfer begins", 0);
      state_ = State::transfer;
      if (world->random.chance(15)) say("NOOP"), ++noops_;
      if (world->random.chance(10)) abort();
      break;
    case State::transfer:
      if (code != 226 && code != 425 && code != 426) return lost("a transfer ends with another word", 0);
      if (aborted_ && code != 226) break;  // the answer to ABOR follows
      if (code != 226 && data_ != nullptr) data_->excused = true;
      transfer_over();
      break;
    case State::data:
      if (!aborted_ || code != 226) return lost("a word that nobody waits for", 0);
      break;
    case State::quits:
      if (aborted_ && code == 226) break;  // a transfer had ended before ABOR came: both are told so
      if (code != 221) return lost("no goodbye", 0);
      done_ = true;
      close();
      break;
  }
}

void FtpClient::abort() {
  aborted_ = true;
  say("ABOR");
  if (door_ != nullptr) door_->excused = true, data_ = door_->talker;
  if (data_ != nullptr) data_->excused = true;
}

// The data may come behind the word that they are sent.
void FtpClient::transfer_over() {
  state_ = State::data;
  look_after(0);
}

void FtpClient::on_look() {
  if (over() || state_ != State::data) return;
  if (door_ != nullptr && data_ == nullptr) data_ = door_->talker;
  if (data_ != nullptr && !data_->over()) return look_after(10 * kMilli);
  next_transfer();
}

void FtpClient::next_transfer() {
  if (door_ != nullptr) door_->open(false);
  door_ = nullptr;
  data_ = nullptr;
  if (transfers_ == 0 || aborted_) {
    say("QUIT");
    state_ = State::quits;
    return;
  }
  --transfers_;
  ask();
}

void FtpClient::ask() {
  state_ = State::asked;
  extended_ = six_ || world->random.chance(50);
  if (world->random.chance(50)) return say(extended_ ? "EPSV" : "PASV");
  const Place at{ip_, network->free_port()};
  door_ = world->make<FtpDoor>(crowd_, at, manner_, true);
  door_->excused = excused || rude_server || manner_.rude();
  if (!extended_) return say("PORT " + six_numbers(at));
  std::string text = text_of(ip_, six_);
  if (six_) text = text.substr(1, text.size() - 2);
  say(std::string("EPRT |") + (six_ ? "2|" : "1|") + text + "|" + std::to_string(at.port) + "|");
}

void FtpClient::passive(const std::string& line, bool extended) {
  Place at = to_;
  unsigned n[6] = {};
  if (extended != extended_) return lost("the other kind of answer", 0);
  if (extended) {
    if (sscanf(line.c_str(), "229 %*[^(](|||%u|)", &n[0]) != 1) return lost("no port in 229", 0);
    at.port = static_cast<uint16_t>(n[0]);
  } else {
    if (sscanf(line.c_str(), "227 %*[^(](%u,%u,%u,%u,%u,%u)", &n[0], &n[1], &n[2], &n[3], &n[4], &n[5]) != 6) return lost("no address in 227", 0);
    at = {n[0] << 24 | n[1] << 16 | n[2] << 8 | n[3], static_cast<uint16_t>(n[4] << 8 | n[5])};
    if (at.ip != to_.ip) return lost("a port of another host", 0);
  }
  data_ = crowd_.add(manner_, true);
  data_->excused = excused || rude_server || manner_.rude();
  data_->call_from(ip_, at);
  transfer();
}

void FtpClient::transfer() {
  state_ = State::begun;
  say(world->random.chance(50) ? "RETR it" : "STOR it");
}

}  // namespace simos
