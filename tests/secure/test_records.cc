// Records in virtual time: what goes in comes out, and after anything that happens between the two, a prefix of it and
// a reason.
#include "transport/secure/records.h"

#include "tests/secure/vectors.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;
using Got = RecordReader::Got;

namespace {

const Secret kTestKey(Data(kKey, 0x31).data());

struct Writer {
  RecordWriter w;
  explicit Writer(const Secret& key = kTestKey) { w.start(key, Time{}); }
  Data record(const Data& content, Time now = {}) {
    Data out(content.size() + kRecordOverhead);
    std::copy(content.begin(), content.end(), out.begin() + kRecordHead);
    CHECK(w.seal(out.data(), content.size(), now) == out.size());
    return out;
  }
  Data end(Time now = {}) {
    Data out(kRecordOverhead);
    CHECK(w.seal_end(out.data(), now) == out.size());
    return out;
  }
};

// All that a reader hands up; how each record came, and what came last.
struct Reader {
  RecordReader r;
  Data memory, heard;
  size_t records = 0;
  Got last = Got::nothing;

  explicit Reader(const Secret& key = kTestKey, size_t limit = kRecord) : memory(limit) {
    r.start(key, memory.data(), limit);
  }
  // Stops at the first thing that is no content; how many bytes were taken.
  size_t feed(Data bytes, size_t step = SIZE_MAX) {
    for (size_t at = 0; at < bytes.size();) {
      MutBytes in{bytes.data() + at, std::min(step, bytes.size() - at)};
      const uint8_t* end = in.data + in.size;
      while ((last = r.take(&in)) == Got::content) {
        heard += data_of(r.content());
        ++records;
      }
      at = static_cast<size_t>(end - bytes.data()) - in.size;
      if (last != Got::nothing) return at;
    }
    return bytes.size();
  }
};

bool is_prefix(const Data& part, const Data& whole) {
  return part.size() <= whole.size() && std::equal(part.begin(), part.end(), whole.begin());
}

// Contents of one, of many and of a few bytes, and the end; where each record begins.
struct Stream {
  Data plain, bytes;
  std::vector<size_t> begins;
  Stream() {
    std::mt19937 random(5);
    Writer w;
    for (size_t size : {1u, 300u, 5u, 64u, 17u}) {
      const Data content = any_data(random, size);
      plain += content;
      begins.push_back(bytes.size());
      bytes += w.record(content);
    }
    begins.push_back(bytes.size());
    bytes += w.end();
  }
  Data part(size_t record) const {
    return Data(&bytes[begins[record]],
                record + 1 == begins.size() ? bytes.data() + bytes.size() : &bytes[begins[record + 1]]);
  }
};

}  // namespace

TEST_CASE("records: those of the vectors, before and after a REKEY, and the end") {
  const Json all = load_vectors();
  for (const Json& v : all["vectors"].list) {
    CAPTURE(v["comment"].text);
    const Json& link = v["link"];
    const std::vector<Json>& m = v["messages"].list;
    for (bool forth : {true, false}) {
      const Secret key = link[forth ? "init_to_resp_key" : "resp_to_init_key"].secret();
      const std::vector<Json>& records = link[forth ? "init_to_resp_records" : "resp_to_init_records"].list;
      Writer w(key);
      Reader r(key);
      for (size_t i = 0; i < records.size(); ++i) {
        const Data content = m[2 + 2 * i + (forth ? 0 : 1)]["payload"].hex();
        r.heard.clear();
        CHECK(r.feed(records[i].hex()) == records[i].hex().size());
        CHECK(r.heard == content);
        CHECK((content.empty() ? w.end() : w.record(content)) == records[i].hex());
        if (content.empty()) {
          CHECK(r.last == Got::end);
          break;
        }
      }
      if (!forth || w.w.ended()) continue;
      // The last payload once more, by the next key.
      const Data content = m[6]["payload"].hex(), after = link["init_to_resp_record_after_rekey"].hex();
      CHECK(w.record(content, Time{} + kRekeyAfter) == after);
      r.heard.clear();
      r.feed(after);
      CHECK(r.heard == content);
      CHECK(w.end() == link["init_to_resp_end_record"].hex());
      r.feed(link["init_to_resp_end_record"].hex());
      CHECK(r.last == Got::end);
      CHECK(r.r.end_of_file() == Fault::none);
    }
  }
}

