// Read next: helper.h.
#include "tests/simos/helper.h"

#include <signal.h>
#include <string.h>

#include <algorithm>

#include "tests/simos/process.h"

namespace simos {

Outside* outside = nullptr;

namespace {
enum { kRun, kFound };
constexpr int kFirstPid = 40000;
}  // namespace

HelperProcess::HelperProcess(Process& daemon, PairEnd* end)
    : daemon_(daemon), life_(daemon.life()), pid_(kFirstPid + static_cast<int>(world->random.below(10000))), end_(end) {
  ++end->refs;
  end->holder = this;
}

size_t HelperProcess::running(smx::Helper::Topic topic) const {
  size_t n = 0;
  for (const Pump* r : running_) n += !r->over() && r->id() / smx::Helper::kIds == static_cast<uint32_t>(topic);
  return n;
}

void HelperProcess::on_socket() {
  if (scheduled_ || over_) return;
  scheduled_ = true;
  world->after(10 + world->random.below(200), *this, kRun);
}

void HelperProcess::on_event(int what) {
  if (over_) return;
  if (what >= kFound) return answer(found_[static_cast<size_t>(what - kFound)]);
  scheduled_ = false;
  while (!unsent_.empty() && end_->send({unsent_.front(), {}}) >= 0) unsent_.pop_front();
  PairEnd::Packet p;
  for (int r = 0; (r = end_->take(&p)) != 0;) {
    if (r < 0) return kill();
    obey(p);
    for (File* f : p.files) let_go(f);
    p = {};
  }
}

void HelperProcess::obey(PairEnd::Packet& p) {
  smx::HelperRequest q;
  if (p.bytes.size() != sizeof q) return world->fail("the helper of process %d is asked by %zu bytes", daemon_.number(), p.bytes.size());
  memcpy(&q, p.bytes.data(), sizeof q);
  if (q.kind == smx::HelperRequest::name) {
    smx::HelperAnswer a{};
    a.kind = smx::HelperAnswer::name;
    a.id = q.id;
    const Micros delay = outside->look_up(q.text, &a);
    SIM_TRACE("%d asks for the name %s: %d addresses, error %d\n", daemon_.number(), q.text, a.count, a.error);
    if (delay < 0) return;
    found_.push_back(a);
    world->after(delay, *this, kFound + static_cast<int>(found_.size() - 1));
  } else if (q.kind == smx::HelperRequest::program) {
    begin_program(q, p);
  } else if (q.kind == smx::HelperRequest::signal) {
    for (Pump* r : running_)
      if (!r->over() && r->id() == q.id) return r->signal(static_cast<int>(q.number));
  } else {
    world->fail("the helper of process %d is asked for %u", daemon_.number(), q.kind);
  }
}

void HelperProcess::begin_program(const smx::HelperRequest& q, PairEnd::Packet& p) {
  constexpr size_t kFds = 3;
  if (p.files.size() != kFds) return world->fail("process %d starts a program with %zu descriptors", daemon_.number(), p.files.size());
  for (const Pump* r : running_)
    if (!r->over() && r->id() == q.id) return world->fail("process %d starts a second program %u", daemon_.number(), q.id);
  Pump::Plan plan;
  const int error = outside->plan(daemon_, q.id / smx::Helper::kIds == static_cast<uint32_t>(smx::Helper::Topic::links), q, &plan);
  SIM_TRACE("%d starts program %u: %d\n", daemon_.number(), q.id, error);
  if (error != 0) return say_ended(q.id, error, 0);
  File* const fd[kFds] = {p.files[0], p.files[1], p.files[2]};
  p.files.clear();
  running_.push_back(world->make<Pump>(*this, q.id, plan, fd));
}

void HelperProcess::on_pump_ended(Pump& p, int status) { say_ended(p.id(), 0, status); }

void HelperProcess::say_ended(uint32_t id, int error, int status) {
  smx::HelperAnswer a{};
  a.kind = smx::HelperAnswer::ended;
  a.id = id;
  a.error = error;
  a.status = status;
  answer(a);
}

void HelperProcess::answer(const smx::HelperAnswer& a) {
  unsent_.emplace_back(reinterpret_cast<const char*>(&a), sizeof a);
  while (!over_ && !unsent_.empty() && end_->send({unsent_.front(), {}}) >= 0) unsent_.pop_front();
}

// The daemon is gone, or has closed its end; or somebody has ended it.
void HelperProcess::kill() {
  if (over_) return;
  over_ = true;
  SIM_TRACE("the helper of %d ends\n", daemon_.number());
  let_go(end_);
  for (Pump* r : running_) r->signal(SIGTERM);
  if (daemon_.alive() && daemon_.life() == life_) daemon_.signal(SIGCHLD);
}

}  // namespace simos
