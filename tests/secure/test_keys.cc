// Keys as texts and in files: only what `wg` would write is one, and the file's rights are looked at first.
#include <doctest/doctest.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <set>
#include <string>

#include "tests/secure/bytes.h"
#include "transport/secure/key_file.h"

using namespace smx;
using namespace smx::secure;
using namespace securetest;
using Status = KeyFile::Status;

namespace {

// Bytes 0..31; the same clamped; the public key of that.
const char kBytes[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const char kClamped[] = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=";
const char kPublic[] = "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=";

Secret bytes() {
  Secret s;
  for (size_t i = 0; i < kKey; ++i) s.data()[i] = static_cast<uint8_t>(i);
  return s;
}

KeyFault fault_of(const std::string& text) {
  Secret out = bytes();
  const KeyFault f = parse_key(text, &out);
  if (f != KeyFault::none) CHECK(data_of(out.view()) == Data(kKey, 0));
  return f;
}

// A folder that goes away.
struct Folder {
  std::string path;
  Folder() {
    char name[] = "/tmp/sockmux-keys-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    path = name;
  }
  ~Folder() {
    for (const char* name : {"key", "link"}) {
      unlink(file(name).c_str());
      rmdir(file(name).c_str());
    }
    rmdir(path.c_str());
  }
  std::string file(const char* name) const { return path + "/" + name; }
  std::string write(const std::string& text, mode_t mode = 0600) const {
    std::ofstream(file("key"), std::ios::trunc) << text;
    REQUIRE(chmod(file("key").c_str(), mode) == 0);
    return file("key");
  }
};

std::string said(const KeyFile& f) {
  Text<300> out;
  explain(f, "F", &out);
  return std::string(out.text());
}

}  // namespace

TEST_CASE("keys: genkey, genpsk, pubkey, as wg has them") {
  char out[kKeyText];
  genkey(bytes(), out);
  CHECK(std::string(out, kKeyText) == kClamped);
  genkey(Secret(Data(kKey, 0xff).data()), out);
  CHECK(std::string(out, kKeyText) == "+P///////////////////////////////////////38=");
  genpsk(bytes(), out);
  CHECK(std::string(out, kKeyText) == kBytes);
  REQUIRE(pubkey(kClamped, out) == KeyFault::none);
  CHECK(std::string(out, kKeyText) == kPublic);
  REQUIRE(pubkey(std::string(kClamped) + "\n", out) == KeyFault::none);
  CHECK(pubkey("", out) == KeyFault::empty);
}

TEST_CASE("keys: each key comes back from its text") {
  std::mt19937 random(6);
  for (int i = 0; i < 1000; ++i) {
    const Data key = any_data(random, kKey);
    char text[kKeyText];
    encode_key(key.data(), text);
    Secret out;
    REQUIRE(parse_key({text, kKeyText}, &out) == KeyFault::none);
    CHECK(data_of(out.view()) == key);
  }
}

TEST_CASE("keys: what is none, and why") {
  const std::string key = kBytes;
  CHECK(fault_of(key) == KeyFault::none);
  CHECK(fault_of("") == KeyFault::empty);
  for (size_t n = 1; n < kKeyText; ++n) CHECK(fault_of(key.substr(0, n)) == KeyFault::too_short);
  CHECK(fault_of(key.substr(0, 43) + "A=") == KeyFault::too_long);
  CHECK(fault_of(key + key) == KeyFault::character);  // padding in the middle
  CHECK(fault_of(" " + key.substr(1)) == KeyFault::blank);
  CHECK(fault_of(key + " ") == KeyFault::blank);
  CHECK(fault_of(key + "\r") == KeyFault::blank);
  CHECK(fault_of(key + "\n") == KeyFault::lines);
  CHECK(fault_of("-" + key.substr(1)) == KeyFault::character);  // base64url
  CHECK(fault_of("_" + key.substr(1)) == KeyFault::character);
  CHECK(fault_of(key.substr(0, 43) + "A") == KeyFault::ending);   // 33 bytes
  CHECK(fault_of(key.substr(0, 42) + "==") == KeyFault::ending);  // 31
  CHECK(fault_of(key.substr(0, 42) + "9=") == KeyFault::ending);  // bits that nobody uses, set
  CHECK(fault_of(std::string(kKeyText, '\0')) == KeyFault::character);
  for (size_t at = 0; at < kKeyText; ++at) {
    for (int c = 0; c < 256; ++c) {
      std::string text = key;
      text[at] = static_cast<char>(c);
      Secret out;
      const bool is_key = parse_key(text, &out) == KeyFault::none;
      char again[kKeyText];
      encode_key(out.data(), again);
      // One text for each key: a text that is taken is the one that would be written.
      CHECK(is_key == (text == std::string(again, kKeyText)));
    }
  }
}

TEST_CASE("keys: a line may end with LF, once") {
  Secret out;
  const std::string key = kBytes;
  CHECK(parse_key_line(key, &out) == KeyFault::none);
  CHECK(parse_key_line(key + "\n", &out) == KeyFault::none);
  CHECK(data_of(out.view()) == data_of(bytes().view()));
  CHECK(parse_key_line(key + "\n\n", &out) == KeyFault::lines);
  CHECK(parse_key_line(key + "\r\n", &out) == KeyFault::blank);
  CHECK(parse_key_line("\n", &out) == KeyFault::empty);
}

TEST_CASE("key file: read, through a link too") {
  const Folder f;
  Secret out;
  for (const char* end : {"", "\n"}) {
    const std::string path = f.write(std::string(kBytes) + end);
    CHECK(read_key_file(path.c_str(), &out).status == Status::ok);
    CHECK(data_of(out.view()) == data_of(bytes().view()));
  }
  REQUIRE(chmod(f.file("key").c_str(), 0400) == 0);
  REQUIRE(symlink("key", f.file("link").c_str()) == 0);
  CHECK(read_key_file(f.file("link").c_str(), &out).status == Status::ok);
}

TEST_CASE("key file: a right of the group or of others, of any kind, is too much; behind a link too") {
  const Folder f;
  f.write(std::string(kBytes) + "\n");
  REQUIRE(symlink("key", f.file("link").c_str()) == 0);
  for (mode_t mode : {040u, 020u, 010u, 04u, 02u, 01u}) {
    REQUIRE(chmod(f.file("key").c_str(), 0600 | mode) == 0);
    for (const char* name : {"key", "link"}) {
      Secret out = bytes();
      const KeyFile got = read_key_file(f.file(name).c_str(), &out);
      CHECK(got.status == Status::open_mode);
      CHECK(data_of(out.view()) == Data(kKey, 0));
      CHECK(exit_code(got) == 77);
    }
  }
  REQUIRE(chmod(f.file("key").c_str(), 0644) == 0);
  Secret out;
  CHECK(said(read_key_file(f.file("key").c_str(), &out)) ==
        "F: others can read this key (mode 0644): 'chmod 600 F', and make a new one if others have been here");
}

TEST_CASE("key file: another owner") {
  if (geteuid() != 0) return;  // only root can give a file away
  const Folder f;
  const std::string path = f.write(std::string(kBytes) + "\n");
  REQUIRE(chown(path.c_str(), 1000, 1000) == 0);
  Secret out;
  const KeyFile got = read_key_file(path.c_str(), &out);
  CHECK(got.status == Status::wrong_owner);
  CHECK(exit_code(got) == 77);
  CHECK(said(got) == "F: owner is uid 1000; must be root or the daemon's user");
}

TEST_CASE("key file: missing, no file, no key") {
  const Folder f;
  Secret out;
  KeyFile got = read_key_file(f.file("key").c_str(), &out);
  CHECK(got.status == Status::missing);
  CHECK(exit_code(got) == 66);
  CHECK(said(got) == "F: no such file; 'sockmuxctl genkey' makes a key");
  CHECK(read_key_file(f.path.c_str(), &out).status == Status::not_a_file);
  REQUIRE(mkfifo(f.file("key").c_str(), 0600) == 0);
  got = read_key_file(f.file("key").c_str(), &out);  // and does not wait for a writer
  CHECK(got.status == Status::not_a_file);
  unlink(f.file("key").c_str());
  const std::string key = kBytes;
  for (const std::string& text : {std::string(), std::string("\n"), key + "\n\n", key + "\n" + key, key + " ",
                                  " " + key, key + "x", "# a key\n" + key, key.substr(1), std::string(100000, 'A')}) {
    CAPTURE(text.substr(0, 60));
    got = read_key_file(f.write(text).c_str(), &out);
    CHECK(got.status == Status::not_a_key);
    CHECK(exit_code(got) == 78);
    CHECK(data_of(out.view()) == Data(kKey, 0));
  }
  got = read_key_file(f.write(key.substr(1) + "\n").c_str(), &out);
  CHECK(said(got) == "F: not a key: one line of 44 base64 characters is wanted (too short, a key has 44 characters)");
}

TEST_CASE("each fault of a handshake, a record and a key has words of its own") {
  std::set<std::string> words;
  for (unsigned i = 0; i <= static_cast<unsigned>(Fault::cut); ++i) words.insert(name(static_cast<Fault>(i)));
  for (unsigned i = 1; i <= static_cast<unsigned>(KeyFault::lines); ++i) words.insert(name(static_cast<KeyFault>(i)));
  CHECK(words.size() == static_cast<unsigned>(Fault::cut) + 1 + static_cast<unsigned>(KeyFault::lines));
  CHECK(words.count("unknown error") == 0);
}
