// The two machines of the handshake: what leads to a link, and all that must not.
#include "transport/secure/handshake.h"

#include "tests/secure/ends.h"
#include "tests/secure/vectors.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;
using State = Responder::State;

namespace {

void set_mac(Data* message, const MacKey& mac) { mac.put(message->data(), message->size() - kTag); }

}  // namespace

TEST_CASE("handshake: the frames of the vectors, and the payloads in them") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    const KeyPair ours(v["init_static"].secret()), theirs(v["resp_static"].secret());
    const MacKey mac(theirs.shown);
    const Secret psk = v["init_psks"].list[0].secret();
    const std::vector<Json>& m = v["messages"].list;
    const Data hello = m[0]["payload"].hex(), said = m[1]["payload"].hex();
    Initiator i(ours, theirs.shown, psk, Carrier::connection);
    Responder r(theirs, mac, Carrier::connection, Time{});
    Data one(kMessage1), two(kMessage2);
    one.resize(i.begin(v["init_ephemeral"].secret(), view(hello), Time{}, one.data()));
    CHECK(one == v["link"]["init_frame"].hex());
    Bytes in = view(one);
    REQUIRE(r.take(&in, Time{}) == Responder::Got::message);
    uint8_t peer[kKey];
    REQUIRE(r.find(peer) == Fault::none);
    CHECK(data_of({peer, kKey}) == data_of({ours.shown, kKey}));
    REQUIRE(r.check() == Fault::none);
    CHECK(data_of(r.payload()) == hello);
    size_t size = 0;
    REQUIRE(r.answer(v["resp_ephemeral"].secret(), psk, view(said), Time{}, two.data(), &size) == Fault::none);
    two.resize(size);
    CHECK(two == v["link"]["resp_frame"].hex());
    in = view(two);
    REQUIRE(i.take(&in, Time{}) == Initiator::Got::up);
    CHECK(data_of(i.payload()) == said);
    LinkKeys keys;
    i.keys(&keys);
    CHECK(data_of(keys.tx.view()) == v["link"]["init_to_resp_key"].hex());
    CHECK(data_of(keys.rx.view()) == v["link"]["resp_to_init_key"].hex());
    CHECK(data_of(r.receive_key().view()) == v["link"]["init_to_resp_key"].hex());
  }
}

TEST_CASE("handshake: the bad messages of the vectors, each refused at its check") {
  const Json all = load_vectors();
  const KeyPair own(all["vectors"].list[0]["resp_static"].secret());
  const MacKey mac(own.shown);
  const std::map<std::string, Fault> names = {{"mac1", Fault::mac1},        {"static", Fault::static_key},
                                              {"payload", Fault::payload},  {"ephemeral", Fault::ephemeral},
                                              {"version", Fault::version},  {"length", Fault::length},
                                              {"magic", Fault::clear_hello}};
  REQUIRE(all["bad"].list.size() == 11);
  for (const Json& bad : all["bad"].list) {
    CAPTURE(bad["comment"].text);
    Responder r(own, mac, Carrier::connection, Time{});
    const Data frame = bad["frame"].hex();
    Bytes in = view(frame);
    uint8_t peer[kKey];
    Fault f = Fault::none;
    if (r.take(&in, Time{}) == Responder::Got::bad) {
      f = r.fault();
      CHECK(r.code() == Code::none);
    } else if (f = r.find(peer); f == Fault::none) {
      f = r.check();
    }
    CHECK(f == names.at(bad["refused_at"].text));
    CHECK((r.state() == State::down || r.code() == Code::not_accepted));
  }
}

TEST_CASE("handshake: in pieces of any size, with payloads of every size, and records right behind message 2") {
  Keys k;
  for (size_t payload : {size_t{0}, size_t{1}, size_t{72}, kFirstPayload}) {
    for (size_t step : {size_t{1}, size_t{33}, size_t{9999}}) {
      Caller c(k);
      Callee e(k);
      const Data hello = any_data(k.random, payload), said = any_data(k.random, payload * 4), one = c.begin(hello);
      CHECK(one.size() == 120 + payload);
      for (size_t at = 0; at < one.size(); at += step) {
        const size_t n = std::min(step, one.size() - at);
        Bytes in{&one[at], n};
        REQUIRE(e.r.take(&in, Time{}) == (at + n == one.size() ? Responder::Got::message : Responder::Got::nothing));
      }
      REQUIRE(e.judge() == Fault::none);
      CHECK(data_of(e.r.payload()) == hello);
      const Data two = e.answer(said);
      for (size_t at = 0; at + 1 < two.size(); at += step) {
        Bytes in{&two[at], std::min(step, two.size() - 1 - at)};
        REQUIRE(c.i.take(&in, Time{}) == Initiator::Got::nothing);
      }
      REQUIRE(c.take(Data{two.back()} + text("records")) == Initiator::Got::up);
      CHECK(c.rest == text("records"));
      CHECK(data_of(c.i.payload()) == said);
      check_keys(c, e);
    }
  }
}

