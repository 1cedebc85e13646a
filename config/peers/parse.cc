// How the peers file is read: a line a peer, NAME KEY [WORD=list]... Read next: peers.h.
#include "config/peers/peers.h"
#include "config/ports.h"
#include "config/scan.h"
#include "core/base/check.h"

namespace smx {

namespace {

constexpr size_t kMostViews = 4;  // in one message
constexpr char kWords[] = "PORT,DEST,FROM,PSK";
constexpr char kCommtypes[][8] = {"comm", "commin", "commout", "proc"};

// The next word of a line; empty: there is none.
std::string_view take_word(std::string_view* rest) {
  *rest = trim(*rest);
  size_t n = 0;
  while (n < rest->size() && !is_blank((*rest)[n])) ++n;
  const std::string_view word = first(*rest, n);
  *rest = skip(*rest, n);
  return word;
}

// "PORT" and the like; a key that stands in the wrong place is none, and is not repeated in a message.
bool is_word_name(std::string_view s) {
  if (s.empty() || s.size() > 16) return false;
  for (const char c : s) {
    if (!is_upper(c)) return false;
  }
  return true;
}

size_t size_of(const HostList& list) {  // NOLINT(misc-no-recursion): kMaxBraces
  size_t n = 0;
  for (size_t i = 0; i < list.count; ++i) n += list.terms[i].kind == HostTerm::Kind::list ? size_of(*list.terms[i].list) : 1;
  return n;
}

// A PSK whose PSK= was lost must not go into a message: 32 characters of base64 in a row are no name, and no port.
bool may_hold_key(std::string_view s) {
  size_t row = 0;
  for (const char c : s) {
    row = is_alnum(c) || c == '+' || c == '/' ? row + 1 : 0;
    if (row == kMaxPeerName) return true;
  }
  return false;
}

class Reader {
 public:
  Reader(const PeersText& file, Arena& arena, Report* report) : file_(file), arena_(arena), report_(report) {}
  PeersResult read(PeerList* out);

 private:
  using Less = bool (*)(const Peer& a, const Peer& b);

  size_t count_lines() const;
  void line(std::string_view text);
  bool name(std::string_view text);
  bool word(std::string_view text, Peer* peer);
  bool ports(std::string_view text, Peer* peer);
  bool port(std::string_view item, GrowList<PeerPort>* list);
  const HostList* hosts(std::string_view word, std::string_view text, ListUse use);
  void link_names(HostList* list);
  bool psk(std::string_view text, Peer* peer);
  // A list of hosts or a text could not be made; `why` is empty if there was no memory.
  bool bad(std::string_view word, std::string_view why);
  bool fail(const char* words, Views views = {});
  bool fail_at(int status, uint32_t line, std::string_view name, const char* words, Views views);
  uint32_t* sorted(Less less);
  void find_doubles(const uint32_t* order, Less less, std::string_view what);

