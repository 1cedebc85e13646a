// Bytes of the tests of transport/secure: as vectors, from and to hexadecimal, from a seed.
#ifndef SOCKMUX_TESTS_SECURE_BYTES_H
#define SOCKMUX_TESTS_SECURE_BYTES_H

#include <algorithm>
#include <random>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace securetest {

using Data = std::vector<uint8_t>;

inline smx::Bytes view(const Data& d) { return {d.data(), d.size()}; }
inline Data data_of(smx::Bytes b) { return b.size == 0 ? Data() : Data(b.data, b.data + b.size); }
inline Data text(const std::string& s) { return Data(s.begin(), s.end()); }
inline Data& operator+=(Data& a, const Data& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}
inline Data operator+(Data a, const Data& b) { return a += b; }

// An odd digit or any other character ends it.
inline Data unhex(const std::string& s) {
  const auto digit = [](char c) { return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1; };
  Data out;
  for (size_t i = 0; i + 1 < s.size() && digit(s[i]) >= 0 && digit(s[i + 1]) >= 0; i += 2) {
    out.push_back(static_cast<uint8_t>(digit(s[i]) << 4 | digit(s[i + 1])));
  }
  return out;
}

inline Data any_data(std::mt19937& random, size_t size) {
  Data out(size);
  for (uint8_t& b : out) b = static_cast<uint8_t>(random());
  return out;
}

// 0 .. n-1. What n is drawn from is drawn before, whatever the compiler: `random() % (random() % 2 ...)` has no order.
inline size_t draw(std::mt19937& random, size_t n) { return random() % n; }

}  // namespace securetest

#endif
