// Where links are made and accepted (-P, -Q, SERVER=sockmux...), and where clients are (PORT). Read next: server.cc.
#include "config/parser.h"
#include "config/serial.h"
#include "config/tables.h"

namespace smx {

namespace {

bool is_same(const HostPort& a, const HostPort& b) {
  const std::string_view any = "0.0.0.0";
  return a.port == b.port && equal_fold(a.host.empty() ? any : a.host, b.host.empty() ? any : b.host);
}

// Do both lead to the same place by the same way?
bool is_same(const LinkSpec& a, const LinkSpec& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == LinkSpec::Kind::connect_tcp) return is_same(a.at, b.at);
  return a.in_path == b.in_path && a.out_path == b.out_path && a.path == b.path;
}

constexpr size_t kPeerNameText = 32;  // of a line in the peers file

}  // namespace

void Parser::on_accept(const Word& w, Value value) {
  for (size_t i = accepts_.count(); i-- > 0;) {
    const Word old = accepts_[i].word;
    if (!accepts_[i].is_from_p) continue;
    accepts_.remove(i);
    const bool is_last = i == 0 || accepts_[i - 1].word.text.data() != old.text.data();
    if (is_last && old.text != w.text) warn(w, "replaces %; -Q adds a port", {old.text});
  }
  accept_items(w, value, true);
}

void Parser::on_accept_more(const Word& w, Value value) { accept_items(w, value, false); }

void Parser::accept_items(const Word& w, Value value, bool is_from_p) {
  if (trim(value).empty()) {
    swallows_bare_ = true;
    return fail(w, "a port is missing; it is glued on, as in %9000", first(w.text, 2));
  }
  if (!is_balanced(value)) return fail(w, "'%': { and } do not match", value);
  Items items(without_braces(value));
  std::string_view item;
  while (items.next(&item)) {
    if (item.empty()) return fail(w, "an empty part between two commas");
    PortItem port;
    Why why;
    if (!parse_port_item(item, arena_, &port, &why)) return fail_why(w, why);
    std::string_view suffix = port.suffix;
    while (!suffix.empty()) {
      suffix = skip(suffix, 1);
      const std::string_view kind = first(suffix, place_of(suffix, '/'));
      suffix = skip(suffix, kind.size());
      if (equal_fold(kind, "tcp") || equal_fold(kind, "sockmux")) continue;
      if (equal_fold(kind, "udp")) return fail(w, "'%': /udp is not supported, links use TCP", item);
      if (equal_fold(kind, "admin")) return fail(w, "'%': /admin is not supported, see sockmuxctl(8)", item);
      return fail(w, "'%': '/%' is not supported; -P is for links only", item, kind);
    }
    for (uint32_t p = port.at.port; p <= port.last; ++p) {
      Accept accept{port.at, is_from_p, w};
      accept.at.port = static_cast<uint16_t>(p);
      bool is_new = true;
      for (const Accept& old : accepts_) is_new = is_new && (p == 0 || !is_same(old.at, accept.at));
      if (is_new && !add(accepts_, accept, w, "ports for links")) return;
    }
  }
}

void Parser::on_port(const Word& w, Value value) { listen_items(w, value, false); }

void Parser::on_far_port(const Word& w, Value value) {
  if (kHasBind || left_out(w, "bind")) listen_items(w, value, true);
}

// PORT=, or (far) RPORT=
void Parser::listen_items(const Word& w, Value value, bool far) {
  const std::string_view text = trim(value);
  if (text.empty()) return fail(w, "a port is missing");
  if (!is_balanced(text)) return fail(w, "'%': { and } do not match", text);
  Items items(without_braces(text));
  std::string_view item;
  while (items.next(&item)) {
    if (item.empty()) return fail(w, "'%': an empty part between two commas", text);
    listen_item(w, item, far);
  }
}

