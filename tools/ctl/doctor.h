// `sockmuxctl doctor`: finds out why a tunnel does not work. What its parts share.
//
//   words -> Config -> this machine -> the daemon that runs -> names, connections -> handshakes -> servers -> verdict
//
// Invariants: a check prints one line, and what is to be done below it; nothing is changed, no session is asked for, no link
// or channel that lives is touched. Read next: doctor.cc (the order), doctor_judge.h. Source: sockmuxctl(8), "doctor".
#ifndef SOCKMUX_TOOLS_CTL_DOCTOR_H
#define SOCKMUX_TOOLS_CTL_DOCTOR_H

#include "config/config.h"
#include "config/parse.h"
#include "core/base/arena.h"
#include "core/io/fd.h"
#include "core/io/reactor.h"
#include "core/io/resolver.h"
#include "tools/ctl/doctor_judge.h"
#include "tools/ctl/paint.h"

namespace smx::ctl {

// A number, or how many of something, for a '%'.
class Number {
 public:
  explicit Number(uint64_t n) { text_.add_u(n); }
  Number(uint64_t n, const char* one, const char* many) { text_.add_u(n).add(' ').add(n == 1 ? one : many); }
  operator std::string_view() const { return text_.text(); }

 private:
  Text<60> text_;
};

// What is said to the user; each '%' of `words` is one of the views. At a terminal within its width, and with colours; elsewhere a
// line for each thing said, for grep(1).
class Findings {
 public:
  Findings();
  void ok(const char* words, Views views = {}) { say(Grade::ok, Place::here, words, views, "", {}); }
  void warn(const char* words, Views views, const char* advice, Views more = {}) {
    say(Grade::warn, Place::here, words, views, advice, more);
  }
  // `words` begins with the name of the cause, as in the table of sockmuxctl(8): "port taken: ...".
  void fail(Place place, const char* words, Views views, const char* advice, Views more = {}) {
    say(Grade::fail, place, words, views, advice, more);
  }
  const Verdict& verdict() const { return verdict_; }
  // The last line. 0, or the exit code of what could not be written.
  [[nodiscard]] int conclude(std::string_view words) const;
  // Standard output takes nothing any more.
  bool broken() const { return broken_; }

 private:
  void say(Grade grade, Place place, const char* words, Views views, const char* advice, Views more);
  Verdict verdict_;
  Paint paint_{STDOUT_FILENO};
  size_t width_ = 0;  // of the terminal; 0: it is none
  bool broken_ = false;
};

// Names to addresses, as the daemon does it: HOSTS= first, each name within TIMEOUT=dns.
class Finder final : private ResolveQuery {
 public:
  explicit Finder(const Config& config) : config_(config) {}
  ~Finder() { resolver_.own_helper().stop(); }
  [[nodiscard]] bool init(Arena& arena);
  Resolved find(const HostPort& at, uint64_t* ms);

 private:
  void on_resolved(const Resolved& answer, Time now) override;
  static int known(void* context, std::string_view name, Address out[Resolved::kMost]);

  const Config& config_;
  Reactor reactor_;
  Resolver resolver_{reactor_};
  Resolved answer_;
  bool done_ = false;
};

// What a running daemon says of itself (its control command `probe`).
struct Running {
  bool asked = false;
  bool answers = false;
  bool trusted = false;    // it is of root, or our own user: what it names may be looked into
  std::string_view lines;  // kind, at, peer, result, time_us, dialect, reason; tabs in between
};
struct RunningRow {
  std::string_view kind, at, peer, result, dialect, reason;
  uint64_t seconds = 0;
};
// The next row of `*rest`; false: that was the last.
bool next_row(std::string_view* rest, RunningRow* out);

// The keys of secure links; doctor_clear.cc where there are none.
class Keys {
 public:
  // Reads them, if there are secure links. False: no secure handshake can be tried.
  virtual bool load(Findings& f, const Config& config) = 0;
  // Shakes hands over `fd`, up to the moment at which both keys are proven, and no further. `again`: connects once more, to
  // find out who is there.
  virtual void shake(Findings& f, const LinkSpec& link, Fd fd, const Address& to) = 0;
  // The files that the daemon reads again on HUP, as who it has become.
  virtual std::string_view peers_file() const = 0;
  // The `i`th name in it; empty: there are no more.
  virtual std::string_view peer_name(size_t i) const = 0;

 protected:
  ~Keys() = default;
};
Keys* make_keys(Arena& arena);

struct Patient {
  const Config& config;
  Findings& findings;
  Arena& arena;
  Finder& finder;
  Keys* keys;
  Running running;
  const char* socket;  // --socket; nullptr: as the options say
};

// SOXCONF=control:no: a daemon that runs cannot be asked, and what it has may be taken for another program's.
inline bool is_mute(const Patient& p) { return p.socket == nullptr && !p.config.control; }
constexpr const char* kMaybeOurs =
    "All is well if that is the daemon of this configuration, which SOXCONF=control:no lets nobody ask.";

// doctor_daemon.cc
// Asks the daemon at this socket; `arena` gets what it says.
void ask_daemon(Findings& f, Arena& arena, const char* path, Running* out);
// The same at the socket that the options name, unless it was asked already.
void ask_daemon(Patient& p);
// The words with which it was started, in `*words`; 0: this system does not tell. Goes into the folder in which that was.
size_t words_of(const Running& running, Arena& arena, const char* const** words);
void check_far_servers(Patient& p);
// A link of ours is up; how long, and to whom, is said.
bool check_live_links(Patient& p);
// The daemon has no link, and nothing was found that would explain it.
void tell_unexplained(Patient& p);

// doctor_host.cc; `files`: those that were read for +=
void check_host(Patient& p, View<std::string_view> files);

// doctor_ports.cc
void check_ports(Patient& p);

// doctor_link.cc
void check_links(Patient& p);
void check_own_servers(Patient& p);
// At `fd` a HELLO is said, and what comes back is told apart; at most `memory` of it is kept in `*got`.
Greeting greet(Fd& fd, MutBytes memory, Bytes* got, bool* ended);
// In words, where no SockMux, or none for this link, has answered.
void tell_stranger(Findings& f, Greeting g, Bytes got, bool ended, std::string_view at);

// doctor_net.cc
struct Reached {
  Fd fd;
  Address to;
};
// Resolves and connects, and says how that went. `what`: "SERVER=sockmux://hub:9000", of which `at` is. `far`: way for a
// link, server for a server.
bool reach(Patient& p, const HostPort& at, std::string_view what, Place far, Reached* out);
// Of silence, before it is said what is waited for.
constexpr Duration kUntold = seconds(2);
// 0 or errno; ETIMEDOUT after `limit`.
int connect_within(const Address& to, const Address& source, Duration limit, Fd* out);
// Waits for `events` of poll(2). False: `limit` is over.
bool wait_for_fd(int fd, short events, Duration limit);
Address source_of(const Config& config);

}  // namespace smx::ctl

#endif
