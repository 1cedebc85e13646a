// The walk over the words: which word is what, and the tables of parameters and options that we obey. Read next:
// parser.h (the map), include.cc (files), link.cc, server.cc, values.cc, settings.cc, lists.cc, finish.cc.
#include "config/parse.h"

#include <string.h>

#include "config/parser.h"
#include "config/tables.h"
#include "config/words.h"

namespace smx {

// Obeyed parameters; the nearest name for an unknown one is looked for in this order.
constexpr Parser::Handler Parser::kHandlers[] = {
    {"SERVER", true, false, &Parser::on_server},      {"PORT", true, false, &Parser::on_port},
    {"DEST", true, false, &Parser::on_dest},          {"PERMIT", true, true, &Parser::on_permit},
    {"REJECT", true, true, &Parser::on_reject},       {"RELIABLE", true, true, &Parser::on_reliable},
    {"REACHABLE", true, true, &Parser::on_reachable}, {"REMITTABLE", true, true, &Parser::on_remittable},
    {"HOSTLIST", true, true, &Parser::on_hostlist},   {"HOSTS", true, true, &Parser::on_hosts},
    {"SRCIF", true, true, &Parser::on_srcif},         {"SOXCONF", true, true, &Parser::on_soxconf},
    {"TIMEOUT", true, true, &Parser::on_timeout},     {"MAXIMA", true, true, &Parser::on_maxima},
    {"RPORT", true, false, &Parser::on_far_port},     {"BIND", true, false, &Parser::on_far_port},
    {"OWNER", true, false, &Parser::on_owner},        {"CHROOT", true, false, &Parser::on_chroot},
    {"UMASK", true, false, &Parser::on_umask},        {"PIDFILE", true, false, &Parser::on_pidfile},
    {"LOGFILE", true, false, &Parser::on_logfile},    {"SYSLOG", true, false, &Parser::on_syslog},
    {"XCOM", false, true, &Parser::on_xcom},          {"XFIL", false, true, &Parser::on_xfil},
};

constexpr Parser::Handler Parser::kOptions[] = {
    {"-f", true, false, &Parser::on_foreground},    {"-v", true, true, &Parser::on_verbose},
    {"-vv", true, true, &Parser::on_verbose},       {"-fv", true, false, &Parser::on_verbose},
    {"-vd", true, true, &Parser::on_verbose},       {"-vt", true, true, &Parser::on_verbose},
    {"-vs", true, true, &Parser::on_verbose},       {"-vu", true, true, &Parser::on_verbose},
    {"-va", true, true, &Parser::on_verbose},       {"-t", true, false, &Parser::on_check},
    {"-h", true, false, &Parser::on_help},          {"--help", true, false, &Parser::on_help},
    {"-V", true, false, &Parser::on_version},       {"--version", true, false, &Parser::on_version},
    {"-S", true, true, &Parser::on_ignored_option}, {"-r", true, true, &Parser::on_ignored_option},
};

constexpr Parser::Handler Parser::kGlued[] = {
    {"-P", true, false, &Parser::on_accept},
    {"-Q", true, false, &Parser::on_accept_more},
    {"-e", true, true, &Parser::on_env},
    {"-F", true, false, &Parser::on_function},
    {"-T", true, true, &Parser::on_ignored_option},
    {"-D", true, true, &Parser::on_ignored_option},
    {"-d", true, true, &Parser::on_ignored_option},
};

Parser::Parser(FileSource& files, Arena& arena, Config* config, Report* report, Parser* outer)
    : files_(files), arena_(arena), config_(config), report_(report), outer_(outer) {}

void Parser::word(const Word& w) {
  if (++words_ > kMaxWords) {
    if (words_ == kMaxWords + 1) fail(w, "more than 16384 words and lines in all");
    return;
  }
  const std::string_view t = w.text;
  const bool swallows = swallows_bare_;
  swallows_bare_ = false;
  if (t == "--") return;  // words behind it are obeyed; nothing of ours must be hidden from ps
  if (starts_with(t, "+=")) return include(w, skip(t, 2), {});
  if (!t.empty() && t[0] == '-') return option(w);
  if (!t.empty() && t[0] == '(') {
    return fail(w, "not supported: a condition in front of a parameter; it would hold for everybody");
  }
  if (place_of(t, '=') != kNowhere) return parameter(w);
  if (swallows) return;
  if (t.empty()) return fail(w, "an empty word; expected NAME=value, -option or +=file");
  fail(w, "expected NAME=value, -option or +=file");
}

const Parser::Handler* Parser::find(const Handler* table, size_t count, std::string_view name) {
  for (const Handler* h = table; h != table + count; ++h) {
    if (name == h->name) return h;
  }
  return nullptr;
}

void Parser::option(const Word& w) {
  const Handler* known = find(kOptions, w.text);
  size_t size = 1;
  if (known == nullptr) {
    size = 2;
    known = find(kGlued, first(w.text, 2));
  }
  if (known != nullptr) {
    if (has_place(*known)) return (this->*known->run)(w, skip(w.text, size));
    return fail(w, "this option has no place inside of -in(...)");
  }
  if (outer_ != nullptr && place_of_any(w.text, ",;") != kNowhere) {
    return fail(w, "words are separated by blanks inside of -in(...)");
  }
  // The nearest option is the same letter in its other case.
  for (const Handler& h : kGlued) {
    if (equal_fold(first(w.text, 2), h.name)) return fail(w, "unknown option; do you mean %?", h.name);
  }
  Nearest nearest(w.text);
  for (const Handler& h : kOptions) {
    if (equal_fold(w.text, h.name) || h.name[1] == '-') nearest.give(h.name);
  }
  if (nearest.best().empty()) return fail(w, "unknown option; sockmuxd --help lists all");
  fail(w, "unknown option; do you mean %?", nearest.best());
}

namespace {

bool is_parameter_name(std::string_view name) {
  if (name.empty()) return false;
  for (const char c : name) {
    if (!is_upper(c) && !is_digit(c) && c != '_') return false;
  }
  return true;
}

// Where "+=" makes a value come from a file: at its start, or behind ':' or ','. kNowhere: it does not.
size_t file_mark(std::string_view value) {
  const size_t at = place_of(value, "+=");
  if (at == kNowhere) return kNowhere;
  const std::string_view before = first(value, at);
  if (place_of(before, '(') != kNowhere || place_of(before, '@') != kNowhere) return kNowhere;
  return before.empty() || before.back() == ':' || before.back() == ',' ? at : kNowhere;
}

}  // namespace

void Parser::parameter(const Word& w) {
  const size_t equals = place_of(w.text, '=');
  const std::string_view name = first(w.text, equals);
  const std::string_view value = skip(w.text, equals + 1);
  if (has_blank(name)) return fail(w, "a blank in front of '='; write %=value", trim(name));
  const Handler* handler = find(kHandlers, name);
  if (handler == nullptr || !has_place(*handler)) return unknown_parameter(w, name);
  if (value.size() >= 2 && (value[0] == '"' || value[0] == '\'') && value.back() == value[0]) {
    return fail(w, "the value has a quote at its ends; the shell and +=file take quotes away, so it is one too many");
  }
  if (starts_with(value, "-=")) return fail(w, "not supported: %=-=URL", name);
  const size_t mark = file_mark(value);
  if (mark == kNowhere) return (this->*handler->run)(w, value);
  include(w, skip(value, mark + 2), first(w.text, equals + 1 + mark));
}

// A parameter that is not obeyed here: without meaning, refused, in a wrong place, or unknown.
void Parser::unknown_parameter(const Word& w, std::string_view name) {
  if (is_one_of(ignored_parameters(), name)) return report_->ignore(name);
  if (outer_ != nullptr && find(kHandlers, name) != nullptr) {
    return fail(w, "% is not allowed inside of -in(...)", name);
  }
  // The value is not repeated: it may be a password. Without the names of DeleGate's each unknown one may have one.
  Word shown = w;
  shown.origin.word = name;
  if (const char* reason = why_refused(name)) {
    if (name != "SOCKMUX") return fail(shown, "not supported: %", reason);
    std::string_view at = skip(w.text, name.size() + 1);
    const bool accepts = ends_with(at, ":acc");
    if (accepts || ends_with(at, ":con")) at = first(at, at.size() - 4);
    return fail(shown,
                "not supported: write SERVER=sockmux -P% where links are accepted, SERVER=sockmux://% where they "
                "are made",
                at, at);
  }
  Nearest nearest(name);
  for (const Handler& h : kHandlers) {
    if (has_place(h)) nearest.give(h.name);
  }
  nearest.give_all(ignored_parameters());
  give_refused(&nearest);
  if (nearest.best().empty()) {
    return fail(kHasDelegate ? w : shown, "unknown parameter '%'%", name, is_parameter_name(name) ? "" : "; names are upper case");
  }
  fail(kHasDelegate ? w : shown, "unknown parameter '%'; do you mean %?", name, nearest.best());
}

void Parser::on_foreground(const Word&, Value) { config_->foreground = true; }
void Parser::on_check(const Word&, Value) { config_->check_only = true; }
void Parser::on_help(const Word&, Value) { config_->help = true; }
void Parser::on_version(const Word&, Value) { config_->version = true; }
void Parser::on_ignored_option(const Word& w, Value) { report_->ignore(first(w.text, 2)); }

// "v", "vv", "fv": in the foreground, log to stderr; "vd", "vt", "vs", "vu", "va": the level alone.
void Parser::on_verbose(const Word&, Value letters) {
  const char last = letters == "v" ? '1' : letters == "fv" ? '1' : letters[1];
  if (last == '1' || last == 'v') {
    config_->foreground = true;
    config_->log_stderr = true;
  }
  if (last == 'v' || last == 'd') config_->log_level = Config::Log::debug;
  if (last == 't') config_->log_level = Config::Log::terse;
  if (last == 's') config_->log_level = Config::Log::silent;
  if (last == 'u') config_->log_level = Config::Log::usual;
  if (last == 'a') config_->log_level = Config::Log::hidden;
}

void Parser::on_env(const Word& w, Value value) {
  const size_t equals = place_of(value, '=');
  if (equals == kNowhere || equals == 0) return fail(w, "expected -eNAME=value");
  const std::string_view name = first(value, equals);
  for (const char c : name) {
    if (!is_alnum(c) && c != '_') return fail(w, "'%' is no name of a variable; expected -eNAME=value", name);
  }
  add(env_, value, w, "-e");
}

void Parser::on_function(const Word& w, Value name) {
  if (!equal_fold(name, "sockmux")) return fail(w, "not supported: there is -Fsockmux only");
  is_function_ = true;
  config_->foreground = true;
}

int Parser::status_of(const Word& w) { return w.in_file ? kExitConfig : kExitUsage; }

void Parser::fail(const Word& w, const char* words) { fail_with(status_of(w), w, words); }
void Parser::fail(const Word& w, const char* words, Value a) { fail_with(status_of(w), w, words, {a}); }
void Parser::fail(const Word& w, const char* words, Value a, Value b) { fail_with(status_of(w), w, words, {a, b}); }
void Parser::fail(const Word& w, const char* words, Value a, Value b, Value c) {
  fail_with(status_of(w), w, words, {a, b, c});
}
void Parser::fail(const Word& w, const char* words, Value a, Value b, Value c, Value d) {
  fail_with(status_of(w), w, words, {a, b, c, d});
}

void Parser::fail_with(int status, const Word& w, const char* words, Views views) {
  if (no_memory_) return;  // what could not be kept looks like a text that is missing
  Text<kMessageText> text;
  // Words of -in(...) on the command line are shown behind the SERVER word that they are part of.
  if (outer_ != nullptr && !w.in_file) text.add("in -in(...): ").add(w.text).add(": ");
  text.fill(words, views);
  report_->error(status, w.origin, "%", {text.text()});
}

bool Parser::left_out(const Word& w, std::string_view feature) {
  fail(w, "this sockmuxd was built without % (make WITHOUT=)", feature);
  return false;
}

void Parser::warn(const Word& w, const char* words, Views views) { report_->warn(w.origin, words, views); }

void Parser::fail_why(const Word& w, const TextBase& why) {
  if (why.size() == 0) {
    no_memory_ = true;
  } else {
    fail(w, "%", why.text());
  }
}

bool Parser::put(GrowBase& list, const void* value, size_t size, const Word& w, const char* what) {
  if (list.is_full()) return fail(w, "there are too many %", what), false;
  if (!list.put(arena_, value, size)) no_memory_ = true;
  return !no_memory_;
}

std::string_view Parser::keep_text(std::string_view text) {
  const std::string_view kept = arena_.copy(text);
  if (kept.data() == nullptr) no_memory_ = true;
  return kept;
}

std::string_view Parser::keep_text(std::string_view a, const char* between, std::string_view b) {
  const size_t size = a.size() + strlen(between) + b.size();
  char* to = static_cast<char*>(arena_.take(size + 1, 1));
  if (to == nullptr) {
    no_memory_ = true;
    return {};
  }
  char* at = to;
  for (const std::string_view part : {a, std::string_view(between), b}) {
    for (const char c : part) *at++ = c;
  }
  *at = 0;
  return {to, size};
}

void Parser::keep_single(const Word& w, const char* name, std::string_view key, std::string_view value) {
  const std::string_view shown = key.empty() ? value : keep_text(key, ":", value);
  for (size_t i = 0; i < settings_.count(); ++i) {
    const Setting old = settings_[i];
    if (old.name != name) continue;
    if (!key.empty() && !(starts_with(old.value, key) && first(skip(old.value, key.size()), 1) == ":")) continue;
    if (old.value == shown) return;
    warn(w, "replaces %=%", {name, old.value});
    settings_.remove(i);
    break;
  }
  keep_more(w, name, shown);
}

void Parser::keep_value(const Word& w, const char* name, std::string_view value, std::string_view Config::*field) {
  config_->*field = keep_text(value);
  keep_single(w, name, {}, config_->*field);
}

void Parser::keep_more(const Word& w, const char* name, std::string_view value) {
  add(settings_, Setting{name, value, w.origin}, w, "settings");
}

std::string_view Parser::keep_joined(const Word& w, const char* name, std::string_view value) {
  for (Setting& s : settings_) {
    if (s.name != name) continue;
    s.value = keep_text(s.value, ",", value);
    return s.value;
  }
  const std::string_view text = keep_text(value);
  keep_more(w, name, text);
  return text;
}

bool parse_command_line(const char* const* words, size_t count, FileSource& files, Arena& arena, Config* config,
                        Report* report) {
  *config = Config{};
  for (size_t i = 0; i < count; ++i) {
    const std::string_view t = words[i];
    config->help = config->help || t == "-h" || t == "--help";
    config->version = config->version || t == "-V" || t == "--version";
  }
  if (config->help || config->version) return true;
  if (count == 0) {
    report->error(kExitUsage, Origin{}, "nothing to do: SERVER=sockmux is missing; sockmuxd --help shows examples");
    return false;
  }
  // The parser is some kilobytes large; it lives in the arena, as all that it makes.
  void* memory = arena.take(sizeof(Parser), alignof(Parser));
  if (memory == nullptr) {
    report->error(kExitConfig, Origin{}, "not enough memory for the options");
    return false;
  }
  Parser* parser = new (memory) Parser(files, arena, config, report);
  for (size_t i = 0; i < count; ++i) {
    Word w;
    w.text = words[i];
    w.origin.word = w.text;
    parser->word(w);
  }
  return parser->finish();
}

}  // namespace smx
