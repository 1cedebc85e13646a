// Read next: rig.h.
#include "tests/failcalls/rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <sstream>

#include "tests/failcalls/errors.h"

namespace failcalls {

using namespace e2e;

namespace {

constexpr double kStart = 4;    // a daemon whose line "started" was lost has started all the same
constexpr double kServed = 20;  // with the pauses of a link that failed
constexpr double kEnd = 8;

size_t descriptors_of(pid_t pid) {
  size_t n = 0;
  DIR* folder = opendir(("/proc/" + text(static_cast<uint64_t>(pid)) + "/fd").c_str());
  if (folder == nullptr) return 0;
  while (const dirent* entry = readdir(folder)) n += entry->d_name[0] != '.' ? 1 : 0;
  closedir(folder);
  return n;
}

std::string listing(pid_t pid) {
  std::string all;
  for (int fd = 0; fd < 64; ++fd) {
    char to[200];
    const ssize_t n = readlink(("/proc/" + text(static_cast<uint64_t>(pid)) + "/fd/" + std::to_string(fd)).c_str(), to, sizeof to);
    if (n > 0) all += std::to_string(fd) + "=" + std::string(to, static_cast<size_t>(n)) + " ";
  }
  return all;
}

// Of this process and of its children.
size_t zombies_below(pid_t pid, int levels) {
  const std::string number = text(static_cast<uint64_t>(pid));
  std::istringstream list(read_file("/proc/" + number + "/task/" + number + "/children"));
  size_t n = 0;
  for (pid_t child = 0; list >> child;) {
    const std::string stat = read_file("/proc/" + text(static_cast<uint64_t>(child)) + "/stat");
    const size_t at = stat.rfind(')');
    n += at != std::string::npos && stat.compare(at, 3, ") Z") == 0 ? 1 : 0;
    if (levels > 1) n += zombies_below(child, levels - 1);
  }
  return n;
}

}  // namespace

Run::Run(const std::string& library, const Fault* fault, Usual* usual, uint32_t depth)
    : library_(library), fault_(fault), usual_(usual), depth_(depth) {}

Run::~Run() {
  for (const auto& m : maps_) munmap(m.second, sizeof(FailMap));
}

FailMap* Run::map_of(const std::string& role) {
  const auto known = maps_.find(role);
  if (known != maps_.end()) return known->second;
  const std::string path = folder_ / role;
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0 || ftruncate(fd, sizeof(FailMap)) < 0) abort();
  void* at = mmap(nullptr, sizeof(FailMap), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (at == MAP_FAILED) abort();
  (void)fchmod(fd, 0666);
  ::close(fd);
  FailMap* map = static_cast<FailMap*>(at);
  map->depth = depth_;
  if (fault_ != nullptr && fault_->role == role) {
    map->key = fault_->place.key;
    map->nth = fault_->nth;
    map->code = fault_->code;
  }
  return maps_[role] = map;
}

ProcessSetup Run::with(const std::string& role, ProcessSetup setup) {
  map_of(role);
  setup.environment.push_back("LD_PRELOAD=" + library_);
  setup.environment.push_back("FAILCALLS=" + folder_ / role);
  return setup;
}

std::string Run::prefix(const std::string& role) {
  map_of(role);
  (void)chmod(folder_.path().c_str(), 0755);
  return "env LD_PRELOAD=" + library_ + " FAILCALLS=" + folder_ / role;
}

bool Run::hit(const std::string& role) const {
  const auto m = maps_.find(role);
  return m != maps_.end() && m->second->fired != 0;
}

bool Run::fired() const {
  for (const auto& m : maps_)
    if (m.second->fired != 0) return true;
  return false;
}

bool Run::strict() const { return fault_ == nullptr || !fired() || is_harmless(fault_->place, fault_->code); }

bool Run::need(bool holds, const std::string& what) {
  if (holds) return true;
  problems_ += what + "\n";
  if (logs_.empty()) logs_ = logs();
  return false;
}

void Run::check_refusal(Process& p, const std::string& said) {
  static constexpr int kCodes[] = {64, 66, 69, 71, 73, 77, 78};
  const int status = p.status();
  need(std::find(std::begin(kCodes), std::end(kCodes), status) != std::end(kCodes), p.command() + ": ended with " + std::to_string(status));
  need(!strict(), p.command() + ": ended though nothing has failed that may end it");
  std::string last;
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);)
    if ((line.find("sockmuxd: ") == 0 && line.find(" are accepted at ") == std::string::npos && line.find(": warning") == std::string::npos) || line.find(" error ") != std::string::npos || line.find("ending reason") != std::string::npos) last += line + "; ";
  need(!last.empty(), p.command() + ": ended without a word");
  refusal_ = "status " + std::to_string(status) + ": " + last;
}

