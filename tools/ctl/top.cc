// top: channels or peers, live: sorted, with their rates as bars. On a terminal until q; else a table, or --count of them.
//
// A daemon that does not answer, since it is started anew, is asked again: this may be left open.
// Read next: sample.h, terminal.h.
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <initializer_list>
#include <new>

#include "core/io/clock.h"
#include "tools/ctl/ctl.h"
#include "tools/ctl/paint.h"
#include "tools/ctl/sample.h"
#include "tools/ctl/terminal.h"

namespace smx::ctl {

namespace {

constexpr int kInterval = 2000;  // ms
constexpr int kPatience = 2;     // s: keys wait as long for a daemon that is stuck
constexpr int kHistory = 40;     // rates of all links: looks
constexpr size_t kMostPrinted = 50;
constexpr int kHeadLines = 4;
constexpr size_t kId = 11;  // of a channel: what `kick channel` wants

// ---- pieces of a line

// Does the terminal show more than ASCII? As setlocale(3) would find it.
bool has_blocks() {
  const char* locale = nullptr;
  for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
    locale = getenv(name);
    if (locale != nullptr && *locale != 0) break;
  }
  return locale != nullptr && (strstr(locale, "UTF-8") != nullptr || strstr(locale, "utf8") != nullptr);
}

// `value` of `most` as a bar of `width` columns, to an eighth of one where there are such characters; what is not nothing is
// seen.
void add_bar(TextBase& to, uint64_t value, uint64_t most, size_t width, bool blocks) {
  static const char* const kPart[] = {" ", "\u258f", "\u258e", "\u258d", "\u258c", "\u258b", "\u258a", "\u2589", "\u2588"};
  const size_t steps = width * 8;
  size_t n = most == 0 ? 0 : static_cast<size_t>(static_cast<double>(value) * static_cast<double>(steps) / static_cast<double>(most));
  if (n == 0 && value > 0) n = 1;
  for (size_t i = 0; i < width; ++i, n -= n < 8 ? n : 8) {
    if (blocks) to.add(kPart[n < 8 ? n : 8]);
    else to.add(n >= 4 || (i == 0 && n > 0) ? '#' : ' ');
  }
}

// The last ones of a row of values, each as a column of one character.
void add_history(TextBase& to, const uint64_t* value, int count, bool blocks) {
  static const char* const kPart[] = {" ", "\u2581", "\u2582", "\u2583", "\u2584", "\u2585", "\u2586", "\u2587", "\u2588"};
  static const char kAscii[] = " ..::||##";
  uint64_t most = 1;
  for (int i = 0; i < count; ++i) most = value[i] > most ? value[i] : most;
  for (int i = 0; i < count; ++i) {
    size_t n = static_cast<size_t>(static_cast<double>(value[i]) * 8 / static_cast<double>(most));
    if (n == 0 && value[i] > 0) n = 1;
    if (blocks) to.add(kPart[n]);
    else to.add(kAscii[n]);
  }
}

// A line of columns that have a width each; those on the left of the text, or on its right.
class Columns {
 public:
  explicit Columns(TextBase& to) : to_(to) {}
  void left(std::string_view text, size_t width) {
    if (text.size() > width) to_.add_printable(text.substr(0, width - 1)).add('+');
    else to_.add_printable(text);
    for (size_t n = text.size() < width ? text.size() : width; n <= width; ++n) to_.add(' ');
  }
  void right(std::string_view text, size_t width) {
    for (size_t n = text.size(); n < width; ++n) to_.add(' ');
    to_.add(text.substr(0, width)).add(' ');
  }
  void bytes(uint64_t n, size_t width) {
    Text<24> text;
    add_bytes(text, n);
    right(text.text(), width);
  }
  void seconds(uint64_t n, size_t width) {
    Text<24> text;
    add_seconds(text, n);
    right(text.text(), width);
  }

