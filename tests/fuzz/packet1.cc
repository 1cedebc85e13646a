// Packets of SockMux 1: header, limits, fields. Input: packets behind each other. What was understood is made anew and understood
// as the same. Read next: core/mux/packet.h.
#include "core/mux/packet.h"
#include "core/mux/tap.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

void settings(smx::Bytes payload) {
  smx::Settings s;
  if (smx::parse_settings(payload, &s) == smx::Err::none) {
    MUST(s.credit >= smx::kMinCredit);
    MUST(s.credit <= smx::kMaxCredit);
    MUST(memchr(s.peer_name, 0, sizeof s.peer_name) != nullptr);
    uint8_t out[smx::kMostSettings];
    const size_t n = smx::make_settings(s, out, sizeof out);
    smx::Settings t;
    MUST(smx::parse_settings({out, n}, &t) == smx::Err::none);
    MUST(t.answered_nonce == s.answered_nonce);
    MUST(t.has_attempt == s.has_attempt);
    MUST(memcmp(t.session, s.session, sizeof s.session) == 0);
    MUST(t.received == s.received);
    MUST(t.credit == s.credit);
    MUST(t.channels == s.channels);
    MUST(t.hold_s == s.hold_s);
    MUST(strcmp(t.peer_name, s.peer_name) == 0);
    if (s.has_attempt) MUST(t.attempt == s.attempt);
  }
  if (payload.size <= smx::kMostSettings) {
    Exact masked(payload);
    smx::mask_settings(masked.data(), masked.size());
  }
}

bool same(const smx::OpenInfo& a, const smx::OpenInfo& b) {
  return a.client == b.client && a.local == b.local && a.udp == b.udp && a.bind == b.bind && a.control == b.control &&
         a.client_port == b.client_port;
}

void opens(smx::Bytes payload) {
  uint8_t out[1024];
  bool unsupported = false;
  smx::OpenInfo a, b;
  if (smx::parse_connect_fields(payload, &a, &unsupported) == smx::Err::none && !unsupported) {
    const size_t n = smx::make_connect_fields(a, out, sizeof out);
    MUST(smx::parse_connect_fields({out, n}, &b, &unsupported) == smx::Err::none);
    MUST(!unsupported);
    MUST(same(a, b));
  }
  smx::OpenInfo c, d;
  if (smx::parse_bind_fields(payload, &c, &unsupported) == smx::Err::none && !unsupported) {
    const size_t n = smx::make_bind_fields(c, out, sizeof out);
    MUST(smx::parse_bind_fields({out, n}, &d, &unsupported) == smx::Err::none);
    MUST(!unsupported);
    MUST(same(c, d));
  }
  smx::Address at, again;
  if (smx::parse_bindok_fields(payload, &at) == smx::Err::none) {
    MUST(at.family != 0);
    const size_t n = smx::make_bindok_fields(at, out, sizeof out);
    MUST(smx::parse_bindok_fields({out, n}, &again) == smx::Err::none);
    MUST(again == at);
  }
  if (smx::parse_address_field(payload, &at) != smx::Err::none) return;
  MUST(at.family == 0 || at.family == 4 || at.family == 6);
}

}  // namespace

void packet1(smx::Bytes input) {
  Input in(input);
  while (!in.empty()) {
    uint8_t raw[smx::kHeader] = {};
    const smx::Bytes head = in.bytes(sizeof raw);
    memcpy(raw, head.data, head.size);
    const smx::Header h = smx::decode_header(raw);
    const Exact payload(in.bytes(h.length));
    bool known = true;
    if (smx::check_header(h, smx::Dialect::v1, &known) == smx::Err::none) MUST(h.length <= smx::kMaxPayload);
    const smx::Bytes piece[1] = {payload.bytes()};
    smx::TapPacket p;
    p.dialect = smx::Dialect::v1;
    p.header = h;
    p.piece = piece;
    p.pieces = 1;
    MUST(smx::shown_bytes(p, 64) <= payload.size());
    smx::Fields fields(payload.bytes());
    uint8_t type = 0;
    smx::Bytes value;
    size_t most = 0;
    while (fields.next(&type, &value)) MUST(++most <= payload.size() / 2);
    settings(payload.bytes());
    opens(payload.bytes());
    const smx::CloseCode code = smx::close_code(static_cast<uint8_t>(h.type));
    MUST(smx::name(code)[0] != 0);
    MUST(smx::name(static_cast<smx::ByeCode>(h.type))[0] != 0);
  }
}

}  // namespace fuzz
