// A run: what two daemons are told, what comes to them, and what must hold. All of it follows from a seed.
//
//   start -> both are linked -> clients come, the world is cruel -> it is well again: all must end well, new clients are served
//   -> idle: nothing turns -> TERM: both end with 0
//
// Read next: setup.cc (what the daemons are told), scenario.cc (how it goes), troubles.cc (what is done to them).
#ifndef SOCKMUX_TESTS_SIMOS_SCENARIO_H
#define SOCKMUX_TESTS_SIMOS_SCENARIO_H

#include <string>
#include <vector>

#include "tests/simos/datagrams.h"
#include "tests/simos/files.h"
#include "tests/simos/ftp.h"
#include "tests/simos/helper.h"
#include "tests/simos/process.h"
#include "tests/simos/socks_udp.h"
#include "tests/simos/talker.h"
#include "tests/simos/watcher.h"

namespace simos {

struct Verdict {
  std::string failure;  // empty: all held
  std::string words;    // what the daemons were told
  std::string log;      // the ends of their logs, if it failed
  uint64_t hash = 0, calls = 0, turns = 0, events = 0, bytes = 0, talkers = 0, lost = 0, datagrams = 0, link_ups = 0;
  double seconds = 0;
};

constexpr int kDaemons = 2, kProcesses = 3;  // one more, which takes the place of another
constexpr uint16_t kLinkPort = 9000;
constexpr uint32_t kNobodyIp = 0x0a00004d, kMuteIp = 0x0a00004e;  // nobody is there; nothing answers there
// The name of a host: of a server, and of the other side of the link.
std::string name_of(uint32_t ip);
std::string link_name_of(uint32_t ip);

class Scenario final : public Callee, private Outside {
 public:
  explicit Scenario(Process* const (&daemons)[kProcesses]);
  ~Scenario() override { outside = nullptr; }
  void on_event(int what) override;
  void run();
  void report(Verdict* out) const;

 private:
  // How what comes in at a port goes on at the other side.
  enum class Service : uint8_t { relay, http, socks4, socks5, telnet, ftp, udp, exec };
  static constexpr uint32_t kServices = 8;
  struct Port {
    uint16_t number;
    Service service;
    bool six, server_six;      // clients come by IPv6; its server is reached so
    bool names_host;           // FTP: the client says where the server is
    bool remote;               // the other side asks for it
    bool associates = false;   // SOCKS 5: datagrams, too
    bool named = false;        // its server is told by name
    Server* server = nullptr;  // on the other host, at number - 1000
  };
  struct Host {
    Process* process = nullptr;
    uint32_t ip = 0;
    std::vector<std::string> words;
    std::vector<Port> ports;
    Node* line = nullptr;  // a terminal
    Node* config = nullptr;
    std::string usual_config;
    bool wanted = true;    // it is to run
    bool control = false;  // it has a control socket
  };
  struct Trouble {
    Micros when;
    int kind;
  };
  // setup.cc
  void choose();
  void choose_link();
  void choose_ports(int which);
  std::string server_text(uint32_t ip, const Port& port) const;
  void choose_words(int which);
  void add_way(std::vector<std::string>& words, bool accepts, const Host& host, const Host& other);
  void make_lines();
  Manner choose_manner(const Port& port, bool client);
  std::vector<Manner::Step> opening_for(const Port& port, uint32_t server_ip);
  // scenario.cc
  void start(Host& host);
  void add_clients(uint32_t n, Micros until, bool probes);
  void add_askers(Micros until, bool probes);
  void add_associate(const Host& host, const Port& port, Place server, uint32_t n, Micros pause, bool probes);
  void add_watchers(Micros until, bool probes);
  bool await(Micros limit, const char* what, bool (Scenario::*done)() const);
  bool all_linked() const;
  bool all_over() const;
  bool asks_ports() const;
  // Who holds nothing loses who comes while the link is made anew, or moves to the better way; so does who holds for some seconds, if its
  // name leads to a dead address first.
  bool moves_cost() const { return (hold_s_ == 0 && (renews_ || way_ == Way::tcp_and_line)) || (hold_s_ < 10 && renews_ && link_named_); }
  size_t late_ports(int which) const;
  bool all_ended() const;
  bool all_wanted() const;  // has ended who was told to?
  bool all_replaced() const;  // and who has been replaced?
  bool check_alive();
  bool may_refuse(const Process& p) const;
  bool probe();
  bool any_fault() const;
  void check_answers();
  void check_renewals();
  void check_fds(const size_t (&before)[kDaemons]);
  void check_idle();
  void check_end();
  void check_partners();
  void check_programs();
  // outside.cc
  Micros look_up(const std::string& name, smx::HelperAnswer* answer) override;
  int plan(const Process& daemon, bool of_link, const smx::HelperRequest& q, Pump::Plan* out) override;
  bool is_well() const override { return well_; }
  // troubles.cc
  void choose_troubles();
  void trouble(int kind);
  void line_trouble(int kind);
  void host_trouble(int kind);
  void change_config(Host& h);
  void upgrade(Host& h);
  void look_at_upgrade();
  bool upgrades() const;
  void make_well();
  void well_server(Server& server);
  void again(int kind, Micros least, Micros most);

  enum class Way : uint8_t { tcp, fifo, line, tcp_and_line, program };
  static constexpr uint32_t kWays = 5;
  Host host_[kDaemons];
  // sockmuxctl upgrade: the process that is no host's, or `upgraded_`'s to be; what was one's drains until it ends.
  Process* spare_ = nullptr;
  Host* upgraded_ = nullptr;
  bool replaced_ = false, upgrade_may_fail_ = false;
  Crowd crowd_;
  Path* link_ = nullptr;
  Path* near_ = nullptr;
  Way way_ = Way::tcp;
  bool v03_ = false, secure_ = false, slow_ = false, six_ = false;  // the link is one of IPv6
  bool flips_ = false;       // at first the link does so to bits
  bool link_named_ = false;  // the other side is told by name
  bool strict_ = true;  // no stream may be lost
  bool renews_ = false;  // TIMEOUT=renew at either side
  bool unsure_ = false;  // a server may be away for a time
  bool begun_ = false, well_ = false;  // the first link is there; nothing goes wrong any more
  uint32_t hold_s_ = 60;
  struct Call {
    Talker* who;  // or
    FtpClient* ftp;
    uint32_t ip;
    Place to;
  };
  std::vector<Call> calls_;
  std::vector<FtpClient*> ftp_;
  struct Look {
    Watcher* who;
    Place at;
  };
  std::vector<Look> looks_;
  std::vector<Trouble> troubles_;
  std::vector<Asker*> askers_, probes_;
  std::vector<SocksAsker*> associates_;
  std::vector<Echo*> echoes_;
};

}  // namespace simos

#endif
