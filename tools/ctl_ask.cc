// Asks a running daemon by its control socket, and makes tables of what it says for people to read.
//
// Invariant: an answer is shown only if it is whole. Read next: core/control/control.h (what is said), daemon_control.cc.
// Source: sockmuxctl(8), "The socket".
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <initializer_list>

#include "core/base/text.h"
#include "core/control/unix_socket.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "tools/ctl.h"

namespace smx::ctl {

namespace {

constexpr int kPatienceSeconds = 15;             // others may be asking: control.h
constexpr size_t kMostAnswer = size_t{16} << 20;  // no daemon has so much to say
constexpr int kColumns = 16;
constexpr size_t kCell = 512;

// Memory that grows.
struct Answer {
  Answer() = default;
  Answer(const Answer&) = delete;
  Answer& operator=(const Answer&) = delete;
  ~Answer() { free(data); }
  char* data = nullptr;
  size_t size = 0, room = 0;
  bool grow() {
    if (room == kMostAnswer) return false;
    const size_t more = room == 0 ? 4096 : room * 2;
    char* p = static_cast<char*>(realloc(data, more));
    if (p == nullptr) return false;
    data = p;
    room = more;
    return true;
  }
  std::string_view text() const { return {data, size}; }
};

int cannot_reach(const char* path, int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED:
      complain({path, ": no daemon answers here; SOXCONF=control:FILE says where one does, --socket FILE asks there"});
      return kUnavailable;
    case EACCES:
    case EPERM: complain({path, ": ", strerror(error), "; root may ask, and who has started the daemon"}); return kPermission;
    case EAGAIN: complain({path, ": the daemon does not answer"}); return kTemporary;
    case ENAMETOOLONG: complain({path, ": the path is too long for a socket"}); return kUsage;
    default: complain({path, ": ", strerror(error)}); return kUnavailable;
  }
}

// All that the daemon says, up to its end. 0 or the exit code.
int exchange(std::string_view command, const char* path, Answer* out) {
  int error = 0;
  const Fd fd = connect_unix(path, kPatienceSeconds, &error);
  if (!fd.valid()) return cannot_reach(path, error);
  // Who may make files there could answer in the daemon's place. root asks everybody's daemons.
  uint32_t uid = 0;
  if (!peer_uid(fd.get(), &uid) || (uid != 0 && uid != own_user() && !is_root())) {
    complain({path, ": not permitted: ", Text<40>("uid ").add_u(uid).text(), " listens there, who is neither root nor you"});
    return kPermission;
  }
  Text<200> line("1 ");
  line.add(command).add('\n');
  error = put(fd.get(), line.text());
  if (error == EPIPE || error == ECONNRESET) error = 0;  // it has said why
  while (error == 0) {
    if (out->size == out->room && !out->grow()) {
      complain({path, ": the answer is too long"});
      return kProtocol;
    }
    const IoResult r = read_fd(fd.get(), out->data + out->size, out->room - out->size);
    if (r.again) error = EAGAIN;
    else if (r.error != 0 && r.error != ECONNRESET) error = r.error;
    else if (r.size == 0) return 0;
    out->size += r.size;
  }
  return cannot_reach(path, error);
}

std::string_view next_part(std::string_view* rest, char end) {
  const size_t at = rest->find(end);
  const std::string_view part = rest->substr(0, at);
  *rest = at == std::string_view::npos ? std::string_view() : rest->substr(at + 1);
  return part;
}

bool take_end(std::string_view* text, std::string_view end) {
  if (text->size() < end.size() || text->substr(text->size() - end.size()) != end) return false;
  text->remove_suffix(end.size());
  return true;
}

// The lines between "1 ok" and "end". 0 or the exit code.
int unwrap(const char* path, std::string_view answer, std::string_view* lines) {
  std::string_view rest = answer;
  const std::string_view first = next_part(&rest, '\n');
  constexpr std::string_view kError = "1 error ";
  if (first.substr(0, kError.size()) == kError) {
    const std::string_view why = first.substr(kError.size());
    complain({path, ": ", why});
    return why.substr(0, 13) == "not permitted" ? kPermission : kProtocol;
  }
  if (first != "1 ok") {
    complain({path, ": this is no sockmuxd, or one of another version: it says '", first.substr(0, 60), "'"});
    return kProtocol;
  }
  *lines = rest;
  if (*lines == "end\n" || take_end(lines, "\nend\n")) {
    if (*lines == "end\n") *lines = {};
    return 0;
  }
  complain({path, ": the answer was cut: the daemon has ended, or you have read too slowly"});
  return kProtocol;
}

// ---- tables

bool number_of(std::string_view text, uint64_t* out) {
  uint64_t n = 0;
  if (text.empty() || text.size() > 19) return false;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    n = n * 10 + static_cast<uint64_t>(c - '0');
  }
  *out = n;
  return true;
}

