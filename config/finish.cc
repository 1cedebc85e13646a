// The end of parsing: lists are joined and their names linked, the words of -in(...) are read, the whole is checked.
// Read next: parser.h.
#include "config/parser.h"

namespace smx {

namespace {

constexpr std::string_view kAnyHost = "0.0.0.0";

}  // namespace

bool Parser::finish() {  // NOLINT(misc-no-recursion): there is no -in() in -in()
  join_lists();
  check_lists();
  for (size_t i = 0; i < servers_.count() && !no_memory_; ++i) {
    if (servers_[i].run) read_options(&servers_[i], server_words_[i]);
  }
  if (outer_ == nullptr && report_->error_count() == 0 && !no_memory_) check_links();
  if (no_memory_ && outer_ != nullptr) outer_->no_memory_ = true;
  if (no_memory_ && outer_ == nullptr) report_->error(kExitConfig, Origin{}, "not enough memory for the options");
  if (no_memory_ || report_->error_count() > 0) return false;
  fill();
  return !no_memory_;
}

// Lists of which there may be several, joined by ','. Each part alone was good, so that the whole is.
void Parser::join_lists() {
  if (!reliable_text_.empty()) config_->reliable = used_list(reliable_word_, reliable_text_, ListUse::reliable);
  // The default is a list of that name, if there is one.
  const bool by_default = outer_ == nullptr && reliable_text_.empty() && permits_.count() == 0;
  for (const NamedList& n : named_)
    if (by_default && n.name == ".localnet") config_->reliable = used_list(n.word, n.name, ListUse::reliable);
  if (!reachable_text_.empty()) config_->reachable = used_list(reachable_word_, reachable_text_, ListUse::servers);
  if (remittable_text_.empty()) return;
  ListFault fault;
  config_->remittable = parse_proto_list(remittable_text_, arena_, &fault);
  if (config_->remittable == nullptr) fail_why(remittable_word_, fault.text);
}

HostList* Parser::find_list(std::string_view name) {  // NOLINT(misc-no-recursion): of the outer parser, which is the outermost
  for (const NamedList& n : named_) {
    if (n.name == name) return n.list;
  }
  return outer_ == nullptr ? nullptr : outer_->find_list(name);
}

// The last HOSTS of a name holds.
const HostEntry* Parser::find_host(std::string_view name) {  // NOLINT(misc-no-recursion): as find_list()
  for (size_t i = hosts_.count(); i-- > 0;) {
    if (equal_fold(hosts_[i].name, name)) return &hosts_[i];
  }
  return outer_ == nullptr ? nullptr : outer_->find_host(name);
}

void Parser::add_name(std::string_view name) {  // NOLINT(misc-no-recursion): as find_list()
  if constexpr (!kHasNames) return no_name(name, Origin{});
  if (outer_ != nullptr) return outer_->add_name(name);
  for (const std::string_view old : names_) {
    if (equal_fold(old, name)) return;
  }
  Word nowhere;
  nowhere.in_file = true;
  add(names_, name, nowhere, "names in lists of hosts (more than 1024)");
}

// Without names every host is one of HOSTS=, localhost, or an address.
void Parser::no_name(std::string_view host, const Origin& where) {
  Address a;
  if (host.empty() || parse_ip(host, &a) || equal_fold(host, "localhost") || find_host(host) != nullptr) return;
  report_->error(kExitConfig, where, "'%': this sockmuxd was built without names (make WITHOUT=); write its address, or HOSTS=%/address", {host, host});
}

void Parser::check_names() {
  for (const LinkSpec& l : links_) no_name(l.at.host, l.origin);
  for (const Accept& a : accepts_) no_name(a.at.host, a.word.origin);
  for (const ListenSpec& l : listens_) no_name(l.at.host, l.origin);
  for (const ServerSpec& s : servers_) no_name(s.to.host, s.origin);
  for (const ServerSpec& s : dests_) no_name(s.to.host, s.origin);
  no_name(config_->source.host, Origin{});
}

// What a word in a list means: a named list, an address of HOSTS, loopback, or a name for the resolver.
void Parser::link_name(HostTerm* term) {
  term->list = find_list(term->name);
  if (term->list != nullptr) {
    term->kind = HostTerm::Kind::list;
    return;
  }
  if (term->kind == HostTerm::Kind::localnet) return;
  const HostEntry* entry = find_host(term->name);
  term->is_fixed = entry != nullptr || equal_fold(term->name, "localhost");
  if (entry != nullptr) {
    term->fixed = entry->addresses;
  } else if (term->is_fixed) {
    term->fixed = {kLocalhost, 2};
  } else {
    add_name(term->name);
  }
}

// Only {...} is walked into: a named list is linked where it was defined.
void Parser::link_names(HostList* list) {  // NOLINT(misc-no-recursion): kMaxBraces
  for (size_t i = 0; i < list->count; ++i) {
    HostTerm* term = &list->terms[i];
    if (term->kind == HostTerm::Kind::list && term->name.empty()) link_names(term->list);
    if (term->kind == HostTerm::Kind::name || term->kind == HostTerm::Kind::localnet) link_name(term);
  }
}

// Counts what one evaluation costs; false if the list names itself, or costs too much.
bool Parser::measure(HostList* list, const Word& w) {  // NOLINT(misc-no-recursion): each list once, of kMaxHostLists
  if (list->mark == HostList::Mark::done) return true;
  if (list->mark == HostList::Mark::open) {
    fail_with(kExitConfig, w, "the list '%' contains itself", {list->text});
    return false;
  }
  list->mark = HostList::Mark::open;
  bool good = true;
  for (size_t i = 0; i < list->count && good; ++i) {
    const HostTerm& term = list->terms[i];
    list->cost += 1;
    if (term.kind == HostTerm::Kind::ports) list->has_ports = true;
    if (term.kind != HostTerm::Kind::list) continue;
    good = measure(term.list, w);
    list->cost += term.list->cost;
    if (term.list->depth + 1 > list->depth) list->depth = term.list->depth + 1;
    list->has_ports = list->has_ports || term.list->has_ports;
    if (!good || (list->cost <= kMaxListCost && list->depth <= kMaxListDepth)) continue;
    fail_with(kExitConfig, w, "lists that name lists: more than 32 inside of each other, or 65536 hosts in all");
    good = false;
  }
  list->mark = HostList::Mark::done;
  return good;
}

void Parser::check_lists() {
  if (no_memory_) return;
  for (const NamedList& n : named_) link_names(n.list);
  for (const UsedList& u : used_) link_names(u.list);
  for (const NamedList& n : named_) {
    if (!measure(n.list, n.word)) return;
  }
  for (const UsedList& u : used_) {
    if (!measure(u.list, u.word)) return;
    if (u.list->has_ports && u.use != ListUse::clients) {
      fail(u.word, "a list in it has a -P, which can't be checked here");
    }
  }
}

// The words of -in(...), by a parser of their own. Times and limits that they do not set are ours.
void Parser::read_options(ServerSpec* server, const Word& w) {  // NOLINT(misc-no-recursion): as finish()
  Config* options = arena_.make<Config>();
  void* memory = arena_.take(sizeof(Parser), alignof(Parser));
  if (options == nullptr || memory == nullptr) {
    no_memory_ = true;
    return;
  }
  options->connect_timeout = config_->connect_timeout;
  options->linger_timeout = config_->linger_timeout;
  options->io_timeout = config_->io_timeout;
  options->hello_timeout = config_->hello_timeout;
  options->dns_timeout = config_->dns_timeout;
  options->login_timeout = config_->login_timeout;
  options->udp_timeout = config_->udp_timeout;
  options->max_per_client = config_->max_per_client;
  options->max_programs = config_->max_programs;
  options->max_udp_flows = config_->max_udp_flows;
  options->source = config_->source;
  options->send_proxy = config_->send_proxy;
  options->log_level = config_->log_level;
  Parser* inner = new (memory) Parser(files_, arena_, options, report_, this);
  for (const std::string_view text : server->words) {
    Word word = w;
    word.text = text;
    inner->word(word);
  }
  inner->finish();
  server->options = options;
  server->missing_file = inner->missing_file_;
  const bool has_program = !options->xcom.empty() || !options->xfil.empty();
  if (server->label != "exec" && has_program) {
    fail(w, "XCOM and XFIL go with exec: SERVER=exec,-in(XCOM=command)");
  }
  if (kHasSendProxy && inner->sends_proxy_ && server->label != "tcprelay") {
    fail(w, "SOXCONF=send-proxy goes with servers that get bytes unchanged: SERVER=tcprelay://host:port,-in(SOXCONF=send-proxy:v2)");
  }
  if (kHasExec && server->label == "exec" && !has_program && server->missing_file.empty()) {
    fail(w, "exec needs a command: SERVER=exec,-in(XCOM=command) or XFIL=command");
  }
}

// The links: is there one, and are they whole?
void Parser::check_links() {
  const Origin whole;
  if (!accepts_links_ && links_.count() == 0) {
    if (!is_function_) {
      return report_->error(kExitConfig, whole, "no link: SERVER=sockmux with -Pport, or SERVER=sockmux://host:port");
    }
    accepts_links_ = true;
    accept_.kind = LinkSpec::Kind::accept_tcp;
  }
  if (accepts_links_) {
    if (accepts_.count() == 0) {
      report_->error(kExitConfig, whole, "SERVER=sockmux needs -Pport, where links are accepted");
    }
  } else {
    for (size_t i = 0; i < accepts_.count(); ++i) {
      const Word& w = accepts_[i].word;
      const bool is_new = i == 0 || accepts_[i - 1].word.text.data() != w.text.data();
      if (is_new)
        warn(w, "is not opened, since % makes its link itself; SERVER=sockmux opens it, too", {link_words_[0].text});
    }
  }
  for (size_t i = 0; i < links_.count(); ++i) {
    const LinkSpec& link = links_[i];
    if (kHasFifo && link.kind == LinkSpec::Kind::fifo && (link.in_path.empty() || link.out_path.empty())) {
      report_->error(kExitConfig, whole, "%: commin and commout are both needed, one FIFO each way",
                     {link_words_[i].text});
    }
    if (kHasStdio && link.kind == LinkSpec::Kind::stdio && (accepts_links_ || links_.count() > 1)) {
      report_->error(kExitConfig, whole, "%: the daemon ends with this link, so there can be no other",
                     {link_words_[i].text});
    }
  }
  if constexpr (!kHasFailover) {
    const bool is_beside = accepts_links_ && links_.count() > 0 && (links_[0].kind == LinkSpec::Kind::fifo || links_[0].kind == LinkSpec::Kind::device);
    if (is_beside || links_.count() > 1) (void)left_out(link_words_[links_.count() - 1], "failover");
  }
  if (kHasLossy && config_->line == Config::Line::lossy && config_->proto == Config::Proto::v03) {
    report_->error(kExitConfig, whole,
                   "SOXCONF=line:lossy needs SockMux 1; proto:0.3 has no frames that could be repaired");
  }
  check_ports();
  check_named_ports();
  check_far_ports();
  if constexpr (!kHasNames) check_names();
  if constexpr (!kHasSyslog) check_log();
}

// Without syslog a daemon in the background has no place for its log but LOGFILE.
void Parser::check_log() {
  if (config_->foreground || config_->log_stderr || config_->logfile_given) return;
  for (const LinkSpec& l : links_) {
    if (l.kind == LinkSpec::Kind::stdio) return;  // which stays in the foreground
  }
  report_->warn(Origin{}, "nothing is logged: this sockmuxd was built without syslog (make WITHOUT=); give LOGFILE=file, or -f");
}

// RPORT=: is there a peer who could give us a port?
void Parser::check_far_ports() {
  if (far_listens_.count() == 0) return;
  const Origin& where = far_listens_[0].origin;
  bool can_ask = false;
  for (const LinkSpec& link : links_) {
    const bool is_line = link.kind == LinkSpec::Kind::fifo || link.kind == LinkSpec::Kind::device;
    can_ask = can_ask || (link.secure && !(accepts_links_ && is_line));
  }
  if (!can_ask) {
    report_->error(kExitConfig, where,
                   "a peer gives ports only over a secure link, which we make: SERVER=sockmuxs://host:port");
  }
  if (config_->proto == Config::Proto::v03) {
    report_->error(kExitConfig, where, "SOXCONF=proto:0.3 has no way to ask a peer for ports");
  }
}

// PORT=NAME@port: can there be a session of that peer?
void Parser::check_named_ports() {
  for (const ListenSpec& listen : listens_) {
    if (listen.peer.empty()) continue;
    bool any_secure = accepts_links_ && accept_.secure;
    bool is_reached = any_secure;
    for (const LinkSpec& link : links_) {
      any_secure = any_secure || link.secure;
      is_reached = is_reached || (link.secure && (link.peer.empty() || link.peer == listen.peer));
    }
    if (is_reached) continue;
    if (any_secure) {
      report_->error(kExitConfig, listen.origin, "'%@': no link here leads to %", {listen.peer, listen.peer});
    } else {
      report_->error(kExitConfig, listen.origin,
                     "'%@' is for clients of that peer alone, and only secure links know their peers; write "
                     "SERVER=sockmuxs in place of SERVER=sockmux, or PORT= without a name",
                     {listen.peer});
    }
    return;
  }
}

void Parser::check_ports() {
  if (!accepts_links_) return;
  for (const ListenSpec& listen : listens_) {
    if (listen.transport != Transport::tcp || listen.at.port == 0) continue;
    for (const Accept& accept : accepts_) {
      const std::string_view a = listen.at.host.empty() ? kAnyHost : listen.at.host;
      const std::string_view b = accept.at.host.empty() ? kAnyHost : accept.at.host;
      const bool same = equal_fold(a, b) || a == kAnyHost || b == kAnyHost;
      if (listen.at.port != accept.at.port || !same) continue;
      report_->error(kExitConfig, listen.origin,
                     "PORT and % are the same port; links and clients need ports of their own", {accept.word.text});
    }
  }
}

// The Config, from what was collected.
void Parser::fill() {
  GrowList<LinkSpec> links(kMaxAccepts + kMaxLinks);
  for (size_t i = 0; outer_ == nullptr && accepts_links_ && i < accepts_.count(); ++i) {
    LinkSpec link = accept_;
    link.at = accepts_[i].at;
    link.origin = accepts_[i].word.origin;
    no_memory_ = !links.add(arena_, link) || no_memory_;
  }
  for (const LinkSpec& link : links_) no_memory_ = !links.add(arena_, link) || no_memory_;
  GrowList<ServerSpec> servers(2 * kMaxServers);
  for (const ServerSpec& s : servers_) no_memory_ = !servers.add(arena_, s) || no_memory_;
  for (const ServerSpec& s : dests_) no_memory_ = !servers.add(arena_, s) || no_memory_;
  if (no_memory_) return report_->error(kExitConfig, Origin{}, "not enough memory for the options");
  config_->links = links.view();
  config_->servers = servers.view();
  config_->listens = listens_.view();
  config_->remote_listens = far_listens_.view();
  config_->permit = permits_.view();
  config_->reject = rejects_.view();
  config_->env = env_.view();
  config_->hosts = hosts_.view();
  config_->names = names_.view();
  config_->settings = settings_.view();
}

}  // namespace smx
