// Read next: peer.h.
#include "tests/e2e/peer.h"

#include <doctest/doctest.h>
#include <stdlib.h>

namespace e2e {

namespace {

constexpr unsigned kNone = 0xff;
constexpr unsigned kSlots = 64;

unsigned get16(const std::string& s, size_t at) {
  return static_cast<unsigned>(static_cast<uint8_t>(s[at])) << 8 | static_cast<uint8_t>(s[at + 1]);
}
std::string zero_ended(std::string s) {
  s.push_back('\0');
  return s;
}

}  // namespace

std::string be16(unsigned v) { return {static_cast<char>(v >> 8), static_cast<char>(v)}; }
std::string be32(uint32_t v) { return be16(v >> 16) + be16(v & 0xffff); }
std::string be64(uint64_t v) { return be32(static_cast<uint32_t>(v >> 32)) + be32(static_cast<uint32_t>(v)); }

std::string packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) {
  return std::string{static_cast<char>(version), static_cast<char>(type)} + be16(said) + be16(raid) +
         be16(static_cast<unsigned>(payload.size())) + payload;
}

std::string numbered(uint8_t type, unsigned said, unsigned raid, const std::string& payload) { return packet(0x11, type, said, raid, payload); }
std::string unnumbered(uint8_t type, const std::string& payload) { return packet(0x10, type, kNoId, kNoId, payload); }
std::string connect_fields(char kind) { return kind + std::string("\x01\x07\x04\xc0\xa8\x01\x14\xc3\xd6\x02\x07\x04\xc0\xa8\x01\x01\x23\x3f", 18); }

Peer::Peer(uint16_t port) : own_(std::make_unique<Conn>(port)), link_(own_.get()) { start(); }
Peer::Peer(Conn& accepted) : link_(&accepted) { start(); }

void Peer::start() {
  link_->on_bytes = [this](const char* bytes, size_t size) {
    held_.append(bytes, size);
    size_t at = 0;
    while (held_.size() - at >= 8) {
      const size_t length = get16(held_, at + 6);
      if (held_.size() - at < 8 + length) break;
      on_packet(static_cast<uint8_t>(held_[at]), static_cast<uint8_t>(held_[at + 1]), get16(held_, at + 2),
                get16(held_, at + 4), held_.substr(at + 8, length));
      at += 8 + length;
    }
    held_.erase(0, at);
  };
}

// ---- 0.3

void Peer03::hello() { put(kHello, 0x1234, 0x5678, zero_ended("20260102-030405.678901 by-hand")); }

void Peer03::on_packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) {
  if (version != 3) return wrong("version " + e2e::text(version));
  if (8 + payload.size() > 16384) wrong("a packet that is too long");
  switch (type) {
    case kHello:
      hello_ = payload.c_str();
      return put(kHellook, 0, 0, zero_ended("20260102-030405.678901 by-hand"));
    case kHellook:
      if (hellook_seen_) return;
      hellook_seen_ = up_ = true;
      put(kHellook, 0, 0, zero_ended("20260102-030405.678901 by-hand"));
      put(kSetopt, kNone, kNone, std::string{3} + be16(16384));
      put(kSetopt, kNone, kNone, std::string{2, 1, 0});
      return;
    case kEcho: return put(kEchook, raid, said, payload);
    case kEchook: ++echooks; return;
    case kSetopt:
    case kNoop: return;
    case kConnect: {
      ++connects;
      if (said < 2 || said > 254) wrong("an id outside of 2..254");
      if (raid != kNone && raid != 0xffff) wrong("CONNECT with a receiver's id");
      if (!busy_.insert(said).second) wrong("an id is used again before CLOSED");
      const unsigned id = free_id();
      if (id == 0) return wrong("more channels than there are slots");
      if (refuses) {
        busy_.erase(said);
        return put(kClose, kNone, said, zero_ended("No server"));
      }
      channel_[id].peer = said;
      received_[id].clear();
      if (channel_.size() > most) most = channel_.size();
      put(kConnected, id, said, zero_ended("98304 127.0.0.1:7 127.0.0.1:40000"));
      const size_t end = payload.find('\0');
      if (end == std::string::npos) return wrong("CONNECT without NUL");
      if (end + 1 < payload.size()) took(id, payload.substr(end + 1), false);
      return;
    }
    default: break;
  }
  if (type == kClose && said == kNone) {  // our CONNECT is refused
    if (channel_.count(raid) != 0) forget(raid);
    return;
  }
  const auto found = channel_.find(raid);
  if (found == channel_.end()) {
    if (type != kClosed) wrong("type " + e2e::text(type) + " for a channel that is not there");
    return;
  }
  Channel& c = found->second;
  switch (type) {
    case kConnected: {
      if (!c.ours || c.peer != 0) return wrong("CONNECTED that nobody asked for");
      c.peer = said;
      if (!busy_.insert(said).second) wrong("an id is used again before CLOSED");
      const size_t end = payload.find('\0');
      if (end != std::string::npos && end + 1 < payload.size()) took(raid, payload.substr(end + 1), false);
      return;
    }
    case kSend:
      if (said != c.peer) wrong("SEND with another id");
      return took(raid, payload, true);
    case kSent:
      ++sents;
      sent_bytes += std::stoul(payload);
      return;
    case kClose:
      if (c.closing) return forget(raid);  // both have said it
      c.dies = now() + closed_after;
      return;
    case kClosed:
      if (!c.closing) wrong("CLOSED for what is open");
      return forget(raid);
    default: return;
  }
}

