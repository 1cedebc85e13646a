// UDP at its limits: many flows, the one that makes room, silence, clients that may not, descriptors that run out.
// Read next: udp.cc.
#include <doctest/doctest.h>

#include <signal.h>

#include <algorithm>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

using Clients = std::vector<std::unique_ptr<Udp>>;

// Each of `count` clients asks once more, up to `tries` times until it is answered; how many were.
size_t all_ask(Clients& clients, uint16_t port, size_t count) {
  while (clients.size() < count) clients.push_back(std::make_unique<Udp>(port));
  size_t good = 0;
  for (size_t i = 0; i < count; ++i) {
    const std::string question = "client " + text(i);
    good += clients[i]->ask(question, 2) == question;
  }
  return good;
}


// A second peer, which is not taken for the first one come again.
Peer1::Ask of_another() {
  Peer1::Ask ask;
  ask.attempt = 0x5566778800000001;
  return ask;
}

// A peer's flows 1, 2, ..: each is sent `word`.
void send_all(Peer1& peer, unsigned count, const std::string& word) {
  for (unsigned i = 1; i <= count; ++i) peer.numbered(0x22, i, kNoId, word);
}
// Its client has come to `port`, which says to which server it goes.
void open_one(Peer1& peer, unsigned number, unsigned port) {
  peer.numbered(kConnect, number, kNoId, std::string("\2\2\7\4\x7f\0\0\1", 8) + be16(port));
}
void open_all(Peer1& peer, unsigned count, unsigned port) {
  for (unsigned i = 1; i <= count; ++i) open_one(peer, i, port);
}
// How many of its datagrams, or CLOSE packets, came.
size_t came(const Peer1& peer, uint8_t type, const std::string& word = "") {
  const auto is_it = [&](const Peer1::Seen& s) { return s.type == type && (word.empty() || s.payload == word); };
  return static_cast<size_t>(std::count_if(peer.seen.begin(), peer.seen.end(), is_it));
}

}  // namespace

TEST_CASE("UDP: 1,000 flows at once, with the defaults") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 1000) == 1000);
  CHECK(all_ask(clients, p.c->port(), 1000) == 1000);  // the same flows
  CHECK(at_ports(*p.c, "flows") == 1000);
  CHECK(at_ports(*p.c, "begun") == 1000);
  CHECK(at_servers(*p.a, "flows") == 1000);
  CHECK(server.clients() == 1000);
}

TEST_CASE("UDP: flow number 1,025 takes the place of the one that was silent longest") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp", "MAXIMA=channels:2000,udprelay:2000"}, {"PORT=127.0.0.1:0/udp", "MAXIMA=channels:2000"});
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 1024) == 1024);
  CHECK(clients[0]->ask("client 0 again") == "client 0 again");  // so client 1 is the one
  CHECK(at_ports(*p.c, "made_room") == 0);
  Udp newcomer(p.c->port());
  CHECK(newcomer.ask("hello") == "hello");
  CHECK(at_ports(*p.c, "made_room") == 1);
  CHECK(at_ports(*p.c, "flows") == 1024);
  CHECK(wait_for([&] { return at_servers(*p.a, "flows") == 1024; }, 5));
  CHECK(clients[0]->ask("client 0, same flow") == "client 0, same flow");
  CHECK(at_ports(*p.c, "begun") == 1025);
  CHECK(clients[1]->ask("client 1, a new one") == "client 1, a new one");
  CHECK(at_ports(*p.c, "begun") == 1026);
}

TEST_CASE("UDP: all channels in use: the flow that was silent longest makes room for a TCP client, and for a flow") {
  UdpServer server(same);
  Server tcp(echoes);
  Pair p({"DEST=" + local(server.port()) + "/udp", "DEST=" + local(tcp.port()), "MAXIMA=channels:20"}, {"PORT=127.0.0.1:0/udp,127.0.0.1:0"});
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 20) == 20);
  CHECK(p.c->wait_channels(20, 5));
  Conn held("127.0.0.1", p.c->port(1));
  held.send("tcp");
  CHECK(wait_for([&] { return held.text() == "tcp"; }, 10));
  Udp newcomer(p.c->port());
  CHECK(wait_for([&] { return newcomer.ask("hello", 0.5) == "hello"; }, 10));
  CHECK(held.alive());
}

