// What the user asked for, as plain values: the result of reading the command line and the files it names.
//
// Owner: whoever owns the arena and the words; every view here points into one of the two. Invariant: a Config without
// errors is complete and consistent: nothing in it needs to be checked again. Pure: no file, no resolver, no clock.
// Read next: parse.h (how it is made), choose.h (which server gets a channel), hostlist.h.
// Source of every rule: sockmuxd(8) and sockmux.conf(5); the vectors in tests/data/option-vectors.txt.
#ifndef SOCKMUX_CONFIG_CONFIG_H
#define SOCKMUX_CONFIG_CONFIG_H

#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/clock.h"
#include "core/base/serial.h"

namespace smx {

struct HostList;   // a parsed list of hosts: hostlist.h
struct ProtoList;  // a parsed list of protocols: hostlist.h
struct Config;

// A list whose memory is the arena's: pointer and count.
template <typename T>
struct View {
  const T* first = nullptr;
  size_t count = 0;
  const T* begin() const { return first; }
  const T* end() const { return first + count; }
  bool empty() const { return count == 0; }
  const T& operator[](size_t i) const { return first[i]; }
};

// Where something was said, for messages: "file:line", or the word itself.
struct Origin {
  std::string_view file;  // empty: the command line
  uint32_t line = 0;
  std::string_view word;
};

enum class Transport : uint8_t { tcp, udp };

// HOST:PORT as written; host is a name, an IPv4 or an IPv6 address without brackets and with ':' ("::1"). An empty host
// means all IPv4 addresses.
struct HostPort {
  std::string_view host;
  uint16_t port = 0;
};

// An IP network: the first `bits` bits of `address` count. Given by the caller for `.localnet`.
struct Network {
  Address address;
  uint8_t bits = 0;
};

// One obeyed setting, as -t and the vectors show it: periods in seconds, sizes in bytes.
struct Setting {
  std::string_view name;
  std::string_view value;
  Origin origin;  // of several that are one value: of the first
};

// One name of HOSTS=, which goes before any resolver; case does not count.
struct HostEntry {
  std::string_view name;
  View<Address> addresses;
};

// One port at which clients are accepted (PORT=). port 0: any free one.
struct ListenSpec {
  HostPort at;
  Transport transport = Transport::tcp;
  std::string_view peer;  // NAME@: only for clients of that peer's session; empty: of any
  Origin origin;
};

// One way to make links (SERVER=sockmux...), or to accept them (SERVER=sockmux with -P).
//
// Those that are made are one link in order of preference: a lesser one is used while the better ones have none. But where
// links are accepted, a line (fifo, device) is one more way in, beside all others: whoever is at its other end calls.
struct LinkSpec {
  enum class Kind : uint8_t { accept_tcp, connect_tcp, fifo, device, program, stdio };
  Kind kind = Kind::accept_tcp;
  bool secure = false;        // sockmuxs
  HostPort at;                // accept_tcp, connect_tcp
  std::string_view in_path;   // fifo: to read
  std::string_view out_path;  // fifo: to write
  std::string_view path;      // device, program: the command
  SerialSettings serial;      // device
  std::string_view peer;      // NAME@
  Origin origin;
};

// One possible destination of a channel that the peer opens (SERVER=...,-in and DEST=).
struct ServerSpec {
  std::string_view label;  // protocol, lower case; DEST: tcprelay, udprelay
  bool has_address = false;
  Transport transport = Transport::tcp;
  HostPort to;       // if has_address
  bool run = false;  // a proxy or program serves the channel, with these words
  View<std::string_view> words;
  const HostList* when = nullptr;  // nullptr: always
  std::string_view when_text;      // as written, without blanks and outer braces; empty: always
  const Config* options =
      nullptr;                    // if run: the words, parsed; times and limits that they do not give are the daemon's
  std::string_view missing_file;  // a +=file among the words that is not there: refuse such channels, and say so
  Origin origin;
};

// PERMIT=, REJECT=, REACHABLE= : protocols, servers, clients; nullptr or "*" is everybody.
struct AccessRule {
  std::string_view text;
  std::string_view protocols;
  const ProtoList* protocol_list = nullptr;
  const HostList* servers = nullptr;
  const HostList* clients = nullptr;
  bool at_exit = false;  // protocols or servers are other than "*": the rule is checked at every CONNECT
};

struct Config {
  bool foreground = false;
  bool check_only = false;  // -t
  bool help = false;        // -h
  bool version = false;     // -V
  enum class Log : uint8_t { usual, silent, terse, debug, hidden };
  Log log_level = Log::usual;
  bool log_stderr = false;

