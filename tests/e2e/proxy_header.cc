// SOXCONF=send-proxy: the server knows the client behind the tunnel. Read next: relay/text/proxy_header.h.
#include <doctest/doctest.h>

#include "tests/e2e/proxies.h"

using namespace e2e;

TEST_CASE("send-proxy: nginx sees the client's address, in both versions and dialects") {
  const std::string curl = find_program("curl");
  Web web("one");
  for (const char* version : {"v1", "v2"}) {
    for (const char* proto : {"auto", "0.3"}) {
      CAPTURE(version);
      CAPTURE(proto);
      Pair p({"PORT=127.0.0.1:0"}, {"SERVER=tcprelay://" + web.told_at() + ",-in(SOXCONF=send-proxy:" + version + ")", std::string("SOXCONF=proto:") + proto});
      const std::string said = run({curl, "-sS", "-w", " %{local_port}", "http://" + local(p.a->port()) + "/"}, 10);
      const size_t blank = said.rfind(' ');
      REQUIRE(blank != std::string::npos);
      CHECK(said == "127.0.0.1:" + said.substr(blank + 1) + " came to " + std::to_string(p.a->port()) + said.substr(blank));
    }
  }
}

TEST_CASE("send-proxy: for all servers, and not for one") {
  Server server([](Conn&) {});
  for (const bool one : {false, true}) {
    CAPTURE(one);
    Pair p({"PORT=127.0.0.1:0"}, {"SOXCONF=send-proxy:v1", one ? "SERVER=tcprelay://" + local(server.port()) + ",-in(SOXCONF=send-proxy:no)" : "DEST=" + local(server.port())});
    Conn client(p.a->port());
    client.send("hello\n");
    REQUIRE(wait_for([&] { return !server.conns().empty() && server.last().text().find("hello\n") != std::string::npos; }, 5));
    const std::string& came = server.last().text();
    if (one) CHECK(came == "hello\n");
    else CHECK(came.substr(0, 31) == "PROXY TCP4 127.0.0.1 127.0.0.1 ");
    server.conns().clear();
  }
}