TEST_CASE("UDP: over 0.3, too, 60 clients one after the other are all served by 56 channels") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp", "SOXCONF=proto:0.3"}, {"PORT=127.0.0.1:0/udp", "SOXCONF=proto:0.3"});
  Clients clients;
  for (size_t i = 0; i < 60; ++i) {
    clients.push_back(std::make_unique<Udp>(p.c->port()));
    CHECK(wait_for([&] { return clients[i]->ask("hello", 0.5) == "hello"; }, 10));
  }
  CHECK(at_ports(*p.c, "flows") <= 56);
}

TEST_CASE("UDP: hundreds of clients within a second, each with a question that is answered, are all served by few channels") {
  UdpServer server(same);
  for (const char* link : {"SOXCONF=proto:0.3", "MAXIMA=channels:20"}) {
    CAPTURE(link);
    Pair p({"DEST=" + local(server.port()) + "/udp", link}, {"PORT=127.0.0.1:0/udp", link});
    Clients clients;
    // Some 20 would wait in vain if a flow had to be silent for a second before it makes room.
    CHECK(all_ask(clients, p.c->port(), 400) >= 398);
    CHECK(at_ports(*p.c, "no_channel") <= 2);
  }
}

TEST_CASE("UDP: newcomers for whom there is no channel do not keep a flow waiting that is there") {
  UdpServer server([](const std::string& datagram) { return datagram[0] == 'a' ? datagram : std::string(); });
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp", "MAXIMA=channels:20"});
  Udp held(p.c->port());
  bool once = false;
  for (int i = 0; i < 20 && !once; ++i) {  // once is enough: a loaded machine may be slow
    const std::string word = "again " + text(static_cast<uint64_t>(i));
    Clients silent;
    for (int k = 0; k < 60; ++k) silent.push_back(std::make_unique<Udp>(p.c->port()));
    for (int k = 0; k < 19; ++k) silent[static_cast<size_t>(k)]->send("of no answer");
    // More than once: a flow of one question that is answered makes room.
    for (int k = 0; k < 3; ++k) (void)wait_for([&] { return held.ask("are you there?", 0.5) == "are you there?"; }, 10);
    const double begin = now();
    for (auto& c : silent) c->send("of no answer");
    once = held.ask(word, 0.7) == word && now() - begin < 0.7 * slowness();
  }
  CHECK(once);
}

TEST_CASE("UDP: newcomers while the link carries nothing end one flow for all of them, not one each") {
  UdpServer server(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp"});
  Wire wire(a.link_port());
  Daemon c({"SERVER=sockmux://" + local(wire.port()), "PORT=127.0.0.1:0/udp", "MAXIMA=channels:20"});
  REQUIRE(c->wait_log(" link-up ", 5));
  Clients clients;
  CHECK(all_ask(clients, c.port(), 20) == 20);
  wire.freeze();
  Clients newcomers;
  for (int round = 0; round < 3; ++round) {  // in each the first one waits
    for (int i = 0; i < 40; ++i) newcomers.push_back(std::make_unique<Udp>(c.port()));
    for (auto& one : newcomers) one->send("hello");
    CHECK(wait_for([&] { return at_ports(c, "no_channel") >= 40 * (round + 1) * (round + 2) / 2; }, 10));
  }
  CHECK(at_ports(c, "flows") >= 19);
  wire.thaw();
  CHECK(wait_for([&] { return newcomers[0]->ask("hello", 0.5) == "hello"; }, 10));
}

TEST_CASE("UDP: clients over one link wait for another one that takes nothing once, not once for each of its flows") {
  UdpServer one(same), two(same);
  Daemon hub({"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0/udp"});
  Daemon stopped({"SERVER=sockmux://" + local(hub.link_port()), "DEST=" + local(one.port()) + "/udp"});
  Daemon lives({"SERVER=sockmux://" + local(hub.link_port()), "DEST=" + local(two.port()) + "/udp"});
  REQUIRE(wait_for([&] { return hub->count(" link-up ") == 2; }, 5));
  std::vector<std::unique_ptr<Udp>> of_stopped, of_lives;
  for (int i = 0; i < 24; ++i) {
    const size_t before = one.got().size();
    auto client = std::make_unique<Udp>(hub.port());
    REQUIRE(client->ask("hello", 5) == "hello");
    (one.got().size() > before ? of_stopped : of_lives).push_back(std::move(client));
  }
  REQUIRE(of_stopped.size() > 8);
  REQUIRE(!of_lives.empty());
  stopped->signal(SIGSTOP);
  const auto flood = [&](size_t size) {
    for (const auto& c : of_stopped) c->send(std::string(size, 'x')), turn(0);
  };
  REQUIRE(wait_for([&] { return flood(60000), at_ports(hub, "late") > 0; }, 20));
  const double begun = now();
  flood(1400);
  CHECK(of_lives[0]->ask("here", 30) == "here");
  CHECK(now() - begun < 4.5 * slowness());
  stopped->signal(SIGCONT);
}

TEST_CASE("UDP: TIMEOUT=silence ends a flow at both ends, and only one that is silent") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp", "TIMEOUT=silence:1"});
  Udp quiet(p.c->port()), busy(p.c->port());
  CHECK(quiet.ask("hello") == "hello");
  const double end = now() + 1.8;
  while (now() < end) {
    CHECK(busy.ask("hello") == "hello");
    (void)wait_for([] { return false; }, 0.1 / slowness());
  }
  CHECK(at_ports(*p.c, "flows") == 1);
  CHECK(p.a->wait_channels(1, 5));
  CHECK(at_servers(*p.a, "flows") == 1);
  CHECK(p.c->wait_channels(0, 10));
  CHECK(quiet.ask("again") == "again");
}

