// FTP through the link with real programs: vsftpd as the server, curl and lftp as clients. Read next: ftp_hand.cc (what real
// programs never do), relay/ftp.h.
#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

constexpr size_t kBig = 20 << 20;

// A real FTP server on all addresses of both families, for anonymous users, who may write in pub.
class Vsftpd {
 public:
  Vsftpd() {
    const std::string program = find_program("vsftpd");
    run({"mkdir", "-p", root() + "/pub", folder_ / "empty", root() + "/tree/x/y"}, 5);
    run({"chmod", "755", folder_.path(), root(), folder_ / "empty"}, 5);
    run({"chmod", "777", root() + "/pub"}, 5);
    write_file(root() + "/small", "a small file\n");
    write_file(root() + "/big", pattern(30, kBig));
    for (size_t i = 0; i < 6; ++i) {
      write_file(root() + "/tree/x/f" + text(i), pattern(40 + i, 3000 * i));
      write_file(root() + "/tree/x/y/g" + text(i), pattern(50 + i, 700 * i));
    }
    std::string conf = "listen=NO\nlisten_ipv6=YES\nbackground=NO\nanonymous_enable=YES\nno_anon_password=YES\nlocal_enable=NO\n";
    conf += "write_enable=YES\nanon_upload_enable=YES\nanon_mkdir_write_enable=YES\nanon_other_write_enable=YES\nanon_umask=022\n";
    conf += "connect_from_port_20=NO\nseccomp_sandbox=NO\nftp_username=ftp\nasync_abor_enable=YES\n";
    conf += "listen_port=" + text(port_) + "\nanon_root=" + root() + "\nsecure_chroot_dir=" + folder_ / "empty" + "\n";
    if (geteuid() != 0) conf += "run_as_launching_user=YES\n";
    write_file(folder_ / "conf", conf);
    process_ = std::make_unique<Process>(Words{program, folder_ / "conf"});
    std::unique_ptr<Conn> probe;
    const bool up = wait_for(
        [&] {
          if (probe == nullptr || probe->over()) probe = std::make_unique<Conn>(port_);
          return probe->text().find("220") != std::string::npos;
        },
        5);
    REQUIRE_MESSAGE(up, "vsftpd does not start: ", process_->log());
  }
  uint16_t port() const { return port_; }
  std::string root() const { return folder_ / "root"; }

 private:
  TempFolder folder_;
  const uint16_t port_ = quiet_port();
  std::unique_ptr<Process> process_;
};

std::string url(uint16_t port, const std::string& path, const char* host = "127.0.0.1") {
  return "ftp://" + std::string(host) + ":" + text(port) + "/" + path;
}

Words join(Words a, const Words& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// Each way for curl to ask for its data connection.
const std::vector<Words> kWays = {{}, {"--disable-epsv"}, {"-P", "-"}, {"-P", "-", "--disable-eprt"}};

}  // namespace

TEST_CASE("FTP: curl and vsftpd, passive and active: lists, 20 MB both ways") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  TempFolder temp;
  write_file(temp / "up", pattern(31, kBig));
  // The link may be made from either side.
  for (const bool exit_calls : {true, false}) {
    CAPTURE(exit_calls);
    const std::string to = "SERVER=ftp://" + local(server.port()) + ",-in";
    Pair p(exit_calls ? Words{"-vd", "PORT=127.0.0.1:0"} : Words{to}, exit_calls ? Words{to} : Words{"-vd", "PORT=127.0.0.1:0"});
    Daemon& entry = exit_calls ? *p.a : *p.c;
    const uint16_t port = entry.port();
    size_t n = 0;
    for (const Words& way : kWays) {
      CAPTURE(n);
      const Words program = join({curl, "-sS", "--max-time", "60"}, way);
      const std::string list = run(join(program, {url(port, "")}), 60);
      CHECK(count_of(list, "\n") == 4);
      CHECK(list.find(" big\n") != std::string::npos);
      CHECK(run(join(program, {url(port, "small")}), 60) == "a small file\n");
      CHECK(digest_of(run(join(program, {url(port, "big")}), 60)) == digest_of(pattern(30, kBig)));
      // From the middle on.
      CHECK(run(join(program, {"-r", "2-", url(port, "small")}), 60) == "small file\n");
      const std::string there = "pub/up" + text(exit_calls) + text(n++);
      (void)run(join(program, {"-T", temp / "up", url(port, there)}), 60);
      CHECK(digest_of(read_file(server.root() + "/" + there)) == digest_of(pattern(31, kBig)));
    }
    // Passive ones had a port of the entry each; active ones none.
    CHECK(entry->count(" data-port-open ") == 2 * 5);
    // All is closed and given back.
    CHECK(p.a->wait_channels(0, 5));
    CHECK(p.c->wait_channels(0, 5));
  }
}

TEST_CASE("FTP: IPv6 on one side, or on both") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  for (const std::string host : {"127.0.0.1", "[::1]"}) {
    Pair p({"PORT=127.0.0.1:0", "PORT=[::1]:0"}, {"SERVER=ftp://" + host + ":" + text(server.port()) + ",-in"});
    for (const char* client : {"127.0.0.1", "[::1]"}) {
      for (const Words& way : kWays) {
        // PASV and PORT are for IPv4.
        if (client[0] == '[' && !way.empty() && way.back().find("--disable") == 0) continue;
        CAPTURE(host);
        CAPTURE(client);
        const uint16_t port = p.a->port(client[0] == '[' ? 1 : 0);
        const Words program = join({curl, "-sS", "--max-time", "20"}, way);
        CHECK(digest_of(run(join(program, {url(port, "big", client)}), 30)) == digest_of(pattern(30, kBig)));
      }
    }
  }
}