TEST_CASE("records: contents of every size to 300 and at every boundary, in pieces of any size") {
  std::mt19937 random(1);
  std::vector<size_t> sizes{1000, 1024, 4096, 16367, 16368, 16382, 16383, kRecordContent};
  for (size_t i = 1; i <= 300; ++i) sizes.push_back(i);
  for (size_t step : {size_t{1}, size_t{2}, size_t{3}, size_t{19}, size_t{1000}, SIZE_MAX}) {
    Writer w;
    Reader r;
    Data plain, bytes;
    for (size_t size : sizes) {
      const Data content = any_data(random, size);
      plain += content;
      bytes += w.record(content);
    }
    bytes += w.end();
    CHECK(r.feed(bytes, step) == bytes.size());
    CHECK(r.last == Got::end);
    CHECK(r.records == sizes.size());
    CHECK(r.heard == plain);
    CHECK(r.r.end_of_file() == Fault::none);
  }
}

TEST_CASE(
    "records: a stream that is cut at any byte gives the records before it, and says that it was cut, and where") {
  const Stream s;
  for (size_t step : {size_t{1}, SIZE_MAX}) {
    for (size_t cut = 0; cut < s.bytes.size(); ++cut) {
      CAPTURE(cut);
      Reader r;
      r.feed(Data(s.bytes.begin(), s.bytes.begin() + static_cast<std::ptrdiff_t>(cut)), step);
      CHECK(r.last == Got::nothing);
      const size_t whole =
          static_cast<size_t>(std::upper_bound(s.begins.begin(), s.begins.end(), cut) - s.begins.begin()) - 1;
      CHECK(r.records == whole);
      CHECK(is_prefix(r.heard, s.plain));
      CHECK(r.r.end_of_file() == (s.begins[whole] == cut ? Fault::cut : Fault::cut_in_record));
    }
  }
}

TEST_CASE("records: one bit changed, at any byte: a prefix, and never an end") {
  const Stream s;
  for (size_t step : {size_t{1}, size_t{50}, SIZE_MAX}) {
    for (size_t bit = 0; bit < s.bytes.size() * 8; ++bit) {
      CAPTURE(bit);
      Data bytes = s.bytes;
      bytes[bit / 8] ^= static_cast<uint8_t>(1u << bit % 8);
      Reader r;
      r.feed(bytes, step);
      const size_t whole =
          static_cast<size_t>(std::upper_bound(s.begins.begin(), s.begins.end(), bit / 8) - s.begins.begin()) - 1;
      CHECK(r.records == whole);
      CHECK(is_prefix(r.heard, s.plain));
      // A length that has grown waits for bytes that do not come.
      CHECK((r.last == Got::bad || r.last == Got::nothing));
      const Fault f = r.r.end_of_file();
      CHECK((f == Fault::record_forged || f == Fault::record_length || f == Fault::cut_in_record));
      if (bit / 8 >= s.begins[whole] + kRecordHead) CHECK(f == Fault::record_forged);
    }
  }
}

TEST_CASE("records: repeated, left out, in another order, of another stream: nothing of it is handed up") {
  const Stream s;
  const Data first = s.part(0), second = s.part(1), third = s.part(2);
  for (Data bytes : {first + first, first + third, second, first + s.part(5)}) {
    Reader r;
    r.feed(bytes);
    CHECK(r.last == Got::bad);
    CHECK(r.r.fault() == Fault::record_forged);
    CHECK(r.records == (bytes == second ? 0 : 1));
    // Nor is anything behind it.
    r.feed(second);
    CHECK(r.last == Got::bad);
  }
  Reader other(Secret(Data(kKey, 0x32).data()));
  other.feed(first);
  CHECK(other.r.fault() == Fault::record_forged);
}

TEST_CASE("records: lengths out of bounds are known by the head alone") {
  for (unsigned length : {0u, 1u, 15u, 16401u, 0x534cu, 0x534eu, 0x7fffu}) {
    for (unsigned epoch : {0u, 0x8000u}) {
      Reader r;
      CHECK(r.feed({static_cast<uint8_t>((length | epoch) >> 8), static_cast<uint8_t>(length)}) == 2);
      CHECK(r.last == Got::bad);
      CHECK(r.r.fault() == Fault::record_length);
    }
  }
  Reader r(kTestKey, kFirstRecord);
  Writer w;
  r.feed(w.record(Data(kFirstContent)));
  CHECK(r.records == 1);
  r.feed(w.record(Data(kFirstContent + 1)));
  CHECK(r.last == Got::bad);
  CHECK(r.r.fault() == Fault::record_large);
}

