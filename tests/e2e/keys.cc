// Keys made by sockmuxctl, in files and through pipes. Where secure links are not built in, that it says so.
// Read next: tests/secure/test_keys.cc, ctl.h.
#include <doctest/doctest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/ctl.h"

using namespace e2e;

namespace {

// Bytes 0..31 clamped, and the public key of that; and those of RFC 7748, 6.1.
const char* const kPairs[][2] = {
    {"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHl8=", "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8="},
    {"dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=", "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo="},
    {"XasIfmJKikt54X+Lg4AO5m87sSkmGLb9HC+LJ/+I4Os=", "3p7bfXt9wbTTW2HC7OQ1Nz+DQ8hbeGdNrfx+FG+IK08="}};

bool built_without() { return read_file(ctl_path()).find("built without secure links") != std::string::npos; }

// "KEY\n" of 44 characters.
bool is_key_line(const std::string& s) {
  return s.size() == 45 && s[44] == '\n' && s[43] == '=' &&
         s.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=") == 44;
}

mode_t mode_of(const std::string& path) {
  struct stat s {};
  REQUIRE(lstat(path.c_str(), &s) == 0);
  return s.st_mode & 07777;
}

}  // namespace

TEST_CASE("keys: a sockmuxctl without secure links makes none, says so, and touches nothing") {
  if (!built_without()) return;
  TempFolder folder;
  for (const Words& words : {Words{"genkey", folder / "key"}, Words{"genkey", "-"}, Words{"genkey"}, Words{"pubkey", "-"}, Words{"genpsk"}}) {
    const Said said = ctl(words);
    CHECK(said.status == 78);
    CHECK(said.out == "");
    CHECK(said.error == "sockmuxctl: " + words[0] + ": this sockmuxctl was built without secure links (make SECURE=sodium builds one with them)\n");
  }
  CHECK_FALSE(exists(folder / "key"));
}

TEST_CASE("keys: genkey makes a file for its owner alone, prints the public key, and never overwrites") {
  if (built_without()) return;
  TempFolder folder;
  const std::string key = folder / "key";
  for (const char* mask : {"000", "077", "777"}) {
    CAPTURE(mask);
    unlink(key.c_str());
    const Said made = ctl_shell(std::string("umask ") + mask + " && \"$ctl\" genkey " + key);
    CHECK(made.status == 0);
    CHECK(made.error == "");
    CHECK(is_key_line(made.out));
    CHECK(mode_of(key) == 0600);
    CHECK(is_key_line(read_file(key)));
    CHECK(read_file(key) != made.out);
    CHECK(ctl({"pubkey", key}).out == made.out);
    CHECK(ctl_shell("\"$ctl\" pubkey - <" + key).out == made.out);
  }
  const std::string before = read_file(key);
  const Said again = ctl({"genkey", key});
  CHECK(again.status == 73);
  CHECK(again.out == "");
  CHECK(again.error == "sockmuxctl: " + key + ": is there already, and is never overwritten; 'sockmuxctl pubkey " + key + "' prints its public key\n");
  CHECK(read_file(key) == before);
  // Nor does a link lead it astray.
  REQUIRE(symlink((folder / "elsewhere").c_str(), (folder / "link").c_str()) == 0);
  CHECK(ctl({"genkey", folder / "link"}).status == 73);
  CHECK_FALSE(exists(folder / "elsewhere"));
  // Half a key stays nowhere, for it would be in the way of a whole one.
  const Said none = ctl_shell("ulimit -f 0; \"$ctl\" genkey " + folder / "limited");
  CHECK(none.status == 74);
  CHECK(none.error == "sockmuxctl: " + folder / "limited" + ": File too large\n");
  CHECK_FALSE(exists(folder / "limited"));
  const Said lost = ctl({"genkey", folder / "no/key"});
  CHECK(lost.status == 73);
  CHECK(lost.error == "sockmuxctl: " + folder / "no/key" + ": No such file or directory\n");
}

TEST_CASE("keys: `-`, genpsk, and the public keys that everybody else finds") {
  if (built_without()) return;
  TempFolder folder;
  const Said one = ctl({"genkey", "-"}), other = ctl({"genkey", "-"});
  CHECK(is_key_line(one.out));
  CHECK(one.error == "");
  CHECK(one.out != other.out);
  // Clamped: the low three bits of the first byte are none, and the top ones of the last are 01 (RFC 7748, 5).
  const std::string digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  const size_t low = digits.find(one.out[0]) % 2 * 4 + digits.find(one.out[1]) / 16, high = digits.find(one.out[41]) / 4 % 4;
  CHECK(low == 0);
  CHECK(high == 1);
  const Said psk = ctl({"genpsk"});
  CHECK(psk.status == 0);
  CHECK(is_key_line(psk.out));
  CHECK(psk.out != ctl({"genpsk"}).out);
  for (const auto& pair : kPairs) {
    for (const char* end : {"", "\n"}) {
      write_file(folder / "key", std::string(pair[0]) + end);
      REQUIRE(chmod((folder / "key").c_str(), 0600) == 0);
      CHECK(ctl({"pubkey", folder / "key"}).out == std::string(pair[1]) + "\n");
      CHECK(ctl_shell("cat " + folder / "key" + " | \"$ctl\" pubkey -").out == std::string(pair[1]) + "\n");
    }
  }
  const Said warned = ctl_shell("umask 022; \"$ctl\" genkey - >" + folder / "open");
  CHECK(warned.status == 0);
  CHECK(warned.error.find("warning: others can read the file") != std::string::npos);
  CHECK(ctl_shell("umask 077; \"$ctl\" genkey - >" + folder / "closed").error == "");
}

