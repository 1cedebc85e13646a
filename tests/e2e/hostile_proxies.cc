// Clients and servers of the proxies that say too much, too slowly, or in circles. Read next: hostile.h, proxy_http.cc, ftp_hand.cc.
#include <doctest/doctest.h>

#include "tests/e2e/hostile.h"
#include "tests/e2e/proxies.h"

using namespace e2e;

namespace {

using Conns = std::vector<std::unique_ptr<Conn>>;

// The hub's ports lead to the proxies of the branch; the witness goes the other way.
struct Proxies : Stage {
  explicit Proxies(const Words& servers) : Proxies(servers, quiet_ports(servers.size())) {}
  const std::vector<uint16_t> port;

 private:
  Proxies(const Words& servers, const std::vector<uint16_t>& ports) : Stage(hub_words(ports), branch_words(servers, ports)), port(ports) {}
  static std::vector<uint16_t> quiet_ports(size_t n) {
    std::vector<uint16_t> ports;
    while (n-- > 0) ports.push_back(quiet_port());
    return ports;
  }
  static Words hub_words(const std::vector<uint16_t>& ports) {
    Words words;
    for (const uint16_t p : ports) words.push_back("PORT=" + local(p));
    return words;
  }
  static Words branch_words(const Words& servers, const std::vector<uint16_t>& ports) {
    Words words;
    for (size_t i = 0; i < ports.size(); ++i) words.push_back("SERVER=" + servers[i] + ":-:-P" + text(ports[i]));
    return words;
  }
};

std::string times(size_t n, const std::string& bytes) {
  std::string all;
  for (size_t i = 0; i < n; ++i) all += bytes;
  return all;
}

}  // namespace

TEST_CASE("hostile clients of proxies: heads one byte at a time get TIMEOUT=login and no more, for http, socks, telnet and ftp") {
  Proxies s({"http,-in(TIMEOUT=login:1)", "socks,-in(TIMEOUT=login:1)", "telnet,-in(TIMEOUT=login:1)", "ftp,-in(TIMEOUT=login:1)"});
  const std::string heads[] = {"GET http://127.0.0.1/ HTTP/1.1\r\nHost: x\r\nX: " + std::string(1000, 'x'), bytes({5, 200}) + std::string(200, '\1'),
                               std::string(1000, 'x'), "USER " + std::string(1000, 'x')};
  s.survives([&] {
    Conns conns;
    std::vector<std::unique_ptr<Slowly>> slow;
    for (size_t i = 0; i < 4; ++i)
      for (int k = 0; k < 5; ++k) {
        conns.push_back(std::make_unique<Conn>(s.port[i]));
        slow.push_back(std::make_unique<Slowly>(*conns.back(), heads[i], 0.05));
      }
    CHECK(all_over(conns, 10));
    for (size_t i = 0; i < slow.size(); ++i) CHECK(slow[i]->sent() < heads[i / 5].size());
  });
}

