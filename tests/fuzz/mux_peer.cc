// A mux and a peer that is made up, of either dialect. Input: how the mux is made, then a script of what the peer says (packets as
// they should be, with a field changed, or bytes) and of what happens on this side: sockets, time, links that are cut.
//
// What the mux writes keeps its dialect's limits, and never more than the peer's credit; a socket gets what the peer has said on that
// channel, as long as nothing was said of it that the script did not keep count of. Read next: end.h, mux_pair.cc.
#include <stdio.h>

#include <map>

#include "tests/fuzz/end.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

constexpr smx::Type kTypes[] = {
    smx::Type::noop,   smx::Type::hello,     smx::Type::connect, smx::Type::bind,   smx::Type::send,   smx::Type::sendoob,
    smx::Type::close,  smx::Type::echo,      smx::Type::setopt,  smx::Type::crypton, smx::Type::unbind, smx::Type::settings,
    smx::Type::ack,    smx::Type::repeat,    smx::Type::bye,     smx::Type::credit, smx::Type::fin,    smx::Type::dgram,
    smx::Type::part,   smx::Type::refund,    smx::Type::hellook, smx::Type::connected, smx::Type::bindok, smx::Type::sent,
    smx::Type::sentoob, smx::Type::closed,   smx::Type::echook,  static_cast<smx::Type>(0x7f), static_cast<smx::Type>(0x80)};

smx::MuxConfig make_config(Input& in, uint8_t how) {
  smx::MuxConfig c;
  constexpr smx::MuxConfig::Proto kProto[] = {smx::MuxConfig::Proto::automatic, smx::MuxConfig::Proto::automatic, smx::MuxConfig::Proto::v1,
                                              smx::MuxConfig::Proto::v03};
  c.proto = kProto[how & 3];
  c.asks = (how & 4) != 0;
  c.hold = (how & 8) != 0 ? smx::seconds(0) : smx::seconds(60);
  c.accepts = (how & 16) != 0 ? 3 : 12;
  c.opens = (how & 32) != 0 ? 1 : 12;
  c.first_credit = (how & 64) != 0 ? 512 : 4096;
  c.memory_bytes = smx::Mux::guaranteed_bytes(c) + (in.u8() & 7) * 32768;
  c.tx_ring = c.rx_ring = 64 * 1024;
  c.lines = false;
  return c;
}

class Peer {
 public:
  Peer(Input& in, uint8_t how) : in_(in), old_((how & 0x80) != 0), end_(streams_, make_config(in, how), 0) {
    const uint8_t link = in.u8();
    constexpr uint32_t kRates[] = {0, 0, 1200, 100000};
    start_.rate = kRates[link & 3];
    start_.search = (link & 4) != 0;
    start_.repeat = (link & 12) == 12;
    credit_ = (link & 16) != 0 ? 512 : 60000;
    end_.context = this;
    end_.on_said = [](void* context, const smx::Header& h, smx::Bytes payload) { static_cast<Peer*>(context)->heard(h, payload); };
  }
  void run() {
    link();
    for (int i = 0; i < 400 && !in_.empty(); ++i) {
      step();
      end_.turn();
      if (reads_) (void)end_.say();
    }
    // Then it is silent: the link ends, and with it, in the end, the session.
    for (int i = 0; i < 100 && linked_; ++i) {
      (void)end_.say();
      pass(smx::seconds(20));
      if (linked_ && !end_.mux.up() && !start_.search) MUST(i < 50);
    }
    cut(false);
    pass(smx::seconds(100));
    MUST(!end_.mux.held());
    MUST(end_.mux.channels() == end_.mux.orphans());
  }

