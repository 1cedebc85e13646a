// Read next: exec.h.
#include "relay/exec.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "relay/exec_env.h"
#include "relay/stream.h"

namespace smx {

namespace {

// How long a program may go on when its channel is over, and its output when it has ended itself.
constexpr Duration kLinger = seconds(5);
constexpr Duration kStuck = seconds(60);
// sh(1) ends with 126 or 127 at once where it cannot run the command.
constexpr Duration kFailsWithin = seconds(1);
constexpr int kNotExecutable = 126, kNotFound = 127;
constexpr size_t kDropATurn = 65536;
constexpr size_t kCommandPath = 200;

// What is known of a command before sh(1) sees it: the absolute path of a program that is not there. 0 or errno.
int missing_program(std::string_view command) {
  const std::string_view word = first(command, place_of(command, ' '));
  static constexpr std::string_view kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-";
  if (word.empty() || word[0] != '/' || word.find_first_not_of(kPlain) != kNowhere) return 0;
  const Text<kCommandPath> path(word);
  return !path.cut() && access(path.c_str(), X_OK) < 0 ? errno : 0;
}

}  // namespace

// ---- the table

bool Execs::init(uint32_t programs, Arena& arena) {
  programs_ = programs;
  count_ = channels(programs);
  if (!children_.init(programs, arena)) return false;
  execs_ = arena.raw<Exec>(count_);
  if (execs_ == nullptr && count_ > 0) return false;
  for (uint32_t i = count_; i > 0; --i) give(*new (&execs_[i - 1]) Exec(*this));
  return true;
}

void Execs::give(Exec& e) {
  e.next_free_ = free_;
  free_ = &e;
}

// When few places are left, one whose program has ended makes room, if its client has taken nothing of what it left for a minute of a link;
// when there are fewer still, and more of those that only wait for their client's end than there may be programs, the first one of these,
// whose output may be on its way.
Exec* Execs::make() {
  uint32_t left = 0, overs = 0;
  Exec *over = nullptr, *stuck = nullptr;
  const Time now = reactor_.now();
  for (uint32_t i = 0; i < count_; ++i) {
    Exec& e = execs_[i];
    left += e.state_ == Exec::State::free;
    if (e.state_ != Exec::State::open || e.child_ != nullptr) continue;
    const bool stays = now >= e.last_read_ + kStuck && now >= e.session_->end_of_limit(kStuck, now);
    if (stays && (stuck == nullptr || e.last_read_ < stuck->last_read_)) stuck = &e;
    overs += e.end_seen_;
    if (e.end_seen_ && (over == nullptr || e.last_read_ < over->last_read_)) over = &e;
  }
  if (left <= kSpare && stuck != nullptr) stuck->end_idle();
  else if (left <= kSpare / 2 && overs > programs_) over->end_idle();
  Exec* e = free_;
  if (e != nullptr) free_ = e->next_free_;
  return e;
}

bool Execs::too_many(const Session& session, const RelayTarget& target, const OpenInfo& info, TextBase& why) const {
  uint32_t of_server = 0, of_client = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    const Exec& e = execs_[i];
    if (e.state_ == Exec::State::free || e.child_ == nullptr || e.rule_ != target.rule) continue;
    ++of_server;
    if (same_ip(e.client_, info.client)) ++of_client;
  }
  if (children_.full() || of_server >= target.max_programs) why.add("MAXIMA=delegated reached: as many programs run as may");
  else if (target.max_per_client != 0 && of_client >= target.max_per_client) why.add("MAXIMA=conpch reached");
  else if (reactor_.fds_left() <= fds_to_leave(session) + 3) why.add("no descriptor left");
  return why.size() > 0;
}

void Execs::open(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  Text<300> why;
  CloseCode code = CloseCode::limit;
  const int missing = missing_program(target.command);
  Exec* e = nullptr;
  if (!router_->address_allowed(target.rule, info, session.mux().dialect(), session.peer_key(), kProgramAddress)) {
    why.add("forbidden by PERMIT, REJECT, RELIABLE or REACHABLE, or DEST= in the peers file");
    code = CloseCode::forbidden;
  } else if (missing != 0) {
    why.add(strerror(missing));
    code = CloseCode::local_error;
  } else if (!too_many(session, target, info, why) && (e = make()) == nullptr) {
    why.add("no room");
  } else if (e != nullptr) {
    const int error = e->start(session, id, target, info);
    if (error == 0) return;
    give(*e);
    why.add("cannot start: ").add(strerror(error));
    code = CloseCode::local_error;
  }
  LogLine(LogLevel::warning, "channel-refused")
      .kv("session", session.number())
      .kv("client", info.client)
      .kv("at", info.local)
      .kv("program", target.command)
      .kv("reason", why.text());
  session.refuse(id, code);
}

