// The inside of parse_command_line(): one walk over the words, then a look at the whole.
//
//     words --word()--> option() | parameter() | include()       parse.cc, include.cc
//          parameter() --kHandlers--> on_server(), on_port() ... link.cc server.cc values.cc settings.cc lists.cc
//     finish()         joins lists, links names, reads the words of -in(...), checks the whole       finish.cc
//
// A second Parser with `outer_` set reads the words of one -in(...) into a Config of its own.
//
// Invariant: nothing throws or allocates but in the arena; an arena that is used up is noted in no_memory_ and becomes
// one error at the end. Read next: parse.cc.
#ifndef SOCKMUX_CONFIG_PARSER_H
#define SOCKMUX_CONFIG_PARSER_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "config/config.h"
#include "config/hostlist.h"
#include "config/parse.h"
#include "config/ports.h"
#include "config/report.h"
#include "config/scan.h"
#include "core/base/arena.h"
#include "core/base/features.h"

namespace smx {

// One word, and where it was written. A NUL stands behind its end.
struct Word {
  std::string_view text;
  Origin origin;
  bool in_file = false;
};

class Parser {
 public:
  Parser(FileSource& files, Arena& arena, Config* config, Report* report, Parser* outer = nullptr);
  Parser(const Parser&) = delete;
  Parser& operator=(const Parser&) = delete;

  void word(const Word& w);
  // The whole, once all words were given. False if there are errors.
  bool finish();

 private:
  using Value = std::string_view;
  using Handle = void (Parser::*)(const Word&, Value);
  struct Handler {
    char name[11];
    bool at_top;    // on the command line and in files
    bool in_words;  // inside of -in(...)
    Handle run;
  };
  // nullptr: none has that name.
  template <size_t kCount>
  static const Handler* find(const Handler (&table)[kCount], std::string_view name) {
    return find(table, kCount, name);
  }
  static const Handler* find(const Handler* table, size_t count, std::string_view name);
  bool has_place(const Handler& h) const { return outer_ != nullptr ? h.in_words : h.at_top; }
  static const Handler kHandlers[];
  static const Handler kOptions[];  // exact ones
  static const Handler kGlued[];    // with a value behind them

  // A file that is being read, and those that named it.
  struct Frame {
    std::string_view path;
    std::string_view label;
    bool part_only = false;
    const Frame* caller = nullptr;
    size_t depth = 1;
  };
  // A list that is in use, for linking.
  struct UsedList {
    HostList* list = nullptr;
    ListUse use = ListUse::clients;
    Word word;
  };
  struct NamedList {
    std::string_view name;
    HostList* list = nullptr;
    Word word;
  };
  struct Accept {
    HostPort at;
    bool is_from_p = false;  // the next -P takes it away
    Word word;
  };

  // parse.cc
  void option(const Word& w);
  void parameter(const Word& w);
  void unknown_parameter(const Word& w, std::string_view name);
  void on_foreground(const Word&, Value);
  void on_verbose(const Word&, Value letters);
  void on_env(const Word& w, Value value);
  void on_function(const Word& w, Value name);
  void on_check(const Word&, Value);
  void on_ignored_option(const Word& w, Value);
  void on_help(const Word&, Value);
  void on_version(const Word&, Value);
  // Errors and memory
  static int status_of(const Word& w);
  void fail(const Word& w, const char* words);
  void fail(const Word& w, const char* words, Value a);
  void fail(const Word& w, const char* words, Value a, Value b);
  void fail(const Word& w, const char* words, Value a, Value b, Value c);
  void fail(const Word& w, const char* words, Value a, Value b, Value c, Value d);
  void fail_with(int status, const Word& w, const char* words, Views views = {});
  void warn(const Word& w, const char* words, Views views = {});
  // A word asks for a feature that is not in this build. False.
  bool left_out(const Word& w, std::string_view feature);
  // A parse function said no: its reason, or "no memory" if it gave none.
  void fail_why(const Word& w, const TextBase& why);
  template <typename T>
  bool add(GrowList<T>& list, const T& value, const Word& w, const char* what) {
    return put(list, &value, sizeof value, w, what);
  }
  bool put(GrowBase& list, const void* value, size_t size, const Word& w, const char* what);
  // A text in the arena, with a NUL behind it; of `a`, `between` and `b`.
  std::string_view keep_text(std::string_view text);
  std::string_view keep_text(std::string_view a, const char* between, std::string_view b);
  // NAME=VALUE for -t. A single one (key: of a word of a list) replaces what stands there, with a warning.
  void keep_single(const Word& w, const char* name, std::string_view key, std::string_view value);
  void keep_more(const Word& w, const char* name, std::string_view value);
  // A text that is kept in `field`, too.
  void keep_value(const Word& w, const char* name, std::string_view value, std::string_view Config::*field);
  // "a" and "b" become "a,b".
  std::string_view keep_joined(const Word& w, const char* name, std::string_view value);

  // include.cc
  void include(const Word& w, std::string_view spec, std::string_view name_and_prefix);
  void read_lines(const Word& w, const Frame& frame, std::string_view text, std::string_view name_and_prefix);
  void one_line(const Frame& frame, const struct Line& line, std::string_view name_and_prefix);
  bool find_file(const Word& w, std::string_view path, FileText* text, std::string_view* found);