  const PeersText& file_;
  Arena& arena_;
  Report* report_;
  Peer* peers_ = nullptr;
  size_t room_ = 0;
  size_t count_ = 0;
  uint32_t line_ = 0;
  std::string_view name_;  // of the line, once it is known to be one
  bool is_wrong_ = false;
  bool no_memory_ = false;
};

bool Reader::fail_at(int status, uint32_t line, std::string_view name, const char* words, Views views) {
  Origin where;
  where.file = file_.path;
  where.line = line;
  where.word = name;
  report_->error(status, where, words, views);
  is_wrong_ = true;
  return false;
}

bool Reader::fail(const char* words, Views views) {
  std::string_view shown[kMostViews];
  size_t n = 0;
  SMX_CHECK(views.size() <= kMostViews);
  for (const std::string_view view : views) shown[n++] = may_hold_key(view) ? "..." : view;
  Text<kMessageText> text;
  text.fill(words, shown, n);
  return fail_at(kExitConfig, line_, name_, "%", {text.text()});
}

bool Reader::bad(std::string_view word, std::string_view why) {
  if (why.empty()) {
    no_memory_ = true;
    return false;
  }
  return fail("bad %%%", {word, why[0] == '\'' ? "= at " : "=: ", why});
}

size_t Reader::count_lines() const {
  size_t n = 1;
  for (size_t i = 0; i < file_.size; ++i) n += file_.text[i] == '\n' ? 1u : 0u;
  return n < kMaxPeers ? n : kMaxPeers;
}

PeersResult Reader::read(PeerList* out) {
  room_ = count_lines();
  peers_ = arena_.make<Peer>(room_);
  if (peers_ == nullptr) return PeersResult::no_memory;
  std::string_view rest{file_.text, file_.size};
  while (!rest.empty() && !no_memory_) {
    const size_t end = place_of(rest, '\n');
    const std::string_view text = first(rest, end);
    rest = end == kNowhere ? std::string_view{} : skip(rest, end + 1);
    ++line_;
    name_ = {};
    line(text);
  }
  const Less by_key = [](const Peer& a, const Peer& b) { return a.key < b.key; };
  const Less by_name = [](const Peer& a, const Peer& b) { return a.name < b.name; };
  out->by_key = sorted(by_key);
  out->by_name = sorted(by_name);
  if (no_memory_ || out->by_key == nullptr || out->by_name == nullptr) return PeersResult::no_memory;
  find_doubles(out->by_name, by_name, "name");
  find_doubles(out->by_key, by_key, "key");
  out->peers = {peers_, count_};
  return is_wrong_ ? PeersResult::wrong : PeersResult::ok;
}

// The order of all peers. A heap sort: without memory, recursion or a bad case.
uint32_t* Reader::sorted(Less less) {
  uint32_t* order = arena_.make<uint32_t>(count_ + 1);
  if (order == nullptr) return nullptr;
  // Equals stay in the order of the file.
  const auto before = [&](uint32_t a, uint32_t b) {
    return less(peers_[a], peers_[b]) || (a < b && !less(peers_[b], peers_[a]));
  };
  const auto sink = [&](size_t at, size_t size) {
    for (size_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
      if (child + 1 < size && before(order[child], order[child + 1])) ++child;
      if (!before(order[at], order[child])) return;
      const uint32_t t = order[at];
      order[at] = order[child];
      order[child] = t;
      at = child;
    }
  };
  for (size_t i = 0; i < count_; ++i) order[i] = static_cast<uint32_t>(i);
  for (size_t i = count_ / 2; i-- > 0;) sink(i, count_);
  for (size_t end = count_; end-- > 1;) {
    const uint32_t t = order[0];
    order[0] = order[end];
    order[end] = t;
    sink(0, end);
  }
  return order;
}

void Reader::find_doubles(const uint32_t* order, Less less, std::string_view what) {
  for (size_t i = 0, begun = 0; i < count_; ++i) {
    const Peer& one = peers_[order[begun]];
    const Peer& other = peers_[order[i]];
    if (less(one, other)) begun = i;
    if (begun == i) continue;
    Text<16> number;
    number.add_u(one.line);
    fail_at(kExitConfig, other.line, other.name, "% as in line %", {what, number.text()});
  }
}

void Reader::line(std::string_view text) {
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  if (text.size() > kMaxPeerLine) {
    fail("the line is longer than 1024 bytes");
    return;
  }
  std::string_view rest = trim(first(text, place_of(text, '#')));
  if (rest.empty()) return;
  const std::string_view said = take_word(&rest);
  if (!name(said)) return;
  if (count_ == room_) {
    fail("more than 16384 peers");
    return;
  }
  name_ = said;
  Peer peer;
  peer.name = said;
  peer.line = line_;
  const std::string_view key = take_word(&rest);
  bool good = !key.empty() || fail("the key is missing; expected NAME KEY [PORT=..] [DEST=..] [FROM=..] [PSK=..]");
  if (good && !parse_public_key(key, &peer.key)) {
    good = fail("bad key; expected 44 characters, as 'sockmuxctl pubkey' prints them");
  }
  if (good && file_.own != nullptr && peer.key == *file_.own) good = fail("our own key");
  for (std::string_view w = take_word(&rest); !w.empty() && good; w = take_word(&rest)) good = word(w, &peer);
  if (good) peers_[count_++] = peer;
  erase_bytes(peer.psk, sizeof peer.psk);
}

bool Reader::name(std::string_view text) {
  if (is_peer_name(text)) return true;
  for (const char* type : kCommtypes) {
    if (equal_fold(text, type)) return fail("'%' is no name of a peer, but a kind of link", {text});
  }
  return fail("'%' is no name of a peer; expected at most 32 of A-Z a-z 0-9 . _ -", {text});
}

bool Reader::word(std::string_view text, Peer* peer) {
  const size_t equals = place_of(text, '=');
  const std::string_view what = first(text, equals);
  const std::string_view value = equals == kNowhere ? std::string_view{} : skip(text, equals + 1);
  if (equals == kNowhere || !is_word_name(what)) return fail("expected PORT=, DEST=, FROM= or PSK= behind the key");
  PeerRights& r = peer->rights;
  const bool is_again = (what == "PORT" && r.ports_text.data() != nullptr) || (what == "FROM" && r.from != nullptr) ||
                        (what == "DEST" && r.dest != nullptr) || (what == "PSK" && peer->has_psk);
  if (is_again) return fail("%= is given twice", {what});
  if (what == "PORT") return ports(value, peer);
  if (what == "PSK") return psk(value, peer);
  if (what == "DEST") {
    r.dest = hosts(what, value, ListUse::dest);
    r.dest_text = value;
    return r.dest != nullptr;
  }
  if (what == "FROM") {
    r.from = hosts(what, value, ListUse::sources);
    r.from_text = value;
    return r.from != nullptr;
  }
  Nearest nearest(what);
  nearest.give_all(kWords);
  return fail("unknown word '%='%%%", {what, nearest.lead(), nearest.best(), nearest.best().empty() ? "" : "=?"});
}

bool Reader::ports(std::string_view text, Peer* peer) {
  if (!is_balanced(text)) return bad("PORT", "{ and } do not match");
  Items items(without_braces(text));
  GrowList<PeerPort> list(2 * kMaxPeerItems);  // localhost is two
  std::string_view item;
  size_t n = 0;
  while (items.next(&item)) {
    if (n++ == kMaxPeerItems) return bad("PORT", "more than 64 items");
    if (item.empty()) return bad("PORT", "an empty part between two commas");
    if (!port(item, &list)) return false;
  }
  if (n == 0) return bad("PORT", "a port is missing");
  peer->rights.ports = list.view();
  peer->rights.ports_text = text;
  return true;
}

// ["!"] [address ":"] port ["-" port] ["/udp" | "/tcp"]
bool Reader::port(std::string_view item, GrowList<PeerPort>* list) {
  PeerPort out;
  std::string_view t = item;
  out.negated = t[0] == '!';
  if (out.negated) t = skip(t, 1);
  PortItem parsed;
  Why why;
  bool good = parse_port_item(t, arena_, &parsed, &why);
  if (!good && why.size() == 0) return bad("PORT", {});
  if (parsed.suffix == "/udp") {
    out.transport = Transport::udp;
  } else {
    good = good && (parsed.suffix.empty() || parsed.suffix == "/tcp");
  }
  const bool is_localhost = equal_fold(parsed.at.host, "localhost");
  if (!is_localhost && !parsed.at.host.empty()) good = good && parse_ip(parsed.at.host, &out.at);
  if (!good) return fail("bad PORT= at '%'; expected [address:]port[-port][/udp]", {item});
  out.first = parsed.at.port;
  out.last = parsed.last;
  for (const Address& a : kLocalhost) {
    if (is_localhost) out.at = a;
    if (!list->add(arena_, out)) return bad("PORT", {});
    if (!is_localhost) break;
  }
  return true;
}

const HostList* Reader::hosts(std::string_view word, std::string_view text, ListUse use) {
  ListFault fault;
  HostList* list = parse_host_list(text, use, arena_, &fault);
  if (list == nullptr) return bad(word, fault.text.text()), nullptr;
  if (size_of(*list) > kMaxPeerItems) return bad(word, "more than 64 items"), nullptr;
  link_names(list);
  return list;
}

// HOSTS= goes before any resolver.
void Reader::link_names(HostList* list) {  // NOLINT(misc-no-recursion): kMaxBraces
  for (size_t i = 0; i < list->count; ++i) {
    HostTerm& t = list->terms[i];
    if (t.kind == HostTerm::Kind::list) link_names(t.list);
    if (t.kind != HostTerm::Kind::name) continue;
    for (const HostEntry& h : file_.hosts) {
      if (!equal_fold(h.name, t.name)) continue;
      t.is_fixed = true;
      t.fixed = h.addresses;
    }
    if (t.is_fixed || !equal_fold(t.name, "localhost")) continue;
    t.is_fixed = true;
    t.fixed = {kLocalhost, 2};
  }
}

// It is never repeated, wherever it turns up.
bool Reader::psk(std::string_view text, Peer* peer) {
  if (file_.others_can_read) {
    return fail_at(kExitPermission, line_, {}, "PSK= in a file that others can read: 'chmod o-r %'", {file_.path});
  }
  peer->has_psk = file_.decode != nullptr && file_.decode(text.data(), text.size(), peer->psk);
  if (!text.empty()) erase_bytes(file_.text + (text.data() - file_.text), text.size());
  return peer->has_psk || fail("bad PSK=; expected 44 characters, as 'sockmuxctl genpsk' prints them");
}

}  // namespace

bool is_peer_name(std::string_view name) {
  for (const char* type : kCommtypes) {
    if (equal_fold(type, name)) return false;
  }
  return !name.empty() && name.size() <= kMaxPeerName && is_name_text(name);
}

PeersResult parse_peers(const PeersText& file, Arena& arena, PeerList* out, Report* report) {
  *out = PeerList{};
  Reader reader(file, arena, report);
  return reader.read(out);
}

}  // namespace smx
