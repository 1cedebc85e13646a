// The daemon: its tables, its ports, its life from the checks to the end.
//
//   prepare(): memory set aside -> ports opened -> files -> privileges dropped -> background -> helper -> sandbox
//   run():     the loop, until TERM: channels end, links say goodbye
//
// Owner: main. Invariants: nothing is opened before everything was checked; after prepare() no memory is allocated.
// Read next: rules.h, core/session/sessions.h, relay/listener.h, transport/tcp.h.
#ifndef SOCKMUX_DAEMON_H
#define SOCKMUX_DAEMON_H

#include "config/reload/compare.h"
#include "config/config.h"
#include "config/file.h"
#include "config/reload/places.h"
#include "config/reload/reader.h"
#include "config/report.h"
#include "core/base/features.h"
#include "core/control/control.h"
#include "core/control/unix_socket.h"
#include "core/io/child.h"
#include "core/io/helper.h"
#include "core/io/names.h"
#include "core/io/process.h"
#include "core/io/reactor.h"
#include "core/io/resolver.h"
#include "core/io/signals.h"
#include "core/session/sessions.h"
#include "core/session/way_in.h"
#include "core/session/ways.h"
#include "relay/bind/far_port.h"
#include "relay/bind/peer_port.h"
#include "relay/data_port.h"
#include "relay/exec.h"
#include "relay/exit.h"
#include "relay/ftp_data.h"
#include "relay/listener.h"
#include "relay/proxy.h"
#include "relay/udp_exit.h"
#include "relay/udp_listener.h"
#include "daemon_dump.h"
#include "daemon_probe.h"
#include "daemon_secure.h"
#include "daemon_service.h"
#include "daemon_upgrade.h"
#include "rules.h"
#include "transport/fifo.h"
#include "transport/program.h"
#include "transport/stdio.h"
#include "transport/tcp.h"
#include "transport/tty.h"

namespace smx {

// sysexits(3), beside those of config/report.h
constexpr int kExitUnavailable = 69;
constexpr int kExitSystem = 71;
constexpr int kExitCannotCreate = 73;

// A line on standard error, for who starts the daemon.
void say(const char* kind, std::string_view text);

class Daemon final : private SignalHandler, private TimerHandler, private StdioOwner, private HelperOwner, private PredecessorOwner {
 public:
  // `reader` has read the configuration, by `files`. What is wrong with it later goes to `report`.
  Daemon(ConfigReader& reader, DiskFiles& files, Report& report) : config_(reader.config()), reader_(reader), files_(files), report_(report) {}
  // How the program was called, for who starts the next one (sockmuxctl upgrade); the words live on.
  void set_words(char** argv);
  int prepare();
  int run();

 private:
  // A port of PORT or -P.
  struct OpenPort {
    ListenSpec spec;  // of the configuration in force; of -P: where it is
    Address at;
    Listener* tcp = nullptr;
    UdpListener* udp = nullptr;
    TcpAcceptor* links = nullptr;
    bool keep = false;   // reload: it is in the next configuration, too
    bool other = false;  // and is for another peer there, so that its clients have to go; of a new one: it is of -P
    bool paused = false; // closed for a new one at the same place
    int fd = -1;         // of a new one, that listens
  };