TEST_CASE("UDP: the server's side may be the one that does not wait") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp", "TIMEOUT=silence:1"}, {"PORT=127.0.0.1:0/udp"});
  Udp client(p.c->port());
  CHECK(client.ask("hello") == "hello");
  CHECK(p.c->wait_channels(0, 10));
  CHECK(client.ask("again") == "again");
}

TEST_CASE("UDP: who is not in RELIABLE gets nothing, costs one line, and is counted") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp", "RELIABLE=127.0.0.1"});
  Udp good(p.c->port()), bad(p.c->port(), "127.0.0.1", "127.0.0.2"), bad_too(p.c->port(), "127.0.0.1", "127.0.0.2");
  for (int i = 0; i < 100; ++i) {
    bad.send("x");
    bad_too.send("x");
  }
  CHECK(good.ask("hello") == "hello");
  CHECK(at_ports(*p.c, "refused") == 200);
  CHECK(p.c->process().count("client-refused") == 1);
  CHECK(server.got() == Words{"hello"});
  CHECK(bad.got().empty());
}

TEST_CASE("UDP: MAXIMA=conpch bounds the flows of one client host") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp", "MAXIMA=conpch:3", "TIMEOUT=silence:2"});
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 3) == 3);
  Udp fourth(p.c->port()), elsewhere(p.c->port(), "127.0.0.1", "127.0.0.2");
  CHECK(fourth.ask("hello", 0.5) == "(nothing)");
  CHECK(p.c->process().wait_log("MAXIMA=conpch reached", 5));
  CHECK(elsewhere.ask("hello") == "hello");
  CHECK(p.c->wait_channels(0, 10));
  CHECK(wait_for([&] { return fourth.ask("hello", 0.5) == "hello"; }, 10));  // not judged again for 5 s
}

TEST_CASE("UDP: REACHABLE and REJECT count for UDP servers, too") {
  UdpServer server(same);
  for (const char* rule : {"REACHABLE=192.0.2.0/24", "REJECT=udprelay:*:127.0.0.1"}) {
    CAPTURE(rule);
    Pair p({"DEST=" + local(server.port()) + "/udp", rule}, {"PORT=127.0.0.1:0/udp"});
    Udp client(p.c->port());
    client.send("x");
    CHECK(p.a->process().wait_log("channel-refused", 5));
    CHECK(p.a->process().wait_log("forbidden", 5));
    CHECK(p.c->process().wait_log("client-refused", 5));
  }
  CHECK(server.got().empty());
}

TEST_CASE("UDP: when descriptors run out at the server's side, the oldest flow makes room; nothing else suffers") {
  UdpServer server(same);
  Server tcp(echoes);
  ProcessSetup few;
  few.files = 60;
  Pair p({"DEST=" + local(server.port()) + "/udp", "DEST=" + local(tcp.port())}, {"PORT=127.0.0.1:0/udp,127.0.0.1:0"}, few);
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 100) == 100);
  CHECK(at_servers(*p.a, "made_room") > 30);
  CHECK(at_servers(*p.a, "flows") < 60);
  CHECK(at_servers(*p.a, "flows") > 20);
  CHECK(p.a->process().running());
}