 private:
  void link() {
    if (linked_) return;
    linked_ = true;
    ++attempt_;
    for (size_t i = 0; i < sizeof start_.random; ++i) start_.random[i] = static_cast<uint8_t>(pattern(attempt_, 0, i) | 1);
    start_.random[0] = 0x80;
    start_.attempt = uint64_t{9} << 32 | attempt_;
    end_.up(start_);
    told_.clear();
    nonce_ = 0;
  }
  void cut(bool keep) {
    if (!linked_) return;
    linked_ = false;
    end_.mux.link_down(end_.now, keep);
    if (end_.mux.held()) repeats_ = true;
    else over();
  }
  // The session is over: its channels are gone.
  void over() {
    end_.break_all();
    given_.clear();
    ours_.clear();
    theirs_.clear();
    numbered_ = 0;
    repeats_ = false;
  }
  void fault(smx::Err e) {
    if (e == smx::Err::none) return;
    const bool ours = e >= smx::Err::bad_version && e <= smx::Err::own_echo && e != smx::Err::restarted;
    if (e != smx::Err::said_bye && end_.mux.dialect() == smx::Dialect::v1) end_.mux.bye(smx::ByeCode::protocol_error);
    (void)end_.say();
    cut(!(ours || e == smx::Err::session_broken || (e == smx::Err::said_bye && (end_.mux.peer_bye() & 0x80) != 0)));
  }
  void pass(smx::Duration d) {
    const smx::Time until = end_.now + d;
    const smx::Err e = end_.wait(d);
    end_.now = until;
    if (linked_) fault(e);
    else if (!end_.mux.held()) over();
  }

  // ---- what the mux says
  void heard(const smx::Header& h, smx::Bytes payload) {
    const smx::Type type = static_cast<smx::Type>(h.type);
    if (type == smx::Type::hello) {
      const smx::HelloWord word = smx::parse_hello_word(payload);
      if (word.present) nonce_ = word.nonce;
    }
    if (type == smx::Type::settings) {
      smx::Settings s;
      MUST(smx::parse_settings(payload, &s) == smx::Err::none);
      if (memcmp(session_, s.session, sizeof session_) != 0) numbered_ = 0;  // another session
      memcpy(session_, s.session, sizeof session_);
    }
    if (h.version == smx::kVersion03) {
      if (type == smx::Type::connected) ids_[h.raid] = h.said;
      if (type == smx::Type::connect) ids_[h.said | 0x100u] = h.said;
      return;
    }
    if (h.version != smx::kNumbered) return;
    numbered_ += smx::kHeader + h.length;
    const uint32_t key = h.said != smx::kNone ? h.said : 0x10000u | h.raid;
    if (type == smx::Type::connect) {
      given_[key] = credit_;
      smx::OpenInfo info;
      bool unsupported = false;
      MUST(smx::parse_connect_fields(payload, &info, &unsupported) == smx::Err::none);
      if (streams_.known(info.client.port)) theirs_[h.said] = info.client.port;
    }
    if ((type == smx::Type::send || type == smx::Type::sendoob || type == smx::Type::refund) && !streams_.wild && !repeats_) {
      const uint64_t n = type == smx::Type::refund ? smx::load32(payload.data) : h.length;
      MUST(given_[key] >= n);
      given_[key] -= n;
    }
  }

  // ---- what the peer says
  void put(const Data& bytes) {
    if (!linked_) return;
    const size_t step = small_ ? 3 : SIZE_MAX;
    for (size_t at = 0; at < bytes.size() && linked_; at += step < bytes.size() - at ? step : bytes.size() - at)
      fault(end_.hear({view(bytes).data + at, step < bytes.size() - at ? step : bytes.size() - at}));
  }
  void packet(uint8_t version, smx::Type type, uint16_t said, uint16_t raid, const Data& payload) {
    uint8_t raw[smx::kHeader];
    smx::encode_header({version, static_cast<uint8_t>(type), said, raid, static_cast<uint16_t>(payload.size())}, raw);
    put(data_of({raw, sizeof raw}) + payload);
  }
  void numbered(smx::Type type, bool mine, uint16_t number, const Data& payload) {
    packet(smx::kNumbered, type, mine ? number : smx::kNone, mine ? smx::kNone : number, payload);
  }
  static Data bytes32(uint32_t v) {
    uint8_t b[4];
    smx::store32(b, v);
    return data_of({b, sizeof b});
  }
  static Data bytes64(uint64_t v) { return bytes32(static_cast<uint32_t>(v >> 32)) + bytes32(static_cast<uint32_t>(v)); }

