// One mux on a bench: bytes and times go in by hand, packets and calls to the owner come out, and local sockets are
// strings. For tests that know every byte.
//
// Read next: test_mux.cc, test_mux03.cc. sim_world.cc is for whatever nobody thought of.
#ifndef SOCKMUX_TESTS_SIM_BENCH_H
#define SOCKMUX_TESTS_SIM_BENCH_H

#include <stdlib.h>
#include <string.h>

#include <deque>
#include <functional>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/mux/mux.h"

namespace bench {

using Data = std::string;  // bytes

inline Data hex(const std::string& text) {
  Data out;
  int half = -1;
  for (const char c : text) {
    const int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (digit < 0) continue;
    if (half < 0) {
      half = digit;
    } else {
      out.push_back(static_cast<char>(half * 16 + digit));
      half = -1;
    }
  }
  return out;
}
inline std::string to_hex(const Data& bytes) {
  std::string out;
  for (const char c : bytes) {
    out.push_back("0123456789abcdef"[static_cast<uint8_t>(c) >> 4]);
    out.push_back("0123456789abcdef"[static_cast<uint8_t>(c) & 15]);
  }
  return out;
}
inline Data packet(uint8_t version, smx::Type type, unsigned said, unsigned raid, const Data& payload) {
  uint8_t h[smx::kHeader];
  smx::encode_header({version, static_cast<uint8_t>(type), static_cast<uint16_t>(said), static_cast<uint16_t>(raid),
                      static_cast<uint16_t>(payload.size())}, h);
  return Data(reinterpret_cast<char*>(h), sizeof h) + payload;
}
inline Data packet(const smx::Settings& settings) {
  uint8_t out[230];
  const size_t n = smx::make_settings(settings, out, sizeof out);
  return packet(smx::kUnnumbered, smx::Type::settings, smx::kNone, smx::kNone, Data(reinterpret_cast<char*>(out), n));
}
inline Data be32(uint32_t v) {
  uint8_t b[4];
  smx::store32(b, v);
  return Data(reinterpret_cast<char*>(b), 4);
}
inline Data be64(uint64_t v) {
  uint8_t b[8];
  smx::store64(b, v);
  return Data(reinterpret_cast<char*>(b), 8);
}

struct Packet {
  smx::Header h;
  Data payload;
  bool is(smx::Type t) const { return h.type == static_cast<uint8_t>(t); }
};
// Whole packets; `bytes` must hold nothing else.
inline std::vector<Packet> split(const Data& bytes) {
  std::vector<Packet> out;
  size_t at = 0;
  while (bytes.size() - at >= smx::kHeader) {
    const smx::Header h = smx::decode_header(reinterpret_cast<const uint8_t*>(bytes.data()) + at);
    if (bytes.size() - at < smx::kHeader + h.length) break;
    out.push_back({h, bytes.substr(at + smx::kHeader, h.length)});
    at += smx::kHeader + h.length;
  }
  if (at != bytes.size()) out.push_back({});
  return out;
}
// Types in hex, with blanks between: "02 20 06".
inline std::string types(const Data& bytes) {
  std::string out;
  for (const Packet& p : split(bytes)) {
    if (!out.empty()) out.push_back(' ');
    out += to_hex(Data(1, static_cast<char>(p.h.type)));
  }
  return out;
}

// The packets of an example in man/sockmux.7 that `side` ('C' or 'A') sends, in order.
inline std::vector<Data> manual(int example, char side) {
  std::ifstream file("man/sockmux.7");
  const std::string title = ".Ss Example " + std::to_string(example) + ":";
  std::vector<Data> out;
  bool here = false;
  for (std::string line; std::getline(file, line);) {
    if (line.compare(0, 2, ".S") == 0) here = line.compare(0, title.size(), title) == 0;
    if (here && line.size() > 2 && line[0] == side && line[1] == ' ' && hex(line.substr(2, 16)).size() == 8) out.push_back(hex(line.substr(2)));
  }
  return out;
}
inline Data joined(const std::vector<Data>& packets, size_t from = 0, size_t count = SIZE_MAX) {
  Data out;
  for (size_t i = from; i < packets.size() && i - from < count; ++i) out += packets[i];
  return out;
}

struct Local {
  Data out;            // what it will send
  bool ends = false;   // and then its end
  bool fails = false;  // reading and writing fail
  Data in;             // what it got
  size_t takes = SIZE_MAX;
  smx::OpenInfo info;
  std::deque<Data> datagrams;  // UDP: which it will send
  std::vector<Data> got;       // and which it got
  size_t too_large = 0;        // UDP: which it dropped for that
  std::function<void()> when_pulled;  // TCP: what else happens then
};

class Bench : public smx::MuxEvents {
 public:
  explicit Bench(const smx::MuxConfig& c) : Bench(c, static_cast<size_t>(smx::Mux::arena_bytes(c))) {}
  Bench(const smx::MuxConfig& c, size_t bytes) : memory_(static_cast<char*>(calloc(1, bytes))), arena_(memory_.get(), bytes) {
    ok = mux.init(c, arena_);
  }

