// Peers made by hand, from the pages of the protocol and not from our code: what a DeleGate would see of us, and what
// nobody should ever send.
//
// Invariant: they share no code with core/mux. Read next: dialect03.cc, garbage.cc.
#ifndef SOCKMUX_TESTS_E2E_PEER_H
#define SOCKMUX_TESTS_E2E_PEER_H

#include <deque>
#include <map>
#include <set>
#include <string>

#include "tests/e2e/sockets.h"

namespace e2e {

// Type codes of the pages.
enum : uint8_t {
  kNoop = 0x00, kHello = 0x01, kConnect = 0x02, kSend = 0x06, kClose = 0x08, kEcho = 0x09, kSetopt = 0x0a, kCrypton = 0x0c,
  kHellook = 0x41, kConnected = 0x42, kSendoob = 0x07, kSent = 0x46, kSentoob = 0x47, kClosed = 0x48, kEchook = 0x49,
  kBind = 0x04, kBindok = 0x44, kSettings = 0x10, kAck = 0x11, kBye = 0x13, kCredit = 0x20, kFin = 0x21, kRefund = 0x24,
};

std::string be16(unsigned v);
std::string be32(uint32_t v);
std::string be64(uint64_t v);
std::string packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload);
// Of SockMux 1, with the id that there is none where there is none.
constexpr unsigned kNoId = 0xffff;
std::string numbered(uint8_t type, unsigned said, unsigned raid, const std::string& payload = "");
std::string unnumbered(uint8_t type, const std::string& payload);
// Of CONNECT and BIND: 1, a TCP channel; 2, a UDP flow; the client is 192.168.1.20:50134, and came to 192.168.1.1:9023.
std::string connect_fields(char kind);

// What both dialects share: a connection and the packets in it.
class Peer : public Actor {
 public:
  // Makes a link to there.
  explicit Peer(uint16_t port);
  // Speaks on a link that was accepted.
  explicit Peer(Conn& accepted);

  Conn& link() { return *link_; }
  bool up() const { return up_; }
  // The link is closed by the other side.
  bool over() const { return link_->over() || link_->closed(); }
  void raw(const std::string& bytes) { link_->send(bytes); }

  void want(std::vector<pollfd>& list) override { (void)list; }
  void ready(const pollfd* list, size_t count) override { (void)list, (void)count; }

 protected:
  virtual void on_packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) = 0;
  bool up_ = false;

 private:
  void start();
  std::unique_ptr<Conn> own_;
  Conn* link_;
  std::string held_;
};

// Dialect 0.3: 64 slots; echoes what channels bring.
class Peer03 : public Peer {
 public:
  explicit Peer03(uint16_t port) : Peer(port) { hello(); }
  explicit Peer03(Conn& accepted) : Peer(accepted) { hello(); }

  double closed_after = 0;   // seconds until CLOSED is sent
  bool echoes = true;        // false: takes data, acknowledges them, and says nothing
  std::string ends_on;       // a channel of the other side that brings just this is echoed and closed
  bool acks = true;          // false: what comes is not acknowledged, so the other side must stop
  bool refuses = false;      // answers CONNECT by CLOSE "No server"
  size_t echooks = 0;
  size_t sents = 0;          // SENT packets that came
  size_t sent_bytes = 0;     // ... and what they acknowledge
  size_t connects = 0;
  size_t most = 0;           // channels at once
  size_t now_open() const { return channel_.size(); }
  // The first rule that the other side broke.
  const std::string& fault() const { return fault_; }
  const std::string& hello_text() const { return hello_; }

  // Opens a channel of ours; what comes on it stands in received().
  unsigned open(const std::string& first = "", const std::string& client = "10.1.1.1:1234", const std::string& at = "10.1.1.2:9023");
  bool opened(unsigned id) const { return channel_.count(id) != 0 && channel_.at(id).peer != 0; }
  bool closed(unsigned id) const { return channel_.count(id) == 0; }
  const std::string& received(unsigned id) { return received_[id]; }
  // In packets of at most 16,000 bytes, all at once.
  void send(unsigned id, const std::string& bytes);
  void close(unsigned id);
  // Acknowledges what came while acks was false, and all that comes from now on.
  void ack_all();
  // Closes the oldest of the channels that the other side opened.
  void close_one();

  void want(std::vector<pollfd>& list) override;

 private:
  struct Channel {
    unsigned peer = 0;
    bool closing = false;  // our CLOSE is out
    bool ours = false;
    double dies = 0;       // CLOSED is due then; 0: not
    size_t unacked = 0;
  };
  void hello();
  void put(uint8_t type, unsigned said, unsigned raid, const std::string& payload) { raw(packet(3, type, said, raid, payload)); }
  void wrong(const std::string& what) { if (fault_.empty()) fault_ = what; }
  void took(unsigned id, const std::string& bytes, bool counts);
  void on_packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) override;
  unsigned free_id() const;
  void forget(unsigned id);

  bool hellook_seen_ = false;
  std::string hello_, fault_;
  std::map<unsigned, Channel> channel_;  // by our id
  std::set<unsigned> busy_;              // ids of the other side
  std::map<unsigned, std::string> received_;
};

// Dialect 1, the asking side: shakes hands, and is then used to send what is wrong.
class Peer1 : public Peer {
 public:
  // What it asks for.
  struct Ask {
    std::string session = std::string(16, '\0');
    uint64_t received = 0, attempt = 0x1122334400000001;
    unsigned hold = 0;
  };
  explicit Peer1(uint16_t port) : Peer1(port, Ask()) {}
  Peer1(uint16_t port, const Ask& ask);
  // The code of the BYE that came, and how many came; -1: none.
  int bye() const { return bye_; }
  int byes() const { return byes_; }
  // The session that it was given.
  const std::string& session() const { return session_; }
  bool answers = true;  // ECHO
  bool acks = false;    // what comes, about each kilobyte
  bool keeps = true;    // the numbered packets that come; false: only `packets` counts them
  size_t packets = 0, closes = 0, echooks = 0;
  uint64_t came() const { return came_; }  // bytes of numbered packets
  // The numbered packets that came.
  struct Seen {
    uint8_t type = 0;
    unsigned said = 0, raid = 0;
    std::string payload;
  };
  std::vector<Seen> seen;
  // The last one of this type and these ids; nullptr: none came.
  const Seen* find(uint8_t type, unsigned said, unsigned raid) const;
  void numbered(uint8_t type, unsigned said, unsigned raid, const std::string& payload) { raw(e2e::numbered(type, said, raid, payload)); }

 private:
  void on_packet(uint8_t version, uint8_t type, unsigned said, unsigned raid, const std::string& payload) override;
  Ask ask_;
  std::string session_;
  int bye_ = -1, byes_ = 0;
  uint64_t came_ = 0, acked_ = 0;
};

}  // namespace e2e

#endif
