// FTP at the exit: the control conversation between a client and a server, so that data connections go through the link, too.
//
//   proxy form:  alone --USER name@host, OPEN host--> connecting --> greeting --220--> open
//   with host:            start ---------------------> connecting --------------------> open
//
// Commands go to the server one at a time, each when the one before is answered; during a transfer ABOR, STAT, NOOP and QUIT
// overtake. PASV and EPSV are asked of the server, and answered to the client with a port of the other side. PORT and EPRT become
// PASV or EPSV toward the server; the client is connected to when a transfer begins. The server's address is always that of
// its control connection, whatever its reply says. What would encrypt (AUTH) is refused.
//
// Invariants: a line is at most kFtpLine long; nothing waits here but the pipes. Pure: data_door.h does the rest.
// Read next: ftp_text.h, dialogue.h. Source: RFC 959, 2428; sockmux.conf(5), "FTP".
#ifndef SOCKMUX_RELAY_FTP_H
#define SOCKMUX_RELAY_FTP_H

#include "relay/data_door.h"
#include "relay/dialogue.h"
#include "relay/text/ftp_text.h"

namespace smx {

class FtpDialogue final : public Dialogue {
 public:
  // The server of SERVER=ftp://host:port,-in; host empty: the client says which. `host` stays valid.
  FtpDialogue(std::string_view host, uint16_t port) : fixed_host_(host), fixed_port_(port) {}

  Next step(Desk& desk) override;
  void connected(Desk& desk) override;
  void failed(Desk& desk, Failure why) override;
  Next timed_out(Desk& desk) override;

 private:
  enum class Phase : uint8_t { start, alone, connecting, open, closing };
  // What is awaited before the next command is taken.
  enum class Waits : uint8_t {
    nothing,
    reply,     // to any command
    transfer,  // the last reply of a transfer
    feat,
    greeting,  // of the server, to be followed by USER
    pasv,      // 227
    epsv,      // 229
    door,      // where the other side listens
    call,      // for the client to be connected to
  };
  enum class Mode : uint8_t { none, pasv, epsv, port, eprt };  // how the client asked

  bool take_replies(Desk& desk);
  void on_reply_line(Desk& desk, std::string_view line);
  void on_reply(Desk& desk, int code);
  bool is_late(Desk& desk, int code);
  void count_late(int code);
  bool take_commands(Desk& desk);
  bool take_command(Desk& desk);
  void command_alone(Desk& desk, FtpVerb verb, std::string_view line, std::string_view argument);
  void command(Desk& desk, FtpVerb verb, std::string_view line, std::string_view argument);
  void log_in(Desk& desk, std::string_view line, std::string_view argument);
  void want_server(std::string_view host, uint16_t port, std::string_view user);
  void passive(Desk& desk, FtpVerb verb, std::string_view argument);
  void active(Desk& desk, FtpVerb verb, std::string_view argument);
  void ask_server(Desk& desk, bool extended);
  void got_server_port(Desk& desk);
  bool look_at_door(Desk& desk);
  void wait_for(Desk& desk, Waits what);
  static void answer(Desk& desk, std::string_view text);
  static void answer(Desk& desk, const char* text);

  std::string_view fixed_host_;
  uint16_t fixed_port_;
  Phase phase_ = Phase::start;
  Waits waits_ = Waits::nothing;
  Mode mode_ = Mode::none;
  bool connect_due_ = false;
  bool swallow_ = false, matched_ = false;  // the reply at hand: not for the client; it is the one that is awaited
  bool skipping_ = false;      // the rest of a line that was too long
  bool epsv_only_ = false;     // EPSV ALL
  bool armed_ = false;         // PORT or EPRT was said: the next transfer calls the client
  bool last_word_ = false;     // the server has said goodbye
  // Commands that were sent during a transfer and are not answered: those that get one reply each, and ABOR, which gets one or two.
  uint8_t overtaken_ = 0, aborts_ = 0;
  bool doubtful_ = false;      // what came for a command that has overtaken may be the answer that is awaited, if nothing follows
  int multi_ = 0;              // code of the reply whose lines come
  uint16_t client_port_ = 0;
  Address server_port_;        // where the server listens for data
  bool port_found_ = false;
  uint16_t wish_port_ = 0;
  char host_[256] = {};
  char user_[256] = {};        // USER that follows the greeting; empty: the greeting is the client's
};

}  // namespace smx

#endif
