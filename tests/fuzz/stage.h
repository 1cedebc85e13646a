// Plays a proxy's dialogue as an input says, without sockets: what the client and the server say, in pieces, how fast they take
// what they are told, when they end, what becomes of a wish, and time that runs out.
//
// An input is a byte of habits, and then what is said. kMark and a letter: 'c', 's': the client, the server speaks from here on;
// 'C', 'S', 'B': the client ends, the server ends, the server breaks; 'k': a wish comes true; 'x' and a byte: it fails; 't': time is
// over; 'r' and a byte: the last piece again, so many times; '.': nothing, but a step; 'd' and a byte: FTP's door; kMark: itself.
// Invariants: a dialogue comes to rest; it never takes or makes more than its pipes hold; a second step changes nothing; a wish has
// a host. Read next: http.cc, relay/dialogue.h.
#ifndef SOCKMUX_TESTS_FUZZ_STAGE_H
#define SOCKMUX_TESTS_FUZZ_STAGE_H

#include "relay/data_door.h"
#include "relay/dialogue.h"
#include "tests/fuzz/fuzz.h"

namespace fuzz {

constexpr uint8_t kMark = 0xf5;

class Stage : private smx::DataDoor {
 public:
  using Next = smx::Dialogue::Next;
  static constexpr size_t kIn = 16384, kOut = kIn + 2048;

  Stage() {
    static uint8_t memory[2 * (kIn + kOut)];
    desk.from_client = smx::Pipe(memory, kIn);
    desk.from_server = smx::Pipe(memory + kIn, kIn);
    desk.to_client = smx::Pipe(memory + 2 * kIn, kOut);
    desk.to_server = smx::Pipe(memory + 2 * kIn + kOut, kOut);
    MUST(smx::parse_ip_port("192.0.2.1:5000", &desk.client));
    MUST(smx::parse_ip_port("192.0.2.2:21", &desk.accepted));
    MUST(smx::parse_ip_port("192.0.2.2:2121", &where_));
  }
  Stage(const Stage&) = delete;
  Stage& operator=(const Stage&) = delete;

  smx::Desk desk;
  Data client, server;       // what each was told; the server: over its connection of the moment
  bool raw = false;          // from here on bytes pass unchanged
  size_t raw_from = 0;       // of `server`
  bool over() const { return last_ == Next::close || last_ == Next::abort; }
  Next last() const { return last_; }
  smx::DataDoor* door() { return this; }
  // The server's connection is over, or all is: looks at what it was told.
  void (*judge)(Stage&) = nullptr;

  void play(smx::Dialogue& dialogue, Input& in) {
    dialogue_ = &dialogue;
    const uint8_t habits = in.u8();
    slow_ = (habits & 1) != 0 ? 16 + (habits >> 4) * size_t{37} : SIZE_MAX;
    eager_ = (habits & 2) != 0;  // a wish comes true at once
    desk.may_associate = (habits & 4) != 0;
    const bool bytewise = (habits & 8) != 0;
    run();
    Data piece;
    bool from_client = true;
    while (!in.empty() && !over()) {
      const uint8_t b = in.u8();
      if (b == kMark) {
        const uint8_t op = in.u8();
        if (op == kMark) {
          piece.push_back(static_cast<char>(b));
          continue;
        }
        if (!piece.empty()) last_piece_ = piece;
        say(from_client, piece, bytewise);
        piece.clear();
        if (op == 'c') from_client = true;
        else if (op == 's') from_client = false;
        else act(op, from_client, in);
      } else {
        piece.push_back(static_cast<char>(b));
      }
    }
    say(from_client, piece, bytewise);
    // It ends, whatever came before: slow ones take the rest, the client goes, time runs out.
    slow_ = SIZE_MAX;
    // Each line that waits may be a wish of its own, as USER is to FTP without a server.
    for (size_t i = 0; i < 50 + kIn / 4 && !over() && !raw; ++i) {
      if (last_ == Next::connect) fail(smx::Failure::timed_out);
      desk.client_ended = true;
      desk.server_ended = true;
      run();
      if (!over() && !raw) time_out();
    }
    MUST(over() || raw);
    drain();
    if (judge != nullptr) judge(*this);
  }

