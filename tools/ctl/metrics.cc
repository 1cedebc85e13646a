// metrics: figures of a daemon in the text format of Prometheus.
//
// Invariant: a metric's HELP and TYPE come once, before its samples, which stand together; counters end with _total, and units
// are base units. Source: https://prometheus.io/docs/instrumenting/exposition_formats, .../practices/naming.
#include <initializer_list>

#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

struct Metric {
  const char* name;  // behind "sockmux_"
  const char* type;
  const char* column;
  const char* help;
};

constexpr Metric kOfDaemon[] = {
    {"uptime_seconds", "gauge", "uptime_s", "How long the daemon runs."},
    {"resident_memory_bytes", "gauge", "memory_bytes", "Memory of the daemon that is in the machine."},
    {"descriptors_left", "gauge", "descriptors_left", "File descriptors that it may still open."},
    {"log_suppressed_total", "counter", "log_suppressed", "Lines of the log that were counted and not written."},
    {"peers_known", "gauge", "peers_known", "Peers in the peers file."},
    {"channels", "gauge", "channels", "Channels that are open."},
    {"programs", "gauge", "programs", "Programs that run for links and servers."},
    {"channels_opened_total", "counter", "channels_opened", "Channels that were opened here."},
    {"channels_accepted_total", "counter", "channels_accepted", "Channels that peers have opened."},
    {"channels_refused_total", "counter", "channels_refused", "Channels that one side has refused."},
    {"channels_aborted_total", "counter", "channels_aborted", "Channels that did not end in order."},
    {"receive_bytes_total", "counter", "rx_bytes", "Bytes from links."},
    {"transmit_bytes_total", "counter", "tx_bytes", "Bytes to links."},
    {"udp_flows", "gauge", "udp_flows", "UDP flows that are open."},
    {"udp_flows_begun_total", "counter", "udp_flows_begun", "UDP flows that have begun."},
    {"udp_receive_datagrams_total", "counter", "udp_rx", "Datagrams from local sockets that went to a link."},
    {"udp_transmit_datagrams_total", "counter", "udp_tx", "Datagrams from links that were sent."},
};

constexpr Metric kOfPeer[] = {
    {"peer_up", "gauge", "state", "1 if the link of the peer is up, else 0."},
    {"peer_state_seconds", "gauge", "since_s", "How long it is up, or not."},
    {"peer_channels", "gauge", "channels", "Its channels that are open."},
    {"peer_receive_bytes_total", "counter", "rx_bytes", "Bytes from it."},
    {"peer_transmit_bytes_total", "counter", "tx_bytes", "Bytes to it."},
    {"peer_round_trip_seconds", "gauge", "rtt_us", "The round trip that was measured last."},
    {"peer_unsent_bytes", "gauge", "unsent_bytes", "Bytes that wait to be written to its link."},
    {"peer_unacknowledged_bytes", "gauge", "unacked_bytes", "Bytes that were written and that it has not acknowledged yet."},
    {"peer_waiting_bytes", "gauge", "waiting_bytes", "Memory of what has come from it and local sockets have not taken yet."},
    {"peer_reconnects_total", "counter", "reconnects", "How often its link has come up again."},
};

constexpr Metric kOfPort[] = {
    {"port_open", "gauge", "state", "1 if somebody listens there, else 0."},
    {"port_accepted_total", "counter", "accepted", "Clients, or links, that were let in at a port."},
    {"port_refused_total", "counter", "refused", "Those that were not."},
};

using Labels = std::initializer_list<std::string_view>;

class Page {
 public:
  void head(const Metric& m) { head(m.name, m.type, m.help); }
  void head(std::string_view name, std::string_view type, std::string_view help) {
    Text<400> line("# HELP sockmux_");
    line.add(name).add(' ').add(help).add("\n# TYPE sockmux_").add(name).add(' ').add(type).add('\n');
    put(line.text());
  }
  // A backslash and a quotation mark are the only printable characters that need one more.
  static void add_label(TextBase& to, std::string_view name, std::string_view value) {
    to.add(to.size() > 0 ? "," : "").add(name).add("=\"");
    if (value == "-") value = {};
    for (const char c : value) {
      if (c == '\\' || c == '"') to.add('\\');
      to.add(c);
    }
    to.add('"');
  }
  void sample(std::string_view name, std::string_view labels, std::string_view value) {
    Text<1200> line("sockmux_");
    line.add(name);
    if (!labels.empty()) line.add('{').add(labels).add('}');
    put(line.add(' ').add(value).add('\n').text());
  }
  int end() {
    flush();
    return code_;
  }

