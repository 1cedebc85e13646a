// upgrade: starts a new sockmuxd, which takes the place of the one that runs.
//
//   a daemon in the background: started again by us, as it was started; it asks the old one for its ports (daemon_upgrade.cc)
//   under systemd:              the configuration is checked, and systemd starts it again, and keeps the ports meanwhile
//
// Invariants: whatever the new one does not like is found before the old one hears of it; words are run of a daemon of root or of our own
// user alone. Read next: daemon_upgrade.cc.
// Source: sockmuxd(8), "Upgrade".
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>

#include "core/base/letters.h"
#include "core/base/text.h"
#include "core/control/unix_socket.h"
#include "core/io/clock.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "tools/ctl/ctl.h"

namespace smx::ctl {

namespace {

constexpr int kPatienceSeconds = 15;
constexpr size_t kMostAnswer = size_t{4} << 20;
constexpr uint64_t kLongestDrain = 86400;

struct Options {
  const char* socket = nullptr;
  const char* program = nullptr;
  const char* drain = nullptr;
};

// A daemon as its command "process" tells of it. The texts are in `memory`.
struct Running {
  Running() = default;
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;
  ~Running() {
    free(memory);
    free(word);
  }
  char* memory = nullptr;
  const char* pid = "";
  bool background = false, manager = false, stores = false;
  const char* folder = nullptr;
  char** word = nullptr;  // ends with nullptr
  size_t words = 0;
};

// ---- asking

// All that the daemon at `path` says to "process", with a NUL behind it. 0 or errno; EXDEV: it is of `*stranger`, whose words are not
// to be run.
int fetch(const char* path, char** out, size_t* size, uint32_t* stranger) {
  int error = 0;
  const Fd fd = connect_unix(path, kPatienceSeconds, &error);
  if (!fd.valid()) return error;
  if (!is_listener_trusted(fd.get(), stranger)) return EXDEV;
  error = put(fd.get(), "1 process\n");
  size_t room = 0;
  while (error == 0) {
    if (*size + 1 >= room) {
      room = room == 0 ? 4096 : room * 2;
      char* more = room > kMostAnswer ? nullptr : static_cast<char*>(realloc(*out, room));
      if (more == nullptr) return EMSGSIZE;
      *out = more;
    }
    const IoResult r = read_fd(fd.get(), *out + *size, room - 1 - *size);
    if (r.again) return EAGAIN;
    if (r.error != 0) return r.error;
    if (r.size == 0) break;
    *size += r.size;
  }
  if (*out != nullptr) (*out)[*size] = 0;
  return error;
}

int hex(char c) { return is_digit(c) ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; }

// "\x0a" and the like, in place.
void unescape(char* text) {
  char* to = text;
  for (const char* from = text; *from != 0; ++from) {
    if (from[0] == '\\' && from[1] == 'x' && hex(from[2]) >= 0 && hex(from[3]) >= 0) {
      *to++ = static_cast<char>(hex(from[2]) * 16 + hex(from[3]));
      from += 3;
    } else {
      *to++ = *from;
    }
  }
  *to = 0;
}

// Lines "name\tvalue" in place; "more" goes on with the value before. False: that is no such answer.
bool understand(char* text, Running* out) {
  constexpr std::string_view kOk = "1 ok\n";
  if (first(text, kOk.size()) != kOk) return false;
  char* end_of_value = nullptr;
  size_t lines = 0;
  for (const char* p = text; *p != 0; ++p) lines += *p == '\n';
  out->word = static_cast<char**>(calloc(lines + 1, sizeof(char*)));
  if (out->word == nullptr) return false;
  char* at = text + kOk.size();
  // Pieces first: what follows moves to the end of what it belongs to.
  char* line = at;
  char* to = at;
  while (char* newline = strchr(line, '\n')) {
    *newline = 0;
    constexpr std::string_view kMore = "more\t";
    char* from = line;
    if (end_of_value != nullptr && first(line, kMore.size()) == kMore) {
      from += kMore.size();
      to = end_of_value;
    }
    const size_t n = strlen(from);
    memmove(to, from, n + 1);
    end_of_value = to + n;
    to = end_of_value + 1;
    line = newline + 1;
  }
  for (char* l = at; l < to; l += strlen(l) + 1) {
    if (std::string_view(l) == "end") return *out->pid != 0 && out->folder != nullptr && out->words > 0;
    char* value = strchr(l, '\t');
    if (value == nullptr) return false;
    const std::string_view name(l, static_cast<size_t>(value - l));
    ++value;
    if (name == "pid") out->pid = value;
    if (name == "background") out->background = std::string_view(value) == "yes";
    if (name == "manager") out->manager = std::string_view(value) == "yes";
    if (name == "stores") out->stores = std::string_view(value) == "yes";
    if (name == "folder") out->folder = value;
    if (name == "word") out->word[out->words++] = value;
  }
  return false;
}

// 0 or the exit code, and the user was told.
int ask_process(const char* path, Running* out) {
  size_t size = 0;
  uint32_t stranger = 0;
  const int error = fetch(path, &out->memory, &size, &stranger);
  if (error == EXDEV) {
    Text<20> uid;
    complain({path, ": uid ", uid.add_u(stranger).text(), " listens here, who is neither root nor you: run this as that user"});
    return kPermission;
  }
  if (error == ENOENT || error == ECONNREFUSED) {
    complain({path, ": no daemon answers here; --socket FILE asks elsewhere"});
    return kUnavailable;
  }
  if (error != 0) {
    complain({path, ": ", strerror(error)});
    return error == EACCES || error == EPERM ? kPermission : kUnavailable;
  }
  constexpr std::string_view kError = "1 error ";
  const std::string_view answer(out->memory == nullptr ? "" : out->memory, size);
  if (first(answer, kError.size()) == kError) {
    const std::string_view why = skip(answer, kError.size());
    complain({path, ": ", first(why, place_of(why, '\n'))});
    return place_of(why, "not permitted") == 0 ? kPermission : kProtocol;
  }
  if (answer.empty() || !understand(out->memory, out)) {
    complain({path, ": this is no sockmuxd, or one that cannot be upgraded so"});
    return kProtocol;
  }
  unescape(const_cast<char*>(out->folder));
  for (size_t i = 0; i < out->words; ++i) unescape(out->word[i]);
  return 0;
}

// ---- running

void into(int fd, const char* path, int flags) {
  const int other = ::open(path, flags);
  if (other >= 0) (void)dup2(other, fd);
  if (other > fd) ::close(other);
}

// Runs `words` in `folder` to its end. Its standard output is not shown; what it says of errors is. The exit code, as a shell has it.
int run(const char* folder, char* const* words) {
  const pid_t pid = fork();
  if (pid < 0) {
    complain({"fork: ", strerror(errno)});
    return kSystem;
  }
  if (pid == 0) {
    into(STDIN_FILENO, "/dev/null", O_RDONLY);
    into(STDOUT_FILENO, "/dev/null", O_WRONLY);
    if (chdir(folder) == 0) execvp(words[0], words);
    complain({words[0], ": ", strerror(errno)});
    _exit(127);
  }
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

// Until another daemon than `old` answers. 0 or the exit code.
int await_follower(const char* path, const char* old) {
  const Time end = read_clock() + seconds(kPatienceSeconds);  // one that hangs takes as long to be asked once
  while (read_clock() < end) {
    char* text = nullptr;
    size_t size = 0;
    uint32_t stranger = 0;
    const int error = fetch(path, &text, &size, &stranger);
    Running now;
    now.memory = text;
    if (error == 0 && text != nullptr && understand(text, &now) && strcmp(now.pid, old) != 0) {
      Text<100> line("process ");
      return print(line.add(now.pid).add(" has taken the place of ").add(old).add('\n').text());
    }
    const timespec pause{0, 50000000};
    nanosleep(&pause, nullptr);
  }
  complain({path, ": the new daemon did not take over; its log says why, and process ", old, " goes on if it could"});
  return kTemporary;
}

int failed(const char* what, int status, const char* pid) {
  Text<40> code("status ");
  complain({what, " (", code.add_u(static_cast<uint64_t>(status)).text(), "); process ", pid, " goes on as before"});
  return status > 125 ? kUnavailable : status;
}

// ---- under systemd

// "0::/system.slice/sockmux.service\n": the last folder that is a unit's. Source: cgroups(7), "/proc files".
bool find_unit(const char* pid, TextBase& unit) {
  Text<40> path("/proc/");
  const Fd fd(::open(path.add(pid).add("/cgroup").c_str(), O_RDONLY | O_CLOEXEC));
  char text[4096];
  const IoResult r = fd.valid() ? read_fd(fd.get(), text, sizeof text) : IoResult{};
  for (std::string_view rest(text, r.size); !rest.empty();) {
    const size_t end = place_of_any(rest, "/\n");
    const std::string_view part = first(rest, end);
    rest = end == kNowhere ? std::string_view() : skip(rest, end + 1);
    constexpr std::string_view kService = ".service";
    if (part.size() > kService.size() && skip(part, part.size() - kService.size()) == kService) {
      unit.clear();
      unit.add(part);
    }
  }
  return unit.size() > 0 && !unit.cut();
}

int restart_unit(const Options& o, const char* path, Running& old) {
  Text<260> unit;
  if (!find_unit(old.pid, unit)) {
    complain({"process ", old.pid, " belongs to a service manager that is not systemd: have it started anew by that"});
    return kUnavailable;
  }
  if (o.drain != nullptr || o.program != nullptr) {
    complain({o.drain != nullptr ? "--drain" : o.program, ": has no meaning under systemd, whose unit ", unit.text(), " says it (TimeoutStopSec=, ExecStart=)"});
    return kUsage;
  }
  char check[] = "-t";
  memmove(old.word + 2, old.word + 1, (old.words - 1) * sizeof(char*));  // there is room: other lines were lines, too
  old.word[1] = check;
  const int code = run(old.folder, old.word);
  if (code != 0) return failed("the new daemon would not start", code, old.pid);
  if (!old.stores) complain({"warning: ", unit.text(), " has no FileDescriptorStoreMax= and Environment=FDSTORE=: clients are refused until the new daemon listens"});
  char program[] = "systemctl", verb[] = "restart";
  char* words[] = {program, verb, const_cast<char*>(unit.c_str()), nullptr};
  const int status = run("/", words);
  if (status != 0) {
    complain({"systemctl restart ", unit.text(), " has failed"});
    return kUnavailable;
  }
  return await_follower(path, old.pid);
}

// ---- by ourselves

int start_anew(const Options& o, const char* path, Running& old) {
  Text<200> whole;
  if (!absolute_path(path, &whole) || setenv("SOCKMUX_TAKE", whole.c_str(), 1) < 0 ||
      (o.drain != nullptr ? setenv("SOCKMUX_DRAIN", o.drain, 1) : unsetenv("SOCKMUX_DRAIN")) < 0) {
    complain({path, ": ", strerror(ENOMEM)});
    return kSystem;
  }
  Text<1200> program;
  if (o.program != nullptr) {
    if (strchr(o.program, '/') == nullptr || !absolute_path(o.program, &program)) program.add(o.program);
    old.word[0] = const_cast<char*>(program.c_str());
  }
  const int code = run(old.folder, old.word);
  return code == 0 ? await_follower(path, old.pid) : failed("the new daemon did not start", code, old.pid);
}

int misused(std::initializer_list<std::string_view> pieces) {
  complain(pieces);
  complain({"'sockmuxctl -h' shows the commands"});
  return kUsage;
}

// 0, or an exit code, and the user was told; -1: it is another command.
int read_options(int argc, char** argv, Options* o) {
  bool found = false;
  for (int i = 1; i < argc; ++i) {
    const std::string_view w = argv[i];
    const bool socket = w == "-s" || w == "--socket";
    constexpr std::string_view kSocket = "--socket=", kDrain = "--drain=";
    if (!found && w == "upgrade") found = true;
    else if (socket && i + 1 < argc) o->socket = argv[++i];
    else if (first(w, kSocket.size()) == kSocket) o->socket = argv[i] + kSocket.size();
    else if (!found) return -1;  // NOLINT(bugprone-branch-clone): in the order of what is looked for
    else if (w == "-h" || w == "--help" || w == "-V" || w == "--version") return -1;
    else if (socket) return misused({w, ": a file is missing"});
    else if (w == "--drain" && i + 1 < argc) o->drain = argv[++i];
    else if (first(w, kDrain.size()) == kDrain) o->drain = argv[i] + kDrain.size();
    else if (first(w, 1) == "-") return misused({w == "--drain" ? "" : "unknown option '", w, w == "--drain" ? ": a number of seconds is missing" : "'"});
    else if (o->program != nullptr || w.empty()) return misused({"upgrade: '", w, "': expected one program at most"});
    else o->program = argv[i];
  }
  if (!found) return -1;
  uint64_t n = 0;
  if (o->drain != nullptr && (!is_digit(*o->drain) || *read_digits(o->drain, 10, &n) != 0 || n < 1 || n > kLongestDrain))
    return misused({"--drain: '", o->drain, "': expected seconds, 1 to 86400"});
  if (o->socket != nullptr && *o->socket == 0) return misused({"--socket: a file is missing"});
  return 0;
}

}  // namespace

int upgrade(int argc, char** argv) {
  Options o;
  int code = read_options(argc, argv, &o);
  if (code != 0) return code;
  (void)signal(SIGPIPE, SIG_IGN);
  const char* path = o.socket != nullptr ? o.socket : usual_control_path();
  Running old;
  code = ask_process(path, &old);
  if (code != 0) return code;
  if (old.background) return start_anew(o, path, old);
  if (old.manager) return restart_unit(o, path, old);
  complain({"process ", old.pid, " runs in the foreground (-f): who watches over it has to start it anew"});
  return kUnavailable;
}

}  // namespace smx::ctl