  View<LinkSpec> links;  // those that accept; then the others, the best first
  View<ListenSpec> listens;
  View<ListenSpec> remote_listens;  // RPORT: ports that the peer is asked for; its host is an IP address, or empty
  View<ServerSpec> servers;  // in the order in which they are tried

  // Who may connect to PORT and -P; see access.h.
  const HostList* reliable = nullptr;  // nullptr: default (.localnet unless PERMIT is given)
  View<AccessRule> permit, reject;
  const HostList* reachable = nullptr;

  // SOXCONF
  uint16_t packet_size = 16384;  // 129..16384
  enum class Proto : uint8_t { automatic, v03, v1 };
  Proto proto = Proto::automatic;
  bool mkfifo = false;
  enum class Sandbox : uint8_t { yes, no, trap };
  Sandbox sandbox = Sandbox::yes;
  // TIMEOUT
  Duration connect_timeout = seconds(10);  // con
  Duration linger_timeout = seconds(30);   // lin: after a half-close toward 0.3
  Duration io_timeout = seconds(0);        // io; 0: never
  Duration hello_timeout = seconds(15);    // hello
  Duration dns_timeout = seconds(10);      // dns
  Duration ping_interval = seconds(60);    // ping: an idle link is asked after this
  Duration retry_max = seconds(30);        // retry: longest pause between two attempts
  Duration udp_timeout = seconds(180);     // silence of an UDP flow
  // MAXIMA
  uint32_t listen_backlog = 1024;  // listen
  uint32_t max_udp_flows = 1024;   // udprelay
  uint32_t max_programs = 64;      // delegated: programs of SERVER=exec at once; inside of -in(...): of that server
  uint32_t max_per_client = 0;     // conpch: connections of one client host; 0: no limit
  uint64_t memory_bytes = 0;       // memory; 0: 8 MiB a link
  uint32_t max_channels = 1000;    // channels
  uint32_t max_links = 0;          // links; 0: 1 for a connector, 16 for an acceptor
  uint32_t max_half_open = 64;     // halfopen
  uint32_t max_opens = 20000;      // opens: channels a second of a peer that has called over a secure link; 0: no limit

  HostPort source;  // SRCIF; empty host: none
  std::string_view owner, chroot_dir, umask_text, pidfile, logfile, syslog;
  bool logfile_given = false;  // LOGFILE= is given, maybe empty
  bool pidfile_given = false;
  View<std::string_view> env;  // -eNAME=VALUE, as NAME=VALUE

  // More of SOXCONF. Paths and the texts above (owner ... syslog, env, paths of links) have a NUL behind their end.
  std::string_view key_file;    // key; empty: the secure link's default
  std::string_view peers_file;  // peers
  std::string_view own_name;    // name
  std::string_view control_file;  // control; empty: where root's daemon has it
  bool control = true;            // control:no
  enum class Line : uint8_t { automatic, clean, lossy };
  Line line = Line::automatic;  // line
  enum class SendProxy : uint8_t { no, v1, v2 };
  SendProxy send_proxy = SendProxy::no;  // send-proxy: servers that get bytes unchanged are told of the client first
  // More of TIMEOUT
  Duration login_timeout = seconds(60);      // login: a proxy waits so long for the client's wish
  Duration resume_hold = seconds(60);        // resume: a session without a link is kept; 0..65535 s
  Duration renew_interval = seconds(86400);  // renew: a secure link is made anew; 0: never
  // -in(...) only
  std::string_view xcom, xfil;            // the command of exec
  const ProtoList* remittable = nullptr;  // REMITTABLE; nullptr: the proxy's own default

  View<HostEntry> hosts;         // HOSTS
  View<std::string_view> names;  // every name in a list of hosts that must be resolved ahead; each once
  View<Setting> settings;        // what else is obeyed, in the order of the words
};

// Does `link` only wait for who calls, as those that accept do?
inline bool is_way_in(const Config& config, const LinkSpec& link) {
  if (link.kind == LinkSpec::Kind::accept_tcp) return true;
  const bool accepts = !config.links.empty() && config.links[0].kind == LinkSpec::Kind::accept_tcp;
  return accepts && (link.kind == LinkSpec::Kind::fifo || link.kind == LinkSpec::Kind::device);
}

}  // namespace smx

#endif
