// Two muxes and somebody in the middle, of either dialect: links that are cut and come back in the midst of anything, and packets
// that he changes. Input: how both are made, then a script: a byte says what is done, those behind it to whom and how much.
//
// While he changes nothing: nothing is lost, and all comes to its end. What he changes taints the streams it is of, and no other; or,
// where a packet was said to be of another kind, or the count of bytes is moved, all of them. FUZZ_SHOW=1 shows each packet.
// Read next: end.h.
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/end.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

smx::MuxConfig make_config(Input& in, bool asks) {
  smx::MuxConfig c;
  const uint8_t how = in.u8();
  constexpr smx::MuxConfig::Proto kProto[] = {smx::MuxConfig::Proto::automatic, smx::MuxConfig::Proto::automatic, smx::MuxConfig::Proto::v1,
                                              smx::MuxConfig::Proto::v03};
  c.proto = kProto[how & 3];
  c.asks = asks;
  c.hold = (how & 4) != 0 ? smx::seconds(0) : smx::seconds(60);
  c.accepts = static_cast<uint16_t>(1 + (how >> 3 & 7));
  c.opens = static_cast<uint16_t>(1 + (how >> 6) * 3);
  c.first_credit = (how & 0x20) != 0 ? 512 : 2048;
  c.memory_bytes = smx::Mux::guaranteed_bytes(c) + (in.u8() & 7) * 16384;
  c.tx_ring = c.rx_ring = 64 * 1024;
  strcpy(c.host, asks ? "c" : "a");
  c.lines = false;
  return c;
}

class Pair {
 public:
  explicit Pair(Input& in) : in_(in), c_(streams_, make_config(in, true), 0), a_(streams_, make_config(in, false), 1) {}

  void run() {
    link();
    for (int i = 0; i < 300 && !in_.empty(); ++i) step();
    finish();
  }

 private:
  End& end(int i) { return i == 0 ? c_ : a_; }

  void link() {
    if (linked_) return;
    linked_ = true;
    ++attempts_;
    for (int i = 0; i < 2; ++i) {
      smx::LinkStart s;
      for (uint8_t& b : s.random) b = static_cast<uint8_t>(pattern(attempts_, i, static_cast<uint64_t>(&b - s.random)) | 1);
      s.stamp[20] = static_cast<char>('0' + i);
      s.stamp[21] = static_cast<char>('0' + attempts_ % 10);
      s.attempt = uint64_t{7} << 32 | attempts_;
      end(i).up(s);
      wire_[i].clear();
      partial_[i].clear();
    }
  }
  void cut(bool keep0, bool keep1) {
    if (!linked_) return;
    if (getenv("FUZZ_SHOW") != nullptr) fprintf(stderr, "-- cut %d %d\n", keep0, keep1);
    linked_ = false;
    end(0).mux.link_down(end(0).now, keep0);
    end(1).mux.link_down(end(1).now, keep1);
    for (Data& p : partial_) p.clear();
    for (auto& w : wire_) w.clear();
    look();
  }
  // 0.3, and sessions that nobody holds, end with the link.
  void look() {
    for (int i = 0; i < 2; ++i)
      if (!end(i).mux.held() && !end(i).mux.up() && !linked_) end(0).break_all(), end(1).break_all();
  }

  // What core/session does with an error.
  void fault(int i, smx::Err e) {
    if (e == smx::Err::none || !linked_) return;
    End& x = end(i);
    if (getenv("FUZZ_SHOW") != nullptr) {
      const smx::Header& h = x.mux.last_header();
      fprintf(stderr, "-- fault at %d: %s, dialect %s state %d; %02x %02x %04x %04x %u\n", i, smx::name(e), smx::name(x.mux.dialect()), static_cast<int>(x.mux.state()), h.version, h.type, h.said, h.raid, h.length);
    }
    const bool peers_fault = e >= smx::Err::bad_version && e <= smx::Err::own_echo && e != smx::Err::restarted;
    // Who keeps the rules is never at fault.
    if (!tampered_ && !(e == smx::Err::wrong_dialect || e == smx::Err::said_bye)) {
      if (peers_fault) broken(__FILE__, __LINE__, smx::name(e));
      MUST(e != smx::Err::session_broken);
    }
    if (e != smx::Err::said_bye && x.mux.dialect() == smx::Dialect::v1) {
      x.mux.bye(smx::ByeCode::protocol_error);
      write(i, SIZE_MAX);
    }
    const bool ends = peers_fault || e == smx::Err::session_broken || (e == smx::Err::said_bye && (x.mux.peer_bye() & 0x80) != 0);
    bool other_ends = false;
    if (!wire_[i].empty()) {
      End& y = end(1 - i);
      smx::Err f = smx::Err::none;
      while (!wire_[i].empty() && f == smx::Err::none) {
        f = y.hear(view(wire_[i].front()));
        wire_[i].pop_front();
      }
      other_ends = f != smx::Err::none && (f != smx::Err::said_bye || (y.mux.peer_bye() & 0x80) != 0);
    }
    cut(i == 0 ? !ends : !other_ends, i == 0 ? !other_ends : !ends);
  }

