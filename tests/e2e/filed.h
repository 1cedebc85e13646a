// A daemon whose words stand in a file, which a test changes. Read next: reload.cc.
#ifndef SOCKMUX_TESTS_E2E_FILED_H
#define SOCKMUX_TESTS_E2E_FILED_H

#include <doctest/doctest.h>
#include <stdio.h>
#include <sys/stat.h>

#include <memory>
#include <string>

#include "tests/e2e/ctl.h"
#include "tests/e2e/harness.h"

namespace e2e {

inline std::string lines(const Words& words) {
  std::string all;
  for (const std::string& w : words) all += w + "\n";
  return all;
}

// Others can read it, since a daemon is nobody once it runs. Whole at any moment, as editors do it: the daemon may be reading.
inline void put_file(const std::string& path, const std::string& content) {
  const std::string fresh = path + ".new";
  write_file(fresh, content);
  REQUIRE(chmod(fresh.c_str(), 0644) == 0);
  REQUIRE(rename(fresh.c_str(), path.c_str()) == 0);
}

// A daemon with a file of words.
class Filed {
 public:
  Filed(const Words& words, const Words& more = {}) {
    REQUIRE(chmod(folder.path().c_str(), 0755) == 0);
    write(words);
    Words all{"+=" + file(), "SOXCONF=control:" + socket()};
    all.insert(all.end(), more.begin(), more.end());
    daemon = std::make_unique<Daemon>(all);
    daemon->await_start();
  }
  std::string file() const { return folder / "conf"; }
  std::string socket() const { return folder / "socket"; }
  void write(const Words& words) const { put_file(file(), lines(words)); }
  Said reload() const { return ctl({"reload", "-s", socket()}); }
  // These words from now on, and all is well.
  void becomes(const Words& words) const {
    write(words);
    const Said said = reload();
    CHECK_MESSAGE(said.status == 0, said.error);
    CHECK(said.out.substr(0, 10) == "reloaded; ");
  }
  Process& process() const { return daemon->process(); }

  TempFolder folder;
  std::unique_ptr<Daemon> daemon;
};

}  // namespace e2e

#endif