TEST_CASE("hostile clients of http: bombs, and what two readers may understand in two ways") {
  Server server([](Conn&) {});  // which never answers, so that all that comes back is the proxy's
  Proxies s({"http,-in"});
  const std::string post = "POST http://" + local(server.port()) + "/ HTTP/1.1\r\nHost: x\r\n", chunked = post + "Transfer-Encoding: chunked\r\n\r\n";
  struct Case {
    const char* name;
    std::string request, status;
  };
  const Case cases[] = {
      {"a million header lines", post + times(100000, "A: b\r\n"), "431"},
      {"a header line without end", post + "A: " + std::string(200000, 'a'), "431"},
      {"a first line without end", "GET http://" + std::string(100000, 'a'), "414"},
      {"blanks without end", post + "A:" + std::string(100000, ' '), "431"},
      {"a length of 2^64", post + "Content-Length: 18446744073709551616\r\n\r\n", "400"},
      {"a length of 2^63", post + "Content-Length: 9223372036854775808\r\n\r\n", "400"},
      {"a length below 0", post + "Content-Length: -1\r\n\r\n", "400"},
      {"two lengths", post + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", "400"},
      {"a list of lengths", post + "Content-Length: 1, 1\r\n\r\nx", "400"},
      {"a length and chunks", post + "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
      {"chunked twice", post + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "501"},
      {"chunked in disguise", post + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", "501"},
      {"chunked before another", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", "501"},
      {"a blank before the colon", post + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", "400"},
      {"a folded line", post + "A: b\r\n Transfer-Encoding: chunked\r\n\r\n", "400"},
      {"a lone CR in a line", post + "A: b\rTransfer-Encoding: chunked\r\n\r\n", "400"},
      {"NUL", post + std::string("A: \0\r\n\r\n", 8), "400"},
      {"a chunk of 2^64", chunked + "10000000000000000\r\n", "400"},
      {"a chunk that is none", chunked + "-1\r\n", "400"},
      {"an extension without end", chunked + "1;" + std::string(40000, 'e'), "400"},
      {"a trailer without end", chunked + "0\r\n" + times(20000, "A: b\r\n"), "400"},
      {"a line of a chunk that LF ends", chunked + "1\nx\n0\n\n", "400"},
  };
  s.survives([&] {
    for (const Case& c : cases) {
      CAPTURE(std::string(c.name));
      Conn client(s.port[0]);
      client.send(c.request);
      CHECK(wait_for([&] { return client.text().size() >= 12 || client.over(); }, 5));
      CHECK_MESSAGE(client.text().substr(0, 12) == "HTTP/1.1 " + c.status, client.text().substr(0, 100));
      client.reset();
    }
  });
}

TEST_CASE("hostile clients of http: thousands of requests in one piece, and a proxy that is asked for itself") {
  Server server([](Conn& c) {
    c.on_bytes = [&c](const char*, size_t) { c.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").shut(); };
  });
  Proxies s({"http,-in(REMITTABLE=http,https)"});
  const std::string self = local(s.port[0]);
  s.survives([&] {
    Conn many(s.port[0]);
    many.send(times(500, "GET http://" + local(server.port()) + "/ HTTP/1.1\r\nHost: x\r\n\r\n"));
    CHECK(wait_for([&] { return count_of(many.text(), "\r\n\r\nok") == 500 || many.over(); }, 20));
    CHECK(count_of(many.text(), "\r\n\r\nok") == 500);
    many.reset();
    // Via= ends a ring of requests; CONNECT in CONNECT in CONNECT ... is as long as who says it, and ends with it.
    const std::string round = ask(s.port[0], "GET http://" + self + "/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    CHECK(round.substr(0, 12) == "HTTP/1.1 400");
    const std::string ring = ask(s.port[0], "GET http://" + self + "/ HTTP/1.0\r\n\r\n");
    CHECK(ring.substr(0, 9) == "HTTP/1.1 ");
    Conn nested(s.port[0]);
    constexpr size_t kDeep = 60;
    for (size_t i = 1; i <= kDeep; ++i) {
      nested.send("CONNECT " + self + " HTTP/1.1\r\nHost: x\r\n\r\n");
      if (!wait_for([&] { return count_of(nested.text(), "200 Connection") == i || nested.over(); }, 5)) break;
      if (nested.over()) break;
    }
    CHECK(count_of(nested.text(), "200 Connection") == kDeep);
    nested.close();
  });
}

TEST_CASE("hostile clients of telnet: a sub-negotiation without end, storms of DO and WILL: no more answers than questions") {
  Proxies s({"telnet,-in"});
  s.survives([&] {
    Conns conns;
    const std::string storms[] = {"\xff\xfa" + std::string(1 << 20, 'x'), times(100000, "\xff\xfd\x01"), times(100000, "\xff\xfb\x01"), times(100000, "\xff\xf6"),
                                  times(100000, "\xff\xfc\x01\xff\xfe\x01"), std::string(1 << 20, '\xff')};
    for (const std::string& storm : storms) {
      conns.push_back(std::make_unique<Conn>(s.port[0]));
      conns.back()->send(storm);
    }
    Conn asks(s.port[0]);
    asks.send("\xff\xfd\x01\xff\xfb\x1f\xff\xfc\x01\xff\xfe\x1f");
    CHECK(wait_for([&] { return asks.text().find("\xff\xfc\x01\xff\xfe\x1f") != std::string::npos; }, 5));
    keep_doing(0.1, [] {});
    CHECK(count_of(asks.text(), "\xff") == 2);  // WONT and DONT are not answered
    for (size_t i = 0; i < 4; ++i) CHECK(wait_for([&] { return conns[i]->over(); }, 10));
    for (const auto& c : conns) CHECK(c->received() < 20000);
  });
}

TEST_CASE("hostile clients of socks: methods and names of every length, associations without end") {
  Proxies s({"socks,-in"});
  const std::string all_methods = bytes({5, 255}) + std::string(254, '\2') + bytes({0});
  s.survives([&] {
    struct Case {
      std::string says, answer;
    };
    for (const Case& c : {Case{all_methods + bytes({5, 1, 0, 3, 255}) + std::string(255, 'a') + bytes({0, 80}), bytes({5, 0, 5})}, Case{bytes({5, 0}), bytes({5, 255})},
                          Case{bytes({5, 255}) + std::string(255, '\2'), bytes({5, 255})}, Case{bytes({5, 1, 0, 5, 1, 0, 3, 0, 0, 80}), bytes({5, 0, 5})},
                          Case{bytes({4, 1, 0, 80, 0, 0, 0, 1}) + std::string(100000, 'u'), ""}, Case{bytes({4, 1, 0, 80, 0, 0, 0, 1, 0}) + std::string(100000, 'h'), ""},
                          Case{bytes({5, 1, 0, 5, 1, 0, 3, 5}) + std::string("\0\0\0\0\0", 5) + bytes({0, 80}), bytes({5, 0, 5})}}) {
      CAPTURE(c.answer.size());
      Conn client(s.port[0]);
      client.send(c.says);
      CHECK(wait_for([&] { return client.over() || (!c.answer.empty() && client.text().size() > c.answer.size()); }, 15));
      if (!c.answer.empty()) CHECK(client.text().substr(0, c.answer.size()) == c.answer);
      client.reset();
    }
    Conns many;
    for (int i = 0; i < 300; ++i) {
      many.push_back(std::make_unique<Conn>(s.port[0]));
      many.back()->send(bytes({5, 1, 0, 5, 3, 0, 1, 0, 0, 0, 0, 0, 0}));
    }
    CHECK(wait_for([&] {
      for (const auto& c : many)
        if (c->text().size() < 12 && !c->over()) return false;
      return true;
    }, 10));
  });
}

TEST_CASE("hostile ftp: replies without end, and data ports that are asked for and never used") {
  Server server([&](Conn& c) {
    c.send("220-welcome\r\n" + times(20000, " more\r\n") + "220 at last\r\n");
    c.on_bytes = [&c](const char*, size_t) { c.send("227 Entering Passive Mode (127,0,0,1,100,1).\r\n"); };
  });
  Proxies s({"ftp://" + local(server.port()) + ",-in"});
  s.most_kib = 2048;  // buffers of forty replies without end
  s.survives([&] {
    Conns clients;
    for (int i = 0; i < 40; ++i) clients.push_back(std::make_unique<Conn>(s.port[0]));
    CHECK(wait_for([&] {
      for (const auto& c : clients)
        if (c->text().find("220 at last\r\n") == std::string::npos) return false;
      return true;
    }, 10));
    for (int k = 0; k < 10; ++k) {
      for (auto& c : clients) c->send("PASV\r\n");
      CHECK(wait_for([&] {
        for (const auto& c : clients)
          if (count_of(c->text(), "\n227 ") + count_of(c->text(), "\n425 ") < static_cast<size_t>(k) + 1) return false;
        return true;
      }, 10));
    }
    CHECK(s.hub().descriptors() < 40 * 4 + 60);
    clients.clear();
    for (auto& c : server.conns()) c->close();  // as a server that hears that its client is gone
  });
}
