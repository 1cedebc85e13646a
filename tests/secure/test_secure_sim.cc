// Two ends of a secure link in virtual time, put together as a link will put them together, over a stream to which
// anything may happen: whatever an end hears is a prefix of what the other end sent under the same keys; on a pipe it
// comes up again.
//
// Each case prints its seed when it fails. Read next: transport/secure/handshake.h.
#include <map>
#include <memory>

#include "tests/secure/ends.h"

using namespace securetest;

namespace {

// Bytes on their way in one direction.
using Wire = Data;

// What was sent under each key, by anybody.
using Sent = std::map<Data, Data>;

struct End {
  Keys& keys;
  Sent& sent;
  const bool calls;  // it is the initiator
  const Carrier carrier;
  std::mt19937& random;
  Wire& out;

  std::unique_ptr<Initiator> i;
  std::unique_ptr<Responder> r;
  RecordWriter writer;
  RecordReader reader;
  Data memory = Data(kRecord), heard, send_key, receive_key;
  Time heard_at;
  bool is_up = false, waits_record = false, ended = false, peer_ended = false;
  Fault fault = Fault::none;
  int ups = 0;

  End(Keys& k, Sent& s, bool c, Carrier what, std::mt19937& rnd, Wire& o)
      : keys(k), sent(s), calls(c), carrier(what), random(rnd), out(o) {}

  bool is_over() const { return fault != Fault::none; }

  void start(Time now) {
    is_up = waits_record = ended = peer_ended = false;
    heard.clear();
    fault = Fault::none;
    if (calls) {
      i = std::make_unique<Initiator>(keys.ours, keys.theirs.shown, keys.psk, carrier);
      begin(now);
    } else {
      r = std::make_unique<Responder>(keys.theirs, keys.mac, carrier, now);
    }
  }
  void begin(Time now) {
    Data message(kMessage1);
    message.resize(i->begin(keys.secret(), as_bytes("HELLO"), now, message.data()));
    out += message;
  }
  void up(const Secret& tx, Time now) {
    writer.start(tx, now);
    send_key = data_of(tx.view());
    sent[send_key] = {};
    is_up = true;
    heard_at = now;
    ++ups;
  }
  void receive(const Secret& rx) {
    reader.start(rx, memory.data(), waits_record ? kFirstRecord : kRecord);
    receive_key = data_of(rx.view());
    heard.clear();
  }
  // The link has ended. On a pipe a new one begins.
  void fail(Fault f, Time now) {
    fault = f;
    if (carrier == Carrier::pipe) start(now);
  }

  void send(size_t size, Time now) {
    if (!is_up || ended || size == 0) return;
    const Data content = any_data(random, size);
    Data record(size + kRecordOverhead);
    std::copy(content.begin(), content.end(), record.begin() + kRecordHead);
    writer.seal(record.data(), size, now);
    out += record;
    sent[send_key] += content;
  }
  void end(Time now) {
    if (!is_up || ended) return;
    Data record(kRecordOverhead);
    writer.seal_end(record.data(), now);
    out += record;
    ended = true;
  }

