// Messages of the handshake: found, bounded, told apart from what is none, in pieces of any size.
#include "transport/secure/message.h"

#include "tests/secure/vectors.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;
using Got = MessageReader::Got;
using Side = MessageReader::Side;

namespace {

struct Reader {
  MessageReader r;
  uint8_t memory[kMessage2];
  explicit Reader(Side side, bool search = false) { r.start(side, search, memory); }
  // The first thing that is told; how many bytes it took.
  Got feed(const Data& bytes, size_t step = SIZE_MAX, size_t* taken = nullptr) {
    for (size_t at = 0; at < bytes.size();) {
      const size_t piece = std::min(step, bytes.size() - at);
      Bytes in{&bytes[at], piece};
      const Got got = r.take(&in);
      at += piece - in.size;
      if (taken != nullptr) *taken = at;
      if (got != Got::nothing) return got;
    }
    return Got::nothing;
  }
};

Data message(MessageType type, size_t body, size_t behind, uint8_t fill = 7) {
  Data out(kMessageHead + body + behind, fill);
  put_head(type, body, out.data());
  return out;
}
Data first(size_t payload = 0) { return message(MessageType::first, kFirst + payload, kTag); }
Data second(size_t payload = 0) { return message(MessageType::second, kSecond + payload, 0); }
Data refusal(uint8_t code) {
  Data out = message(MessageType::refusal, 1, 0);
  out.back() = code;
  return out;
}

Fault fault_of(Side side, const Data& bytes, size_t* taken = nullptr) {
  Reader r(side);
  CHECK(r.feed(bytes, 1, taken) == Got::bad);
  Bytes none;
  CHECK(r.r.take(&none) == Got::bad);
  return r.r.fault();
}

}  // namespace

TEST_CASE("messages: heads and mac1 as in the vectors") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    const Json& link = v["link"];
    const Data frame = link["init_frame"].hex(), noise = v["messages"].list[0]["ciphertext"].hex();
    const MacKey mac(v["public"]["resp_static"].hex().data());
    CHECK(data_of({mac.data(), kKey}) == link["mac1_key"].hex());
    Data made(kMessageHead);
    put_head(MessageType::first, noise.size(), made.data());
    made += noise;
    made.resize(made.size() + kTag);
    mac.put(made.data(), made.size() - kTag);
    CHECK(made == frame);
    CHECK(mac.fits(view(frame)));
    CHECK(data_of(prologue()) == v["init_prologue"].hex());

    Data answer(kMessageHead);
    put_head(MessageType::second, v["messages"].list[1]["ciphertext"].hex().size(), answer.data());
    CHECK(answer + v["messages"].list[1]["ciphertext"].hex() == link["resp_frame"].hex());
    for (size_t step : {size_t{1}, size_t{7}, SIZE_MAX}) {
      Reader r(Side::responder), i(Side::initiator);
      REQUIRE(r.feed(frame, step) == Got::message);
      CHECK(data_of(r.r.whole()) == frame);
      CHECK(data_of(r.r.noise()) == noise);
      REQUIRE(i.feed(link["resp_frame"].hex(), step) == Got::message);
      CHECK(data_of(i.r.whole()) == link["resp_frame"].hex());
    }
  }
}