TEST_CASE("keys: a key that cannot be read, is none, or cannot be told, each with its message") {
  if (built_without()) return;
  TempFolder folder;
  const std::string key = folder / "key";
  Said said = ctl({"pubkey", key});
  CHECK(said.status == 66);
  CHECK(said.error == "sockmuxctl: " + key + ": no such file; 'sockmuxctl genkey' makes a key\n");
  write_file(key, std::string(kPairs[0][0]) + "\n");
  REQUIRE(chmod(key.c_str(), 0644) == 0);
  said = ctl({"pubkey", key});
  CHECK(said.status == 77);
  CHECK(said.error == "sockmuxctl: " + key + ": others can read this key (mode 0644): 'chmod 600 " + key + "', and make a new one if others have been here\n");
  write_file(key, "x\n");
  REQUIRE(chmod(key.c_str(), 0600) == 0);
  said = ctl({"pubkey", key});
  CHECK(said.status == 78);
  CHECK(said.error == "sockmuxctl: " + key + ": not a key: one line of 44 base64 characters is wanted (too short, a key has 44 characters)\n");
  CHECK(said.out == "");
  const std::string none = "sockmuxctl: standard input: not a key: one line of 44 base64 characters is wanted (";
  for (const char* const* c : (const char* const[][2]){{"", "there is none)"}, {"x", "too short, a key has 44 characters)"}, {"a b", "a blank in it)"}}) {
    said = ctl_shell(std::string("printf '%s' '") + c[0] + "' | \"$ctl\" pubkey -");
    CHECK(said.status == 65);
    CHECK(said.error == none + c[1] + "\n");
  }
  said = ctl_shell("head -c 100000 /dev/zero | tr '\\0' A | \"$ctl\" pubkey -");
  CHECK(said.status == 65);
  CHECK(said.error == none + "too long, a key has 44 characters)\n");
  said = ctl_shell("\"$ctl\" pubkey - </");
  CHECK(said.status == 74);
  CHECK(said.error == "sockmuxctl: standard input: Is a directory\n");
  // The key is made, though nobody hears of it.
  said = ctl_shell("\"$ctl\" genkey " + folder / "unheard" + " >/dev/full");
  CHECK(said.status == 74);
  CHECK(said.error.find(": the key is made; 'sockmuxctl pubkey " + folder / "unheard" + "' prints its public key") != std::string::npos);
  CHECK(is_key_line(ctl({"pubkey", folder / "unheard"}).out));
  // Nor does a closed output make the file standard output.
  said = ctl_shell("\"$ctl\" genkey " + folder / "shut" + " >&-");
  CHECK(is_key_line(read_file(folder / "shut")));
  // A disk that is full leaves no half of a key.
  said = ctl_shell("trap '' XFSZ; ulimit -f 0; \"$ctl\" genkey " + folder / "full");
  CHECK(said.status == 74);
  CHECK(said.error == "sockmuxctl: " + folder / "full" + ": File too large\n");
  CHECK_FALSE(exists(folder / "full"));
}

TEST_CASE("keys: without a file it is /etc/sockmux/key, in a folder that is made for it") {
  if (built_without() || geteuid() != 0 || !may_unshare()) return;  // only root has an /etc of its own
  // In a mount namespace, so that the system's /etc is not touched.
  const Said said = ctl_shell(
      "exec unshare -m sh -c 'mount --make-rprivate / && mount -t tmpfs tmpfs /etc && cd / && umask 077 && \"$ctl\" genkey &&"
      " \"$ctl\" pubkey && stat -c %a /etc/sockmux /etc/sockmux/key && ! \"$ctl\" genkey && rm /etc/sockmux/key && chmod 700 /etc/sockmux &&"
      " \"$ctl\" genkey >/dev/null && stat -c %a /etc/sockmux && rm -r /etc/sockmux && touch /etc/sockmux && \"$ctl\" genkey'");
  CAPTURE(said.error);
  REQUIRE(said.out.size() == 90 + 4 + 4 + 4);
  CHECK(is_key_line(said.out.substr(0, 45)));
  CHECK(said.out.substr(45, 45) == said.out.substr(0, 45));
  CHECK(said.out.substr(90) == "755\n600\n700\n");  // one that is there is left as it is
  CHECK(said.error.find("/etc/sockmux/key: is there already") != std::string::npos);
  CHECK(said.error.find("/etc/sockmux/key: Not a directory") != std::string::npos);
  CHECK(said.status == 73);
}