  void take(Data bytes, Time now) {
    while (!bytes.empty() && !is_over()) {
      if (is_up || waits_record) {
        bytes = take_records(bytes, now);
      } else {
        bytes = calls ? take_answer(bytes, now) : take_message(bytes, now);
      }
    }
  }
  Data take_answer(const Data& bytes, Time now) {
    Bytes in = view(bytes);
    switch (i->take(&in, now)) {
      case Initiator::Got::up: {
        const Data rest = data_of(i->rest()) + data_of(in);
        LinkKeys k;
        i->keys(&k);
        receive(k.rx);
        up(k.tx, now);
        send(1 + random() % kFirstContent, now);
        return rest;
      }
      case Initiator::Got::anew: begin(now); break;
      case Initiator::Got::bad: fail(i->fault(), now); break;
      case Initiator::Got::nothing:
      case Initiator::Got::refused: break;
    }
    return data_of(in);
  }
  Data take_message(const Data& bytes, Time now) {
    Bytes in = view(bytes);
    const Responder::Got got = r->take(&in, now);
    Data rest = data_of(in);
    if (got == Responder::Got::bad) fail(r->fault(), now);
    if (got != Responder::Got::message) return rest;
    uint8_t peer[kKey];
    // mac1 was right, and nobody here makes one over changed bytes.
    REQUIRE(r->find(peer) == Fault::none);
    REQUIRE(r->check() == Fault::none);
    out += message2(*r, keys, text("HELLO SETTINGS"), now);
    waits_record = true;
    receive(r->receive_key());
    return data_of(r->rest()) + rest;
  }
  Data take_records(Data bytes, Time now) {
    MutBytes in{bytes.data(), bytes.size()};
    const RecordReader::Got got = reader.take(&in);
    const Data rest = data_of({in.data, in.size});
    switch (got) {
      case RecordReader::Got::nothing: break;
      case RecordReader::Got::end:
      case RecordReader::Got::content:
        heard += data_of(reader.content());
        check();
        heard_at = now;
        if (waits_record) {
          Secret tx;
          r->opened(&tx);
          waits_record = false;
          up(tx, now);
          reader.lend(memory.data(), memory.size());
        }
        if (got == RecordReader::Got::end) {
          peer_ended = true;
          // The very last byte, and not one less.
          CHECK(heard.size() == sent[receive_key].size());
        }
        break;
      case RecordReader::Got::anew:
        if (carrier == Carrier::connection) {
          fail(Fault::magic, now);
        } else {
          // Who is called begins anew with what comes; who calls is asked to.
          start(now);
          return text("SMXS") + rest;
        }
        break;
      case RecordReader::Got::bad: fail(reader.fault(), now); break;
    }
    return rest;
  }
  void check() {
    REQUIRE(sent.count(receive_key) == 1);
    const Data& all = sent[receive_key];
    REQUIRE(heard.size() <= all.size());
    REQUIRE(std::equal(heard.begin(), heard.end(), all.begin()));
  }

  void tick(Time now) {
    if (is_over()) return;
    if (is_up) {
      // The mux asks a silent peer, and then ends the link.
      if (carrier == Carrier::pipe && now >= heard_at + seconds(30)) fail(Fault::cut, now);
    } else if (calls) {
      const Initiator::Got got = i->expired(now);
      if (got == Initiator::Got::bad) fail(i->fault(), now);
      if (got == Initiator::Got::anew) begin(now);
    } else {
      const Fault f = r->expired(now);
      if (f != Fault::none) {
        fail(f, now);
      } else if (r->asks_anew(now)) {
        Data refusal(kRefusal);
        put_refusal(Code::anew, refusal.data());
        out += refusal;
      }
    }
  }
  void end_of_file(Time now) {
    if (is_over()) return;
    if (is_up || waits_record) {
      if (reader.end_of_file() != Fault::none) fail(reader.end_of_file(), now);
    } else {
      fail(Fault::no_message, now);
    }
  }
};

struct World {
  std::mt19937 random;
  Keys keys;
  Sent sent;
  Wire forth, back;
  End caller, callee;
  Time now;

  World(unsigned seed, Carrier carrier)
      : random(seed),
        caller(keys, sent, true, carrier, random, forth),
        callee(keys, sent, false, carrier, random, back) {
    keys.random.seed(seed + 1);
    callee.start(now);
    caller.start(now);
  }
  // Some of what is on its way arrives.
  static void carry(Wire* wire, End* to, size_t most, Time now) {
    const size_t n = std::min(most, wire->size());
    const Data piece(wire->begin(), wire->begin() + static_cast<std::ptrdiff_t>(n));
    wire->erase(wire->begin(), wire->begin() + static_cast<std::ptrdiff_t>(n));
    to->take(piece, now);
  }
  void step(Duration d) {
    now = now + d;
    caller.tick(now);
    callee.tick(now);
    carry(&forth, &callee, 1 + random() % 2000, now);
    carry(&back, &caller, 1 + random() % 2000, now);
  }
};

enum class Harm { none, flip, drop, add, twice, swap, cut, kinds };

// To one byte of `wire`, or some.
void harm(Harm what, Wire* wire, std::mt19937& random) {
  if (wire->empty()) return;
  const size_t at = random() % wire->size();
  const auto place = wire->begin() + static_cast<std::ptrdiff_t>(at);
  const size_t n = 1 + random() % (wire->size() - at);
  const Data some(place, place + static_cast<std::ptrdiff_t>(n));
  switch (what) {
    case Harm::flip: (*wire)[at] ^= static_cast<uint8_t>(1u << random() % 8); break;
    case Harm::drop: wire->erase(place, place + static_cast<std::ptrdiff_t>(n)); break;
    case Harm::add: wire->insert(place, static_cast<uint8_t>(random())); break;
    case Harm::twice: wire->insert(place, some.begin(), some.end()); break;
    case Harm::swap: std::reverse(place, place + static_cast<std::ptrdiff_t>(n)); break;
    case Harm::cut:
    case Harm::none:
    case Harm::kinds: break;
  }
}

unsigned seeds(unsigned usual) {
  const char* given = getenv("SEEDS");
  return given == nullptr ? usual : static_cast<unsigned>(atoi(given));
}

}  // namespace

