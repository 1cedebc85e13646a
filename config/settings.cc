// Single values: OWNER, CHROOT, UMASK, PIDFILE, LOGFILE, SYSLOG, SRCIF, and XCOM, XFIL of exec. Read next: parser.h.
#include "config/parser.h"
#include "config/tables.h"

namespace smx {

namespace {

constexpr unsigned kMostUmask = 0777;

}  // namespace

// user, user/group, #uid, #uid/#gid
void Parser::on_owner(const Word& w, Value value) {
  const std::string_view text = trim(value);
  if (place_of(text, '*') != kNowhere || place_of(text, ':') != kNowhere) {
    return fail(w, "'%': owners by client (list, *) are not supported; expected user or user/group", text);
  }
  const size_t slash = place_of(text, '/');
  const std::string_view parts[] = {first(text, slash),
                                    slash == kNowhere ? std::string_view("-") : skip(text, slash + 1)};
  for (const std::string_view part : parts) {
    uint64_t id = 0;
    const bool is_id = first(part, 1) == "#";
    if (!kHasUsers && !is_id && part != "-") return (void)left_out(w, "users");
    const bool good = is_id ? parse_number(skip(part, 1), UINT32_MAX - 1, &id) : !part.empty();
    if (!good || has_blank(part) || place_of(part, '/') != kNowhere) {
      return fail(w, "'%': expected user, user/group or #id", text);
    }
  }
  keep_value(w, "OWNER", text, &Config::owner);
}

// A text that must not be empty.
void Parser::need_value(const Word& w, const char* name, Value value, std::string_view Config::*field,
                        const char* missing) {
  const std::string_view text = trim(value);
  if (text.empty()) return fail(w, missing);
  keep_value(w, name, text, field);
}

void Parser::on_chroot(const Word& w, Value value) {
  need_value(w, "CHROOT", value, &Config::chroot_dir, "a directory is missing");
}

void Parser::on_umask(const Word& w, Value value) {
  const std::string_view text = trim(value);
  unsigned mask = 0;
  bool good = !text.empty() && text.size() <= 4;
  for (const char c : text) {
    good = good && c >= '0' && c <= '7';
    if (good) mask = mask * 8 + static_cast<unsigned>(c - '0');
  }
  if (!good || mask > kMostUmask) return fail(w, "'%': expected an octal number of 0 to 0777", text);
  keep_value(w, "UMASK", text, &Config::umask_text);
}

void Parser::on_pidfile(const Word& w, Value value) {
  config_->pidfile_given = true;
  need_value(w, "PIDFILE", value, &Config::pidfile, "a file is missing");
}

void Parser::on_logfile(const Word& w, Value value) {
  const std::string_view text = trim(value);
  if (place_of(text, "${") != kNowhere || place_of(text, '[') != kNowhere) {
    return fail(w, "'%': ${NAME} and [date+...] are not supported; expected a plain path, or nothing", text);
  }
  config_->logfile_given = true;
  keep_value(w, "LOGFILE", text, &Config::logfile);
}

// Nothing, or -fname.
void Parser::on_syslog(const Word& w, Value value) {
  const std::string_view text = trim(value);
  if (!kHasSyslog) return (void)left_out(w, "syslog");
  const bool is_facility = starts_with(text, "-f");
  if (!text.empty() && !is_facility) return fail(w, "'%': expected nothing or -ffacility, as in -fdaemon", text);
  if (is_facility && !is_one_of(syslog_facilities(), skip(text, 2))) {
    Nearest nearest(skip(text, 2));
    nearest.give_all(syslog_facilities());
    return fail(w, "'%': no such facility, see syslog(3)%%", text, nearest.best().empty() ? "" : "; do you mean -f",
                nearest.best());
  }
  keep_value(w, "SYSLOG", text, &Config::syslog);
}

// host, host:port
void Parser::on_srcif(const Word& w, Value value) {
  const std::string_view text = trim(value);
  bool has_port = false;
  Why why;
  HostPort source;
  const std::string_view port = skip(text, host_length(text) + 1);
  if (place_of(port, ':') != kNowhere) {
    return fail(w, "'%': not supported: an address for some servers or clients only; expected host[:port]", text);
  }
  const bool has_empty_port = !text.empty() && text.back() == ':';
  if (!parse_host_port(first(text, text.size() - (has_empty_port ? 1 : 0)), arena_, &source, &has_port, &why)) {
    return fail_why(w, why);
  }
  config_->source = source;
  keep_single(w, "SRCIF", {}, keep_text(text));
}

void Parser::on_xcom(const Word& w, Value value) {
  need_value(w, "XCOM", value, &Config::xcom, "a command is missing");
}

void Parser::on_xfil(const Word& w, Value value) {
  need_value(w, "XFIL", value, &Config::xfil, "a command is missing");
}

}  // namespace smx
