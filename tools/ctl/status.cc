// status: all of a daemon at a glance, on one screen of 80 columns; or as JSON.
//
// Invariant: no line is wider than kWide; what there is too much of is counted. Read next: rows.h, paint.h.
#include <initializer_list>

#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"
#include "tools/ctl/json.h"
#include "tools/ctl/paint.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

constexpr size_t kFewLinks = 3;   // told of in three lines each; more in one
constexpr size_t kMostLinks = 12;
constexpr size_t kMostPorts = 16;
constexpr size_t kMostServers = 8;
constexpr size_t kFirst = 12;        // column of addresses
constexpr size_t kMostAddress = 37;
constexpr uint64_t kFewDescriptors = 32;

struct Asked {
  Answer status, peers, ports, servers;
  int ask(const char* path) {
    int code = status.ask("status", path);
    if (code == 0) code = peers.ask("peers", path);
    if (code == 0) code = ports.ask("ports", path);
    return code != 0 ? code : servers.ask("servers", path);
  }
};

// What an operator should look at, one call each.
template <typename F>
void each_warning(const Asked& a, F warn) {
  Rows ports(a.ports.lines());
  while (ports.next()) {
    if (ports.get("open_to_world") != "yes") continue;
    Text<200> text("open to the world: ");
    text.add(ports.get("kind")).add(' ').add(ports.get("address"));
    if (ports.get("transport") == "udp") text.add("/udp");
    warn(text.add(" (RELIABLE= in sockmux.conf(5))").text());
  }
  Rows far(a.ports.lines());
  while (far.next()) {
    if (far.get("kind") != "RPORT" || far.get("state") != "refused") continue;
    warn(Text<200>("the peer refuses ").add("RPORT ").add(far.get("address")).add(" (its log tells why)").text());
  }
  const Values v(a.status.lines());
  if (v.number("descriptors_left") < kFewDescriptors) warn("few descriptors are left (ulimit -n)");
  if (v.get("ending") == "yes") warn("the daemon is ending");
}

// ---- for people

class Screen {
 public:
  explicit Screen(const Paint& paint) : paint_(paint) {}
  // A line that is cut at 80 columns. `color` is of its words up to `colored`.
  void line(std::string_view text, Color color = Color::none, size_t colored = kWide) {
    Text<kWide + 40> out;
    const bool cut = text.size() > kWide;
    if (cut) text = text.substr(0, kWide - 2);
    if (colored > text.size()) colored = text.size();
    paint_.begin(out, color);
    out.add_printable(text.substr(0, colored));
    paint_.end(out, color);
    out.add_printable(text.substr(colored));
    out.add(cut ? ".." : "").add('\n');
    if (code_ == 0) code_ = print(out.text());
  }
  int code() const { return code_; }

 private:
  const Paint& paint_;
  int code_ = 0;
};

// Blanks up to `column`, at least one.
TextBase& to_column(TextBase& to, size_t column) {
  do to.add(' ');
  while (to.size() < column);
  return to;
}

// A text of at most `width` columns.
void add_cut(TextBase& to, std::string_view text, size_t width) {
  if (text.size() <= width) to.add(text);
  else to.add(text.substr(0, width - 2)).add("..");
}

Color color_of(std::string_view state) { return state == "up" ? Color::good : state == "held" ? Color::doubtful : Color::bad; }

void show_head(Screen& to, const Values& v) {
  Text<300> line("sockmuxd ");
  line.add(v.get("version")).add(", up ");
  add_seconds(line, v.number("uptime_s"));
  line.add(", pid ").add(v.get("pid")).add(", memory ");
  add_bytes(line, v.number("memory_bytes"));
  to.line(line.add(", ").add(v.get("descriptors_left")).add(" descriptors left").text(), Color::strong, 8);
  if (v.get("configuration") != "-") to.line(Text<300>("configuration ").add(v.get("configuration")).text());
  line.clear();
  line.add("log ").add(v.get("log"));
  if (v.number("log_suppressed") > 0) line.add(", ").add(v.get("log_suppressed")).add(" lines only counted");
  to.line(line.add("; sandbox ").add(v.get("sandbox")).add("; ").add(v.get("poller")).text());
}

