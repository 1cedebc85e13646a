// Read next: watcher.h.
#include "tests/simos/watcher.h"

#include <algorithm>

namespace simos {

namespace {
constexpr size_t kMostLine = 512;  // ControlReply::kLine
enum { kRun, kPauseOver, kEnough, kLeave };
}  // namespace

Watcher::Watcher(const Crowd& crowd, const std::string& asked, bool goes_on, bool well) : crowd_(crowd), asked_(asked), goes_on_(goes_on), well_(well), left_("1 " + asked + "\n") {
  Random& chance = world->random;
  if (well) return;
  read_most_ = 1 + chance.skewed(0, 4095);
  if (chance.chance(20)) pause_ = static_cast<Micros>(chance.skewed(1000, 3000000));
  if (chance.chance(15)) leaves_at_ = chance.skewed(0, 3000);
  if (chance.chance(5)) left_ = std::string(1 + chance.below(300), static_cast<char>(chance.below(256)));
  if (chance.chance(5)) left_.pop_back();  // and no more
}

void Watcher::ask(Place control) {
  socket_ = call(*this, control.ip, control);
  if (socket_->error != 0) return finish();
  on_socket();
  if (goes_on_) world->after(2 * kSecond, *this, kEnough);
  if (!well_) world->after(30 * kSecond, *this, kLeave);
}

void Watcher::on_socket() {
  if (scheduled_ || over_) return;
  scheduled_ = true;
  world->after(world->random.below(30), *this, kRun);
}

void Watcher::on_event(int what) {
  if (over_) return;
  if (what == kLeave || (what == kEnough && socket_->state != Tcp::State::connected)) return finish();
  if (what == kEnough) return socket_->shut_write();
  if (what == kPauseOver) paused_ = false;
  else scheduled_ = false;
  if (socket_->state == Tcp::State::connecting) return;
  if (socket_->state == Tcp::State::failed) return finish();
  write_some();
  if (!over_) read_some();
}

void Watcher::write_some() {
  while (!left_.empty()) {
    const size_t n = 1 + world->random.below(static_cast<uint32_t>(left_.size()));
    const ssize_t r = socket_->write(reinterpret_cast<const uint8_t*>(left_.data()), n);
    if (r == -EAGAIN) return world->after(kMilli, *this, kRun);
    if (r < 0) return left_.clear();
    left_.erase(0, static_cast<size_t>(r));
  }
}

void Watcher::read_some() {
  while (!over_ && !paused_) {
    uint8_t bytes[4096];
    const ssize_t r = socket_->read(bytes, std::min(sizeof bytes, read_most_));
    if (r == -EAGAIN) return;
    if (r <= 0) return finish();
    for (ssize_t i = 0; i < r; ++i) {
      if (bytes[i] != '\n') {
        line_ += static_cast<char>(bytes[i]);
        if (line_.size() > kMostLine) return world->fail("an answer of the control socket to \"%s\" has a line of more than %zu bytes", asked_.c_str(), kMostLine);
        continue;
      }
      look_at(line_);
      line_.clear();
    }
    heard_ += static_cast<size_t>(r);
    if (heard_ >= leaves_at_) return finish();
    if (pause_ > 0) {
      paused_ = true;
      world->after(pause_, *this, kPauseOver);
    }
  }
}

void Watcher::look_at(const std::string& line) {
  for (const char c : line)
    if (static_cast<unsigned char>(c) < ' ' && c != '\t') return world->fail("an answer of the control socket to \"%s\" holds \\x%02x", asked_.c_str(), static_cast<unsigned>(c));
  if (ended_) return world->fail("an answer of the control socket to \"%s\" goes on behind its end: %s", asked_.c_str(), line.c_str());
  if (lines_++ == 0 && line != "1 ok" && line.compare(0, 8, "1 error ") != 0) return world->fail("the control socket answers \"%s\" to \"%s\"", line.c_str(), asked_.c_str());
  if (lines_ == 1 && line != "1 ok") answered_ = ended_ = true;
  if (line == "end") answered_ = ended_ = true;
}

void Watcher::finish() {
  over_ = true;
  socket_->refs = 0;
  socket_->closed();
  SIM_TRACE("the control socket has answered %zu bytes to \"%s\"%s\n", heard_, asked_.c_str(), answered_ ? "" : ", not all");
  if (well_ && !answered_ && !crowd_.fault_excuses()) world->fail("the control socket does not answer \"%s\": %zu lines", asked_.c_str(), lines_);
}

}  // namespace simos