  void write(int i, size_t most) {
    if (!linked_) return;
    end(i).turn();
    partial_[i] += end(i).say(most);
    size_t from = 0;
    while (partial_[i].size() - from >= smx::kHeader) {
      const smx::Header h = smx::decode_header(view(partial_[i]).data + from);
      if (partial_[i].size() - from < smx::kHeader + h.length) break;
      wire_[i].push_back(partial_[i].substr(from, smx::kHeader + h.length));
      from += smx::kHeader + h.length;
    }
    partial_[i].erase(0, from);
  }
  void show(int i, const Data& p) {
    const smx::Header h = smx::decode_header(view(p).data);
    fprintf(stderr, "%s %8lld %02x %02x said %04x raid %04x length %u\n", i == 0 ? "C" : "  A", static_cast<long long>(end(i).now.us / 1000), h.version, h.type, h.said, h.raid, h.length);
  }
  // To the other side, in one piece or in small ones.
  void deliver(int i, size_t packets, size_t step) {
    for (; packets > 0 && linked_ && !wire_[i].empty(); --packets) {
      const Data p = wire_[i].front();
      wire_[i].pop_front();
      if (getenv("FUZZ_SHOW") != nullptr) show(i, p);
      for (size_t at = 0; at < p.size() && linked_; at += step)
        fault(1 - i, end(1 - i).hear({view(p).data + at, step < p.size() - at ? step : p.size() - at}));
    }
    end(1 - i).turn();
  }
  void pass_time(smx::Duration d) {
    for (int i = 0; i < 2; ++i) {
      const smx::Time until = end(i).now + d;
      smx::Err e = end(i).wait(d);
      end(i).now = until;
      fault(i, e);
      if (!linked_ && end(i).mux.hold_is_over(end(i).now)) end(i).break_all();
    }
    look();
  }

  // Says BYE behind what is in the ring, as a session does that ends.
  void part(int i, smx::ByeCode code) {
    end(i).mux.bye(code);
    write(i, SIZE_MAX);
    deliver(i, SIZE_MAX, SIZE_MAX);
    cut(true, true);
  }

  // Which stream is this packet of, as it goes from side i? 0: none that is known.
  uint32_t stream_of(int i, const smx::Header& h) {
    if (h.version == smx::kNumbered) {
      const bool opener = h.said != smx::kNone;
      const uint16_t number = opener ? h.said : h.raid;
      const Local& l = end(opener ? i : 1 - i).local[number % End::kSlots];
      return l.mine ? l.stream : 0;
    }
    const Local& l = end(1 - i).local[h.raid % End::kSlots];
    return h.raid < End::kSlots ? l.stream : 0;
  }
  void taint(uint32_t stream) {
    if (stream == 0) streams_.wild = true;
    else streams_.list[stream].tainted = true;
  }
  void tamper(int i) {
    const uint8_t which = in_.u8(), how = in_.u8(), where = in_.u8(), what = in_.u8();
    if (wire_[i].empty()) return;
    Data& p = wire_[i][which % wire_[i].size()];
    tampered_ = true;
    smx::Header h = smx::decode_header(view(p).data);
    const smx::Type type = static_cast<smx::Type>(h.type);
    const bool names = type == smx::Type::connect || type == smx::Type::bind || type == smx::Type::connected;
    const bool unnumbered = h.version == smx::kUnnumbered && type != smx::Type::settings;
    uint8_t* raw = reinterpret_cast<uint8_t*>(&p[0]);
    switch (how % 6) {
      case 0:
      case 1:  // a byte of the payload
        if (h.length == 0 || p.size() < smx::kHeader + h.length) return;  // its length may have been changed before
        if (names || h.version == smx::kVersion03) streams_.wild = true;
        if (type == smx::Type::send || type == smx::Type::dgram || (h.version == smx::kNumbered && !names)) taint(stream_of(i, h));
        else if (!unnumbered) streams_.wild = true;
        raw[smx::kHeader + where % h.length] = static_cast<uint8_t>(raw[smx::kHeader + where % h.length] ^ (what | (what == 0)));
        break;
      case 2:  // of another channel
        taint(stream_of(i, h));
        if (h.said != smx::kNone) h.said = what % 16;
        else h.raid = what % 16;
        smx::encode_header(h, raw);
        if (h.version == smx::kNumbered && !names) taint(stream_of(i, h));
        else streams_.wild = true;
        break;
      case 3:  // a byte of the header
        streams_.wild = true;
        raw[where % smx::kHeader] = what;
        break;
      case 4:  // it comes twice
        streams_.wild = streams_.wild || !unnumbered;
        wire_[i].insert(wire_[i].begin() + static_cast<std::ptrdiff_t>(which % wire_[i].size()), p);
        break;
      case 5:  // never
        streams_.wild = streams_.wild || !unnumbered;
        wire_[i].erase(wire_[i].begin() + static_cast<std::ptrdiff_t>(which % wire_[i].size()));
        break;
    }
  }

