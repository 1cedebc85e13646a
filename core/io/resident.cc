// Read next: resident.h.
#include "core/io/resident.h"

#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <link.h>
#endif

#include "core/base/letters.h"

namespace smx {

namespace {
// Asked for once: sysconf(3) brings a page of its own, and its tables, back into memory.
uintptr_t page_bytes() {
  static uintptr_t page = 0;
  if (page == 0) page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
  return page;
}
}  // namespace

void* reserve_memory(size_t size) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS;
#ifdef MAP_NORESERVE
  flags |= MAP_NORESERVE;
#endif
  void* p = mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (p == MAP_FAILED) return nullptr;
#ifdef MADV_NOHUGEPAGE
  // A table of many links is touched here and there: each touch would cost 2 MiB (transparent_hugepage=always).
  (void)madvise(p, size, MADV_NOHUGEPAGE);
#endif
  return p;
}

void give_back_memory(void* memory, size_t size) {
  const uintptr_t page = page_bytes();
  const uintptr_t first = (reinterpret_cast<uintptr_t>(memory) + page - 1) & ~(page - 1);
  const uintptr_t end = (reinterpret_cast<uintptr_t>(memory) + size) & ~(page - 1);
  if (first >= end) return;
#ifdef __linux__
  constexpr int kAdvice = MADV_DONTNEED;
#else
  constexpr int kAdvice = MADV_FREE;
#endif
  (void)madvise(reinterpret_cast<void*>(first), end - first, kAdvice);  // NOLINT(performance-no-int-to-ptr): rounded to pages
}

#if defined(__linux__)
namespace {

int status_fd = -1;

// The number behind `name` in /proc/self/status (proc(5)), 0 if it is not known.
uint64_t status_value(const char* name) {
  char text[2048];
  const ssize_t n = status_fd < 0 ? -1 : ::pread(status_fd, text, sizeof text - 1, 0);
  if (n <= 0) return 0;
  text[n] = 0;
  const size_t at = place_of({text, static_cast<size_t>(n)}, name);  // strstr(3) is a kilobyte of a static program
  uint64_t n_found = 0;
  if (at != kNowhere) (void)read_digits(text + at + strlen(name), 10, &n_found);
  return n_found;
}

// What is mapped and never written, found once: the program, libc, its linker, one more library.
struct Code {
  void* begin;
  size_t size;
  uintptr_t from_file;  // all up to here is what it is in a file
};
constexpr int kMostCode = 16;
Code code[kMostCode];
int code_count = 0;

// A page that the dynamic linker had to write to would come back as it is in the file.
bool is_relocated(const dl_phdr_info& object, const ElfW(Phdr)& dynamic) {
  // NOLINTNEXTLINE(performance-no-int-to-ptr): ELF has addresses as numbers
  for (const ElfW(Dyn)* d = reinterpret_cast<const ElfW(Dyn)*>(object.dlpi_addr + dynamic.p_vaddr); d->d_tag != DT_NULL; ++d)
    if (d->d_tag == DT_TEXTREL || (d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL) != 0)) return true;
  return false;
}

int add_code(dl_phdr_info* object, size_t size, void* nothing) {
  (void)size, (void)nothing;
  for (int i = 0; i < object->dlpi_phnum; ++i)
    if (object->dlpi_phdr[i].p_type == PT_DYNAMIC && is_relocated(*object, object->dlpi_phdr[i])) return 0;
  for (int i = 0; i < object->dlpi_phnum && code_count < kMostCode; ++i) {
    const ElfW(Phdr)& p = object->dlpi_phdr[i];
    if (p.p_type != PT_LOAD || (p.p_flags & PF_W) != 0) continue;
    const uintptr_t begin = object->dlpi_addr + p.p_vaddr, before = begin & (page_bytes() - 1);
    // NOLINTNEXTLINE(performance-no-int-to-ptr): as above
    code[code_count++] = {reinterpret_cast<void*>(begin - before), p.p_memsz + before, begin - before};
  }
  return 0;
}

// /proc/self/maps (proc(5)): "begin-end mode offset device inode path", in order of addresses.
struct Mapping {
  uintptr_t bound[2] = {0, 0};
  int word = 0, at = 0;  // which word, and which character of it
  bool second = false;   // behind the '-' of the first word
  bool writable = false;
  bool has_file = false;

  void add(char c) {
    if (c == ' ' && word < 5) {
      ++word;
      at = 0;
      return;
    }
    if (word == 0 && c == '-') {
      second = true;
    } else if (word == 0) {
      bound[second] = bound[second] * 16 + static_cast<uintptr_t>(c <= '9' ? c - '0' : c - 'a' + 10);
    } else if (word == 1 && at == 1) {
      writable = c == 'w';
    } else if (word == 4 && c != '0') {
      has_file = true;
    }
    ++at;
  }
};

// Not all that a program header names is a mapping of that file: a packer (UPX) or an emulator puts code into memory of no
// file, where it would be gone for good.
void compare_with_maps() {
  const int fd = ::open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
  char text[1024];
  Mapping m;
  for (ssize_t n; fd >= 0 && (n = ::read(fd, text, sizeof text)) > 0;) {
    for (ssize_t i = 0; i < n; ++i) {
      if (text[i] != '\n') {
        m.add(text[i]);
        continue;
      }
      for (int k = 0; k < code_count && m.has_file && !m.writable; ++k)
        if (m.bound[0] <= code[k].from_file && code[k].from_file < m.bound[1]) code[k].from_file = m.bound[1];
      m = Mapping();
    }
  }
  if (fd >= 0) ::close(fd);
  int kept = 0;
  for (int k = 0; k < code_count; ++k)
    if (code[k].from_file >= reinterpret_cast<uintptr_t>(code[k].begin) + code[k].size) code[kept++] = code[k];
  code_count = kept;
}

}  // namespace

void prepare_resident() { status_fd = ::open("/proc/self/status", O_RDONLY | O_CLOEXEC); }
uint64_t resident_kib() { return status_value("\nVmRSS:"); }

void find_code() {
  code_count = 0;
  (void)dl_iterate_phdr(add_code, nullptr);
  compare_with_maps();
}

void forget_code() {
  if (status_value("\nTracerPid:") != 0) return;
  for (int i = 0; i < code_count; ++i) (void)madvise(code[i].begin, code[i].size, MADV_DONTNEED);
}
#else
void prepare_resident() {}
uint64_t resident_kib() { return 0; }
void find_code() {}
void forget_code() {}
#endif

}  // namespace smx
