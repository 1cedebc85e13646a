// Who stands at both ends of the tunnel: clients and servers whose bytes say themselves where they belong.
//
// A talker's bytes follow from its number and their offset; the first 8 say the number. So whoever reads knows from the stream
// alone whether each byte is right, and who its partner is; both must mean each other. At the end of a stream its partner must
// have ended it, and all must have come, unless the world gave a reason.
//
// Owner: the world, listed in Crowd. Read next: scenario.h.
#ifndef SOCKMUX_TESTS_SIMOS_TALKER_H
#define SOCKMUX_TESTS_SIMOS_TALKER_H

#include "tests/simos/network.h"

namespace simos {

class Crowd;

// How one behaves.
struct Manner {
  uint32_t size = 1000;         // bytes that it says, header included
  uint32_t write_most = 4096, read_most = 4096;
  Micros write_pause = 0, read_pause = 0;
  bool answers = false;         // says as much as it has heard, and ends when the other has ended
  bool waits_for_end = false;   // ends its way only when the other one has
  uint64_t resets_at = UINT64_MAX;  // of bytes read: closes with a reset
  uint64_t closes_at = UINT64_MAX;  // of bytes read: closes without a word
  uint64_t hangs_at = UINT64_MAX;   // of bytes read: reads no more until the world is well
  uint32_t urgent_in = 0;       // one byte in so many writes is urgent
  // What is said to a proxy first, and what it has to answer: so many bytes, or, 0, up to an empty line,
  // or, kTelnet, a line with "-- ", or, kSocks5, as long as its type of address says.
  struct Step {
    static constexpr size_t kTelnet = SIZE_MAX, kSocks5 = SIZE_MAX - 1;
    std::string said;
    size_t answer;
  };
  std::vector<Step> opening;
  void make_well() { hangs_at = UINT64_MAX, read_pause = write_pause = 0; }
  bool behind_program = false;  // a server: what becomes of its client it is told by an end at most
  bool rude() const { return resets_at != UINT64_MAX || closes_at != UINT64_MAX; }
};

class Talker final : public Holder {
 public:
  Talker(Crowd& crowd, uint32_t number, const Manner& manner, bool client) : crowd_(crowd), number_(number), manner_(manner), client_(client) {}
  void call_from(uint32_t ip, Place to);
  void take(Tcp* socket);
  void on_socket() override;
  void on_event(int what) override;
  void make_well();  // it hangs no more
  void give_up();

  enum class End : uint8_t { none, clean, cut, failed, refused, left };
  End end() const { return end_; }
  bool over() const { return end_ != End::none; }
  uint32_t number() const { return number_; }
  bool is_client() const { return client_; }
  const Manner& manner() const { return manner_; }
  Talker* partner() const { return partner_; }
  std::string describe() const;
  uint64_t heard() const { return heard_; }

  Micros since = 0;
  bool excused = false;   // what it lost, or will lose, has a reason
  uint16_t port = 0;      // where it came in, or went to

 private:
  bool open_some();
  void write_some();
  void read_some();
  void hear(const uint8_t* bytes, size_t n);
  void finish(End how, int error);
  void find_partner(uint32_t number);
  uint64_t to_say() const;
  bool may_end() const;
  void schedule(Micros delay);
  void remember_daemon(uint32_t ip, Micros made);
  bool daemon_lives() const;

  Crowd& crowd_;
  const uint32_t number_;
  Manner manner_;
  const bool client_;
  Tcp* socket_ = nullptr;
  Talker* partner_ = nullptr;
  const Process* daemon_ = nullptr;  // that it is connected to
  int life_ = 0;                     // of it
  End end_ = End::none;
  int error_ = 0;
  uint64_t said_ = 0, heard_ = 0;
  uint8_t header_[8] = {};
  bool shut_ = false, end_heard_ = false, scheduled_ = false;
  size_t step_ = 0, step_said_ = 0;  // of the opening
  std::string answer_;
  Micros write_after_ = 0, read_after_ = 0;
};

// The byte at `offset` of what `number` says.
void fill(uint32_t number, uint64_t offset, uint8_t* out, size_t n);

// All of them.
class Crowd {
 public:
  Talker* add(const Manner& manner, bool client);
  Talker* find(uint32_t number) const { return number > 0 && number <= all_.size() ? all_[number - 1] : nullptr; }
  const std::vector<Talker*>& all() const { return all_; }
  size_t unfinished() const;
  // May nothing be lost? Not if the world gives reasons, or a call of a daemon has failed that may cost a stream.
  bool is_strict() const;
  // A call of a daemon has failed, and whatever it may cost is forgiven.
  bool fault_excuses() const;
  bool strict = true;
  bool well = false;  // who comes now hangs no more
  bool fault_forgiven = true;
  bool rude_clients = false;  // there are some; who has not heard of whom it serves may serve one
  std::vector<const Process*> daemons;
  // A new daemon takes the place of another until then: a channel that is on its way to the old one's goodbye ends with that, as sockmuxd(8) says.
  Micros moved = INT64_MIN;
  bool moves() const { return world->now < moved; }
  bool half_close = true;  // the link keeps a half-close apart

 private:
  std::vector<Talker*> all_;
};

// A server: each connection gets a talker with this manner.
class Server : public Holder {
 public:
  Server(Crowd& crowd, Place at, const Manner& manner);
  void on_socket() override;
  void on_event(int what) override;
  void open(bool on);  // does it listen?
  Manner manner;
  bool accepts = true;

 protected:
  virtual void take(Tcp* socket);
  Crowd& crowd() const { return crowd_; }

 private:
  Crowd& crowd_;
  const Place at_;
  Tcp* door_ = nullptr;
  bool scheduled_ = false;
};

}  // namespace simos

#endif
