// What a Config means, for people. Read next: explain.h.
#include "config/explain.h"

#include "config/choose.h"
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

// `lesser`: there are better ones, in the lines above.
void explain_link(const Config& config, const LinkSpec& link, bool lesser, LineSink& to) {
  ExplainLine line;
  const std::string_view kind = link.secure ? "secure links" : "links";
  switch (link.kind) {
    case LinkSpec::Kind::accept_tcp:
      line.add("accepts ").add(kind).add(" at ");
      append_host_port(line, link.at);
      line.add(" from: ");
      add_clients(line, config);
      break;
    case LinkSpec::Kind::connect_tcp:
      line.add("makes ").add(kind).add(" to ");
      append_host_port(line, link.at);
      break;
    case LinkSpec::Kind::fifo:
      line.add("runs ").add(kind).add(" over FIFOs, in ").add(link.in_path).add(", out ").add(link.out_path);
      break;
    case LinkSpec::Kind::device: 
      line.add("runs ").add(kind).add(" over the device ").add(link.path);
      if (link.serial.given) append_serial(line.add(", "), link.serial);
      break;
    case LinkSpec::Kind::program: line.add("runs ").add(kind).add(" over the program: ").add(link.path); break;
    case LinkSpec::Kind::stdio: line.add("runs ").add(kind).add(" over its own standard input and output"); break;
  }
  if (!link.peer.empty()) line.add("; the peer must be ").add(link.peer);
  if (lesser) line.add("; only while there is none of those above");
  to.line(line.text());
}

void explain_server(const ServerSpec& server, LineSink& to) {
  ExplainLine line;
  const std::string_view kind = name_of(server.transport);
  if (server.label == "exec") {
    const Config* options = server.options;
    line.add("runs ").add(options == nullptr ? "" : options->xcom.empty() ? options->xfil : options->xcom);
    line.add(" for ").add(kind).add(" channels");
  } else if (!server.run) {
    line.add("sends ").add(kind).add(" channels");
  } else {
    line.add("serves ").add(kind).add(" channels by its ").add(server.label).add(" proxy");
  }
  const bool is_one_port =
      server.when_text.size() > 2 && server.when_text.find_first_not_of("0123456789-", 2) == kNowhere;
  if (is_one_port && starts_with(server.when_text, "-P")) {
    line.add(" accepted at port ").add(skip(server.when_text, 2));
  } else if (!server.when_text.empty()) {
    line.add(" that match ").add(server.when_text);
  }
  if (server.has_address) {
    line.add(server.run ? ", which goes to " : " to ").add(server.label).add("://");
    append_host_port(line, server.to);
  }
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

}  // namespace

void explain(const Config& config, LineSink& to) {
  bool is_first = true;
  for (const LinkSpec& link : config.links) {
    const bool in_turn = !is_way_in(config, link);
    explain_link(config, link, in_turn && !is_first, to);
    is_first = is_first && !in_turn;
  }
  for (const ListenSpec& listen : config.listens) {
    ExplainLine line;
    line.add("listens at ");
    append_host_port(line, listen.at);
    line.add('/').add(name_of(listen.transport)).add(listen.at.port == 0 ? " (any free port)" : "").add(" for: ");
    add_clients(line, config);
    if (!listen.peer.empty()) line.add("; they are led to the peer ").add(listen.peer);
    to.line(line.text());
  }
  for (const ListenSpec& listen : config.remote_listens) {
    ExplainLine line;
    line.add("asks the peer to listen at ");
    append_host_port(line, listen.at);
    line.add('/').add(name_of(listen.transport)).add(listen.at.port == 0 ? " (any free port)" : "");
    to.line(line.text());
  }
  for (const ServerSpec& server : config.servers) explain_server(server, to);
  if (config.servers.empty()) to.line("opens no channels for the peer (no SERVER=...,-in and no DEST)");
  explain_exit(config, to);
  explain_settings(config, to);
  for (const LinkSpec& link : config.links) {
    if (link.kind == LinkSpec::Kind::accept_tcp) warn_open(config, link.at, "tcp", to);
  }
  for (const ListenSpec& listen : config.listens) warn_open(config, listen.at, name_of(listen.transport), to);
}

}  // namespace smx
