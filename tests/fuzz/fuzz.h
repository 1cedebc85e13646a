// What the fuzz targets share: how a target is found, how an input is read, and how it says that something does not hold.
//
// A target is one function in a file of its own and a line in targets.cc. It is run by libFuzzer (engine.cc, `make fuzz`) with
// inputs that are made up, and by files.cc, in every `make check`, with those of corpus/ and finds/.
// Invariants: what a target does follows from its input alone; it keeps nothing from one input to the next but memory.
// Read next: targets.cc, run.sh. Source: LLVM's libFuzzer manual.
#ifndef SOCKMUX_TESTS_FUZZ_FUZZ_H
#define SOCKMUX_TESTS_FUZZ_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace fuzz {

using Data = std::string;  // bytes

inline smx::Bytes view(const Data& d) { return {reinterpret_cast<const uint8_t*>(d.data()), d.size()}; }
inline Data data_of(smx::Bytes b) { return b.size == 0 ? Data() : Data(reinterpret_cast<const char*>(b.data), b.size); }

// Says where, and aborts: what libFuzzer, files.cc and sanitizers take for a find.
[[noreturn]] void broken(const char* file, int line, const char* text);

// An input as choices: behind its end all of them are 0.
class Input {
 public:
  explicit Input(smx::Bytes bytes) : at_(bytes.data), left_(bytes.size) {}
  bool empty() const { return left_ == 0; }
  size_t left() const { return left_; }
  uint8_t u8() {
    if (left_ == 0) return 0;
    --left_;
    return *at_++;
  }
  uint16_t u16() { return static_cast<uint16_t>(u8() << 8 | u8()); }
  uint32_t u32() { return static_cast<uint32_t>(u16()) << 16 | u16(); }
  uint64_t u64() { return static_cast<uint64_t>(u32()) << 32 | u32(); }
  // 0..n-1
  uint32_t below(uint32_t n) { return n <= 256 ? u8() % n : u16() % n; }
  bool flag() { return (u8() & 1) != 0; }
  // The next `n` bytes, or as many as there are.
  smx::Bytes bytes(size_t n) {
    const smx::Bytes b{at_, n < left_ ? n : left_};
    at_ += b.size;
    left_ -= b.size;
    return b;
  }
  smx::Bytes rest() { return bytes(left_); }
  // Up to `end`, which is taken and is not part of it.
  Data until(char end) {
    Data d;
    while (left_ > 0) {
      const char c = static_cast<char>(u8());
      if (c == end) break;
      d.push_back(c);
    }
    return d;
  }

 private:
  const uint8_t* at_;
  size_t left_;
};

// Bytes in memory of exactly their size, so that a sanitizer sees each step beyond.
class Exact {
 public:
  explicit Exact(smx::Bytes b) : data_(new uint8_t[b.size]), size_(b.size) {
    if (size_ > 0) memcpy(data_, b.data, size_);
  }
  explicit Exact(const Data& d) : Exact(view(d)) {}
  Exact(const Exact&) = delete;
  Exact& operator=(const Exact&) = delete;
  ~Exact() { delete[] data_; }
  smx::Bytes bytes() const { return {data_, size_}; }
  uint8_t* data() { return data_; }
  size_t size() const { return size_; }
  std::string_view text() const { return smx::as_text(bytes()); }

 private:
  uint8_t* data_;
  size_t size_;
};

struct Target {
  const char* name;          // of the file here, and of those in corpus/, finds/ and dict/
  void (*run)(smx::Bytes input);
  uint32_t most;             // bytes of an input that libFuzzer makes
};
const std::vector<Target>& targets();
// nullptr: there is none.
const Target* find_target(const std::string& name);

}  // namespace fuzz

// Must hold, whatever the input is.
#define MUST(condition) \
  do { \
    if (!(condition)) ::fuzz::broken(__FILE__, __LINE__, #condition); \
  } while (false)

#endif
