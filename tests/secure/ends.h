// The two ends of a handshake with keys from a seed, for the tests: new ephemeral keys at every step, faults checked by
// the test.
#ifndef SOCKMUX_TESTS_SECURE_ENDS_H
#define SOCKMUX_TESTS_SECURE_ENDS_H

#include <doctest/doctest.h>

#include "tests/secure/bytes.h"
#include "transport/secure/handshake.h"

namespace securetest {

using namespace smx;
using namespace smx::secure;

// Keys of both sides, and of one that nobody knows.
struct Keys {
  std::mt19937 random{11};
  KeyPair ours{secret()}, theirs{secret()}, stranger{secret()};
  Secret psk = secret();
  MacKey mac{theirs.shown};

  Secret secret() { return Secret(any_data(random, kKey).data()); }
};

constexpr Time at(int64_t ms) { return Time{ms * 1000}; }

// The initiator's end.
struct Caller {
  Keys& keys;
  Initiator i;

  explicit Caller(Keys& k, Carrier carrier = Carrier::connection) : Caller(k, k.ours, k.theirs.shown, k.psk, carrier) {}
  Caller(Keys& k, const KeyPair& own, const uint8_t* peer, const Secret& psk, Carrier carrier = Carrier::connection)
      : keys(k), i(own, peer, psk, carrier) {}

  Data begin(const Data& hello = text("HELLO"), Time now = {}) {
    Data out(kMessage1);
    out.resize(i.begin(keys.secret(), view(hello), now, out.data()));
    return out;
  }
  Initiator::Got take(const Data& bytes, Time now = {}) {
    Bytes in = view(bytes);
    const Initiator::Got got = i.take(&in, now);
    rest = data_of(i.rest()) + data_of(in);
    return got;
  }
  Data rest;  // behind what was taken
};

// The answer of a responder that has found its peer good.
inline Data message2(Responder& r, Keys& keys, const Data& said, Time now) {
  Data out(kMessage2);
  size_t size = 0;
  REQUIRE(r.answer(keys.secret(), keys.psk, view(said), now, out.data(), &size) == Fault::none);
  out.resize(size);
  return out;
}

// The responder's.
struct Callee {
  Keys& keys;
  Responder r;
  uint8_t peer[kKey] = {};

  explicit Callee(Keys& k, Carrier carrier = Carrier::connection, Time now = {})
      : keys(k), r(k.theirs, k.mac, carrier, now) {}

  Responder::Got take(const Data& bytes, Time now = {}) {
    Bytes in = view(bytes);
    return r.take(&in, now);
  }
  // find() and check(), if the key is that of `keys.ours`; else it refuses.
  Fault judge() {
    const Fault f = r.find(peer);
    if (f != Fault::none) return f;
    if (!equal(peer, keys.ours.shown, kKey)) {
      r.refuse(Code::not_accepted);
      return Fault::none;
    }
    return r.check();
  }
  Data answer(const Data& said = text("HELLO SETTINGS"), Time now = {}) {
    return message2(r, keys, said, now);
  }
  // All that a good message 1 leads to.
  Data answer_to(const Data& message, Time now = {}) {
    REQUIRE(take(message, now) == Responder::Got::message);
    REQUIRE(judge() == Fault::none);
    return answer(text("HELLO SETTINGS"), now);
  }
};

// Do two ends hold the same keys?
inline void check_keys(Caller& c, Callee& e) {
  LinkKeys ours;
  c.i.keys(&ours);
  CHECK(data_of(ours.tx.view()) == data_of(e.r.receive_key().view()));
  Secret theirs;
  e.r.opened(&theirs);
  CHECK(e.r.state() == Responder::State::up);
  CHECK(data_of(ours.rx.view()) == data_of(theirs.view()));
  CHECK(data_of(ours.rx.view()) != data_of(ours.tx.view()));
}

}  // namespace securetest

#endif
