// Configuration files, and those that they name, read at the start and again on a reload. Input: sections that end with NUL; the
// first is main.conf at the start, the second main.conf at the reload, each further one begins with a file's name and '\n'.
// Read next: config/include.cc, config/reload/reader.h.
#include "config/reload/reader.h"
#include "tests/fuzz/targets.h"
#include "tests/fuzz/texts.h"

namespace fuzz {

void config(smx::Bytes input) {
  constexpr size_t kMemory = 192 * 1024;
  Input in(input);
  const Data first = in.until(0), second = in.until(0);
  Files files;
  while (!in.empty()) files.add(in.until(0));
  files.add("main.conf\n" + first);
  const char* const words[] = {"SERVER=sockmux", "-P9000", "+=main.conf"};
  smx::Config config;
  smx::ConfigReader reader(words, 3, files, config);
  MUST(reader.names_files());
  static smx::Report report;
  report.clear();
  const bool good = reader.read(zeroed<kMemory, 0>(), kMemory, &report);
  look_at(report, good);
  if (!good || config.help || config.version) return;
  const Lookup lookup;
  use_config(config, lookup);
  reader.set_halves(zeroed<2 * kMemory, 1>(), kMemory);
  // The same files say the same.
  report.clear();
  MUST(reader.read_again(&report));
  MUST(smx::same_config(config, reader.next()));
  reader.adopt();
  files.add("main.conf\n" + second);
  memset(reader.spare(), 0, reader.spare_size());
  report.clear();
  const bool again = reader.read_again(&report);
  look_at(report, again);
  if (!again || reader.next().help || reader.next().version) return;
  use_config(reader.next(), lookup);
  smx::StartRoom room;
  room.servers = config.servers;
  room.ports = room.places = room.names = room.far_ports = in.u8();
  report.clear();
  const bool follows = smx::can_follow(config, reader.next(), room, &report);
  look_at(report, follows);
  if (follows) reader.adopt();
}

}  // namespace fuzz