TEST_CASE("FTP: lftp mirrors a tree, passive and active, four files at a time") {
  const std::string lftp = find_program("lftp");
  Vsftpd server;
  TempFolder temp;
  ProcessSetup home;
  home.environment = {"HOME=" + temp.path(), "LFTP_HOME=" + temp.path()};
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=ftp://" + local(server.port()) + ",-in"});
  size_t n = 0;
  for (const std::string how : {"set ftp:passive-mode yes", "set ftp:passive-mode no", "set ftp:prefer-epsv yes"}) {
    CAPTURE(how);
    const std::string to = temp / ("copy" + text(n++));
    const std::string open = "open ftp://" + local(p.a->port()) + "; " + how + "; set net:max-retries 2; set net:timeout 10; ";
    (void)run({lftp, "-c", open + "mirror -P 4 tree " + to}, 60, home);
    CHECK(run({"diff", "-r", server.root() + "/tree", to}, 10).empty());
    // And back.
    (void)run({lftp, "-c", open + "mirror -R -P 4 " + to + " pub/back" + text(n)}, 60, home);
    CHECK(run({"diff", "-r", to, server.root() + "/pub/back" + text(n)}, 10).empty());
  }
  CHECK(p.a->wait_channels(0, 5));
}

TEST_CASE("FTP: a transfer goes on over the next link, when the link is cut") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  Daemon entry({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"});
  Wire wire(entry.link_port());
  Daemon exit({"SERVER=sockmux://" + local(wire.port()), "SERVER=ftp://" + local(server.port()) + ",-in"});
  REQUIRE(exit->wait_log(" link-up ", 5));
  ProcessSetup apart;
  apart.separate = true;
  Process program({curl, "-sS", "--limit-rate", "10M", "--max-time", "60", url(entry.port(), "big")}, apart);
  for (size_t at = kBig / 8; at < kBig; at += kBig / 4) {
    REQUIRE(wait_for([&] { return program.output().size() > at; }, 20));
    wire.cut();
  }
  CHECK(program.wait_end(60));
  CHECK(program.status() == 0);
  CHECK(digest_of(program.output()) == digest_of(pattern(30, kBig)));
}

TEST_CASE("FTP proxy: the client says which server, REMITTABLE whether it may") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  Pair p({"-vd", "PORT=127.0.0.1:0"}, {"SERVER=ftp,-in", "REMITTABLE=ftp/" + text(server.port())});
  const auto at = [&](const std::string& user, const std::string& path) {
    return "ftp://" + user + ":x@" + local(p.a->port()) + "/" + path;
  };
  const std::string host = "127.0.0.1%3a" + text(server.port());
  for (const Words& way : kWays) {
    const Words program = join({curl, "-sS", "--max-time", "20"}, way);
    CHECK(run(join(program, {at("anonymous%40" + host, "small")}), 30) == "a small file\n");
    CHECK(run(join(program, {at("ftp%40" + host, "small")}), 30) == "a small file\n");
  }
  // Another port is not among what may be reached; no host is none.
  for (const char* user : {"anonymous%40127.0.0.1%3a2", "anonymous%40127.0.0.1", "anonymous"}) {
    CAPTURE(user);
    Process refused({curl, "-sSv", "--max-time", "10", at(user, "small")});
    REQUIRE(refused.wait_end(15));
    CHECK(refused.status() == 67);  // login denied
    CHECK(refused.wait_log("< 530 ", 5));
  }
  // A proxy of lftp's is asked in this way, too.
  const std::string lftp = find_program("lftp");
  TempFolder temp;
  ProcessSetup home;
  home.environment = {"HOME=" + temp.path(), "LFTP_HOME=" + temp.path()};
  const size_t ports = p.a->process().count(" data-port-open ");
  const std::string set = "set ftp:proxy ftp://" + local(p.a->port()) + "; set net:max-retries 1; set net:timeout 10; ";
  for (const char* type : {"user", "open"})
    CHECK(run({lftp, "-c", set + "set ftp:proxy-auth-type " + type + "; open ftp://anonymous:x@" + local(server.port()) + "; cat small"}, 30,
              home) == "a small file\n");
  CHECK(p.a->process().count(" data-port-open ") > ports);
}

TEST_CASE("FTP: who wants TLS is told that it can't be; who would like it goes on without") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  Pair p({"PORT=127.0.0.1:0"}, {"SERVER=ftp://" + local(server.port()) + ",-in"});
  CHECK(run({curl, "-sS", "--ssl", "--max-time", "20", url(p.a->port(), "small")}, 30) == "a small file\n");
  Process must({curl, "-sSv", "--ssl-reqd", "--max-time", "20", url(p.a->port(), "small")});
  REQUIRE(must.wait_end(30));
  CHECK(must.status() == 64);
  CHECK(must.wait_log("< 534 TLS would hide the data connections from the link", 5));
}

TEST_CASE("FTP over a link of SockMux 0.3: no data connections, said clearly, and the rest works") {
  const std::string curl = find_program("curl");
  Vsftpd server;
  Pair p({"PORT=127.0.0.1:0", "TIMEOUT=lin:1"}, {"SERVER=ftp://" + local(server.port()) + ",-in", "SOXCONF=proto:0.3", "TIMEOUT=lin:1"});
  for (const Words& way : kWays) {
    Process refused(join({curl, "-sSv", "--max-time", "20", url(p.a->port(), "small")}, way));
    REQUIRE(refused.wait_end(30));
    CHECK((refused.status() == 13 || refused.status() == 30));
    CHECK(refused.wait_log("< 502 Data connections are not possible over this link (SockMux 0.3)", 5));
  }
  // What needs no data connection.
  CHECK(run({curl, "-sS", "-I", "--max-time", "20", url(p.a->port(), "small")}, 30).find("Content-Length: 13") != std::string::npos);
}
