// Names that change, or are looked up for long, while the daemon runs. Read next: core/io/resolver.h (an answer is kept for 5 s).
#include <doctest/doctest.h>
#include <unistd.h>

#include "tests/e2e/datagrams.h"
#include "tests/e2e/peer.h"
#include "tests/e2e/sockets.h"

using namespace e2e;

namespace {

// What a name server says to the question for `name`: `last` is the end of its one address of 127.0.0, and of IPv6 it has none.
std::string dns_answer(const std::string& question, char last) {
  size_t end = 12;
  while (end < question.size() && question[end] != 0) end += static_cast<unsigned char>(question[end]) + 1u;
  if (end + 5 > question.size()) return "";
  const bool four = question[end + 2] == 1;
  const std::string head = question.substr(0, 2) + std::string("\x81\x80\0\1\0", 5) + (four ? '\1' : '\0') + std::string(4, '\0');
  const std::string address = std::string("\xc0\x0c\0\1\0\1\0\0\0\x3c\0\4\x7f\0\0", 15) + last;
  return head + question.substr(12, end + 5 - 12) + (four ? address : "");
}

// For "A" in "A.example" as it stands in a question.
bool asks_for(const std::string& question, const std::string& label) {
  return question.find(static_cast<char>(label.size()) + label) != std::string::npos;
}

}  // namespace

TEST_CASE("a hub whose name gets another address is found there, without a restart and without HUP") {
  if (geteuid() != 0 || !may_unshare()) return;
  TempFolder folder;
  const std::string hosts = folder / "hosts", port = text(quiet_port());
  write_file(hosts, "127.0.0.1 hub.example\n");
  auto first = std::make_unique<Daemon>(Words{"SERVER=sockmux", "-P127.0.0.1:" + port, "PORT=127.0.0.1:0"});
  first->await_start();
  // The calling side has an /etc/hosts of its own.
  Process calls({"unshare", "-m", "/bin/sh", "-c",
                 "mount --make-rprivate / && mount --bind " + hosts + " /etc/hosts && exec " + daemon_path() +
                     " -f SOXCONF=control:no TIMEOUT=retry:1 SERVER=sockmux://hub.example:" + port + " DEST=127.0.0.1:9"});
  REQUIRE(calls.wait_log(" link-up ", 10));
  Daemon second({"SERVER=sockmux", "-P127.0.0.2:" + port, "PORT=127.0.0.1:0"});
  second.await_start();
  write_file(hosts, "127.0.0.2 hub.example\n");
  first.reset();
  CHECK(second->wait_log(" link-up ", 20));
  CHECK(calls.running());
}

TEST_CASE("UDP: a server whose place was that of one that is still looked up gets its own address") {
  if (geteuid() != 0 || !may_unshare()) return;
  bool slow = true;
  const std::string of_no_use(12, 'x');  // its id is not that of the question
  const auto says = [&](const std::string& q) { return asks_for(q, "quick") ? dns_answer(q, 6) : slow ? of_no_use : dns_answer(q, 5); };
  UdpServer names(says, "127.0.0.153", 53);
  TempFolder folder;
  write_file(folder / "resolv.conf", "nameserver 127.0.0.153\noptions timeout:1 attempts:20\n");
  UdpServer wrong(nullptr, "127.0.0.5"), right(nullptr, "127.0.0.6");
  // All places but one have flows; each client has come to a port of its own, which says to which server it goes.
  constexpr int kServers = 64;
  std::string words, link = text(quiet_port());
  for (int i = 1; i < kServers; ++i) words += " DEST=127.0.0.1:" + text(static_cast<uint64_t>(i)) + "/udp:-P" + text(1000 + static_cast<uint64_t>(i));
  words += " DEST=slow.example:" + text(wrong.port()) + "/udp:-P2001 DEST=quick.example:" + text(right.port()) + "/udp:-P2002";
  Process exit({"unshare", "-m", "/bin/sh", "-c",
                "mount --make-rprivate / && mount --bind " + (folder / "resolv.conf") + " /etc/resolv.conf && exec " + daemon_path() +
                    " -f SOXCONF=control:no OWNER=root SERVER=sockmux -P127.0.0.1:" + link + words});
  REQUIRE(exit.wait_log("] started ", 10));
  Peer1 peer(static_cast<uint16_t>(std::stoi(link)));
  REQUIRE(wait_for([&] { return peer.up(); }, 5));
  const auto open = [&](unsigned id, unsigned port) { peer.numbered(kConnect, id, kNoId, std::string("\2\2\7\4\x7f\0\0\1", 8) + be16(port)); };
  for (unsigned i = 1; i < kServers; ++i) open(i, 1000 + i);
  REQUIRE(wait_for([&] { return peer.find(kConnected, 63, 63) != nullptr || peer.seen.size() >= 63; }, 10));
  open(100, 2001);
  REQUIRE(wait_for([&] { return !names.got().empty(); }, 5));
  peer.numbered(kClose, 100, kNoId, std::string(1, '\0'));
  open(101, 2002);
  peer.numbered(0x22, 101, kNoId, "hello");
  const size_t echooks = peer.echooks;
  peer.raw(unnumbered(kEcho, be64(1)));
  REQUIRE(wait_for([&] { return peer.echooks > echooks; }, 5));
  slow = false;
  CHECK(wait_for([&] { return !right.got().empty() || !wrong.got().empty(); }, 10));
  CHECK(right.got() == Words{"hello"});
  CHECK(wrong.got().empty());
}
