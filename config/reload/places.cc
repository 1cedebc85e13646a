// Read next: places.h.
#include "config/reload/places.h"

#include "config/reload/compare.h"
#include "core/base/check.h"

namespace smx {

bool ServerPlaces::init(const Config& config, size_t most, Arena& arena) {
  start_ = config.servers;
  most_ = most;
  place_ = arena.raw<ServerPlace>(most);
  of_ = arena.raw<ServerPlace*>(most);
  if (most > 0 && (place_ == nullptr || of_ == nullptr)) return false;
  for (const ServerSpec& s : config.servers) take(s, start_);
  return true;
}

const ServerPlace* ServerPlaces::find(const ServerSpec* spec) const {
  for (size_t i = 0; i < count_; ++i)
    if (place_[i].spec == spec) return &place_[i];
  return nullptr;
}

void ServerPlaces::take(const ServerSpec& spec, View<ServerSpec> known) {
  size_t i = 0;
  while (i < count_ && place_[i].used) ++i;
  SMX_CHECK(i < most_);
  if (i == count_) ++count_;
  ServerPlace& p = *new (&place_[i]) ServerPlace();
  p.used = true;
  p.spec = &spec;
  p.label.add(spec.label);
  if (spec.has_address) p.host.add(spec.to.host);
  if (!spec.run || spec.label != "exec") return;
  for (const ServerSpec& s : known) {
    if (!same_program(s, spec)) continue;
    const std::string_view command = s.options->xcom.empty() ? s.options->xfil : s.options->xcom;
    p.command = command.data();
    p.command_size = command.size();
    return;
  }
}

// Those that are the same in each word first, so that of two that go to one place each keeps its own.
void ServerPlaces::match(const Config& next) {
  SMX_CHECK(next.servers.count <= most_);
  added_ = removed_ = 0;
  for (size_t k = 0; k < next.servers.count; ++k) of_[k] = nullptr;
  const auto claim = [&](bool (*same)(const ServerSpec&, const ServerSpec&)) {
    for (size_t k = 0; k < next.servers.count; ++k) {
      for (size_t i = 0; of_[k] == nullptr && i < count_; ++i) {
        ServerPlace& p = place_[i];
        if (!p.used || p.spec == nullptr || !same(*p.spec, next.servers[k])) continue;
        of_[k] = &p;
        p.spec = nullptr;  // taken
      }
    }
  };
  claim(same_server);
  claim(same_target);
  for (size_t i = 0; i < count_; ++i) {
    if (place_[i].used && place_[i].spec != nullptr) ++removed_;
    place_[i].spec = nullptr;
  }
  for (size_t k = 0; k < next.servers.count; ++k)
    if (of_[k] != nullptr) of_[k]->spec = &next.servers[k];
}

void ServerPlaces::settle(const Config& next) {
  for (size_t i = 0; i < count_; ++i)
    if (place_[i].spec == nullptr) place_[i].used = false;
  for (size_t k = 0; k < next.servers.count; ++k) {
    if (of_[k] != nullptr) continue;
    take(next.servers[k], start_);
    ++added_;
  }
}

}  // namespace smx
