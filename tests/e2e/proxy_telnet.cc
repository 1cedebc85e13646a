// The telnet proxy at the exit, with real clients. Read next: relay/telnet.h.
#include <doctest/doctest.h>

#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// A server that says who it is, and echoes.
void named(Conn& c) {
  c.send("here is the server\r\n");
  c.echo = true;
}

}  // namespace

TEST_CASE("example: uni-directional to proxy-Telnet-DeleGate, in both dialects") {
  // hostX% delegated SERVER=sockmux -PhostX:9000 PORT=hostX:9023
  // hostY% delegated SERVER=sockmux://hostX:9000 SERVER="telnet,-in"
  Server server(named);
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Daemon x({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0", "TIMEOUT=lin:1"});  // 0.3 has no half-close
    Daemon y({"SERVER=sockmux://" + local(x.link_port()), "SERVER=telnet,-in", "REMITTABLE=telnet", proto});
    REQUIRE(y->wait_log(" link-up ", 5));
    // hostX:9023 is forwarded to a Telnet proxy on hostY.
    Conn client(x.port());
    CHECK(wait_for([&] { return client.text() == ">> Host name: "; }, 5));
    client.send("127.0.0.1 " + text(server.port()) + "\r\n");
    CHECK(wait_for([&] { return client.text().find("here is the server\r\n") != std::string::npos; }, 5));
    client.send("hello");
    CHECK(wait_for([&] { return client.text().find("hello") != std::string::npos; }, 5));
    client.shut();
    CHECK(wait_for([&] { return client.over(); }, 5));
    CHECK(client.ended());
  }
}
