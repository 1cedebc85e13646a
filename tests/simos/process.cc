// Read next: process.h.
#include "tests/simos/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <algorithm>

#include "tests/simos/files.h"

namespace simos {

Process* current = nullptr;

namespace {
enum What { kRun, kWake, kTimeout, kStep };
int event_of(int what, int tag) { return what | tag << 2; }
}  // namespace

void File::poke() {
  if (owner != nullptr) owner->poke();
  if (second != nullptr) second->poke();
  if (holder != nullptr) holder->on_socket();
}

// ---- life

namespace {
std::vector<Process*> everybody;
}  // namespace

Process::Process(int number, const Image& image) : number_(number), image_(image) { everybody.push_back(this); }

bool Process::is_alive(uint32_t pid) {
  for (const Process* p : everybody)
    if (p->alive() && p->pid() == pid) return true;
  return false;
}

void Process::boot(uint32_t ip, std::vector<std::string> words, Variables variables) {
  forget();
  memcpy(image_.data, image_.fresh.data(), image_.fresh.size());
  memset(image_.bss, 0, static_cast<size_t>(image_.bss_end - image_.bss));
  ip_ = ip;
  booted_ = world->now;
  pid_ = 100 + world->random.below(30000);
  words_ = std::move(words);
  variables_ = std::move(variables);
  argv_.clear();
  for (std::string& w : words_) argv_.push_back(w.data());
  argv_.push_back(nullptr);
  random = Random(world->random.next());
  memset(action, 0, sizeof action);
  pending_.clear();
  exit_code_ = 0;
  started = link_up = no_maps = told_to_end = false;
  turns = calls = calls_of_turn = log_lines = link_ups = 0;
  log.clear();
  wake_due_ = interrupted_ = false;
  frozen_until_ = 0;
  begin = 0;
  log_full = false;
  helper = nullptr;
  last_pair = nullptr;
  may_end_with = 0;
  links = 0;
  renewed_at = -1;
  longest_renewal = 0;
  Disk& disk = disk_of(ip);
  if (disk.find("/dev/null") == nullptr) (void)disk.put("/dev/null", Node::Kind::null);
  if (disk.find("/dev/urandom") == nullptr) (void)disk.put("/dev/urandom", Node::Kind::null, "random");
  for (int fd = 0; fd < 2; ++fd) (void)take_fd(world->make<NullFile>());
  (void)take_fd(world->make<LogFile>(*this));
  state_ = State::ready;
  fiber_.start(+[] { current->enter(); });
  world->after(0, *this, event_of(kRun, life_));
}

void Process::enter() {
  const int code = image_.main(static_cast<int>(words_.size()), argv_.data());
  exit(code);
}

void Process::exit(int code) {
  state_ = State::ended;
  exit_code_ = code;
  SIM_TRACE("%d exits with %d\n", number_, code);
  fiber_.leave();
  abort();
}

void Process::crash(const char* why) {
  world->fail("process %d: %s", number_, why);
  exit(134);
}

void Process::kill() {
  if (!alive()) return;
  SIM_TRACE("%d is killed\n", number_);
  state_ = State::ended;
  exit_code_ = 137;
  ++life_;
  close_all();
}

void Process::forget() {
  ++life_;
  for (size_t fd = 0; fd < fds_.size(); ++fd)
    if (fds_[fd] != nullptr && world != nullptr) close_fd(static_cast<int>(fd));
  fds_.clear();
  interests.clear();
  polls.clear();
  for (const Mapping& m : maps_) munmap(m.at, m.size);
  maps_.clear();
  state_ = State::absent;
}

void Process::on_event(int what) {
  const int tag = what >> 2;
  if (world->now < frozen_until_ && alive()) return world->at(frozen_until_, *this, what);
  switch (what & 3) {
    case kRun:
      if (tag == life_ && state_ == State::ready) run();
      break;
    case kWake:
      if (tag != waiting_ || state_ != State::waiting) break;
      wake_due_ = false;
      if (interrupted_ || anything_ready()) run();
      break;
    case kTimeout:
      if (tag == waiting_ && state_ == State::waiting) run();
      break;
    default: break;
  }
}

void Process::run() {
  state_ = State::running;
  current = this;
  fiber_.resume();
  current = nullptr;
  if (state_ == State::ended) {
    ++life_;
    close_all();
  }
}

// What another process still has is watched here no more.
void Process::close_all() {
  for (size_t fd = 0; fd < fds_.size(); ++fd)
    if (fds_[fd] != nullptr) close_fd(static_cast<int>(fd));
  interests.clear();
}

bool Process::wait(Micros until) {
  if (until > world->now) ++turns;  // a look that does not wait is none: Reactor stays awake for a moment
  calls_of_turn = 0;
  deliver_signals();
  if (interrupted_) {
    interrupted_ = false;
    return false;
  }
  waiting_ = (waiting_ + 1) & 0xffffff;
  wake_due_ = false;
  // The kernel may be slow to come back, or have something to do in between.
  if (anything_ready()) {
    state_ = State::waiting;
    wake_due_ = true;
    world->after(random.below(8), *this, event_of(kWake, waiting_));
  } else {
    state_ = State::waiting;
    if (until <= world->now) world->after(1, *this, event_of(kTimeout, waiting_));
  }
  // Behind what is ready, too: another process may take that first.
  if (until > world->now && until < INT64_MAX) world->at(until + random.below(200), *this, event_of(kTimeout, waiting_));
  current = nullptr;
  fiber_.leave();
  current = this;
  state_ = State::running;
  const bool signalled = interrupted_;
  interrupted_ = false;
  return !signalled;
}

void Process::poke() {
  if (state_ != State::waiting || wake_due_) return;
  wake_due_ = true;
  world->after(1 + random.below(20), *this, event_of(kWake, waiting_));
}

bool Process::anything_ready() const {
  for (const Interest& i : interests)
    if ((i.file->ready() & (i.events | EPOLLHUP | EPOLLERR)) != 0) return true;
  for (const Asked& a : polls)
    if (a.file == nullptr || (a.file->ready() & (static_cast<uint32_t>(a.events) | EPOLLHUP | EPOLLERR)) != 0) return true;
  return false;
}

bool Process::wait_for(std::vector<Asked> files, Micros until) {
  std::vector<Interest> set;
  set.swap(interests);
  polls = std::move(files);
  const bool good = wait(until);
  polls.clear();
  set.swap(interests);
  return good;
}

const char* Process::variable(const std::string& name) const {
  for (const auto& v : variables_)
    if (v.first == name) return v.second.c_str();
  return nullptr;
}

void Process::forget_variable(const std::string& name) {
  for (auto& v : variables_)
    if (v.first == name) v.first.clear();  // the text stays where it is
}

// ---- signals

void Process::signal(int number) {
  if (!alive()) return;
  SIM_TRACE("signal %d to %d\n", number, number_);
  told_to_end = told_to_end || number == SIGTERM;
  pending_.push_back(number);
  if (state_ != State::waiting) return;
  Process* before = current;
  current = this;
  deliver_signals();
  current = before;
  if (state_ == State::waiting && interrupted_ && !wake_due_) {
    wake_due_ = true;
    world->after(1 + random.below(20), *this, event_of(kWake, waiting_));
  }
}

void Process::deliver_signals() {
  while (!pending_.empty()) {
    const int number = pending_.front();
    pending_.erase(pending_.begin());
    void (*handler)(int) = action[number].sa_handler;
    if (handler == SIG_IGN || (handler == SIG_DFL && number == SIGCHLD)) continue;
    if (handler == SIG_DFL) {
      pending_.clear();
      if (state_ == State::running) exit(128 + number);
      kill();
      return;
    }
    interrupted_ = true;
    handler(number);
  }
}

// ---- descriptors

int Process::take_fd(File* f, int least) {
  size_t fd = static_cast<size_t>(least);
  while (fd < fds_.size() && fds_[fd] != nullptr) ++fd;
  if (fd >= fd_limit) return -1;
  if (fd >= fds_.size()) fds_.resize(fd + 1);
  fds_[fd] = f;
  ++f->refs;
  learn(f);
  return static_cast<int>(fd);
}

void Process::learn(File* f) {
  if (f->owner == nullptr) f->owner = this;
  else if (f->owner != this) f->second = this;
}

int Process::close_fd(int fd) {
  File* f = file(fd);
  if (f == nullptr) return -EBADF;
  fds_[static_cast<size_t>(fd)] = nullptr;
  if (std::find(fds_.begin(), fds_.end(), f) == fds_.end()) {
    if (f->owner == this) f->owner = f->second;
    f->second = nullptr;
  }
  if (--f->refs > 0) return 0;  // and what is watched of it stays so: epoll(7)
  interests.erase(std::remove_if(interests.begin(), interests.end(), [f](const Interest& i) { return i.file == f; }), interests.end());
  f->owner = nullptr;
  f->closed();
  return 0;
}

void Process::replace(int fd, File* f) {
  ++f->refs;
  if (file(fd) != nullptr) close_fd(fd);
  if (static_cast<size_t>(fd) >= fds_.size()) fds_.resize(static_cast<size_t>(fd) + 1);
  fds_[static_cast<size_t>(fd)] = f;
}

size_t Process::open_fds() const {
  size_t n = 0;
  for (const File* f : fds_) n += f != nullptr;
  return n;
}

std::string Process::list_fds() const {
  static constexpr const char* kNames[] = {"tcp", "udp", "unix", "pipe", "file", "null", "log", "tty", "epoll"};
  std::string text;
  for (size_t fd = 0; fd < fds_.size(); ++fd)
    if (fds_[fd] != nullptr) text += " " + std::to_string(fd) + ":" + kNames[static_cast<int>(fds_[fd]->kind)];
  return text;
}

// ---- memory

void* Process::map(size_t size) {
  if (size > memory_left) return nullptr;
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (no_maps) world->fail("process %d maps memory behind its start", number_);
  maps_.push_back({p, size});
  return p;
}

void Process::unmap(void* at, size_t size) {
  munmap(at, size);
  for (Mapping& m : maps_) {  // a whole one, or the rest of one
    char* const first = static_cast<char*>(m.at);
    if (at >= first && at < first + m.size) m.size = static_cast<size_t>(static_cast<char*>(at) - first);
  }
  maps_.erase(std::remove_if(maps_.begin(), maps_.end(), [](const Mapping& m) { return m.size == 0; }), maps_.end());
}

}  // namespace simos
