// Frames of lossy lines. Input: first a frame that is made and must be read as the same, whole and with a byte changed; the rest is
// what comes over a line: nothing is read beyond it, and it is understood the same in one piece and byte by byte.
// Read next: core/mux/line.h.
#include "core/mux/line.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

struct Heard {
  std::vector<Data> blocks;
  size_t bad = 0;
};

Heard hear(smx::Bytes bytes, size_t step) {
  Heard h;
  smx::LineDecoder decoder;
  decoder.reset();
  for (size_t at = 0; at < bytes.size; at += step) {
    const Exact piece(smx::Bytes{bytes.data + at, step < bytes.size - at ? step : bytes.size - at});
    smx::Bytes in = piece.bytes();
    for (;;) {
      const size_t before = in.size;
      const smx::LineDecoder::Got got = decoder.take(&in);
      MUST(in.size <= before);
      if (got == smx::LineDecoder::Got::nothing) break;
      MUST(in.size < before);
      if (got == smx::LineDecoder::Got::bad) {
        ++h.bad;
        continue;
      }
      MUST(decoder.block().size > 0);
      MUST(decoder.block().size <= smx::kLineBlock);
      const Exact block(decoder.block());
      smx::LineFrame f;
      if (smx::parse_block(block.bytes(), &f)) MUST(f.unnumbered.size + f.numbered.size <= smx::kLinePayload);
      h.blocks.push_back(data_of(decoder.block()));
    }
    MUST(in.size == 0);
  }
  return h;
}

}  // namespace

void line(smx::Bytes input) {
  Input in(input);
  smx::LineFrame f;
  f.off = in.u16();
  f.ack = in.u16();
  const uint8_t how = in.u8();
  const Exact un(in.bytes(in.below(smx::kLinePayload + 1)));
  f.unnumbered = un.bytes();
  const Exact num(in.bytes(in.below(static_cast<uint32_t>(smx::kLinePayload - un.size()) + 1)));
  f.numbered = num.bytes();
  uint8_t out[smx::kLineFrame];
  const size_t n = smx::encode_line(f, out);
  MUST(n <= smx::kLineFrame);
  MUST(memchr(out, 0, n) == out + n - 1);
  const Heard one = hear({out, n}, SIZE_MAX);
  MUST(one.blocks.size() == 1);
  MUST(one.bad == 0);
  smx::LineFrame g;
  MUST(smx::parse_block(view(one.blocks[0]), &g));
  MUST(g.off == f.off);
  MUST(g.ack == f.ack);
  MUST(data_of(g.unnumbered) == data_of(f.unnumbered));
  MUST(data_of(g.numbered) == data_of(f.numbered));
  // A frame with another byte is another block, or none.
  const uint8_t change = in.u8();
  if (change != 0) {
    const size_t at = how % n;
    out[at] = static_cast<uint8_t>(out[at] ^ change);
    const Heard changed = hear({out, n}, 1);
    for (const Data& block : changed.blocks) MUST(block != one.blocks[0]);
  }
  const smx::Bytes rest = in.rest();
  const Heard whole = hear(rest, SIZE_MAX), bytewise = hear(rest, 1);
  MUST(whole.blocks == bytewise.blocks);
  MUST(whole.bad == bytewise.bad);
}

}  // namespace fuzz