  void step() {
    const uint8_t op = in_.u8();
    const int i = op >> 7;
    End& e = end(i);
    switch (op & 31) {
      case 0: e.open(false); break;
      case 1: e.open(true); break;
      case 2:
      case 3:
        if (Local* l = e.pick(in_.u8())) e.send(*l, in_.u8() * ((op & 32) != 0 ? 64u : 1u));
        break;
      case 4:
        if (Local* l = e.pick(in_.u8())) e.end(*l);
        break;
      case 5:
        if (Local* l = e.pick(in_.u8())) e.abort(*l, static_cast<smx::CloseCode>(1 + (op >> 5 & 3)));
        break;
      case 6:
        if (Local* l = e.pick(in_.u8())) l->takes = in_.u8() * 16u;
        break;
      case 7:
        if (Local* l = e.pick(in_.u8())) l->takes = SIZE_MAX;
        break;
      case 8:
        if (Local* l = e.pick(in_.u8())) l->fails = true;
        break;
      case 9:
        if (Local* l = e.pick(in_.u8())) l->urgent = true;
        break;
      case 10: e.accepts = !e.accepts; break;
      case 11: e.refuses = (op & 32) != 0; break;
      case 12:
        if (Local* l = e.pick(in_.u8())) e.answer(*l, (op & 32) == 0);
        break;
      case 13: e.open_bind(); break;
      case 14: (void)e.mux.make_room(e.now); break;
      case 15:
        if (linked_) e.mux.probe(e.now, smx::seconds(5));
        break;
      case 16: pass_time(smx::millis(in_.u8())); break;
      case 17: pass_time(smx::millis(in_.u8() * 100)); break;
      case 18: write(i, 1u + in_.u8()); break;
      case 19:
      case 20: write(i, SIZE_MAX); break;
      case 21: deliver(i, 1u + in_.u8() % 8, 1 + in_.u8()); break;
      case 22:
      case 23: deliver(i, SIZE_MAX, SIZE_MAX); break;
      case 24: cut(true, true); break;
      case 25: link(); break;
      case 26:
        cut(true, true);
        link();
        break;
      case 27: tamper(i); break;
      case 28:
        if (linked_ && e.mux.up() && (op & 32) != 0) part(i, (op & 64) != 0 ? smx::ByeCode::restart : smx::ByeCode::shutdown);
        break;
      case 29: rounds(1 + in_.u8() % 4); break;
      case 30: {
        smx::MutBytes spare[smx::Mux::kSpares];
        const int n = e.mux.has_spare_memory() ? e.mux.all_spare_memory(spare) : 0;
        for (int k = 0; k < n; ++k) memset(spare[k].data, 0, spare[k].size);  // as the system does
        break;
      }
      default: rounds(1); break;
    }
    c_.turn();
    a_.turn();
  }
  void rounds(int n) {
    while (n-- > 0) {
      for (int i = 0; i < 2; ++i) {
        write(i, SIZE_MAX);
        deliver(i, SIZE_MAX, SIZE_MAX);
      }
    }
  }

  bool settled(int i) {
    End& e = end(i);
    for (const uint32_t slot : e.used) {
      const Local& l = e.local[slot];
      if (l.live && !l.bind) return false;
    }
    return true;
  }
  // Nobody disturbs any more: all that is open gets its bytes, and its end.
  void finish() {
    for (int turn = 0; turn < 400; ++turn) {
      if (!linked_) link();
      for (int i = 0; i < 2; ++i) {
        End& e = end(i);
        e.accepts = true;
        e.refuses = false;
        for (size_t k = 0; k < e.used.size(); ++k) {
          Local& l = e.local[e.used[k]];
          if (!l.live) continue;
          l.takes = SIZE_MAX;
          if (l.bind) continue;
          e.answer(l, true);
          if (l.live) e.end(l);
          // Datagrams have no end: who has opened a flow ends it.
          if (l.live && l.mine && turn >= 20 && streams_.known(l.stream) && streams_.list[l.stream].udp) e.abort(l, smx::CloseCode::done);
        }
      }
      rounds(2);
      if (settled(0) && settled(1)) break;
      pass_time(smx::millis(turn < 40 ? 50 : 2000));
    }
    if (tampered_) return;
    if (c_.mux.dialect() == smx::Dialect::unknown || a_.mux.dialect() == smx::Dialect::unknown) return;  // they don't understand each other
    MUST(settled(0));
    MUST(settled(1));
    for (size_t n = 1; n < streams_.list.size(); ++n) {
      const Stream& s = streams_.list[n];
      if (s.broken || s.udp) continue;
      for (const Way& w : s.way) {
        if (c_.mux.dialect() == smx::Dialect::v03) continue;
        MUST(w.left == 0);
        MUST(w.got == w.sent);
      }
    }
  }

  Input& in_;
  Streams streams_;
  End c_, a_;
  bool linked_ = false, tampered_ = false;
  uint32_t attempts_ = 0;
  std::deque<Data> wire_[2];  // whole packets, from side i
  Data partial_[2];
};

}  // namespace

void mux_pair(smx::Bytes input) {
  Input in(input);
  Pair pair(in);
  pair.run();
}

}  // namespace fuzz