 private:
  void put(std::string_view text) {
    if (text_.size() + text.size() > kPage) flush();
    text_.add(text);
  }
  void flush() {
    if (code_ == 0) code_ = print(text_.text());
    text_.clear();
  }
  static constexpr size_t kPage = 16384;
  Text<kPage> text_;
  int code_ = 0;
};

// A field as a number in base units; empty: it has none.
std::string_view value_of(std::string_view column, std::string_view field, TextBase& to) {
  uint64_t n = 0;
  if (column == "state") return field == "up" || field == "open" ? "1" : "0";
  if (!number_of(field, &n)) return {};
  if (!ends_with(column, "_us")) return field;
  return to.add_u(n / 1000000).add('.').add_padded(n % 1000000, 6).text();
}

// Rows that say the same of themselves make one series: of a port that is to be any free one there may be several, which have
// no number yet. The sum over those from this row on; empty: this row belongs to an earlier one.
std::string_view sum_of_same(std::string_view lines, size_t row, const Rows& mine, std::string_view column, Labels labels, std::string_view value,
                             TextBase& to) {
  if (!ends_with(mine.get("address"), ":0")) return value;
  const auto is_same = [&](const Rows& r) {
    for (const std::string_view l : labels)
      if (r.get(l) != mine.get(l)) return false;
    return true;
  };
  uint64_t sum = 0;
  Rows r(lines);
  for (size_t i = 0; r.next(); ++i) {
    if (!is_same(r)) continue;
    if (i < row) return {};
    uint64_t n = 0;
    Text<24> number;
    if (number_of(value_of(column, r.get(column), number), &n)) sum += n;
  }
  to.clear();
  return to.add_u(sum).text();
}

template <size_t kCount>
void add_rows(Page& page, const Metric (&list)[kCount], std::string_view lines, Labels labels) {
  for (const Metric& m : list) {
    bool first = true;
    Rows r(lines);
    for (size_t row = 0; r.next(); ++row) {
      Text<24> number;
      std::string_view value = value_of(m.column, r.get(m.column), number);
      if (!value.empty()) value = sum_of_same(lines, row, r, m.column, labels, value, number);
      if (value.empty()) continue;
      if (first) page.head(m);
      first = false;
      Text<1000> text;
      for (const std::string_view l : labels) Page::add_label(text, l, r.get(l));
      page.sample(m.name, text.text(), value);
    }
  }
}

void add_dropped(Page& page, std::string_view lines, std::string_view prefix, std::string_view name, std::string_view help) {
  page.head(name, "counter", help);
  while (!lines.empty()) {
    std::string_view row = next_part(&lines, '\n');
    const std::string_view key = next_part(&row, '\t');
    if (key.substr(0, prefix.size()) != prefix) continue;
    Text<100> label;
    Page::add_label(label, "reason", key.substr(prefix.size()));
    page.sample(name, label.text(), row);
  }
}

}  // namespace

int metrics(const Words& words) {
  Answer status, peers, ports;
  int code = status.ask("status", words.socket);
  if (code == 0) code = peers.ask("peers", words.socket);
  if (code == 0) code = ports.ask("ports", words.socket);
  if (code != 0) return code;
  Page page;
  const Values v(status.lines());
  Text<200> label;
  Page::add_label(label, "version", v.get("version"));
  page.head("build_info", "gauge", "Always 1; the version of the daemon is a label.");
  page.sample("build_info", label.text(), "1");
  page.head("links", "gauge", "Sessions of peers, by their state.");
  for (const std::string_view state : {"up", "held", "connecting"}) {
    label.clear();
    Page::add_label(label, "state", state);
    page.sample("links", label.text(), v.get(Text<40>("links_").add(state).text()));
  }
  for (const Metric& m : kOfDaemon) {
    if (v.get(m.column).empty()) continue;
    page.head(m);
    page.sample(m.name, {}, v.get(m.column));
  }
  add_dropped(page, status.lines(), "udp_dropped_", "udp_dropped_datagrams_total", "Datagrams that did not go on, by the reason.");
  add_dropped(page, status.lines(), "frames_", "line_frames_total", "Frames of lossy lines that were broken, old, forged, or sent again.");
  // An address changes with each link: it must not make new series of all the others.
  bool first = true;
  for (Rows r(peers.lines()); r.next(); first = false) {
    if (first) page.head("peer_info", "gauge", "Always 1; what is known of the peer is in the labels.");
    Text<1000> labels;
    for (const std::string_view l : {"session", "name", "address", "transport", "dialect", "secure"}) Page::add_label(labels, l, r.get(l));
    page.sample("peer_info", labels.text(), "1");
  }
  add_rows(page, kOfPeer, peers.lines(), {"session", "name"});
  add_rows(page, kOfPort, ports.lines(), {"kind", "transport", "address", "peer"});
  return page.end();
}

}  // namespace smx::ctl
