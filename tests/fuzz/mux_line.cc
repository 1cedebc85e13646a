// Two muxes over a lossy line whose noise the input makes: bits that flip, bytes that are lost, doubled or made of nothing, a line
// that is dead or begun anew. Input: how both are made, then a script. Never is a wrong byte delivered, nobody takes noise for the
// other's fault, and once the line is quiet all arrives. Read next: end.h, core/mux/mux_line.cc.
#include "tests/fuzz/end.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

smx::MuxConfig make_config(bool asks, uint8_t how) {
  smx::MuxConfig c;
  c.asks = asks;
  c.hold = smx::seconds(60);
  c.accepts = c.opens = (how & 1) != 0 ? 2 : 6;
  c.first_credit = (how & 2) != 0 ? 512 : 2048;
  c.memory_bytes = smx::Mux::guaranteed_bytes(c) + 16384;
  c.tx_ring = c.rx_ring = 64 * 1024;
  return c;
}

class Line {
 public:
  explicit Line(Input& in)
      : in_(in), rate_(rate_of(in.u8())), c_(streams_, make_config(true, in.u8()), 0), a_(streams_, make_config(false, in.u8()), 1) {
    start(0);
    start(1);
  }
  void run() {
    rounds(4);
    for (int i = 0; i < 300 && !in_.empty(); ++i) {
      step();
      c_.turn();
      a_.turn();
    }
    finish();
  }