TEST_CASE("messages: mac1 sees every bit") {
  const Json v = load_vectors()["vectors"].list[0];
  const Data frame = v["link"]["init_frame"].hex();
  const MacKey mac(v["public"]["resp_static"].hex().data());
  for (size_t bit = 0; bit < frame.size() * 8; ++bit) {
    Data bad = frame;
    bad[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    CHECK_FALSE(mac.fits(view(bad)));
  }
}

TEST_CASE("messages: every length that may be, and the next ones that may not, known by the head alone") {
  for (size_t payload = 0; payload <= kFirstPayload; ++payload) {
    Reader r(Side::responder);
    size_t taken = 0;
    REQUIRE(r.feed(first(payload) + Data(9, 1), SIZE_MAX, &taken) == Got::message);
    CHECK(taken == 120 + payload);
  }
  for (size_t payload : {size_t{0}, size_t{1}, kSecondPayload - 1, kSecondPayload}) {
    Reader r(Side::initiator);
    size_t taken = 0;
    REQUIRE(r.feed(second(payload) + Data(9, 1), SIZE_MAX, &taken) == Got::message);
    CHECK(taken == 56 + payload);
  }
  size_t taken = 0;
  for (size_t body : {size_t{0}, size_t{1}, kFirst - 1, kFirst + kFirstPayload + 1, size_t{0xffff}}) {
    CHECK(fault_of(Side::responder, message(MessageType::first, body, kTag), &taken) == Fault::length);
    CHECK(taken == kMessageHead);
  }
  for (size_t body : {size_t{0}, kSecond - 1, kSecond + kSecondPayload + 1, size_t{0xffff}}) {
    CHECK(fault_of(Side::initiator, message(MessageType::second, body, 0), &taken) == Fault::length);
    CHECK(taken == kMessageHead);
  }
  for (size_t body : {size_t{0}, size_t{2}})
    CHECK(fault_of(Side::initiator, message(MessageType::refusal, body, 0)) == Fault::length);
}

TEST_CASE("messages: a wrong byte in the head is known when it comes, and named") {
  for (Side side : {Side::initiator, Side::responder}) {
    const Data good = side == Side::initiator ? second() : first();
    for (size_t at = 0; at < kMessageHead; ++at) {
      for (int value = 0; value < 256; ++value) {
        CAPTURE(at);
        CAPTURE(value);
        Data bytes = good;
        bytes[at] = static_cast<uint8_t>(value);
        Reader r(side);
        size_t taken = 0;
        const Got got = r.feed(bytes, 1, &taken);
        if (bytes == good) {
          CHECK(got == Got::message);
        } else if (at < 4) {
          CHECK(got == Got::bad);
          CHECK(r.r.fault() == Fault::magic);
          CHECK(taken == at + (at == 0 && value == 3 ? 2 : 1));
        } else if (at == 4) {
          // A responder reads to the end, for mac1.
          CHECK(got == (side == Side::initiator ? Got::bad : Got::message));
          if (got == Got::bad) CHECK(r.r.fault() == Fault::version);
        } else if (at == 5) {
          if (side == Side::initiator && value == 3) {
            CHECK(r.r.fault() == Fault::length);
          } else {
            CHECK(r.r.fault() == Fault::type);
            CHECK(taken == 6);
          }
        }
      }
    }
  }
  CHECK(fault_of(Side::responder, text("\3\1\1\1\1")) == Fault::clear_hello);
  CHECK(fault_of(Side::responder, text("\3\2")) == Fault::magic);
  CHECK(fault_of(Side::responder, text("GET / HTTP/1.1")) == Fault::magic);
}

TEST_CASE("messages: refusals, of every version; of this one only with codes that exist") {
  for (int code = 0; code < 256; ++code) {
    Reader r(Side::initiator);
    const Got got = r.feed(refusal(static_cast<uint8_t>(code)), 1);
    CHECK(got == (code >= 1 && code <= 4 ? Got::message : Got::bad));
    if (got == Got::bad) {
      CHECK(r.r.fault() == Fault::code);
    } else {
      CHECK(r.r.type() == MessageType::refusal);
      CHECK(static_cast<int>(r.r.code()) == code);
    }
  }
  Data other = refusal(3);
  other[4] = 2;
  Reader r(Side::initiator);
  CHECK(r.feed(other) == Got::message);
  CHECK(r.r.is_other_version());
  CHECK(fault_of(Side::responder, refusal(1)) == Fault::type);
  uint8_t made[kRefusal];
  put_refusal(Code::busy, made);
  CHECK(data_of({made, kRefusal}) == unhex("534d58530103000102"));
}

TEST_CASE("messages: a search finds one behind anything, in pieces of any size") {
  std::mt19937 random(4);
  const Data wanted = second(100), tail = text("records");
  for (Data before : {Data(), text("S"), text("SMX"), text("SMXSMX"), text("SSMXSM"), text("login: "),
                      any_data(random, 5000), first(), text("SMXS\1"), Data(kMessageHead), text("SMXS\2")}) {
    for (size_t step : {size_t{1}, size_t{5}, SIZE_MAX}) {
      Reader r(Side::initiator, true);
      size_t taken = 0;
      REQUIRE(r.feed(before + wanted + tail, step, &taken) == Got::message);
      CHECK(data_of(r.r.whole()) == wanted);
      CHECK(taken == before.size() + wanted.size());
      CHECK(r.r.skipped() == before.size());
      CHECK(r.r.accept().size == 0);
    }
  }
}

TEST_CASE(
    "messages: a search that took a false head for a long message finds the true one within it, and gives back what is behind") {
  // The head of the longest message, cut short: all behind it seems to belong to it.
  Data half = second(kSecondPayload);
  half.resize(100);
  const Data wanted = second(10), tail = Data(kMessage2, 0x55);
  for (size_t step : {size_t{1}, SIZE_MAX}) {
    Reader r(Side::initiator, true);
    const Data bytes = half + wanted + tail;
    size_t taken = 0;
    REQUIRE(r.feed(bytes, step, &taken) == Got::message);
    CHECK(taken == kMessage2);
    r.r.reject();
    Bytes none;
    REQUIRE(r.r.take(&none) == Got::message);
    CHECK(data_of(r.r.whole()) == wanted);
    CHECK(data_of(r.r.accept()) == Data(kMessage2 - half.size() - wanted.size(), 0x55));
  }
}

TEST_CASE("messages: in line blocks, whole or not at all") {
  for (size_t payload : {size_t{0}, size_t{50}, kFirstPayloadOfLine}) {
    const Data m = first(payload);
    CHECK(m.size() <= kBlock);
    for (size_t cut = 0; cut < m.size(); ++cut) {
      Reader r(Side::responder);
      CHECK(r.r.take_block({m.data(), cut}) == Got::bad);
      CHECK(r.r.fault() == Fault::length);
      CHECK(r.r.skipped() == 1);
    }
    Reader r(Side::responder);
    CHECK(r.r.take_block(view(m + Data(1))) == Got::bad);
    CHECK(r.r.take_block(view(m)) == Got::message);
    CHECK(is_handshake(view(m)));
    r.r.accept();
    CHECK(r.r.take_block(view(m)) == Got::message);
  }
  CHECK_FALSE(is_handshake(as_bytes("SMX")));
  CHECK_FALSE(is_handshake(as_bytes("SMXT")));
}
