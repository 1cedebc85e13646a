// Where messages of the handshake are found in what arrives, and keys as text. Input: a byte (side, search, pieces), then bytes. The
// same messages are found in one piece and byte by byte. Read next: transport/secure/message.h.
#include "config/peers/peers.h"
#include "tests/fuzz/targets.h"
#include "transport/secure/message.h"

namespace fuzz {

namespace {

struct Found {
  std::vector<Data> messages;
  bool bad = false;
  uint64_t skipped = 0;
};

Found find(smx::Bytes bytes, uint8_t how, size_t step) {
  using Reader = smx::secure::MessageReader;
  Found f;
  const bool responder = (how & 1) != 0, search = (how & 2) != 0;
  Data room(responder ? smx::secure::kMessage1 : smx::secure::kMessage2, '\0');
  Exact kept(room);
  Reader reader;
  reader.start(responder ? Reader::Side::responder : Reader::Side::initiator, search, kept.data());
  for (size_t at = 0; at < bytes.size && !f.bad; at += step < bytes.size - at ? step : bytes.size - at) {
    const Exact piece(smx::Bytes{bytes.data + at, step < bytes.size - at ? step : bytes.size - at});
    smx::Bytes in = piece.bytes();
    for (int i = 0;; ++i) {
      MUST(i < 5000);
      const Reader::Got got = reader.take(&in);
      if (got == Reader::Got::nothing) {
        MUST(in.size == 0);
        break;
      }
      if (got == Reader::Got::bad) {
        MUST(!search);
        MUST(reader.fault() != smx::secure::Fault::none);
        f.bad = true;
        break;
      }
      const smx::Bytes whole = reader.whole();
      MUST(whole.size >= smx::secure::kMessageHead + 1);
      MUST(whole.size <= kept.size());
      f.messages.push_back(data_of(whole));
      (void)reader.is_other_version();
      if (reader.type() != smx::secure::MessageType::refusal) {
        if (!reader.is_other_version()) MUST(reader.noise().size <= whole.size - smx::secure::kMessageHead);
      } else {
        (void)reader.code();
      }
      if (!search) return f;
      if ((how & 4) != 0) reader.pass();
      else reader.reject();
    }
  }
  f.skipped = reader.skipped();
  return f;
}

}  // namespace

void secure_message(smx::Bytes input) {
  Input in(input);
  const uint8_t how = in.u8();
  const smx::Bytes rest = in.rest();
  if ((how & 8) != 0) {  // two readers of one text agree
    smx::PeerKey ours;
    uint8_t theirs[smx::secure::kKey];
    const bool good = smx::parse_public_key(smx::as_text(rest), &ours);
    MUST(good == smx::secure::decode_key(smx::as_text(rest).data(), rest.size, theirs));
    if (!good) return;
    MUST(memcmp(ours.bytes, theirs, sizeof theirs) == 0);
    char text[smx::secure::kKeyText];
    smx::secure::encode_key(theirs, text);
    MUST(memcmp(text, rest.data, sizeof text) == 0);
    return;
  }
  const Found whole = find(rest, how, SIZE_MAX), bytewise = find(rest, how, 1);
  MUST(whole.messages == bytewise.messages);
  MUST(whole.bad == bytewise.bad);
  MUST(whole.skipped == bytewise.skipped);
}

}  // namespace fuzz