TEST_CASE(
    "handshake: a replayed message 1 gets an answer, and nothing else: no record of then or now opens, and it ends") {
  Keys k;
  Caller c(k);
  Callee e(k);
  const Data one = c.begin(), two = e.answer_to(one);
  REQUIRE(c.take(two) == Initiator::Got::up);
  LinkKeys keys;
  c.i.keys(&keys);
  RecordWriter w;
  w.start(keys.tx, Time{});
  Data record(kRecordOverhead + 1);
  w.seal(record.data(), 1, Time{});

  Callee again(k, Carrier::connection, at(1000));
  const Data other = again.answer_to(one, at(1000));
  CHECK(other != two);
  CHECK(again.r.state() == State::waits_record);
  RecordReader reader;
  uint8_t memory[kFirstRecord];
  reader.start(again.r.receive_key(), memory, sizeof memory);
  MutBytes in{record.data(), record.size()};
  CHECK(reader.take(&in) == RecordReader::Got::bad);
  CHECK(reader.fault() == Fault::record_forged);
  CHECK(again.r.expired(at(10999)) == Fault::none);
  CHECK(again.r.deadline() == at(11000));
  CHECK(again.r.expired(at(11000)) == Fault::no_record);
  CHECK(again.r.state() == State::down);
  CHECK(again.r.code() == Code::none);
}

TEST_CASE("handshake: who has a wrong key of ours is no peer, and hears nothing") {
  Keys k;
  Caller c(k, k.ours, k.stranger.shown, k.psk);
  Callee e(k);
  CHECK(e.take(c.begin()) == Responder::Got::bad);
  CHECK(e.r.fault() == Fault::mac1);
  CHECK(e.r.code() == Code::none);
  CHECK(e.r.refusal_at() == kNever);
  CHECK(e.r.state() == State::down);
}

TEST_CASE("handshake: an unknown key is told, and refused a second after message 1, as is everything else") {
  Keys k;
  for (int why = 0; why < 4; ++why) {
    CAPTURE(why);
    Caller c(k, why == 0 ? k.stranger : k.ours, k.theirs.shown, k.psk);
    Callee e(k);
    Data one = c.begin();
    if (why == 1) one[kMessageHead + kKey] ^= 1;                      // s
    if (why == 2) one[one.size() - kTag - 1] ^= 1;                    // payload
    if (why == 3) std::fill_n(&one[kMessageHead], kKey, uint8_t{0});  // e
    set_mac(&one, k.mac);
    REQUIRE(e.take(one, at(500)) == Responder::Got::message);
    CHECK(e.judge() == (why == 0   ? Fault::none
                        : why == 1 ? Fault::static_key
                        : why == 2 ? Fault::payload
                                   : Fault::ephemeral));
    if (why == 0) CHECK(data_of({e.peer, kKey}) == data_of({k.stranger.shown, kKey}));
    CHECK(e.r.state() == State::refusing);
    CHECK(e.r.code() == Code::not_accepted);
    CHECK(e.r.refusal_at() == at(1500));
    uint8_t said[kRefusal];
    put_refusal(e.r.code(), said);
    CHECK(c.take(data_of({said, kRefusal}), at(1600)) == Initiator::Got::refused);
    CHECK(c.i.code() == Code::not_accepted);
  }
  Caller c(k);
  Callee e(k);
  REQUIRE(e.take(c.begin()) == Responder::Got::message);
  e.r.refuse(Code::busy);
  CHECK(e.r.code() == Code::busy);
  CHECK(e.r.refusal_at() == at(1000));
}

TEST_CASE("handshake: another psk: the initiator finds out; nothing that the responder then gets opens") {
  Keys k;
  Secret psk = k.psk;
  psk.data()[5] ^= 1;
  for (Carrier carrier : {Carrier::connection, Carrier::pipe}) {
    Caller c(k, k.ours, k.theirs.shown, psk, carrier);
    Callee e(k, carrier);
    const Data two = e.answer_to(c.begin());
    if (carrier == Carrier::connection) {
      CHECK(c.take(two) == Initiator::Got::bad);
      CHECK(c.i.fault() == Fault::answer);
    } else {
      CHECK(c.take(two) == Initiator::Got::nothing);
      CHECK(c.i.ignored() == 1);
    }
  }
}

TEST_CASE("handshake: another version is answered if mac1 is right, at once, and understood; if not, with silence") {
  Keys k;
  Caller c(k);
  Data one = c.begin();
  one[4] = 2;
  Callee silent(k);
  CHECK(silent.take(one) == Responder::Got::bad);
  CHECK(silent.r.fault() == Fault::version);
  CHECK(silent.r.code() == Code::none);
  set_mac(&one, k.mac);
  Callee e(k);
  CHECK(e.take(one, at(700)) == Responder::Got::bad);
  CHECK(e.r.fault() == Fault::version);
  CHECK(e.r.code() == Code::version);
  CHECK(e.r.refusal_at() == at(700));
  uint8_t said[kRefusal];
  put_refusal(e.r.code(), said);
  said[4] = 2;  // as that other one would say it
  CHECK(c.take(data_of({said, kRefusal})) == Initiator::Got::refused);
  CHECK(c.i.code() == Code::version);
}

