// The examples of the project's founding text, as they are written there: only names of hosts and ports are replaced
// (hostX 127.0.0.1, hostY 127.0.0.2, hostT 127.0.0.3), and what each promises is shown with a real connection.
// Read next: README.md, which has the same ones.
#include <doctest/doctest.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

const char kX[] = "127.0.0.1";
const char kY[] = "127.0.0.2";
const char kT[] = "127.0.0.3";

// A server of a host: says whose it is, and echoes.
Server::Greet of(const std::string& host) {
  return [host](Conn& c) {
    c.send("server of " + host + ": ");
    c.echo = true;
  };
}

// What a client of host:port gets; tries again while there is nobody.
std::string client(const std::string& host, uint16_t port) {
  std::string got;
  (void)wait_for(
      [&] {
        got = ask(port, "hello", 1, host);
        return got.find("hello") != std::string::npos;
      },
      0);
  return got;
}

std::string at(const char* host, uint16_t port) { return std::string(host) + ":" + text(port); }

// A port that is free on all addresses, for words that need its number.
struct FreePort {
  FreePort() {
    Server any(echoes, "0.0.0.0");
    number = any.port();
  }
  uint16_t number;
};

}  // namespace

TEST_CASE("example: bi-directional") {
  // hostX% delegated SERVER=sockmux -PhostX:9000 PORT=9023 SERVER="telnet://hostX,-in"
  // hostY% delegated SERVER=sockmux://hostX:9000 PORT=9023 SERVER="telnet://hostY,-in"
  Server telnet_x(of("hostX"), kX), telnet_y(of("hostY"), kY);
  Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=0", "SERVER=telnet://" + at(kX, telnet_x.port()) + ",-in"});
  Daemon y({"SERVER=sockmux://" + at(kX, x.link_port()), "PORT=0", "SERVER=telnet://" + at(kY, telnet_y.port()) + ",-in"});
  REQUIRE(y->wait_log(" link-up ", 5));
  // the port "hostX:9023" is forwarded to "telnet://hostY", the port "hostY:9023" is forwarded to "telnet://hostX"
  CHECK(client(kX, x.port()) == "server of hostY: hello");
  CHECK(client(kY, y.port()) == "server of hostX: hello");
}

TEST_CASE("example: uni-directional") {
  // hostX% delegated SERVER=sockmux -PhostX:9000 SERVER="telnet://hostX,-in"
  // hostY% delegated SERVER=sockmux://hostX:9000 PORT=hostY:9023
  Server telnet_x(of("hostX"), kX);
  Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "SERVER=telnet://" + at(kX, telnet_x.port()) + ",-in"});
  Daemon y({"SERVER=sockmux://" + at(kX, x.link_port()), "PORT=127.0.0.2:0"});
  REQUIRE(y->wait_log(" link-up ", 5));
  // hostY:9023 is forwarded to "telnet://hostX"
  CHECK(client(kY, y.port()) == "server of hostX: hello");
}

TEST_CASE("example: tcprelay over SockMux, by way of hostY to hostT") {
  // hostX% delegated SERVER=sockmux://hostY:9000 PORT=hostX:111
  // hostY% delegated SERVER=sockmux -PhostY:9000 DEST=hostT:111
  Server server_t(of("hostT"), kT);
  Daemon y({"SERVER=sockmux", "-P127.0.0.2:0", "DEST=" + at(kT, server_t.port())});
  Daemon x({"SERVER=sockmux://" + at(kY, y.link_port()), "PORT=127.0.0.1:0"});
  REQUIRE(x->wait_log(" link-up ", 5));
  // hostX:111/tcp is forwarded to the server at hostT:111/tcp via hostY
  CHECK(client(kX, x.port()) == "server of hostT: hello");
}

