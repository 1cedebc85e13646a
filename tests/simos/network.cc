// Sockets and who listens. Read next: network.h, stream.cc.
#include "tests/simos/network.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#include <algorithm>

#include "tests/simos/process.h"
#include "tests/simos/udp.h"

namespace simos {

Network* network = nullptr;

namespace {
enum Event { kSyn, kSynAck, kRefused, kTimedOut };
}  // namespace

// ---- the network

std::string text_of(uint32_t ip, bool six) {
  char text[40];
  if (six) snprintf(text, sizeof text, "[fd00::%x:%x]", ip >> 16, ip & 0xffff);
  else snprintf(text, sizeof text, "%u.%u.%u.%u", ip >> 24, ip >> 16 & 255, ip >> 8 & 255, ip & 255);
  return text;
}

in6_addr six_of(uint32_t ip) {
  in6_addr a{};
  a.s6_addr[0] = 0xfd;
  const uint32_t low = htonl(ip);
  memcpy(a.s6_addr + 12, &low, sizeof low);
  return a;
}

bool is_six_of_a_host(const in6_addr& a) { return a.s6_addr[0] == 0xfd; }

int Network::listen(Tcp* socket, Place at, size_t backlog) {
  if (listeners_.count(at) != 0 && listeners_[at] != socket) return EADDRINUSE;
  listeners_[at] = socket;
  socket->backlog = backlog;
  return 0;
}

void Network::unlisten(Tcp* socket) {
  const auto it = listeners_.find(socket->local);
  if (it != listeners_.end() && it->second == socket) listeners_.erase(it);
}

Tcp* Network::listener(Place at) const {
  auto it = listeners_.find(at);
  if (it == listeners_.end()) it = listeners_.find({0, at.port});
  return it == listeners_.end() ? nullptr : it->second;
}

Udp* Network::udp(Place at) const {
  auto it = udp_.find(at);
  if (it == udp_.end()) it = udp_.find({0, at.port});
  return it == udp_.end() ? nullptr : it->second;
}

void Network::bind_udp(Udp* socket) { udp_[socket->local] = socket; }

void Network::unbind_udp(Udp* socket) {
  const auto it = udp_.find(socket->local);
  if (it != udp_.end() && it->second == socket) udp_.erase(it);
}

Path* Network::path(uint32_t a, uint32_t b) const {
  const auto it = paths_.find({std::min(a, b), std::max(a, b)});
  return it == paths_.end() ? usual : it->second;
}

void Network::set_path(uint32_t a, uint32_t b, Path* p) { paths_[{std::min(a, b), std::max(a, b)}] = p; }

uint16_t Network::free_port() {
  next_port_ = next_port_ >= 60000 ? 20000 : static_cast<uint16_t>(next_port_ + 1);
  return next_port_;
}

Tcp* call(Holder& who, uint32_t from, Place to) {
  Tcp* s = world->make<Tcp>();
  s->holder = &who;
  s->refs = 1;
  s->local = {from, 0};
  const int error = s->connect_to(to, *network->path(from, to.ip));
  if (error != 0 && error != EINPROGRESS) s->error = error;
  return s;
}

// ---- a socket

int Tcp::connect_to(Place to, Path& way) {
  if (state == State::connecting) return EALREADY;
  if (state == State::connected) return EISCONN;
  if (local.port == 0) local.port = network->free_port();
  remote = to;
  path = &way;
  state = State::connecting;
  // To our own host it stands at once, or not.
  if (way.delay < 5 && way.connects == Path::Connects::yes && world->random.chance(50)) {
    on_event(kSyn);
    return state == State::connected ? 0 : state == State::failed ? take_error() : EINPROGRESS;
  }
  if (way.connects == Path::Connects::silent || way.stalled) {
    world->after(130 * kSecond, *this, kTimedOut);
  } else {
    world->after(way.delay + (way.jitter > 0 ? world->random.below(static_cast<uint32_t>(way.jitter)) : 0), *this, kSyn);
  }
  return EINPROGRESS;
}

int Tcp::connect_unix(Place to) {
  if (network->listener(to) == nullptr) return ECONNREFUSED;
  if (network->listener(to)->queue.size() > network->listener(to)->backlog) return EAGAIN;
  remote = to;
  path = network->usual;
  state = State::connecting;
  reach();
  state = State::connected;
  return 0;
}

void Tcp::on_event(int what) {
  if (state != State::connecting) return;
  if (what == kSyn) return reach();
  if (what == kSynAck) {
    state = State::connected;
  } else {
    state = State::failed;
    error = what == kRefused ? ECONNREFUSED : ETIMEDOUT;
  }
  poke();
}

// The connection request arrives.
void Tcp::reach() {
  if (path->connects == Path::Connects::silent || path->stalled) {
    world->after(130 * kSecond, *this, kTimedOut);
    return;
  }
  Tcp* door = path->connects == Path::Connects::refused ? nullptr : network->listener(remote);
  if (door == nullptr) {
    world->after(path->delay, *this, kRefused);
    return;
  }
  if (door->queue.size() > door->backlog) {  // it is asked again: the queue may be shorter by then
    world->after(kSecond, *this, kSyn);
    return;
  }
  Tcp* other = world->make<Tcp>();
  other->state = State::connected;
  other->local = remote;
  other->remote = local;
  other->path = path;
  other->made = world->now;
  other->six = door->six;
  other->is_unix = door->is_unix;
  other->oob_inline = door->oob_inline;
  out = world->make<Stream>(*path, this, other);
  in = world->make<Stream>(*path, other, this);
  other->in = out;
  other->out = in;
  path->streams.push_back(out);
  path->streams.push_back(in);
  door->queue.push_back(other);
  door->poke();
  if (path->delay < 5) {
    state = State::connected;
    poke();
  } else {
    world->after(path->delay, *this, kSynAck);
  }
}

Tcp* Tcp::accept() {
  if (queue.empty()) return nullptr;
  Tcp* s = queue.front();
  queue.pop_front();
  return s;
}

bool Tcp::odd() const { return path != nullptr && path->odd > 0 && world->random.chance(path->odd); }

uint32_t Tcp::ready() const {
  switch (state) {
    case State::fresh:
    case State::bound: return EPOLLOUT | EPOLLHUP;
    case State::listening: return queue.empty() ? 0u : uint32_t{EPOLLIN};
    case State::connecting: return 0;
    case State::failed: return EPOLLIN | EPOLLOUT | EPOLLERR | EPOLLHUP;
    case State::closed: return 0;
    case State::connected: break;
  }
  if (reset) return EPOLLIN | EPOLLOUT | EPOLLHUP | (error != 0 ? EPOLLERR : 0u);
  uint32_t r = 0;
  const bool ended = in->end_arrived;
  if (in->unread() > 0 || ended) r |= EPOLLIN;
  if (shut || out->room() > 0) r |= EPOLLOUT;
  if (ended && shut) r |= EPOLLHUP;
  if (in->urgent_at < in->arrived) r |= EPOLLPRI;
  return r;
}

int Tcp::take_error() {
  const int e = error;
  error = 0;
  return e;
}

ssize_t Tcp::read_with(uint8_t* to, size_t n, std::vector<File*>* files) {
  if (in != nullptr) n = in->until_next_passed(n);
  const ssize_t r = read(to, n);
  if (r <= 0) return r;
  for (File* f : in->passed_before(in->taken))
    files->push_back(f);
  return r;
}

ssize_t Tcp::read(uint8_t* to, size_t n) {
  if (state == State::connecting) return -EAGAIN;
  if (state == State::failed && error != 0) return -take_error();
  if (state != State::connected) return -ENOTCONN;
  if (n == 0) return 0;
  const size_t there = in->unread();
  if (there > 0) {
    size_t most = std::min(n, there);
    if (odd()) most = 1 + world->random.below(static_cast<uint32_t>(world->random.chance(50) ? std::min<size_t>(most, 4) : most));
    const bool was_full = in->room() == 0;
    const size_t got = in->take(to, most);
    if (was_full && in->from != nullptr) in->from->poke();
    return static_cast<ssize_t>(got);
  }
  if (error != 0) return -take_error();
  if (reset || in->end_arrived) return 0;
  return -EAGAIN;
}

ssize_t Tcp::write(const uint8_t* from, size_t n) {
  if (state == State::connecting) return -EAGAIN;
  if (state != State::connected) return -(error != 0 ? take_error() : EPIPE);
  if (error != 0) return -take_error();
  if (reset || shut) return -EPIPE;
  size_t most = std::min(n, out->room());
  if (most == 0) return n == 0 ? 0 : -EAGAIN;
  if (odd()) {
    if (world->random.chance(10)) return -EAGAIN;  // no memory for it just now
    most = 1 + world->random.below(static_cast<uint32_t>(world->random.chance(30) ? std::min<size_t>(most, 4) : most));
  }
  out->put(from, most, false);
  return static_cast<ssize_t>(most);
}

ssize_t Tcp::write_urgent(uint8_t byte) {
  if (state != State::connected || shut || reset) return -EPIPE;
  if (out->room() == 0) return -EAGAIN;
  out->put(&byte, 1, true);
  return 1;
}

void Tcp::shut_write() {
  if (state != State::connected || shut) return;
  shut = true;
  out->put_end();
}

void Tcp::got_reset(int why) {
  if (state == State::connecting) state = State::connected;  // and lost at once
  if (state != State::connected || reset) return;
  reset = true;
  error = why;
  if (world->random.chance(50)) in->taken = in->arrived;  // some systems drop what was not read
  poke();
}

void Tcp::break_off() {
  if (state != State::connected || reset) return;
  out->put_reset();
  reset = true;
  poke();
}

void Tcp::closed() {
  holder = nullptr;
  const State was = state;
  state = State::closed;
  if (was == State::listening) {
    network->unlisten(this);
    for (Tcp* s : queue) {
      s->hard_close = true;
      s->closed();
    }
    queue.clear();
    return;
  }
  if (out == nullptr || reset) {
    if (in != nullptr) in->free_memory();
    return;
  }
  if (hard_close || in->unread() > 0) {
    out->put_reset();
  } else if (!shut) {
    out->put_end();
  }
  in->free_memory();
}

}  // namespace simos
