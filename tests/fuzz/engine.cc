// The program that libFuzzer drives: FUZZ_TARGET=NAME fuzz [LIBFUZZER'S OPTIONS] FOLDER; or, without a target, the commands of pack.h.
//
// One program holds all targets, so that there is one to link. Read next: fuzz.h, run.sh.
#include <stdio.h>
#include <stdlib.h>

#include "tests/fuzz/pack.h"

namespace {
const fuzz::Target* target = nullptr;
}

extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv);
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  const char* name = getenv("FUZZ_TARGET");
  if (name == nullptr) {
    const int status = fuzz::pack_command(*argc, *argv);
    if (status >= 0) exit(status);
    fprintf(stderr, "fuzz: FUZZ_TARGET=NAME must say which, of those that `fuzz list` names\n");
    exit(64);
  }
  target = fuzz::find_target(name);
  if (target == nullptr) {
    fprintf(stderr, "fuzz: there is no target %s\n", name);
    exit(64);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  target->run({data, size});
  return 0;
}
