// The handshake where there are no connections: pipes with old bytes in them, and lossy lines.
#include "tests/secure/ends.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;

TEST_CASE(
    "handshake: on a pipe, behind old bytes and an old handshake; each side begins anew when it sees the other do so") {
  Keys k;
  Caller old(k, Carrier::pipe), c(k, Carrier::pipe);
  Callee e(k, Carrier::pipe);
  // An old message 1 is answered; the initiator of now does not take that answer for its own.
  const Data stale = e.answer_to(old.begin());
  const Data one = c.begin({}, at(100));
  REQUIRE(c.take(text("login: SMXS") + stale + text("\r\n"), at(200)) == Initiator::Got::nothing);
  CHECK(c.i.ignored() == 1);
  RecordReader reader;
  uint8_t memory[kFirstRecord];
  reader.start(e.r.receive_key(), memory, sizeof memory);
  Data arrives = one;
  MutBytes in{arrives.data(), arrives.size()};
  CHECK(reader.take(&in) == RecordReader::Got::anew);
  Callee next(k, Carrier::pipe);
  next.take(text("SMXS"));
  const Data two = next.answer_to(data_of({in.data, in.size}));
  REQUIRE(c.take(two, at(300)) == Initiator::Got::up);
  check_keys(c, next);
}

TEST_CASE("handshake: on a pipe, what was taken for a longer message gives back the records behind the true one") {
  Keys k;
  Caller c(k, Carrier::pipe);
  Callee e(k, Carrier::pipe);
  Data half(100);
  put_head(MessageType::second, kSecond + kSecondPayload, half.data());
  const Data two = e.answer_to(c.begin()), records(kMessage2, 0x55);
  CHECK(c.take(half + two + records) == Initiator::Got::up);
  CHECK(c.rest == records);
  check_keys(c, e);
  // The same at the other end.
  Caller d(k, Carrier::pipe);
  Callee f(k, Carrier::pipe);
  put_head(MessageType::first, kFirst + kFirstPayload, half.data());
  const Data bytes = half + d.begin() + records;
  Bytes in = view(bytes);
  REQUIRE(f.r.take(&in, Time{}) == Responder::Got::message);
  REQUIRE(f.judge() == Fault::none);
  REQUIRE(d.take(f.answer()) == Initiator::Got::up);
  CHECK(data_of(f.r.rest()) + data_of(in) == records);
  check_keys(d, f);
}

TEST_CASE(
    "handshake: a responder that skips bytes asks for a new beginning, once a second; and is obeyed, once a second") {
  Keys k;
  Callee e(k, Carrier::pipe, at(0));
  // Once at its beginning, since a message may have come with the end of the link before.
  CHECK_FALSE(e.r.asks_anew(at(999)));
  CHECK(e.r.asks_anew(at(1000)));
  CHECK_FALSE(e.r.asks_anew(at(5000)));
  REQUIRE(e.take(text("records of an old link"), at(5000)) == Responder::Got::nothing);
  CHECK(e.r.asks_anew(at(5000)));
  CHECK_FALSE(e.r.asks_anew(at(7000)));
  e.take(text("more"), at(5500));
  CHECK_FALSE(e.r.asks_anew(at(5999)));
  CHECK(e.r.asks_anew(at(6000)));
  Callee connection(k);
  CHECK_FALSE(connection.r.asks_anew(at(6000)));

  Caller c(k, Carrier::pipe);
  const Data lost = c.begin({}, at(0));
  uint8_t said[kRefusal];
  put_refusal(Code::anew, said);
  CHECK(c.take(data_of({said, kRefusal}), at(999)) == Initiator::Got::nothing);
  // Nor is one forgotten that comes too early: it is said once.
  CHECK(c.i.deadline() == at(1000));
  CHECK(c.i.expired(at(999)) == Initiator::Got::nothing);
  CHECK(c.i.expired(at(1000)) == Initiator::Got::anew);
  CHECK(c.take(data_of({said, kRefusal}), at(1000)) == Initiator::Got::anew);
  const Data one = c.begin({}, at(1000));
  CHECK(Data(&one[8], &one[40]) != Data(&lost[8], &lost[40]));
  REQUIRE(c.take(e.answer_to(one), at(1100)) == Initiator::Got::up);
  check_keys(c, e);
}