void show_link(Screen& to, const Rows& r) {
  Text<300> line("  ");
  add_cut(line, r.get("name") == "-" ? r.get("address") : r.get("name"), 40);
  if (r.get("state") == "down") return to.line(line.add(" down").text(), Color::bad);
  line.add(' ').add(r.get("state")).add(" for ");
  const size_t name = line.size();
  add_seconds(line, r.number("since_s"));
  to.line(line.text(), color_of(r.get("state")), name - 5);
  line.clear();
  line.add("    ").add(r.get("address")).add(", ").add(r.get("transport"));
  if (r.get("secure") != "-") line.add(r.get("secure") == "yes" ? ", secure" : ", clear");
  if (r.get("dialect") != "-") line.add(", dialect ").add(r.get("dialect"));
  to.line(line.add(", session ").add(r.get("session")).text());
  line.clear();
  line.add("    ").add(r.get("channels")).add(r.number("channels") == 1 ? " channel, rx " : " channels, rx ");
  add_bytes(line, r.number("rx_bytes"));
  line.add(", tx ");
  add_bytes(line, r.number("tx_bytes"));
  if (r.get("rtt_us") != "-") add_cell(line.add(", round trip "), "rtt_us", r.get("rtt_us"));
  to.line(line.text());
  line.clear();
  line.add("    unsent ");
  add_bytes(line, r.number("unsent_bytes"));
  line.add(", unacknowledged ");
  add_bytes(line, r.number("unacked_bytes"));
  line.add(", for local sockets ");
  add_bytes(line, r.number("waiting_bytes"));
  to.line(line.text());
  if (r.get("down_reason") == "-") return;
  line.clear();
  line.add("    ").add(r.get("reconnects")).add(" reconnects; ");
  add_seconds(line, r.number("down_s"));
  to.line(line.add(" ago: ").add(r.get("down_reason")).text());
}

void show_links(Screen& to, const Asked& a) {
  const Values v(a.status.lines());
  Text<200> head("LINKS     ");
  head.add(v.get("links_up")).add(" up, ").add(v.get("links_held")).add(" held, ").add(v.get("links_connecting")).add(" connecting");
  if (v.number("peers_known") > 0) head.add("; ").add(v.get("peers_known")).add(" in the peers file");
  to.line(head.text(), Color::strong, 5);
  size_t count = 0;
  Rows all(a.peers.lines());
  while (all.next()) ++count;
  Rows r(a.peers.lines());
  if (count <= kFewLinks) {
    while (r.next()) show_link(to, r);
    return;
  }
  to.line("  NAME             ADDRESS                STATE      SINCE  CHANNELS RX    TX");
  for (size_t i = 0; i < kMostLinks && r.next(); ++i) {
    Text<300> line("  ");
    add_cut(line, r.get("name"), 16);
    add_cut(to_column(line, 19), r.get("address"), 22);
    to_column(line, 42).add(r.get("state"));
    add_cell(to_column(line, 53), "since_s", r.get("since_s"));
    to_column(line, 60).add(r.get("channels"));
    add_bytes(to_column(line, 69), r.number("rx_bytes"));
    add_bytes(to_column(line, 75), r.number("tx_bytes"));
    to.line(line.text(), color_of(r.get("state")), 18);
  }
  if (count > kMostLinks) to.line(Text<80>("  ... and ").add_u(count - kMostLinks).add(" more: sockmuxctl peers").text());
}

// How wide the addresses of a table are.
size_t widest_address(std::string_view lines) {
  size_t most = 12;
  Rows r(lines);
  while (r.next()) {
    const size_t size = r.get("address").size() + (r.get("transport") == "udp" ? 4 : 0);
    most = size > most ? size : most;
  }
  return most > kMostAddress ? kMostAddress : most;
}

void show_ports(Screen& to, const Asked& a) {
  const size_t state = kFirst + widest_address(a.ports.lines()) + 2, accepted = state + 9, refused = accepted + 10, who = refused + 9;
  Rows r(a.ports.lines());
  for (size_t i = 0; r.next(); ++i) {
    Text<300> line("PORTS");
    if (i == 0) {
      to_column(to_column(line, kFirst).add("ADDRESS"), state).add("STATE");
      to_column(to_column(to_column(line, accepted).add("ACCEPTED"), refused).add("REFUSED"), who).add("FOR");
      to.line(line.text(), Color::strong, 5);
    }
    if (i == kMostPorts) {
      to.line("  ... and more: sockmuxctl status --json");
      break;
    }
    line.clear();
    Text<300> at(r.get("address"));
    line.add("  ").add(r.get("kind"));
    if (r.get("transport") == "udp") at.add("/udp");
    add_cut(to_column(line, kFirst), at.text(), kMostAddress);
    to_column(line, state).add(r.get("state"));
    to_column(line, accepted).add(r.get("accepted"));
    to_column(line, refused).add(r.get("refused"));
    if (r.get("peer") != "-") to_column(line, who).add(r.get("peer"));
    const bool open = r.get("open_to_world") == "yes";
    to.line(line.text(), open ? Color::doubtful : Color::none, state - 1);
  }
}

