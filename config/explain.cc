// What a Config means, for people. Read next: explain.h.
#include "config/explain.h"

#include "config/choose.h"
#include "core/base/features.h"
#include "config/hostlist.h"
#include "config/ports.h"
#include "config/scan.h"

namespace smx {

namespace {

using ExplainLine = Text<kExplainText>;

std::string_view name_of(Transport t) { return t == Transport::udp ? "udp" : "tcp"; }

// "local networks", "everybody", or the lists themselves.
void add_clients(TextBase& to, const Config& config) {
  bool begun = false;
  if (config.reliable != nullptr) {
    const std::string_view text = config.reliable->text;
    to.add(text == "*" ? "everybody" : text == ".localnet" ? "local networks" : text);
    begun = true;
  }
  if (config.reliable == nullptr && config.permit.empty()) {
    to.add("local networks");
    begun = true;
  }
  for (size_t i = 0; i < config.permit.count; ++i) {
    const std::string_view text = config.permit[i].clients->text;
    to.add(i > 0 ? " or " : begun ? ", if they are in " : "");
    to.add(text == "*" ? "everybody" : text == ".localnet" ? "local networks" : text);
  }
  bool is_first = true;
  for (const AccessRule& rule : config.reject) {
    if (rule.at_exit) continue;
    to.add(is_first ? ", but not " : " or ").add(rule.clients->text);
    is_first = false;
  }
}

// What a link runs over; `in`: the peer comes to us.
void add_carrier(TextBase& to, const LinkSpec& link, bool in) {
  switch (link.kind) {
    case LinkSpec::Kind::accept_tcp: return append_host_port(to.add(" at "), link.at);
    case LinkSpec::Kind::connect_tcp: return append_host_port(to.add(in ? " from " : " to "), link.at);
    case LinkSpec::Kind::fifo: to.add(" over FIFOs, in ").add(link.in_path).add(", out ").add(link.out_path); return;
    case LinkSpec::Kind::device: to.add(" over the device ").add(link.path); return;
    case LinkSpec::Kind::program: to.add(" over the program: ").add(link.path); return;
    case LinkSpec::Kind::stdio: to.add(" over its own standard input and output"); return;
  }
}

// `lesser`: there are better ones, in the lines above.
void explain_link(const Config& config, const LinkSpec& link, bool lesser, LineSink& to) {
  ExplainLine line;
  const bool tcp = link.kind == LinkSpec::Kind::accept_tcp || link.kind == LinkSpec::Kind::connect_tcp;
  const bool in = is_way_in(config, link);
  line.add(in ? "waits for " : "makes a ").add(link.secure ? "secure " : "").add(in ? "links" : "link");
  add_carrier(line, link, in);
  if (link.kind == LinkSpec::Kind::device && link.serial.given) append_serial(line.add(", "), link.serial);
  if (tcp && !link.secure) line.add(", not encrypted");
  if (link.kind == LinkSpec::Kind::accept_tcp) add_clients(line.add(", open to: "), config);
  if (!link.peer.empty()) line.add("; the peer must be ").add(link.peer);
  if (link.kind == LinkSpec::Kind::connect_tcp) line.add("; and again whenever it is lost");
  if (lesser) line.add("; only while there is none of those above");
  to.line(line.text());
}

void explain_listen(const Config& config, const ListenSpec& listen, LineSink& to) {
  ExplainLine line;
  append_host_port(line.add("listens at "), listen.at);
  line.add('/').add(name_of(listen.transport)).add(listen.at.port == 0 ? " (any free port)" : "").add(", open to: ");
  add_clients(line, config);
  line.add("; forwards over the link");
  if (!listen.peer.empty()) line.add(" of the peer ").add(listen.peer);
  else if (config.links.count == 1 && config.links[0].kind == LinkSpec::Kind::connect_tcp) add_carrier(line, config.links[0], false);
  to.line(line.add(", to the server that the other side names").text());
}

void explain_server(const Config& config, const ServerSpec& server, LineSink& to) {
  ExplainLine line;
  const Config* options = server.options;
  const bool plain = !server.run || is_one_of("tcprelay,udprelay", server.label);
  if (server.label == "exec") line.add("runs ").add(options == nullptr ? "" : options->xcom.empty() ? options->xfil : options->xcom).add(" for ");
  else line.add(plain ? "connects " : "serves ");
  const bool is_one_port = server.when_text.size() > 2 && server.when_text.find_first_not_of("0123456789-", 2) == kNowhere && starts_with(server.when_text, "-P");
  line.add(is_one_port ? "" : "the peer's ").add(name_of(server.transport)).add(" clients");
  if (is_one_port) line.add(" of the peer's port ").add(skip(server.when_text, 2));
  else if (!server.when_text.empty()) line.add(" that match ").add(server.when_text);
  if (!plain && server.label != "exec") line.add(" by its ").add(server.label).add(" proxy");
  if (server.has_address) append_host_port(line.add(plain ? " to " : ", which goes to ").add(server.label).add("://"), server.to);
  const Config::SendProxy told = (options != nullptr ? *options : config).send_proxy;
  if (kHasSendProxy && plain && server.transport == Transport::tcp && told != Config::SendProxy::no)
    line.add(", which is told the client's address first (PROXY protocol, ").add(told == Config::SendProxy::v1 ? "v1)" : "v2)");
  if (!server.missing_file.empty()) line.add("; refused until the file ").add(server.missing_file).add(" is there");
  to.line(line.text());
}

// What the rules at the exit let through.
void explain_exit(const Config& config, LineSink& to) {
  ExplainLine line;
  for (const AccessRule& rule : config.permit) {
    if (!rule.at_exit) continue;
    line.add(line.size() == 0 ? "connects for the peer only as permitted: " : "; ").add(rule.text);
  }
  if (line.size() > 0) to.line(line.text());
  line.clear();
  for (const AccessRule& rule : config.reject) {
    if (!rule.at_exit) continue;
    line.add(line.size() == 0 ? "connects for the peer never to: " : "; ").add(rule.text);
  }
  if (line.size() > 0) to.line(line.text());
  line.clear();
  if (config.reachable == nullptr) return;
  line.add("connects for the peer only to: ").add(config.reachable->text);
  to.line(line.text());
}

// The rest, as NAME=VALUE; the lists that were explained are left out.
void explain_settings(const Config& config, LineSink& to) {
  for (const Setting& s : config.settings) {
    if (s.name == "RELIABLE" || s.name == "PERMIT" || s.name == "REJECT" || s.name == "REACHABLE") continue;
    ExplainLine line;
    line.add("with ").add(s.name).add('=').add(s.value);
    to.line(line.text());
  }
}

void warn_open(const Config& config, const HostPort& at, std::string_view kind, LineSink& to) {
  if (!is_open_to_world(config, at)) return;
  ExplainLine line;
  line.add("warning: ");
  append_host_port(line, at);
  line.add('/').add(kind).add(" is open to the world (see RELIABLE)");
  to.line(line.text());
}

// Words are shown as messages show them: one that holds an escape sequence does nothing to the terminal.
class Printable final : public LineSink {
 public:
  explicit Printable(LineSink& to) : to_(to) {}
  void line(std::string_view text) override { to_.line(ExplainLine().add_printable(text).text()); }

