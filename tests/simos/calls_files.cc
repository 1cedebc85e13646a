// Calls on paths and files. Read next: calls.h, files.h.
#include "tests/simos/calls.h"

#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "tests/simos/files.h"

using namespace simos;

namespace {

Node* node_at(const char* path) {
  Node* n = disk_of(current->ip()).find(path);
  return n == nullptr || n->gone ? nullptr : n;
}

Node* node_of(int fd) {
  File* f = current->file(fd);
  if (f == nullptr) return nullptr;
  switch (f->kind) {
    case File::Kind::plain: return &static_cast<PlainFile*>(f)->node;
    case File::Kind::terminal: return &static_cast<Terminal*>(f)->node;
    case File::Kind::pipe: return static_cast<PipeEnd*>(f)->node;
    default: return nullptr;
  }
}

void describe(const Node* n, struct stat* out) {
  memset(out, 0, sizeof *out);
  static constexpr mode_t kMode[] = {S_IFREG | 0600, S_IFIFO | 0600, S_IFCHR | 0600, S_IFCHR | 0666, S_IFDIR | 0755, S_IFSOCK | 0600};
  out->st_mode = kMode[static_cast<int>(n->kind)];
  out->st_dev = 1;
  out->st_ino = n->number;
  out->st_uid = 1000;
  out->st_size = static_cast<off_t>(n->data.size());
  out->st_nlink = 1;
}

// 0 or errno.
int open_node(Node* n, int flags, File** out) {
  const int how = flags & O_ACCMODE;
  switch (n->kind) {
    case Node::Kind::null: {
      NullFile* f = world->make<NullFile>();
      f->random = n->data == "random";
      *out = f;
      return 0;
    }
    case Node::Kind::plain:
      *out = world->make<PlainFile>(*n);
      if ((flags & O_TRUNC) != 0) n->data.clear();
      return 0;
    case Node::Kind::fifo: {
      if ((flags & O_NONBLOCK) == 0) current->crash("open(2) of a FIFO blocks");
      if (how == O_WRONLY && n->fifo->readers == 0) return ENXIO;
      PipeEnd* e = world->make<PipeEnd>(*n->fifo, how != O_WRONLY, how != O_RDONLY);
      e->node = n;
      *out = e;
      return 0;
    }
    case Node::Kind::terminal: *out = world->make<Terminal>(*n); return 0;
    case Node::Kind::folder: return EISDIR;
    case Node::Kind::socket: return ENXIO;
  }
  return EINVAL;
}

}  // namespace

