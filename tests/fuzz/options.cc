// The option parser, as it reads a command line. Input: words, a line each. The same words mean the same twice; what is wrong is
// told in words that can be printed; what is right can be asked for all that the daemon asks. Read next: config/parse.h.
#include "tests/fuzz/targets.h"
#include "tests/fuzz/texts.h"

namespace fuzz {

void options(smx::Bytes input) {
  constexpr size_t kMemory = 192 * 1024;
  std::vector<Data> words = lines_of(data_of(input));
  for (Data& w : words) w = w.c_str();  // as argv, without NUL
  std::vector<const char*> argv;
  for (const Data& w : words) argv.push_back(w.c_str());
  Files files;
  files.add("file\nPORT=8080\nDEST=h:1\n");
  const Lookup lookup;
  smx::Config config[2];
  static smx::Report report[2];
  bool good[2];
  for (int i = 0; i < 2; ++i) {
    report[i].clear();
    smx::Arena arena(i == 0 ? zeroed<kMemory, 0>() : zeroed<kMemory, 1>(), kMemory);
    good[i] = smx::parse_command_line(argv.data(), argv.size(), files, arena, &config[i], &report[i]);
    look_at(report[i], good[i]);
  }
  MUST(good[0] == good[1]);
  MUST(report[0].warning_count() == report[1].warning_count());
  MUST(report[0].error_count() == report[1].error_count());
  if (!good[0] || config[0].help || config[0].version) return;
  use_config(config[0], lookup);
  MUST(smx::same_config(config[0], config[1]));
  smx::StartRoom room;
  room.servers = config[0].servers;
  room.ports = room.places = room.names = room.far_ports = 1000;
  room.resolves = true;
  report[0].clear();
  MUST(smx::can_follow(config[0], config[1], room, &report[0]));
}

}  // namespace fuzz