TEST_CASE("example: DEST is SERVER=tcprelay in short, with a list of clients") {
  // DEST=host:port[:srcHostList] for SERVER=tcprelay://host:port,-in[:-:srcHostList]
  Server server(of("hostT"), kT);
  for (const std::string& word : {"DEST=" + at(kT, server.port()) + ":127.0.0.1",
                                  "SERVER=tcprelay://" + at(kT, server.port()) + ",-in:-:127.0.0.1"}) {
    CAPTURE(word);
    Daemon y({"SERVER=sockmux", "-P127.0.0.2:0", word});
    Daemon x({"SERVER=sockmux://" + at(kY, y.link_port()), "PORT=127.0.0.1:0"});
    REQUIRE(x->wait_log(" link-up ", 5));
    CHECK(client(kX, x.port()) == "server of hostT: hello");
    CHECK(ask(x.port(), "hello", 2, kX, kY).find("server") == std::string::npos);
  }
}

TEST_CASE("example: forwarding multiple ports") {
  // hostX% ... PORT=8023,8080
  // hostY% ... SERVER=telnet://hostY,-in:-:-P8023 SERVER=http://hostY,-in:-:-P8080
  Server telnet(of("telnet"), kY), http(of("http"), kY);
  FreePort first, second;
  REQUIRE(first.number != second.number);
  Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=" + text(first.number) + "," + text(second.number)});
  Daemon y({"SERVER=sockmux://" + at(kX, x.link_port()), "SERVER=telnet://" + at(kY, telnet.port()) + ",-in:-:-P" + text(first.number),
            "SERVER=http://" + at(kY, http.port()) + ",-in:-:-P" + text(second.number)});
  REQUIRE(y->wait_log(" link-up ", 5));
  CHECK(client(kX, first.number) == "server of telnet: hello");
  CHECK(client(kX, second.number) == "server of http: hello");
}

TEST_CASE("example: the words may stand in a file") {
  TempFolder temp;
  Server server(of("hostX"), kX);
  write_file(temp / "x.conf", "# host X\nSERVER=sockmux\n-P127.0.0.1:0\nSERVER=\"telnet://" + at(kX, server.port()) + ",-in\"\n");
  Daemon x({"+=" + temp / "x.conf"});
  write_file(temp / "y.conf", "SERVER=sockmux://" + at(kX, x.link_port()) + "\nPORT=127.0.0.2:0\nTIMEOUT=con:5,ping:30\n");
  Daemon y({"+=" + temp / "y.conf"});
  REQUIRE(y->wait_log(" link-up ", 5));
  CHECK(client(kY, y.port()) == "server of hostX: hello");
}

TEST_CASE("example: relaying UDP over SockMux/TCP, to the server at hostU via hostY") {
  // hostX% delegated SERVER=sockmux://hostY:9000 PORT=hostX:53/udp
  // hostY% delegated SERVER=sockmux -PhostY:9000 DEST=hostU:53/udp
  UdpServer server_u([](const std::string& d) { return "server of hostU: " + d; }, kT);
  Daemon y({"SERVER=sockmux", "-P127.0.0.2:0", "DEST=" + at(kT, server_u.port()) + "/udp"});
  Daemon x({"SERVER=sockmux://" + at(kY, y.link_port()), "PORT=127.0.0.1:0/udp"});
  REQUIRE(x->wait_log(" link-up ", 5));
  // hostX:53/udp is forwarded to the server at hostU:53/udp via hostY
  Udp client(x.port());
  CHECK(client.ask("hello") == "server of hostU: hello");
}

TEST_CASE("example: DEST=host:port/udp for SERVER=udprelay://host:port,-in, both with a list of clients") {
  UdpServer first([](const std::string& d) { return "first: " + d; }), second([](const std::string& d) { return "second: " + d; });
  const std::string to_first = local(first.port()), to_second = local(second.port());
  const Words forms[] = {{"DEST=" + to_first + "/udp:127.0.0.2", "DEST=" + to_second + "/udp"},
                         {"SERVER=udprelay://" + to_first + ",-in:-:127.0.0.2", "SERVER=udprelay://" + to_second + ",-in"}};
  for (const Words& servers : forms) {
    Pair p(servers, {"PORT=127.0.0.1:0/udp"});
    Udp one(p.c->port(), "127.0.0.1", "127.0.0.2"), other(p.c->port());
    CHECK(one.ask("hello") == "first: hello");
    CHECK(other.ask("hello") == "second: hello");
  }
}
