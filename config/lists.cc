// Parameters that are lists of hosts: RELIABLE, PERMIT, REJECT, REACHABLE, REMITTABLE, HOSTLIST, HOSTS.
// Read next: hostlist.h, finish.cc (where names are linked), choose.h (what the rules do).
#include "config/parser.h"

namespace smx {

// A list that is only looked at; nullptr: the error has been told.
HostList* Parser::host_list(const Word& w, std::string_view text, ListUse use) {
  ListFault fault;
  HostList* list = parse_host_list(text, use, arena_, &fault);
  if (list == nullptr) {
    fail_why(w, fault.text);
  } else if (fault.note.size() > 0) {
    warn(w, "%", {fault.note.text()});
  }
  return list;
}

// A list that will be used: its names are linked at the end.
HostList* Parser::used_list(const Word& w, std::string_view text, ListUse use) {
  HostList* list = host_list(w, text, use);
  if (list != nullptr && !add(used_, UsedList{list, use, w}, w, "lists of hosts")) return nullptr;
  return list;
}

void Parser::on_reliable(const Word& w, Value value) {
  const HostList* list = host_list(w, value, ListUse::reliable);
  if (list == nullptr) return;
  reliable_text_ = keep_joined(w, "RELIABLE", list->text);
  reliable_word_ = w;
}

void Parser::on_reachable(const Word& w, Value value) {
  const HostList* list = host_list(w, value, ListUse::servers);
  if (list == nullptr) return;
  reachable_text_ = keep_joined(w, "REACHABLE", list->text);
  reachable_word_ = w;
}

void Parser::on_remittable(const Word& w, Value value) {
  ListFault fault;
  if (parse_proto_list(value, arena_, &fault) == nullptr) return fail_why(w, fault.text);
  remittable_text_ = keep_joined(w, "REMITTABLE", trim(value));
  remittable_word_ = w;
}

void Parser::on_permit(const Word& w, Value value) { access_rule(w, value, "PERMIT", permits_); }
void Parser::on_reject(const Word& w, Value value) { access_rule(w, value, "REJECT", rejects_); }

// protocol:servers:clients; each is a list, * is all.
void Parser::access_rule(const Word& w, Value value, const char* name, GrowList<AccessRule>& rules) {
  AccessRule rule;
  rule.text = keep_text(trim(value));
  const size_t one = find_outside(rule.text, ':');
  const std::string_view behind = one == kNowhere ? std::string_view{} : skip(rule.text, one + 1);
  const size_t two = find_outside(behind, ':');
  rule.protocols = trim(first(rule.text, one));
  const std::string_view servers = trim(first(behind, two));
  const std::string_view clients = two == kNowhere ? std::string_view{} : trim(skip(behind, two + 1));
  if (rule.protocols.empty() || servers.empty() || clients.empty()) {
    return fail(w, "expected three fields, protocol:servers:clients; * is all");
  }
  ListFault fault;
  rule.protocol_list = parse_proto_list(rule.protocols, arena_, &fault);
  if (rule.protocol_list == nullptr) return fail_why(w, fault.text);
  if (rule.protocol_list->adds_to_default) return fail(w, "'+' has no meaning here; give the protocols");
  rule.servers = used_list(w, servers, ListUse::servers);
  if (rule.servers == nullptr) return;
  rule.clients = used_list(w, clients, ListUse::clients);
  if (rule.clients == nullptr) return;
  rule.at_exit = rule.protocols != "*" || rule.servers->text != "*";
  if (add(rules, rule, w, "rules")) keep_more(w, name, rule.text);
}

// name:list, name:+,more
void Parser::on_hostlist(const Word& w, Value value) {
  const size_t colon = place_of(value, ':');
  const std::string_view name = trim(first(value, colon));
  if (colon == kNowhere) return fail(w, "expected name:list, with ':' between them");
  if (name != ".localnet" && !is_host_name(name)) return fail(w, "'%' is no name of a list; expected name:list", name);
  std::string_view text = trim(skip(value, colon + 1));
  NamedList* old = nullptr;
  for (NamedList& n : named_) {
    if (n.name == name) old = &n;
  }
  const bool adds = first(text, 1) == "+" && find_outside(text, ',') == 1;
  if (adds) text = skip(text, 2);
  HostList* list = host_list(w, text, ListUse::clients);
  if (list == nullptr) return;
  if (adds && old != nullptr) {
    // One list of both texts, so that a "!" at its start keeps its meaning.
    list = host_list(w, keep_text(old->list->text, ",", list->text), ListUse::clients);
    if (list == nullptr) return;
    for (Setting& s : settings_) {
      if (s.name == "HOSTLIST" && starts_with(s.value, name) && first(skip(s.value, name.size()), 1) == ":") {
        s.value = keep_text(name, ":", list->text);
      }
    }
  } else {
    keep_single(w, "HOSTLIST", keep_text(name), list->text);
  }
  if (old == nullptr) {
    add(named_, NamedList{keep_text(name), list, w}, w, "HOSTLIST");
  } else {
    old->list = list;
    old->word = w;
  }
}

void Parser::on_hosts(const Word& w, Value value) {
  if (!is_balanced(value)) return fail(w, "'%': { and } do not match", value);
  Items items(value);
  std::string_view item;
  if (trim(value).empty()) fail(w, "expected name/address or {name,...}/{address,...}");
  while (items.next(&item)) hosts_item(w, item);
}

void Parser::hosts_item(const Word& w, std::string_view item) {
  const size_t slash = find_outside(item, '/');
  if (slash == kNowhere) return fail(w, "'%': expected name/address", item);
  GrowList<Address> addresses(kMaxHostAddresses);
  Items address_items(without_braces(skip(item, slash + 1)));
  std::string_view part;
  while (address_items.next(&part)) {
    Address a;
    if (!parse_ip(part, &a)) return fail(w, "'%': '%' is no address; expected name/address", item, part);
    if (!add(addresses, a, w, "addresses of one name")) return;
  }
  if (addresses.count() == 0) return fail(w, "'%': an address is missing; expected name/address", item);
  Items name_items(without_braces(first(item, slash)));
  size_t names = 0;
  while (name_items.next(&part)) {
    if (!is_host_name(part)) return fail(w, "'%': '%' is no name; expected name/address", item, part);
    if (!add(hosts_, HostEntry{keep_text(part), addresses.view()}, w, "names of HOSTS")) return;
    ++names;
  }
  if (names == 0) return fail(w, "'%': a name is missing; expected name/address", item);
  keep_more(w, "HOSTS", keep_text(item));
}

}  // namespace smx
