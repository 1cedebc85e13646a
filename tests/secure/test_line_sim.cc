// Two ends of a secure lossy line in virtual time, put together as a link will put them together: blocks are lost,
// doubled and changed, ends start anew at any time. What an end hears under a key is what was sent under it, in order
// and at most once; when the line is quiet again, so is the link.
#include <deque>
#include <map>
#include <memory>

#include "tests/secure/ends.h"

using namespace securetest;

namespace {

using Wire = std::deque<Data>;

struct Direction {
  std::vector<Data> sent;
  size_t heard = 0;  // of `sent`: those before it are heard or lost
};
using Directions = std::map<Data, Direction>;  // by key

struct LineEnd {
  Keys& keys;
  Directions& directions;
  const bool calls;
  std::mt19937& random;
  Wire& out;

  std::unique_ptr<Initiator> i;  // a handshake is under way, the first one or one beside the link that is up
  std::unique_ptr<Responder> r;  // waits for message 1, or has answered one
  BlockReader reader, beside;
  BlockWriter writer;
  Data send_key, receive_key, beside_key;
  bool is_up = false;
  uint32_t forged = 0;
  Time heard_at;

  LineEnd(Keys& k, Directions& d, bool c, std::mt19937& rnd, Wire& o)
      : keys(k), directions(d), calls(c), random(rnd), out(o) {}

  void start(Time now) {
    is_up = false;
    i.reset();
    r.reset();
    if (calls) {
      call(now);
    } else {
      wait(now);
    }
  }
  void call(Time now) {
    if (i == nullptr) i = std::make_unique<Initiator>(keys.ours, keys.theirs.shown, keys.psk, Carrier::lossy_line);
    Data message(kMessage1);
    message.resize(i->begin(keys.secret(), as_bytes("HELLO"), now, message.data()));
    out.push_back(message);
  }
  void wait(Time now) { r = std::make_unique<Responder>(keys.theirs, keys.mac, Carrier::lossy_line, now); }
  void up(const Secret& tx, Time now) {
    writer.start(tx, now);
    send_key = data_of(tx.view());
    directions[send_key] = {};
    is_up = true;
  }
  void send(Time now) {
    if (!is_up) return;
    const Data content = any_data(random, random() % (kBlockContent + 1));
    Data block(kBlock);
    block.resize(writer.seal(view(content), block.data(), now));
    REQUIRE_FALSE(block.empty());
    directions[send_key].sent.push_back(content);
    out.push_back(block);
  }