TEST_CASE("handshake: a bit changed at any place of message 1 changes nothing at the responder") {
  Keys k;
  Caller c(k);
  const Data one = c.begin();
  for (size_t bit = 0; bit < one.size() * 8; ++bit) {
    CAPTURE(bit);
    Data bad = one;
    bad[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
    Callee e(k);
    // N may have grown: then it waits, and ends in time.
    if (e.take(bad) == Responder::Got::nothing) {
      CHECK((bit / 8 == 6 || bit / 8 == 7));
      CHECK(e.r.expired(at(4999)) == Fault::none);
      CHECK(e.r.expired(at(5000)) == Fault::no_message);
    }
    CHECK(e.r.state() == State::down);
    CHECK(e.r.code() == Code::none);
    const Fault f = e.r.fault();
    const size_t byte = bit / 8;
    if (byte < 4) CHECK((f == Fault::magic));
    if (byte == 4) CHECK(f == Fault::version);
    if (byte == 5) CHECK(f == Fault::type);
    if (byte > 7) CHECK(f == Fault::mac1);
  }
}

TEST_CASE("handshake: a bit changed at any place of message 2 is no link; on a pipe the right one is still taken") {
  Keys k;
  Caller pipe(k, Carrier::pipe);
  Callee e(k, Carrier::pipe);
  const Data two = e.answer_to(pipe.begin());
  for (size_t bit = 0; bit < two.size() * 8; ++bit) {
    CAPTURE(bit);
    const auto changed = [bit](Data message) {
      message[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      return message;
    };
    Caller c(k);
    Callee other(k);
    const Initiator::Got got = c.take(changed(other.answer_to(c.begin())));
    if (bit / 8 == 6 || bit / 8 == 7) {  // a longer N waits for bytes, a shorter one opens nothing; see test_message.cc
      CHECK((got == Initiator::Got::bad || got == Initiator::Got::nothing));
      continue;
    }
    CHECK(got == Initiator::Got::bad);
    if (bit / 8 == 4) CHECK(c.i.fault() == Fault::version);
    if (bit / 8 > 7) CHECK(c.i.fault() == Fault::answer);
    REQUIRE(pipe.take(changed(two)) == Initiator::Got::nothing);
  }
  REQUIRE(pipe.take(two + text("rec")) == Initiator::Got::up);
  CHECK(pipe.rest == text("rec"));
  check_keys(pipe, e);
}

TEST_CASE("handshake: times") {
  Keys k;
  Caller c(k);
  c.begin({}, at(1000));
  CHECK(c.i.deadline() == at(11000));
  CHECK(c.i.expired(at(10999)) == Initiator::Got::nothing);
  CHECK(c.i.expired(at(11000)) == Initiator::Got::bad);
  CHECK(c.i.fault() == Fault::no_answer);
  Callee e(k, Carrier::connection, at(2000));
  CHECK(e.r.deadline() == at(7000));
  Caller other(k);
  REQUIRE(e.take(other.begin(), at(6999)) == Responder::Got::message);
  CHECK(e.r.expired(at(60000)) == Fault::none);  // how long it is queued, the queue says
  REQUIRE(e.judge() == Fault::none);
  e.answer({}, at(8000));
  CHECK(e.r.deadline() == at(18000));
  Callee pipe(k, Carrier::pipe);
  CHECK(pipe.r.deadline() == kNever);
}

TEST_CASE("handshake: a refusal ends nothing by itself, since anybody could have sent it") {
  Keys k;
  Caller c(k);
  Callee e(k);
  const Data two = e.answer_to(c.begin());
  for (Code code : {Code::not_accepted, Code::busy, Code::anew}) {
    uint8_t said[kRefusal];
    put_refusal(code, said);
    CHECK(c.take(data_of({said, kRefusal})) == Initiator::Got::refused);
    CHECK(c.i.code() == code);
  }
  CHECK(c.take(two) == Initiator::Got::up);
}

TEST_CASE("handshake: a peer's key of low order is our own fault, and known before anything is sent") {
  Keys k;
  const uint8_t zeros[kKey] = {};
  Caller c(k, k.ours, zeros, k.psk);
  CHECK(c.begin().empty());
  CHECK(c.i.fault() == Fault::ephemeral);
}

TEST_CASE("handshake: no keys are left where they were handed out from") {
  Keys k;
  Caller c(k);
  Callee e(k);
  REQUIRE(c.take(e.answer_to(c.begin())) == Initiator::Got::up);
  LinkKeys keys;
  c.i.keys(&keys);
  Secret send;
  e.r.opened(&send);
  const auto holds = [](const void* memory, size_t size, const Secret& s) {
    const auto* p = static_cast<const uint8_t*>(memory);
    for (size_t i = 0; i + kKey <= size; ++i) {
      if (memcmp(p + i, s.data(), kKey) == 0) return true;
    }
    return false;
  };
  for (const Secret* s : {&keys.tx, &keys.rx}) {
    CHECK_FALSE(holds(&c.i, sizeof c.i, *s));
    CHECK_FALSE(holds(&e.r, sizeof e.r, *s));
  }
}
