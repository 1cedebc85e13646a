// All targets, a line each. Read next: fuzz.h.
#include "tests/fuzz/targets.h"

#include <stdio.h>
#include <stdlib.h>

#include <iterator>

namespace fuzz {

namespace {

const Target kTargets[] = {
    {"packet03", packet03, 600},
    {"packet1", packet1, 600},
    {"mux_peer", mux_peer, 600},
    {"mux_pair", mux_pair, 400},
    {"mux_line", mux_line, 400},
    {"line", line, 1024},
    {"telnet", telnet, 1024},
    {"socks", socks, 700},
    {"socks_udp", socks_udp, 300},
    {"ftp", ftp, 3000},
    {"ftp_text", ftp_text, 1500},
    {"http_head", http_head, 2000},
    {"http", http, 3000},
    {"options", options, 1500},
    {"config", config, 3000},
    {"hosts", hosts, 600},
    {"peers", peers, 2000},
    {"control", control, 400},
    {"ctl", ctl, 4000},
    {"dump", dump, 3000},
};

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> all = [] {
    std::vector<Target> v(std::begin(kTargets), std::end(kTargets));
    add_secure_targets(&v);
    return v;
  }();
  return all;
}

const Target* find_target(const std::string& name) {
  for (const Target& t : targets())
    if (name == t.name) return &t;
  return nullptr;
}

void broken(const char* file, int line, const char* text) {
  fprintf(stderr, "%s:%d: MUST(%s) does not hold\n", file, line, text);
  abort();
}

}  // namespace fuzz
