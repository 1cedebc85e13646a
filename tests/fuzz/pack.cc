// Read next: pack.h.
#include "tests/fuzz/pack.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>
#include <iterator>

namespace fuzz {

bool read_file(const std::string& path, Data* out) {
  std::ifstream file(path, std::ios::binary);
  if (!file) return false;
  out->assign(std::istreambuf_iterator<char>(file), {});
  return true;
}

bool read_pack(const std::string& path, std::vector<Data>* out) {
  Data all;
  if (!read_file(path, &all)) return false;
  for (size_t at = 0; at < all.size();) {
    const size_t colon = all.find(':', at);
    if (colon == std::string::npos || colon - at > 9) return false;
    const size_t size = static_cast<size_t>(strtoul(all.c_str() + at, nullptr, 10));
    if (all.size() - colon - 1 < size || all.compare(colon + 1 + size, 2, ",\n") != 0) return false;
    out->push_back(all.substr(colon + 1, size));
    at = colon + 1 + size + 2;
  }
  return true;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> names;
  DIR* d = opendir(folder.c_str());
  if (d == nullptr) return names;
  while (const dirent* e = readdir(d)) {
    struct stat s;
    if (e->d_name[0] != '.' && stat((folder + "/" + e->d_name).c_str(), &s) == 0 && S_ISREG(s.st_mode)) names.push_back(e->d_name);
  }
  closedir(d);
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

int pack(const std::string& folder, const std::string& path) {
  std::vector<Data> all;
  for (const std::string& name : files_in(folder)) {
    all.emplace_back();
    if (!read_file(folder + "/" + name, &all.back())) return 1;
  }
  std::sort(all.begin(), all.end());
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  for (const Data& d : all) file << d.size() << ':' << d << ",\n";
  file.flush();
  return file ? 0 : 1;
}

int unpack(const std::string& path, const std::string& folder) {
  std::vector<Data> all;
  if (!read_pack(path, &all)) {
    fprintf(stderr, "%s: no pack\n", path.c_str());
    return 1;
  }
  for (size_t i = 0; i < all.size(); ++i) {
    std::ofstream file(folder + "/packed-" + std::to_string(i), std::ios::binary | std::ios::trunc);
    file << all[i];
    if (!file.flush()) return 1;
  }
  return 0;
}

}  // namespace

int pack_command(int count, char** words) {
  const std::string what = count > 1 ? words[1] : "";
  if (what == "list") {
    for (const Target& t : targets()) printf("%s %u\n", t.name, t.most);
    return 0;
  }
  if (what == "pack" && count == 4) return pack(words[2], words[3]);
  if (what == "unpack" && count == 4) return unpack(words[2], words[3]);
  return -1;
}

}  // namespace fuzz