 private:
  TextBase& to_;
};

// How wide what is: the rest of the line is shared by names and the bar.
struct Widths {
  explicit Widths(size_t columns, What what) : idle(columns >= 100) {
    const size_t fixed = what == What::peers ? 64 : idle ? 55 : 49;
    const size_t rest = columns > fixed + 16 ? columns - fixed : 16;
    bar = rest / 4 > 24 ? 24 : rest / 4;
    who = rest - bar - 1 > 60 ? 60 : rest - bar - 1;
  }
  size_t who, bar;
  bool idle;
};

void add_title(TextBase& to, What what, const Widths& w) {
  Columns c(to);
  if (what == What::channels) {
    c.left("CHANNEL", kId);
    c.left("PEER", 11);
    c.left("CLIENT > PORT, SERVER", w.who);
    c.right("AGE", 6);
    if (w.idle) c.right("IDLE", 5);
  } else {
    c.left("PEER", 14);
    c.left("ADDRESS", w.who);
    c.left("STATE", 10);
    c.right("SINCE", 6);
    c.right("CHAN", 5);
    c.right("RTT", 6);
  }
  c.right("BYTES", 5);
  c.right("RX/s", 5);
  c.right("TX/s", 5);
}

void add_item(TextBase& to, const Item& i, What what, const Widths& w) {
  Columns c(to);
  if (what == What::channels) {
    c.left(i.id, kId);
    c.left(i.name, 11);
    Text<200> who;
    if (i.kind == "client") who.add(i.client).add('>').add(i.local.substr(i.local.rfind(':') + 1));
    else if (i.kind == "server") who.add(i.client).add('>').add(i.server);
    else who.add(i.kind).add(' ').add(i.local);
    c.left(who.add(i.udp ? "/udp" : "").text(), w.who);
    c.seconds(i.age_s, 6);
    if (w.idle) c.seconds(i.idle_s, 5);
  } else {
    c.left(i.name, 14);
    c.left(i.client, w.who);
    c.left(i.state, 10);
    c.seconds(i.age_s, 6);
    c.right(Text<24>().add_u(i.channels).text(), 5);
    Text<24> rtt;
    if (i.has_rtt) add_micros(rtt, i.rtt_us);
    c.right(i.has_rtt ? rtt.text() : "-", 6);
  }
  c.bytes(i.bytes(), 5);
  c.bytes(i.rx_rate, 5);
  c.bytes(i.tx_rate, 5);
}

void add_head(TextBase& to, const Sample& s) {
  const Values v = s.status();
  to.add("sockmuxd ").add(v.get("version")).add(" up ");
  add_seconds(to, v.number("uptime_s"));
  to.add("   links ").add(v.get("links_up")).add(" up, ").add(v.get("links_held")).add(" held, ").add(v.get("links_connecting"));
  to.add(" connecting   channels ").add(v.get("channels"));
}

void pause_for(int ms) {
  timespec left{ms / 1000, (ms % 1000) * 1000000L};
  while (nanosleep(&left, &left) < 0) {
  }
}

// ---- without a terminal

int print_trimmed(std::string_view text) {
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  const int code = print(text);
  return code == 0 ? print("\n") : code;
}

int print_table(const Sample& s) {
  Text<600> line;
  add_head(line, s);
  line.add("   rx ");
  add_bytes(line, s.rx_rate());
  add_bytes(line.add("/s, tx "), s.tx_rate());
  const Widths w(kWide, s.what());
  int code = print(line.add("/s\n").text());
  line.clear();
  add_title(line, s.what(), w);
  if (code == 0) code = print_trimmed(line.text());
  for (size_t i = 0; i < s.count() && i < kMostPrinted && code == 0; ++i) {
    line.clear();
    add_item(line, s.at(i), s.what(), w);
    if (s.at(i).rate() > 0) add_bar(line, s.at(i).rate(), s.highest(), w.bar, false);
    code = print_trimmed(line.text());
  }
  if (code == 0 && s.count() > kMostPrinted) code = print(Text<80>("... and ").add_u(s.count() - kMostPrinted).add(" more: sockmuxctl channels\n").text());
  return code;
}

int print_tables(const Words& words, int interval) {
  Sample sample[2];
  int code = sample[0].take(What::channels, words.socket);
  for (uint64_t n = 1; code == 0 && n <= (words.times == 0 ? 1 : words.times); ++n) {
    pause_for(interval);
    Sample& now = sample[n % 2];
    code = now.take(What::channels, words.socket);
    if (code != 0) break;
    now.set_rates(sample[(n + 1) % 2]);
    now.arrange(Order::rate, false, {});
    code = n > 1 ? print("\n") : 0;
    if (code == 0) code = print_table(now);
  }
  for (const Sample& s : sample)
    if (!s.why().empty()) complain({s.why()});
  return code;
}

// ---- on a terminal

class Top {
 public:
  Top(const char* path, int interval) : path_(path), interval_(interval), blocks_(has_blocks()), paint_(STDOUT_FILENO) {
    for (Sample& s : sample_) s.set_patience(kPatience);
  }

  // The exit code, once q is pressed; or a signal has come, which the caller lets happen.
  int run(Terminal& t) {
    for (;;) {
      const int64_t now = read_clock().us / 1000;
      if (!paused_ && now >= next_) {
        look();
        next_ = (failed_ == 0 ? now : read_clock().us / 1000) + interval_;
      }
      draw(t);
      const int64_t wait = next_ - read_clock().us / 1000;
      char c = 0;
      const Key key = t.wait(paused_ ? -1 : wait < 0 ? 0 : static_cast<int>(wait), &c);
      if (key == Key::ended) return 0;
      if (!take_key(key, c, t)) return 0;
    }
  }

