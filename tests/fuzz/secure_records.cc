// Records of a secure link, and somebody who changes what is between writer and reader. Input: sizes of contents, changes, sizes of
// pieces. What is handed up is a prefix of what was sealed, and all of it where nothing was changed. Read next: transport/secure/records.h.
#include "tests/fuzz/targets.h"
#include "transport/secure/records.h"

namespace fuzz {

void secure_records(smx::Bytes input) {
  using Got = smx::secure::RecordReader::Got;
  Input in(input);
  uint8_t bytes[smx::secure::kKey];
  memset(bytes, 0x31, sizeof bytes);
  const smx::secure::Secret key(bytes);
  smx::secure::RecordWriter writer;
  smx::Time now{1000000};
  writer.start(key, now);
  Data plain, sealed;
  for (unsigned n = in.u8() % 8; n > 0; --n) {
    const uint8_t how = in.u8();
    const size_t size = 1 + in.u8() * ((how & 1) != 0 ? 64u : 1u);
    if ((how & 2) != 0) now = now + smx::seconds(how);
    Data record(size + smx::secure::kRecordOverhead, '\0');
    for (size_t i = 0; i < size; ++i) record[smx::secure::kRecordHead + i] = static_cast<char>(plain.size() + i * 7);
    plain += record.substr(smx::secure::kRecordHead, size);
    MUST(writer.seal(reinterpret_cast<uint8_t*>(&record[0]), size, now) == record.size());
    sealed += record;
  }
  const bool ends = in.flag();
  if (ends) {
    Data record(smx::secure::kRecordOverhead, '\0');
    MUST(writer.seal_end(reinterpret_cast<uint8_t*>(&record[0]), now) == record.size());
    sealed += record;
  }
  const uint8_t changes = in.u8() % 4;
  for (int i = 0; i < changes && !sealed.empty(); ++i) {
    const size_t at = (in.u16() * 5u) % sealed.size();
    const uint8_t what = in.u8();
    switch (in.u8() % 4) {
      case 0: sealed[at] = static_cast<char>(sealed[at] ^ (what | (what == 0))); break;
      case 1: sealed.erase(at, 1u + what % 32); break;
      case 2: sealed.insert(at, data_of(in.bytes(1u + what % 32))); break;
      case 3: sealed += sealed.substr(at, what); break;
    }
  }
  const size_t limit = in.flag() ? smx::secure::kRecord : smx::secure::kFirstRecord;
  Data memory(limit, '\0');
  smx::secure::RecordReader reader;
  reader.start(key, reinterpret_cast<uint8_t*>(&memory[0]), limit);
  Data heard;
  Got last = Got::nothing;
  uint8_t lent[600];
  for (size_t at = 0; at < sealed.size() && last == Got::nothing;) {
    const uint8_t step = in.u8();
    const size_t n = step == 0 || step >= sealed.size() - at ? sealed.size() - at : step;
    Exact piece(smx::Bytes{view(sealed).data + at, n});
    at += n;
    smx::MutBytes rest{piece.data(), piece.size()};
    const smx::MutBytes to = (step & 1) != 0 ? smx::MutBytes{lent, sizeof lent} : smx::MutBytes{};
    while ((last = reader.take(&rest, to)) == Got::content) {
      MUST(reader.content().size > 0);
      heard += data_of(reader.content());
    }
    if (last == Got::nothing) MUST(rest.size == 0);
  }
  MUST(heard.size() <= plain.size());
  MUST(plain.compare(0, heard.size(), heard) == 0);
  if (last == Got::end) MUST(heard == plain);
  if (changes != 0) return;
  if (limit == smx::secure::kRecord) MUST(heard == plain);
  if (last != Got::bad) MUST((last == Got::end) == ends);
  if (last != Got::bad) MUST((reader.end_of_file() == smx::secure::Fault::none) == ends);
}

}  // namespace fuzz