TEST_CASE("handshake: on a lossy line each message is one block; without an answer anew after 2, 4, 8, 8 s") {
  Keys k;
  Caller c(k, Carrier::lossy_line);
  int64_t now = 0;
  Data one;
  for (int64_t wait : {2000, 4000, 8000, 8000}) {
    const Data before = one;
    one = c.begin(Data(kFirstPayloadOfLine), at(now));
    CHECK(one.size() == kBlock);
    CHECK(one != before);
    CHECK(c.i.expired(at(now + wait - 1)) == Initiator::Got::nothing);
    now += wait;
    CHECK(c.i.expired(at(now)) == Initiator::Got::anew);
  }
  one = c.begin({}, at(now));
  Callee e(k, Carrier::lossy_line);
  Data bad = one;
  bad[100] ^= 1;
  CHECK(e.r.take_block(view(bad), at(now)) == Responder::Got::nothing);
  CHECK(e.r.fault() == Fault::mac1);
  CHECK(e.r.take_block(as_bytes("SMXS"), at(now)) == Responder::Got::nothing);
  CHECK(e.r.asks_anew(at(now)));
  e.r.stray_block();
  CHECK(e.r.asks_anew(at(now + 1000)));
  REQUIRE(e.r.take_block(view(one), at(now)) == Responder::Got::message);
  REQUIRE(e.judge() == Fault::none);
  const Data two = e.answer(Data(kSecondPayloadOfLine));
  CHECK(two.size() == kBlock);
  Data changed = two;
  changed[60] ^= 1;
  CHECK(c.i.take_block(view(changed), at(now)) == Initiator::Got::nothing);
  CHECK(c.i.take_block(view(one), at(now)) == Initiator::Got::nothing);  // its own, from a loop
  CHECK(c.i.ignored() == 2);
  REQUIRE(c.i.take_block(view(two), at(now)) == Initiator::Got::up);
  check_keys(c, e);
}

TEST_CASE(
    "handshake: on a lossy line a second one beside the link that is up; only a block that opens brings its keys in") {
  Keys k;
  Caller c(k, Carrier::lossy_line), again(k, Carrier::lossy_line);
  Callee e(k, Carrier::lossy_line), beside(k, Carrier::lossy_line);
  const Data one = c.begin();
  REQUIRE(e.r.take_block(view(one), Time{}) == Responder::Got::message);
  REQUIRE(e.judge() == Fault::none);
  REQUIRE(c.i.take_block(view(e.answer()), Time{}) == Initiator::Got::up);
  LinkKeys keys, later;
  c.i.keys(&keys);
  BlockReader old_keys, new_keys;
  old_keys.start(keys.tx);
  BlockWriter w;
  w.start(keys.tx, Time{});
  uint8_t block[kBlock], content[kBlockContent];
  size_t size = 0;
  // A replay of message 1 leads to other keys, for which nobody has a block.
  REQUIRE(beside.r.take_block(view(one), Time{}) == Responder::Got::message);
  REQUIRE(beside.judge() == Fault::none);
  beside.answer();
  new_keys.start(beside.r.receive_key());
  const size_t sealed = w.seal(as_bytes("x"), block, Time{});
  CHECK(new_keys.open_block({block, sealed}, content, &size) == BlockReader::Got::forged);
  CHECK(old_keys.open_block({block, sealed}, content, &size) == BlockReader::Got::content);
  // The true peer does.
  Callee third(k, Carrier::lossy_line);
  REQUIRE(third.r.take_block(view(again.begin()), Time{}) == Responder::Got::message);
  REQUIRE(third.judge() == Fault::none);
  REQUIRE(again.i.take_block(view(third.answer()), Time{}) == Initiator::Got::up);
  again.i.keys(&later);
  new_keys.start(third.r.receive_key());
  w.start(later.tx, Time{});
  const size_t first = w.seal(as_bytes("y"), block, Time{});
  CHECK(old_keys.open_block({block, first}, content, &size) != BlockReader::Got::content);
  CHECK(new_keys.open_block({block, first}, content, &size) == BlockReader::Got::content);
}
