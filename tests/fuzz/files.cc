// Runs the inputs that are checked in, without a fuzzer, so that each find stays a test: fuzz_files FOLDER, which holds corpus/
// and finds/. FOLDER/finds/TARGET/NAME is a test each, FOLDER/corpus/TARGET.pack is one. The last line is "N passed, N failed".
// fuzz_files TARGET FILE...: these alone.
//
// Each runs in a child, so that one that crashes is counted, named, and does not keep the others from running. Read next: pack.h.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/fuzz/pack.h"
#include "tests/fuzz/socket.h"

namespace {

constexpr unsigned kPatience_s = 120;  // a corpus takes a second or two; sanitizers and emulated machines more

// True: it ended well.
bool in_child(const fuzz::Target& target, const std::vector<fuzz::Data>& inputs, const std::string& name) {
  fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    alarm(kPatience_s);
    for (size_t i = 0; i < inputs.size(); ++i) {
      const fuzz::Exact input(inputs[i]);
      target.run(input.bytes());
    }
    _exit(0);
  }
  int status = 0;
  const bool ended = pid > 0 && waitpid(pid, &status, 0) == pid;
  for (const char* kind : fuzz::kSockets)
    if (ended) (void)unlink(fuzz::socket_path(kind, pid).c_str());
  if (ended && status == 0) return true;
  printf("FAILED %s: status %d\n", name.c_str(), status);
  return false;
}

struct Count {
  int passed = 0, failed = 0;
  void add(bool good) { ++(good ? passed : failed); }
};

void run_target(const fuzz::Target& target, const std::string& folder, Count* count) {
  const std::string pack = folder + "/corpus/" + target.name + ".pack", finds = folder + "/finds/" + target.name;
  std::vector<fuzz::Data> inputs{""};
  if (!fuzz::read_pack(pack, &inputs)) {
    printf("FAILED %s: no pack\n", pack.c_str());
    count->add(false);
  } else if (in_child(target, inputs, pack)) {
    count->add(true);
  } else {
    count->add(false);
    for (size_t i = 0; i < inputs.size(); ++i) (void)in_child(target, {inputs[i]}, pack + " input " + std::to_string(i));
  }
  for (const std::string& name : fuzz::files_in(finds)) {
    fuzz::Data input;
    count->add(fuzz::read_file(finds + "/" + name, &input) && in_child(target, {input}, finds + "/" + name));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int status = fuzz::pack_command(argc, argv);
  if (status >= 0) return status;
  if (argc < 2) {
    fprintf(stderr, "fuzz_files FOLDER, or TARGET FILE...\n");
    return 64;
  }
  Count count;
  const fuzz::Target* one = argc > 2 ? fuzz::find_target(argv[1]) : nullptr;
  if (argc > 2 && one == nullptr) {
    fprintf(stderr, "fuzz_files: there is no target %s\n", argv[1]);
    return 64;
  }
  for (int i = 2; i < argc; ++i) {
    fuzz::Data input;
    if (!fuzz::read_file(argv[i], &input)) {
      perror(argv[i]);
      return 66;
    }
    count.add(in_child(*one, {input}, argv[i]));
  }
  if (one == nullptr)
    for (const fuzz::Target& t : fuzz::targets()) run_target(t, argv[1], &count);
  printf("%d passed, %d failed\n", count.passed, count.failed);
  return count.failed == 0 ? 0 : 1;
}
