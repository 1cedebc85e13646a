// Read next: resolver.h.
#include "core/io/resolver.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/io/log.h"
#include "core/io/process.h"
#include "core/io/signals.h"

namespace smx {

namespace {

// What goes through the socket pair, in host byte order: both ends are one program.
struct Request {
  uint32_t id;
  uint32_t limit_s;
  char name[Resolver::kLongestName + 1];
};
struct Answer {
  uint32_t id;
  int32_t error;
  int32_t count;
  Address address[Resolved::kMost];
};

// getaddrinfo(3) on one name. Runs in a worker process, where it may block and allocate.
void look_up(const Request& q, Answer* a) {
  addrinfo hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_ADDRCONFIG;
  addrinfo* list = nullptr;
  a->error = getaddrinfo(q.name, nullptr, &hints, &list);
  // AI_ADDRCONFIG leaves names of loopback addresses out where no other interface is up.
  if (a->error != 0) {
    hints.ai_flags = 0;
    a->error = getaddrinfo(q.name, nullptr, &hints, &list);
  }
  if (a->error != 0) return;
  for (const addrinfo* i = list; i != nullptr && a->count < Resolved::kMost; i = i->ai_next) {
    Address& out = a->address[a->count];
    if (i->ai_family == AF_INET) {
      sockaddr_in s;
      memcpy(&s, i->ai_addr, sizeof s);
      out.family = 4;
      memcpy(out.ip, &s.sin_addr, 4);
    } else if (i->ai_family == AF_INET6) {
      sockaddr_in6 s;
      memcpy(&s, i->ai_addr, sizeof s);
      out.family = 6;
      memcpy(out.ip, &s.sin6_addr, 16);
    } else {
      continue;
    }
    ++a->count;
  }
  if (a->count == 0) a->error = EAI_NONAME;
}

// The helper: one worker a request. Ends when the daemon's end of the pair is closed.
[[noreturn]] void serve(int fd) {
  // Workers are reaped by the system; the daemon's end of file ends us.
  signal(SIGCHLD, SIG_IGN);
  for (;;) {
    Request q;
    const ssize_t n = ::recv(fd, &q, sizeof q, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(0);
    if (n != sizeof q) continue;
    q.name[sizeof q.name - 1] = 0;
    const pid_t worker = fork();
    Answer a{};
    a.id = q.id;
    if (worker == 0) {
      alarm(q.limit_s);  // ends a worker whose name takes too long
      look_up(q, &a);
      (void)!::send(fd, &a, sizeof a, 0);
      _exit(0);
    }
    if (worker < 0) {
      a.error = EAI_AGAIN;
      (void)!::send(fd, &a, sizeof a, 0);
    }
  }
}

void set_port(Resolved* r, uint16_t port) {
  for (int i = 0; i < r->count; ++i) r->address[i].port = port;
}

void close_all_but(int keep) {
  const long most = sysconf(_SC_OPEN_MAX);
  const int limit = most < 0 || most > 65536 ? 65536 : static_cast<int>(most);
  for (int fd = 3; fd < limit; ++fd)
    if (fd != keep) ::close(fd);
}

}  // namespace

const char* gai_text(int error) { return error == EAI_SYSTEM ? "system error" : gai_strerror(error); }

Resolver::~Resolver() {
  if (!socket_.valid()) return;
  reactor_.unwatch(socket_.get());
  reactor_.timers().stop(timer_);
}

bool Resolver::start() {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) {
    LogLine(LogLevel::error, "resolver-failed").error(errno);
    return false;
  }
  Fd ours(pair[0]);
  Fd theirs(pair[1]);
  if (prepare_fd(pair[0]) != 0) return false;
  const pid_t pid = fork();
  if (pid < 0) {
    LogLine(LogLevel::error, "resolver-failed").error(errno);
    return false;
  }
  if (pid == 0) {
    Signals::restore();
    signal(SIGINT, SIG_IGN);  // ^C at the terminal is the daemon's business; its end is ours
    // In a session of its own, and nobody's pipe or terminal is kept open.
    (void)setsid();
    const int null = ::open("/dev/null", O_RDWR);
    for (int fd = 0; fd <= 2 && null >= 0; ++fd) (void)dup2(null, fd);
    close_all_but(pair[1]);
    if (drops_ && become({uid_, gid_}) != 0) _exit(1);
    serve(pair[1]);
  }
  if (reactor_.watch(pair[0], *this) != 0) return false;
  pid_ = static_cast<int>(pid);
  socket_ = static_cast<Fd&&>(ours);
  reactor_.want(pair[0], kRead);
  return true;
}

void Resolver::stop() {
  if (!socket_.valid()) return;
  reactor_.unwatch(socket_.get());
  socket_.reset();
  if (pid_ > 0) (void)::waitpid(pid_, nullptr, 0);  // it ends with its end of the pair
  pid_ = -1;
}

bool Resolver::resolve(ResolveQuery& query, std::string_view host, uint16_t port, Resolved* now_answer) {
  SMX_CHECK(!query.waiting());
  *now_answer = Resolved{};
  if (parse_ip(host, &now_answer->address[0])) {
    now_answer->address[0].port = port;
    now_answer->count = 1;
    return true;
  }
  if (known_ != nullptr) {
    now_answer->count = known_(known_context_, host, now_answer->address);
    for (int i = 0; i < now_answer->count; ++i) now_answer->address[i].port = port;
    if (now_answer->count > 0) return true;
  }
  now_answer->error = EAI_NONAME;
  if (host.empty() || host.size() > kLongestName) return true;
  now_answer->error = EAI_AGAIN;
  Name* name = place_for(host);
  if (name == nullptr) return true;
  if (name->size > 0 && name->id == 0) {
    *now_answer = name->answer;
    set_port(now_answer, port);
    return true;
  }
  if (name->size == 0) {
    memcpy(name->text, host.data(), host.size());
    name->text[host.size()] = 0;
    name->size = host.size();
    if (!ask(*name)) {
      name->size = 0;
      return true;
    }
  }
  query.port_ = port;
  name->waiting.push_back(&query);
  return false;
}

// The place of this name (case does not count: RFC 4343) if it is looked up or remembered, else a free one, else that of the oldest answer.
Resolver::Name* Resolver::place_for(std::string_view host) {
  Name* place = nullptr;
  for (Name& n : name_) {
    if (n.size > 0 && n.id == 0 && n.until <= reactor_.now()) n.size = 0;
    if (n.size > 0 && equal_fold({n.text, n.size}, host)) return &n;
    if (n.size > 0 && n.id != 0) continue;
    if (place == nullptr || (place->size > 0 && (n.size == 0 || n.until < place->until))) place = &n;
  }
  if (place != nullptr) place->size = 0;
  return place;
}

bool Resolver::ask(Name& name) {
  if (!socket_.valid() && !start()) return false;
  Request q{};
  if (++last_id_ == 0) ++last_id_;
  q.id = last_id_;
  q.limit_s = limit_ < seconds(60000) ? static_cast<uint32_t>(limit_.us / 1000000 + 1) : 60000;
  memcpy(q.name, name.text, name.size);
  if (::send(socket_.get(), &q, sizeof q, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof q)) return false;
  name.id = q.id;
  name.until = reactor_.now() + limit_;
  set_timer();
  return true;
}

void Resolver::forget() {
  for (Name& n : name_)
    if (n.id == 0) n.size = 0;
}

void Resolver::set_timer() {
  Time next = kNever;
  for (const Name& n : name_)
    if (n.size > 0 && n.id != 0) next = earlier(next, n.until);
  if (next == kNever) {
    reactor_.timers().stop(timer_);
  } else {
    reactor_.timers().start(timer_, next);
  }
}

// All who wait for it are told, and a copy is kept for a while. One who asks from within gets that copy.
void Resolver::answer(Name& name, const Resolved& r, Time now) {
  name.id = 0;
  name.answer = r;
  name.until = now + (r.count > 0 ? kKeep : kKeepFailure);
  set_timer();
  Resolved told = r;  // the place may be another name's before all have heard
  List<ResolveQuery, &ResolveQuery::node_> waiting;
  while (ResolveQuery* query = name.waiting.front()) {
    query->node_.leave();
    waiting.push_back(query);
  }
  while (ResolveQuery* query = waiting.front()) {
    query->node_.leave();
    set_port(&told, query->port_);
    query->on_resolved(told, now);
  }
}

void Resolver::on_ready(int fd, uint8_t ready, Time now) {
  (void)ready;
  for (int i = 0; i < kNames; ++i) {
    Answer a;
    const ssize_t n = ::recv(fd, &a, sizeof a, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return;
    if (n <= 0) return lose(now);
    if (n != static_cast<ssize_t>(sizeof a)) continue;
    Resolved r;
    r.error = a.error;
    r.count = a.count < 0 || a.count > Resolved::kMost ? 0 : a.count;
    for (int k = 0; k < r.count; ++k) r.address[k] = a.address[k];
    for (Name& name : name_)
      if (name.size > 0 && name.id == a.id) answer(name, r, now);
    if (!socket_.valid()) return;
  }
}

// The helper is gone: what was asked fails, and the next question starts it again.
void Resolver::lose(Time now) {
  LogLine(LogLevel::warning, "resolver-ended");
  reactor_.unwatch(socket_.get());
  socket_.reset();
  if (pid_ > 0) (void)::kill(pid_, SIGKILL);  // it has closed its end, so it has ended already
  if (pid_ > 0) (void)::waitpid(pid_, nullptr, 0);
  pid_ = -1;
  Resolved failed;
  failed.error = EAI_AGAIN;
  for (Name& name : name_)
    if (name.size > 0 && name.id != 0) answer(name, failed, now);
}

void Resolver::on_timer(Timer& timer, Time now) {
  (void)timer;
  Resolved failed;
  failed.error = EAI_AGAIN;
  for (Name& name : name_)
    if (name.size > 0 && name.id != 0 && name.until <= now) answer(name, failed, now);
  set_timer();
}

void Resolver::reap() {
  if (pid_ <= 0) return;
  int status = 0;
  if (::waitpid(pid_, &status, WNOHANG) == pid_) pid_ = -1;
}

}  // namespace smx
