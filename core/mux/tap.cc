// What may be seen of a packet, and the ring of those that somebody watches. Read next: tap.h.
#include "core/mux/tap.h"

#include <string.h>

#include "core/mux/mux.h"
#include "core/mux/run.h"

namespace smx {

namespace {

constexpr size_t kMostControl = 1024;  // of what is no data: the largest of the tables in packet.cc
constexpr size_t kMostHello = 320;
constexpr size_t kMostText03 = 512;    // of CONNECT: parse_connect_text()
static_assert(kMostControl + sizeof(TapRing::Record) + kHeader <= 1100, "tap.h says so");

size_t least(size_t a, size_t b) { return a < b ? a : b; }

// What stands before the first data in CONNECT and CONNECTED of 0.3, NUL included; 0: they cannot be told apart.
size_t text_size(const TapPacket& p) {
  size_t n = 0;
  for (int i = 0; i < p.pieces; ++i) {
    for (size_t k = 0; k < p.piece[i].size && n < kMostText03; ++k) {
      ++n;
      if (p.piece[i].data[k] == 0) return n;
    }
  }
  return 0;
}

// Those of SockMux 1 have another first byte than those of 0.3, but for HELLO.
bool is_v03(const Header& h) { return h.version == kVersion03; }

}  // namespace

size_t shown_bytes(const TapPacket& p, size_t data) {
  const size_t all = total_size(p.piece, p.pieces);
  switch (static_cast<Type>(p.header.type)) {
    case Type::send:
    case Type::sendoob:
    case Type::dgram:
    case Type::part:
    case Type::noop: return least(all, data);
    case Type::connect:
    case Type::connected: {
      if (!is_v03(p.header)) return least(all, kMostControl);
      const size_t text = text_size(p);
      return text == 0 ? 0 : text + least(all - text, data);
    }
    case Type::hello:
    case Type::hellook: return least(all, kMostHello);
    case Type::settings: return all <= kMostSettings ? all : 0;
    case Type::crypton: return 0;  // a key
    case Type::bind:
    case Type::close:
    case Type::echo:
    case Type::setopt:
    case Type::unbind:
    case Type::ack:
    case Type::repeat:
    case Type::bye:
    case Type::credit:
    case Type::fin:
    case Type::refund:
    case Type::bindok:
    case Type::sent:
    case Type::sentoob:
    case Type::closed:
    case Type::echook: return least(all, kMostControl);
  }
  return least(all, data);  // nobody knows what it is
}

void mask_settings(uint8_t* payload, size_t size) {
  constexpr uint8_t kSession = 1, kLastKnown = 7;
  constexpr size_t kNonce = 4;
  const auto mask = [&](size_t from, size_t to) { memset(payload + from, kMasked, to - from); };
  size_t at = kNonce;
  while (at < size) {
    if (size - at < 2 || payload[at + 1] > size - at - 2) return mask(at, size);  // no fields
    const uint8_t type = payload[at];
    const size_t end = at + 2 + payload[at + 1];
    bool zeros = type == kSession;
    for (size_t i = at + 2; i < end; ++i) zeros = zeros && payload[i] == 0;
    if ((type <= kSession || type > kLastKnown) && !zeros) mask(at + 2, end);
    at = end;
  }
}

bool TapRing::add(const TapPacket& p, size_t data, Time at) {
  Record r;
  const size_t shown = shown_bytes(p, data);
  if (shown + kHeader + sizeof r > ring_.room()) {
    if (lost_ < UINT32_MAX) ++lost_;
    return false;
  }
  r.at = at;
  r.session = p.session;
  r.lost = take_lost();
  r.shown = static_cast<uint16_t>(shown);
  r.dialect = p.dialect;
  r.sent = p.sent;
  uint8_t bytes[sizeof r + kHeader];
  memcpy(bytes, &r, sizeof r);
  encode_header(p.header, bytes + sizeof r);
  ring_.copy_in(ring_.tail(), bytes, sizeof bytes);
  ring_.append(sizeof bytes);
  if (p.header.type == static_cast<uint8_t>(Type::settings)) {
    uint8_t payload[kMostSettings];
    size_t n = 0;
    for (int i = 0; i < p.pieces && n < shown; ++i) {
      memcpy(payload + n, p.piece[i].data, p.piece[i].size);
      n += p.piece[i].size;
    }
    mask_settings(payload, shown);
    ring_.copy_in(ring_.tail(), payload, shown);
    ring_.append(shown);
    return true;
  }
  size_t left = shown;
  for (int i = 0; left > 0; ++i) {
    const size_t n = least(left, p.piece[i].size);
    ring_.copy_in(ring_.tail(), p.piece[i].data, n);
    ring_.append(n);
    left -= n;
  }
  return true;
}

bool TapRing::front(Record* out) const {
  if (empty()) return false;
  uint8_t bytes[sizeof *out];
  ring_.copy_out(ring_.head(), bytes, sizeof bytes);
  memcpy(static_cast<void*>(out), bytes, sizeof bytes);
  return true;
}

void TapRing::pop() {
  Record r;
  if (front(&r)) ring_.release(ring_.head() + sizeof r + kHeader + r.shown);
}

uint32_t TapRing::take_lost() {
  const uint32_t n = lost_;
  lost_ = 0;
  return n;
}

void TapRing::clear() {
  ring_.reset(0);
  lost_ = 0;
}

// ---- what the mux tells

void Mux::tell(bool sent, const Header& h, const Bytes* piece, int pieces) const {
  TapPacket p;
  p.session = tap_session_;
  p.dialect = dialect_;
  p.sent = sent;
  p.header = h;
  p.piece = piece;
  p.pieces = pieces;
  tap_->on_packet(p);
}

void Mux::tell_sent(const Header& h, uint64_t payload) const {
  MutBytes part[2];
  const int parts = tx_.view(payload, h.length, part);
  Bytes piece[2];
  for (int i = 0; i < parts; ++i) piece[i] = {part[i].data, part[i].size};
  tell(true, h, piece, parts);
}

// A payload that wraps is whole in `payload` only if it was copied: parse().
void Mux::tell_received(Bytes payload, const Run& run) const {
  Bytes piece[2] = {payload};
  const bool wraps = run.parts == 2 && payload.data == run.part[0].data;
  for (int i = 0; wraps && i < 2; ++i) piece[i] = {run.part[i].data, run.part[i].size};
  tell(false, header_, piece, wraps ? 2 : 1);
}

}  // namespace smx
