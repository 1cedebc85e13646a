// What is said of a reload: in the log, and to sockmuxctl. Read next: daemon_reload.cc, tools/ctl/reload.cc.
#include "core/io/log.h"
#include "daemon.h"

namespace smx {

void Daemon::log_reload() const {
  for (const Problem& p : report_.errors()) LogLine(LogLevel::error, "reload-failed").kv("reason", p.text.text());
  for (const Problem& p : report_.warnings()) LogLine(LogLevel::warning, "reload-warning").kv("reason", p.text.text());
  if (reloaded_.outcome == Reloaded::Outcome::failed) return;
  LogLine line(LogLevel::info, "reloaded");
  if (reloaded_.outcome == Reloaded::Outcome::unchanged) {
    line.kv("unchanged", "yes");
    return;
  }
  line.kv("ports_added", reloaded_.ports_added).kv("ports_removed", reloaded_.ports_removed);
  line.kv("servers_added", reloaded_.servers_added).kv("servers_removed", reloaded_.servers_removed);
  line.kv("links_moved", reloaded_.links_moved).kv("channels_ended", reloaded_.channels_ended);
  if (rports_changed()) line.kv("rports_added", reloaded_.rports_added).kv("rports_removed", reloaded_.rports_removed);
}

// Errors and warnings of the configuration, those of the peers file, and the outcome.
uint32_t Daemon::reload_lines() const {
  size_t n = report_.errors().count + report_.warnings().count + 1;
  if (secure_ != nullptr) n += secure_->report().errors().count + secure_->report().warnings().count;
  return static_cast<uint32_t>(n);
}

void Daemon::reload_line(uint32_t i, ControlReply& reply) const {
  Text<ControlReply::kLine> line;
  const Report* reports[] = {&report_, secure_ == nullptr ? nullptr : &secure_->report()};
  bool peers_wrong = false;
  for (const Report* r : reports) {
    if (r == nullptr) continue;
    peers_wrong = r != &report_ && r->error_count() > 0;
    for (const bool errors : {true, false}) {
      const View<Problem> list = errors ? r->errors() : r->warnings();
      if (i < list.count) return reply.line(line.add(errors ? "error\t" : "warning\t").add(list[i].text.text()).text());
      i -= static_cast<uint32_t>(list.count);
    }
  }
  line.add(peers_wrong || reloaded_.outcome == Reloaded::Outcome::failed ? "failed\t" : "done\t");
  switch (reloaded_.outcome) {
    case Reloaded::Outcome::failed: line.add("the options stay as they were"); break;
    case Reloaded::Outcome::nothing: line.add("the options are those of the command line, without a file"); break;
    case Reloaded::Outcome::unchanged: line.add("the options are the same as before"); break;
    case Reloaded::Outcome::changed:
      line.add("ports: ").add_u(reloaded_.ports_added).add(" opened, ").add_u(reloaded_.ports_removed).add(" closed; servers: ");
      line.add_u(reloaded_.servers_added).add(" more, ").add_u(reloaded_.servers_removed).add(" less; ");
      if (rports_changed()) line.add("RPORT: ").add_u(reloaded_.rports_added).add(" more, ").add_u(reloaded_.rports_removed).add(" less; ");
      if (reloaded_.links_moved > 0) line.add("links: ").add_u(reloaded_.links_moved).add(" moved; ");
      line.add("channels: ").add_u(reloaded_.channels_ended).add(" ended");
      break;
  }
  if (peers_wrong) line.add("; the peers file stays as it was");
  reply.line(line.text());
}

bool Daemon::tell_reload(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  if (d.ending_ != Ending::no) return reply.fail("reload: the daemon ends"), true;
  if (*next == 0) d.reload("sockmuxctl reload", d.reactor_.now());
  for (; *next < d.reload_lines(); ++*next) {
    if (!reply.has_room()) return false;
    d.reload_line(*next, reply);
  }
  return true;
}

}  // namespace smx