// [NAME@][host:]port[-port][/udp]; far: [address:]...
void Parser::listen_item(const Word& w, std::string_view item, bool far) {
  PortItem port;
  Why why;
  ListenSpec listen;
  listen.origin = w.origin;
  const size_t at = place_of(item, '@');
  if (at != kNowhere) {
    if (far) return fail(w, "'%': no name has a place here; the peer of SERVER=sockmuxs:// is asked", item);
    listen.peer = first(item, at);
    item = skip(item, at + 1);
    if (!peer_name(w, listen.peer, kPeerNameText)) return;
  }
  if (!parse_port_item(item, arena_, &port, &why)) return fail_why(w, why);
  Address address;
  if (far && equal_fold(port.at.host, "localhost")) port.at.host = "127.0.0.1";
  if (far && !port.at.host.empty() && !parse_ip(port.at.host, &address)) {
    return fail(w, "'%': expected an address of the peer in front of the port, or nothing", item);
  }
  GrowList<ListenSpec>& list = far ? far_listens_ : listens_;
  if (port.suffix == "/udp") {
    if (!kHasUdp) return (void)left_out(w, "udp");
    listen.transport = Transport::udp;
  } else if (!port.suffix.empty() && port.suffix != "/tcp") {
    return fail(w, "'%': '%' is no kind of port; expected /tcp or /udp, in lower case", item, port.suffix);
  }
  for (uint32_t p = port.at.port; p <= port.last; ++p) {
    listen.at = port.at;
    listen.at.port = static_cast<uint16_t>(p);
    bool is_new = true;
    for (const ListenSpec& old : list) {
      if (p == 0 || old.transport != listen.transport || !is_same(old.at, listen.at)) continue;
      is_new = false;
      if (old.peer == listen.peer) continue;
      const std::string_view one = old.peer.empty() ? listen.peer : old.peer;
      const std::string_view other = old.peer.empty() || listen.peer.empty() ? "every peer" : listen.peer;
      return fail(w, "'%' is there for % and for %; a port leads to one of them", item, one, other);
    }
    if (is_new && !add(list, listen, w, far ? "ports of the peer (more than 64)" : "ports (more than 1024)")) return;
  }
}

// SERVER=sockmux or sockmuxs in one of its forms: alone, "://host:port", ":commtype@path".
void Parser::link_server(const Word& w, Value value) {
  LinkSpec link;
  link.origin = w.origin;
  const size_t length = place_of_any(value, ":,");
  const std::string_view name = first(value, length);
  link.secure = equal_fold(name, "sockmuxs");
  const std::string_view rest = skip(value, name.size());
  if (!rest.empty() && rest[0] == ',') {
    return fail(w, "'%' is the link itself; only other protocols take ,-in", name);
  }
  if (rest.empty()) {
    link.kind = LinkSpec::Kind::accept_tcp;
  } else if (starts_with(rest, "://")) {
    if (!link_address(w, skip(rest, 3), &link)) return;
  } else if (!link_device(w, skip(rest, 1), &link)) {
    return;
  }
  add_link(w, link);
}

// [NAME@]host[:port][/]
bool Parser::link_address(const Word& w, std::string_view rest, LinkSpec* link) {
  link->kind = LinkSpec::Kind::connect_tcp;
  if (rest.empty()) {
    fail(w, "a host is missing behind sockmux://");
    return false;
  }
  if (rest.back() == '/') rest.remove_suffix(1);
  const size_t at = place_of(rest, '@');
  if (at != kNowhere) {
    link->peer = first(rest, at);
    rest = skip(rest, at + 1);
    if (!link->secure) {
      fail(w, "'%@': only a secure link knows its peer by name; write SERVER=sockmuxs://", link->peer);
      return false;
    }
    if (!peer_name(w, link->peer, kPeerNameText)) return false;
  }
  bool has_port = false;
  Why why;
  link->at.port = kLinkPort;
  if (parse_host_port(rest, arena_, &link->at, &has_port, &why)) return true;
  fail_why(w, why);
  return false;
}

