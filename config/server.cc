// Where channels go: SERVER=protocol...,-in and DEST. Read next: choose.cc (who gets a channel), finish.cc (the words
// of -in).
//
//     proto ["://" host [":" port] ["/" anything]] ",-in" ["(" words ")"] [":-:" HostList]
//     host ":" port ["/tcp" | "/udp"] [":" HostList]
#include "config/parser.h"
#include "config/tables.h"
#include "config/words.h"
#include "core/base/features.h"

namespace smx {

namespace {

constexpr std::string_view kIn = ",-in";

}  // namespace

void Parser::on_server(const Word& w, Value value) {
  const std::string_view text = trim(value);
  if (text.empty()) return fail(w, "a server is missing; expected sockmux, sockmux://host:port or protocol://host,-in");
  const std::string_view name = first(text, place_of_any(text, ":,"));
  if (equal_fold(name, "sockmux") || equal_fold(name, "sockmuxs")) return link_server(w, text);
  const size_t comma = place_of(text, ',');
  const std::string_view url = first(text, comma);
  if (has_blank(url)) return fail(w, "'%': a blank inside", url);
  if (comma == kNowhere) return wrong_main(w, text);
  ServerSpec server;
  server.origin = w.origin;
  if (!server_tail(w, skip(text, comma), &server)) return;
  if (!server_address(w, url, &server)) return;
  if (add(servers_, server, w, "servers")) add(server_words_, w, w, "servers");
}

// SERVER=something without ",-in" that is no sockmux.
void Parser::wrong_main(const Word& w, Value value) {
  const std::string_view name = first(value, place_of(value, ':'));
  Nearest nearest(name);
  nearest.give("sockmux");
  nearest.give("sockmuxs");
  if (!nearest.best().empty()) {
    return fail(w, "'%' is no protocol of a link; do you mean %?", name, nearest.best());
  }
  fail(w, "'%' is no link; the protocol of a link is sockmux, and a server for channels ends with ,-in", value);
}

// From ",-in" on.
bool Parser::server_tail(const Word& w, std::string_view tail, ServerSpec* server) {
  const std::string_view after = skip(tail, kIn.size());
  const bool is_in =
      starts_with(tail, kIn) && (after.empty() || after[0] == '(' || after[0] == ':' || is_blank(after[0]));
  if (!is_in) {
    const std::string_view said = first(tail, place_of_any(tail, "(:"));
    fail(w, "'%': expected ,-in behind the server", said);
    return false;
  }
  std::string_view rest = after;
  if (!rest.empty() && rest[0] == '(') {
    const size_t end = find_closing(skip(rest, 1));
    if (end == kNowhere) {
      fail(w, "a ) is missing for -in(, or a quote is not closed");
      return false;
    }
    const WordsFault fault = split_words(first(skip(rest, 1), end), arena_, &server->words);
    if (fault == WordsFault::no_memory) no_memory_ = true;
    if (fault == WordsFault::too_many) fail(w, "more than 64 words inside of -in(...)");
    if (fault == WordsFault::open_quote) fail(w, "a quote is not closed inside of -in(...)");
    if (fault != WordsFault::none) return false;
    rest = skip(rest, end + 2);
  }
  rest = trim(rest);
  if (rest.empty()) return true;
  if (!starts_with(rest, ":-:")) {
    fail(w, "'%': expected nothing or :-:HostList behind -in", rest);
    return false;
  }
  rest = skip(rest, 3);
  if (place_of(rest, ":-:") != kNowhere) {
    fail(w, "there is a second :-:; a list of hosts stands behind the first, separated by ','");
    return false;
  }
  return condition(w, rest, server);
}

bool Parser::condition(const Word& w, std::string_view text, ServerSpec* server) {
  if (trim(text).empty()) return true;
  const HostList* list = used_list(w, text, ListUse::clients);
  if (list == nullptr) return false;
  server->when = list;
  server->when_text = list->text;
  return true;
}

// The protocol's name; false if it is none, or we have no proxy for it though one is wanted.
bool Parser::server_protocol(const Word& w, std::string_view name, bool has_url, ServerSpec* server) {
  const Protocol* known = find_protocol(name);
  server->run = !has_url || !server->words.empty();
  if (known == nullptr) {
    for (const char c : name) {
      if (is_alnum(c) || c == '-' || c == '_' || c == '.' || c == '+') continue;
      fail(w, "'%' is no name of a protocol", name);
      return false;
    }
    if (server->run || name.empty()) {
      const Nearest nearest = nearest_protocol(name);
      fail(w, "unknown protocol '%'%%", name, nearest.lead(), nearest.best());
      return false;
    }
  } else if (!has_url && known->needs_host) {
    fail(w, "'%' needs host and port: %://host:port,-in", name, known->name);
    return false;
  } else if (!kWithout.empty() && !known->has_proxy && is_one_of("exec,ftp,http,socks,telnet", known->name) && (server->run || std::string_view(known->name) == "ftp")) {
    return left_out(w, known->name);
  } else if (server->run && !known->has_proxy) {
    fail(w, "there is no proxy for '%'; give its host: %://host,-in without words", name, name);
    return false;
  }
  char* label = static_cast<char*>(arena_.take(name.size() + 1, 1));
  if (label == nullptr) {
    no_memory_ = true;
    return false;
  }
  for (size_t i = 0; i < name.size(); ++i) label[i] = fold(name[i]);
  label[name.size()] = 0;
  server->label = {label, name.size()};
  if (known != nullptr && (!server->run || known->needs_host)) server->transport = known->transport;
  if (!kHasUdp && server->transport == Transport::udp) return left_out(w, "udp");
  return true;
}

// proto, proto://host, proto://host:port/anything
bool Parser::server_address(const Word& w, std::string_view url, ServerSpec* server) {
  const size_t colon = place_of(url, ':');
  const std::string_view name = first(url, colon);
  if (colon != kNowhere && !starts_with(skip(url, colon), "://")) {
    fail(w, "'%': expected :// between protocol and host", url);
    return false;
  }
  if (!server_protocol(w, name, colon != kNowhere, server)) return false;
  if (colon == kNowhere) return true;
  if (kHasExec && server->label == "exec") {
    fail(w, "exec has no host; expected SERVER=exec,-in(XCOM=command)");
    return false;
  }
  if (kHasSocks && server->label == "socks" && server->run) {
    fail(w, "the socks proxy has no host, its clients name theirs; expected SERVER=socks,-in(words)");
    return false;
  }
  const std::string_view host = skip(url, colon + 3);
  const size_t slash = place_of(host, '/');
  const std::string_view path = slash == kNowhere ? std::string_view{} : skip(host, slash);
  if (path == "/udp" || path == "/tcp") {
    fail(w, "'%' does not count here; the protocol tells the kind, as in udprelay://host:port", path);
    return false;
  }
  bool has_port = false;
  Why why;
  if (!parse_host_port(first(host, slash), arena_, &server->to, &has_port, &why)) {
    fail_why(w, why);
    return false;
  }
  server->has_address = true;
  const Protocol* known = find_protocol(name);
  if (!has_port && known != nullptr) server->to.port = known->port;
  if (server->to.port != 0 && known != nullptr) return true;
  const Nearest nearest = nearest_protocol(name);
  if (server->to.port == 0) {
    const std::string_view lead = known == nullptr ? nearest.lead() : "";
    const std::string_view mean = known == nullptr ? nearest.best() : "";
    fail(w, "'%' has no default port; write %://host:port%%", name, name, lead, mean);
    return false;
  }
  warn(w, "unknown protocol '%', relayed as it is%%", {name, nearest.lead(), nearest.best()});
  return true;
}

void Parser::on_dest(const Word& w, Value value) {
  const std::string_view text = trim(value);
  if (text.empty()) return fail(w, "a server is missing; expected host:port");
  if (place_of(text, "://") != kNowhere) return fail(w, "'%': expected host:port, without a protocol", text);
  if (starts_with(text, "::")) {
    const size_t colon = text.rfind(':');
    return fail(w, "'%': an IPv6 address stands in brackets: [%]%", text, first(text, colon), skip(text, colon));
  }
  const size_t length = host_length(text);
  if (length == text.size()) return fail(w, "'%': a port is missing; expected host:port", text);
  ServerSpec server;
  server.origin = w.origin;
  const std::string_view rest = skip(text, length + 1);
  const size_t end = place_of(rest, ':');
  if (!dest_port(w, first(text, length), first(rest, end), &server)) return;
  if (end != kNowhere && !condition(w, skip(rest, end + 1), &server)) return;
  add(dests_, server, w, "servers");
}

// port, port/tcp, port/udp, port.udp
bool Parser::dest_port(const Word& w, std::string_view host, std::string_view text, ServerSpec* server) {
  std::string_view port = text;
  const size_t mark = place_of_any(text, "/.");
  if (mark != kNowhere) {
    const std::string_view kind = skip(text, mark + 1);
    if (kind != "udp" && kind != "tcp") {
      fail(w, "'%': '%' is no kind of port; expected /tcp or /udp, in lower case", text, skip(text, mark));
      return false;
    }
    if (kind == "udp") server->transport = Transport::udp;
    if (!kHasUdp && kind == "udp") return left_out(w, "udp");
    port = first(text, mark);
  }
  if (port.empty()) {
    fail(w, "'%:': a port is missing; expected host:port", host);
    return false;
  }
  Why why;
  bool has_port = false;
  if (!parse_host_port(host, arena_, &server->to, &has_port, &why)) {
    if (host.empty()) why.clear();
    if (host.empty()) why.add("':").add_printable(text).add("': a host is missing; expected host:port");
    fail_why(w, why);
    return false;
  }
  if (!parse_port(port, &server->to.port) || server->to.port == 0) {
    fail(w, "'%' is no port; expected one of 1 to 65535", text);
    return false;
  }
  server->has_address = true;
  server->label = server->transport == Transport::udp ? "udprelay" : "tcprelay";
  return true;
}

}  // namespace smx