  int open_ports();
  int open_port(const HostPort& at, const Resolved& list, const Origin& origin, const LinkSpec* link, const ListenSpec* port);
  int start_port(Fd socket, const Address& at, const ListenSpec& port, bool for_links);
  void end_lines();
  // daemon_process.cc
  bool init_helper();
  bool make_relays();  // daemon.cc
  int detach();
  int put_pid();
  static constexpr size_t kWholePath = 2048;
  int find_owner(Identity* who, bool* drops);
  std::string_view whole_path(std::string_view path);
  void start_log();
  void set_log_words(Config::Log words);
  int start_helpers(bool outside);
  void enter_sandbox();
  void on_helper_lost(Time now) override;
  uint32_t programs() const;
  uint32_t running() const;
  uint32_t exec_programs() const;
  uint32_t timers() const;
  uint32_t trials() const;  // daemon_links.cc
  Duration longest_pause() const { return config_.retry_max < millis(50) ? millis(50) : config_.retry_max; }
  int make_dialers();
  int make_dialer(const LinkSpec& link, Dialer** out);
  uint32_t secure_links_count() const { return 2 * links_count_ + 1 + static_cast<uint32_t>(config_.links.count); }
  // daemon_links.cc
  void count_links();
  bool make_ways();
  void start_links();
  void on_signal(int signal, Time now) override;
  void on_timer(Timer& timer, Time now) override;
  void on_stdio_ended(Time now) override;
  void begin_shutdown(const char* why, Time now);
  void hurry(Time now);
  void write_statistics();
  // daemon_udp.cc
  uint64_t udp_arena_bytes() const;
  bool init_udp();
  bool make_udp_tables();
  size_t most_udp_ports() const;
  int open_udp_port(Fd socket, std::string_view peer, UdpListener** out);
  void stop_udp();
  void write_udp_statistics();
  // daemon_binds.cc
  uint32_t bound_ports_count() const;
  // For a channel: six times as long as for a server.
  Duration client_patience() const { return or_never(config_.connect_timeout) * 6; }
  uint32_t bound_udp_ports_count() const;
  uint64_t bind_arena_bytes() const;
  uint32_t own_ports_count() const { return static_cast<uint32_t>(start_.ports); }
  bool init_binds();
  void renew_far_ports();
  // daemon_upgrade.cc
  int receive_sockets();
  // Do we come to take another daemon's place, and is it in its place yet?
  bool follows() const { return predecessor_ != nullptr; }
  bool waits() const { return predecessor_ != nullptr && !predecessor_->has_handed_over(); }
  int check_left();
  Fd find_handed(const Resolved& list, bool udp);
  void store_port(int fd, bool udp);
  int take_place();
  void begin_links();
  void on_predecessor_gone(Time now) override;
  bool may_replace(ControlReply& reply) const;
  static bool tell_process(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool tell_take(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool hand_over(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static void end_hand_over(void* self, uint32_t next);
  // daemon_reload.cc
  bool reloads() const { return kHasReload && reader_.names_files(); }
  void count_room();
  bool prepare_reload();
  void reload(const char* reason, Time now);
  void reload_config(Time now);
  void explain_unreadable();
  bool follow(Time now);
  void move_links(const Config& next, Time now);
  bool open_new_ports(const Config& next);
  bool open_new_port(const Config& next, OpenPort& port, bool last);
  Fd listen_for(const Address& at, bool udp, bool room, int* error) const;
  void pause(OpenPort& port);
  void reopen_ports();
  static bool is_open(const OpenPort& port);
  void unstore(const OpenPort& port);
  void drop_new_ports();
  void close_old_ports();
  uint32_t end_what_is_over(bool access);
  void log_reload() const;
  uint32_t reload_lines() const;
  void reload_line(uint32_t i, ControlReply& reply) const;
  static bool tell_reload(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  // daemon_control.cc
  int open_control();
  void remove_control();
  // daemon_status.cc, daemon_ports.cc, daemon_peers.cc, daemon_channels.cc
  struct Totals {
    MuxStats links;
    UdpCounts udp;
    uint32_t up = 0, held = 0, connecting = 0, channels = 0, flows = 0, programs = 0, descriptors_left = 0;
    uint64_t memory_kib = 0, suppressed = 0;
  };
  static constexpr const char* kKicked = "sockmuxctl kick";
  static constexpr const char* kKickTitle = "session\tname\taddress\twas\tchannels\tnow";
  Totals totals();
  static bool tell_status(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool tell_probe(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);  // daemon_probe.cc
  static void end_probe(void* self, uint32_t next);
  bool probe_port(uint32_t i, Time now, ControlReply& reply);
  // daemon_dump.cc
  void make_dumps();
  static bool tell_dump(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static void end_dump(void* self, uint32_t next);
  static bool tell_version(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool tell_log(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  bool tell_port(uint32_t i, ControlReply& reply);
  static bool tell_ports(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool tell_servers(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool tell_peers(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  bool tell_absent(uint32_t* next, ControlReply& reply);
  bool kick_peers(std::string_view who, uint32_t* next, ControlReply& reply);
  static bool tell_channels(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  static bool do_kick(void* self, std::string_view argument, uint32_t* next, ControlReply& reply);
  uint64_t relay_arena_bytes() const;
  uint64_t link_arena_bytes() const;
  uint64_t port_arena_bytes() const;
  uint64_t control_arena_bytes() const;
  uint64_t arena_bytes() const;
  // As many again may be on their way out, and one is refused.
  // Channels that proxies talk on at once; none are set aside where there are no proxies.
  uint32_t proxies_count() const;
  // Ports for data connections of FTP: peers may ask for them where clients come in.
  uint32_t data_ports_count() const { return !kHasFtp || (config_.listens.empty() && bound_ports_count() == 0 && !reloads()) ? 0 : DataPorts::kMost; }
  uint32_t tcp_links_count() const { return 2 * links_count_ + 1 + static_cast<uint32_t>(config_.links.count) + (has_secure_link(config_) ? config_.max_half_open : 0); }

  struct Reloaded {
    enum class Outcome : uint8_t { nothing, unchanged, changed, failed } outcome = Outcome::nothing;
    uint32_t ports_added = 0, ports_removed = 0, servers_added = 0, servers_removed = 0, links_moved = 0, channels_ended = 0;
    uint32_t rports_added = 0, rports_removed = 0;
  };

  bool rports_changed() const { return kHasBind && (reloaded_.rports_added > 0 || reloaded_.rports_removed > 0); }

  const Config& config_;
  ConfigReader& reader_;
  DiskFiles& files_;
  Report& report_;
  StartRoom start_;
  Reloaded reloaded_;
  ServerPlaces places_;
  OpenPort* port_ = nullptr;
  OpenPort* new_port_ = nullptr;
  size_t ports_ = 0, new_ports_ = 0;
  MuxConfig mux_;
  uint32_t links_count_ = 1;
  uint32_t max_fds_ = 0;
  Reactor reactor_;
  Resolver resolver_{reactor_};
  Names names_{reactor_, resolver_};
  Helper helper_{reactor_};
  Part<kHasProgram, Children> children_;
  Signals signals_;
  Part<kHasControl, Control> control_;
  Part<kHasProbe, Probes> probes_;
  // What the answer of `probe` that is under way tells of, as it was when that began: rows must not shift.
  struct ProbeRows {
    uint32_t accepts = 0, sessions = 0, ports = 0, far_ports = 0;
    uint32_t started = 0;  // ports whose servers are asked for, or were
  } probe_rows_;
  Part<kHasDump, Dumps> dumps_;
  const char* control_path_ = nullptr;  // what is ours to remove
  FileId control_file_;
  Timer end_{*this};
  Part<kHasNotify, Service> service_;           // if there is a manager
  Part<kHasUpgrade, Predecessor> predecessor_;  // if there is one
  HandedSockets handed_;
  char** words_ = nullptr;
  Text<1024> folder_;  // where it was started
  uint32_t started_by_ = 0;
  Arena tables_;
  Rules* rules_ = nullptr;
  Part<kHasExec, Execs> execs_;
  Streams streams_{reactor_, resolver_};
  Part<kHasProxies, Proxies> proxies_;
  Part<kHasFtp, FtpLegs> ftp_legs_;
  Part<kHasFtp, DataPorts> data_ports_;
  TcpLinks tcp_links_{reactor_};
  Sessions sessions_{reactor_};
  SecureSide* secure_ = nullptr;  // if any link is
  // Of the links that are made, and of the lines at which peers call
  Dialer** dialer_ = nullptr;
  Dialer** line_dialer_ = nullptr;
  TcpDialer** tcp_dialer_ = nullptr;  // beside dialer_, of those that are of TCP; what is below a secure one
  Part<kHasFailover, Ways> ways_;  // if there are several of the first kind
  WayIn** way_in_ = nullptr;
  uint32_t dialers_ = 0, ways_in_ = 0;
  Part<kHasStdio, StdioDialer> stdio_;
  bool foreground_ = false;
  ExitDoor* exit_ = nullptr;
  Listener** listener_ = nullptr;
  TcpAcceptor** acceptor_ = nullptr;
  TtyLine** line_ = nullptr;
  size_t listeners_ = 0, acceptors_ = 0, lines_ = 0;
  size_t made_listeners_ = 0, made_acceptors_ = 0, made_udp_listeners_ = 0;  // those behind the first ones are closed, and used again
  // UDP; the tables are there only if a PORT or a server is of that kind
  Part<kHasUdp, ClientFlows> client_flows_;
  Part<kHasUdp, ServerFlows> server_flows_;
  Part<kHasUdp && kHasSocks, SocksFlows> socks_flows_;
  UdpListener** udp_listener_ = nullptr;
  size_t udp_listeners_ = 0;
  Part<kHasBind, BoundPorts> bound_ports_;  // if there are secure links: what their peers ask for
  Part<kHasBind, FarPorts> far_ports_;      // RPORT
  Fd pidfile_, logfile_;
  std::string_view pidfile_path_;
  uint64_t allocations_ = 0;
  Time started_;
  Config::Log log_ = Config::Log::usual;
  Address source_;  // SRCIF
  Time drain_until_;
  int exit_code_ = 0;
  const char* sandbox_ = "none";  // which kind, for the log
  enum class Ending : uint8_t { no, draining, goodbye } ending_ = Ending::no;
  bool passed_on_ = false;  // to one who takes our place; he waits for our end

  class Room final : public Opener {
   public:
    explicit Room(Daemon& d) : d_(d) {}
    void on_room(Time now) override {
      for (size_t i = 0; kHasUdp && i < d_.udp_listeners_; ++i) d_.udp_listener_[i]->on_room(now);
      for (size_t i = 0; i < d_.listeners_; ++i) d_.listener_[i]->on_room();
      if (kHasFtp && d_.data_ports_ != nullptr) d_.data_ports_->on_room();
    }

   private:
    Daemon& d_;
  } room_{*this};
};

}  // namespace smx

#endif
