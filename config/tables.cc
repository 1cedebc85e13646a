// The names that DeleGate's command line knows. Read next: tables.h.
#include "config/tables.h"

#include "config/scan.h"

namespace smx {

namespace {

constexpr Transport kTcp = Transport::tcp;
constexpr Transport kUdp = Transport::udp;

// Name, port, transport, have we a proxy, does it need a host. Source of the ports: DeleGate, IANA.
constexpr Protocol kProtocols[] = {
    {"tcprelay", 0, kTcp, true, true},    {"udprelay", 0, kUdp, true, true},  {"telnet", 23, kTcp, true, false},
    {"http", 80, kTcp, true, false},      {"socks", 1080, kTcp, true, false}, {"exec", 0, kTcp, true, false},
    {"ftp", 21, kTcp, true, false},       {"ssh", 22, kTcp, false, false},    {"smtp", 25, kTcp, false, false},
    {"whois", 43, kTcp, false, false},    {"dns", 53, kUdp, false, false},    {"domain", 53, kUdp, false, false},
    {"gopher", 70, kTcp, false, false},   {"finger", 79, kTcp, false, false}, {"pop", 110, kTcp, false, false},
    {"nntp", 119, kTcp, false, false},    {"ntp", 123, kUdp, false, false},   {"imap", 143, kTcp, false, false},
    {"ldap", 389, kTcp, false, false},    {"https", 443, kTcp, false, false}, {"smtps", 465, kTcp, false, false},
    {"syslog", 514, kUdp, false, false},  {"lpr", 515, kTcp, false, false},   {"nntps", 563, kTcp, false, false},
    {"ldaps", 636, kTcp, false, false},   {"rsync", 873, kTcp, false, false}, {"ftps", 990, kTcp, false, false},
    {"telnets", 992, kTcp, false, false}, {"imaps", 993, kTcp, false, false}, {"pop3s", 995, kTcp, false, false},
    {"vnc", 5900, kTcp, false, false},    {"x", 6000, kTcp, false, false},
};

constexpr std::string_view kIgnored[] = {
    "ADMIN",     "ADMINPASS",  "ABORTLOG",  "ACTDIR",   "ADMDIR",   "ARPCONF",    "BASEURL",  "CACHE",    "CACHEARC",
    "CACHEDIR",  "CACHEFILE",  "CGIENV",    "CHARCODE", "CHARMAP",  "CHARSET",    "COUNTER",  "DATAPATH", "DBFILE",
    "DELAY",     "DELEGATE",   "DGPATH",    "DGROOT",   "DGSIGN",   "DYLIB",      "EDITOR",   "ERRORLOG", "ETCDIR",
    "EXPIRE",    "EXPIRELOG",  "FILETYPE",  "HTMLCONV", "ICP",      "ICPCONF",    "IPV6",     "LDPATH",   "LIBDIR",
    "LIBPATH",   "LOG",        "LOGCENTER", "LOGDIR",   "M17N",     "MIMECONV",   "PROTOLOG", "RES_AF",   "RES_CONF",
    "RES_DEBUG", "RES_EXPIRE", "RES_LOG",   "RES_NS",   "RES_RR",   "RES_VRFY",   "RES_WAIT", "RESOLV",   "RIDENT",
    "SHARE",     "SOCKOPT",    "STDOUTLOG", "TMPDIR",   "TRACELOG", "URICONV",    "VARDIR",   "WORKDIR",  "HTTPCONF",
    "FTPCONF",   "NNTPCONF",   "SMTPCONF",  "DNSCONF",  "POPCONF",  "TELNETCONF",
};

constexpr std::string_view kIgnoredTimeouts[] = {
    "acc",       "authorizer", "cfistat", "daemon", "dgnonce", "dnsinv",  "ftpcc",   "greeting", "http-cka",
    "http-poll", "ident",      "idle",    "nntpcc", "rident",  "restart", "shutout", "standby",  "takeover",
};

constexpr std::string_view kIgnoredMaxima[] = {
    "contotal", "ftpcc",     "http-cka", "http-ckapch", "nntpcc", "randenv",
    "randfd",   "randstack", "service",  "standby",     "winmtu",
};

constexpr std::string_view kIgnoredSoxconf[] = {"dhkey", "noconndata", "nodelay"};

constexpr std::string_view kAuth = "SockMux has no passwords; a secure link (SERVER=sockmuxs) knows its peer by key";
constexpr std::string_view kTls =
    "no TLS; use a secure link (SERVER=sockmuxs), or SERVER=sockmux:proc@command with ssh";
constexpr std::string_view kFiles = "access to files and programs is not checked by DeleGate's rules here";
constexpr std::string_view kRoute =
    "there are no ways through other proxies; SERVER=sockmux:proc@command can start a program that knows one";
constexpr std::string_view kRewrite = "nothing is rewritten on the way";
constexpr std::string_view kFilter =
    "there are no filters; SERVER=exec,-in(XCOM=command) serves a channel by a program";
constexpr std::string_view kOnlyIn = "it has a meaning inside of SERVER=exec,-in(...) only";
constexpr std::string_view kStart = "start it by init, cron or systemd instead";
constexpr std::string_view kWhere = "options come from the command line and +=file only";

constexpr Refused kRefused[] = {
    {"AUTH", kAuth},     {"AUTHORIZER", kAuth},  {"MYAUTH", kAuth},     {"PASSWD", kAuth},     {"PAMCONF", kAuth},
    {"CAPSKEY", kAuth},  {"CRYPT", kAuth},       {"STLS", kTls},        {"TLS", kTls},         {"TLSCONF", kTls},
    {"CERTDIR", kTls},   {"SCREEN", kFiles},     {"SUDOAUTH", kFiles},  {"EXECAUTH", kFiles},  {"FILEACL", kFiles},
    {"SAC", kFiles},     {"CONNECT", kRoute},    {"MASTER", kRoute},    {"MASTERP", kRoute},   {"PROXY", kRoute},
    {"SOCKS", kRoute},   {"SOCKSTAP", kRoute},   {"SOCKSCONF", kRoute}, {"SSLTUNNEL", kRoute}, {"VSAP", kRoute},
    {"YYMUX", kRoute},   {"YYCONF", kRoute},     {"HTMUX", kRoute},     {"ROUTE", kRoute},     {"FORWARD", kRoute},
    {"CLUSTER", kRoute}, {"GATEWAY", kRoute},     {"TUNNEL", kRoute},    {"RELAY", kRoute},
    {"MOUNT", kRewrite}, {"SMTPGATE", kRewrite}, {"CMAP", kFilter},     {"CFI", kFilter},      {"FCL", kFilter},
    {"FTOCL", kFilter},  {"FFROMCL", kFilter},   {"FSV", kFilter},      {"FTOSV", kFilter},    {"FFROMSV", kFilter},
    {"FMD", kFilter},    {"FTOMD", kFilter},     {"FFROMMD", kFilter},  {"XCOM", kOnlyIn},     {"XFIL", kOnlyIn},
    {"INETD", kStart},   {"CRON", kStart},       {"DYCONF", kWhere},    {"SERVCONF", kWhere},  {"DGCONF", kWhere},
    {"DGOPTS", kWhere},  {"CONFOPT", kWhere},    {"OVERRIDE", kWhere},  {"SOCKMUX", ""},
};

constexpr std::string_view kFacilities[] = {
    "daemon", "auth", "authpriv", "cron",   "ftp",    "kern",   "lpr",    "mail",   "news",   "syslog",
    "user",   "uucp", "local0",   "local1", "local2", "local3", "local4", "local5", "local6", "local7",
};

template <typename T, size_t kCount>
constexpr View<T> view_of(const T (&table)[kCount]) {
  return {table, kCount};
}

}  // namespace

View<Protocol> protocols() { return view_of(kProtocols); }
View<std::string_view> ignored_parameters() { return view_of(kIgnored); }
View<std::string_view> ignored_timeouts() { return view_of(kIgnoredTimeouts); }
View<std::string_view> ignored_maxima() { return view_of(kIgnoredMaxima); }
View<std::string_view> ignored_soxconf() { return view_of(kIgnoredSoxconf); }
View<Refused> refused_parameters() { return view_of(kRefused); }
View<std::string_view> syslog_facilities() { return view_of(kFacilities); }

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol& p : kProtocols) {
    if (equal_fold(p.name, name)) return &p;
  }
  return nullptr;
}

const Refused* find_refused(std::string_view name) {
  for (const Refused& r : kRefused) {
    if (r.name == name) return &r;
  }
  return nullptr;
}

bool is_one_of(View<std::string_view> names, std::string_view name) {
  for (const std::string_view known : names) {
    if (known == name) return true;
  }
  return false;
}

}  // namespace smx
