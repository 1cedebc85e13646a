// Read next: peer03.h.
#include "tests/sim/peer03.h"

#include <stdio.h>
#include <string.h>

namespace sim {

namespace {

uint64_t out_stream(const Conn& c, bool server) { return uint64_t{c.number} * 2 + (server ? 1 : 0); }

unsigned get16(const uint8_t* p) { return static_cast<unsigned>(p[0]) << 8 | p[1]; }

}  // namespace

void Peer03::complain(const std::string& what) {
  if (complaints_.size() < 20) complaints_.push_back(what);
}

void Peer03::packet(uint8_t type, unsigned said, unsigned raid, const std::vector<uint8_t>& payload) {
  const size_t n = payload.size();
  for (const unsigned v : {3u, unsigned{type}, said >> 8, said, raid >> 8, raid, static_cast<unsigned>(n >> 8), static_cast<unsigned>(n)})
    out_.push_back(static_cast<uint8_t>(v));
  out_.insert(out_.end(), payload.begin(), payload.end());
}

void Peer03::text(uint8_t type, unsigned said, unsigned raid, const std::string& t) {
  std::vector<uint8_t> payload(t.begin(), t.end());
  payload.push_back(0);
  packet(type, said, raid, payload);
}

void Peer03::start() {
  text(0x01, 19525, 18241, "20261123-085921.086940 vm");
  pump();
}

void Peer03::pump() {
  while (out_at_ < out_.size()) {
    const size_t n = tx->write(out_.data() + out_at_, out_.size() - out_at_);
    if (n == 0) return;
    out_at_ += n;
  }
  out_.clear();
  out_at_ = 0;
}

void Peer03::echo() {
  if (!up_ || echoes_out_ > 0) return;  // one at a time
  ++echoes_out_;
  text(0x09, none(), none(), std::to_string(clock_.now().us / 1000));
  pump();
}

unsigned Peer03::free_id() const {
  for (unsigned id = 3; id < shape_.slots; ++id)
    if (channels_.count(id) == 0) return id;
  return 0;
}

bool Peer03::client(Conn& conn) {
  const unsigned id = free_id();
  // The mux can't know of channels that are on their way: those must fit beside its 56.
  unsigned mine = 0;
  for (const auto& other : channels_) mine += other.second.server ? 0 : 1;
  if (!up_ || id == 0 || mine >= 5) return false;
  Channel& c = channels_[id];
  c.id = id;
  c.life = ++lives_;
  c.conn = &conn;
  const std::string t = "98304 10.0." + std::to_string(conn.number >> 8) + "." + std::to_string(conn.number & 255) + ":50000 127.0.0.1:9023";
  std::vector<uint8_t> payload(t.begin(), t.end());
  payload.push_back(0);
  if (mux_conn_data_ && rng_.one_in(2)) {
    uint64_t n = std::min<uint64_t>(conn.to_server, 1 + rng_.log(300));
    n = std::min<uint64_t>(n, mux_packet_ - 8 - payload.size());
    for (uint64_t i = 0; i < n; ++i) payload.push_back(pattern(out_stream(conn, false), c.given++));
  }
  packet(0x02, id, none(), payload);
  most_open_ = std::max(most_open_, static_cast<unsigned>(channels_.size()));
  pump();
  return true;
}

void Peer03::read_link() {
  uint8_t buffer[4096];
  while (!connecting_) {
    const size_t n = rx->read(buffer, sizeof buffer);
    in_.insert(in_.end(), buffer, buffer + n);
    size_t at = 0;
    while (!connecting_ && in_.size() - at >= 8) {
      const uint8_t* h = in_.data() + at;
      const size_t total = 8 + get16(h + 6);
      if (h[0] != 3) {
        complain("version " + std::to_string(h[0]));
        in_.clear();
        return;
      }
      const unsigned most = announced_ ? shape_.packet_size : 512;
      if (total > most) complain("a packet of " + std::to_string(total) + " bytes, most is " + std::to_string(most));
      if (in_.size() - at < total) break;
      const std::vector<uint8_t> payload(h + 8, h + total);
      uint8_t header[8];
      memcpy(header, h, 8);
      at += total;
      handle(header, payload);
    }
    in_.erase(in_.begin(), in_.begin() + static_cast<long>(at));
    if (n == 0) break;
  }
  pump();
}

void Peer03::handle(const uint8_t* h, const std::vector<uint8_t>& payload) {
  const unsigned type = h[1];
  const unsigned said = get16(h + 2);
  const unsigned raid = get16(h + 4);
  const auto is_text = [&] { return !payload.empty() && payload.back() == 0; };
  char name[64];
  snprintf(name, sizeof name, "packet %02x said %u raid %u", type, said, raid);
  const std::string what = name;
  switch (type) {
    case 0x01:
      if (++hellos_ > 1) complain("a second HELLO");
      if (!is_text() || payload.size() > 64) complain("HELLO is no short text");
      text(0x41, 19525, 18241, "20261123-085921.086940 vm");
      return;
    case 0x41:
      if (++hellooks_ == 1) {
        text(0x41, 19525, 18241, "20261123-085921.086940 vm");
        packet(0x0a, none(), none(), {3, static_cast<uint8_t>(shape_.packet_size >> 8), static_cast<uint8_t>(shape_.packet_size)});
        if (shape_.conn_data) packet(0x0a, none(), none(), {2, 1, 0});
        up_ = announced_ = true;
      }
      if (hellooks_ > 2) complain("more than two HELLOOK");
      return;
    case 0x0a:
      ++setopts_;
      if (said != 0xff || raid != 0xff) complain("SETOPT with ids");
      if (hellooks_ < 1) complain("SETOPT before HELLOOK");
      if (payload.size() >= 3 && payload[0] == 3) mux_packet_ = get16(&payload[1]);
      if (payload.size() >= 2 && payload[0] == 2) mux_conn_data_ = payload[1] != 0;
      return;
    case 0x09:
      if (!is_text()) complain("ECHO is no text");
      packet(0x49, raid, said, payload);
      return;
    case 0x49:
      if (!is_text() || echoes_out_ == 0) complain("ECHOOK without ECHO");
      if (said != none() || raid != none()) complain("ECHOOK without the ids of ECHO");
      --echoes_out_;
      return;
    case 0x02: return connect(said, payload);
    default: break;
  }
  if (raid < 2 || raid > 255 || channels_.count(raid) == 0) {
    if (type == 0x48 || type == 0x46) return;
    return complain(what + ": no such channel");
  }
  Channel& c = channels_[raid];
  if (type != 0x42 && type != 0x08 && c.connected && said != c.peer) complain(what + ": said is not " + std::to_string(c.peer));
  switch (type) {
    case 0x42: {
      if (c.server || c.connected) return complain(what + ": CONNECTED again");
      if (!is_text() || payload.size() > 128) complain("CONNECTED is no short text");
      if (said < 2 || said > 254) complain(what + ": id out of bounds");
      if (mux_ids_.count(said) != 0) complain(what + ": id in use");
      mux_ids_[said] = raid;
      c.peer = said;
      c.connected = true;
      return send_data(c);
    }
    case 0x06:
      if (!c.connected) return complain(what + ": before CONNECTED");
      if (c.got_close) return complain(what + ": behind CLOSE");
      c.mux_unacked += payload.size();
      if (c.mux_unacked > 4 * shape_.packet_size + shape_.packet_size - 8)
        complain(what + ": " + std::to_string(c.mux_unacked) + " bytes are not acknowledged");
      if (c.sent_close) return;  // ignored
      return take(c, payload.data(), payload.size());
    case 0x46: {
      if (!is_text()) return complain("SENT is no text");
      const uint64_t n = strtoull(reinterpret_cast<const char*>(payload.data()), nullptr, 10);
      if (n == 0 || n > c.unacked) complain(what + ": SENT " + std::to_string(n) + " of " + std::to_string(c.unacked));
      c.unacked -= std::min(n, c.unacked);
      return send_data(c);
    }
    case 0x08: {
      if (!is_text()) complain("CLOSE is no text");
      if (c.got_close) return complain(what + ": CLOSE again");
      if (!c.connected) {
        if (c.server) return complain(what + ": CLOSE before CONNECTED");
        if (said != 0xff || memcmp(payload.data(), "No server", 9) != 0) complain(what + ": a refusal with an id");
        return forget(raid);
      }
      if (said != c.peer) complain(what + ": said is not the id");
      c.got_close = true;
      if (c.sent_close) {
        if (shape_.crossing_one_in > 0 && rng_.one_in(shape_.crossing_one_in)) text(0x48, c.id, c.peer, "OK closed");
        return forget(raid);
      }
      // What is not written within 3 s is lost; so the mux must not close before.
      if (c.unwritten > 0 && c.conn->whole) complain(what + ": CLOSE while " + std::to_string(c.unwritten) + " bytes are not written");
      if (c.conn->whole && c.given < (c.server ? c.conn->to_client : c.conn->to_server)) complain(what + ": CLOSE cuts the answer");
      text(0x48, c.id, c.peer, "OK closed");
      return forget(raid);
    }
    case 0x48:
      if (!c.sent_close) return complain(what + ": CLOSED without CLOSE");
      return forget(raid);
    default: complain(what + ": unexpected");
  }
}

void Peer03::connect(unsigned said, const std::vector<uint8_t>& payload) {
  const void* nul = memchr(payload.data(), 0, payload.size());
  unsigned a = 0, b = 0, c2 = 0, d = 0, port = 0;
  const bool words = nul != nullptr && sscanf(reinterpret_cast<const char*>(payload.data()), "98304 %u.%u.%u.%u:%u 127.0.0.1:9023", &a, &b, &c2, &d, &port) == 5;
  if (!words) return complain("CONNECT: a text that DeleGate does not write");
  if (said < 2 || said > 254) complain("CONNECT: id out of bounds");
  if (mux_ids_.count(said) != 0) complain("CONNECT: id " + std::to_string(said) + " is in use");
  if (mux_ids_.size() >= 56) complain("CONNECT: more than 56 channels");
  const size_t used = static_cast<size_t>(static_cast<const uint8_t*>(nul) - payload.data()) + 1;
  if (payload.size() > used && !shape_.conn_data) complain("CONNECT: first data, which were not offered");
  Conn* conn = lookup(c2 << 8 | d);
  if (conn == nullptr || conn->answer == Conn::Answer::refuse || conn->answer == Conn::Answer::refuse_later) {
    if (conn != nullptr) conn->reached = true;
    return text(0x08, none(), said, "No server");
  }
  conn->reached = true;
  const unsigned id = free_id();
  if (id == 0) return complain("CONNECT: no slot is left");
  Channel& c = channels_[id];
  c.id = id;
  c.life = ++lives_;
  c.peer = said;
  c.conn = conn;
  c.server = true;
  mux_ids_[said] = id;
  most_open_ = std::max(most_open_, static_cast<unsigned>(channels_.size()));
  const std::vector<uint8_t> first(payload.begin() + static_cast<long>(used), payload.end());
  const auto answer = [this, id, first] {
    Channel& ch = channels_[id];
    ch.connected = true;
    std::string t = "98304 127.0.0.1:7007 127.0.0.1:53908";
    std::vector<uint8_t> text(t.begin(), t.end());
    text.push_back(0);
    Conn& cn = *ch.conn;
    if (mux_conn_data_ && cn.server.habit.gate == Habit::Gate::at_once && rng_.one_in(2)) {
      uint64_t n = std::min<uint64_t>(cn.to_client, 1 + rng_.log(300));
      n = std::min<uint64_t>(n, mux_packet_ - 8 - text.size());
      for (uint64_t i = 0; i < n; ++i) text.push_back(pattern(out_stream(cn, true), ch.given++));
    }
    packet(0x42, ch.id, ch.peer, text);
    ch.first = first.size();
    take(ch, first.data(), first.size());
    if (channels_.count(id) != 0) send_data(channels_[id]);
  };
  if (conn->answer == Conn::Answer::accept) return answer();
  connecting_ = true;  // a slow connect stops the whole link
  clock_.in(static_cast<int64_t>(rng_.log(300000)), [this, answer] {
    connecting_ = false;
    answer();
    read_link();
  });
}

void Peer03::take(Channel& c, const uint8_t* data, size_t n) {
  for (size_t i = 0; i < n; ++i) {
    if (data[i] != pattern(out_stream(*c.conn, !c.server), c.got)) return complain("a wrong byte on connection " + std::to_string(c.conn->number));
    ++c.got;
  }
  c.unwritten += n;
  const unsigned id = c.id;
  const unsigned life = c.life;
  if (c.unwritten > 0 && !c.writing) {
    c.writing = true;
    if (rng_.one_in(2)) return write_local(id, life);
    clock_.in(static_cast<int64_t>(rng_.log(50000)), [this, id, life] {
      write_local(id, life);
      pump();
    });
  }
}

// The local socket takes some; SENT says how much.
void Peer03::write_local(unsigned id, unsigned life) {
  if (channels_.count(id) == 0) return;
  Channel& c = channels_[id];
  if (c.life != life || c.got_close || c.sent_close) return;
  const uint64_t n = 1 + rng_.log(c.unwritten - 1);
  const uint64_t first = std::min(n, c.first);
  c.first -= first;
  c.unwritten -= n;
  if (n > first) {
    text(0x46, c.id, c.peer, std::to_string(n - first));
    c.mux_unacked -= n - first;
  }
  if (c.unwritten > 0) {
    clock_.in(static_cast<int64_t>(rng_.log(50000)), [this, id, life] {
      write_local(id, life);
      pump();
    });
    return;
  }
  c.writing = false;
  send_data(c);
}

void Peer03::send_data(Channel& c) {
  if (!c.connected || c.sent_close || c.got_close) return;
  const Conn& conn = *c.conn;
  const Habit& habit = c.server ? conn.server.habit : conn.client.habit;
  const uint64_t total = c.server ? conn.to_client : conn.to_server;
  const uint64_t expected = c.server ? conn.to_server : conn.to_client;
  if (habit.gate != Habit::Gate::at_once && c.got < expected) return;
  while (c.given < total && c.unacked <= 4 * mux_packet_) {
    size_t n = static_cast<size_t>(std::min<uint64_t>(total - c.given, mux_packet_ - 8));
    if (rng_.one_in(3)) n = 1 + rng_.size(n - 1);
    std::vector<uint8_t> data(n);
    for (uint8_t& b : data) b = pattern(out_stream(conn, c.server), c.given++);
    c.unacked += n;
    packet(0x06, c.id, c.peer, data);
  }
  // DeleGate closes as soon as its socket ends; a socket that ends when it has all, here.
  if (c.given == total && c.got == expected && c.unwritten == 0) {
    const bool leaves = c.server || habit.end != Habit::End::peer_end;
    if (!leaves) return;
    c.sent_close = true;
    text(0x08, c.id, c.peer, "DO close");
  }
}

void Peer03::forget(unsigned id) {
  const Channel& c = channels_[id];
  if (mux_ids_.count(c.peer) != 0 && mux_ids_[c.peer] == id) mux_ids_.erase(c.peer);
  channels_.erase(id);
}

}  // namespace sim