void Peer03::took(unsigned id, const std::string& bytes, bool counts) {
  Channel& c = channel_[id];
  received_[id] += bytes;
  if (counts && acks) put(kSent, id, c.peer, zero_ended(e2e::text(bytes.size())));
  if (counts && !acks) c.unacked += bytes.size();
  if (echoes && !c.ours) put(kSend, id, c.peer, bytes);
  if (!c.ours && !c.closing && !ends_on.empty() && bytes == ends_on) close(id);
}

void Peer03::ack_all() {
  acks = true;
  for (auto& [id, c] : channel_) {
    if (c.unacked > 0) put(kSent, id, c.peer, zero_ended(e2e::text(c.unacked)));
    c.unacked = 0;
  }
}

void Peer03::want(std::vector<pollfd>& list) {
  (void)list;
  for (auto c = channel_.begin(); c != channel_.end();) {
    const unsigned id = c->first;
    const Channel& ch = c->second;
    ++c;
    if (ch.dies == 0 || ch.dies > now()) continue;
    put(kClosed, id, ch.peer, zero_ended("OK closed"));
    forget(id);
  }
}

unsigned Peer03::free_id() const {
  for (unsigned id = 4; id < kSlots; ++id)  // as if two were the link itself, and two were listening ports
    if (channel_.count(id) == 0) return id;
  return 0;
}

void Peer03::forget(unsigned id) {
  busy_.erase(channel_[id].peer);
  channel_.erase(id);
}

unsigned Peer03::open(const std::string& first, const std::string& client, const std::string& at) {
  const unsigned id = free_id();
  REQUIRE(id != 0);
  channel_[id].ours = true;
  received_[id].clear();
  put(kConnect, id, kNone, zero_ended("98304 " + client + " " + at) + first);
  return id;
}

void Peer03::send(unsigned id, const std::string& bytes) {
  std::string all;
  size_t at = 0;
  do {
    all += packet(3, kSend, id, channel_.at(id).peer, bytes.substr(at, 16000));
    at += 16000;
  } while (at < bytes.size());
  raw(all);
}

void Peer03::close(unsigned id) {
  Channel& c = channel_.at(id);
  c.closing = true;
  put(kClose, id, c.peer, zero_ended("DO close"));
}

void Peer03::close_one() {
  for (const auto& c : channel_) {
    if (c.second.ours || c.second.closing || c.second.dies != 0) continue;
    return close(c.first);
  }
}

// ---- 1

Peer1::Peer1(uint16_t port, const Ask& ask) : Peer(port), ask_(ask) {
  raw(packet(3, kHello, 0xffff, 0xffff, zero_ended("20260102-030405.678901 by-hand smx/1:fffffff0")));
}

void Peer1::on_packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) {
  if (version == 0x11) {
    if (keeps) seen.push_back({type, said, raid, payload});
    ++packets;
    closes += type == kClose ? 1u : 0u;
    came_ += 8 + payload.size();
    if (acks && came_ - acked_ > 1000) raw(unnumbered(kAck, be64(acked_ = came_)));
  }
  if (version == 3 && type == kHello) {
    const size_t word = payload.find(" smx/1:");
    REQUIRE(word != std::string::npos);
    const uint32_t nonce = static_cast<uint32_t>(strtoul(payload.c_str() + word + 7, nullptr, 16));
    raw(packet(0x10, kSettings, 0xffff, 0xffff,
               be32(nonce) + "\x01\x10" + ask_.session + "\x02\x08" + be64(ask_.received) + "\x03\x08" + be64(ask_.attempt) +
                   "\x04\x04" + be32(65536) + "\x05\x02" + be16(100) + "\x06\x02" + be16(ask_.hold)));
  } else if (version == 0x10 && type == kSettings) {
    up_ = true;
    session_ = payload.substr(6, 16);
    raw(packet(0x10, kEcho, 0xffff, 0xffff, be64(1)));
  } else if (version == 0x10 && type == kEcho) {
    if (answers) raw(packet(0x10, kEchook, 0xffff, 0xffff, payload));
  } else if (version == 0x10 && type == kEchook) {
    ++echooks;
  } else if (version == 0x10 && type == kBye) {
    bye_ = payload.empty() ? 256 : static_cast<uint8_t>(payload[0]);
    ++byes_;
  }
}

const Peer1::Seen* Peer1::find(uint8_t type, unsigned said, unsigned raid) const {
  for (auto s = seen.rbegin(); s != seen.rend(); ++s)
    if (s->type == type && s->said == said && s->raid == raid) return &*s;
  return nullptr;
}

}  // namespace e2e