 private:
  Sample& now() { return sample_[at_]; }

  void look() {
    Sample& next = sample_[1 - at_];
    failed_ = next.take(what_, path_);
    if (failed_ != 0) return;
    next.set_rates(now());
    at_ = 1 - at_;
    for (int i = 0; i + 1 < kHistory; ++i) rx_[i] = rx_[i + 1], tx_[i] = tx_[i + 1];
    rx_[kHistory - 1] = now().rx_rate();
    tx_[kHistory - 1] = now().tx_rate();
  }

  // False: q.
  bool take_key(Key key, char c, Terminal& t) {
    const size_t page = t.rows() > kHeadLines + 2 ? static_cast<size_t>(t.rows() - kHeadLines - 1) : 1;
    switch (key) {
      case Key::up: first_ -= first_ > 0 ? 1 : 0; return true;
      case Key::down: ++first_; return true;
      case Key::page_up: first_ -= first_ < page ? first_ : page; return true;
      case Key::page_down: first_ += page; return true;
      case Key::home: first_ = 0; return true;
      case Key::escape:
        typing_ = help_ = false;
        filter_.clear();
        return true;
      case Key::enter: typing_ = help_ = false; return true;
      case Key::erase:
        if (typing_ && filter_.size() > 0) {
          const Text<40> shorter(filter_.text().substr(0, filter_.size() - 1));
          filter_.clear();
          filter_.add(shorter.text());
        }
        return true;
      case Key::text: break;
      case Key::none:
      case Key::redraw:
      case Key::ended: return true;
    }
    if (typing_) {
      filter_.add(c);
      first_ = 0;
      return true;
    }
    return command(c);
  }

  bool command(char c) {
    if (help_ && c != 'q') {
      help_ = false;
      return true;
    }
    switch (c) {
      case 'q': return false;
      case 'h':
      case '?': help_ = true; break;
      case 'c': turn_to(What::channels); break;
      case 'p': turn_to(What::peers); break;
      case 'r': order_ = Order::rate; break;
      case 'b': order_ = Order::bytes; break;
      case 'n': order_ = Order::name; break;
      case 'a': order_ = Order::age; break;
      case 'i': order_ = Order::idle; break;
      case 'v': reverse_ = !reverse_; break;
      case ' ':
        paused_ = !paused_;
        next_ = 0;
        break;
      case '/':
        typing_ = true;
        filter_.clear();
        break;
      default: break;
    }
    return true;
  }

  void turn_to(What what) {
    if (what == what_) return;
    what_ = what;
    first_ = 0;
    next_ = 0;
    paused_ = false;
  }

  void draw(Terminal& t) {
    if (help_) return draw_help(t);
    Sample& s = now();
    s.arrange(order_, reverse_, filter_.text());
    const size_t columns = static_cast<size_t>(t.columns());
    const size_t room = t.rows() > kHeadLines + 1 ? static_cast<size_t>(t.rows() - kHeadLines - 1) : 0;
    if (first_ + room > s.count()) first_ = s.count() > room ? s.count() - room : 0;
    Text<Terminal::kLine> line;
    add_head(line, s);
    show(t, 0, line.text().substr(0, columns), Color::strong);
    draw_rates(t, columns);
    draw_message(t, columns);
    line.clear();
    const Widths w(columns, s.what());
    add_title(line, s.what(), w);
    while (line.size() < columns) line.add(' ');
    show(t, 3, line.text().substr(0, columns), Color::reverse);
    int row = kHeadLines;
    for (size_t i = first_; i < s.count() && i < first_ + room; ++i) draw_item(t, row++, s.at(i), w, columns);
    for (; row < t.rows() - 1; ++row) t.line(row, {});
    constexpr std::string_view kKeys = "q quit  h help  c channels  p peers  sort: r b n a i  v reverse  / filter  space";
    show(t, t.rows() - 1, kKeys.substr(0, columns), Color::none);
    t.show(t.rows());
  }

  void draw_item(Terminal& t, int row, const Item& i, const Widths& w, size_t columns) {
    Text<Terminal::kLine> line;
    add_item(line, i, now().what(), w);
    if (line.size() + w.bar > columns) {  // narrower than all of it
      t.line(row, line.text().substr(0, columns));
      return;
    }
    const Color color = i.state == "held" || i.state == "opening" ? Color::doubtful : i.state == "connecting" ? Color::bad : Color::none;
    Text<Terminal::kLine> out;
    paint_.begin(out, color);
    out.add(line.text());
    paint_.end(out, color);
    if (i.rate() > 0) {
      paint_.begin(out, Color::good);
      add_bar(out, i.rate(), now().highest(), w.bar, blocks_);
      paint_.end(out, Color::good);
    }
    t.line(row, out.text());
  }

