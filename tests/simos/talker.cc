// Read next: talker.h.
#include "tests/simos/talker.h"

#include <string.h>

#include <algorithm>

#include "tests/simos/process.h"

namespace simos {

namespace {

constexpr size_t kHeader = 8;

uint64_t mix(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  return z ^ (z >> 31);
}

}  // namespace

void fill(uint32_t number, uint64_t offset, uint8_t* out, size_t n) {
  uint64_t block = UINT64_MAX, bits = 0;
  for (size_t i = 0; i < n; ++i) {
    const uint64_t at = offset + i;
    if (at >> 3 != block) {
      block = at >> 3;
      bits = block == 0 ? uint64_t{0x4d53} | static_cast<uint64_t>(number) << 16 | (mix(number) & 0xffff) << 48 : mix((static_cast<uint64_t>(number) << 32) ^ (block * 0x9e3779b97f4a7c15));
    }
    out[i] = static_cast<uint8_t>(bits >> (at & 7) * 8);
  }
}

// ---- life

void Talker::call_from(uint32_t ip, Place to) {
  since = world->now;
  port = to.port;
  remember_daemon(to.ip, world->now);
  socket_ = call(*this, ip, to);
  SIM_TRACE("client %u calls port %u\n", number_, to.port);
  if (socket_->error != 0) finish(End::refused, socket_->error);
  else schedule(0);
}

void Talker::take(Tcp* socket) {
  since = world->now;
  port = socket->local.port;
  remember_daemon(socket->local.ip, socket->made);
  socket_ = socket;
  socket->holder = this;
  socket->refs = 1;
  SIM_TRACE("server %u has a connection at port %u\n", number_, port);
  schedule(0);
}

void Talker::on_socket() { schedule(static_cast<Micros>(world->random.below(30))); }

void Talker::schedule(Micros delay) {
  if (scheduled_ || over()) return;
  scheduled_ = true;
  world->after(delay, *this, 0);
}

void Talker::on_event(int what) {
  if (what == 1) return schedule(0);  // a pause is over
  scheduled_ = false;
  if (over()) return;
  if (socket_->state == Tcp::State::connecting) return;
  if (socket_->state == Tcp::State::failed) return finish(End::refused, socket_->take_error());
  if (!open_some()) return;
  read_some();
  if (!over()) write_some();
}

// False: the proxy has not given way yet.
bool Talker::open_some() {
  for (; step_ < manner_.opening.size(); ++step_, step_said_ = 0, answer_.clear()) {
    const Manner::Step& s = manner_.opening[step_];
    while (step_said_ < s.said.size()) {
      const ssize_t r = socket_->write(reinterpret_cast<const uint8_t*>(s.said.data()) + step_said_, s.said.size() - step_said_);
      if (r == -EAGAIN) return schedule(kMilli), false;
      if (r < 0) return finish(End::cut, static_cast<int>(-r)), false;
      step_said_ += static_cast<size_t>(r);
    }
    const auto ends = [&](const std::string& how) { return answer_.size() >= how.size() && answer_.compare(answer_.size() - how.size(), how.size(), how) == 0; };
    const auto complete = [&] {
      if (s.answer == Manner::Step::kTelnet) return ends("\r\n") && answer_.find("-- ") != std::string::npos;
      if (s.answer == Manner::Step::kSocks5) return answer_.size() > 3 && answer_.size() == (answer_[3] == 4 ? 22 : 10);
      return s.answer > 0 ? answer_.size() == s.answer : ends("\r\n\r\n");
    };
    while (!complete()) {
      uint8_t byte = 0;
      const ssize_t r = socket_->read(&byte, 1);
      if (r == -EAGAIN) return false;
      if (r <= 0) return finish(End::cut, static_cast<int>(-r)), false;
      answer_ += static_cast<char>(byte);
      if (answer_.size() > 4000) return world->fail("%s hears too long an answer of the proxy", describe().c_str()), false;
    }
    const bool refused = s.answer == Manner::Step::kTelnet ? answer_.find("-- connected to ") == std::string::npos
                         : s.answer == 0                   ? answer_.find(" 200 ") == std::string::npos
                         : s.answer == 8                   ? answer_[1] != 0x5a
                                                           : answer_[1] != 0;
    if (refused) return finish(End::refused, ECONNREFUSED), false;
    SIM_TRACE("client %u: the proxy has answered, step %zu\n", number_, step_);
  }
  return true;
}

// `made`: since when it is connected. Who has called may have been killed, and be started again, before it was accepted.
void Talker::remember_daemon(uint32_t ip, Micros made) {
  for (const Process* p : crowd_.daemons)
    if (p->ip() == ip && p->booted() <= made) daemon_ = p, life_ = p->life();
}

bool Talker::daemon_lives() const { return daemon_ != nullptr && daemon_->alive() && daemon_->life() == life_ && !daemon_->told_to_end; }

uint64_t Talker::to_say() const { return !manner_.answers ? manner_.size : end_heard_ || heard_ > kHeader ? std::max<uint64_t>(heard_, kHeader) : kHeader; }

bool Talker::may_end() const {
  if (said_ < to_say()) return false;
  return end_heard_ || (!manner_.answers && !manner_.waits_for_end);
}

void Talker::write_some() {
  constexpr int kTurns = 4;
  uint8_t bytes[4096];
  for (int i = 0; i < kTurns && !shut_; ++i) {
    if (said_ == to_say()) break;
    if (world->now < write_after_) break;
    size_t n = static_cast<size_t>(std::min<uint64_t>({sizeof bytes, manner_.write_most, to_say() - said_}));
    if (world->random.chance(30)) n = 1 + world->random.below(static_cast<uint32_t>(n));
    fill(number_, said_, bytes, n);
    const bool urgent = manner_.urgent_in > 0 && said_ > 0 && world->random.below(manner_.urgent_in) == 0;
    const ssize_t r = urgent ? socket_->write_urgent(bytes[0]) : socket_->write(bytes, n);
    if (r == -EAGAIN) break;
    if (r < 0) {
      // What was sent before the reset may still be there to read, as a client of its kind would.
      if (r == -EPIPE || r == -ECONNRESET) return finish(End::cut, static_cast<int>(-r));
      return finish(End::failed, static_cast<int>(-r));
    }
    said_ += static_cast<uint64_t>(r);
    if (manner_.write_pause > 0) {
      write_after_ = world->now + manner_.write_pause;
      world->at(write_after_, *this, 1);
    }
  }
  if (!shut_ && may_end()) {
    shut_ = true;
    SIM_TRACE("talker %u ends its way behind %llu bytes\n", number_, static_cast<unsigned long long>(said_));
    socket_->shut_write();
    if (end_heard_) return finish(End::clean, 0);
  }
  // More to do without that anything happens at the socket.
  if (!shut_ && said_ < to_say() && world->now >= write_after_ && (socket_->ready() & 4) != 0) schedule(1 + world->random.below(50));
}

void Talker::read_some() {
  constexpr int kTurns = 4;
  uint8_t bytes[4096];
  for (int i = 0; i < kTurns && !end_heard_; ++i) {
    if (heard_ >= manner_.hangs_at || world->now < read_after_) return;
    const size_t most = std::min<size_t>(sizeof bytes, manner_.read_most);
    const ssize_t r = socket_->read(bytes, most);
    if (r == -EAGAIN) return;
    if (r < 0) return finish(End::cut, static_cast<int>(-r));
    if (r == 0) {
      end_heard_ = true;
      SIM_TRACE("talker %u has heard the end behind %llu bytes\n", number_, static_cast<unsigned long long>(heard_));
      if (partner_ == nullptr || !partner_->shut_ || partner_->said_ != heard_) {
        // A stream that is cut must not look as one that has ended, but where its daemon is gone.
        // A program can say nothing but an end, however it has ended, or its client has.
        const bool by_program = manner_.behind_program || (partner_ != nullptr && partner_->manner_.behind_program && !crowd_.is_strict());
        if (partner_ != nullptr && partner_->end_ != End::left && crowd_.half_close && daemon_lives() && !by_program)
          world->fail("%s hears an end that nobody has said", describe().c_str());
        return finish(End::cut, 0);
      }
      if (shut_) return finish(End::clean, 0);
      schedule(0);
      return;
    }
    hear(bytes, static_cast<size_t>(r));
    if (over()) return;
    if (heard_ >= manner_.resets_at || heard_ >= manner_.closes_at) {
      socket_->hard_close = heard_ >= manner_.resets_at;
      return finish(End::left, 0);
    }
    if (manner_.read_pause > 0) {
      read_after_ = world->now + manner_.read_pause;
      world->at(read_after_, *this, 1);
    }
  }
  if ((socket_->ready() & 1) != 0) schedule(1 + world->random.below(50));
}

void Talker::find_partner(uint32_t number) {
  partner_ = crowd_.find(number);
  if (partner_ == nullptr || partner_->client_ == client_ || (partner_->partner_ != nullptr && partner_->partner_ != this)) {
    world->fail("%s hears %u", describe().c_str(), number);
    return;
  }
  if (manner_.rude() || excused) partner_->excused = true;
  if (partner_->manner_.rude() || partner_->excused) excused = true;
}

void Talker::hear(const uint8_t* bytes, size_t n) {
  size_t i = 0;
  while (i < n && heard_ + i < kHeader) {
    header_[heard_ + i] = bytes[i];
    ++i;
  }
  if (heard_ < kHeader && heard_ + n >= kHeader) {
    uint8_t right[kHeader];
    const uint32_t number = static_cast<uint32_t>(header_[2] | header_[3] << 8 | header_[4] << 16) | static_cast<uint32_t>(header_[5]) << 24;
    fill(number, 0, right, kHeader);
    if (memcmp(right, header_, kHeader) != 0) return world->fail("%s hears a wrong header", describe().c_str());
    find_partner(number);
    if (world->failed()) return;
  }
  if (partner_ != nullptr && i < n) {
    static uint8_t right[4096];
    fill(partner_->number_, heard_ + i, right, n - i);
    if (memcmp(right, bytes + i, n - i) != 0) {
      size_t at = 0;
      while (right[at] == bytes[i + at]) ++at;
      return world->fail("%s hears a wrong byte at %llu", describe().c_str(), static_cast<unsigned long long>(heard_ + i + at));
    }
  }
  heard_ += n;
  if (partner_ != nullptr && heard_ > partner_->said_) world->fail("%s hears more than was said", describe().c_str());
}

void Talker::finish(End how, int error) {
  SIM_TRACE("talker %u is over: %d, error %d, said %llu, heard %llu\n", number_, static_cast<int>(how), error, static_cast<unsigned long long>(said_), static_cast<unsigned long long>(heard_));
  end_ = how;
  error_ = error;
  socket_->refs = 0;
  socket_->closed();
  if (how == End::clean) return;
  if (how == End::left) {
    excused = true;
    if (partner_ != nullptr) partner_->excused = true;
    return;
  }
  if (!client_ && partner_ == nullptr && crowd_.rude_clients) excused = true;
  // Behind a program: once both ways have ended it gets some seconds, and who has not read all by then is cut.
  const bool forgiven = excused || (manner_.behind_program && (shut_ || partner_ == nullptr || partner_->over() || partner_->excused));
  if (crowd_.is_strict() && !forgiven && !(crowd_.moves() && partner_ == nullptr)) world->fail("%s has lost its stream without a reason", describe().c_str());
  // The other end of it loses it, too.
  excused = true;
  if (partner_ != nullptr) partner_->excused = true;
}

void Talker::make_well() {
  manner_.make_well();
  read_after_ = write_after_ = 0;
  if (socket_ != nullptr) schedule(0);
}

void Talker::give_up() {
  if (over() || socket_ == nullptr) return;
  excused = true;
  if (partner_ != nullptr) partner_->excused = true;
  finish(End::left, 0);
}

std::string Talker::describe() const {
  static constexpr const char* kEnds[] = {"open", "clean", "cut", "failed", "refused", "left"};
  std::string text = client_ ? "client " : "server ";
  text += std::to_string(number_) + " at port " + std::to_string(port) + " (" + kEnds[static_cast<int>(end_)];
  if (error_ != 0) text += std::string(": ") + strerror(error_);
  text += ", said " + std::to_string(said_) + " of " + std::to_string(to_say()) + (shut_ ? " and ended" : "") + ", heard " + std::to_string(heard_) + (end_heard_ ? " and the end" : "");
  if (partner_ != nullptr) text += ", of " + std::to_string(partner_->number_) + " who said " + std::to_string(partner_->said_) + (partner_->shut_ ? " and ended" : "");
  return text + ")";
}

// ---- all

Talker* Crowd::add(const Manner& manner, bool client) {
  Manner m = manner;
  if (well) m.make_well();
  Talker* t = world->make<Talker>(*this, static_cast<uint32_t>(all_.size() + 1), m, client);
  all_.push_back(t);
  return t;
}

bool Crowd::fault_excuses() const {
  bool fault = false;
  for (const Process* p : daemons) fault = fault || (p->faults.done && !costs_nothing(p->faults.what, p->faults.error));
  return fault && fault_forgiven;
}

bool Crowd::is_strict() const { return strict && !fault_excuses(); }

size_t Crowd::unfinished() const {
  size_t n = 0;
  for (const Talker* t : all_) n += !t->over();
  return n;
}

Server::Server(Crowd& crowd, Place at, const Manner& m) : manner(m), crowd_(crowd), at_(at) { open(true); }

void Server::open(bool on) {
  if (on == (door_ != nullptr)) return;
  if (!on) {
    door_->closed();
    door_ = nullptr;
    return;
  }
  door_ = world->make<Tcp>();
  door_->holder = this;
  door_->refs = 1;
  door_->local = at_;
  door_->state = Tcp::State::listening;
  (void)network->listen(door_, at_, 128);
}

void Server::on_socket() {
  if (scheduled_) return;
  scheduled_ = true;
  world->after(1 + world->random.below(100), *this, 0);
}

void Server::on_event(int what) {
  (void)what;
  scheduled_ = false;
  while (accepts && door_ != nullptr)
    if (Tcp* s = door_->accept()) take(s);
    else break;
}

void Server::take(Tcp* socket) {
  Talker* t = crowd_.add(manner, false);
  t->excused = socket->reset || manner.rude();
  t->take(socket);
}

}  // namespace simos