// "12s", "5m12s", "3h20m", "4d3h"
void add_seconds(TextBase& to, uint64_t s) {
  if (s < 60) to.add_u(s).add('s');
  else if (s < 3600) to.add_u(s / 60).add('m').add_u(s % 60).add('s');
  else if (s < 86400) to.add_u(s / 3600).add('h').add_u(s % 3600 / 60).add('m');
  else to.add_u(s / 86400).add('d').add_u(s % 86400 / 3600).add('h');
}

// "512", "1.2K", "34K", "5.6M"
void add_bytes(TextBase& to, uint64_t n) {
  if (n < 1024) {
    to.add_u(n);
    return;
  }
  const char* unit = "KMGTPE";
  while (n >= 1024 * 1024) {
    n /= 1024;
    ++unit;
  }
  to.add_u(n / 1024);
  if (n < 10 * 1024) to.add('.').add_u(n % 1024 * 10 / 1024);
  to.add(*unit);
}

// "0.42ms", "12.3ms", "340ms"
void add_micros(TextBase& to, uint64_t us) {
  to.add_u(us / 1000);
  if (us < 10000) to.add('.').add_padded(us % 1000 / 10, 2);
  else if (us < 100000) to.add('.').add_u(us % 1000 / 100);
  to.add("ms");
}

// A column's name ends with the unit of its numbers: since_s, rx_bytes, rtt_us.
void add_cell(TextBase& to, std::string_view column, std::string_view field) {
  uint64_t n = 0;
  if (!number_of(field, &n)) to.add_printable(field);
  else if (take_end(&column, "_s")) add_seconds(to, n);
  else if (take_end(&column, "_bytes")) add_bytes(to, n);
  else if (take_end(&column, "_us")) add_micros(to, n);
  else to.add_printable(field);
}

void add_title(TextBase& to, std::string_view column) {
  for (const std::string_view unit : {"_s", "_bytes", "_us"})
    if (take_end(&column, unit)) break;
  for (const char c : column) to.add(c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c == '_' ? ' ' : c);
}

class Table {
 public:
  explicit Table(std::string_view lines) : lines_(lines) {
    std::string_view rest = lines;
    std::string_view title = next_part(&rest, '\n');
    while (!title.empty() && columns_ < kColumns) column_[columns_++] = next_part(&title, '\t');
    measure();
  }

  int print() const {
    std::string_view rest = lines_;
    for (bool title = true; !rest.empty(); title = false) {
      std::string_view row = next_part(&rest, '\n');
      Text<kColumns * (kCell + 2)> line;
      for (int i = 0; i < columns_; ++i) {
        const size_t end = line.size() + width_[i] + 2;
        add(line, i, next_part(&row, '\t'), title);
        while (i + 1 < columns_ && line.size() < end) line.add(' ');
      }
      const int code = ctl::print(line.add('\n').text());
      if (code != 0) return code;
    }
    return 0;
  }

 private:
  void add(TextBase& to, int column, std::string_view field, bool title) const {
    if (title) add_title(to, column_[column]);
    else add_cell(to, column_[column], field);
  }

  void measure() {
    std::string_view rest = lines_;
    for (bool title = true; !rest.empty(); title = false) {
      std::string_view row = next_part(&rest, '\n');
      for (int i = 0; i < columns_; ++i) {
        Text<kCell> cell;
        add(cell, i, next_part(&row, '\t'), title);
        if (cell.size() > width_[i]) width_[i] = cell.size();
      }
    }
  }

  std::string_view lines_;
  std::string_view column_[kColumns];
  int columns_ = 0;
  size_t width_[kColumns] = {};
};

}  // namespace

int ask(std::string_view command, const char* path, bool table) {
  if (path == nullptr) path = usual_control_path();
  // Who is refused hears why, though the daemon does not listen any more; but who reads us may go.
  signal(SIGPIPE, SIG_IGN);
  Answer answer;
  int code = exchange(command, path, &answer);
  signal(SIGPIPE, SIG_DFL);
  std::string_view lines;
  if (code == 0) code = unwrap(path, answer.text(), &lines);
  if (code != 0) return code;
  if (table) return Table(lines).print();
  code = print(lines);
  return code != 0 || lines.empty() ? code : print("\n");
}

}  // namespace smx::ctl
