// Read next: resolver.h.
#include "core/io/resolver.h"

#include <netdb.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/letters.h"

namespace smx {

namespace {

void set_port(Resolved* r, uint16_t port) {
  for (int i = 0; i < r->count; ++i) r->address[i].port = port;
}

}  // namespace

const char* gai_text(int error) { return error == EAI_SYSTEM ? "system error" : gai_strerror(error); }

Resolver::~Resolver() { reactor_.timers().stop(timer_); }

bool Resolver::resolve(ResolveQuery& query, std::string_view host, uint16_t port, Resolved* now_answer, const void* session) {
  SMX_CHECK(!query.waiting());
  *now_answer = Resolved{};
  if (parse_ip(host, &now_answer->address[0])) {
    now_answer->address[0].port = port;
    now_answer->count = 1;
    return true;
  }
  if (known_ != nullptr) {
    now_answer->count = known_(known_context_, host, now_answer->address);
    for (int i = 0; i < now_answer->count; ++i) now_answer->address[i].port = port;
    if (now_answer->count > 0) return true;
  }
  now_answer->error = EAI_NONAME;
  if (!kHasNames || host.empty() || host.size() > kLongestName) return true;
  now_answer->error = EAI_AGAIN;
  Name* name = place_for(host, session);
  if (name == nullptr) return true;
  if (name->size > 0 && name->id == 0) {
    *now_answer = name->answer;
    set_port(now_answer, port);
    return true;
  }
  if (name->size == 0) {
    memcpy(name->text, host.data(), host.size());
    name->text[host.size()] = 0;
    name->size = host.size();
    name->session = session;
    if (!ask(*name)) {
      name->size = 0;
      return true;
    }
  }
  query.port_ = port;
  name->waiting.push_back(&query);
  return false;
}

// The place of this name (case does not count: RFC 4343) if it is looked up or remembered, else a free one, else that of the oldest answer.
// nullptr: there is none, or the session has its share.
Resolver::Name* Resolver::place_for(std::string_view host, const void* session) {
  Name* place = nullptr;
  int wished = 0, own = 0;
  for (Name& n : name_) {
    if (n.size > 0 && n.id == 0 && n.until <= reactor_.now()) n.size = 0;
    if (n.size > 0 && equal_fold({n.text, n.size}, host)) return &n;
    if (n.size > 0 && n.id != 0) {
      wished += n.session != nullptr;
      own += n.session == session;
      continue;
    }
    if (place == nullptr || (place->size > 0 && (n.size == 0 || n.until < place->until))) place = &n;
  }
  if (session != nullptr && own >= kWished - wished) return nullptr;
  if (place != nullptr) place->size = 0;
  return place;
}

bool Resolver::ask(Name& name) {
  if (!helper_->start()) return false;
  last_id_ = (last_id_ + 1) % Helper::kIds;
  if (last_id_ == 0) ++last_id_;
  const uint32_t limit_s = limit_ < seconds(60000) ? static_cast<uint32_t>(limit_.us / 1000000 + 1) : 60000;
  if (!helper_->look_up(last_id_, limit_s, {name.text, name.size})) return false;
  name.id = last_id_;
  name.until = reactor_.now() + limit_;
  set_timer();
  return true;
}

void Resolver::forget() {
  for (Name& n : name_)
    if (n.id == 0) n.size = 0;
}

void Resolver::set_timer() {
  Time next = kNever;
  for (const Name& n : name_)
    if (n.size > 0 && n.id != 0) next = earlier(next, n.until);
  if (next == kNever) {
    reactor_.timers().stop(timer_);
  } else {
    reactor_.timers().start(timer_, next);
  }
}

// All who wait for it are told, and a copy is kept for a while. One who asks from within gets that copy.
void Resolver::answer(Name& name, const Resolved& r, Time now) {
  name.id = 0;
  name.answer = r;
  name.until = now + (r.count > 0 ? kKeep : kKeepFailure);
  set_timer();
  Resolved told = r;  // the place may be another name's before all have heard
  List<ResolveQuery, &ResolveQuery::node_> waiting;
  while (ResolveQuery* query = name.waiting.front()) {
    query->node_.leave();
    waiting.push_back(query);
  }
  while (ResolveQuery* query = waiting.front()) {
    query->node_.leave();
    set_port(&told, query->port_);
    query->on_resolved(told, now);
  }
}

// Without names nothing is ever asked: what would hear of it is left out.

void Resolver::on_helper_answer(const HelperAnswer& a, Time now) {
  if (!kHasNames) return;
  Resolved r;
  r.error = a.error;
  r.count = a.count < 0 || a.count > Resolved::kMost ? 0 : a.count;
  for (int k = 0; k < r.count; ++k) r.address[k] = a.address[k];
  for (Name& name : name_)
    if (name.size > 0 && name.id != 0 && name.id == a.id) return answer(name, r, now);
}

// What was asked fails.
void Resolver::on_helper_ended(Time now) {
  if (!kHasNames) return;
  Resolved failed;
  failed.error = EAI_AGAIN;
  for (Name& name : name_)
    if (name.size > 0 && name.id != 0) answer(name, failed, now);
}

void Resolver::on_timer(Timer& timer, Time now) {
  (void)timer;
  if (!kHasNames) return;
  Resolved failed;
  failed.error = EAI_AGAIN;
  for (Name& name : name_)
    if (name.size > 0 && name.id != 0 && name.until <= now) answer(name, failed, now);
  set_timer();
}

}  // namespace smx
