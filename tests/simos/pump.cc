// Read next: pump.h.
#include "tests/simos/pump.h"

#include <signal.h>
#include <string.h>

#include <algorithm>

namespace simos {

namespace {
enum { kRun, kRetry, kBegin, kHang, kDie, kTerm };
constexpr size_t kHeld = 4096;
constexpr int status_of_exit(int code) { return code << 8; }
}  // namespace

Pump::Pump(Owner& owner, uint32_t id, const Plan& plan, File* const (&fd)[3]) : owner_(owner), id_(id), plan_(plan), fd_{fd[0], fd[1], fd[2]} {
  for (File* f : fd_) f->owner = nullptr, f->holder = this;
  world->after(plan.begins_after, *this, kBegin);
  if (plan.hangs_after >= 0) world->after(plan.hangs_after, *this, kHang);
  if (plan.dies_after >= 0) world->after(plan.dies_after, *this, kDie);
}

void Pump::run_soon() {
  if (scheduled_ || over_ || hangs_ || socket_ == nullptr) return;
  scheduled_ = true;
  world->after(1 + world->random.below(100), *this, kRun);
}

void Pump::on_event(int what) {
  if (over_) return;
  switch (what) {
    case kBegin:
      if (plan_.exits_at_once >= 0) return exit(status_of_exit(plan_.exits_at_once));
      socket_ = call(*this, plan_.from, plan_.to);
      if (socket_->error != 0) return say("cannot connect"), exit(status_of_exit(1));
      return run_soon();
    case kHang: hangs_ = !owner_.is_well(); return;
    case kDie:
      if (!owner_.is_well()) exit(SIGSEGV);
      return;
    case kTerm: return exit(SIGTERM);
    default:
      (what == kRetry ? retries_ : scheduled_) = false;
      run();
  }
}

void Pump::run() {
  if (hangs_ || socket_->state == Tcp::State::connecting) return;
  if (socket_->state == Tcp::State::failed) return say("connection refused"), exit(status_of_exit(1));
  for (bool goes_on = true; goes_on && !over_;) {
    goes_on = carry(in_, fd_[0], socket_);
    if (!over_) goes_on = carry(out_, socket_, fd_[1]) || goes_on;
  }
  if (over_) return;
  if ((in_.ended && out_.ended) || (plan_.ends_with_either && (in_.ended || out_.ended))) exit(status_of_exit(0));
}

// True: something went on.
bool Pump::carry(Way& way, File* from, File* to) {
  bool moved = false;
  if (!way.end_seen && way.held.size() < kHeld) {
    uint8_t bytes[kHeld];
    const ssize_t r = from->read(bytes, 1 + world->random.below(kHeld));
    if (r < 0 && r != -EAGAIN) return exit(status_of_exit(1)), false;
    way.end_seen = r == 0;
    if (r > 0) way.held.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(r));
    moved = r >= 0;
  }
  while (!way.held.empty()) {
    const ssize_t r = to->write(reinterpret_cast<const uint8_t*>(way.held.data()), way.held.size());
    if (r == -EAGAIN) {
      if (!retries_) world->after(kMilli, *this, kRetry);
      retries_ = true;
      return moved;
    }
    if (r < 0) return say("broken pipe"), exit(status_of_exit(1)), false;
    way.held.erase(0, static_cast<size_t>(r));
    moved = true;
  }
  if (way.end_seen && !way.ended) {
    way.ended = true;
    end_way(to);
  }
  return moved;
}

void Pump::end_way(File* to) {
  if (to == socket_) return socket_->shut_write();
  if (to->kind == File::Kind::unix_socket) return static_cast<PairEnd*>(to)->shut_write();
  let_go(fd_[1]);
  fd_[1] = nullptr;
}

void Pump::say(const char* line) {
  const std::string text = std::string("pump: ") + line + "\n";
  if (fd_[2]->kind == File::Kind::pipe) (void)fd_[2]->write(reinterpret_cast<const uint8_t*>(text.data()), text.size());
}

void Pump::signal(int number) {
  if (over_) return;
  if (number == SIGKILL) return exit(SIGKILL);
  if (!plan_.ignores_term) world->after(world->random.below(3000), *this, kTerm);
}

// Killed: what was not carried to its end is reset.
void Pump::exit(int status) {
  over_ = true;
  SIM_TRACE("program %u ends with status %d\n", id_, status);
  if (socket_ != nullptr) {
    socket_->hard_close = status != 0 && status != status_of_exit(1);
    let_go(socket_);
  }
  for (File*& f : fd_) {
    if (f == nullptr) continue;
    let_go(f);
    f = nullptr;
  }
  owner_.on_pump_ended(*this, status);
}

}  // namespace simos
