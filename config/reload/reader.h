// The words of the command line, which name files, and what they say: read at the start, and again on a reload.
//
//     start --read()--> in force --read_again() good--> the next one beside it --adopt()--> in force
//                          ^     --read_again() bad---> a report, and nothing else --------+
//
// Owner: main(). Invariants: config() stays where it is, so that references to it are good for ever; what the first one points
// to lives for ever, what later ones point to until the second adopt() behind theirs. Memory: of the first, and two halves for
// those behind it, by turns. Read next: parse.h, compare.h.
#ifndef SOCKMUX_CONFIG_RELOAD_READER_H
#define SOCKMUX_CONFIG_RELOAD_READER_H

#include "config/parse.h"

namespace smx {

class ConfigReader {
 public:
  // `words` as in parse_command_line(); they outlive this, and so does `config`, which is the one in force.
  ConfigReader(const char* const* words, size_t count, FileSource& files, Config& config) : words_(words), count_(count), files_(files), config_(config) {}
  ConfigReader(const ConfigReader&) = delete;
  ConfigReader& operator=(const ConfigReader&) = delete;

  // `memory`: zero bytes, as all that is given here.
  [[nodiscard]] bool read(void* memory, size_t size, Report* report);
  const Config& config() const { return config_; }

  // Can another reading say something else?
  bool names_files() const;
  // Twice `size` bytes for readings to come.
  void set_halves(void* memory, size_t size) {
    halves_ = static_cast<uint8_t*>(memory);
    size_ = size;
  }
  // False: the report says why, and nothing else has changed.
  [[nodiscard]] bool read_again(Report* report);
  const Config& next() const { return *next_; }
  // next() is in force, and what it was before can be overwritten, if it was not the first.
  void adopt() {
    config_ = *next_;
    used_ = idle();
  }
  // The memory that the next reading takes, as much as it needs.
  void* spare() const { return halves_ + static_cast<size_t>(idle()) * size_; }
  size_t spare_size() const { return size_; }

 private:
  int idle() const { return used_ == 0 ? 1 : 0; }

  const char* const* words_;
  size_t count_;
  FileSource& files_;
  Config& config_;
  Config* next_ = nullptr;  // in its half
  uint8_t* halves_ = nullptr;
  size_t size_ = 0;
  int used_ = -1;  // the half that config() is in; -1: in neither
};

}  // namespace smx

#endif
