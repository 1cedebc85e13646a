// The names that DeleGate's command line knows. Read next: tables.h.
#include "config/tables.h"

#include "core/base/features.h"
#include "config/scan.h"

namespace smx {

namespace {

constexpr Transport kTcp = Transport::tcp;
constexpr Transport kUdp = Transport::udp;

struct Refused {
  const char* names;
  const char* reason;
};

// Name, port, transport, have we a proxy, does it need a host. Source of the ports: DeleGate, IANA.
constexpr Protocol kProtocols[] = {
    {"tcprelay", 0, kTcp, true, true},    {"udprelay", 0, kUdp, true, true},  {"telnet", 23, kTcp, kHasTelnet, false},
    {"http", 80, kTcp, kHasHttp, false},      {"socks", 1080, kTcp, kHasSocks, false}, {"exec", 0, kTcp, kHasExec, false},
    {"ftp", 21, kTcp, kHasFtp, false},       {"ssh", 22, kTcp, false, false},    {"smtp", 25, kTcp, false, false},
    {"whois", 43, kTcp, false, false},    {"dns", 53, kUdp, false, false},    {"domain", 53, kUdp, false, false},
    {"gopher", 70, kTcp, false, false},   {"finger", 79, kTcp, false, false}, {"pop", 110, kTcp, false, false},
    {"nntp", 119, kTcp, false, false},    {"ntp", 123, kUdp, false, false},   {"imap", 143, kTcp, false, false},
    {"ldap", 389, kTcp, false, false},    {"https", 443, kTcp, false, false}, {"smtps", 465, kTcp, false, false},
    {"syslog", 514, kUdp, false, false},  {"lpr", 515, kTcp, false, false},   {"nntps", 563, kTcp, false, false},
    {"ldaps", 636, kTcp, false, false},   {"rsync", 873, kTcp, false, false}, {"ftps", 990, kTcp, false, false},
    {"telnets", 992, kTcp, false, false}, {"imaps", 993, kTcp, false, false}, {"pop3s", 995, kTcp, false, false},
    {"vnc", 5900, kTcp, false, false},    {"x", 6000, kTcp, false, false},
};

constexpr char kIgnored[] =
    "ADMIN,ADMINPASS,ABORTLOG,ACTDIR,ADMDIR,ARPCONF,BASEURL,CACHE,CACHEARC,CACHEDIR,CACHEFILE,CGIENV,CHARCODE,"
    "CHARMAP,CHARSET,COUNTER,DATAPATH,DBFILE,DELAY,DELEGATE,DGPATH,DGROOT,DGSIGN,DYLIB,EDITOR,ERRORLOG,ETCDIR,EXPIRE,"
    "EXPIRELOG,FILETYPE,HTMLCONV,ICP,ICPCONF,IPV6,LDPATH,LIBDIR,LIBPATH,LOG,LOGCENTER,LOGDIR,M17N,MIMECONV,PROTOLOG,"
    "RES_AF,RES_CONF,RES_DEBUG,RES_EXPIRE,RES_LOG,RES_NS,RES_RR,RES_VRFY,RES_WAIT,RESOLV,RIDENT,SHARE,SOCKOPT,"
    "STDOUTLOG,TMPDIR,TRACELOG,URICONV,VARDIR,WORKDIR,HTTPCONF,FTPCONF,NNTPCONF,SMTPCONF,DNSCONF,POPCONF,TELNETCONF";

constexpr char kIgnoredTimeouts[] =
    "acc,authorizer,cfistat,daemon,dgnonce,dnsinv,ftpcc,greeting,http-cka,http-poll,ident,idle,nntpcc,rident,restart,"
    "shutout,standby,takeover";

constexpr char kIgnoredMaxima[] =
    "contotal,ftpcc,http-cka,http-ckapch,nntpcc,randenv,randfd,randstack,service,standby,winmtu";

constexpr char kIgnoredSoxconf[] = "dhkey,noconndata,nodelay";

// Parameters that are refused, in groups with one reason.
constexpr Refused kRefused[] = {
    {"AUTH,AUTHORIZER,MYAUTH,PASSWD,PAMCONF,CAPSKEY,CRYPT",
     "SockMux has no passwords; a secure link (SERVER=sockmuxs) knows its peer by key"},
    {"STLS,TLS,TLSCONF,CERTDIR",
     "no TLS; use a secure link (SERVER=sockmuxs), or SERVER=sockmux:proc@command with ssh"},
    {"SCREEN,SUDOAUTH,EXECAUTH,FILEACL,SAC", "access to files and programs is not checked by DeleGate's rules here"},
    {"CONNECT,MASTER,MASTERP,PROXY,SOCKS,SOCKSTAP,SOCKSCONF,SSLTUNNEL,VSAP,YYMUX,YYCONF,HTMUX,ROUTE,FORWARD,CLUSTER,"
     "GATEWAY,TUNNEL,RELAY",
     "there are no ways through other proxies; SERVER=sockmux:proc@command can start a program that knows one"},
    {"MOUNT,SMTPGATE", "nothing is rewritten on the way"},
    {"CMAP,CFI,FCL,FTOCL,FFROMCL,FSV,FTOSV,FFROMSV,FMD,FTOMD,FFROMMD",
     "there are no filters; SERVER=exec,-in(XCOM=command) serves a channel by a program"},
    {"XCOM,XFIL", "it has a meaning inside of SERVER=exec,-in(...) only"},
    {"INETD,CRON", "start it by init, cron or systemd instead"},
    {"DYCONF,SERVCONF,DGCONF,DGOPTS,CONFOPT,OVERRIDE", "options come from the command line and +=file only"},
    {"SOCKMUX", ""},
};

constexpr char kFacilities[] =
    "daemon,auth,authpriv,cron,ftp,kern,lpr,mail,news,syslog,user,uucp,local0,local1,local2,local3,local4,local5,"
    "local6,local7";

}  // namespace

const char* ignored_parameters() { return kHasDelegate ? kIgnored : ""; }
const char* ignored_timeouts() { return kHasDelegate ? kIgnoredTimeouts : ""; }
const char* ignored_maxima() { return kHasDelegate ? kIgnoredMaxima : ""; }
const char* ignored_soxconf() { return kHasDelegate ? kIgnoredSoxconf : ""; }
const char* syslog_facilities() { return kFacilities; }

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol& p : kProtocols) {
    if (equal_fold(name, p.name)) return &p;
  }
  return nullptr;
}

Nearest nearest_protocol(std::string_view name) {
  Nearest nearest(name);
  for (const Protocol& p : kProtocols) nearest.give(p.name);
  return nearest;
}

const char* why_refused(std::string_view name) {
  if constexpr (!kHasDelegate) return nullptr;
  for (const Refused& r : kRefused) {
    if (is_one_of(r.names, name)) return r.reason;
  }
  return nullptr;
}

void give_refused(Nearest* nearest) {
  if constexpr (!kHasDelegate || !kHasHints) return;
  for (const Refused& r : kRefused) nearest->give_all(r.names);
}

}  // namespace smx