extern "C" {

int sim_open(const char* path, int flags, ...) {
  const Gate gate(Call::open);
  if (gate.error() != 0) return refuse(gate.error());
  Node* n = node_at(path);
  if (n != nullptr && (flags & O_EXCL) != 0) return refuse(EEXIST);
  if (n == nullptr && (flags & O_CREAT) != 0) n = disk_of(current->ip()).put(path, Node::Kind::plain);
  if (n == nullptr) return refuse(ENOENT);
  File* f = nullptr;
  const int error = open_node(n, flags, &f);
  if (error != 0) return refuse(error);
  f->flags = flags & (O_NONBLOCK | O_APPEND);
  const int fd = current->take_fd(f);
  SIM_TRACE("%d open(%s) = %d\n", current->number(), path, fd);
  if (fd >= 0) return fd;
  f->closed();
  return refuse(EMFILE);
}

int sim_stat(const char* path, struct stat* out) {
  const Gate gate(Call::stat);
  if (gate.error() != 0) return refuse(gate.error());
  const Node* n = node_at(path);
  if (n == nullptr) return refuse(ENOENT);
  describe(n, out);
  return 0;
}

int sim_lstat(const char* path, struct stat* out) { return sim_stat(path, out); }

int sim_fstat(int fd, struct stat* out) {
  const Gate gate(Call::fstat, fd);
  const File* f = current->file(fd);
  if (f == nullptr) return refuse(EBADF);
  if (gate.error() != 0) return refuse(gate.error());
  memset(out, 0, sizeof *out);
  if (const Node* n = node_of(fd)) {
    describe(n, out);
  } else {
    out->st_mode = f->kind == File::Kind::pipe ? S_IFIFO : f->kind == File::Kind::tcp ? S_IFSOCK : S_IFCHR;
  }
  return 0;
}

int sim_access(const char* path, int mode) {
  (void)mode;
  const Gate gate(Call::access);
  if (gate.error() != 0) return refuse(gate.error());
  return node_at(path) == nullptr ? refuse(ENOENT) : 0;
}

int sim_unlink(const char* path) {
  const Gate gate(Call::unlink);
  if (gate.error() != 0) return refuse(gate.error());
  const int error = disk_of(current->ip()).remove(path);
  return error != 0 ? refuse(error) : 0;
}

int sim_mkfifo(const char* path, mode_t mode) {
  (void)mode;
  const Gate gate(Call::mkfifo);
  if (gate.error() != 0) return refuse(gate.error());
  if (node_at(path) != nullptr) return refuse(EEXIST);
  disk_of(current->ip()).put(path, Node::Kind::fifo);
  return 0;
}

int sim_flock(int fd, int how) {
  const Gate gate(Call::flock, fd);
  Node* n = node_of(fd);
  if (n == nullptr) return refuse(EBADF);
  if (gate.error() != 0) return refuse(gate.error());
  if ((how & LOCK_UN) != 0) return n->locked_by = nullptr, 0;
  if (n->locked_by != nullptr && n->locked_by != current->file(fd)) return refuse(EWOULDBLOCK);
  n->locked_by = current->file(fd);
  return 0;
}

int sim_ftruncate(int fd, off_t size) {
  const Gate gate(Call::ftruncate, fd);
  Node* n = node_of(fd);
  if (n == nullptr) return refuse(EINVAL);
  if (gate.error() != 0) return refuse(gate.error());
  n->data.resize(static_cast<size_t>(size));
  return 0;
}

off_t sim_lseek(int fd, off_t to, int whence) {
  const Gate gate(Call::lseek, fd);
  File* f = current->file(fd);
  if (f == nullptr || f->kind != File::Kind::plain) return refuse(ESPIPE);
  if (gate.error() != 0) return refuse(gate.error());
  if (whence == SEEK_SET) static_cast<PlainFile*>(f)->at = static_cast<size_t>(to);
  return static_cast<off_t>(static_cast<PlainFile*>(f)->at);
}

ssize_t sim_pread(int fd, void* to, size_t n, off_t at) {
  const Gate gate(Call::pread, fd);
  const Node* node = node_of(fd);
  if (node == nullptr) return refuse(EBADF);
  if (gate.error() != 0) return refuse(gate.error());
  const size_t from = static_cast<size_t>(at);
  if (from >= node->data.size()) return 0;
  n = std::min(n, node->data.size() - from);
  memcpy(to, node->data.data() + from, n);
  return static_cast<ssize_t>(n);
}

ssize_t sim_pwrite(int fd, const void* from, size_t n, off_t at) {
  const Gate gate(Call::write, fd);
  Node* node = node_of(fd);
  if (node == nullptr) return refuse(EBADF);
  if (gate.error() != 0) return refuse(gate.error());
  node->data.replace(static_cast<size_t>(at), n, static_cast<const char*>(from), n);
  return static_cast<ssize_t>(n);
}

int sim_pipe(int* ends) {
  const Gate gate(Call::pipe);
  if (gate.error() != 0) return refuse(gate.error());
  PipeBuffer* b = world->make<PipeBuffer>();
  File* reads = world->make<PipeEnd>(*b, true, false);
  File* writes = world->make<PipeEnd>(*b, false, true);
  ends[0] = current->take_fd(reads);
  ends[1] = ends[0] < 0 ? -1 : current->take_fd(writes);
  if (ends[1] >= 0) return 0;
  if (ends[0] >= 0) current->close_fd(ends[0]);
  return refuse(EMFILE);
}

char* sim_getcwd(char* to, size_t n) {
  const Gate gate(Call::getcwd);
  if (gate.error() != 0) return errno = gate.error(), nullptr;
  if (n < 2) return errno = ERANGE, nullptr;
  memcpy(to, "/", 2);
  return to;
}

char* sim_realpath(const char* path, char* out) {
  const Gate gate(Call::stat);
  if (gate.error() != 0) return errno = gate.error(), nullptr;
  return node_at(path) == nullptr ? errno = ENOENT, nullptr : strcpy(out, path);
}

int sim_chdir(const char* path) { return (void)path, 0; }
int sim_chroot(const char* path) { return (void)path, refuse(EPERM); }
int sim_fchown(int fd, uid_t uid, gid_t gid) { return (void)fd, (void)uid, (void)gid, 0; }
mode_t sim_umask(mode_t mask) { return (void)mask, 022; }

// ---- terminals

int sim_tcgetattr(int fd, termios* out) {
  const Gate gate(Call::tcgetattr, fd);
  File* f = current->file(fd);
  if (gate.error() != 0) return refuse(gate.error());
  if (f == nullptr || f->kind != File::Kind::terminal) return refuse(ENOTTY);
  if (static_cast<Terminal*>(f)->hung_up) return refuse(EIO);
  *out = static_cast<Terminal*>(f)->node.settings;
  return 0;
}

int sim_tcsetattr(int fd, int when, const termios* in) {
  (void)when;
  const Gate gate(Call::tcsetattr, fd);
  File* f = current->file(fd);
  if (gate.error() != 0) return refuse(gate.error());
  if (f == nullptr || f->kind != File::Kind::terminal) return refuse(ENOTTY);
  if (static_cast<Terminal*>(f)->hung_up) return refuse(EIO);
  static_cast<Terminal*>(f)->node.settings = *in;
  return 0;
}

int sim_tcflush(int fd, int what) { return (void)fd, (void)what, 0; }
int sim_isatty(int fd) { return current->file(fd) != nullptr && current->file(fd)->kind == File::Kind::terminal; }
// Standard error is no terminal in here.
int sim_ttyname_r(int, char*, size_t) { return ENOTTY; }

}  // extern "C"