 private:
  static uint32_t rate_of(uint8_t b) {
    constexpr uint32_t kRates[] = {0, 120, 1152, 11520, 1000000};
    return kRates[b % 5];
  }
  End& end(int i) { return i == 0 ? c_ : a_; }
  void start(int i) {
    smx::LinkStart s;
    ++attempts_;
    for (size_t k = 0; k < sizeof s.random; ++k) s.random[k] = pattern(attempts_, i, k);
    s.stamp[20] = static_cast<char>('0' + i);
    s.stamp[19] = static_cast<char>('0' + attempts_ % 10);
    s.attempt = static_cast<uint64_t>(7 + i) << 32 | attempts_;
    s.rate = rate_;
    s.repeat = s.search = s.lossy = true;
    s.asks = end(i).mux.held();
    end(i).up(s);
    linked_[i] = true;
  }
  void stop(int i, bool keep) {
    if (!linked_[i]) return;
    linked_[i] = false;
    end(i).mux.link_down(end(i).now, keep);
    if (!end(i).mux.held()) lost();
  }
  // A session is over on one side: its streams are, too.
  void lost() {
    c_.break_all();
    a_.break_all();
  }
  void fault(int i, smx::Err e) {
    if (e == smx::Err::none) return;
    // Noise is nobody's fault; who starts anew, and who was silent, is.
    const bool peers_fault = e >= smx::Err::bad_version && e <= smx::Err::own_echo && e != smx::Err::restarted;
    if (peers_fault) broken(__FILE__, __LINE__, smx::name(e));
    stop(i, e != smx::Err::session_broken);
    start(i);
  }
  void write(int i, size_t most) {
    if (!linked_[i]) return;
    end(i).turn();
    wire_[i] += end(i).say(most);
  }
  void deliver(int i, size_t n) {
    if (n > wire_[i].size()) n = wire_[i].size();
    const Data some = wire_[i].substr(0, n);
    wire_[i].erase(0, n);
    if (linked_[1 - i] && !some.empty()) fault(1 - i, end(1 - i).hear(view(some)));
    end(1 - i).turn();
  }
  void pass(smx::Duration d) {
    for (int i = 0; i < 2; ++i) {
      const smx::Time until = end(i).now + d;
      const smx::Err e = end(i).wait(d);
      end(i).now = until;
      if (linked_[i]) fault(i, e);
    }
  }
  void rounds(int n) {
    for (; n > 0; --n) {
      for (int i = 0; i < 2; ++i) write(i, SIZE_MAX);
      for (int i = 0; i < 2; ++i) deliver(i, SIZE_MAX);
      pass(smx::millis(20));
    }
  }
  void noise(int i) {
    const uint8_t how = in_.u8();
    const size_t size = wire_[i].size();
    const size_t at = size == 0 ? 0 : (in_.u16() * 7u) % size;
    switch (how % 6) {
      case 0:
        if (size > 0) wire_[i][at] = static_cast<char>(wire_[i][at] ^ 1 << (how >> 5));
        break;
      case 1: wire_[i].erase(at, how >> 3); break;
      case 2: wire_[i].insert(at, wire_[i].substr(at, how >> 3)); break;
      case 3:
        for (int k = 0; k < how >> 3; ++k) wire_[i].insert(at, 1, static_cast<char>(pattern(how, 0, static_cast<uint64_t>(k) + in_.left())));
        break;
      case 4: wire_[i].clear(); break;
      case 5: old_ = size == 0 ? old_ : wire_[i], wire_[i] += old_.substr(0, 4096); break;  // what came long ago comes again, or comes back
    }
  }
  void step() {
    const uint8_t op = in_.u8();
    const int i = op >> 7;
    End& e = end(i);
    switch (op & 15) {
      case 0: e.open((op & 32) != 0); break;
      case 1:
        if (Local* l = e.pick(in_.u8())) e.send(*l, in_.u8() * ((op & 32) != 0 ? 40u : 1u));
        break;
      case 2:
        if (Local* l = e.pick(in_.u8())) e.end(*l);
        break;
      case 3:
        if (Local* l = e.pick(in_.u8())) e.abort(*l, smx::CloseCode::reset);
        break;
      case 4:
        if (Local* l = e.pick(in_.u8())) l->takes = (op & 32) != 0 ? SIZE_MAX : in_.u8() * 16u;
        break;
      case 5: write(i, (op & 32) != 0 ? SIZE_MAX : in_.u8()); break;
      case 6: deliver(i, (op & 32) != 0 ? SIZE_MAX : in_.u8()); break;
      case 7: pass(smx::millis(in_.u8() * ((op & 32) != 0 ? 50 : 1))); break;
      case 8:
      case 9:
      case 10:
      case 11: noise(i); break;
      case 12:
        if ((op & 96) == 96) {
          stop(i, true);
          start(i);
        }
        break;
      default: rounds(1 + (op >> 4 & 3)); break;
    }
  }
  bool settled() {
    for (int i = 0; i < 2; ++i)
      for (const uint32_t slot : end(i).used)
        if (end(i).local[slot].live) return false;
    return true;
  }
  void finish() {
    for (int turn = 0; turn < 3000; ++turn) {
      for (int i = 0; i < 2; ++i) {
        End& e = end(i);
        if (!linked_[i]) start(i);
        for (size_t k = 0; k < e.used.size(); ++k) {
          Local& l = e.local[e.used[k]];
          if (!l.live) continue;
          l.takes = SIZE_MAX;
          e.end(l);
          if (l.mine && turn >= 100 && streams_.known(l.stream) && streams_.list[l.stream].udp) e.abort(l, smx::CloseCode::done);
        }
      }
      rounds(1);
      if (turn > 20 && settled()) break;
      if (turn > 600) pass(smx::millis(500));
    }
    MUST(settled());
    for (size_t n = 1; n < streams_.list.size(); ++n) {
      const Stream& s = streams_.list[n];
      if (s.broken || s.udp) continue;
      for (const Way& w : s.way) MUST(w.got == w.sent);
    }
  }

  Input& in_;
  Streams streams_;
  uint32_t rate_;
  End c_, a_;
  bool linked_[2] = {};
  uint32_t attempts_ = 0;
  Data wire_[2], old_;
};

}  // namespace

void mux_line(smx::Bytes input) {
  Input in(input);
  Line l(in);
  l.run();
}

}  // namespace fuzz