// [NAME@]commin@path, commout@path, comm@path[,settings of the line], comm@-, proc@command
bool Parser::link_device(const Word& w, std::string_view rest, LinkSpec* link) {
  static constexpr char kTypes[][8] = {"comm", "commin", "commout", "proc"};
  std::string_view type;
  for (unsigned round = 0; round < 2 && type.empty(); ++round) {
    const size_t at = place_of(rest, '@');
    const std::string_view head = first(rest, at);
    for (const char* known : kTypes) {
      if (at != kNowhere && equal_fold(head, known)) type = known;
    }
    if (type.empty() && at != kNowhere && link->secure && round == 0 && rest.find('@', at + 1) != kNowhere) {
      if (!peer_name(w, head, kPeerNameText)) return false;
      link->peer = head;
      rest = skip(rest, at + 1);
      continue;
    }
    if (type.empty()) {
      Nearest nearest(head);
      for (const char* known : kTypes) nearest.give(known);
      fail(w, "'%': expected ://host:port, or comm, commin, commout or proc in front of @%%", rest, nearest.lead(),
           nearest.best());
      return false;
    }
    rest = skip(rest, at + 1);
  }
  const bool is_program = type == "proc";
  const bool is_stdio = type == "comm" && trim(rest) == "-";  // NOLINT(clang-analyzer-deadcode.DeadStores): for WITHOUT=
  if (!kHasProgram && is_program) return left_out(w, "program");
  if (!kHasStdio && is_stdio) return left_out(w, "stdio");
  if (!kHasTty && type == "comm" && !is_stdio) return left_out(w, "tty");
  if (!kHasFifo && type.size() > 4) return left_out(w, "fifo");
  if (trim(rest).empty()) {
    fail(w, is_program ? "a command is missing behind proc@" : "a path is missing behind @");
    return false;
  }
  if (!is_program && has_blank(rest)) {
    fail(w, "'%': a blank inside; only the command of proc@ may have some", rest);
    return false;
  }
  if (kHasTty && type == "comm" && place_of(rest, ',') != kNowhere) {
    if (rest[0] == '-' && rest[1] == ',') return fail(w, "'%': our own fd 0 and 1 have no settings", rest), false;
    Why why;
    if (!parse_serial(skip(rest, place_of(rest, ',') + 1), &link->serial, why)) return fail_why(w, why), false;
    rest = first(rest, place_of(rest, ','));
    if (rest.empty()) return fail(w, "a path is missing behind @"), false;
  }
  const std::string_view path = keep_text(trim(rest));
  link->kind = is_program ? LinkSpec::Kind::program : LinkSpec::Kind::fifo;
  if (type == "commin") link->in_path = path;
  if (type == "commout") link->out_path = path;
  if (type == "comm") link->kind = path == "-" ? LinkSpec::Kind::stdio : LinkSpec::Kind::device;
  if (link->kind != LinkSpec::Kind::fifo) link->path = path;
  return true;
}

// The last main protocol wins; commin and commout are halves of one.
// SERVER=sockmux accepts, beside all others; of these each is one more way, less preferred than those before it. What is
// said twice is one.
void Parser::add_link(const Word& w, const LinkSpec& link) {
  if (link.kind == LinkSpec::Kind::accept_tcp) {
    if (accepts_links_ && accept_word_.text != w.text) warn(w, "replaces %", {accept_word_.text});
    accept_ = link;
    accept_word_ = w;
    accepts_links_ = true;
    return;
  }
  if (link.kind == LinkSpec::Kind::fifo && add_half(w, link)) return;
  for (size_t i = 0; i < links_.count(); ++i) {
    LinkSpec& old = links_[i];
    if (!is_same(old, link)) continue;
    if (link_words_[i].text != w.text) warn(w, "replaces %", {link_words_[i].text});
    old = link;
    return;
  }
  if (add(links_, link, w, "links (more than 8)")) (void)add(link_words_, w, w, "links (more than 8)");
}

// One FIFO of a link over two: joins the first link that lacks it. False: begins a new one.
bool Parser::add_half(const Word& w, const LinkSpec& half) {
  const bool is_in = !half.in_path.empty();
  for (size_t i = 0; i < links_.count(); ++i) {
    LinkSpec& link = links_[i];
    if (link.kind != LinkSpec::Kind::fifo) continue;
    std::string_view& path = is_in ? link.in_path : link.out_path;
    if (path == (is_in ? half.in_path : half.out_path)) return true;
    if (!path.empty()) continue;
    if (link.secure != half.secure || (!link.peer.empty() && !half.peer.empty() && link.peer != half.peer)) {
      fail(w, "differs from %; both FIFOs must be of one link", link_words_[i].text);
      return true;
    }
    if (!half.peer.empty()) link.peer = half.peer;
    path = is_in ? half.in_path : half.out_path;
    return true;
  }
  return false;
}

}  // namespace smx