bool open_exec(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  if (streams.execs() == nullptr) return false;
  streams.execs()->open(session, id, target, info);
  return true;
}

// ---- one program

// Ours do not block, theirs do, as programs expect it.
int Exec::make_ends(bool pipes, ChildSetup* setup, Fd theirs[2]) {
  int a[2], b[2];
  int error = 0;
  if (pipes) {
    if (::pipe(a) < 0) return errno;
    theirs[0] = Fd(a[0]);
    out_ = Fd(a[1]);
    if (::pipe(b) < 0) return errno;
    in_ = Fd(b[0]);
    theirs[1] = Fd(b[1]);
    error = prepare_fd(out_.get());
    if (error == 0 && fcntl(theirs[1].get(), F_SETFD, FD_CLOEXEC) < 0) error = errno;
    setup->fd[1] = theirs[1].get();
  } else {
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, a) < 0) return errno;
    in_ = Fd(a[0]);
    theirs[0] = Fd(a[1]);
    setup->fd[1] = setup->fd[2] = theirs[0].get();
  }
  setup->fd[0] = theirs[0].get();
  if (error == 0) error = prepare_fd(in_.get());
  if (error == 0 && fcntl(theirs[0].get(), F_SETFD, FD_CLOEXEC) < 0) error = errno;
  if (error == 0) error = table_.reactor_.watch(in_.get(), *this);
  if (error == 0 && pipes) {
    error = table_.reactor_.watch(out_.get(), *this);
    if (error != 0) table_.reactor_.unwatch(in_.get());
  }
  return error;
}

int Exec::start(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  SMX_CHECK(state_ == State::free);
  Fd theirs[2];
  ChildSetup setup;
  ClientValues values;
  describe_client(values, session, info);
  name_.clear();
  name_.add_printable(target.command);
  setup.command = target.command.data();
  setup.label = name_.text();
  setup.client = info.client;
  setup.values = values.list();
  pipes_ = target.pipes;
  int error = make_ends(pipes_, &setup, theirs);
  const bool watched = error == 0;
  if (error == 0) child_ = table_.children_.start(setup, *this, &error);
  if (error != 0) {
    if (watched) {
      close_in();
      close_out();
    }
    in_.reset();
    out_.reset();
    return error;
  }
  state_ = State::open;
  session_ = &session;
  id_ = id;
  rule_ = target.rule;
  client_ = info.client;
  local_ = info.local;
  started_ = last_read_ = table_.reactor_.now();
  end_seen_ = abandoned_ = write_broken_ = false;
  LogLine(LogLevel::debug, "program-started").kv("session", session.number()).kv("client", client_).kv("program", name_.text());
  session.bind(id, *this);
  session.accept(id);
  // What has come already goes to the program now.
  (void)session.writable(id);
  update();
  return 0;
}

void Exec::close_in() {
  if (in_.valid()) table_.reactor_.unwatch(in_.get(), false);
  in_.reset();
}

void Exec::close_out() {
  if (out_.valid()) table_.reactor_.unwatch(out_.get(), false);
  out_.reset();
}

// What the descriptors wait for follows from the channel's state, here and nowhere else.
void Exec::update() {
  uint8_t events = 0;
  if (state_ == State::open) {
    if (session_->wants_read(id_) && !end_seen_) events |= kRead;
    if (session_->wants_write(id_)) events |= kWrite;
  } else if (state_ == State::ending) {
    events = kRead;
  }
  if (!pipes_) {
    if (in_.valid()) table_.reactor_.want(in_.get(), events);
    return;
  }
  if (in_.valid()) table_.reactor_.want(in_.get(), events & kRead);
  if (out_.valid()) table_.reactor_.want(out_.get(), events & kWrite);
}

void Exec::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd;
  (void)now;
  if (state_ == State::ending) return drain_and_drop();
  if (state_ != State::open) return;
  // Whoever ended the channel meanwhile has set the state.
  if ((ready & kWrite) != 0) (void)session_->writable(id_);
  if (state_ != State::open) return;
  if ((ready & kRead) != 0) session_->readable(id_);
  update();
}