 private:
  void act(uint8_t op, bool from_client, Input& in) {
    switch (op) {
      case 'C': desk.client_ended = true; break;
      case 'S': desk.server_ended = desk.server_open; break;
      case 'B': desk.server_ended = desk.server_broken = desk.server_open; break;
      case 'k': return connect();
      case 'x': return fail(static_cast<smx::Failure>(in.u8() % 8));
      case 't': return time_out();
      case 'r':
        for (unsigned n = in.u8(); n > 0 && !over(); --n) say(from_client, last_piece_, false);
        return;
      case 'd': {
        const uint8_t how = in.u8();
        if (door_ == State::waiting) door_ = how % 3 == 0 ? State::failed : State::ready;
        break;
      }
      default: break;
    }
    ++changes_;
    run();
  }
  void say(bool from_client, const Data& bytes, bool bytewise) {
    smx::Pipe& to = from_client ? desk.from_client : desk.from_server;
    if (from_client ? desk.client_ended : !desk.server_open || desk.server_ended) return;
    for (size_t at = 0; at < bytes.size() && !over();) {
      const size_t n = bytewise ? 1 : bytes.size() - at;
      const size_t took = to.put({reinterpret_cast<const uint8_t*>(bytes.data()) + at, n});
      at += took;
      run();
      if (!from_client && !desk.server_open) return;
      if (took == 0) return;  // it takes no more now, and this one does not wait
    }
  }
  void connect() {
    if (last_ != Next::connect) return;
    desk.server_open = true;
    MUST(smx::parse_ip_port("192.0.2.9:80", &desk.server));
    MUST(smx::parse_ip_port("192.0.2.2:4711", &desk.own));
    last_ = Next::wait;
    dialogue_->connected(desk);
    run();
  }
  void fail(smx::Failure why) {
    if (last_ != Next::connect) return;
    last_ = Next::wait;
    dialogue_->failed(desk, why);
    run();
  }
  void time_out() {
    if (last_ == Next::connect || raw || desk.clock == smx::Desk::Clock::off || over()) return;
    const Next next = dialogue_->timed_out(desk);
    if (next == Next::close || next == Next::abort) last_ = next;
    look();
  }

  // What the engine (relay/proxy.cc) does after each step.
  void look() {
    if (desk.drop_server) end_server();
    drain();
  }
  void end_server() {
    if (judge != nullptr) judge(*this);
    server.clear();
    desk.to_server.clear();
    desk.from_server.clear();
    desk.drop_server = desk.shut_server = desk.server_open = desk.server_ended = desk.server_broken = false;
    door_ = State::none;
    ++changes_;
  }
  void run() {
    for (int i = 0; i < 20000; ++i) {
      if (over() || last_ == Next::connect) return;
      const uint64_t before = moved();
      if (raw) {
        (void)smx::move_bytes(desk.from_client, desk.to_server);
        (void)smx::move_bytes(desk.from_server, desk.to_client);
      } else {
        last_ = dialogue_->step(desk);
        if (last_ == Next::wait && !desk.drop_server) {
          const uint64_t rest = moved();
          const Next again = dialogue_->step(desk);
          // It may have stopped after a bounded piece of work; what rests, rests.
          if (rest == before) MUST(again == Next::wait);
          if (rest == before) MUST(moved() == rest);
          last_ = again;
        }
      }
      look();
      if (last_ == Next::raw && !raw) {
        raw = true;
        raw_from = server.size() + desk.to_server.size();
      }
      if (last_ == Next::connect) {
        wish();
        return;
      }
      if (moved() == before) return;
    }
    broken(__FILE__, __LINE__, "it comes to rest");
  }
  void wish() {
    MUST(!desk.wish.protocol.empty());
    MUST(!desk.wish.host.empty());
    MUST(desk.wish.host.size() <= 255);
    for (const char c : desk.wish.host) MUST(c != 0);
    if (desk.server_open) end_server();
    if (eager_) connect();
  }
  void drain() {
    take(desk.to_client, &client, slow_);
    if (desk.server_open) take(desk.to_server, &server, slow_);
  }
  static void take(smx::Pipe& from, Data* to, size_t most) {
    const smx::Bytes b = from.data();
    const size_t n = b.size < most ? b.size : most;
    if (n == 0) return;
    to->append(reinterpret_cast<const char*>(b.data), n);
    from.consume(n);
  }
  uint64_t moved() const {
    return desk.from_client.moved() + desk.from_server.moved() + desk.to_client.moved() + desk.to_server.moved() + changes_;
  }

  void listen(const smx::Address& server_at) override {
    MUST(server_at.port != 0);
    door_ = State::waiting;
  }
  void call(uint16_t port, const smx::Address& server_at) override {
    MUST(port != 0);
    MUST(server_at.port != 0);
    door_ = State::waiting;
  }
  void drop() override { door_ = State::none; }
  State state() const override { return door_; }
  smx::Address where() const override { return where_; }
  smx::CloseCode why() const override { return smx::CloseCode::refused; }

  smx::Dialogue* dialogue_ = nullptr;
  Next last_ = Next::wait;
  size_t slow_ = SIZE_MAX;
  bool eager_ = false;
  uint64_t changes_ = 0;
  Data last_piece_;
  State door_ = State::none;
  smx::Address where_;
};

}  // namespace fuzz

#endif
