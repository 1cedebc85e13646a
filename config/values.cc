// Lists of word:value: TIMEOUT, MAXIMA, SOXCONF. Read next: tables.cc (DeleGate's words without meaning here).
#include "config/parser.h"
#include "config/tables.h"

namespace smx {

namespace {

constexpr int64_t kSecond = 1000000;
constexpr int64_t kLongestPeriod = 10 * 365 * 86400 * kSecond;  // ten years
constexpr unsigned kFractionDigits = 6;
constexpr uint64_t kLeastPacket = 129;  // SockMux 0.3 ignores a PACKSIZE of 128 and below
constexpr uint64_t kMostPacket = 16384;
constexpr size_t kControlPath = 103;  // sockaddr_un on BSD: 104 with a NUL
constexpr size_t kOwnNameText = 63;  // sockmux(7), SETTINGS field 07

struct TimeoutWord {
  char name[8];
  Duration Config::*field;
  int64_t most_us;
};
constexpr TimeoutWord kTimeouts[] = {
    {"con", &Config::connect_timeout, kLongestPeriod}, {"lin", &Config::linger_timeout, kLongestPeriod},
    {"io", &Config::io_timeout, kLongestPeriod},       {"silence", &Config::udp_timeout, kLongestPeriod},
    {"hello", &Config::hello_timeout, kLongestPeriod}, {"login", &Config::login_timeout, kLongestPeriod},
    {"dns", &Config::dns_timeout, kLongestPeriod},     {"ping", &Config::ping_interval, kLongestPeriod},
    {"retry", &Config::retry_max, kLongestPeriod},     {"renew", &Config::renew_interval, kLongestPeriod},
    {"resume", &Config::resume_hold, 65535 * kSecond},
};

struct MaximaWord {
  char name[10];
  uint32_t Config::*field;  // nullptr: memory_bytes
  uint64_t least;
  uint64_t most;
  char bounds[48];
};
constexpr MaximaWord kMaxima[] = {
    {"listen", &Config::listen_backlog, 1, 65535, "1 to 65535"},
    {"conpch", &Config::max_per_client, 0, 1000000, "0 (no limit) to 1000000"},
    {"delegated", &Config::max_programs, 1, 4096, "1 to 4096"},
    {"udprelay", &Config::max_udp_flows, 1, 65535, "1 to 65535"},
    {"memory", nullptr, 65536, uint64_t{1} << 40, "65536 bytes to 1024g, with k, m or g behind it"},
    {"halfopen", &Config::max_half_open, 1, 65535, "1 to 65535"},
    {"opens", &Config::max_opens, 0, 100000, "0 (no limit) to 100000"},
    {"channels", &Config::max_channels, 1, 60000, "1 to 60000"},
    {"links", &Config::max_links, 0, 32768, "0 (default) to 32768"},
};

constexpr char kSoxconf[] = "packsize,crypt,proto,key,peers,name,line,mkfifo,control,sandbox,send-proxy";

// "10", "0.5", "2s", "1m", "1.5h", "1d" in microseconds; false for all else, and beyond `most`.
bool parse_period(std::string_view text, int64_t most, int64_t* out) {
  int64_t unit = kSecond;
  if (!text.empty() && !is_digit(text.back())) {
    const char c = text.back();
    if (c != 's' && c != 'm' && c != 'h' && c != 'd') return false;
    if (c == 'm') unit = 60 * kSecond;
    if (c == 'h') unit = 3600 * kSecond;
    if (c == 'd') unit = 86400 * kSecond;
    text.remove_suffix(1);
  }
  const size_t dot = place_of(text, '.');
  uint64_t whole = 0;
  if (!parse_number(first(text, dot), static_cast<uint64_t>(most / unit), &whole)) return false;
  int64_t result = static_cast<int64_t>(whole) * unit;
  if (dot != kNowhere) {
    const std::string_view digits = skip(text, dot + 1);
    if (digits.empty() || digits.size() > kFractionDigits) return false;
    int64_t part = unit;
    for (const char c : digits) {
      if (!is_digit(c)) return false;
      part /= 10;
      result += (c - '0') * part;
    }
  }
  if (result > most) return false;
  *out = result;
  return true;
}

// Seconds, with as many digits behind the point as are needed.
void add_seconds(TextBase& to, int64_t us) {
  to.add_u(static_cast<uint64_t>(us / kSecond));
  int64_t rest = us % kSecond;
  if (rest > 0) to.add('.');
  for (int64_t unit = kSecond / 10; rest > 0; unit /= 10) {
    to.add(static_cast<char>('0' + rest / unit));
    rest %= unit;
  }
}

// "65536", "64k", "8m", "1g".
bool parse_size(std::string_view text, uint64_t most, uint64_t* out) {
  uint64_t unit = 1;
  if (!text.empty()) {
    const char c = fold(text.back());
    if (c == 'k') unit = 1024;
    if (c == 'm') unit = 1024 * 1024;
    if (c == 'g') unit = 1024 * 1024 * 1024;
    if (unit > 1) text.remove_suffix(1);
  }
  uint64_t n = 0;
  if (!parse_number(text, most / unit, &n)) return false;
  *out = n * unit;
  return true;
}

bool is_yes(std::string_view s) { return s.empty() || s == "yes" || s == "on" || s == "1"; }
bool is_no(std::string_view s) { return s == "no" || s == "off" || s == "0"; }

// The texts of a list stand in the order of the enum. False: `value` is none of them.
template <typename Enum>
bool choose_one(const char* list, std::string_view value, Enum* out) {
  const int place = place_in(list, value);
  if (place >= 0) *out = static_cast<Enum>(place);
  return place >= 0;
}

}  // namespace

void Parser::on_timeout(const Word& w, Value value) {
  each_item(w, value, "expected word:period, as in con:10", &Parser::timeout_item);
}

void Parser::on_maxima(const Word& w, Value value) {
  each_item(w, value, "expected word:number, as in listen:50", &Parser::maxima_item);
}

void Parser::on_soxconf(const Word& w, Value value) {
  each_item(w, value, "expected word:value, as in packsize:1024", &Parser::soxconf_item);
}

// word:value,word:value...
void Parser::each_item(const Word& w, Value value, const char* expected, HandleItem handle) {
  Items items(value);
  std::string_view item;
  if (trim(value).empty()) fail(w, expected);
  while (items.next(&item)) {
    const size_t colon = place_of(item, ':');
    const std::string_view setting = colon == kNowhere ? std::string_view{} : trim(skip(item, colon + 1));
    (this->*handle)(w, trim(first(item, colon)), setting);
  }
}

// A word that is not obeyed: one of those without meaning, or unknown; `nearest` has seen those that are obeyed.
void Parser::unknown_word(const Word& w, const char* parameter, const char* ignored, std::string_view name,
                          Nearest* nearest) {
  if (is_one_of(ignored, name)) return report_->ignore(keep_text(parameter, "=", name));
  nearest->give_all(ignored);
  fail(w, "unknown word '%'%%", name, nearest->lead(), nearest->best());
}

void Parser::timeout_item(const Word& w, std::string_view name, std::string_view period) {
  Nearest nearest(name);
  for (const TimeoutWord& known : kTimeouts) {
    nearest.give(known.name);
    if (name != known.name) continue;
    int64_t us = 0;
    if (!parse_period(period, known.most_us, &us)) {
      return fail(w, "'%:%': expected %:period, a number with s, m, h or d, 0 for never%", name, period, name,
                  known.most_us < kLongestPeriod ? ", at most 65535 seconds" : "");
    }
    config_->*known.field = micros(us);
    Text<40> shown;
    add_seconds(shown, us);
    return keep_single(w, "TIMEOUT", name, shown.text());
  }
  unknown_word(w, "TIMEOUT", ignored_timeouts(), name, &nearest);
}

void Parser::maxima_item(const Word& w, std::string_view name, std::string_view number) {
  Nearest nearest(name);
  for (const MaximaWord& known : kMaxima) {
    nearest.give(known.name);
    if (name != known.name) continue;
    uint64_t n = 0;
    const bool is_memory = known.field == nullptr;
    const bool good = is_memory ? parse_size(number, known.most, &n) : parse_number(number, known.most, &n);
    if (!good || n < known.least) {
      return fail(w, "'%:%': expected %:number, %", name, number, name, known.bounds);
    }
    if (is_memory) {
      config_->memory_bytes = n;
    } else {
      config_->*known.field = static_cast<uint32_t>(n);
    }
    return keep_number(w, "MAXIMA", name, n);
  }
  unknown_word(w, "MAXIMA", ignored_maxima(), name, &nearest);
}

void Parser::keep_number(const Word& w, const char* parameter, std::string_view name, uint64_t n) {
  Text<24> shown;
  keep_single(w, parameter, name, shown.add_u(n).text());
}

void Parser::soxconf_item(const Word& w, std::string_view name, std::string_view value) {
  if (outer_ != nullptr && name != "send-proxy") return fail(w, "SOXCONF=% is for the whole daemon; inside of -in(...) there is SOXCONF=send-proxy only", name);
  if (name == "packsize") return packet_size(w, value);
  const bool lacks = (!kHasV03 && name == "proto" && value == "0.3") || (!kHasLossy && name == "line" && value == "lossy");
  if (lacks) return (void)left_out(w, kHasV03 || name == "line" ? "lossy" : "v03");
  if (!kHasSandbox && name == "sandbox" && !is_no(value)) return (void)left_out(w, "sandbox");
  if (!kHasSendProxy && name == "send-proxy" && !is_no(value)) return (void)left_out(w, "sendproxy");
  if (!kHasControl && name == "control" && !is_no(value) && value != "-") return (void)left_out(w, "control");
  const bool yes = is_yes(value), no = is_no(value);
  bool good = true;
  const char* expected = "";
  if (name == "crypt") {
    good = no && value != "0";
    expected = "no or off: there is no encryption but that of SERVER=sockmuxs";
  } else if (name == "proto") {
    good = choose_one("auto,0.3,1", value, &config_->proto);
    expected = "auto, 0.3 or 1";
  } else if (name == "line") {
    good = choose_one("auto,clean,lossy", value, &config_->line);
    expected = "auto, clean or lossy";
  } else if (name == "send-proxy") {
    sends_proxy_ = true;
    good = no || choose_one("no,v1,v2", value, &config_->send_proxy);
    if (no) config_->send_proxy = Config::SendProxy::no;
    expected = "v1, v2 or no";
  } else if (name == "mkfifo") {
    config_->mkfifo = yes;
    good = yes || no;
    expected = "yes or no";
  } else if (name == "sandbox") {
    config_->sandbox = no ? Config::Sandbox::no : Config::Sandbox::yes;
    good = yes || no || choose_one("yes,no,trap", value, &config_->sandbox);
    expected = "yes, no or trap";
  } else if (name == "key" || name == "peers") {
    (name == "key" ? config_->key_file : config_->peers_file) = keep_text(value);
    good = !value.empty();
    expected = "a file";
  } else if (name == "control") {
    config_->control = !no && value != "-";
    config_->control_file = config_->control ? keep_text(value) : std::string_view();
    good = !config_->control || (first(value, 1) == "/" && value.size() <= kControlPath);
    expected = "a path that begins with /, of at most 103 bytes, or no";
  } else if (name == "name") {
    if (!peer_name(w, value, kOwnNameText)) return;
    config_->own_name = keep_text(value);
  } else {
    Nearest nearest(name);
    nearest.give_all(kSoxconf);
    return unknown_word(w, "SOXCONF", ignored_soxconf(), name, &nearest);
  }
  if (!good) return fail(w, "'%:%': expected %", name, value, expected);
  keep_single(w, "SOXCONF", name, value.empty() ? "yes" : value);
}

void Parser::packet_size(const Word& w, std::string_view value) {
  uint64_t n = 0;
  if (!parse_size(value, UINT32_MAX, &n)) {
    return fail(w, "'packsize:%': expected a number of 129 to 16384, or with k behind it", value);
  }
  if (n > kMostPacket) {
    warn(w, "packsize is cut to 16384");
    n = kMostPacket;
  }
  if (n < kLeastPacket) {
    warn(w, "packsize is raised to 129");
    n = kLeastPacket;
  }
  config_->packet_size = static_cast<uint16_t>(n);
  keep_number(w, "SOXCONF", "packsize", n);
}

// 1..longest of A-Za-z0-9._-
bool Parser::peer_name(const Word& w, std::string_view name, size_t longest) {
  if (!name.empty() && name.size() <= longest && is_name_text(name)) return true;
  fail(w, "'%' is no name of a peer; expected at most % of A-Z a-z 0-9 . _ -", name,
       longest == kOwnNameText ? "63" : "32");
  return false;
}

}  // namespace smx