  void hello(uint8_t how) {
    char text[64];
    const unsigned nonce = (how & 1) != 0 ? 0xff000001u : 0x00000001u;
    const int n = snprintf(text, sizeof text, old_ ? "20261123-085921.%06u vm" : "20261123-085921.%06u vm smx/1:%08x", how & 0x7eu, nonce + (how & 0x7eu));
    mine_ = nonce + (how & 0x7eu);
    packet(smx::kVersion03, smx::Type::hello, 0, 0, Data(text, static_cast<size_t>(n) + 1));
  }
  void settings(uint8_t how) {
    smx::Settings s;
    s.answered_nonce = (how & 1) != 0 ? nonce_ + 1 : nonce_;
    s.has_attempt = mine_ > nonce_ || (how & 2) != 0;
    s.attempt = uint64_t{5} << 32 | ++our_attempt_;
    if ((how & 4) != 0) s.attempt -= 2;
    if ((how & 8) != 0) memcpy(s.session, session_, sizeof session_);
    s.received = (how & 8) != 0 ? numbered_ - ((how & 16) != 0 ? 1 : 0) : 0;
    if (!s.has_attempt && (how & 24) == 0) memset(s.session, 7, sizeof s.session);
    s.credit = credit_;
    s.channels = (how & 32) != 0 ? 1 : 12;
    s.hold_s = (how & 64) != 0 ? 0 : 60;
    strcpy(s.peer_name, (how & 128) != 0 ? "a name\x1b" : "");
    uint8_t out[smx::kMostSettings];
    packet(smx::kUnnumbered, smx::Type::settings, smx::kNone, smx::kNone, data_of({out, smx::make_settings(s, out, sizeof out)}));
  }
  void shake(uint8_t how) {
    if (old_) {
      hello(how);
      packet(smx::kVersion03, smx::Type::hellook, 0, 0, Data("20261123-085921.000000 vm\0", 26));
      packet(smx::kVersion03, smx::Type::setopt, 0xff, 0xff, Data("\3\x40\0", 3));
      packet(smx::kVersion03, smx::Type::setopt, 0xff, 0xff, Data("\2\1\0", 3));
      (void)end_.say();
      return;
    }
    (void)end_.say();
    hello(how);
    (void)end_.say();
    settings(how & 0xf8);
    if (reads_) (void)end_.say();
  }
  void connect(uint16_t number, bool udp, const Data& first) {
    if (streams_.list.size() > 200) return;
    const uint32_t stream = streams_.add(udp);
    smx::OpenInfo info;
    MUST(smx::parse_ip("10.0.0.1", &info.client));
    info.client.port = static_cast<uint16_t>(stream);
    MUST(smx::parse_ip_port("10.0.0.2:2222", &info.local));
    info.udp = udp;
    if (ours_.count(number) != 0) streams_.list[ours_[number]].tainted = true;  // a second one of that number
    ours_[number] = stream;
    uint8_t out[256];
    if (old_) {
      const size_t n = smx::make_connect_text(info.client, info.local, out);
      streams_.list[stream].tainted = !first.empty();
      return packet(smx::kVersion03, smx::Type::connect, number, 0xff, data_of({out, n}) + first);
    }
    given_[0x10000u | number] = credit_;
    numbered(smx::Type::connect, true, number, data_of({out, smx::make_connect_fields(info, out, sizeof out)}));
  }
  void taint(bool mine, uint16_t number) {
    const auto& map = mine ? ours_ : theirs_;
    const auto found = map.find(number);
    if (found != map.end()) streams_.list[found->second].tainted = true;
  }
  void send(bool mine, uint16_t number, uint32_t n, bool urgent) {
    if (!end_.mux.up()) taint(mine, number);  // it is lost, as noise where the link looks for HELLO
    const auto& map = mine ? ours_ : theirs_;
    const auto found = map.find(number);
    Data d;
    const int way = mine ? 0 : 1;
    const uint32_t stream = found == map.end() ? 0 : found->second;
    if (urgent) n = 1;
    if (old_ && stream == 0) streams_.wild = true;  // of which channel its number is nobody has kept
    if (stream != 0 && streams_.list[stream].udp) streams_.list[stream].tainted = true;  // these are no datagrams of end.h's
    for (uint32_t i = 0; i < n; ++i) d.push_back(static_cast<char>(stream == 0 ? 0 : pattern(stream, way, streams_.list[stream].way[way].sent++)));
    if (old_) return packet(smx::kVersion03, urgent ? smx::Type::sendoob : smx::Type::send, number, ids_[mine ? number : number | 0x100u], d);
    numbered(urgent ? smx::Type::sendoob : smx::Type::send, mine, number, d);
  }
  void generic() {
    const smx::Type type = kTypes[in_.u8() % (sizeof kTypes / sizeof kTypes[0])];
    const uint8_t how = in_.u8();
    const uint16_t a = in_.u8() % 16, b = in_.u8() % 16;
    const Data payload = data_of(in_.bytes(in_.u8() % 64));
    constexpr uint8_t kVersions[] = {smx::kNumbered, smx::kUnnumbered, smx::kVersion03, smx::kVersion03Crypt};
    const uint8_t version = old_ && (how & 3) != 3 ? smx::kVersion03 : kVersions[how & 3];
    uint16_t said = (how & 4) != 0 ? smx::kNone : a, raid = (how & 8) != 0 ? b : smx::kNone;
    if (old_ && (how & 4) == 0) raid = ids_[a];
    for (const uint16_t number : {a, b})
      for (const bool mine : {true, false}) taint(mine, number);
    if (type == smx::Type::credit && payload.size() == 4) {
      given_[said != smx::kNone ? 0x10000u | said : raid] += smx::load32(view(payload).data);
    }
    if ((how & 16) != 0) {  // its length lies
      streams_.wild = true;
      uint8_t raw[smx::kHeader];
      smx::encode_header({version, static_cast<uint8_t>(type), said, raid, static_cast<uint16_t>(payload.size() + (how & 32 ? 1 : 20000))}, raw);
      return put(data_of({raw, sizeof raw}) + payload);
    }
    if (type == smx::Type::connect || type == smx::Type::settings) streams_.wild = true;
    packet(version, type, said, raid, payload);
  }