  void draw_rates(Terminal& t, size_t columns) {
    Text<Terminal::kLine> line;
    const int room = static_cast<int>(columns > 41 ? columns - 25 : 16) / 2;
    const int looks = room < kHistory ? room : kHistory;
    for (const bool rx : {true, false}) {
      Text<24> rate;
      add_bytes(rate, rx ? now().rx_rate() : now().tx_rate());
      line.add(rx ? "rx " : "   tx ").add(rate.add("/s").text());
      for (size_t n = rate.size(); n < 8; ++n) line.add(' ');
      paint_.begin(line, Color::good);
      add_history(line, (rx ? rx_ : tx_) + kHistory - looks, looks, blocks_);
      paint_.end(line, Color::good);
    }
    t.line(1, line.text());
  }

  // What holds beside the rows: that they are old, or some of them.
  void draw_message(Terminal& t, size_t columns) {
    Text<600> line;
    Color color = Color::doubtful;
    if (failed_ != 0) {
      line.add(sample_[1 - at_].why());
      color = Color::bad;
    } else {
      static const char* const kOrder[] = {"rate", "bytes", "name", "age", "idle time"};
      line.add_u(now().count());
      if (now().count() < now().all()) line.add(" of ").add_u(now().all());
      line.add(now().what() == What::channels ? " channels" : " peers").add(" by ").add(kOrder[static_cast<int>(order_)]);
      line.add(reverse_ ? ", reversed" : "");
      if (typing_ || filter_.size() > 0) line.add("; filter: ").add(filter_.text()).add(typing_ ? "_" : "");
      if (paused_) line.add("; paused");
      if (!paused_ && !typing_ && filter_.size() == 0) color = Color::none;
    }
    show(t, 2, line.text().substr(0, columns), color);
  }

  void draw_help(Terminal& t) {
    static constexpr std::string_view kHelp[] = {
        "sockmuxctl top: what a daemon forwards now",
        "",
        "  q        ends it                   h ?      this help; any key ends it",
        "  c        channels                  p        peers, with their links",
        "  r        by rate                   b        by bytes since the start",
        "  n        by the peer's name        a        by age, the oldest first",
        "  i        by idle time              v        the other way round",
        "  /        filter: type a part of what a row has; enter keeps it, ESC ends it",
        "  space    stands still, or goes on  up, down, page up, page down, home",
        "",
        "A bar is the rate of both ways; the longest one is the highest there is.",
        "rx: from the peer; tx: to the peer. 1K is 1024 bytes.",
        "  sockmuxctl kick channel CHANNEL    ends one",
        "  sockmuxctl kick PEER               ends a link, which may come back",
    };
    int row = 0;
    for (const std::string_view text : kHelp) {
      show(t, row, text.substr(0, static_cast<size_t>(t.columns())), row == 0 ? Color::strong : Color::none);
      ++row;
    }
    t.show(row);
  }

  void show(Terminal& t, int row, std::string_view text, Color color) {
    Text<Terminal::kLine> out;
    paint_.begin(out, color);
    out.add(text);
    paint_.end(out, color);
    t.line(row, out.text());
  }

  const char* path_;
  const int interval_;
  const bool blocks_;
  const Paint paint_;
  Sample sample_[2];
  int at_ = 0;
  What what_ = What::channels;
  Order order_ = Order::rate;
  bool reverse_ = false, paused_ = false, help_ = false, typing_ = false;
  int failed_ = 0;
  size_t first_ = 0;
  int64_t next_ = 0;
  Text<40> filter_;
  uint64_t rx_[kHistory] = {}, tx_[kHistory] = {};
};

}  // namespace

int top(const Words& words) {
  const int interval = words.interval_ms == 0 ? kInterval : static_cast<int>(words.interval_ms);
  if (words.times != 0 || !Terminal::here()) return print_tables(words, words.interval_ms == 0 && words.times == 0 ? kInterval / 2 : interval);
  // Who has no daemon to ask hears of it as everywhere else.
  Answer answer;
  int code = answer.ask("status", words.socket);
  if (code != 0) return code;
  void* memory = malloc(sizeof(Terminal));
  if (memory == nullptr) return kSystem;
  Terminal& terminal = *new (memory) Terminal;
  const int error = terminal.open();
  if (error != 0) {
    complain({"the terminal: ", strerror(error)});
    free(memory);
    return kIo;
  }
  Top live(words.socket, interval);
  code = live.run(terminal);
  terminal.close();
  const int signal = terminal.signal();
  free(memory);
  if (signal != 0) (void)raise(signal);
  return code;
}

}  // namespace smx::ctl
