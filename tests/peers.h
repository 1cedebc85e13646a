// What tests of the peers file share: keys, a file in memory, and one parse with all that it needs.
//
// Read next: config/peers/peers.h, config/peers/table.h.
#ifndef SOCKMUX_TESTS_PEERS_H
#define SOCKMUX_TESTS_PEERS_H

#include <doctest/doctest.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <string>
#include <vector>

#include "config/peers/table.h"
#include "tests/options.h"

namespace smx_test {

// Keys in order: a smaller number is a smaller key. Never one of zeros.
inline smx::PeerKey key_of(unsigned number) {
  smx::PeerKey key;
  key.bytes[0] = 0x40;
  key.bytes[1] = static_cast<uint8_t>(number >> 8);
  key.bytes[2] = static_cast<uint8_t>(number);
  key.bytes[31] = 0x07;
  return key;
}
inline std::string key_text(unsigned number) {
  smx::Text<smx::kKeyTextSize> text;
  smx::append_key(text, key_of(number));
  return text_of(text.text());
}
inline std::string peer_line(const std::string& name, unsigned number, const std::string& words = "") {
  return name + " " + key_text(number) + (words.empty() ? "" : " ") + words + "\n";
}

// In place of the one in constant time.
inline bool decode_psk(const char* text, size_t size, uint8_t out[smx::PeerKey::kSize]) {
  smx::PeerKey key;
  const bool good = smx::parse_public_key({text, size}, &key);
  if (good) memcpy(out, key.bytes, sizeof key.bytes);
  return good;
}

struct PeersRun {
  explicit PeersRun(std::string file, size_t arena_bytes = kArenaBytes)
      : text(std::move(file)), memory(arena_bytes), arena(memory.data(), memory.size()) {
    input.path = "peers";
    input.decode = decode_psk;
  }
  PeersRun(const PeersRun&) = delete;

  std::string text;
  std::vector<char> memory;
  smx::Arena arena;
  smx::PeersText input;
  smx::PeerList list;
  smx::Report report;
  smx::PeersResult result = smx::PeersResult::no_memory;

  bool parse() {
    input.text = text.empty() ? nullptr : &text[0];
    input.size = text.size();
    result = smx::parse_peers(input, arena, &list, &report);
    return result == smx::PeersResult::ok;
  }
  std::string error(size_t i = 0) const {
    return i < report.errors().count ? text_of(report.errors()[i].text.text()) : "";
  }
};

// A folder with a peers file, and the table that reads it.
struct Disk {
  Disk() {
    char name[] = "/tmp/sockmux-peers-XXXXXX";
    REQUIRE(mkdtemp(name) != nullptr);
    folder = name;
    path = folder + "/peers";
    source.path = path;
    source.decode = decode_psk;
  }
  ~Disk() {
    unlink(path.c_str());
    rmdir(path.c_str());
    rmdir(folder.c_str());
  }
  Disk(const Disk&) = delete;

  void write(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path, std::ios::trunc) << text;
    REQUIRE(chmod(path.c_str(), mode) == 0);
  }
  bool load() {
    report.clear_errors();
    return peers.load(source, &report);
  }
  bool reload() {
    report.clear_errors();
    return peers.reload(&report);
  }
  std::string error() const { return report.error_count() == 0 ? "" : text_of(report.errors()[0].text.text()); }
  // Is `text` in the memory of the table?
  bool holds(const std::string& text) const {
    for (int i = 0; i < 2; ++i) {
      if (memmem(peers.memory(i), peers.half_bytes(), text.data(), text.size()) != nullptr) return true;
    }
    return false;
  }

  std::string folder, path;
  smx::PeersSource source;
  smx::Peers peers;
  smx::Report report;
};

inline smx::Address address(const std::string& text, uint16_t port = 0) {
  smx::Address a;
  smx::parse_ip(text, &a);
  a.port = port;
  return a;
}

}  // namespace smx_test

#endif
