// The processes that a daemon has started, as /proc tells. Read next: program.cc, exec.cc.
#ifndef SOCKMUX_TESTS_E2E_FAMILY_H
#define SOCKMUX_TESTS_E2E_FAMILY_H

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <string>
#include <vector>

#include "tests/e2e/sockets.h"

namespace e2e {

struct Kin {
  pid_t pid = 0, parent = 0, group = 0;
  char state = ' ';
  std::string command;
};

// Every process whose command line contains `part`, or all with "".
inline std::vector<Kin> processes_with(const std::string& part) {
  std::vector<Kin> list;
  DIR* proc = opendir("/proc");
  for (dirent* e = readdir(proc); e != nullptr; e = readdir(proc)) {
    Kin k;
    k.pid = static_cast<pid_t>(atoi(e->d_name));
    if (k.pid <= 0) continue;
    const std::string folder = "/proc/" + std::string(e->d_name);
    if (!exists(folder + "/stat")) continue;
    FILE* stat = fopen((folder + "/stat").c_str(), "r");
    if (stat == nullptr) continue;
    char line[1024] = {};
    const bool got = fgets(line, sizeof line, stat) != nullptr;
    fclose(stat);
    const std::string text = line;
    const size_t name = text.rfind(')');
    if (!got || name == std::string::npos) continue;
    int parent = 0, group = 0;
    if (sscanf(text.c_str() + name + 1, " %c %d %d", &k.state, &parent, &group) != 3) continue;
    k.parent = parent;
    k.group = group;
    if (FILE* words = fopen((folder + "/cmdline").c_str(), "r")) {
      for (int c = fgetc(words); c != EOF; c = fgetc(words)) k.command += c == 0 ? ' ' : static_cast<char>(c);
      fclose(words);
    }
    if (part.empty() || k.command.find(part) != std::string::npos) list.push_back(k);
  }
  closedir(proc);
  return list;
}

// The daemon's helper, who starts programs and looks names up: its child with the daemon's own command. None: pid 0.
inline Kin helper_of(pid_t daemon) {
  const std::vector<Kin> all = processes_with("");
  for (const Kin& k : all)
    for (const Kin& d : all)
      if (k.parent == daemon && d.pid == daemon && k.state != 'Z' && k.command == d.command) return k;
  return {};
}

// Programs of this daemon that run: children of its helper, each in a group of its own.
inline std::vector<Kin> programs_of(pid_t daemon) {
  std::vector<Kin> list;
  const Kin helper = helper_of(daemon);
  for (const Kin& k : processes_with(""))
    if (helper.pid != 0 && k.parent == helper.pid && k.state != 'Z' && k.group == k.pid) list.push_back(k);
  return list;
}

// Of the daemon and of its helper
inline size_t zombies_of(pid_t daemon) {
  size_t n = 0;
  const Kin helper = helper_of(daemon);
  for (const Kin& k : processes_with("")) n += (k.parent == daemon || (helper.pid != 0 && k.parent == helper.pid)) && k.state == 'Z' ? 1u : 0u;
  return n;
}

// How many processes are in one of these groups still.
inline size_t left_of(const std::vector<Kin>& groups) {
  size_t n = 0;
  for (const Kin& k : processes_with(""))
    for (const Kin& g : groups) n += k.group == g.pid && k.state != 'Z' ? 1u : 0u;
  return n;
}

// A daemon that starts as root becomes nobody, who cannot read the test's files.
inline Words as_ourselves(Words words) {
  if (geteuid() == 0) words.push_back("OWNER=root");
  return words;
}

}  // namespace e2e

#endif
