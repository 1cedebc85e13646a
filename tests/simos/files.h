// What a path of a simulated host names: plain files, FIFOs, terminals. And pipes, and the log.
//
// Owner: the world. Read next: calls_files.cc.
#ifndef SOCKMUX_TESTS_SIMOS_FILES_H
#define SOCKMUX_TESTS_SIMOS_FILES_H

#include <termios.h>

#include <deque>
#include <map>
#include <string>
#include <vector>

#include "tests/simos/file.h"

namespace simos {

class PipeEnd;

// A pipe, or a FIFO while it has ends. Source: pipe(7), fifo(7).
struct PipeBuffer : Callee {
  void on_event(int what) override { (void)what; }
  void poke_all();
  std::deque<uint8_t> bytes;
  size_t room = 65536;
  int readers = 0, writers = 0;
  uint64_t writers_seen = 0;  // opened for writing, ever
  uint32_t odd = 0;           // percent of reads and writes that are cut short
  std::vector<PipeEnd*> ends;
};

class PipeEnd final : public File {
 public:
  PipeEnd(PipeBuffer& buffer, bool reads, bool writes);
  uint32_t ready() const override;
  ssize_t read(uint8_t* to, size_t n) override;
  ssize_t write(const uint8_t* from, size_t n) override;
  void closed() override;
  PipeBuffer& buffer;
  struct Node* node = nullptr;

 private:
  const bool reads_, writes_;
  const uint64_t seen_;  // writers_seen when it was opened
};

// One side of a serial line; what it writes arrives at the other one, if it does.
class Terminal;
struct Wire : Callee {
  struct Due {
    Micros when;
    std::vector<uint8_t> bytes;
  };
  void on_event(int what) override;
  void send(const uint8_t* bytes, size_t n);
  struct Node* to = nullptr;
  Micros us_per_byte = 87, busy_until = 0;
  uint32_t flips = 0, losses = 0, additions = 0;  // of a million bytes
  bool broken = false;                              // nothing arrives
  std::deque<Due> due;
};

struct Node : Callee {
  enum class Kind : uint8_t { plain, fifo, terminal, null, folder, socket };
  explicit Node(Kind k) : kind(k) {}
  void on_event(int what) override { (void)what; }
  const Kind kind;
  std::string data;
  PipeBuffer* fifo = nullptr;
  Wire* wire = nullptr;           // of a terminal: where it sends to
  std::deque<uint8_t> input;      // of a terminal: what has come
  std::vector<Terminal*> opened;
  termios settings{};
  bool gone = false;              // the plug is out
  bool full = false;              // ENOSPC
  uint64_t number = 0;
  File* locked_by = nullptr;      // flock(2)
  void hang_up();
};

class Terminal final : public File {
 public:
  explicit Terminal(Node& n) : File(Kind::terminal), node(n) { n.opened.push_back(this); }
  uint32_t ready() const override;
  ssize_t read(uint8_t* to, size_t n) override;
  ssize_t write(const uint8_t* from, size_t n) override;
  void closed() override;
  void on_event(int what) override { (void)what, poke(); }
  size_t queued() const;
  Node& node;
  bool hung_up = false;
};

class PlainFile final : public File {
 public:
  explicit PlainFile(Node& n) : File(Kind::plain), node(n) {}
  uint32_t ready() const override;
  ssize_t read(uint8_t* to, size_t n) override;
  ssize_t write(const uint8_t* from, size_t n) override;
  void closed() override;
  Node& node;
  size_t at = 0;
};

class NullFile final : public File {
 public:
  NullFile() : File(Kind::null) {}
  ssize_t read(uint8_t* to, size_t n) override;
  bool random = false;  // /dev/urandom
  ssize_t write(const uint8_t* from, size_t n) override { return (void)from, static_cast<ssize_t>(n); }
};

// Standard error: the log, line by line.
class LogFile final : public File {
 public:
  explicit LogFile(Process& p) : File(Kind::log), process_(p) {}
  uint32_t ready() const override { return 4; }  // EPOLLOUT
  ssize_t write(const uint8_t* from, size_t n) override;

 private:
  void line(const std::string& text);
  Process& process_;
  std::string part_;
};

// The files of one host.
class Disk {
 public:
  Node* find(const std::string& path) const;
  Node* put(const std::string& path, Node::Kind kind, std::string data = "");
  int remove(const std::string& path);
  void share(const std::string& path, Node* node) { nodes_[path] = node; }

 private:
  std::map<std::string, Node*> nodes_;
};

// Of the host with that address; what it has stays when its daemon ends.
Disk& disk_of(uint32_t ip);
void forget_disks();

}  // namespace simos

#endif