TEST_CASE("records: more memory later, and larger records from there on") {
  Reader r(kTestKey, kFirstRecord);
  Writer w;
  r.feed(w.record(Data(10, 'a')));
  Data more(kRecord);
  r.r.lend(more.data(), more.size());
  r.feed(w.record(Data(kRecordContent, 'b')), 999);
  CHECK(r.records == 2);
  CHECK(r.heard.size() == 10 + kRecordContent);
}

TEST_CASE("records: a new handshake is seen where a record is due, before and behind the end, and only there") {
  const Data magic = text("SMXS\1\1");
  for (size_t step : {size_t{1}, size_t{3}, SIZE_MAX}) {
    for (bool ends : {false, true}) {
      Writer w;
      Reader r;
      r.feed(w.record(text("hello")), step);
      if (ends) r.feed(w.end(), step);
      const size_t taken = r.feed(magic + Data(20, 1), step);
      CHECK(r.last == Got::anew);
      CHECK(taken == 4);
      CHECK(r.heard == text("hello"));
    }
    Reader r;
    r.feed(text("SMX") + Data(20, 'T'), step);
    CHECK(r.r.fault() == Fault::record_length);
  }
  // Within a record it is a part of it.
  Reader r;
  r.feed({0, 30, 1});
  r.feed(magic);
  CHECK(r.last == Got::nothing);
}

TEST_CASE("records: nothing but a new handshake may follow the end") {
  Writer w;
  Reader r;
  r.feed(w.end());
  CHECK(r.last == Got::end);
  CHECK(r.r.end_of_file() == Fault::none);
  r.feed({0, 17});
  CHECK(r.r.fault() == Fault::after_end);
  CHECK(r.r.end_of_file() == Fault::after_end);
}

TEST_CASE("records: the key changes after 65,536 records, and the nonce goes on") {
  Writer w;
  Reader r;
  Secret next = kTestKey;
  rekey(&next);
  for (uint32_t i = 0; i <= kRekeyRecords; ++i) {
    const Data record = w.record({1});
    REQUIRE(((record[0] & 0x80) != 0) == (i == kRekeyRecords));
    r.feed(record);
    if (i < kRekeyRecords) continue;
    uint8_t content = 0;
    CHECK(open(next, i, {}, {&record[kRecordHead], 1 + kTag}, &content));
  }
  CHECK(r.records == kRekeyRecords + 1);
}

TEST_CASE("records: the key changes after 120 s, with the first record then, once however long it took") {
  Writer w;
  Reader r;
  const int64_t limit = kRekeyAfter.us;
  struct {
    int64_t us;
    bool epoch;
  } steps[] = {{0, false},         {limit - 1, false},   {limit, true},           {2 * limit - 1, true},
               {2 * limit, false}, {1000 * limit, true}, {1000 * limit + 1, true}};
  for (const auto& s : steps) {
    CAPTURE(s.us);
    const Data record = w.record({1}, Time{s.us});
    CHECK(((record[0] & 0x80) != 0) == s.epoch);
    r.feed(record);
  }
  CHECK(r.records == 7);
  CHECK(r.last == Got::nothing);
}

TEST_CASE("records: a failed try of the next key is an error, a key of the past opens nothing") {
  Writer w;
  Reader r;
  const Data old = w.record({1}), now = w.record({2}, Time{} + kRekeyAfter);
  Data forged = now;
  forged[0] ^= 0x80;
  r.feed(old);
  r.feed(now);
  CHECK(r.records == 2);
  r.feed(old);
  CHECK(r.r.fault() == Fault::record_forged);
  Reader q;
  q.feed(old);
  q.feed(forged);
  CHECK(q.r.fault() == Fault::record_forged);
}

TEST_CASE("records: a sender that never changes its key is ended after 2^20 records") {
  Reader r;
  uint8_t record[kRecordOverhead + 1];
  for (uint32_t i = 0; i <= kMostRecords; ++i) {
    const uint8_t content = 7;
    store16(record, 1 + kTag);
    seal(kTestKey, i, {}, {&content, 1}, record + kRecordHead);
    MutBytes in{record, sizeof record};
    const Got got = r.r.take(&in);
    if (got != (i < kMostRecords ? Got::content : Got::bad)) REQUIRE(i == kMostRecords + 1);
  }
  CHECK(r.r.fault() == Fault::epoch_overused);
}
