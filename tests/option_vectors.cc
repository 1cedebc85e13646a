// option_vectors FILE: runs every vector of a file like tests/data/option-vectors.txt, whose head describes the format.
//
// Prints each failure with input, expected and got, then the number of vectors of each kind, then one last line
// "N passed, N failed". Exit status 0 only if none failed. Read next: config/parse.h, config/choose.h.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "config/choose.h"
#include "config/hostlist.h"
#include "config/parse.h"
#include "config/ports.h"
#include "config/words.h"
#include "tests/options.h"

namespace {

using smx_test::Run;
using smx_test::Strings;
using smx_test::text_of;
using Unresolved = smx_test::Names;

const std::string kBlanks = " \t\r";

std::string trimmed(const std::string& s) {
  const size_t begun = s.find_first_not_of(kBlanks);
  if (begun == std::string::npos) return "";
  return s.substr(begun, s.find_last_not_of(kBlanks) - begun + 1);
}

// Blanks separate, '...' and "..." group and are removed, all else stands for itself.
Strings split(const std::string& text) {
  Strings words;
  std::string word;
  bool begun = false;
  char quote = 0;
  for (const char c : text) {
    if (quote != 0) {
      if (c == quote) {
        quote = 0;
      } else {
        word += c;
      }
    } else if (c == '\'' || c == '"') {
      quote = c;
      begun = true;
    } else if (c == ' ' || c == '\t') {
      if (begun) words.push_back(word);
      word.clear();
      begun = false;
    } else {
      word += c;
      begun = true;
    }
  }
  if (begun) words.push_back(word);
  return words;
}

Strings split_at(const std::string& text, const std::string& separator) {
  Strings parts;
  size_t at = 0;
  for (;;) {
    const size_t end = text.find(separator, at);
    const std::string part = trimmed(text.substr(at, end == std::string::npos ? end : end - at));
    if (!part.empty()) parts.push_back(part);
    if (end == std::string::npos) return parts;
    at = end + separator.size();
  }
}

std::string unescaped(const std::string& s) {
  std::string out;
  for (size_t i = 0; i < s.size(); ++i) {
    if (s[i] != '\\' || i + 1 == s.size()) {
      out += s[i];
      continue;
    }
    const char c = s[++i];
    out += c == 'n' ? '\n' : c == 't' ? '\t' : c == 'r' ? '\r' : c;
  }
  return out;
}

// A word of a vector: an argument, or FILE:name=TEXT.
void take_word(Run* run, const std::string& word) {
  const size_t equals = word.find('=');
  if (word.compare(0, 5, "FILE:") == 0 && equals != std::string::npos) {
    run->files.files[word.substr(5, equals - 5)] = unescaped(word.substr(equals + 1));
  } else {
    run->words.push_back(word);
  }
}

std::string address_text(const smx::HostPort& at) {
  smx::Text<300> text;
  smx::append_host_port(text, at);
  return text_of(text.text());
}

std::string kind_text(smx::Transport t) { return t == smx::Transport::udp ? "udp" : "tcp"; }

std::string link_text(const smx::LinkSpec& link) {
  switch (link.kind) {
    case smx::LinkSpec::Kind::accept_tcp: return "accept " + address_text(link.at);
    case smx::LinkSpec::Kind::connect_tcp: return "connect " + address_text(link.at);
    case smx::LinkSpec::Kind::fifo: return "fifo " + text_of(link.in_path) + " " + text_of(link.out_path);
    case smx::LinkSpec::Kind::device: return "device " + text_of(link.path);
    case smx::LinkSpec::Kind::program: return "program " + text_of(link.path);
    case smx::LinkSpec::Kind::stdio: return "device " + text_of(link.path);
  }
  return "";
}

std::string server_text(const smx::ServerSpec& server) {
  std::string s = "server " + text_of(server.label);
  if (server.has_address) s += " " + kind_text(server.transport) + " " + address_text(server.to);
  if (server.run) s += " run";
  for (const std::string_view word : server.words) s += " [" + text_of(word) + "]";
  if (server.when != nullptr) s += " when " + text_of(server.when_text);
  return s;
}

// The items of a parse, in the order that the file's head gives.
Strings items_of(const Run& run) {
  Strings items;
  if (!run.good) {
    for (const smx::Problem& p : run.report.errors()) {
      items.push_back("error " + std::to_string(p.status) + ": " + text_of(p.text.text()));
    }
    return items;
  }
  const smx::Config& c = run.config;
  if (c.foreground) items.push_back("foreground");
  if (c.log_stderr) items.push_back("log stderr");
  if (c.log_level == smx::Config::Log::silent) items.push_back("log silent");
  if (c.log_level == smx::Config::Log::terse) items.push_back("log terse");
  if (c.log_level == smx::Config::Log::debug) items.push_back("log debug");
  for (const smx::LinkSpec& link : c.links) items.push_back(link_text(link));
  for (const smx::ListenSpec& listen : c.listens) {
    items.push_back("listen " + address_text(listen.at) + "/" + kind_text(listen.transport));
  }
  for (const smx::ListenSpec& listen : c.remote_listens) {
    items.push_back("remote " + address_text(listen.at) + "/" + kind_text(listen.transport));
  }
  for (const smx::ServerSpec& server : c.servers) items.push_back(server_text(server));
  for (const smx::Setting& s : c.settings) items.push_back(text_of(s.name) + "=" + text_of(s.value));
  for (const std::string_view name : run.report.ignored()) items.push_back("ignored " + text_of(name));
  for (const std::string_view env : c.env) items.push_back("env " + text_of(env));
  for (const smx::Problem& p : run.report.warnings()) items.push_back("warn " + text_of(p.text.text()));
  return items;
}

bool has_words(const std::string& got, const std::string& wanted) {
  for (const std::string& word : split_at(wanted, " ")) {
    if (got.find(word) == std::string::npos) return false;
  }
  return true;
}

// "warn A B" and "error 64: A B" name words that the message must have; everything else must be equal.
bool is_item(const std::string& got, const std::string& wanted) {
  if (wanted.compare(0, 5, "warn ") == 0) return got.compare(0, 5, "warn ") == 0 && has_words(got, wanted.substr(5));
  if (wanted.compare(0, 6, "error ") != 0) return got == wanted;
  const size_t colon = wanted.find(':');
  return got.compare(0, colon + 1, wanted, 0, colon + 1) == 0 && has_words(got, wanted.substr(colon + 1));
}

std::string joined(const Strings& parts, const std::string& separator) {
  std::string s;
  for (const std::string& part : parts) s += (s.empty() ? "" : separator) + part;
  return s;
}

bool check_parse(const std::string& input, const std::string& wanted, std::string* got) {
  Run run;
  for (const std::string& word : split(input)) take_word(&run, word);
  run.parse();
  const Strings items = items_of(run);
  const Strings expected = split_at(wanted, "; ");
  *got = joined(items, "; ");
  if (items.size() != expected.size()) return false;
  for (size_t i = 0; i < items.size(); ++i) {
    if (!is_item(items[i], expected[i])) return false;
  }
  return true;
}

// A run with a link, so that the rest can be looked at.
bool parse_with_link(Run* run, std::string* got) {
  run->words.insert(run->words.begin(), {"SERVER=sockmux", "-P65000"});
  run->parse();
  if (run->good) return true;
  *got = joined(items_of(*run), "; ");
  return false;
}

bool check_hosts(const std::string& input, const std::string& wanted, std::string* got) {
  Run run;
  const Strings words = split(input);
  const auto at = std::find(words.begin(), words.end(), "@");
  if (at == words.begin() || at == words.end() || at + 1 == words.end()) return false;
  for (auto word = words.begin(); word != at - 1; ++word) take_word(&run, *word);
  run.words.push_back("DEST=127.0.0.1:1:" + *(at - 1));
  if (!parse_with_link(&run, got)) return false;
  smx::Subject who;
  who.accepted_port = 1;
  if (!smx::parse_ip(*(at + 1), &who.client)) return false;
  const smx::HostList* list = run.config.servers[0].when;
  *got = list != nullptr && smx::matches(*list, who, Unresolved{}) ? "yes" : "no";
  return *got == wanted;
}

bool check_choose(const std::string& input, const std::string& wanted, std::string* got) {
  Run run;
  const Strings words = split(input);
  const auto at = std::find(words.begin(), words.end(), "@");
  if (words.end() - at < 4) return false;
  for (auto word = words.begin(); word != at; ++word) take_word(&run, *word);
  if (!parse_with_link(&run, got)) return false;
  smx::Subject who;
  const std::string port = (at + 1)->substr(0, (at + 1)->find('/'));
  who.accepted_port = static_cast<uint16_t>(std::atoi(port.c_str()));
  who.kind = *(at + 1) == port + "/udp" ? smx::Transport::udp : smx::Transport::tcp;
  who.kind_known = words.back() == "smx/1";
  if (!smx::parse_ip(*(at + 3), &who.client)) return false;
  const smx::ServerSpec* server = smx::choose(run.config, who, Unresolved{});
  *got = server == nullptr ? "none" : kind_text(server->transport) + " " + address_text(server->to);
  return *got == wanted;
}

bool check_args(const std::string& input, const std::string& wanted, std::string* got) {
  Run run;
  smx::View<std::string_view> words;
  Strings shown;
  if (smx::split_words(input, run.arena, &words) == smx::WordsFault::none) {
    for (const std::string_view word : words) shown.push_back("[" + text_of(word) + "]");
  }
  *got = joined(shown, " ");
  return *got == wanted;
}

using Check = bool (*)(const std::string&, const std::string&, std::string*);
struct Kind {
  const char* name;
  Check check;
  int count;
};
Kind kinds[] = {
    {"parse", check_parse, 0}, {"hosts", check_hosts, 0}, {"choose", check_choose, 0}, {"args", check_args, 0}};

// NUMBER KIND INPUT => RESULT [ours]
bool run_line(const std::string& line) {
  const size_t number_end = line.find(' ');
  const size_t kind_end = line.find(' ', number_end + 1);
  // "=>" stands at the end of an empty input, and of an empty result.
  const size_t arrow = (line + " ").find(" => ");
  if (number_end == std::string::npos || kind_end == std::string::npos || arrow == std::string::npos) {
    std::printf("no vector: %s\n", line.c_str());
    return false;
  }
  const std::string name = line.substr(number_end + 1, kind_end - number_end - 1);
  const std::string input = arrow < kind_end + 1 ? "" : line.substr(kind_end + 1, arrow - kind_end - 1);
  std::string wanted = trimmed((line + " ").substr(arrow + 4));
  const std::string mark = "[ours]";
  if (wanted.size() >= mark.size() && wanted.compare(wanted.size() - mark.size(), mark.size(), mark) == 0) {
    wanted = trimmed(wanted.substr(0, wanted.size() - mark.size()));
  }
  for (Kind& kind : kinds) {
    if (kind.name != name) continue;
    ++kind.count;
    std::string got;
    if (kind.check(input, wanted, &got)) return true;
    std::printf("%s %s %s\n    expected: %s\n    got:      %s\n", line.substr(0, number_end).c_str(), kind.name,
                input.c_str(), wanted.c_str(), got.c_str());
    return false;
  }
  std::printf("%s: unknown kind of vector: %s\n", line.substr(0, number_end).c_str(), name.c_str());
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::fprintf(stderr, "usage: option_vectors FILE\n");
    return 64;
  }
  std::ifstream file(argv[1]);
  if (!file) {
    std::fprintf(stderr, "option_vectors: %s: can't be read\n", argv[1]);
    return 66;
  }
  int passed = 0;
  int failed = 0;
  std::string line;
  while (std::getline(file, line)) {
    line = trimmed(line);
    if (line.empty() || line[0] == '#') continue;
    ++(run_line(line) ? passed : failed);
  }
  for (const Kind& kind : kinds) std::printf("%s: %d\n", kind.name, kind.count);
  std::printf("%d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
