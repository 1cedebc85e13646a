// Frames of lossy lines. The first examples are those of sockmux(7).
#include <doctest/doctest.h>
#include <string.h>

#include <fstream>
#include <random>
#include <string>
#include <vector>

#include "core/mux/line.h"

using namespace smx;

namespace {

using Line = std::vector<uint8_t>;

Line hex(const char* text) {
  Line out;
  int high = -1;
  for (; *text != 0; ++text) {
    const char c = *text;
    const int v = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
    if (v < 0) continue;
    if (high < 0) {
      high = v;
    } else {
      out.push_back(static_cast<uint8_t>(high << 4 | v));
      high = -1;
    }
  }
  return out;
}

Line encoded(uint16_t off, uint16_t ack, const Line& unnumbered, const Line& numbered) {
  LineFrame f;
  f.off = off;
  f.ack = ack;
  f.unnumbered = {unnumbered.data(), unnumbered.size()};
  f.numbered = {numbered.data(), numbered.size()};
  Line out(kLineFrame);
  out.resize(encode_line(f, out.data()));
  return out;
}

struct Heard {
  uint16_t off, ack;
  Line unnumbered, numbered;
  bool operator==(const Heard& o) const {
    return off == o.off && ack == o.ack && unnumbered == o.unnumbered && numbered == o.numbered;
  }
};

// All good frames of a line, given in pieces of `step` bytes; bad ones are counted.
std::vector<Heard> decoded(const Line& line, size_t step, size_t* bad) {
  LineDecoder d;
  std::vector<Heard> out;
  *bad = 0;
  for (size_t at = 0; at < line.size(); at += step) {
    Bytes in{line.data() + at, line.size() - at < step ? line.size() - at : step};
    for (;;) {
      const LineDecoder::Got got = d.take(&in);
      if (got == LineDecoder::Got::nothing) break;
      LineFrame f;
      if (got == LineDecoder::Got::bad || !parse_block(d.block(), &f)) {
        ++*bad;
        continue;
      }
      out.push_back({f.off, f.ack, Line(f.unnumbered.data, f.unnumbered.data + f.unnumbered.size),
                     Line(f.numbered.data, f.numbered.data + f.numbered.size)});
    }
  }
  return out;
}

Heard random_frame(std::mt19937& random) {
  Heard h;
  h.off = static_cast<uint16_t>(random());
  h.ack = static_cast<uint16_t>(random());
  const size_t all = random() % (kLinePayload + 1);
  const int zeros = static_cast<int>(random() % 3);  // none, some, only
  Line bytes(all);
  for (uint8_t& b : bytes) b = static_cast<uint8_t>(zeros == 2 ? 0 : zeros == 1 && random() % 4 == 0 ? 0 : 1 + random() % 255);
  const size_t cut = all == 0 ? 0 : random() % (all + 1);
  h.unnumbered.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(cut));
  h.numbered.assign(bytes.begin() + static_cast<std::ptrdiff_t>(cut), bytes.end());
  return h;
}

}  // namespace

TEST_CASE("line: CRC-32C of the known text") {
  const char text[] = "123456789";
  CHECK(crc32c(reinterpret_cast<const uint8_t*>(text), 9) == 0xe3069283);
  CHECK(crc32c(nullptr, 0) == 0);
}

// Each is two lines: "C " or "A " and the content, then the same on the line.
TEST_CASE("line: the examples of sockmux(7)") {
  std::ifstream file("man/sockmux.7");
  bool here = false;
  int examples = 0;
  for (std::string text; std::getline(file, text);) {
    if (text.compare(0, 3, ".Ss") == 0) here = text.compare(4, 11, "Example 10:") == 0;
    if (!here || (text.compare(0, 2, "C ") != 0 && text.compare(0, 2, "A ") != 0)) continue;
    const Line content = hex(text.c_str() + 2);
    REQUIRE(std::getline(file, text));
    REQUIRE(content.size() > 9);
    const size_t first = 5, middle = first + content[4], end = content.size() - 4;
    CHECK(encoded(load16(&content[0]), load16(&content[2]), Line(&content[first], &content[middle]), Line(&content[middle], &content[end])) == hex(text.c_str()));
    CHECK(crc32c(content.data(), end) == load32(&content[end]));
    ++examples;
  }
  CHECK(examples == 2);
}

TEST_CASE("line: every size of payload, without and with zeros, in pieces of any size; never more than one byte longer") {
  std::mt19937 random(1);
  for (int i = 0; i < 3000; ++i) {
    const Heard h = random_frame(random);
    const Line line = encoded(h.off, h.ack, h.unnumbered, h.numbered);
    CHECK(line.size() == h.unnumbered.size() + h.numbered.size() + kLineOverhead);
    CHECK(memchr(line.data(), 0, line.size()) == line.data() + line.size() - 1);
    size_t bad = 0;
    const std::vector<Heard> heard = decoded(line, 1 + random() % 40, &bad);
    REQUIRE(heard.size() == 1);
    CHECK(bad == 0);
    CHECK(heard[0] == h);
  }
}

TEST_CASE("line: a changed, lost or added byte costs at most two frames, and nothing wrong is ever heard") {
  std::mt19937 random(2);
  for (int round = 0; round < 2000; ++round) {
    std::vector<Heard> said;
    Line line;
    for (int i = 0; i < 6; ++i) {
      said.push_back(random_frame(random));
      const Line one = encoded(said.back().off, said.back().ack, said.back().unnumbered, said.back().numbered);
      line.insert(line.end(), one.begin(), one.end());
    }
    const auto at = line.begin() + static_cast<std::ptrdiff_t>(random() % line.size());
    switch (random() % 3) {
      case 0: *at = static_cast<uint8_t>(*at ^ (1u << random() % 8)); break;
      case 1: line.erase(at); break;
      default: line.insert(at, static_cast<uint8_t>(random())); break;
    }
    size_t bad = 0;
    const std::vector<Heard> heard = decoded(line, 1 + random() % 100, &bad);
    CHECK(heard.size() >= 4);
    size_t next = 0;
    for (const Heard& h : heard) {
      while (next < said.size() && !(said[next] == h)) ++next;
      REQUIRE(next < said.size());  // in order, and one that was said
      ++next;
    }
  }
}

TEST_CASE("line: noise is no frame, however long, and the next frame is heard") {
  std::mt19937 random(3);
  Line line;
  for (int i = 0; i < 100000; ++i) line.push_back(static_cast<uint8_t>(random()));
  line.push_back(0);
  const Line good = encoded(1, 2, {}, {9});
  line.insert(line.end(), good.begin(), good.end());
  size_t bad = 0;
  const std::vector<Heard> heard = decoded(line, 4096, &bad);
  REQUIRE(heard.size() == 1);
  CHECK(heard[0].numbered == Line{9});
  CHECK(bad > 100);
}
