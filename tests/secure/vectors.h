// tests/data/noise-vectors.json: what it holds, and as much of JSON as it needs (objects, arrays, texts).
//
// What does not parse, or is not there, ends the test. Read next: test_noise.cc. The file says itself what is what.
#ifndef SOCKMUX_TESTS_SECURE_VECTORS_H
#define SOCKMUX_TESTS_SECURE_VECTORS_H

#include <doctest/doctest.h>
#include <stdlib.h>

#include <fstream>
#include <iterator>
#include <map>

#include "tests/secure/bytes.h"
#include "transport/secure/noise.h"

namespace securetest {

struct Json {
  std::string text;
  std::vector<Json> list;
  std::map<std::string, Json> fields;

  const Json& operator[](const char* name) const {
    const auto found = fields.find(name);
    REQUIRE_MESSAGE(found != fields.end(), name);
    return found->second;
  }
  Data hex() const {
    const Data d = unhex(text);
    REQUIRE(d.size() * 2 == text.size());
    return d;
  }
  smx::secure::Secret secret() const {
    const Data d = hex();
    REQUIRE(d.size() == smx::secure::kKey);
    return smx::secure::Secret(d.data());
  }
};

class JsonReader {
 public:
  explicit JsonReader(const std::string& text) : text_(text) {}

  Json value() {
    Json out;
    if (take('{')) {
      for (bool more = !take('}'); more; more = !end_of('}')) {
        const std::string name = quoted();
        REQUIRE(take(':'));
        out.fields[name] = value();
      }
    } else if (take('[')) {
      for (bool more = !take(']'); more; more = !end_of(']')) out.list.push_back(value());
    } else {
      out.text = quoted();
    }
    return out;
  }

 private:
  bool take(char c) {
    at_ = text_.find_first_not_of(" \n", at_);
    REQUIRE(at_ != std::string::npos);
    if (text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool end_of(char c) {
    if (take(c)) return true;
    REQUIRE(take(','));
    return false;
  }
  std::string quoted() {
    REQUIRE(take('"'));
    const size_t begun = at_;
    do {
      at_ = text_.find('"', at_) + 1;
      REQUIRE(at_ > begun);
    } while (text_[at_ - 2] == '\\');  // left as it is: only comments have some
    return text_.substr(begun, at_ - 1 - begun);
  }

  std::string text_;
  size_t at_ = 0;
};

inline Json load_vectors() {
  const char* folder = getenv("SMX_TEST_DATA");
  std::ifstream file(std::string(folder != nullptr ? folder : "tests/data") + "/noise-vectors.json");
  REQUIRE(file.good());
  Json all = JsonReader({std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()}).value();
  REQUIRE(all["vectors"].list.size() >= 5);
  return all;
}

}  // namespace securetest

#endif
