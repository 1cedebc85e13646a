// A handshake and the first records behind it, and somebody in the middle. Input: what carries it, how messages come in pieces, and
// what is changed of them, repeated, or put between. Both ends have the same keys or none of them is up with the other; what is
// heard behind it is what was said. Read next: transport/secure/handshake.h.
#include <optional>

#include "tests/fuzz/targets.h"
#include "transport/secure/handshake.h"
#include "transport/secure/records.h"

namespace fuzz {

namespace {

using namespace smx::secure;

Secret secret(uint8_t seed, uint32_t salt = 0) {
  uint8_t bytes[kKey];
  for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = static_cast<uint8_t>((seed * 37 + i * 11 + 1) ^ salt >> i % 4 * 8);
  return Secret(bytes);
}
// Another one for each input (FNV-1a): an answer that libFuzzer has seen to one is none to any other.
uint32_t salt_of(smx::Bytes input) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < input.size; ++i) h = (h ^ input.data[i]) * 16777619u;
  return h;
}
struct Known {
  KeyPair ours{secret(1)}, theirs{secret(2)};
  MacKey mac{theirs.shown};
  Secret psk = secret(3);
};
const Known& known() {
  start_crypto();
  static const Known k;
  return k;
}

// True: it is not what it was.
bool change(Input& in, Data* d) {
  const Data before = *d;
  const uint8_t how = in.u8();
  if ((how & 7) == 0 || d->empty()) return false;
  const size_t at = in.u16() % d->size();
  const uint8_t what = in.u8();
  switch (how & 7) {
    case 1:
    case 2: (*d)[at] = static_cast<char>((*d)[at] ^ what); break;
    case 3: d->erase(at, 1u + what % 16); break;
    case 4: d->insert(at, data_of(in.bytes(1u + what % 16))); break;
    case 5: *d = data_of(in.bytes(what)) + *d; break;  // in front of it
    case 6: *d += data_of(in.bytes(what)); break;      // and behind it
    case 7: *d = *d + *d; break;
  }
  return *d != before;
}

}  // namespace

void secure_handshake(smx::Bytes input) {
  Input in(input);
  const Known& k = known();
  const uint32_t salt = salt_of(input);
  const uint8_t how = in.u8();
  const Carrier carrier = static_cast<Carrier>(how % 3);
  const bool blocks = carrier == Carrier::lossy_line;
  smx::Time now{1000000};
  Initiator caller(k.ours, k.theirs.shown, (how & 4) != 0 ? secret(9) : k.psk, carrier);
  Responder callee(k.theirs, k.mac, carrier, now);
  const size_t step = (how & 8) != 0 ? 1 + in.u8() : SIZE_MAX;
  Data first(kMessage1, '\0');
  const Data hello(in.u8() % (blocks ? kFirstPayloadOfLine : kFirstPayload), 'h');
  const size_t size = caller.begin(secret(4, salt), view(hello), now, reinterpret_cast<uint8_t*>(&first[0]));
  MUST(size > 0);
  first.resize(size);
  const bool changed1 = change(in, &first);
  Responder::Got got = Responder::Got::nothing;
  if (blocks) {
    if (first.empty() || first.size() > kBlock || !is_handshake(view(first))) return;
    got = callee.take_block(view(first), now);
  } else {
    for (size_t at = 0; at < first.size() && got == Responder::Got::nothing; at += step < first.size() - at ? step : first.size() - at) {
      const Exact piece(smx::Bytes{view(first).data + at, step < first.size() - at ? step : first.size() - at});
      smx::Bytes rest = piece.bytes();
      got = callee.take(&rest, now);
    }
  }
  if (!changed1) MUST(got == Responder::Got::message);
  if (got == Responder::Got::bad) MUST(callee.fault() != Fault::none);
  if (got != Responder::Got::message) {
    (void)callee.asks_anew(now);
    (void)callee.expired(callee.deadline());
    return;
  }
  uint8_t peer[kKey];
  if (callee.find(peer) != Fault::none) {
    MUST(changed1);
    return;
  }
  MUST(memcmp(peer, k.ours.shown, kKey) == 0);  // nobody else has made a message of that
  Data second(kMessage2, '\0');
  if ((how & 16) != 0) {
    callee.refuse(Code::busy);
    second.resize(kRefusal);
    put_refusal(callee.code(), reinterpret_cast<uint8_t*>(&second[0]));
  } else {
    MUST(callee.check() == Fault::none);
    MUST(data_of(callee.payload()) == hello);
    if ((how & 32) != 0) MUST(callee.prepare(secret(5)) == Fault::none);
    const Data said(in.u8() % kSecondPayloadOfLine, 's');
    size_t n = 0;
    MUST(callee.answer(secret(5), k.psk, view(said), now, reinterpret_cast<uint8_t*>(&second[0]), &n) == Fault::none);
    second.resize(n);
  }
  const bool changed2 = change(in, &second);
  Initiator::Got answer = Initiator::Got::nothing;
  Data behind;
  if (blocks) {
    if (second.empty() || second.size() > kBlock || !is_handshake(view(second))) return;
    answer = caller.take_block(view(second), now);
  } else {
    for (size_t at = 0; at < second.size() && answer == Initiator::Got::nothing;) {
      const size_t part = step < second.size() - at ? step : second.size() - at;
      const Exact piece(smx::Bytes{view(second).data + at, part});
      at += part;
      smx::Bytes rest = piece.bytes();
      answer = caller.take(&rest, now);
      if (answer == Initiator::Got::up) behind = data_of(caller.rest()) + data_of(rest) + second.substr(at);
    }
  }
  const bool same_psk = (how & 4) == 0;
  if (answer != Initiator::Got::up) {
    if (!changed2 && same_psk && (how & 16) == 0) MUST(answer == Initiator::Got::up);
    (void)caller.expired(caller.deadline());
    return;
  }
  MUST(same_psk);
  MUST((how & 16) == 0);
  LinkKeys keys;
  caller.keys(&keys);
  MUST(memcmp(keys.tx.data(), callee.receive_key().data(), kKey) == 0);
  if (!changed2) MUST(behind.empty());
  // The first record of who has called.
  if (blocks) return;
  RecordWriter writer;
  writer.start(keys.tx, now);
  Data record(kFirstContent + kRecordOverhead, '\0');
  const Data content(1 + in.u8(), 'r');
  memcpy(&record[kRecordHead], content.data(), content.size());
  record.resize(writer.seal(reinterpret_cast<uint8_t*>(&record[0]), content.size(), now));
  const bool changed3 = change(in, &record);
  RecordReader reader;
  Data room(kFirstRecord, '\0');
  reader.start(callee.receive_key(), reinterpret_cast<uint8_t*>(&room[0]), room.size());
  smx::MutBytes rest{reinterpret_cast<uint8_t*>(&record[0]), record.size()};
  if (reader.take(&rest) == RecordReader::Got::content) {
    MUST(data_of(reader.content()) == content);
    Secret back;
    callee.opened(&back);
    MUST(callee.state() == Responder::State::up);
    MUST(memcmp(back.data(), keys.rx.data(), kKey) == 0);
  } else {
    MUST(changed3);
  }
}

}  // namespace fuzz
