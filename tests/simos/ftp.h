// FTP at both ends of the tunnel: a client that logs in and transfers, a server that listens for data. The data themselves are talkers.
//
//   FtpClient --control--> daemon ... daemon --control--> FtpServer's Session
//   Talker <---data (PASV, EPSV: the client calls; PORT, EPRT: it is called)---> Talker
//
// Each command gets its replies, in order, with the codes that it may have; a data connection leads to whom it was made for. Source:
// RFC 959, 2428. Owner: the world. Read next: talker.h, relay/ftp.h.
#ifndef SOCKMUX_TESTS_SIMOS_FTP_H
#define SOCKMUX_TESTS_SIMOS_FTP_H

#include "tests/simos/talker.h"

namespace simos {

// One end of a control connection: lines out, lines in.
class FtpControl : public Holder {
 public:
  void on_socket() override;
  void on_event(int what) override;
  bool over() const { return over_; }

 protected:
  enum { kRun = 0, kLook = 1 };  // events: the socket; what is looked at now and then
  void begin(Tcp* socket);
  void say(const std::string& line) { out_ += line + "\r\n", run_soon(); }
  void look_after(Micros delay) { world->after(delay, *this, kLook); }
  void close();
  void close_behind() { closes_ = true; }  // what was said
  virtual void on_line(const std::string& line) = 0;
  virtual void on_end(int error) = 0;
  virtual void on_look() = 0;
  Tcp* socket_ = nullptr;

 private:
  void run_soon();
  void write_some();
  void read_some();
  std::string in_, out_;
  bool scheduled_ = false, over_ = false, closes_ = false;
};

// Where one data connection is made to: it becomes a talker.
class FtpDoor final : public Server {
 public:
  FtpDoor(Crowd& crowd, Place at, const Manner& m, bool client) : Server(crowd, at, m), client_(client) {}
  Talker* talker = nullptr;
  bool excused = false;

 private:
  void take(Tcp* socket) override;
  const bool client_;
};

class FtpServer final : public Server {
 public:
  FtpServer(Crowd& crowd, Place at, const Manner& m, bool six);
  const bool knows_epsv, knows_noop, lies;  // 229; 200; 227 with somebody else's address

 private:
  void take(Tcp* socket) override;
};

class FtpClient final : public FtpControl {
 public:
  // `host`: what USER says behind the name; empty: the port leads to the server.
  FtpClient(Crowd& crowd, const Manner& m, bool six, const std::string& host, uint32_t transfers, bool no_data);
  void call_from(uint32_t ip, Place to);
  std::string describe() const;
  bool excused = false;
  bool rude_server = false;  // whose data connections may be cut

 private:
  enum class State : uint8_t { greeting, user, password, asked, begun, transfer, data, quits };
  void on_line(const std::string& line) override;
  void on_end(int error) override;
  void on_look() override;
  void next_transfer();
  void ask();
  void passive(const std::string& line, bool extended);
  void transfer();
  void abort();
  void transfer_over();
  void lost(const char* what, int error);

  Crowd& crowd_;
  const Manner manner_;
  const bool six_;
  const std::string host_;
  uint32_t transfers_;
  const bool no_data_;          // the link cannot: every way is refused
  State state_ = State::greeting;
  uint32_t ip_ = 0;
  Place to_;
  Micros since_ = 0;
  Talker* data_ = nullptr;
  FtpDoor* door_ = nullptr;
  bool extended_ = false, aborted_ = false, done_ = false;
  uint32_t noops_ = 0;          // that are not answered
  std::string last_;
};

}  // namespace simos

#endif
