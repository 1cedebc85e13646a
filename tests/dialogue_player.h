// Plays a dialogue without sockets: gives it bytes in pieces of any size, and keeps what it says to either side.
#ifndef SOCKMUX_TESTS_DIALOGUE_PLAYER_H
#define SOCKMUX_TESTS_DIALOGUE_PLAYER_H

#include <doctest/doctest.h>

#include <functional>
#include <random>
#include <string>
#include <vector>

#include "relay/dialogue.h"

namespace smx {

template <typename T>
class Player {
 public:
  using Next = Dialogue::Next;
  explicit Player(size_t in = 65536, size_t out = 65536 + 2048) : memory_(2 * (in + out)) {
    uint8_t* m = memory_.data();
    desk.from_client = Pipe(m, in);
    desk.from_server = Pipe(m + in, in);
    desk.to_client = Pipe(m + 2 * in, out);
    desk.to_server = Pipe(m + 2 * in + out, out);
  }

  Desk desk;
  T dialogue;
  std::string client, server;          // what each was told
  std::vector<std::string> wishes;     // "protocol host:port default"
  Next last = Next::wait;
  bool over() const { return last == Next::close || last == Next::abort; }
  // What becomes of a wish: nothing by itself; or a connection at once, whose server says `greeting`.
  std::function<void(Player&)> on_wish;

  void connect_ok() {
    desk.server_open = true;
    REQUIRE(parse_ip_port("192.0.2.9:80", &desk.server));
    dialogue.connected(desk);
    run();
  }
  void connect_fails(Failure why) {
    dialogue.failed(desk, why);
    run();
  }
  void client_says(const std::string& bytes, size_t piece = SIZE_MAX) { say(desk.from_client, bytes, piece); }
  void server_says(const std::string& bytes, size_t piece = SIZE_MAX) { say(desk.from_server, bytes, piece); }
  void client_ends() {
    desk.client_ended = true;
    run();
  }
  void server_ends(bool broken = false) {
    desk.server_ended = true;
    desk.server_broken = broken;
    run();
  }
  void time_out() {
    last = dialogue.timed_out(desk);
    drain();
  }

  void run() {
    for (int i = 0; i < 100000; ++i) {
      if (over()) return;
      const uint64_t before = moved();
      if (last != Next::raw) last = dialogue.step(desk);
      if (desk.drop_server) {
        desk.drop_server = desk.shut_server = desk.server_open = desk.server_ended = desk.server_broken = false;
        desk.from_server.clear();
        drain();
        ++changes_;
      }
      if (last == Next::connect) {
        drain();
        std::string w(desk.wish.protocol);
        w += ' ';
        w += desk.wish.host;
        wishes.push_back(w + ':' + std::to_string(desk.wish.port) + (desk.wish.by_default ? " yes" : " no"));
        if (on_wish) on_wish(*this);
        return;
      }
      if (last == Next::raw) {
        desk.to_server.put(desk.from_client.data());
        desk.from_client.clear();
        desk.to_client.put(desk.from_server.data());
        desk.from_server.clear();
        drain();
        return;
      }
      drain();
      if (moved() == before) return;
    }
    FAIL("the dialogue does not come to rest");
  }

 private:
  void say(Pipe& to, const std::string& bytes, size_t piece) {
    size_t at = 0;
    int stuck = 0;
    while (at < bytes.size() && !over()) {
      size_t n = piece == 0 ? random_() % 7 + 1 : piece;
      if (n > bytes.size() - at) n = bytes.size() - at;
      const size_t took = to.put({reinterpret_cast<const uint8_t*>(bytes.data()) + at, n});
      at += took;
      run();
      if (took == 0 && ++stuck > 3) return;  // it takes no more
    }
    taken = at;
  }
  void drain() {
    client.append(desk.to_client.text());
    desk.to_client.clear();
    server.append(desk.to_server.text());
    desk.to_server.clear();
  }
  uint64_t moved() const {
    return desk.from_client.moved() + desk.from_server.moved() + desk.to_client.moved() + desk.to_server.moved() + changes_;
  }
  std::vector<uint8_t> memory_;
  std::minstd_rand random_{1};
  uint64_t changes_ = 0;

 public:
  size_t taken = 0;  // of the last says(), as much as had room
};

}  // namespace smx

#endif