  bool ok = false;
  smx::Mux mux{*this};
  smx::Time now{1000000};
  std::map<uint32_t, Local> locals;  // by slot
  smx::ChannelId opened;             // of the last on_open()
  smx::OpenInfo open_info;
  smx::CloseCode code = smx::CloseCode::done;  // of the last on_abort()
  std::string log;                   // one word for each call: "up room open opened end done abort"
  uint64_t numbered = 0;             // bytes of whole numbered packets that the mux has written to this link
  uint32_t rate = 0;                 // of the next link
  bool is_line = false;              // and is it a line that forgets
  bool is_lossy = false;             // which needs frames
  smx::LineSealer* sealer = nullptr;
  bool is_asker = false;                 // with the larger nonce
  bool refuse_at_once = false;
  bool accept_at_once = false;
  bool search = false;               // links on which HELLO must be searched for
  bool trial = false;                // on which there is to be HELLO alone

  Local& at(smx::ChannelId id) { return locals[id.slot]; }
  std::string take_log() {
    std::string l;
    l.swap(log);
    return l;
  }

  void up(const Data& random = hex("9f3c01a75a0f3c71b2e84d96a1c7085be43f9d20"), const char* stamp = "20261123-085921.086940",
          uint64_t attempt = 0) {
    smx::LinkStart s;
    memcpy(s.stamp, stamp, sizeof s.stamp);
    memcpy(s.random, random.data(), random.size() < sizeof s.random ? random.size() : sizeof s.random);
    s.attempt = attempt;
    s.rate = rate;
    s.repeat = is_line;
    s.search = search || is_line;
    s.lossy = is_lossy;
    s.sealer = sealer;
    s.asks = is_asker;
    s.trial = trial;
    mux.link_up(s, now);
    unread_.clear();
    numbered = 0;
  }
  smx::Err feed(const Data& bytes) {
    size_t at = 0;
    while (at < bytes.size()) {
      smx::MutBytes space[2];
      if (mux.rx_space(space) == 0) return smx::Err::bad_length;
      const size_t n = bytes.size() - at < space[0].size ? bytes.size() - at : space[0].size;
      memcpy(space[0].data, bytes.data() + at, n);
      at += n;
      const smx::Err e = mux.received(n, now);
      mux.verify();
      if (e != smx::Err::none) return e;
    }
    return smx::Err::none;
  }
  smx::Err feed(uint8_t version, smx::Type type, unsigned said, unsigned raid, const Data& payload) {
    return feed(packet(version, type, said, raid, payload));
  }
  // At most `limit` bytes of what the mux wants to write.
  Data write(size_t limit) {
    mux.gather(now);
    mux.verify();
    smx::Bytes out[smx::Mux::kTxPieces];
    const int pieces = mux.tx_pending(out);
    Data bytes;
    for (int i = 0; i < pieces && bytes.size() < limit; ++i)
      bytes.append(reinterpret_cast<const char*>(out[i].data), out[i].size < limit - bytes.size() ? out[i].size : limit - bytes.size());
    mux.sent(bytes.size());
    mux.verify();
    unread_ += bytes;
    while (unread_.size() >= smx::kHeader) {
      const smx::Header h = smx::decode_header(reinterpret_cast<const uint8_t*>(unread_.data()));
      if (unread_.size() < smx::kHeader + h.length) break;
      if (h.version == smx::kNumbered) numbered += smx::kHeader + h.length;
      unread_.erase(0, smx::kHeader + h.length);
    }
    return bytes;
  }
  Data write_all() {
    Data all;
    for (;;) {
      const Data some = write(SIZE_MAX);
      if (some.empty()) return all;
      all += some;
    }
  }
  std::string write_types() { return types(write_all()); }
  // Time passes, deadline by deadline.
  smx::Err wait(smx::Duration d) {
    const smx::Time end = now + d;
    while (mux.deadline() <= end) {
      if (now < mux.deadline()) now = mux.deadline();
      const smx::Err e = mux.tick(now);
      mux.verify();
      if (e != smx::Err::none) return e;
    }
    now = end;
    return smx::Err::none;
  }
  smx::ChannelId open(const Data& out = "", bool ends = false) {
    const smx::ChannelId id = mux.open(now);
    Local& l = locals[id.slot];
    l = Local{};
    l.out = out;
    l.ends = ends;
    return id;
  }
  void send(smx::ChannelId id, const Data& out, bool ends = false) {
    at(id).out += out;
    at(id).ends = ends;
    mux.local_readable(id);
  }