void show_servers(Screen& to, const Asked& a) {
  const size_t clients = kFirst + widest_address(a.servers.lines()) + 2;
  Rows r(a.servers.lines());
  for (size_t i = 0; r.next(); ++i) {
    Text<300> line("SERVERS"), at;
    if (i == 0) {
      to_column(to_column(line, kFirst).add("ADDRESS"), clients).add("FOR CLIENTS");
      to.line(line.text(), Color::strong, 7);
    }
    if (i == kMostServers) {
      to.line("  ... and more: sockmuxctl status --json");
      break;
    }
    line.clear();
    line.add("  ");
    add_cut(line, r.get("protocol"), kFirst - 3);
    at.add(r.get("address") == "-" ? "(none)" : r.get("address"));
    if (r.get("transport") == "udp" && r.get("address") != "-") at.add("/udp");
    add_cut(to_column(line, kFirst), at.text(), kMostAddress);
    to.line(to_column(line, clients).add(r.get("clients") == "-" ? "all" : r.get("clients")).text());
  }
}

void show_counts(Screen& to, const Values& v) {
  Text<300> line("CHANNELS  ");
  line.add(v.get("channels")).add(" open; opened ").add(v.get("channels_opened")).add(", accepted ").add(v.get("channels_accepted"));
  to.line(line.add(", refused ").add(v.get("channels_refused")).add(", aborted ").add(v.get("channels_aborted")).text(), Color::strong, 8);
  line.clear();
  line.add("TRAFFIC   rx ");
  add_bytes(line, v.number("rx_bytes"));
  add_bytes(line.add(", tx "), v.number("tx_bytes"));
  line.add("; datagrams rx ").add(v.get("udp_rx")).add(", tx ").add(v.get("udp_tx")).add(", ").add(v.get("udp_flows")).add(" flows");
  to.line(line.text(), Color::strong, 7);
}

// "12 udp no_link", one each that is not 0; as many in a line as fit.
void show_drops(Screen& to, std::string_view lines) {
  constexpr std::string_view kUdp = "udp_dropped_", kFrames = "frames_";
  Text<300> line("DROPS     ");
  bool any = false, first = true;
  while (!lines.empty()) {
    std::string_view row = next_part(&lines, '\n');
    const std::string_view name = next_part(&row, '\t');
    const bool udp = name.substr(0, kUdp.size()) == kUdp, frames = name.substr(0, kFrames.size()) == kFrames;
    if ((!udp && !frames) || row == "0") continue;
    Text<80> item(row);
    item.add(udp ? " udp " : " frames ");
    for (const char c : name.substr(udp ? kUdp.size() : kFrames.size())) item.add(c == '_' ? ' ' : c);
    if (line.size() + item.size() + 2 > kWide) {
      to.line(line.add(',').text(), Color::strong, any ? 0 : 5);
      any = true;
      line.clear();
      line.add("          ");
      first = true;
    }
    line.add(first ? "" : ", ").add(item.text());
    first = false;
  }
  to.line(line.add(first && !any ? "none" : "").text(), Color::strong, any ? 0 : 5);
}

int show(const Asked& a) {
  const Paint paint(1);
  Screen to(paint);
  const Values v(a.status.lines());
  show_head(to, v);
  show_links(to, a);
  show_ports(to, a);
  show_servers(to, a);
  show_counts(to, v);
  show_drops(to, a.status.lines());
  each_warning(a, [&](std::string_view text) { to.line(Text<300>("WARNING   ").add(text).text(), Color::doubtful, 7); });
  return to.code();
}

int show_json(const Asked& a) {
  Json json;
  json.begin();
  json.add_values(a.status.lines());
  json.add_table("peers", a.peers.lines());
  json.add_table("ports", a.ports.lines());
  json.add_table("servers", a.servers.lines());
  json.begin_list("warnings");
  each_warning(a, [&](std::string_view text) { json.add_text(text); });
  json.end_list();
  json.end();
  return json.code();
}

}  // namespace

int status(const Words& words) {
  Asked a;
  const int code = a.ask(words.socket);
  if (code != 0) return code;
  return words.json ? show_json(a) : show(a);
}

}  // namespace smx::ctl
