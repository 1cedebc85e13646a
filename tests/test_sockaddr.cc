// Addresses of the kernel's, as the BSDs have them: with a length in front, and netmasks cut short.
#include <doctest/doctest.h>
#include <string.h>

#include "core/io/sockaddr.h"

using namespace smx;

namespace {

// A BSD's sockaddr of IPv4: what is behind sa_len bytes is not part of it.
struct Short {
  uint8_t sa_len;
  uint8_t sa_family;
  uint8_t port[2];
  uint8_t ip[4];
  uint8_t zero[24];
};

}  // namespace

TEST_CASE("a netmask without a family and without its zero bytes is that of its address") {
  Short mask{7, 0, {0, 0}, {255, 255, 240, 77}, {}};
  Address a = from_pointer(&mask, AF_INET);
  CHECK(a.family == 4);
  CHECK(a.ip[0] == 255);
  CHECK(a.ip[1] == 255);
  CHECK(a.ip[2] == 240);
  CHECK(a.ip[3] == 0);
  mask.sa_len = 0;
  a = from_pointer(&mask, AF_INET);
  CHECK(a.family == 4);
  CHECK(a.ip[0] == 0);
  Short six{12, 0, {0, 0}, {9, 9, 9, 9}, {255, 255, 255, 254, 77}};  // four bytes of flow, then the address
  a = from_pointer(&six, AF_INET6);
  CHECK(a.family == 6);
  CHECK(a.ip[0] == 255);
  CHECK(a.ip[3] == 254);
  CHECK(a.ip[4] == 0);
  six.sa_len = 200;  // no more than there is of that family
  CHECK(from_pointer(&six, AF_INET6).ip[4] == 77);
}

TEST_CASE("an address of this system is taken whole") {
  sockaddr_storage s{};
  Address a;
  REQUIRE(parse_ip_port("192.0.2.7:80", &a));
  (void)to_sockaddr(a, &s);
  const Address same = from_pointer(reinterpret_cast<const sockaddr*>(&s), AF_INET);
  CHECK(memcmp(same.ip, a.ip, 4) == 0);
  CHECK(same.port == 80);
}
