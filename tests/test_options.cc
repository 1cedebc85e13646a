// The command line, parameter by parameter: what the vectors of tests/data/option-vectors.txt do not cover, and a storm
// of broken words. Read next: config/parse.h.
#include <doctest/doctest.h>

#include <fstream>
#include <random>

#include "config/explain.h"
#include "config/file.h"
#include "config/tables.h"
#include "tests/options.h"

namespace {

using smx::Config;
using smx::LinkSpec;
using smx_test::has;
using smx_test::Run;
using smx_test::Strings;
using smx_test::text_of;

// The status of these words behind SERVER=sockmux -P9000; 0: good.
int status(const Strings& words) {
  Run run;
  run.parse_more(words);
  CHECK(run.good == (run.report.status() == 0));
  return run.report.status();
}

// The first error of these words; "" if there is none.
std::string error(const Strings& words) {
  Run run;
  run.parse_more(words);
  return run.error();
}

Strings explained(const Config& config) {
  struct Lines final : smx::LineSink {
    Strings lines;
    void line(std::string_view text) override { lines.push_back(text_of(text)); }
  } to;
  smx::explain(config, to);
  return to.lines;
}

bool has_line(const Strings& lines, const std::string& line) {
  for (const std::string& l : lines) {
    if (l == line) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("help and version win over all errors, and check is a flag") {
  for (const char* word : {"-h", "--help"}) {
    Run run;
    run.parse({"nonsense", "-Z", word});
    CHECK(run.good);
    CHECK(run.config.help);
    CHECK(run.report.error_count() == 0);
  }
  for (const char* word : {"-V", "--version"}) {
    Run run;
    run.parse({word, "PROT=1"});
    CHECK(run.good);
    CHECK(run.config.version);
  }
  Run run;
  run.parse_more({"-t"});
  CHECK(run.config.check_only);
  CHECK_FALSE(run.config.foreground);
}

TEST_CASE("levels of the log") {
  const auto level = [](const char* word) {
    Run run;
    run.parse_more({word});
    REQUIRE(run.good);
    return run.config.log_level;
  };
  CHECK(level("-vs") == Config::Log::silent);
  CHECK(level("-vt") == Config::Log::terse);
  CHECK(level("-vu") == Config::Log::usual);
  CHECK(level("-vd") == Config::Log::debug);
  CHECK(level("-va") == Config::Log::hidden);
  CHECK(level("-vv") == Config::Log::debug);
  CHECK(level("-fv") == Config::Log::usual);
}

TEST_CASE("up to 10 errors are kept, each with its word; the first gives the status") {
  Run run;
  Strings words;
  for (int i = 0; i < 15; ++i) words.push_back("bare" + std::to_string(i));
  run.files.files["a.cnf"] = "bare\n";
  words.push_back("+=a.cnf");
  run.parse_more(words);
  CHECK(run.report.errors().count == smx::kMaxErrors);
  CHECK(run.report.error_count() == 16);
  CHECK(run.report.status() == 64);
  CHECK(has(run.error(9), "bare9"));
  CHECK(run.report.errors()[3].origin.word == "bare3");
  Run file;
  file.files.files["a.cnf"] = "\nbare\n";
  file.parse_more({"+=a.cnf", "bare"});
  CHECK(file.report.status() == 78);
  CHECK(file.report.errors()[0].origin.file == "a.cnf");
  CHECK(file.report.errors()[0].origin.line == 2);
  CHECK(file.report.errors()[1].status == 64);
}

TEST_CASE("the whole is only judged when the words are good") {
  Run run;
  run.parse({"PROT=1"});
  CHECK(run.report.error_count() == 1);
  CHECK(run.report.status() == 64);
}

TEST_CASE("warnings beyond 20 are counted, ignored names kept once") {
  Run run;
  Strings words;
  for (int i = 0; i < 30; ++i) words.push_back("PIDFILE=/p" + std::to_string(i));
  words.insert(words.end(), {"ADMIN=a", "ADMIN=b"});
  run.parse_more(words);
  CHECK(run.good);
  CHECK(run.report.warning_count() == 29);
  CHECK(run.report.warnings().count == smx::kMaxWarnings);
  CHECK(run.report.ignored().count == 1);
  CHECK(run.config.pidfile == "/p29");
}

TEST_CASE("every ignored parameter and option is accepted, with its name") {
  std::string_view name;
  smx::Items parameters(smx::ignored_parameters()), timeouts(smx::ignored_timeouts()), maxima(smx::ignored_maxima()),
      soxconf(smx::ignored_soxconf());
  while (parameters.next(&name)) {
    Run run;
    run.parse_more({text_of(name) + "=x"});
    CHECK_MESSAGE(run.good, name);
    REQUIRE(run.report.ignored().count == 1);
    CHECK(run.report.ignored()[0] == name);
  }
  for (const char* word : {"-S", "-Tx", "-Dt", "-dhst", "-r"}) {
    Run run;
    run.parse_more({word});
    CHECK_MESSAGE(run.good, word);
    CHECK(run.report.ignored()[0] == std::string(word).substr(0, 2));
  }
  while (timeouts.next(&name)) CHECK(status({"TIMEOUT=" + text_of(name) + ":1"}) == 0);
  while (maxima.next(&name)) CHECK(status({"MAXIMA=" + text_of(name) + ":1"}) == 0);
  while (soxconf.next(&name)) CHECK(status({"SOXCONF=" + text_of(name) + ":x"}) == 0);
}

TEST_CASE("every name of sockmux.conf(5), \"Accepted without effect\", is known") {
  for (const char* name :
       {"ADMIN",     "ADMINPASS",  "ABORTLOG",  "ACTDIR",   "ADMDIR",   "ARPCONF",   "BASEURL",  "CACHE",    "CACHEARC",
        "CACHEDIR",  "CACHEFILE",  "CGIENV",    "CHARCODE", "CHARMAP",  "CHARSET",   "COUNTER",  "DATAPATH", "DBFILE",
        "DELAY",     "DELEGATE",   "DGPATH",    "DGROOT",   "DGSIGN",   "DYLIB",     "EDITOR",   "ERRORLOG", "ETCDIR",
        "EXPIRE",    "EXPIRELOG",  "FILETYPE",  "HTMLCONV", "ICP",      "ICPCONF",   "IPV6",     "LDPATH",   "LIBDIR",
        "LIBPATH",   "LOG",        "LOGCENTER", "LOGDIR",   "M17N",     "MIMECONV",  "PROTOLOG", "RES_AF",   "RES_CONF",
        "RES_DEBUG", "RES_EXPIRE", "RES_LOG",   "RES_NS",   "RES_RR",   "RES_VRFY",  "RES_WAIT", "RESOLV",   "RIDENT",
        "SHARE",     "SOCKOPT",    "STDOUTLOG", "TMPDIR",   "TRACELOG", "URICONV",   "VARDIR",   "WORKDIR",  "HTTPCONF",
        "FTPCONF",   "NNTPCONF",   "SMTPCONF",  "DNSCONF",  "POPCONF",  "TELNETCONF"}) {
    CHECK_MESSAGE(smx::is_one_of(smx::ignored_parameters(), name), name);
  }
}

TEST_CASE("every refused parameter is an error that says so, without its value") {
  for (const char* name :
       {"AUTH",     "AUTHORIZER", "MYAUTH",   "SCREEN",   "STLS",      "TLS",       "TLSCONF", "CERTDIR", "CRYPT",
        "PASSWD",   "PAMCONF",    "SUDOAUTH", "EXECAUTH", "FILEACL",   "CAPSKEY",   "SAC",     "CONNECT", "MASTER",
        "MASTERP",  "PROXY",      "SOCKS",    "SOCKSTAP", "SOCKSCONF", "SSLTUNNEL", "VSAP",    "YYMUX",   "YYCONF",
        "HTMUX",    "ROUTE",      "FORWARD",  "CLUSTER",  "GATEWAY",   "TUNNEL",  "RELAY",   "MOUNT",
        "SMTPGATE", "CMAP",       "CFI",      "FCL",      "FTOCL",     "FFROMCL",   "FSV",     "FTOSV",   "FFROMSV",
        "FMD",      "FTOMD",      "FFROMMD",  "XCOM",     "XFIL",      "INETD",     "CRON",    "DYCONF",  "SERVCONF",
        "DGCONF",   "DGOPTS",     "CONFOPT",  "OVERRIDE", "SOCKMUX"}) {
    const std::string text = error({std::string(name) + "=secret"});
    CHECK_MESSAGE(has(text, std::string(name) + ": not supported"), text);
    if (std::string(name) != "SOCKMUX") CHECK_FALSE(has(text, "secret"));
  }
  CHECK(has(error({"PORT=-=http://h/x"}), "not supported"));
  CHECK(has(error({"(.localnet)TIMEOUT=io:1"}), "condition"));
  CHECK(has(error({"SOCKMUX=hostA:8000:con"}), "SERVER=sockmux://hostA:8000"));
  CHECK(has(error({"-Fauth"}), "-Fsockmux"));
}

TEST_CASE("the nearest name is shown") {
  CHECK(has(error({"PORTS=1"}), "PORT?"));
  CHECK(has(error({"timeout=io:1"}), "TIMEOUT?"));
  CHECK(has(error({"ADMNI=x"}), "ADMIN?"));
  CHECK(has(error({"SOKCS=x"}), "SOCKS?"));
  CHECK_FALSE(has(error({"TIMEOUT=zzz:1"}), "mean"));
  CHECK(has(error({"TIMEOUT=pnig:1"}), "ping"));
  CHECK(has(error({"MAXIMA=chanels:1"}), "channels"));
  CHECK(has(error({"SOXCONF=pakcsize:1"}), "packsize"));
  CHECK(has(error({"SERVER=tenlet,-in"}), "telnet"));
  CHECK(has(error({"SERVER=tcprelya://h,-in"}), "tcprelay"));
  CHECK(has(error({"SERVER=sokcmux"}), "do you mean sockmux"));
  CHECK(has(error({"SERVER=sockmux:comin@/x"}), "commin"));
  CHECK(has(error({"SYSLOG=-fdeamon"}), "-fdaemon"));
  CHECK(has(error({"--hlep"}), "--help"));
  CHECK(has(error({"-q9000"}), "-Q"));
  CHECK_FALSE(has(error({"QQQQQQ=1"}), "mean"));
}

TEST_CASE("TIMEOUT: every word, its unit and its field") {
  Run run;
  run.parse_more({"TIMEOUT=con:2,lin:1m,io:1.5h,silence:1d,hello:3s,login:4,dns:0.25,resume:5", "TIMEOUT=renew:24h",
                  "TIMEOUT=ping:7, retry:8"});
  REQUIRE(run.good);
  const Config& c = run.config;
  CHECK(c.connect_timeout == smx::seconds(2));
  CHECK(c.linger_timeout == smx::seconds(60));
  CHECK(c.io_timeout == smx::seconds(5400));
  CHECK(c.udp_timeout == smx::seconds(86400));
  CHECK(c.hello_timeout == smx::seconds(3));
  CHECK(c.login_timeout == smx::seconds(4));
  CHECK(c.dns_timeout == smx::millis(250));
  CHECK(c.resume_hold == smx::seconds(5));
  CHECK(c.renew_interval == smx::seconds(86400));
  CHECK(c.ping_interval == smx::seconds(7));
  CHECK(c.retry_max == smx::seconds(8));
  CHECK(run.has_setting("TIMEOUT", "dns:0.25"));
  CHECK(run.has_setting("TIMEOUT", "io:5400"));
  for (const char* bad : {"", "con:", "con:-1", "con:1x", "con:1.", "con:.5", "con:1.1234567", "con:1 s",
                          "con:99999999d", "resume:65536", "con:1:2", "con 1", ":1"}) {
    CHECK_MESSAGE(status({std::string("TIMEOUT=") + bad}) == 64, bad);
  }
  CHECK(status({"TIMEOUT=con:0"}) == 0);
}

TEST_CASE("MAXIMA: every word, its bounds and its field") {
  Run run;
  run.parse_more({"MAXIMA=listen:50,conpch:3,udprelay:4,delegated:9", "MAXIMA=memory:8m,halfopen:5,channels:6,links:7,opens:8"});
  REQUIRE(run.good);
  const Config& c = run.config;
  CHECK(c.listen_backlog == 50);
  CHECK(c.max_per_client == 3);
  CHECK(c.max_udp_flows == 4);
  CHECK(c.max_programs == 9);
  CHECK(c.memory_bytes == 8 << 20);
  CHECK(c.max_half_open == 5);
  CHECK(c.max_opens == 8);
  CHECK(c.max_channels == 6);
  CHECK(c.max_links == 7);
  CHECK(run.has_setting("MAXIMA", "memory:8388608"));
  for (const char* bad : {"", "listen:0", "listen:65536", "listen:x", "listen", "memory:1", "memory:8x", "channels:0",
                          "channels:65536", "memory:99999999999g", "links:-1", "halfopen:1k"}) {
    CHECK_MESSAGE(status({std::string("MAXIMA=") + bad}) == 64, bad);
  }
}

TEST_CASE("SOXCONF: every word and its field") {
  Run run;
  run.parse_more({"SOXCONF=packsize:2k,crypt:off,proto:0.3,key:/k,peers:/p,name:r-1.x_Y,line:clean,mkfifo,control:/run/s,sandbox:trap,dhkey:none"});
  REQUIRE(run.good);
  const Config& c = run.config;
  CHECK(c.packet_size == 2048);
  CHECK(c.proto == Config::Proto::v03);
  CHECK(c.key_file == "/k");
  CHECK(c.peers_file == "/p");
  CHECK(c.own_name == "r-1.x_Y");
  CHECK(c.line == Config::Line::clean);
  CHECK(c.mkfifo);
  CHECK(c.control);
  CHECK(c.control_file == "/run/s");
  CHECK(c.control_file.data()[6] == 0);
  CHECK(run.has_setting("SOXCONF", "control:/run/s"));
  CHECK(c.sandbox == Config::Sandbox::trap);
  CHECK(run.report.ignored()[0] == "SOXCONF=dhkey");
  Run other;
  CHECK(other.config.sandbox == Config::Sandbox::yes);
  other.parse_more({"SOXCONF=proto:1,line:lossy,mkfifo:no,sandbox:no,packsize:1"});
  CHECK(other.config.sandbox == Config::Sandbox::no);
  REQUIRE(other.good);
  CHECK(other.config.proto == Config::Proto::v1);
  CHECK(other.config.line == Config::Line::lossy);
  CHECK_FALSE(other.config.mkfifo);
  CHECK(other.config.packet_size == 129);
  CHECK(has(other.warning(), "129"));
  for (const char* bad :
       {"", "proto:2", "proto", "line:x", "mkfifo:x", "sandbox:x", "key:", "peers", "name:", "name:a b", "name:a/b",
        "packsize:", "packsize:-1", "packsize:1g1", "crypt", "crypt:0", "crypt:yes", "Crypt:no",
        "control", "control:", "control:yes", "control:run/s"}) {
    CHECK_MESSAGE(status({std::string("SOXCONF=") + bad}) == 64, bad);
  }
  CHECK(status({"SOXCONF=name:" + std::string(63, 'a')}) == 0);
  CHECK(status({"SOXCONF=name:" + std::string(64, 'a')}) == 64);
  CHECK(status({"SOXCONF=control:/" + std::string(102, 'a')}) == 0);
  CHECK(status({"SOXCONF=control:/" + std::string(103, 'a')}) == 64);
  for (const char* none : {"no", "off", "-"}) {
    Run without;
    without.parse_more({std::string("SOXCONF=control:/a,control:") + none});
    REQUIRE(without.good);
    CHECK_FALSE(without.config.control);
    CHECK(without.config.control_file.empty());
  }
  CHECK(Run().config.control);
}

TEST_CASE("single values of the process") {
  Run run;
  run.parse_more({"OWNER=#12/#34", "CHROOT=/var/empty", "UMASK=0027", "PIDFILE=/run/p", "LOGFILE=/log",
                  "SYSLOG=-flocal0", "SRCIF=[::1]:7", "-eA=b c", "-e_X1="});
  REQUIRE(run.good);
  const Config& c = run.config;
  CHECK(c.owner == "#12/#34");
  CHECK(c.chroot_dir == "/var/empty");
  CHECK(c.umask_text == "0027");
  CHECK(c.pidfile_given);
  CHECK(c.logfile_given);
  CHECK(c.logfile == "/log");
  CHECK(c.syslog == "-flocal0");
  CHECK(c.source.host == "::1");
  CHECK(c.source.port == 7);
  REQUIRE(c.env.count == 2);
  CHECK(c.env[0] == "A=b c");
  for (const std::string_view text : {c.owner, c.chroot_dir, c.umask_text, c.pidfile, c.logfile, c.syslog, c.env[0]}) {
    CHECK(text.data()[text.size()] == 0);
  }
  for (const char* bad : {"OWNER=",
                          "OWNER=a/",
                          "OWNER=/a",
                          "OWNER=#x",
                          "OWNER=a/b/c",
                          "OWNER=a b",
                          "OWNER=a:10.1.*",
                          "CHROOT=",
                          "UMASK=",
                          "UMASK=8",
                          "UMASK=1000",
                          "UMASK=00000",
                          "PIDFILE=",
                          "LOGFILE=/x${PORT}",
                          "LOGFILE=/x[date+%d]",
                          "SYSLOG=host:514",
                          "SYSLOG=-fnosuch",
                          "SRCIF=",
                          "SRCIF=a:b",
                          "SRCIF=10.1.1.1::*:*:*",
                          "SRCIF=10.1.1.1:0:x",
                          "-e",
                          "-e=x",
                          "-ea-b=x"}) {
    CHECK_MESSAGE(status({bad}) == 64, bad);
  }
  Run empty;
  empty.parse_more({"SYSLOG=", "LOGFILE=", "SRCIF=10.1.1.1:"});
  CHECK(empty.good);
  CHECK(empty.config.source.host == "10.1.1.1");
}

TEST_CASE("HOSTS") {
  Run run;
  run.parse_more({"HOSTS=a/10.1.1.1,{b,C}/{10.1.1.2,[::1]}"});
  REQUIRE(run.good);
  CHECK(smx::find_host(run.config, "A").count == 1);
  CHECK(smx::find_host(run.config, "c").count == 2);
  CHECK(smx::find_host(run.config, "c")[1].family == 6);
  CHECK(smx::find_host(run.config, "d").empty());
  for (const char* bad : {"", "a", "a/", "a/b", "/10.1.1.1", "{}/10.1.1.1", "a/{}", "{a/10.1.1.1", "a b/10.1.1.1"}) {
    CHECK_MESSAGE(status({std::string("HOSTS=") + bad}) == 64, bad);
  }
}

TEST_CASE("rules and lists that are wrong") {
  for (const char* bad : {"PERMIT=",        "PERMIT=*",
                          "PERMIT=*:*:",    "PERMIT=::*",
                          "PERMIT=*::*",    "PERMIT=a b:*:*",
                          "PERMIT=*:-P1:*", "PERMIT=*:*:*:x",
                          "PERMIT=+:*:*",   "REJECT=*:*",
                          "REACHABLE=",     "REACHABLE=-P1",
                          "REMITTABLE=",    "REMITTABLE=http/80/GET",
                          "HOSTLIST=",      "HOSTLIST=a:",
                          "HOSTLIST=:b",    "HOSTLIST=a b:c",
                          "HOSTLIST=*:c",   "RELIABLE=user@h"}) {
    CHECK_MESSAGE(status({bad}) == 64, bad);
  }
  Run run;
  run.parse_more({"REACHABLE=a", "REACHABLE=b:80", "REMITTABLE=http", "REMITTABLE=telnet", "REJECT=http:*:x"});
  REQUIRE(run.good);
  CHECK(run.has_setting("REACHABLE", "a,b:80"));
  CHECK(run.has_setting("REMITTABLE", "http,telnet"));
  CHECK(run.has_setting("REJECT", "http:*:x"));
}

TEST_CASE("secure links, peers by name, and our own standard input and output") {
  const auto link = [](const Strings& words) {
    Run run;
    run.parse(words);
    INFO(run.error());
    REQUIRE(run.good);
    REQUIRE(run.config.links.count == 1);
    // Views into the run's words would not live on; the numbers and flags do.
    LinkSpec l = run.config.links[0];
    CHECK((l.path.empty() || l.path.data()[l.path.size()] == 0));
    l.peer = l.peer == "hub2" ? "hub2" : l.peer.empty() ? "" : "?";
    l.path = l.path == "-" ? "-" : l.path == "/dev/ttyS0" ? "/dev/ttyS0" : l.path == "ssh a@b -T x" ? "ssh" : "?";
    l.at.host = l.at.host == "198.51.100.7" ? "198.51.100.7" : "?";
    return l;
  };
  CHECK(link({"SERVER=sockmuxs", "-P9000"}).secure);
  CHECK_FALSE(link({"SERVER=sockmux", "-P9000"}).secure);
  const LinkSpec to = link({"SERVER=SockMuxs://hub2@198.51.100.7:9000"});
  CHECK(to.secure);
  CHECK(to.kind == LinkSpec::Kind::connect_tcp);
  CHECK(to.peer == "hub2");
  CHECK(to.at.host == "198.51.100.7");
  CHECK(to.at.port == 9000);
  const LinkSpec device = link({"SERVER=sockmuxs:hub2@comm@/dev/ttyS0"});
  CHECK(device.kind == LinkSpec::Kind::device);
  CHECK(device.peer == "hub2");
  CHECK(device.path == "/dev/ttyS0");
  CHECK(link({"SERVER=sockmux:comm@-"}).kind == LinkSpec::Kind::stdio);
  CHECK(link({"SERVER=sockmuxs:hub2@comm@-"}).kind == LinkSpec::Kind::stdio);
  const LinkSpec program = link({"SERVER=sockmux:proc@ssh a@b -T x"});
  CHECK(program.kind == LinkSpec::Kind::program);
  CHECK(program.path == "ssh");
  CHECK(program.peer == "");
  CHECK(link({"SERVER=sockmuxs:hub2@proc@ssh a@b -T x"}).path == "ssh");
  CHECK(link({"SERVER=sockmuxs:proc@ssh a@b -T x"}).peer == "");
  CHECK(link({"SERVER=sockmuxs:hub2@commin@/a", "SERVER=sockmuxs:commout@/b"}).peer == "hub2");
  for (const char* bad :
       {"SERVER=sockmux://hub2@h", "SERVER=sockmux:hub2@comm@/x", "SERVER=sockmuxs://@h", "SERVER=sockmuxs://a b@h",
        "SERVER=sockmuxs://h@", "SERVER=sockmuxs:hub2@x@/y", "SERVER=sockmuxs:comm@", "SERVER=sockmux:comm@a b",
        "SERVER=sockmux,-in", "SERVER=sockmuxs,-in", "SERVER=sockmux:comm", "SERVER=sockmux//h", "SERVER=sockmux://h:0",
        "SERVER=sockmux://-", "SERVER=sockmux://h:+1", "SERVER=sockmux://h/x", "SERVER=sockmux://::1:9000",
        "SERVER=sockmuxs://123456789012345678901234567890123@h"}) {
    CHECK_MESSAGE(status({bad}) == 64, bad);
  }
  CHECK(status({"SERVER=sockmux:commin@/a", "SERVER=sockmuxs:commout@/b"}) == 64);
}

TEST_CASE("several links: the first is the best, each place counts once, FIFOs join in pairs") {
  const auto links = [](const Strings& words, const Strings& wanted) {
    Run run;
    run.parse(words);
    INFO(run.error());
    REQUIRE(run.good);
    Strings got;
    for (const smx::LinkSpec& l : run.config.links)
      got.push_back(text_of(l.at.host) + text_of(l.path) + text_of(l.in_path) + text_of(l.out_path));
    CHECK(got == wanted);
    return run.report.warning_count();
  };
  CHECK(links({"SERVER=sockmux://a", "SERVER=sockmux://b:1", "SERVER=sockmux:comm@/dev/x"}, {"a", "b", "/dev/x"}) == 0);
  // The same place, written the same or not: it stays where it was.
  CHECK(links({"SERVER=sockmux://a", "SERVER=sockmux://b", "SERVER=sockmux://a"}, {"a", "b"}) == 0);
  CHECK(links({"SERVER=sockmux://a", "SERVER=sockmux://b", "SERVER=sockmux://A:8707/"}, {"A", "b"}) == 1);
  CHECK(links({"SERVER=sockmux:comm@/dev/x,9600", "SERVER=sockmux:comm@/dev/x,115200"}, {"/dev/x"}) == 1);
  CHECK(links({"SERVER=sockmux:commin@/a", "SERVER=sockmux://h", "SERVER=sockmux:commout@/b", "SERVER=sockmux:commin@/a"}, {"/a/b", "h"}) == 0);
  CHECK(links({"SERVER=sockmux:commin@/a", "SERVER=sockmux:commin@/c", "SERVER=sockmux:commout@/b", "SERVER=sockmux:commout@/d"}, {"/a/b", "/c/d"}) == 0);
  CHECK(links({"SERVER=sockmux", "SERVER=sockmux", "-P9000", "-Q9001"}, {"", ""}) == 0);
  // Accepted ones stand first, wherever they were written.
  CHECK(links({"SERVER=sockmux:comm@/dev/x", "SERVER=sockmux", "-Ph:9000"}, {"h", "/dev/x"}) == 0);

  Strings many;
  for (size_t i = 0; i < smx::kMaxLinks; ++i) many.push_back("SERVER=sockmux://h" + std::to_string(i));
  CHECK(status(many) == 0);
  many.push_back("SERVER=sockmux://more");
  CHECK(status(many) == 64);
  CHECK(has(error(many), "8"));
  CHECK(status({"SERVER=sockmux:commin@/a", "SERVER=sockmux:commout@/b", "SERVER=sockmux:commin@/c"}) == 78);
  // It ends with its link, so that it can be no choice.
  for (const Strings& words : {Strings{"SERVER=sockmux:comm@-", "SERVER=sockmux://h"}, Strings{"SERVER=sockmux:comm@-", "SERVER=sockmux", "-P9000"},
                               Strings{"SERVER=sockmux://h", "SERVER=sockmux"}}) {  // the last: no -P
    Run run;
    run.parse(words);
    CHECK(run.report.status() == 78);
  }
  // To accept beside is said by SERVER=sockmux, not by -P alone.
  Run alone;
  alone.parse({"SERVER=sockmux://h", "-P9000"});
  REQUIRE(alone.good);
  CHECK(alone.config.links.count == 1);
  CHECK(has(alone.warning(), "-P9000"));
}

TEST_CASE("-P and PORT that stand in each other's way") {
  CHECK(status({"PORT=127.0.0.1:9000"}) == 78);
  CHECK(status({"PORT=9000/udp"}) == 0);
  CHECK(status({"PORT=9001", "-Q127.0.0.1:9001"}) == 78);
  CHECK(status({"PORT=127.0.0.2:9001", "-Q127.0.0.1:9001"}) == 0);
  CHECK(status({"PORT=0", "-Q0"}) == 0);
  Run run;
  run.parse({"SERVER=sockmux://h", "-P9000", "PORT=9000"});
  CHECK(run.good);
  CHECK(has(run.warning(), "-P9000"));
}

TEST_CASE("limits of ports, words, servers, addresses") {
  CHECK(status({"PORT=1000-2023"}) == 0);
  CHECK(has(error({"PORT=1000-2024"}), "1024"));
  CHECK(has(error({"-P1000-1064"}), "too many"));
  Run run;
  Strings words;
  for (size_t i = 0; i < smx::kMaxServers; ++i) words.push_back("DEST=h:" + std::to_string(i + 1));
  run.parse_more(words);
  CHECK(run.good);
  CHECK(run.config.servers.count == smx::kMaxServers);
  words.push_back("DEST=h:1");
  run.parse_more(words);
  CHECK(has(run.error(), "too many servers"));
  std::string addresses = "HOSTS=a/{";
  for (size_t i = 0; i <= smx::kMaxHostAddresses; ++i) addresses += "10.1.1.1,";
  CHECK(has(error({addresses + "}"}), "too many"));
  Run lines;
  lines.files.files["a.cnf"] = std::string();
  for (size_t i = 0; i < smx::kMaxWords; ++i) lines.files.files["a.cnf"] += "-f\n";
  lines.parse_more({"+=a.cnf"});
  CHECK(has(lines.error(), "16384"));
}

TEST_CASE("an arena that is too small is one clear error, whatever its size") {
  const Strings words = {"HOSTLIST=a:10.1.1.1,::1",
                         "RELIABLE=a,hub",
                         "PORT=8000-8010",
                         "SERVER=telnet,-in(-vs PERMIT=*:*:a)",
                         "DEST=h:1:-P1",
                         "TIMEOUT=con:1,lin:2",
                         "HOSTS={a,b}/{10.1.1.1}",
                         "+=a.cnf"};
  for (size_t size = 0; size < 40000; ++size) {
    Run run(size + 1);
    run.files.files["a.cnf"] = "PIDFILE=/x\nDEST=+=d.cnf\n";
    run.files.files["d.cnf"] = "h:2\nh:3\n";
    run.parse_more(words);
    if (run.good) continue;
    CAPTURE(size);
    CAPTURE(run.error());
    CHECK(run.report.error_count() == 1);
    CHECK(run.report.status() == 78);
    CHECK(has(run.error(), "not enough memory"));
  }
}

TEST_CASE("files: 8 levels, loops, labels, lookup beside the caller, then here") {
  Run run;
  for (int i = 1; i <= 8; ++i) {
    run.files.files["f" + std::to_string(i)] = i < 8 ? "+=f" + std::to_string(i + 1) : std::string("PORT=9023");
  }
  run.parse_more({"+=f1"});
  CHECK(run.good);
  CHECK(run.config.listens.count == 1);
  Run deep;
  deep.files.files = run.files.files;
  deep.files.files["f8"] = "+=f9";
  deep.files.files["f9"] = "PORT=9023";
  deep.parse_more({"+=f1"});
  CHECK(deep.report.status() == 78);
  CHECK(has(deep.error(), "f8:1: +=f9: more than 8"));
  Run many;
  many.files.files["one"] = "SERVER=sockmux\n";
  for (int i = 0; i < 256; ++i) many.files.files["all"] += "+=one\n";
  many.parse_more({"+=all"});
  CHECK(has(many.error(), "all:256: +=one: more than 256 files are read"));
  for (const auto& [status, why] : {std::pair{smx::FileText::Status::missing, "there is no such file"},
                                    {smx::FileText::Status::unreadable, "can't be read"},
                                    {smx::FileText::Status::is_directory, "it is a directory"},
                                    {smx::FileText::Status::too_big, "more than 262144 bytes"},
                                    {smx::FileText::Status::no_memory, "not enough memory"}}) {
    Run bad;
    bad.files.broken["f"] = status;
    bad.parse_more({"+=f"});
    CHECK(bad.report.status() == (status == smx::FileText::Status::no_memory ? 78 : 66));
    CHECK(has(bad.error(), why));
  }

  Run beside;
  beside.files.files["d/a"] = "+=b\n+=c\n";
  beside.files.files["d/b"] = "PORT=1";
  beside.files.files["b"] = "PORT=2";
  beside.files.files["c"] = "PORT=3";
  beside.parse_more({"+=d/a"});
  REQUIRE(beside.good);
  CHECK(beside.config.listens[0].at.port == 1);
  CHECK(beside.config.listens[1].at.port == 3);

  Run loop;
  loop.files.files["a"] = "+=b\n";
  loop.files.files["b"] = "+=a\n";
  loop.parse_more({"+=a"});
  CHECK(loop.report.status() == 78);
  CHECK(has(loop.error(), "b:1"));
  CHECK(has(loop.error(), "loop"));

  Run part;
  part.files.files["a"] = "CASE x\n+=?y\nPORT=1\nESAC\nCASE y\nPORT=2\nESAC\nPORT=3\n+=?z\n";
  part.parse_more({"+=a?x"});
  CHECK(has(part.error(), "a:9"));
  CHECK(has(part.error(), "no CASE z"));
  Run self;
  self.files.files["a"] = "CASE x\n+=?x\nESAC\n";
  self.parse_more({"+=a?x"});
  CHECK(has(self.error(), "loop"));
}

TEST_CASE("files: names that are refused, and structure that is wrong") {
  for (const char* bad : {"+=a.cdh", "+=ftp://h/a", "+=?x", "+=a?", "+={}", "PORT=+=", "PORT=x:+=nosuch"}) {
    CHECK_MESSAGE(status({bad}) != 0, bad);
  }
  const auto from_file = [](const std::string& text) {
    Run run;
    run.files.files["a"] = text;
    run.parse_more({"+=a"});
    return run.error();
  };
  CHECK(has(from_file("CASE\nESAC\n"), "label"));
  CHECK(has(from_file("CASE a\nCASE b\nESAC\n"), "inside"));
  CHECK(has(from_file("PORT=1\0x"), "PORT") == false);
  CHECK(has(from_file(std::string("PORT=1\0", 7)), "NUL"));
  CHECK(from_file("CASE a\nPROT=1\nESAC\n").empty());
}

TEST_CASE("values from files: each line once, behind its prefix") {
  Run run;
  run.files.files["h"] = "10.1.1.1\n\n# no\n'10.1.1.2' # yes\n";
  run.parse_more({"RELIABLE=+=h", "HOSTLIST=a:+=h", "PERMIT=*:*:+=h"});
  REQUIRE(run.good);
  CHECK(run.has_setting("RELIABLE", "10.1.1.1,10.1.1.2"));
  CHECK(run.config.permit.count == 2);
  Run bad;
  bad.files.files["h"] = "10.1.1.1\nuser@x\n";
  bad.parse_more({"RELIABLE=+=h"});
  CHECK(bad.report.status() == 78);
  CHECK(has(bad.error(), "h:2"));
  Run missing;
  missing.parse_more({"RELIABLE=+=nosuch"});
  CHECK(missing.report.status() == 66);
}

TEST_CASE("words of -in: what is allowed, and where it goes") {
  Run run;
  run.files.files["p.cnf"] = "TIMEOUT=login:9\n-eB=2\n";
  run.parse_more(
      {"SERVER=telnet,-in(-vd -eA=1 TIMEOUT=con:3,io:600 MAXIMA=conpch:2 SRCIF=10.1.1.1 ADMIN=x +=p.cnf "
       "HOSTS=t/10.1.1.9)",
       "TIMEOUT=con:5,hello:6", "SERVER=exec,-in(XCOM='/bin/echo (a) b')", "SERVER=exec,-in(XFIL=cat)"});
  REQUIRE(run.good);
  const smx::ServerSpec& server = run.config.servers[0];
  REQUIRE(server.options != nullptr);
  CHECK(server.options->log_level == Config::Log::debug);
  CHECK(server.options->connect_timeout == smx::seconds(3));
  CHECK(server.options->hello_timeout == smx::seconds(6));
  CHECK(server.options->io_timeout == smx::seconds(600));
  CHECK(server.options->login_timeout == smx::seconds(9));
  CHECK(server.options->max_per_client == 2);
  CHECK(server.options->source.host == "10.1.1.1");
  REQUIRE(server.options->env.count == 2);
  CHECK(server.options->env[1] == "B=2");
  CHECK(smx::find_host(run.config, server, "t").count == 1);
  CHECK(smx::find_host(run.config, "t").empty());
  CHECK(run.config.connect_timeout == smx::seconds(5));
  CHECK(run.config.servers[1].options->xcom == "/bin/echo (a) b");
  CHECK(run.config.servers[2].options->xfil == "cat");
  for (const char* word : {"PORT=1", "SERVER=x", "DEST=a:1", "OWNER=a", "SOXCONF=crypt:no", "-f", "-P1", "-t",
                           "PIDFILE=/x", "STLS=fcl", "hello", "XCOM=x", "TIMEOUT=x:1", "-v,-f", "+=http://h/x"}) {
    const std::string text = error({std::string("SERVER=telnet,-in(") + word + ")"});
    CHECK_MESSAGE(has(text, "-in("), word);
    CHECK_MESSAGE(has(text, word), word);
  }
  CHECK(status({"SERVER=exec://h,-in(XCOM=x)"}) == 64);
  CHECK(status({"SERVER=smtp://h,-in(-vs)"}) == 64);
  CHECK(status({"SERVER=tcprelay://h:1,-in(TIMEOUT=io:3)"}) == 0);
}

TEST_CASE("a file among the words of -in that is not there makes that server refuse, not the daemon") {
  Run run;
  run.parse_more({"SERVER=telnet://h,-in(+=nosuch.cnf)"});
  REQUIRE(run.good);
  CHECK(run.config.servers[0].missing_file == "nosuch.cnf");
  CHECK(has_line(
      explained(run.config),
      "serves the peer's tcp clients by its telnet proxy, which goes to telnet://h:23; refused until the file nosuch.cnf "
      "is there"));
  Run bad;
  bad.files.files["p.cnf"] = "\nPORT=1\n";
  bad.parse_more({"SERVER=telnet://h,-in(+=p.cnf)"});
  CHECK(bad.report.status() == 78);
  CHECK(has(bad.error(), "p.cnf:2"));
}

TEST_CASE("servers: default ports, kinds, names that are no servers") {
  struct Default {
    const char* name;
    uint16_t port;
  };
  for (const Default& d :
       {Default{"ftp", 21}, {"ssh", 22},    {"telnet", 23}, {"smtp", 25},     {"whois", 43},  {"dns", 53},
        {"domain", 53},     {"gopher", 70}, {"finger", 79}, {"http", 80},     {"pop", 110},   {"nntp", 119},
        {"ntp", 123},       {"imap", 143},  {"ldap", 389},  {"https", 443},   {"smtps", 465}, {"syslog", 514},
        {"lpr", 515},       {"rsync", 873}, {"ftps", 990},  {"telnets", 992}, {"imaps", 993}, {"pop3s", 995},
        {"socks", 1080},    {"vnc", 5900},  {"x", 6000},    {"nntps", 563},   {"ldaps", 636}}) {
    Run run;
    run.parse_more({std::string("SERVER=") + d.name + "://h,-in"});
    REQUIRE_MESSAGE(run.good, d.name);
    CHECK(run.config.servers[0].to.port == d.port);
    CHECK_FALSE(run.config.servers[0].run);
  }
  for (const char* name : {"telnet", "http", "socks"}) CHECK(status({std::string("SERVER=") + name + ",-in"}) == 0);
  for (const char* bad :
       {"SERVER=tcprelay,-in", "SERVER=udprelay://h,-in", "SERVER=telnet://,-in", "SERVER=telnet://:23,-in",
        "SERVER=://h:1,-in", "SERVER=,-in", "SERVER=a/b://h:1,-in", "SERVER=telnet://u@h,-in",
        "SERVER=tcprelay://h:53/udp,-in", "SERVER=tcprelay://::1:80,-in", "SERVER=telnet://h,-inx",
        "SERVER=telnet://h,-in()x", "SERVER=telnet://h:0,-in", "SERVER=telnet://h:65536,-in"}) {
    CHECK_MESSAGE(status({bad}) == 64, bad);
  }
  Run run;
  run.parse_more({"SERVER=http://h:8080/a/b,-in", "DEST=h:7.udp", "DEST=[2001:db8::1]:7/udp:2001:db8::/32,-P8053"});
  REQUIRE(run.good);
  CHECK(run.config.servers[0].to.port == 8080);
  CHECK(run.config.servers[1].transport == smx::Transport::udp);
  CHECK(run.config.servers[2].to.host == "2001:db8::1");
  CHECK(run.config.servers[2].when_text == "2001:db8::/32,-P8053");
}

TEST_CASE("-t says in words what would be done") {
  Run run;
  run.parse({"SERVER=sockmuxs", "-P{9000,[::1]:9001}", "PORT=127.0.0.1:9023,0/udp",
             "SERVER=telnet://hostY,-in:-:-P8023", "SERVER=http,-in:-:10.1.*", "SERVER=exec,-in(XCOM=/bin/date)",
             "DEST=hostU:53/udp", "TIMEOUT=con:5", "REACHABLE=10.0.0.0/8", "PERMIT=telnet:*:.localnet",
             "REJECT=*:bad:*", "REJECT=*:*:10.1.1.9"});
  REQUIRE(run.good);
  const Strings lines = explained(run.config);
  CHECK(has_line(lines, "waits for secure links at 0.0.0.0:9000, open to: local networks, but not 10.1.1.9"));
  CHECK(has_line(lines, "waits for secure links at [::1]:9001, open to: local networks, but not 10.1.1.9"));
  CHECK(has_line(lines, "listens at 127.0.0.1:9023/tcp, open to: local networks, but not 10.1.1.9; forwards over the link, to the server that the other side names"));
  CHECK(has_line(lines, "listens at 0.0.0.0:0/udp (any free port), open to: local networks, but not 10.1.1.9; forwards over the link, to the server that the other side names"));
  CHECK(has_line(lines, "connects tcp clients of the peer's port 8023 to telnet://hostY:23"));
  CHECK(has_line(lines, "serves the peer's tcp clients that match 10.1.* by its http proxy"));
  CHECK(has_line(lines, "runs /bin/date for the peer's tcp clients"));
  CHECK(has_line(lines, "connects the peer's udp clients to udprelay://hostU:53"));
  CHECK(has_line(lines, "connects for the peer only to: 10.0.0.0/8"));
  CHECK(has_line(lines, "connects for the peer only as permitted: telnet:*:.localnet"));
  CHECK(has_line(lines, "connects for the peer never to: *:bad:*"));
  CHECK(has_line(lines, "with TIMEOUT=con:5"));
  Run several;
  several.parse({"SERVER=sockmux", "-P9000", "SERVER=sockmux:comm@/dev/x", "SERVER=sockmux://a", "SERVER=sockmux:proc@x"});
  REQUIRE(several.good);
  const Strings ways = explained(several.config);
  CHECK(has_line(ways, "waits for links over the device /dev/x"));
  CHECK(has_line(ways, "makes a link to a:8707, not encrypted; and again whenever it is lost"));
  CHECK(has_line(ways, "makes a link over the program: x; only while there is none of those above"));
  Run turns;
  turns.parse({"SERVER=sockmux://a", "SERVER=sockmux:comm@/dev/x"});
  REQUIRE(turns.good);
  CHECK(has_line(explained(turns.config), "makes a link to a:8707, not encrypted; and again whenever it is lost"));
  CHECK(has_line(explained(turns.config), "makes a link over the device /dev/x; only while there is none of those above"));
  Run told;
  told.parse({"SERVER=sockmux://h", "SERVER=tcprelay://a:1,-in(SOXCONF=send-proxy:v2)", "DEST=a:2", "DEST=a:3/udp", "SOXCONF=send-proxy:v1"});
  REQUIRE(told.good);
  CHECK(has_line(explained(told.config), "connects the peer's tcp clients to tcprelay://a:1, which is told the client's address first (PROXY protocol, v2)"));
  CHECK(has_line(explained(told.config), "connects the peer's tcp clients to tcprelay://a:2, which is told the client's address first (PROXY protocol, v1)"));
  CHECK(has_line(explained(told.config), "connects the peer's udp clients to udprelay://a:3"));
  CHECK(has(error({"SERVER=http,-in(SOXCONF=send-proxy:v2)"}), "goes with servers that get bytes unchanged"));
  CHECK(has(error({"SERVER=tcprelay://a:1,-in(SOXCONF=proto:1)"}), "for the whole daemon"));
  CHECK(has(error({"SERVER=tcprelay://a:1,-in(SOXCONF=packsize:1000)"}), "for the whole daemon"));
  CHECK(has(error({"SOXCONF=send-proxy:v3"}), "expected v1, v2 or no"));
  Run open;
  open.parse({"SERVER=sockmux://h", "PORT=9023,127.0.0.1:9024", "RELIABLE=*"});
  REQUIRE(open.good);
  const Strings warned = explained(open.config);
  CHECK(has_line(warned, "makes a link to h:8707, not encrypted; and again whenever it is lost"));
  CHECK(has_line(warned, "lets the clients of the peer reach nothing (no SERVER=...,-in and no DEST)"));
  CHECK(has_line(warned, "listens at 127.0.0.1:9024/tcp, open to: everybody; forwards over the link to h:8707, to the server that the other side names"));
  CHECK(has_line(warned, "warning: 0.0.0.0:9023/tcp is open to the world (see RELIABLE)"));
  CHECK_FALSE(has_line(warned, "warning: 127.0.0.1:9024/tcp is open to the world (see RELIABLE)"));
  for (const char* server : {"sockmux:comm@-", "sockmux:comm@/dev/x", "sockmux:proc@x y", "sockmuxs:n@comm@/dev/x"}) {
    Run other;
    other.parse({std::string("SERVER=") + server});
    REQUIRE(other.good);
    CHECK(has(explained(other.config)[0], "over"));
  }
}

// Found by the fuzz target `config`.
TEST_CASE("-t shows words as messages do: no control character of a file reaches the terminal") {
  Run run;
  run.parse_more({"PIDFILE=/run/\x1b]0;x\x07\xff", "DEST=h:1"});
  REQUIRE(run.good);
  CHECK(has_line(explained(run.config), "with PIDFILE=/run/?]0;x??"));
}

TEST_CASE("files of the file system: text, none, a directory, one that is too big") {
  Run run;
  smx::DiskFiles disk;
  CHECK(disk.read("/nonexistent/file", run.arena).status == smx::FileText::Status::missing);
  CHECK(disk.read("/", run.arena).status == smx::FileText::Status::is_directory);
  CHECK(disk.read("/dev/zero", run.arena).status == smx::FileText::Status::too_big);
  const smx::FileText empty = disk.read("/dev/null", run.arena);
  CHECK(empty.status == smx::FileText::Status::ok);
  CHECK(empty.text.empty());
  char few[64];
  smx::Arena small(few, sizeof few);
  CHECK(disk.read("/dev/zero", small).status == smx::FileText::Status::no_memory);
}

namespace {

// Words to begin with: those of the vectors, if the tests run where they are, and some of our own.
Strings seeds() {
  Strings words = {"SERVER=sockmux",
                   "-P{127.0.0.1:9000,[::1]:9001}",
                   "PORT=8000-8003/udp",
                   "SERVER=telnet,-in(-vs TIMEOUT=io:3 +=a.cnf):-:-P{8023,8024},!10.1.*",
                   "DEST=[::1]:7:2001:db8::/32,&,!a,|,{b,{c,d}}",
                   "PERMIT=*,!http/{80,443}:{*:{1,2-3}}:.localnet",
                   "HOSTS={a,b}/{10.1.1.1,::1}",
                   "HOSTLIST=a:b,10.1.1.[0-5]",
                   "HOSTLIST=b:+,!a",
                   "+=a.cnf?x",
                   "RELIABLE=+=a.cnf",
                   "TIMEOUT=con:1.5h,lin:1m",
                   "MAXIMA=memory:8m",
                   "SOXCONF=packsize:1k,proto:1",
                   "SERVER=sockmuxs:hub@proc@ssh -T x",
                   "SERVER=exec,-in(XCOM=\"/bin/echo (x)\" -eA=b)"};
  std::ifstream file("tests/data/option-vectors.txt");
  std::string word;
  while (file >> word) {
    if (word[0] != '#') words.push_back(word);
  }
  return words;
}

// One random change of `text`: a piece of another one, a letter that means something, a cut, a doubling.
std::string changed(const std::string& text, const Strings& others, std::mt19937& random) {
  static const std::string kLetters = "{}[](),:;!&|/@*?.-_=+#'\"\\ \t\n\r0123456789aPxZ%$~^<>\x01\x7f\xff";
  std::string s = text;
  const size_t at = s.empty() ? 0 : random() % (s.size() + 1);
  const std::string& other = others[random() % others.size()];
  switch (random() % 6) {
    case 0: s.insert(at, 1, kLetters[random() % kLetters.size()]); break;
    case 1: s.erase(at, 1 + random() % 4); break;
    case 2: {
      const size_t from = other.empty() ? 0 : random() % other.size();
      s.insert(at, other.substr(from, 1 + random() % 12));
      break;
    }
    case 3: s = s.substr(0, at) + other; break;
    case 4: s.insert(at, s.substr(at / 2, 20)); break;
    default:
      if (at < s.size()) s[at] = kLetters[random() % kLetters.size()];
      break;
  }
  return s;
}

}  // namespace

TEST_CASE("broken words never crash, and always end in a Config or an error") {
  const Strings known = seeds();
  std::mt19937 random(20251125);
  smx_test::Names names;
  names.known["a"] = {"10.1.1.1"};
  size_t good = 0;
  for (int round = 0; round < 10000; ++round) {
    Run run(64 * 1024);
    Strings words;
    for (size_t i = 1 + random() % 4; i > 0; --i) {
      std::string word = known[random() % known.size()];
      for (size_t n = random() % 4; n > 0; --n) word = changed(word, known, random);
      words.push_back(word.substr(0, 2000));
    }
    std::string& file = run.files.files["a.cnf"];
    for (size_t i = random() % 6; i > 0; --i) file += changed(known[random() % known.size()], known, random) + "\n";
    run.parse_more(words);
    CHECK((run.good || run.report.error_count() > 0));
    for (const smx::Problem& p : run.report.errors()) CHECK((p.status == 64 || p.status == 66 || p.status == 78));
    if (!run.good) continue;
    ++good;
    const smx::Subject who = smx_test::client(round % 2 == 0 ? "10.1.1.1" : "2001:db8::1", 8023);
    smx::Target target;
    target.host = "a";
    target.port = 80;
    smx::allowed_client(run.config, who, names);
    smx::choose(run.config, who, names);
    for (const smx::ServerSpec& s : run.config.servers) smx::allowed_connect(run.config, s, who, target, names);
    explained(run.config);
  }
  CHECK(good > 100);
}

TEST_CASE("what goes with nothing is said: a proxy with a host, a lossy line in 0.3") {
  Run socks;
  socks.parse_more({"SERVER=socks://host,-in(REACHABLE=*)"});
  CHECK(has(socks.error(), "the socks proxy has no host"));
  Run lossy;
  lossy.parse({"SERVER=sockmux:comm@/dev/ttyS0", "SOXCONF=proto:0.3,line:lossy"});
  CHECK(lossy.report.status() == 78);
  CHECK(has(lossy.error(), "SOXCONF=line:lossy needs SockMux 1"));
}
