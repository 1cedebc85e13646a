// `sockmuxctl status`, and SIGUSR1: figures of the whole daemon. Both tell the same, counted here once.
//
// Read next: daemon_tell.h, daemon_ports.cc. Source: sockmuxctl(8), sockmuxd(8), "SIGNALS".
#include <unistd.h>

#include "config/choose.h"
#include "core/io/log.h"
#include "core/io/resident.h"
#include "core/io/rt.h"
#include "daemon.h"
#include "daemon_tell.h"

#ifndef SMX_VERSION
#define SMX_VERSION "unknown"
#endif

namespace smx {

namespace {

// Lines "name value" from the `*next`th on, as far as there is room.
class NameValues {
 public:
  NameValues(uint32_t* next, ControlReply& reply) : next_(next), reply_(reply) {}
  template <typename T>
  void add(const char* name, T value) {
    if (at_++ < *next_ || cut_) return;
    cut_ = !reply_.has_room();
    if (cut_) return;
    reply_.line(Row().add(name).add(value).text());
    ++*next_;
  }
  bool whole() const { return !cut_; }

 private:
  uint32_t* next_;
  ControlReply& reply_;
  uint32_t at_ = 0;
  bool cut_ = false;
};

std::string_view file_of(const Config& config) {
  for (const LinkSpec& l : config.links)
    if (!l.origin.file.empty()) return l.origin.file;
  for (const ListenSpec& l : config.listens)
    if (!l.origin.file.empty()) return l.origin.file;
  for (const ServerSpec& s : config.servers)
    if (!s.origin.file.empty()) return s.origin.file;
  return {};
}

void add(MuxStats& to, const MuxStats& m) {
  to.rx_bytes += m.rx_bytes;
  to.tx_bytes += m.tx_bytes;
  to.opened += m.opened;
  to.accepted += m.accepted;
  to.refused += m.refused;
  to.aborted += m.aborted;
  to.bad_frames += m.bad_frames;
  to.old_frames += m.old_frames;
  to.forged_frames += m.forged_frames;
  to.frames_again += m.frames_again;
  to.empty_datagrams += m.empty_datagrams;
  to.late_datagrams += m.late_datagrams;
}

void add(UdpCounts& to, const UdpCounts& c) {
  to.rx += c.rx;
  to.tx += c.tx;
  to.by_kernel += c.by_kernel;
  to.flows += c.flows;
  to.made_room += c.made_room;
  for (int i = 0; i < kUdpDrops; ++i) to.dropped[i] += c.dropped[i];
}

const char* word_of(Config::Log log) {
  switch (log) {
    case Config::Log::silent: return "silent";
    case Config::Log::terse: return "terse";
    case Config::Log::debug: return "debug";
    case Config::Log::usual:
    case Config::Log::hidden: break;
  }
  return "usual";
}

}  // namespace

Daemon::Totals Daemon::totals() {
  Totals t;
  t.programs = running();
  t.descriptors_left = reactor_.fds_left();
  t.memory_kib = resident_kib();
  t.suppressed = log_suppressed();
  t.channels = sessions_.channels();
  if constexpr (!kHasControl) return t;  // nobody asks for the rest
  for (uint32_t i = 0; i < sessions_.count(); ++i) {
    const Session& s = sessions_.at(i);
    add(t.links, s.mux().stats());
    if (s.up()) ++t.up;
    else if (s.held()) ++t.held;
    else if (is_somebodys(s)) ++t.connecting;
  }
  if (client_flows_ != nullptr) {
    add(t.udp, client_flows_->counts());
    t.flows += client_flows_->count();
  }
  if (server_flows_ != nullptr) {
    add(t.udp, server_flows_->counts());
    t.flows += server_flows_->count();
  }
  return t;
}

bool Daemon::tell_status(void* self, std::string_view, uint32_t* next, ControlReply& reply) {
  Daemon& d = *static_cast<Daemon*>(self);
  const Totals t = d.totals();
  const MuxStats& m = t.links;
  NameValues f(next, reply);
  f.add("name", "value");
  f.add("version", SMX_VERSION);
  f.add("pid", static_cast<uint64_t>(getpid()));
  f.add("uptime_s", whole_seconds(d.reactor_.now() - d.started_));
  f.add("memory_bytes", t.memory_kib * 1024);
  f.add("descriptors_left", uint64_t{t.descriptors_left});
  f.add("configuration", file_of(d.config_));
  f.add("log", word_of(d.log_));
  f.add("log_suppressed", t.suppressed);
  f.add("poller", Poller::name());
  f.add("sandbox", d.sandbox_);
  f.add("ending", yes(d.ending_ != Ending::no));
  f.add("links_up", uint64_t{t.up});
  f.add("links_held", uint64_t{t.held});
  f.add("links_connecting", uint64_t{t.connecting});
  f.add("peers_known", uint64_t{d.secure_ == nullptr ? 0 : d.secure_->peers().list().count()});
  f.add("channels", uint64_t{t.channels});
  f.add("programs", uint64_t{t.programs});
  f.add("udp_flows", uint64_t{t.flows});
  f.add("rx_bytes", m.rx_bytes);
  f.add("tx_bytes", m.tx_bytes);
  f.add("channels_opened", m.opened);
  f.add("channels_accepted", m.accepted);
  f.add("channels_refused", m.refused);
  f.add("channels_aborted", m.aborted);
  f.add("frames_bad", m.bad_frames);
  f.add("frames_old", m.old_frames);
  f.add("frames_forged", m.forged_frames);
  f.add("frames_again", m.frames_again);
  f.add("udp_flows_begun", t.udp.flows);
  f.add("udp_flows_made_room", t.udp.made_room);
  f.add("udp_rx", t.udp.rx);
  f.add("udp_tx", t.udp.tx);
  for (int i = 0; i < kUdpDrops; ++i) f.add(Text<40>("udp_dropped_").add(drop_name(static_cast<UdpDrop>(i))).c_str(), t.udp.dropped[i]);
  f.add("udp_dropped_by_kernel", t.udp.by_kernel);
  f.add("udp_dropped_empty", m.empty_datagrams);
  f.add("udp_dropped_ended", m.late_datagrams);
  return f.whole();
}

bool Daemon::tell_version(void*, std::string_view, uint32_t*, ControlReply& reply) {
  reply.line("sockmuxd " SMX_VERSION);
  return true;
}

// `log`, `log LEVEL`
bool Daemon::tell_log(void* self, std::string_view argument, uint32_t* next, ControlReply& reply) {
  (void)next;
  Daemon& d = *static_cast<Daemon*>(self);
  for (const Config::Log words : {Config::Log::silent, Config::Log::terse, Config::Log::usual, Config::Log::debug}) {
    if (argument != word_of(words)) continue;
    // Of a log that gets quieter, it is the last line.
    const auto tell = [&] { LogLine(LogLevel::info, "log-level").kv("from", word_of(d.log_)).kv("to", word_of(words)); };
    const bool was_heard = log_wanted(LogLevel::info);
    if (was_heard) tell();
    const Config::Log before = d.log_;
    d.set_log_words(words);
    if (!was_heard) LogLine(LogLevel::info, "log-level").kv("from", word_of(before)).kv("to", word_of(words));
    argument = {};
  }
  if (argument.empty()) reply.line(word_of(d.log_));
  else reply.fail(Text<200>("log: '").add_printable(argument).add("': expected silent, terse, usual or debug").text());
  return true;
}

void Daemon::write_statistics() {
  for (uint32_t i = 0; i < sessions_.count(); ++i) {
    const Session& s = sessions_.at(i);
    if (!s.has_link()) continue;
    const MuxStats& m = s.mux().stats();
    LogLine(LogLevel::info, "statistics-link")
        .kv("session", s.number())
        .kv("peer", s.peer())
        .kv("dialect", name(s.mux().dialect()))
        .kv("up", yes(s.up()))
        .kv("channels", s.mux().channels())
        .kv("opened", m.opened)
        .kv("accepted", m.accepted)
        .kv("refused", m.refused)
        .kv("aborted", m.aborted)
        .kv("rx", m.rx_bytes)
        .kv("tx", m.tx_bytes)
        .kv("blocks", s.mux().blocks_used())
        .kv("bad_frames", m.bad_frames)
        .kv("old_frames", m.old_frames)
        .kv("forged_frames", m.forged_frames)
        .kv("frames_again", m.frames_again)
        .kv("rtt_us", static_cast<uint64_t>(s.mux().round_trip().us));
  }
  write_udp_statistics();
  const Totals t = totals();
  LogLine(LogLevel::info, "statistics")
      .kv("channels", t.channels)
      .kv("programs", t.programs)
      .kv("descriptors_left", t.descriptors_left)
      .kv("turns", reactor_.turns())
      .kv("awake", reactor_.awake())
      .kv("allocations", allocations() - allocations_)
      .kv("rss_kib", t.memory_kib)
      .kv("suppressed", t.suppressed);
}

}  // namespace smx