  void step() {
    const uint8_t op = in_.u8();
    switch (op & 31) {
      case 0:
      case 1: shake(in_.u8()); break;
      case 2: hello(in_.u8()); break;
      case 3: settings(in_.u8()); break;
      case 4:
      case 5: connect(in_.u8() % 14, (op & 32) != 0, (op & 64) != 0 ? data_of(in_.bytes(20)) : Data()); break;
      case 6:
      case 7:
      case 8: {
        const uint16_t number = in_.u8() % 14;
        send((op & 32) == 0, number, in_.u8() * ((op & 64) != 0 ? 60u : 1u), (op & 128) != 0);
        break;
      }
      case 9: {
        const uint16_t number = in_.u8() % 14;
        taint((op & 32) == 0, number);
        numbered((op & 64) != 0 ? smx::Type::fin : smx::Type::close, (op & 32) == 0, number, (op & 64) != 0 ? Data() : Data(1, static_cast<char>(op >> 7)));
        break;
      }
      case 10: {
        const uint16_t number = in_.u8() % 14;
        const uint32_t n = in_.u16();
        const bool mine = (op & 32) == 0;
        if (old_) {
          packet(smx::kVersion03, smx::Type::sent, number, ids_[mine ? number : number | 0x100u], std::to_string(n) + '\0');
          break;
        }
        given_[mine ? 0x10000u | number : number] += n;
        numbered(smx::Type::credit, mine, number, bytes32(n));
        break;
      }
      case 11: packet(smx::kUnnumbered, smx::Type::ack, smx::kNone, smx::kNone, bytes64(numbered_ - ((op & 32) != 0 ? in_.u8() : 0u))); break;
      case 12:
      case 13: generic(); break;
      case 14:
        streams_.wild = true;
        put(data_of(in_.bytes(in_.u8() % 32)));
        break;
      case 15: {
        const uint16_t number = in_.u8() % 14;
        const bool ok = (op & 32) != 0;
        uint8_t out[64];
        smx::Address at;
        MUST(smx::parse_ip_port("10.0.0.2:2222", &at));
        if (old_) packet(smx::kVersion03, smx::Type::connected, static_cast<uint16_t>(number + 32), ids_[number | 0x100u], data_of({out, smx::make_connect_text(at, at, out)}));
        else if (ok) numbered(smx::Type::bindok, false, number, data_of({out, smx::make_bindok_fields(at, out, sizeof out)}));
        else numbered(smx::Type::connected, false, number, "");
        break;
      }
      case 16: {
        const uint16_t number = in_.u8() % 14;
        taint((op & 32) == 0, number);
        numbered((op & 64) != 0 ? smx::Type::part : smx::Type::dgram, (op & 32) == 0, number, Data(in_.u8() * 32u, 'd'));
        break;
      }
      case 17: end_.open((op & 32) != 0); break;
      case 18: end_.open_bind(); break;
      case 19:
        if (Local* l = end_.pick(in_.u8())) end_.send(*l, in_.u8() * ((op & 32) != 0 ? 64u : 1u));
        break;
      case 20:
        if (Local* l = end_.pick(in_.u8())) end_.end(*l);
        break;
      case 21:
        if (Local* l = end_.pick(in_.u8())) end_.abort(*l, static_cast<smx::CloseCode>(1 + (op >> 5 & 3)));
        break;
      case 22:
        if (Local* l = end_.pick(in_.u8())) l->takes = (op & 32) != 0 ? SIZE_MAX : in_.u8() * 16u;
        break;
      case 23:
        if (Local* l = end_.pick(in_.u8())) ((op & 32) != 0 ? l->fails : l->urgent) = true;
        break;
      case 24:
        if (Local* l = end_.pick(in_.u8())) end_.answer(*l, (op & 32) == 0);
        break;
      case 25: ((op & 32) != 0 ? end_.accepts : end_.refuses) = (op & 64) != 0; break;
      case 26: pass(smx::millis(in_.u8() * ((op & 32) != 0 ? 200 : 1))); break;
      case 27:
        cut((op & 32) == 0);
        break;
      case 28: link(); break;
      case 29: ((op & 32) != 0 ? reads_ : small_) = (op & 64) != 0; break;
      case 30: (void)end_.say(in_.u8()); break;
      default:
        if (linked_ && (op & 32) != 0) end_.mux.probe(end_.now, smx::seconds(3));
        else (void)end_.mux.make_room(end_.now);
    }
  }

  Input& in_;
  Streams streams_;
  bool old_;  // speaks 0.3
  End end_;
  smx::LinkStart start_;
  bool linked_ = false, reads_ = true, small_ = false;
  uint32_t attempt_ = 0, our_attempt_ = 0, credit_ = 0;
  uint32_t nonce_ = 0, mine_ = 0;  // the mux's; the peer's
  uint8_t session_[16] = {};
  uint64_t numbered_ = 0;  // bytes that the mux has written in this session
  bool repeats_ = false;   // the session has had a link before: what it writes may be what it has written, which takes no credit
  Data told_;
  std::map<uint32_t, uint64_t> given_;      // credit that the mux may use: its channel n, and 0x10000 | ours n
  std::map<uint16_t, uint32_t> ours_, theirs_;  // streams by number
  std::map<uint32_t, uint16_t> ids_;        // 0.3: the mux's id of our channel n; 0x100 | its id of one that it has opened
};

}  // namespace

void mux_peer(smx::Bytes input) {
  Input in(input);
  const uint8_t how = in.u8();
  Peer peer(in, how);
  peer.run();
}

}  // namespace fuzz
