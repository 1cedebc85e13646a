// What this build has: everything, but for what `make WITHOUT="name ..."` names.
//
// A feature that is left out is refused where it is asked for (config/), and nothing makes its objects. All is compiled in
// any case; what only that feature calls, the linker drops then (--gc-sections). So a feature costs a constant here, a line
// where the words are read, and one where its objects are made.
//
// Read next: config/parser.h (left_out()). Source: README, "Install".
#ifndef SOCKMUX_CORE_BASE_FEATURES_H
#define SOCKMUX_CORE_BASE_FEATURES_H

#include <stddef.h>

#include <string_view>

#ifndef SMX_WITHOUT
#define SMX_WITHOUT ""
#endif

namespace smx {

// As given; words and blanks.
constexpr std::string_view kWithout = SMX_WITHOUT;

constexpr std::string_view kFeatures[] = {"bind",  "control", "delegate", "dump",  "exec",  "explain", "failover", "fifo",  "files",
                                          "ftp",   "help",    "hints",    "http",  "lossy",   "names",    "notify",  "probe",   "program", "reload", "sandbox",
                                          "sendproxy", "socks", "stdio",   "syslog",   "telnet", "tty",    "udp",      "upgrade", "users", "v03"};

// Is `name` one of the words of `list`?
constexpr bool has_word(std::string_view list, std::string_view name) {
  size_t at = 0;
  for (size_t i = 0; i <= list.size(); ++i) {
    if (i < list.size() && list[i] != ' ') continue;
    if (i > at && std::string_view(list.data() + at, i - at) == name) return true;
    at = i + 1;
  }
  return false;
}

constexpr bool built_with(std::string_view name) { return !has_word(kWithout, name); }

constexpr bool are_features(std::string_view list) {
  size_t known = 0, words = 0;
  for (const std::string_view f : kFeatures) known += has_word(list, f) ? f.size() : 0;
  for (const char c : list) words += c != ' ';
  return known == words;
}
static_assert(are_features(kWithout), "WITHOUT= has a word twice, or one that is none of kFeatures");

constexpr bool kHasBind = built_with("bind");          // RPORT=, BIND=, and ports of ours for peers
constexpr bool kHasControl = built_with("control");    // the socket of sockmuxctl
constexpr bool kHasDelegate = built_with("delegate");  // knows DeleGate's parameters that have no meaning here
constexpr bool kHasDump = built_with("dump") && kHasControl;  // sockmuxctl dump
constexpr bool kHasExec = built_with("exec");          // SERVER=exec,-in
constexpr bool kHasExplain = built_with("explain");    // -t tells what it understands
constexpr bool kHasFailover = built_with("failover");  // several links that are made; a line beside links that are accepted
constexpr bool kHasFifo = built_with("fifo");          // commin@, commout@
constexpr bool kHasFiles = built_with("files");        // +=file
constexpr bool kHasFtp = built_with("ftp");            // the proxy, and data connections of clients for the peer's
constexpr bool kHasHelp = built_with("help");          // more than one line of -h
constexpr bool kHasHints = built_with("hints");        // "do you mean"
constexpr bool kHasHttp = built_with("http");          // SERVER=http,-in
// Peers with keys. A small daemon without SECURE=sodium has no code for them; else it is the linker who leaves SECURE out.
#if defined(SMX_NO_KEYS)
constexpr bool kHasKeys = false;
#else
constexpr bool kHasKeys = true;
#endif
constexpr bool kHasLossy = built_with("lossy");        // lines that flip and drop bytes
constexpr bool kHasNames = built_with("names");        // hosts by name: else by address, or by HOSTS=
constexpr bool kHasNotify = built_with("notify");      // service managers: $NOTIFY_SOCKET, LISTEN_FDS
constexpr bool kHasProbe = built_with("probe");        // sockmuxctl doctor asks the peer whether its servers answer
constexpr bool kHasProgram = built_with("program");    // proc@
constexpr bool kHasReload = built_with("reload") && built_with("files");  // of the files of +=, while the daemon runs
constexpr bool kHasSandbox = built_with("sandbox");    // what the daemon gives up once it is started
constexpr bool kHasSendProxy = built_with("sendproxy");  // SOXCONF=send-proxy
constexpr bool kHasSocks = built_with("socks");        // SERVER=socks,-in
constexpr bool kHasStdio = built_with("stdio");        // comm@-
constexpr bool kHasSyslog = built_with("syslog");
constexpr bool kHasTelnet = built_with("telnet");      // SERVER=telnet,-in
constexpr bool kHasTty = built_with("tty");            // comm@/dev/...
constexpr bool kHasUdp = built_with("udp");
constexpr bool kHasUpgrade = built_with("upgrade");    // sockmuxctl upgrade
constexpr bool kHasUsers = built_with("users");        // OWNER= by name: else #uid/#gid
constexpr bool kHasV03 = built_with("v03");            // the dialect of DeleGate 9

constexpr bool kHasProxies = kHasFtp || kHasHttp || kHasSocks || kHasTelnet;
constexpr bool kHasPipes = kHasFifo || kHasProgram || kHasStdio || kHasTty;  // links whose start must be looked for
constexpr bool kHasPrograms = kHasExec || kHasProgram;

// A pointer to what this build may lack: always nullptr then, as the compiler knows, which drops what would be done with it.
template <bool kBuilt, typename T>
class Part {
 public:
  Part() = default;
  Part(const Part&) = delete;
  Part& operator=(T* p) {
    if constexpr (kBuilt) p_ = p;
    return *this;
  }
  operator T*() const {
    if constexpr (kBuilt) return p_;
    else return nullptr;
  }
  T* operator->() const { return p_; }  // it is there

 private:
  T* p_ = nullptr;
};

// A bool of what this build may lack: always false then.
template <bool kBuilt>
class Flag {
 public:
  constexpr Flag() = default;
  constexpr Flag(bool value) : value_(value) {}
  constexpr operator bool() const { return kBuilt && value_; }

 private:
  bool value_ = false;
};

}  // namespace smx

#endif