void Run::start(const std::string& role, Daemon& d) {
  watch(d.process());
  (void)wait_for([&] { return d->says(" started ") || !d->running(); }, kStart);
  if (d->running()) return;
  need(hit(role), d->command() + ": does not start, and none of its calls has failed");
  if (d->status() == 0) need(false, d->command() + ": ended with 0");
  check_refusal(d.process(), d->log());
  throw Refused();
}

uint16_t Run::port_after(Daemon& d, const std::string& words, size_t i) {
  size_t at = 0;
  const bool said = wait_for([&] {
    const std::string& log = d->log();
    at = log.find(words);
    for (size_t k = 0; k < i && at != std::string::npos; ++k) at = log.find(words, at + 1);
    return at != std::string::npos && log.find('\n', at) != std::string::npos;
  }, 5);
  const std::string line = said ? d->log().substr(at, d->log().find('\n', at) - at) : "";
  const int port = said ? atoi(line.c_str() + line.rfind(':') + 1) : 0;
  if (port > 0) return static_cast<uint16_t>(port);
  need(!strict(), "it tells which ports it has");
  throw Refused();
}

void Run::echo(uint16_t port, uint64_t seed, uint64_t size) {
  Conn client(port);
  client.expect_pattern(seed).send_pattern(seed, size).shut();
  wish(wait_for([&] { return client.over(); }, kServed), "a client gets all, or an end");
  need(!client.wrong(), "no byte is wrong");
  wish(client.received() == size && client.error() == 0,
       "a client gets all: " + text(client.received()) + " of " + text(size) + ", error " + std::to_string(client.error()));
}

void Run::serves(uint16_t port, const std::string& what) { need(e2e::serves(port, kServed), what); }

void Run::lives(const std::string& role, Daemon& d) {
  if (!need(d->running(), role + ": has ended with " + std::to_string(d->status()))) throw Refused();
}

void Run::rests(const std::string& role, pid_t pid, bool running) {
  if (!need(running, role + ": has ended")) return;
  int* place = nullptr;
  for (int i = 0; i < Usual::kMost && place == nullptr; ++i) {
    if (usual_->role[i][0] == 0) strncpy(usual_->role[i], role.c_str(), sizeof usual_->role[i] - 1);
    if (role == usual_->role[i]) place = &usual_->descriptors[i];
  }
  if (fault_ == nullptr) {
    // What has ended may be on its way out.
    size_t last = 0;
    double since = now();
    (void)wait_for([&] {
      const size_t n = descriptors_of(pid);
      if (n != last) since = now();
      last = n;
      return now() - since > 0.3;
    }, 5);
    *place = static_cast<int>(last);
  }
  const size_t usual = static_cast<size_t>(*place);
  // What it could not open at the start it does without.
  need(wait_for([&] { return descriptors_of(pid) == usual || (!strict() && descriptors_of(pid) + 1 == usual); }, kServed),
       role + ": has " + text(descriptors_of(pid)) + " descriptors in place of " + text(usual) + ": " + listing(pid));
  need(wait_for([&] { return zombies_below(pid, 2) == 0; }, 5), role + ": has a zombie");
}

void Run::ends(Daemon& d) {
  if (!d->running()) return;
  d->signal(SIGTERM);
  if (need(d->wait_end(kEnd), d->command() + ": TERM does not end it")) need(d->status() == 0, d->command() + ": TERM ends it with " + std::to_string(d->status()));
}

void Run::forget(Process& p) { watched_.erase(std::remove(watched_.begin(), watched_.end(), &p), watched_.end()); }

std::string Run::logs() const {
  std::string all;
  for (Process* p : watched_) all += "  --- " + p->command() + ": " + (p->running() ? "runs" : std::to_string(p->status())) + "\n" + p->log();
  for (const std::string& f : files_) all += "  --- " + f + "\n" + (exists(f) ? read_file(f) : "");
  return all;
}

std::vector<FailPlace> Run::places(const std::string& role) const {
  std::vector<FailPlace> list;
  const FailMap& map = *maps_.at(role);
  for (const FailPlace& p : map.place)
    if (p.key != 0) list.push_back(p);
  std::sort(list.begin(), list.end(), [](const FailPlace& a, const FailPlace& b) { return a.key < b.key; });
  return list;
}

std::vector<std::string> Run::roles() const {
  std::vector<std::string> list;
  for (const auto& m : maps_) list.push_back(m.first);
  return list;
}

}  // namespace failcalls