TEST_CASE(
    "secure sim: a connection gives the exact streams, or ends with a reason; whatever is changed, lost, added or cut") {
  int exact = 0, harmed = 0;
  for (unsigned seed = 1; seed <= seeds(300); ++seed) {
    CAPTURE(seed);
    World w(seed, Carrier::connection);
    const Harm what = static_cast<Harm>(w.random() % static_cast<unsigned>(Harm::kinds));
    const auto when = static_cast<unsigned>(w.random() % 40);
    bool was_cut = false;
    for (unsigned turn = 0; turn < 200; ++turn) {
      if (turn < 40) {
        w.caller.send(w.random() % 3 == 0 ? w.random() % 3000 : 0, w.now);
        w.callee.send(w.random() % 3 == 0 ? w.random() % 3000 : 0, w.now);
      } else if (turn == 40) {
        w.caller.end(w.now);
        w.callee.end(w.now);
      }
      Wire& wire = w.random() % 2 == 0 ? w.forth : w.back;
      if (turn == when) harm(what, &wire, w.random);
      if (turn == when && what == Harm::cut) was_cut = true;
      if (was_cut) break;
      w.step(w.caller.is_up && w.callee.is_up ? seconds(w.random() % 20) : millis(w.random() % 100));
    }
    w.caller.end_of_file(w.now);
    w.callee.end_of_file(w.now);
    for (const End* e : {&w.caller, &w.callee}) {
      CHECK((e->peer_ended || e->is_over()));
      if (e->peer_ended) ++exact;
    }
    harmed += w.caller.is_over() || w.callee.is_over();
    if (what == Harm::none) CHECK((w.caller.peer_ended && w.callee.peer_ended));
  }
  CHECK(exact > 0);
  CHECK(harmed > 0);
}

TEST_CASE(
    "secure sim: a pipe on which both ends are started anew at any time, over old bytes and harm, comes up again") {
  for (unsigned seed = 1; seed <= seeds(100); ++seed) {
    CAPTURE(seed);
    World w(seed, Carrier::pipe);
    for (unsigned turn = 0; turn < 300; ++turn) {
      w.caller.send(w.random() % 3 == 0 ? w.random() % 500 : 0, w.now);
      w.callee.send(w.random() % 3 == 0 ? w.random() % 500 : 0, w.now);
      if (w.random() % 40 == 0) w.caller.start(w.now);
      if (w.random() % 40 == 0) w.callee.start(w.now);
      if (w.random() % 20 == 0) {
        const Harm what = static_cast<Harm>(w.random() % static_cast<unsigned>(Harm::kinds));
        harm(what, w.random() % 2 == 0 ? &w.forth : &w.back, w.random);
      }
      w.step(millis(w.random() % 500));
    }
    // From here on nothing happens to it, and both ends have something to say now and then.
    const Time quiet = w.now;
    // That their keys fit is not enough: who waits for the rest of a record whose length has been changed for a larger
    // one hears nothing, until so much has come behind it, or the silence ends the link.
    const auto talks = [&w] {
      return w.caller.is_up && w.callee.is_up && w.caller.send_key == w.callee.receive_key &&
             w.callee.send_key == w.caller.receive_key && w.caller.heard_at == w.now && w.callee.heard_at == w.now;
    };
    int talked = 0;
    while (talked < 10 && w.now < quiet + seconds(120)) {
      w.caller.send(10, w.now);
      w.callee.send(10, w.now);
      w.step(millis(200));
      talked = talks() ? talked + 1 : 0;
    }
    CHECK(talks());
    w.caller.end(w.now);
    w.callee.end(w.now);
    for (int i = 0; i < 200; ++i) w.step(millis(10));
    CHECK(w.caller.peer_ended);
    CHECK(w.callee.peer_ended);
  }
}
