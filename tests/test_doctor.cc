// What the doctor makes of what it has seen. Read next: tools/ctl/doctor_judge.h, tests/e2e/doctor.cc (with real processes).
#include <doctest/doctest.h>
#include <string.h>

#include <string>

#include "tools/ctl/doctor_judge.h"
#include "tools/ctl/wrap.h"

using namespace smx;
using namespace smx::ctl;

namespace {

std::string packet(uint8_t version, uint8_t type, const std::string& payload) {
  Header h;
  h.version = version;
  h.type = type;
  h.said = h.raid = kNone;
  h.length = static_cast<uint16_t>(payload.size());
  uint8_t head[kHeader];
  encode_header(h, head);
  return std::string(reinterpret_cast<const char*>(head), kHeader) + payload;
}

const std::string kOurs = packet(kVersion03, static_cast<uint8_t>(Type::hello),
                                 std::string("20261126-010203.000001 here smx/1:01234567") + '\0');
Greeting greeting_of(const std::string& got) { return classify(as_bytes(got), as_bytes(kOurs)); }
std::string hello(const std::string& text) {
  return packet(kVersion03, static_cast<uint8_t>(Type::hello), text + '\0');
}

}  // namespace

TEST_CASE("doctor: without a failure the verdict is 0, whatever the warnings") {
  Verdict v;
  CHECK(v.exit_code() == 0);
  v.add(Grade::ok, Place::here, "fine");
  v.add(Grade::warn, Place::here, "hm");
  CHECK(v.exit_code() == 0);
  CHECK(v.fails() == 0);
  CHECK(v.warnings() == 1);
  CHECK(v.cause() == "");
}

TEST_CASE("doctor: of several causes the nearest one counts, and of those at one place the first") {
  Verdict v;
  v.add(Grade::fail, Place::server, "server down");
  CHECK(v.exit_code() == 4);
  v.add(Grade::fail, Place::way, "no route");
  CHECK(v.exit_code() == 2);
  CHECK(v.cause() == "no route");
  v.add(Grade::fail, Place::way, "no answer");
  v.add(Grade::fail, Place::peer, "wrong key");
  CHECK(v.cause() == "no route");
  v.add(Grade::warn, Place::here, "clock");
  CHECK(v.exit_code() == 2);
  v.add(Grade::fail, Place::here, "port taken");
  CHECK(v.exit_code() == 1);
  CHECK(v.cause() == "port taken");
  CHECK(v.fails() == 5);
}

TEST_CASE("doctor: who answers at a port is told by what comes for our HELLO") {
  CHECK(greeting_of("") == Greeting::nothing);
  CHECK(greeting_of(kOurs) == Greeting::echo);
  CHECK(greeting_of(hello("20261126-010203.000002 hub smx/1:89abcdef")) == Greeting::sockmux1);
  CHECK(greeting_of(hello("20261126-010203.000002 hub smx/2:89abcdef") + "more") == Greeting::sockmux1);
  CHECK(greeting_of(hello("20261126-010203.000002 hub")) == Greeting::sockmux03);
  const uint8_t bye = static_cast<uint8_t>(Type::bye);
  CHECK(greeting_of(packet(kUnnumbered, bye, "\x83secure link only: use SERVER=sockmuxs://")) == Greeting::secure_only);
  CHECK(greeting_of(packet(kUnnumbered, bye, "\x83no")) == Greeting::bye);
  CHECK(greeting_of("SMXS\x01\x03") == Greeting::secure);
  CHECK(greeting_of("SSH-2.0-OpenSSH_9.2p1\r\n") == Greeting::ssh);
  CHECK(greeting_of("HTTP/1.1 400 Bad Request\r\n") == Greeting::http);
  CHECK(greeting_of("\x15\x03\x01") == Greeting::tls);
  CHECK(greeting_of("220 mail.example.org\r\n") == Greeting::text);
  CHECK(greeting_of("<html>") == Greeting::text);
  CHECK(greeting_of(packet(kVersion03, static_cast<uint8_t>(Type::close), "x")) == Greeting::binary);
  CHECK(greeting_of(std::string("\xff\xfd\x18\xff", 4)) == Greeting::binary);
}

TEST_CASE("doctor: what is cut is not judged before it is whole") {
  for (const std::string& whole : {hello("20261126-010203.000002 hub smx/1:89abcdef"),
                                   packet(kUnnumbered, static_cast<uint8_t>(Type::bye), "\x83no"), std::string("SSH-"),
                                   std::string("HTTP/"), std::string("SMXS")}) {
    CAPTURE(whole);
    for (size_t n = 1; n < whole.size(); ++n) CHECK(greeting_of(whole.substr(0, n)) == Greeting::partial);
    CHECK(greeting_of(whole) != Greeting::partial);
  }
}

TEST_CASE("doctor: the text of a greeting is what can be shown of it") {
  CHECK(greeting_text(as_bytes(hello("20261126-010203.000002 hub"))) == "20261126-010203.000002 hub");
  CHECK(greeting_text(as_bytes(packet(kUnnumbered, static_cast<uint8_t>(Type::bye), "\x83no room"))) == "no room");
  CHECK(greeting_text(as_bytes(std::string_view("SSH-2.0-x\r\nrest"))) == "SSH-2.0-x");
  CHECK(greeting_text(as_bytes(std::string_view(""))) == "");
}

TEST_CASE("doctor: lines are broken at words, what follows stands under the first, and a word that is too long stays whole") {
  const auto wrapped = [](const char* head, const std::string& words, size_t indent, size_t width) {
    Text<400> out(head);
    add_wrapped(out, words, indent, width);
    return std::string(out.text());
  };
  CHECK(wrapped("ok    ", "one two three", 6, 0) == "ok    one two three");
  CHECK(wrapped("ok    ", "one two three", 6, 19) == "ok    one two three");
  CHECK(wrapped("ok    ", "one two three", 6, 18) == "ok    one two\n      three");
  CHECK(wrapped("ok    ", "one two three", 6, 12) == "ok    one\n      two\n      three");
  CHECK(wrapped("  ", "/a/very/long/path and more", 2, 10) == "  /a/very/long/path\n  and more");
  CHECK(wrapped("  ", "an /a/very/long/path", 2, 10) == "  an\n  /a/very/long/path");
  CHECK(wrapped("  ", "", 2, 10) == "  ");
  CHECK(wrapped("", "two  spaces", 0, 6) == "two\nspaces");
}
