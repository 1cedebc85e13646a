// Packets of dialect 0.3 and HELLO: header, limits, texts. Input: packets behind each other, with their payloads as far as they
// are there. What was understood is made anew and understood as the same. Read next: core/mux/packet.h.
#include "core/mux/packet.h"
#include "core/mux/tap.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

void texts(smx::Bytes payload) {
  smx::Address a, b;
  size_t used = 0;
  if (smx::parse_connect_text(payload, &a, &b, &used) == smx::Err::none) {
    MUST(used > 0);
    MUST(used <= payload.size);
    MUST(payload.data[used - 1] == 0);
    uint8_t text[128];
    const size_t n = smx::make_connect_text(a, b, text);
    MUST(n > 0);
    MUST(n <= sizeof text);
    smx::Address c, d;
    size_t again = 0;
    MUST(smx::parse_connect_text({text, n}, &c, &d, &again) == smx::Err::none);
    MUST(again == n);
    MUST(a.family == 0 || c == a);
    MUST(b.family == 0 || d == b);
  }
  uint32_t count = 0;
  if (smx::parse_count(payload, &count) == smx::Err::none) MUST(count < 1u << 31);
  const smx::HelloWord word = smx::parse_hello_word(payload);
  if (!word.present) MUST(word.nonce == 0);
  // A text that can begin so can do so in each of its parts.
  if (smx::may_be_hello_stamp(payload))
    for (size_t n = 0; n < payload.size && n <= smx::kHelloStamp; ++n) MUST(smx::may_be_hello_stamp({payload.data, n}));
}

}  // namespace

void packet03(smx::Bytes input) {
  Input in(input);
  while (!in.empty()) {
    uint8_t raw[smx::kHeader] = {};
    const smx::Bytes head = in.bytes(sizeof raw);
    memcpy(raw, head.data, head.size);
    const smx::Header h = smx::decode_header(raw);
    uint8_t again[smx::kHeader];
    smx::encode_header(h, again);
    MUST(memcmp(raw, again, sizeof raw) == 0);
    const Exact payload(in.bytes(h.length));
    for (const smx::Dialect d : {smx::Dialect::v03, smx::Dialect::unknown}) {
      bool known = true;
      const smx::Err e = smx::check_header(h, d, &known);
      if (e == smx::Err::none) MUST(h.length <= smx::kMaxPayload);
      const smx::Bytes piece[2] = {{payload.bytes().data, payload.size() / 2}, {payload.bytes().data + payload.size() / 2, payload.size() - payload.size() / 2}};
      smx::TapPacket p;
      p.dialect = d;
      p.header = h;
      p.piece = piece;
      p.pieces = 2;
      MUST(smx::shown_bytes(p, 64) <= payload.size());
    }
    texts(payload.bytes());
  }
}

}  // namespace fuzz