  // link.cc
  void on_accept(const Word& w, Value value);
  void on_accept_more(const Word& w, Value value);
  void accept_items(const Word& w, Value value, bool is_from_p);
  void on_port(const Word& w, Value value);
  void on_far_port(const Word& w, Value value);
  void listen_items(const Word& w, Value value, bool far);
  void listen_item(const Word& w, std::string_view item, bool far);
  void link_server(const Word& w, Value value);
  bool link_address(const Word& w, std::string_view rest, LinkSpec* link);
  bool link_device(const Word& w, std::string_view rest, LinkSpec* link);
  void add_link(const Word& w, const LinkSpec& link);
  bool add_half(const Word& w, const LinkSpec& half);

  // server.cc
  void on_server(const Word& w, Value value);
  bool server_protocol(const Word& w, std::string_view name, bool has_url, ServerSpec* server);
  bool server_address(const Word& w, std::string_view url, ServerSpec* server);
  bool server_tail(const Word& w, std::string_view tail, ServerSpec* server);
  bool condition(const Word& w, std::string_view text, ServerSpec* server);
  void wrong_main(const Word& w, Value value);
  void on_dest(const Word& w, Value value);
  bool dest_port(const Word& w, std::string_view host, std::string_view text, ServerSpec* server);

  // values.cc
  using HandleItem = void (Parser::*)(const Word&, std::string_view name, std::string_view value);
  void each_item(const Word& w, Value value, const char* expected, HandleItem handle);
  void unknown_word(const Word& w, const char* parameter, const char* ignored, std::string_view name,
                    Nearest* nearest);
  void keep_number(const Word& w, const char* parameter, std::string_view name, uint64_t n);
  void on_timeout(const Word& w, Value value);
  void timeout_item(const Word& w, std::string_view name, std::string_view period);
  void on_maxima(const Word& w, Value value);
  void maxima_item(const Word& w, std::string_view name, std::string_view number);
  void on_soxconf(const Word& w, Value value);
  void soxconf_item(const Word& w, std::string_view name, std::string_view value);
  void packet_size(const Word& w, std::string_view value);
  bool peer_name(const Word& w, std::string_view name, size_t longest);

  // settings.cc
  void on_owner(const Word& w, Value value);
  void need_value(const Word& w, const char* name, Value value, std::string_view Config::*field, const char* missing);
  void on_chroot(const Word& w, Value value);
  void on_umask(const Word& w, Value value);
  void on_pidfile(const Word& w, Value value);
  void on_logfile(const Word& w, Value value);
  void on_syslog(const Word& w, Value value);
  void on_srcif(const Word& w, Value value);
  void on_xcom(const Word& w, Value value);
  void on_xfil(const Word& w, Value value);
  // lists.cc
  void on_reliable(const Word& w, Value value);
  void on_reachable(const Word& w, Value value);
  void on_remittable(const Word& w, Value value);
  void on_permit(const Word& w, Value value);
  void on_reject(const Word& w, Value value);
  void access_rule(const Word& w, Value value, const char* name, GrowList<AccessRule>& rules);
  void on_hostlist(const Word& w, Value value);
  void on_hosts(const Word& w, Value value);
  void hosts_item(const Word& w, std::string_view item);
  HostList* host_list(const Word& w, std::string_view text, ListUse use);
  HostList* used_list(const Word& w, std::string_view text, ListUse use);

  // finish.cc
  void join_lists();
  void link_names(HostList* list);
  void link_name(HostTerm* term);
  bool measure(HostList* list, const Word& w);
  void check_lists();
  HostList* find_list(std::string_view name);
  const HostEntry* find_host(std::string_view name);
  void add_name(std::string_view name);
  void no_name(std::string_view host, const Origin& where);
  void check_names();
  void read_options(ServerSpec* server, const Word& w);
  void check_links();
  void check_log();
  void check_ports();
  void check_named_ports();
  void check_far_ports();
  void fill();

  FileSource& files_;
  Arena& arena_;
  Config* config_;
  Report* report_;
  Parser* outer_;  // nullptr: this one reads the command line
  bool no_memory_ = false;
  size_t words_ = 0;
  size_t files_read_ = 0;
  const Frame* frame_ = nullptr;
  std::string_view missing_file_;  // of -in(...)
  bool sends_proxy_ = false;       // SOXCONF=send-proxy was given

  bool swallows_bare_ = false;  // "-P 9000": the error is told once, for -P

  bool accepts_links_ = false;  // SERVER=sockmux: at -P
  bool is_function_ = false;    // -Fsockmux
  LinkSpec accept_;
  Word accept_word_;
  // Links that are made, the best first; a FIFO link may lack one half until the end.
  GrowList<LinkSpec> links_{kMaxLinks};
  GrowList<Word> link_words_{kMaxLinks};  // beside links_: the first word of each
  GrowList<Accept> accepts_{kMaxAccepts};
  GrowList<ListenSpec> listens_{kMaxListens};
  GrowList<ListenSpec> far_listens_{kMaxFarListens};
  GrowList<ServerSpec> servers_{kMaxServers};
  GrowList<Word> server_words_{kMaxServers};  // beside servers_
  GrowList<ServerSpec> dests_{kMaxServers};
  GrowList<AccessRule> permits_{kMaxRules};
  GrowList<AccessRule> rejects_{kMaxRules};
  GrowList<std::string_view> env_{kMaxEnv};
  GrowList<Setting> settings_{kMaxSettings};
  GrowList<NamedList> named_{kMaxHostLists};
  GrowList<UsedList> used_{2 * kMaxServers + 4 * kMaxRules + 2};
  GrowList<HostEntry> hosts_{kMaxHostNames};
  GrowList<std::string_view> names_{kMaxHostNames};
  std::string_view reliable_text_, reachable_text_, remittable_text_;
  Word reliable_word_, reachable_word_, remittable_word_;
};

}  // namespace smx

#endif