 private:
  LineSink& to_;
};

}  // namespace

void explain(const Config& config, LineSink& sink) {
  Printable to(sink);
  bool is_first = true;
  for (const LinkSpec& link : config.links) {
    const bool in_turn = !is_way_in(config, link);
    explain_link(config, link, in_turn && !is_first, to);
    is_first = is_first && !in_turn;
  }
  for (const ListenSpec& listen : config.listens) explain_listen(config, listen, to);
  if (config.listens.empty() && config.remote_listens.empty()) to.line("has no port for clients (no PORT)");
  for (const ListenSpec& listen : config.remote_listens) {
    ExplainLine line;
    append_host_port(line.add("asks the peer to listen at "), listen.at);
    line.add('/').add(name_of(listen.transport)).add(listen.at.port == 0 ? " (any free port)" : "").add("; its clients come to our servers");
    to.line(line.text());
  }
  for (const ServerSpec& server : config.servers) explain_server(config, server, to);
  if (config.servers.empty()) to.line("lets the clients of the peer reach nothing (no SERVER=...,-in and no DEST)");
  explain_exit(config, to);
  explain_settings(config, to);
  for (const LinkSpec& link : config.links) {
    if (link.kind == LinkSpec::Kind::accept_tcp) warn_open(config, link.at, "tcp", to);
  }
  for (const ListenSpec& listen : config.listens) warn_open(config, listen.at, name_of(listen.transport), to);
}

}  // namespace smx