TEST_CASE("UDP: no byte is allocated after the start, whatever comes") {
  UdpServer server(same);
  Pair p({"DEST=" + local(server.port()) + "/udp"}, {"PORT=127.0.0.1:0/udp"});
  Clients clients;
  CHECK(all_ask(clients, p.c->port(), 200) == 200);
  CHECK(Daemon::value(p.a->statistics(), "allocations") == 0);
  CHECK(Daemon::value(p.c->statistics(), "allocations") == 0);
}

TEST_CASE("UDP: a peer whose flows all wait for a silent server leaves places to another one, whose idle flows it does not end") {
  UdpServer server(nullptr), answering(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp:-P1001", "DEST=" + local(answering.port()) + "/udp",
            "MAXIMA=udprelay:64,channels:200"});
  Peer1 greedy(a.link_port()), modest(a.link_port(), of_another());
  REQUIRE(wait_for([&] { return greedy.up() && modest.up(); }, 5));
  open_all(modest, 3, 1002);
  send_all(modest, 3, "first");
  CHECK(wait_for([&] { return came(modest, 0x22, "first") == 3; }, 5));
  open_all(greedy, 100, 1001);
  const double end = now() + 3;
  while (now() < end) {  // what is asked within a second waits
    send_all(greedy, 100, "again");
    (void)wait_for([] { return false; }, 0.3 / slowness());
  }
  CHECK(at_servers(a, "flows") >= 60);
  send_all(modest, 3, "second");
  CHECK(wait_for([&] { return came(modest, 0x22, "second") == 3; }, 5));
  // New ones are let in, too.
  for (unsigned i = 4; i <= 6; ++i) {
    open_one(modest, i, 1002);
    modest.numbered(0x22, i, kNoId, "third");
  }
  CHECK(wait_for([&] { return came(modest, 0x22, "third") == 3; }, 5));
  CHECK(came(modest, kClose) == 0);
}

TEST_CASE("UDP: two peers that want all there is have about the same in the end, and one alone has all that MAXIMA=udprelay says") {
  UdpServer server(same);
  Daemon a({"SERVER=sockmux", "-P127.0.0.1:0", "DEST=" + local(server.port()) + "/udp", "MAXIMA=udprelay:64,channels:200"});
  Peer1 one(a.link_port()), two(a.link_port(), of_another());
  REQUIRE(wait_for([&] { return one.up() && two.up(); }, 5));
  open_all(one, 100, 1002);
  send_all(one, 100, "of one");
  CHECK(wait_for([&] { return came(one, 0x22) >= 64 && at_servers(a, "flows") == 64; }, 5));
  const size_t before = came(one, kClose);  // those that made room, and had their answers
  open_all(two, 100, 1002);
  send_all(two, 100, "of two");
  const auto ended = [&] { return came(one, kClose) + came(two, kClose); };
  CHECK(wait_for([&] { return ended() + static_cast<size_t>(at_servers(a, "flows")) == 200; }, 5));
  const size_t lost = came(one, kClose) - before;
  CHECK(lost >= 20);
  CHECK(lost <= 40);
}

TEST_CASE("UDP: clients of one port whose flows all wait leave places to those of another one") {
  UdpServer server(nullptr), answering(same);
  const uint16_t port = quiet_port();
  Pair p({"DEST=" + local(server.port()) + "/udp:-P" + text(port), "DEST=" + local(answering.port()) + "/udp", "MAXIMA=udprelay:1000"},
         {"PORT=127.0.0.1:" + text(port) + "/udp,127.0.0.1:0/udp", "MAXIMA=udprelay:64,channels:200"});
  Udp modest(p.c->port());
  CHECK(modest.ask("first") == "first");
  Clients greedy;
  for (int i = 0; i < 100; ++i) greedy.push_back(std::make_unique<Udp>(port));
  const double end = now() + 3;
  while (now() < end) {
    for (auto& one : greedy) one->send("again");
    (void)wait_for([] { return false; }, 0.3 / slowness());
  }
  CHECK(at_ports(*p.c, "flows") >= 60);
  CHECK(modest.ask("second", 5) == "second");
  Udp late(p.c->port());
  CHECK(late.ask("third", 5) == "third");
}
