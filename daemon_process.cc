// The part of the daemon that makes a process of it: files, identity, background, and what it gives up for good.
//
//   checks -> no_new_privs -> (CHROOT: helper for names) -> OWNER -> background -> helper -> sandbox
//
// Invariant: each step takes away what the ones before need, so nothing here may change places without a reason. What may
// fail by the user's fault comes first, while standard error is there. Read next: daemon.h, core/io/helper.h, sandbox.h.
#include <errno.h>
#include <string.h>
#include <syslog.h>

#include "config/choose.h"
#include "config/report.h"
#include "core/base/letters.h"
#include "core/io/clock.h"
#include "core/io/log.h"
#include "core/io/resident.h"
#include "core/io/sandbox.h"
#include "daemon.h"

namespace smx {

// ---- the helper

// The programs that the configuration names, and no other, can be started.
bool Daemon::init_helper() {
  if constexpr (!kHasPrograms) return helper_.init(0, 0, tables_);
  if (!helper_.init(static_cast<uint32_t>(config_.links.count + config_.servers.count), programs() + exec_programs(), tables_)) return false;
  for (const LinkSpec& l : config_.links) {
    if (l.kind != LinkSpec::Kind::program) continue;
    HelperProgram p;
    p.command = l.path.data();
    p.environment[0] = config_.env.first;
    p.environment_size[0] = config_.env.count;
    helper_.add_program(p);
  }
  for (const ServerSpec& s : config_.servers) {
    if (!s.run || s.label != "exec") continue;
    HelperProgram p;
    p.command = (s.options->xcom.empty() ? s.options->xfil : s.options->xcom).data();
    p.has_client = true;
    p.environment[0] = s.options->env.first;
    p.environment_size[0] = s.options->env.count;
    p.environment[1] = config_.env.first;
    p.environment_size[1] = config_.env.count;
    helper_.add_program(p);
  }
  return true;
}

// `outside`: before the daemon goes under CHROOT, whose helper for names keeps the files of the system. 0 or an exit code.
int Daemon::start_helpers(bool outside) {
  if constexpr (!kHasNames && !kHasPrograms) return (void)outside, 0;
  if (outside || (config_.chroot_dir.empty() && start_.resolves)) {
    Helper& names = outside ? resolver_.own_helper() : helper_;
    if (!outside) resolver_.use(helper_);
    if (!names.start()) return kExitSystem;
  }
  if (!outside && programs() + exec_programs() > 0 && !helper_.start()) return kExitSystem;
  return 0;
}

// Nothing can be started in its place: a daemon that only looks alive is of no use, and whoever watches over it starts a
// whole one.
void Daemon::on_helper_lost(Time now) {
  if (ending_ != Ending::no) return;
  exit_code_ = kExitSystem;
  begin_shutdown("the helper process has ended", now);
}

void Daemon::enter_sandbox() {
  helper_.seal(*this);
  resolver_.own_helper().seal(*this);
  prepare_clock();
  prepare_resident();
  if (!kHasSandbox || config_.sandbox == Config::Sandbox::no) return;
  SandboxNeeds needs;
  needs.programs = programs() + exec_programs() > 0;
  for (const LinkSpec& l : config_.links) {
    needs.reads = needs.reads || l.secure;  // the peers file
    needs.fifos = needs.fifos || l.kind == LinkSpec::Kind::fifo;
    needs.devices = needs.devices || l.kind == LinkSpec::Kind::device;
  }
  needs.reads = needs.reads || reloads();
  needs.syslog = !config_.syslog.empty() || (!foreground_ && !config_.log_stderr && !config_.logfile_given);
  needs.removes = pidfile_.valid() || control_path_ != nullptr;
  needs.passes = kHasUpgrade && control_ != nullptr;
  needs.traps = config_.sandbox == Config::Sandbox::trap;
  const int error = smx::enter_sandbox(needs);
  if (error == 0) sandbox_ = sandbox_name();
  else LogLine(LogLevel::warning, "sandbox-unavailable").kv("kind", sandbox_name()).error(error);
}

// ---- the process

// In the background we are at "/": what is still opened or removed then needs its path from there, ended with NUL. Not in the
// foreground, where a folder above ours may be closed to OWNER; CHROOT has paths of its own.
std::string_view Daemon::whole_path(std::string_view path) {
  Text<kWholePath> whole;
  if (foreground_ || !config_.chroot_dir.empty() || !absolute_path(path, &whole) || whole.text() == path) return path;
  const std::string_view kept = tables_.copy(whole.text());
  return kept.data() == nullptr ? path : kept;
}

// Whom to become. 0 or an exit code.
int Daemon::find_owner(Identity* who, bool* drops) {
  *drops = is_root();
  if (!*drops && config_.owner.empty()) return 0;
  const int error = find_identity(config_.owner.empty() ? "nobody" : config_.owner.data(), who);
  if (error != 0 && !config_.owner.empty()) {
    say("OWNER=", Text<200>(config_.owner).add(": no such user or group").text());
    return kExitConfig;
  }
  if (error != 0) *who = {65534, 65534};  // no "nobody" on this system
  if (*drops) return 0;
  say("OWNER=", Text<200>(config_.owner).add(": only root can change its user").text());
  return kExitPermission;
}

// 0 or an exit code.
int Daemon::put_pid() {
  const int error = write_pid(pidfile_.get());
  if (error == 0) return 0;
  LogLine(LogLevel::error, "pidfile-failed").kv("path", pidfile_path_).error(error);
  return kExitCannotCreate;
}

// Files, identity, background: in this order, since each takes away what the one before needs.
int Daemon::detach() {
  int error = 0;
  const auto fail = [&](const char* what, std::string_view which, int code) {
    Text<400> text(what);
    text.add_printable(which).add(": ").add(strerror(error));
    say("", text.text());
    return code;
  };
  if (!config_.umask_text.empty()) set_umask(config_.umask_text.data());
  if (!config_.pidfile.empty()) {
    pidfile_path_ = whole_path(config_.pidfile);
    if (follows()) pidfile_ = predecessor_->take_pidfile(pidfile_path_.data());
    if (!pidfile_.valid()) pidfile_ = open_pidfile(pidfile_path_.data(), &error);
    if (error == EWOULDBLOCK) {
      say("PIDFILE=", Text<400>(config_.pidfile).add(": belongs to a daemon that runs").text());
      return kExitUnavailable;
    }
    if (error != 0) return fail("PIDFILE=", config_.pidfile, error == EACCES ? kExitPermission : kExitCannotCreate);
  }
  if (!config_.logfile.empty()) {
    logfile_ = open_logfile(config_.logfile.data(), &error);
    if (error != 0) return fail("LOGFILE=", config_.logfile, error == EACCES ? kExitPermission : kExitCannotCreate);
  }
  Identity who;
  bool drops = false;
  int code = find_owner(&who, &drops);
  if (code != 0) return code;
  if (!config_.chroot_dir.empty()) {
    error = check_chroot(config_.chroot_dir.data());
    if (error != 0) return fail("CHROOT=", config_.chroot_dir, error == EPERM ? kExitPermission : kExitSystem);
  }
  Fd null;
  if (!foreground_) {
    null = open_null(&error);
    if (error != 0) return fail("/dev/null", "", kExitSystem);
  }
  start_log();
  find_code();
  error = signals_.init(reactor_, *this);
  if (error != 0) return fail("signals", "", kExitSystem);
  if (config_.sandbox != Config::Sandbox::no) (void)forbid_new_privileges();  // Linux before 3.5 has none
  Text<300> why;
  if (follows() && !predecessor_->knock(why)) {
    say("SOCKMUX_TAKE: ", why.text());
    return kExitUnavailable;
  }
  if (!config_.chroot_dir.empty()) {
    if (drops) resolver_.own_helper().set_identity(who.uid, who.gid);
    if (secure_ != nullptr) secure_->hide(true);
    if (start_.resolves) code = start_helpers(true);
    if (secure_ != nullptr) secure_->hide(false);
    if (code != 0) return code;
    control_path_ = nullptr;  // it names something else in there
    error = enter_chroot(config_.chroot_dir.data());
    if (error != 0) return fail("CHROOT=", config_.chroot_dir, error == EPERM ? kExitPermission : kExitSystem);
  }
  if (drops) {
    for (size_t i = 0; kHasTty && i < lines_; ++i) line_[i]->give_to(who.uid, who.gid);
    error = become(who);
    if (error != 0) return fail("OWNER=", config_.owner, kExitPermission);
    if (config_.control_file.empty()) control_path_ = nullptr;  // in root's folder, where it stays
  }
  if (control_ != nullptr) control_->set_user(drops ? who.uid : own_user());
  Fd starter;
  if (!foreground_) {
    error = daemonize(null.get(), &starter);
    if (error == 0) error = reactor_.forked();
    if (error != 0) return fail("cannot become a daemon", "", kExitSystem);
  }
  if (pidfile_.valid() && !(follows() && predecessor_->gave_pidfile())) code = put_pid();
  for (size_t i = 0; kHasTty && i < lines_; ++i) line_[i]->forked();
  if (secure_ != nullptr) secure_->protect();
  if (code == 0) code = start_helpers(false);
  if (code == 0 && !foreground_ && (error = leave_error(null.get())) != 0) code = fail("cannot become a daemon", "", kExitSystem);
  if (code == 0) enter_sandbox();
  if (code == 0) code = take_place();
  // The status of the start says whether all went well.
  if (starter.valid()) tell_starter(starter.get(), code);
  return code;
}

void Daemon::start_log() {
  LogSetup log;
  log.to_stderr = foreground_ || config_.log_stderr;
  if constexpr (kHasSyslog) log.journal = log.to_stderr && stderr_is_journal();
  if (kHasSyslog && foreground_) open_terminal();
  log.to_syslog = !log.to_stderr && !config_.logfile_given;
  if (kHasSyslog && !config_.syslog.empty()) {
    static constexpr struct {
      std::string_view name;
      int facility;
    } kFacilities[] = {{"auth", LOG_AUTH},     {"authpriv", LOG_AUTHPRIV}, {"ftp", LOG_FTP},       {"cron", LOG_CRON},     {"daemon", LOG_DAEMON}, {"kern", LOG_KERN},     {"lpr", LOG_LPR},
                       {"mail", LOG_MAIL},     {"news", LOG_NEWS},     {"syslog", LOG_SYSLOG}, {"user", LOG_USER},     {"uucp", LOG_UUCP},
                       {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1}, {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4},
                       {"local5", LOG_LOCAL5}, {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};
    log.to_syslog = true;
    for (const auto& f : kFacilities)
      if (config_.syslog.size() > 2 && skip(config_.syslog, 2) == f.name) log.facility = f.facility;
  }
  log.file = logfile_.get();
  set_log(log);
  set_log_words(config_.log_level);
}

void Daemon::set_log_words(Config::Log words) {
  log_ = words == Config::Log::hidden ? Config::Log::usual : words;
  switch (words) {
    case Config::Log::usual:
    case Config::Log::hidden: return set_log_level(LogLevel::info, false);
    case Config::Log::silent: return set_log_level(LogLevel::info, true);
    case Config::Log::terse: return set_log_level(LogLevel::warning, false);
    case Config::Log::debug: return set_log_level(LogLevel::debug, false);
  }
}

}  // namespace smx
