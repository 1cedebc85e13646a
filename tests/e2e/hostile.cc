// Read next: hostile.h.
#include "tests/e2e/hostile.h"

#include <doctest/doctest.h>

namespace e2e {

namespace {
constexpr size_t kQuestion = 100;
constexpr double kNewcomers = 0.03;
}  // namespace

// ---- the witness

Witness::Witness(uint16_t port) : port_(port), steady_(std::make_unique<Conn>(port)) { steady_->expect_pattern(1).send_pattern(1, 0); }

bool Witness::rests() {
  resting_ = true;
  return newcomer_ == nullptr;
}

void Witness::forget() {
  rounds_ = served_ = failed_ = 0;
  worst_ = 0;
}

double Witness::worst() const {
  const double t = now();
  double longest = worst_;
  if (asked_ > 0 && t - asked_ > longest) longest = t - asked_;
  if (newcomer_ != nullptr && t - came_ > longest) longest = t - came_;
  return longest;
}

void Witness::want(std::vector<pollfd>& list) {
  (void)list;
  const double t = now();
  if (steady_ != nullptr && (steady_->over() || steady_->wrong())) {
    ++failed_;
    steady_.reset();
  }
  if (steady_ != nullptr && asked_ > 0 && steady_->received() == expected_) {
    if (t - asked_ > worst_) worst_ = t - asked_;
    ++rounds_;
    asked_ = 0;
    next_ = next_ < t ? t : next_;
  }
  if (steady_ != nullptr && asked_ == 0) {
    std::string question(kQuestion, '\0');
    fill_pattern(1, expected_, &question[0], kQuestion);
    steady_->send(question);
    expected_ += kQuestion;
    asked_ = t;
  }
  if (newcomer_ != nullptr && newcomer_->over()) {
    if (newcomer_->text() == "hello") ++served_;
    else ++failed_;
    if (t - came_ > worst_) worst_ = t - came_;
    newcomer_.reset();
    next_ = t + kNewcomers;
  }
  if (newcomer_ == nullptr && !resting_ && t >= next_) {
    newcomer_ = std::make_unique<Conn>(port_);
    newcomer_->send("hello").shut();
    came_ = t;
  }
}

// ---- the stage

Stage::Stage(const Words& hub, const Words& branch, const ProcessSetup& setup) {
  Words a = hub, c = {"PORT=127.0.0.1:0"};
  a.push_back("DEST=" + local(echo.port()));
  c.insert(c.end(), branch.begin(), branch.end());
  pair = std::make_unique<Pair>(a, c, setup);
  witness = std::make_unique<Witness>(this->branch().port());
  REQUIRE(wait_for([&] { return witness->rounds() > 10 && witness->served() > 1; }, 10));
  REQUIRE(wait_for([&] { return witness->rests(); }, 5));
  const auto one = [&](Daemon& d) { return wait_for([&] { return Daemon::value(d.statistics(), "channels") == 1; }, 5); };
  REQUIRE(one(this->hub()));
  REQUIRE(one(this->branch()));
  hub_fds_ = this->hub().descriptors();
  branch_fds_ = this->branch().descriptors();
}

// All that the act had is given back.
void Stage::settle() {
  CHECK(wait_for([&] { return witness->rests(); }, 10));
  // Judged by the wait alone: a moment later a descriptor may come and go again.
  size_t hub_has = 0, branch_has = 0;
  const auto given_back = [&] {
    hub_has = hub().descriptors();
    branch_has = branch().descriptors();
    return hub_has == hub_fds_ && branch_has == branch_fds_;
  };
  const bool back = wait_for(given_back, 20);
  INFO("descriptors of the hub: " << hub_has << ", before " << hub_fds_ << "; of the branch: " << branch_has << ", before " << branch_fds_);
  CHECK(back);
  for (Daemon* d : {&hub(), &branch()}) {
    CHECK(d->process().running());
    CHECK(d->wait_channels(1, 10));
    const std::string now = d->statistics();
    CHECK(Daemon::value(now, "allocations") == 0);
    CHECK(wait_for([&] { return count_of(d->statistics(), " blocks=0") >= 1; }, 5));
  }
}

void Stage::survives(const std::function<void()>& act) {
  int64_t hub_kib = 0, branch_kib = 0;
  for (const int play : {1, 2}) {
    CAPTURE(play);
    witness->goes_on();
    witness->forget();
    act();
    CHECK(witness->worst() < patience * slowness());
    // Who was away while the act blocked the loop gets a moment.
    CHECK(wait_for([&] { return witness->rounds() > 3 && witness->served() > 0; }, patience));
    CHECK(witness->failed() == 0);
    settle();
    if (daemon_sanitized()) continue;
    if (play == 1) {
      hub_kib = hub().resident_kib();
      branch_kib = branch().resident_kib();
    } else {
      int64_t hub_has = 0, branch_has = 0;
      const auto flat = [&] {
        hub_has = hub().resident_kib();
        branch_has = branch().resident_kib();
        return hub_has <= hub_kib + most_kib && branch_has <= branch_kib + most_kib;
      };
      const bool bounded = wait_for(flat, 10);
      INFO("KiB of the hub: " << hub_has << ", before " << hub_kib << "; of the branch: " << branch_has << ", before " << branch_kib);
      CHECK(bounded);
    }
  }
  for (Daemon* d : {&hub(), &branch()}) {
    const std::string& log = d->process().log();
    CHECK(count_of(log, "\n") - count_of(log, "] statistics") < most_lines);
  }
  CHECK_FALSE(branch()->says(" link-down "));
}

// ---- small things

void keep_doing(double seconds, const std::function<void()>& step) {
  const double end = now() + seconds;
  while (now() < end) {
    step();
    turn(0);
  }
}

bool keep_doing_until(const std::function<void()>& step, const std::function<bool()>& enough, double most) {
  const double end = now() + most * slowness();
  for (;;) {
    step();
    turn(0);
    if (enough()) return true;
    if (now() > end) return false;
  }
}

bool all_over(const std::vector<std::unique_ptr<Conn>>& conns, double seconds) {
  return wait_for(
      [&] {
        for (const auto& c : conns)
          if (!c->over()) return false;
        return true;
      },
      seconds);
}

void Slowly::want(std::vector<pollfd>& list) {
  (void)list;
  if (sent_ == bytes_.size() || conn_.over() || conn_.closed() || now() < next_) return;
  conn_.send(bytes_.substr(sent_++, 1));
  next_ = now() + pause_;
}

}  // namespace e2e