// A program that has not read all that it was sent leaves ECONNRESET behind what it has written: that is its end, too.
Pulled Exec::pull(const MutBytes* piece, int pieces) {
  const size_t asked = total_size(piece, pieces);
  const IoResult r = readv_fd(in_.get(), piece, pieces);
  Pulled p;
  p.size = r.size;
  if (r.error != 0 || (!r.again && r.size == 0) || (r.again && abandoned_)) {
    end_seen_ = true;
    last_read_ = table_.reactor_.now();
    p.state = Pulled::State::end;
    table_.reactor_.timers().stop(timer_);
    if (write_broken_) table_.reactor_.timers().start(timer_, table_.reactor_.now() + kLinger);
  } else if (r.size > 0) {
    last_read_ = table_.reactor_.now();
    if (r.size == asked) p.state = Pulled::State::more;
  }
  return p;
}

// A program that reads nothing more may still write: what is for it is dropped from now on. When it writes nothing more
// either, the channel is reset kLinger later, if its client has not ended it.
Taken Exec::push(const Bytes* piece, int pieces) {
  Taken t;
  IoResult r;
  if (!write_broken_) r = writev_fd(out(), piece, pieces);
  t.size = r.size;
  if (r.error != 0) {
    write_broken_ = true;
    close_out();
    if (end_seen_) table_.reactor_.timers().start(timer_, table_.reactor_.now() + kLinger);
  }
  if (!write_broken_) return t;
  t.size = total_size(piece, pieces);
  return t;
}

void Exec::end() {
  if (pipes_) close_out();
  else shutdown_write(in_.get());
}

// Both ways are over, or (0.3 has no half-close) the client has gone: the program has seen its end of file, and gets some
// time to end.
void Exec::done() {
  LogLine(LogLevel::debug, "channel-done").kv("session", session_->number()).kv("program", name_.text());
  session_ = nullptr;
  if (child_ == nullptr) return die();
  state_ = State::ending;
  end();
  if (end_seen_) {
    close_in();
    close_out();
  }
  table_.reactor_.timers().start(timer_, table_.reactor_.now() + kLinger);
  update();
}

void Exec::drain_and_drop() {
  uint8_t waste[4096];
  for (size_t n = 0; n < kDropATurn && in_.valid(); n += sizeof waste) {
    const IoResult r = read_fd(in_.get(), waste, sizeof waste);
    if (r.again) return;
    if (r.error != 0 || r.size == 0) close_in();
  }
}

void Exec::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (state_ != State::open) return die();
  if (write_broken_ && end_seen_) {
    const Time until = session_->end_of_limit(kLinger, now);  // see Stream::lingered()
    if (now < until) return table_.reactor_.timers().start(timer_, until);
    session_->abort(id_, CloseCode::reset);
    return die();
  }
  if (child_ != nullptr || end_seen_) return;
  // It is not asked for more while its client takes nothing.
  const Time until = (session_->wants_read(id_) ? last_read_ : now) + kLinger;
  if (now < until) return table_.reactor_.timers().start(timer_, until);
  abandoned_ = true;
  session_->readable(id_);
  update();
}

void Exec::on_child_ended(int status, Time now) {
  child_ = nullptr;
  const int code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
  const bool failed = (code == kNotFound || code == kNotExecutable) && now - started_ < kFailsWithin;
  if (state_ == State::ending) return die();
  if (state_ != State::open) return;
  if (failed) {
    session_->abort(id_, CloseCode::local_error);
    return die();
  }
  // Processes that it has left behind may hold its output open: see on_timer().
  if (!end_seen_) table_.reactor_.timers().start(timer_, now + kLinger);
}

void Exec::abort(CloseCode code) {
  LogLine(LogLevel::debug, "channel-aborted").kv("session", session_->number()).kv("program", name_.text()).kv("reason", name(code));
  if (code == CloseCode::done) return done();  // its input is whole
  session_ = nullptr;
  die();
}

// A program has no address: it is here.
void Exec::describe(OpenInfo* info) {
  info->client = Address{4, {127, 0, 0, 1}, 0};
  info->local = info->client;
}

// The program is told to end, if it has not; the memory returns at the end of the turn.
void Exec::die() {
  if (state_ == State::dead) return;
  state_ = State::dead;
  table_.reactor_.timers().stop(timer_);
  if (child_ != nullptr) child_->stop(table_.reactor_.now());
  child_ = nullptr;
  close_in();
  close_out();
  session_ = nullptr;
  table_.reactor_.bury(*this);
}

void Exec::end_idle() {
  session_->abort(id_, CloseCode::idle);
  die();
}

void Exec::on_buried() {
  state_ = State::free;
  table_.give(*this);
}

}  // namespace smx