  void on_up() override { log += "up "; }
  void on_room() override { log += "room "; }
  void on_open(smx::ChannelId id, const smx::OpenInfo& info) override {
    log += "open ";
    opened = id;
    open_info = info;
    locals[id.slot] = Local{};
    if (refuse_at_once) mux.refuse(id, smx::CloseCode::refused);
    if (accept_at_once) mux.accept(id, now);
  }
  void on_opened(smx::ChannelId) override { log += "opened "; }
  void describe(smx::ChannelId id, smx::OpenInfo* info) override { *info = at(id).info; }
  smx::Pulled on_pull(smx::ChannelId id, const smx::MutBytes* piece, int pieces) override {
    Local& l = at(id);
    if (l.when_pulled) l.when_pulled();
    smx::Pulled p;
    if (l.fails) {
      p.state = smx::Pulled::State::error;
      return p;
    }
    for (int i = 0; i < pieces; ++i)
      for (size_t j = 0; j < piece[i].size && p.size < l.out.size(); ++j) piece[i].data[j] = static_cast<uint8_t>(l.out[p.size++]);
    l.out.erase(0, p.size);
    p.state = !l.out.empty() ? smx::Pulled::State::more : l.ends ? smx::Pulled::State::end : smx::Pulled::State::empty;
    return p;
  }
  smx::Taken on_data(smx::ChannelId id, const smx::Bytes* piece, int pieces) override {
    Local& l = at(id);
    smx::Taken t;
    if (l.fails) {
      t.error = true;
      return t;
    }
    for (int i = 0; i < pieces; ++i)
      for (size_t j = 0; j < piece[i].size && t.size < l.takes; ++j, ++t.size) l.in.push_back(static_cast<char>(piece[i].data[j]));
    if (l.takes != SIZE_MAX) l.takes -= t.size;
    return t;
  }
  smx::PulledDatagram on_pull_datagram(smx::ChannelId id, const smx::MutBytes* piece, int pieces, size_t largest) override {
    Local& l = at(id);
    smx::PulledDatagram p;
    if (l.fails) {
      p.state = smx::PulledDatagram::State::error;
      return p;
    }
    for (; !l.datagrams.empty() && l.datagrams.front().size() > largest; ++l.too_large) l.datagrams.pop_front();
    size_t room = 0;
    for (int i = 0; i < pieces; ++i) room += piece[i].size;
    if (l.datagrams.empty() || l.datagrams.front().size() > room) return p;
    const Data& d = l.datagrams.front();
    for (int i = 0; i < pieces; ++i)
      for (size_t j = 0; j < piece[i].size && p.size < d.size(); ++j) piece[i].data[j] = static_cast<uint8_t>(d[p.size++]);
    p.state = smx::PulledDatagram::State::one;
    l.datagrams.pop_front();
    return p;
  }
  void on_datagram(smx::ChannelId id, const smx::Bytes* piece, int pieces) override {
    Data d;
    for (int i = 0; i < pieces; ++i)
      if (piece[i].size > 0) d.append(reinterpret_cast<const char*>(piece[i].data), piece[i].size);
    at(id).got.push_back(d);
  }
  // A flow of ours; `datagrams` are there at once.
  smx::ChannelId open_flow(const std::vector<Data>& datagrams = {}) {
    const smx::ChannelId id = mux.open(now, true);
    locals[id.slot] = Local{};
    at(id).datagrams.assign(datagrams.begin(), datagrams.end());
    return id;
  }
  void send_datagram(smx::ChannelId id, const Data& d) {
    at(id).datagrams.push_back(d);
    mux.local_readable(id);
  }
  void on_wants(smx::ChannelId) override {}
  void on_end(smx::ChannelId) override { log += "end "; }
  void on_done(smx::ChannelId) override { log += "done "; }
  void on_abort(smx::ChannelId, smx::CloseCode c) override {
    log += "abort ";
    code = c;
  }

 private:
  Data unread_;
  struct Free {
    void operator()(char* p) const { free(p); }
  };
  std::unique_ptr<char, Free> memory_;  // not touched before it is used
  smx::Arena arena_;
};

}  // namespace bench

#endif
