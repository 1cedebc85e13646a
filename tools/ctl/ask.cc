// Read next: ask.h.
#include "tools/ctl/ask.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

#include <initializer_list>

#include "core/control/unix_socket.h"
#include "core/io/fd.h"
#include "core/io/process.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

constexpr size_t kMostAnswer = size_t{64} << 20;  // 60,000 channels each way of a hub take 16 MiB

bool take_end(std::string_view* text, std::string_view end) {
  if (text->size() < end.size() || text->substr(text->size() - end.size()) != end) return false;
  text->remove_suffix(end.size());
  return true;
}

}  // namespace

int Answer::fail(int code, std::initializer_list<std::string_view> why) {
  why_.clear();
  for (const std::string_view w : why) why_.add_printable(w);
  return code;
}

int Answer::cannot_reach(int error) {
  switch (error) {
    case ENOENT:
    case ECONNREFUSED: return fail(kUnavailable, {"no daemon answers here; SOXCONF=control:FILE says where one does, --socket FILE asks there"});
    case EACCES:
    case EPERM: return fail(kPermission, {strerror(error), "; root may ask, and who has started the daemon"});
    case EAGAIN: return fail(kTemporary, {"the daemon does not answer"});
    case ENAMETOOLONG: return fail(kUsage, {"the path is too long for a socket"});
    default: return fail(kUnavailable, {strerror(error)});
  }
}

bool Answer::grow() {
  if (room_ == kMostAnswer) return false;
  const size_t more = room_ == 0 ? 4096 : room_ * 2;
  char* p = static_cast<char*>(realloc(data_, more));
  if (p == nullptr) return false;
  data_ = p;
  room_ = more;
  return true;
}

int Answer::reach(const char* path, Fd* out) {
  int error = 0;
  *out = connect_unix(path, patience_s_, &error);
  if (!out->valid()) return cannot_reach(error);
  // Who may make files there could answer in the daemon's place. root asks everybody's daemons.
  uint32_t uid = 0;
  if (peer_uid(out->get(), &uid) && (uid == 0 || uid == own_user() || is_root())) return 0;
  return fail(kPermission, {"not permitted: uid ", Text<24>().add_u(uid).text(), " listens there, who is neither root nor you"});
}

// All that the daemon says, up to its end. 0 or the exit code.
int Answer::exchange(std::string_view command, const char* path) {
  size_ = 0;
  Fd fd;
  const int code = reach(path, &fd);
  if (code != 0) return code;
  Text<400> line("1 ");
  line.add(command).add('\n');
  int error = put(fd.get(), line.text());
  if (error == EPIPE || error == ECONNRESET) error = 0;  // it has said why
  while (error == 0) {
    if (size_ == room_ && !grow()) return fail(kProtocol, {"the answer is too long"});
    const IoResult r = read_fd(fd.get(), data_ + size_, room_ - size_);
    if (r.again) error = EAGAIN;
    else if (r.error != 0 && r.error != ECONNRESET) error = r.error;
    else if (r.size == 0) return 0;
    size_ += r.size;
  }
  return cannot_reach(error);
}

// 0 or the exit code. What is shown of it goes to a terminal, so it is made printable here, once for all.
int Answer::unwrap() {
  constexpr std::string_view kCut = "the answer was cut: the daemon has ended, or you have read too slowly";
  if (size_ == 0) return fail(kProtocol, {kCut});
  for (size_t i = 0; i < size_; ++i)
    if ((data_[i] < 0x20 && data_[i] != '\n' && data_[i] != '\t') || data_[i] > 0x7e) data_[i] = '?';
  std::string_view rest(data_, size_);
  const std::string_view first = next_part(&rest, '\n');
  constexpr std::string_view kError = "1 error ";
  if (first.substr(0, kError.size()) == kError) {
    const std::string_view why = first.substr(kError.size());
    return fail(why.substr(0, 13) == "not permitted" ? kPermission : kProtocol, {why});
  }
  if (first != "1 ok") return fail(kProtocol, {"this is no sockmuxd, or one of another version: it says '", first.substr(0, 60), "'"});
  lines_ = rest;
  if (lines_ == "end\n" || take_end(&lines_, "\nend\n")) {
    if (lines_ == "end\n") lines_ = {};
    return 0;
  }
  return fail(kProtocol, {kCut});
}

int Answer::try_ask(std::string_view command, const char* path) {
  if (path == nullptr) path = usual_control_path();
  // Who is refused hears why, though the daemon does not listen any more; but who reads us may go.
  const auto before = signal(SIGPIPE, SIG_IGN);
  why_.clear();
  const int code = exchange(command, path);
  (void)signal(SIGPIPE, before);
  return code != 0 ? code : unwrap();
}

void Answer::complain(const char* path) const { ctl::complain({path == nullptr ? usual_control_path() : path, ": ", why()}); }

int Answer::ask(std::string_view command, const char* path) {
  const int code = try_ask(command, path);
  if (code != 0) complain(path);
  return code;
}

}  // namespace smx::ctl
