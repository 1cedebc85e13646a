// One end of a secure link at fd 0 and 1, to be talked to by another implementation: interop.py.
//
//     secure_peer initiator|responder PRIVATE PEER PSK        keys as `wg` writes them
//
// The initiator sends kSent bytes in records of all sizes, then the end, and wants all of it back; the responder sends
// back what comes. Time is made up: each record is 5 s later than the last one, so that keys change now and then. Ends
// with 0, or says what is wrong and ends with 1.
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <random>

#include "tests/secure/bytes.h"
#include "transport/secure/handshake.h"
#include "transport/secure/keys.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;

namespace {

constexpr size_t kSent = 400000;

struct Failure {
  std::string why;
};
void must(Fault f) {
  if (f != Fault::none) throw Failure{name(f)};
}
void must(bool is_so, const char* what) {
  if (!is_so) throw Failure{what};
}

Secret key(const char* text) {
  Secret out;
  must(parse_key(text, &out) == KeyFault::none, "bad key");
  return out;
}

Secret fresh() {
  std::random_device device;
  Secret out;
  for (size_t i = 0; i < kKey; ++i) out.data()[i] = static_cast<uint8_t>(device());
  return out;
}

void write_all(const uint8_t* p, size_t n) {
  while (n > 0) {
    const ssize_t done = write(1, p, n);
    must(done > 0, "cannot write");
    p += done;
    n -= static_cast<size_t>(done);
  }
}
// Empty: end of file.
Data read_some() {
  Data out(70000);
  const ssize_t n = read(0, out.data(), out.size());
  must(n >= 0, "cannot read");
  out.resize(static_cast<size_t>(n));
  return out;
}

Data pattern() {
  Data out(kSent);
  for (size_t i = 0; i < kSent; ++i) out[i] = static_cast<uint8_t>(i * 7 + i / 251);
  return out;
}

struct Link {
  RecordWriter writer;
  RecordReader reader;
  Data memory = Data(kRecord);
  Data heard;
  Time now;

  void say(const Data& content, size_t size) {
    Data record(kRecord);
    for (size_t at = 0; at < content.size(); at += size) {
      const size_t n = std::min(size, content.size() - at);
      memcpy(&record[kRecordHead], &content[at], n);
      write_all(record.data(), writer.seal(record.data(), n, now));
      now = now + seconds(5);
    }
  }
  void end() {
    uint8_t record[kRecordOverhead];
    write_all(record, writer.seal_end(record, now));
  }
  // All records, of `bytes` and then of fd 0, to the last one; `each` has its turn behind every one that was not it.
  template <typename Each>
  void hear(Data bytes, Each each) {
    for (;;) {
      MutBytes in{bytes.data(), bytes.size()};
      RecordReader::Got got = RecordReader::Got::nothing;
      while ((got = reader.take(&in)) == RecordReader::Got::content) {
        heard += data_of(reader.content());
        each();
      }
      must(reader.fault());
      if (got == RecordReader::Got::end) return must(in.size == 0, "bytes behind the end");
      bytes = read_some();
      if (bytes.empty()) must(reader.end_of_file());
    }
  }
};

void initiate(const KeyPair& own, const uint8_t* peer, const Secret& psk) {
  Initiator i(own, peer, psk, Carrier::connection);
  uint8_t message[kMessage1];
  write_all(message, i.begin(fresh(), as_bytes("hello of ours"), Time{}, message));
  Initiator::Got got = Initiator::Got::nothing;
  Bytes in;
  Data bytes;
  while (got != Initiator::Got::up) {
    bytes = read_some();
    if (bytes.empty()) throw Failure{"closed, code " + std::to_string(static_cast<int>(i.code()))};
    in = view(bytes);
    got = i.take(&in, Time{});
    if (got == Initiator::Got::bad) must(i.fault());
  }
  must(data_of(i.payload()) == text("hello of theirs"), "another payload");
  LinkKeys keys;
  i.keys(&keys);
  Link link;
  link.writer.start(keys.tx, Time{});
  link.reader.start(keys.rx, link.memory.data(), link.memory.size());
  const Data all = pattern();
  link.say(Data(all.begin(), all.begin() + 100), 1);
  size_t at = 100;
  for (size_t size : {size_t{2}, size_t{16}, size_t{1000}, kRecordContent}) {
    const size_t n = std::min(size * 30, all.size() - at);
    link.say(Data(&all[at], &all[at] + n), size);
    at += n;
  }
  must(at == all.size(), "kSent");
  link.end();
  link.hear(data_of(in), [] {});
  must(link.heard == all, "other bytes came back");
}

void respond(const KeyPair& own, const uint8_t* peer, const Secret& psk) {
  const MacKey mac(own.shown);
  Responder r(own, mac, Carrier::connection, Time{});
  Responder::Got got = Responder::Got::nothing;
  Data bytes;
  Bytes in;
  while (got != Responder::Got::message) {
    bytes = read_some();
    must(!bytes.empty(), "closed");
    in = view(bytes);
    got = r.take(&in, Time{});
    if (got == Responder::Got::bad) must(r.fault());
  }
  uint8_t who[kKey];
  must(r.find(who));
  if (!equal(who, peer, kKey)) {
    r.refuse(Code::not_accepted);
    uint8_t refusal[kRefusal];
    put_refusal(r.code(), refusal);
    write_all(refusal, sizeof refusal);
    throw Failure{"unknown key"};
  }
  must(r.check());
  must(data_of(r.payload()) == text("hello of theirs"), "another payload");
  uint8_t message[kMessage2];
  size_t size = 0;
  must(r.answer(fresh(), psk, as_bytes("hello of ours"), Time{}, message, &size));
  write_all(message, size);
  Link link;
  link.reader.start(r.receive_key(), link.memory.data(), kFirstRecord);
  bool is_up = false;
  size_t next = 1;
  link.hear(data_of(in), [&] {
    if (!is_up) {
      Secret send;
      r.opened(&send);
      link.writer.start(send, Time{});
      link.reader.lend(link.memory.data(), link.memory.size());
      is_up = true;
    }
    link.say(link.heard, next);
    next = std::min(next * 2, kRecordContent);
    link.heard.clear();
  });
  must(is_up, "nothing came");
  link.end();
}

}  // namespace

int main(int argc, char** argv) {
  try {
    must(argc == 5, "secure_peer initiator|responder PRIVATE PEER PSK");
    const KeyPair own(key(argv[2]));
    const Secret peer = key(argv[3]), psk = key(argv[4]);
    if (strcmp(argv[1], "initiator") == 0) {
      initiate(own, peer.data(), psk);
    } else {
      respond(own, peer.data(), psk);
    }
    return 0;
  } catch (const Failure& f) {
    fprintf(stderr, "%s\n", f.why.c_str());
    return 1;
  }
}
