// Read next: handed.h.
#include "core/io/handed.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <new>

#include "core/base/letters.h"
#include "core/io/resident.h"
#include "core/io/socket.h"
#include "core/io/udp.h"

namespace smx {

namespace {

constexpr int kFirst = 3;  // SD_LISTEN_FDS_START
constexpr std::string_view kStored = "sockmux-";

int int_option(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return ::getsockopt(fd, level, option, &value, &size) < 0 ? -1 : value;
}

}  // namespace

const char* take_variable(const char* name) {
  const char* value = getenv(name);
  if (value != nullptr) (void)unsetenv(name);  // the text stays where it is
  return value;
}

bool number_in(const char* text, uint64_t* out) {
  if (text == nullptr || !is_digit(*text)) return false;
  return *read_digits(text, 10, out) == 0;
}

int HandedSockets::read_environment() {
  const char* pid = take_variable("LISTEN_PID");
  const char* fds = take_variable("LISTEN_FDS");
  const char* names = take_variable("LISTEN_FDNAMES");
  uint64_t whose = 0, count = 0;
  if (fds == nullptr || pid == nullptr) return 0;
  if (!number_in(pid, &whose)) return EINVAL;
  if (whose != static_cast<uint64_t>(getpid())) return 0;
  if (!number_in(fds, &count) || count > kMost) return EINVAL;
  std::string_view rest = names == nullptr ? "" : names;
  for (uint64_t i = 0; i < count; ++i) {
    const size_t end = place_of(rest, ':');
    const std::string_view name = first(rest, end);
    rest = end == kNowhere ? std::string_view() : skip(rest, end + 1);
    const int error = add(Fd(kFirst + static_cast<int>(i)), name);
    if (error != 0) return error;
  }
  return 0;
}

int HandedSockets::add(Fd fd, std::string_view name) {
  if (list_ == nullptr) list_ = static_cast<Handed*>(reserve_memory(kMost * sizeof(Handed)));
  if (list_ == nullptr || count_ == kMost) return ENOMEM;
  const int error = prepare_fd(fd.get());
  if (error != 0) {
    if (error == EBADF) (void)fd.release();
    return error;
  }
  Handed& h = *new (&list_[count_++]) Handed();
  h.name = name;
  const int type = int_option(fd.get(), SOL_SOCKET, SO_TYPE);
  h.udp = type == SOCK_DGRAM;
  const bool connected = !peer_address(fd.get()).is_none();
  if (!connected && (type == SOCK_DGRAM || type == SOCK_STREAM)) h.at = local_address(fd.get());
  h.both = h.at.family == 6 && int_option(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY) == 0;
  h.fd = static_cast<Fd&&>(fd);
  return 0;
}

Fd HandedSockets::take(const Address& at, bool udp, int backlog) {
  for (size_t i = 0; i < count_; ++i) {
    Handed& h = list_[i];
    if (h.taken || h.udp != udp || h.both || h.at.is_none() || !(h.at == at)) continue;
    if (udp ? !prepare_udp(h.fd.get(), at.family) : ::listen(h.fd.get(), backlog) < 0) continue;
    h.taken = true;
    return static_cast<Fd&&>(h.fd);
  }
  return Fd();
}

bool HandedSockets::next_left(size_t* at, std::string_view* name, TextBase& what) const {
  for (; *at < count_; ++*at) {
    const Handed& h = list_[*at];
    bool same = h.taken;
    for (size_t i = 0; i < count_ && !same; ++i) same = list_[i].taken && !h.at.is_none() && list_[i].udp == h.udp && list_[i].at == h.at;
    if (same) continue;
    ++*at;
    *name = h.name;
    what.clear();
    if (h.at.is_none()) {
      what.add("neither TCP that listens nor UDP");
    } else {
      append_address(what.add(h.udp ? "udp " : "tcp "), h.at);
      if (h.both) what.add(" for IPv4, too");
    }
    return true;
  }
  return false;
}

void HandedSockets::close_rest() {
  for (size_t i = 0; i < count_; ++i) list_[i].fd.reset();
}

void HandedSockets::append_stored_name(TextBase& to, int fd) {
  Text<kAddressText> address;
  append_address(address, local_address(fd));
  to.add(kStored).add(int_option(fd, SOL_SOCKET, SO_TYPE) == SOCK_DGRAM ? "udp-" : "tcp-");
  for (const char c : address.text()) to.add(is_alnum(c) || c == '.' ? c : '-');
}

bool HandedSockets::is_stored_name(std::string_view name) { return first(name, kStored.size()) == kStored; }

bool HandedSockets::was_stored(const Address& at, bool udp) const {
  for (size_t i = 0; i < count_; ++i)
    if (list_[i].udp == udp && list_[i].at == at && is_stored_name(list_[i].name)) return true;
  return false;
}

void HandedSockets::was_forgotten(const Address& at, bool udp) {
  for (size_t i = 0; i < count_; ++i)
    if (list_[i].udp == udp && list_[i].at == at) list_[i].name = {};
}

}  // namespace smx