  void take(const Data& block, Time now) {
    if (is_handshake(view(block))) return calls ? take_answer(block, now) : take_message(block, now);
    if (is_up && hear(&reader, receive_key, block)) {
      heard_at = now;
      return;
    }
    if (calls || r->state() != Responder::State::waits_record) {
      // Both may be up with different keys, if message 1 came twice or the first blocks are late. Then nothing opens.
      if (!calls && (!is_up || now >= heard_at + kStrangeWait)) r->stray_block();
      return;
    }
    if (!hear(&beside, beside_key, block)) return;
    heard_at = now;
    Secret tx;
    r->opened(&tx);
    reader = beside;
    receive_key = beside_key;
    up(tx, now);
    wait(now);
  }
  bool hear(BlockReader* from, const Data& key, const Data& block) {
    uint8_t content[kBlockContent];
    size_t size = 0;
    const BlockReader::Got got = from->open_block(view(block), content, &size);
    forged += got == BlockReader::Got::forged;
    REQUIRE(got != BlockReader::Got::overused);
    if (got != BlockReader::Got::content) return false;
    // The next one that was sent, but for some that were lost.
    Direction& d = directions[key];
    const Data heard = data_of({content, size});
    while (d.heard < d.sent.size() && d.sent[d.heard] != heard) ++d.heard;
    REQUIRE(d.heard < d.sent.size());
    ++d.heard;
    return true;
  }
  void take_answer(const Data& block, Time now) {
    if (i == nullptr) {
      // UP, and the other side asks for a new beginning: beside it.
      if (block.size() == kRefusal && block.back() == static_cast<uint8_t>(Code::anew)) call(now);
      return;
    }
    const Initiator::Got got = i->take_block(view(block), now);
    REQUIRE(got != Initiator::Got::bad);
    if (got == Initiator::Got::anew) call(now);
    if (got != Initiator::Got::up) return;
    LinkKeys k;
    i->keys(&k);
    i.reset();
    reader.start(k.rx);
    receive_key = data_of(k.rx.view());
    up(k.tx, now);
    send(now);
  }
  void take_message(const Data& block, Time now) {
    // Another message 1 takes the place of one that was answered and of which nothing was heard.
    if (r->state() != Responder::State::waits_message) wait(now);
    if (r->take_block(view(block), now) != Responder::Got::message) return;
    uint8_t peer[kKey];
    REQUIRE(r->find(peer) == Fault::none);
    REQUIRE(r->check() == Fault::none);
    out.push_back(message2(*r, keys, text("HELLO SETTINGS"), now));
    beside.start(r->receive_key());
    beside_key = data_of(r->receive_key().view());
  }
  void tick(Time now) {
    if (i != nullptr && i->expired(now) == Initiator::Got::anew) call(now);
    if (calls) return;
    if (r->expired(now) != Fault::none) wait(now);
    if (r->asks_anew(now)) {
      Data refusal(kRefusal);
      put_refusal(Code::anew, refusal.data());
      out.push_back(refusal);
    }
  }
};

}  // namespace

TEST_CASE("secure sim: a lossy line over loss, doubles, changes and new starts, with keys that change on the way") {
  uint32_t forged = 0;
  for (unsigned seed = 1; seed <= 60; ++seed) {
    CAPTURE(seed);
    std::mt19937 random(seed);
    Keys keys;
    keys.random.seed(seed + 1);
    Directions directions;
    Wire forth, back;
    LineEnd caller(keys, directions, true, random, forth);
    LineEnd callee(keys, directions, false, random, back);
    Time now;
    caller.start(now);
    callee.start(now);
    const auto carry = [&](Wire* wire, LineEnd* to, bool harms) {
      for (size_t n = random() % 4; n > 0 && !wire->empty(); --n) {
        Data block = wire->front();
        const auto luck = harms ? random() % 20 : 20;
        if (luck > 2) wire->pop_front();  // else it comes once more
        if (luck >= 3 && luck < 7) continue;
        // A flip that the CRC has not found: somebody.
        if (luck == 7) block[random() % block.size()] ^= static_cast<uint8_t>(1u << random() % 8);
        to->take(block, now);
      }
    };
    const auto talks = [&] {
      return caller.is_up && callee.is_up && caller.send_key == callee.receive_key &&
             callee.send_key == caller.receive_key;
    };
    for (int turn = 0; turn < 500; ++turn) {
      // Fast while a handshake is due, else through many keys.
      now = now + (talks() && random() % 4 == 0 ? seconds(60) : millis(200));
      caller.tick(now);
      callee.tick(now);
      if (random() % 2 == 0) caller.send(now);
      if (random() % 2 == 0) callee.send(now);
      if (random() % 80 == 0) caller.start(now);
      if (random() % 80 == 0) callee.start(now);
      carry(&forth, &callee, true);
      carry(&back, &caller, true);
    }
    const Time quiet = now;
    int talked = 0;
    while (talked < 50 && now < quiet + seconds(60)) {
      now = now + millis(200);
      caller.tick(now);
      callee.tick(now);
      if (forth.empty()) caller.send(now);
      if (back.empty()) callee.send(now);
      carry(&forth, &callee, false);
      carry(&back, &caller, false);
      talked = talks() ? talked + 1 : 0;
    }
    CHECK(talks());
    for (const Data* key : {&caller.receive_key, &callee.receive_key}) CHECK(directions[*key].heard > 10);
    forged += caller.forged + callee.forged;
  }
  CHECK(forged > 0);
}
