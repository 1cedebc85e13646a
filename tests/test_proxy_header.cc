// The header of the PROXY protocol, byte by byte, as its document has them.
#include <doctest/doctest.h>

#include <string>

#include "relay/text/proxy_header.h"

using namespace smx;

namespace {

Address at(const char* text) {
  Address a;
  REQUIRE(parse_ip_port(text, &a));
  return a;
}

std::string header(int version, const Address& client, const Address& accepted) {
  ProxyHeader out;
  const size_t size = write_proxy_header(version, client, accepted, out);
  REQUIRE(size <= sizeof out);
  return std::string(reinterpret_cast<const char*>(out), size);
}

const std::string kMark("\r\n\r\n\0\r\nQUIT\n", 12);

}  // namespace

TEST_CASE("PROXY header v1: a line") {
  CHECK(header(1, at("192.168.0.1:56324"), at("192.168.0.11:443")) == "PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n");
  CHECK(header(1, at("[2001:db8::1]:65535"), at("[::1]:1")) == "PROXY TCP6 2001:db8::1 ::1 65535 1\r\n");
  // One family for both.
  const std::string mixed = header(1, at("192.0.2.1:1024"), at("[::1]:80"));
  CHECK((mixed == "PROXY TCP6 ::ffff:192.0.2.1 ::1 1024 80\r\n" || mixed == "PROXY TCP6 ::ffff:c000:201 ::1 1024 80\r\n"));
  CHECK(header(1, Address{}, at("127.0.0.1:80")) == "PROXY UNKNOWN\r\n");
  CHECK(header(1, at("127.0.0.1:80"), Address{}) == "PROXY UNKNOWN\r\n");
  // 107 bytes is the longest that the document allows.
  const char* longest = "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535";
  CHECK(header(1, at(longest), at(longest)).size() == 104);
}

TEST_CASE("PROXY header v2: binary") {
  CHECK(header(2, at("192.168.0.1:56324"), at("192.168.0.11:443")) ==
        kMark + std::string("\x21\x11\x00\x0c\xc0\xa8\x00\x01\xc0\xa8\x00\x0b\xdc\x04\x01\xbb", 16));
  const std::string six = header(2, at("[2001:db8::1]:2"), at("192.0.2.1:258"));
  CHECK(six == kMark + std::string("\x21\x21\x00\x24", 4) + std::string("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16) +
                   std::string("\0\0\0\0\0\0\0\0\0\0\xff\xff\xc0\x00\x02\x01", 16) + std::string("\0\x02\x01\x02", 4));
  CHECK(header(2, Address{}, Address{}) == kMark + std::string("\x21\x00\x00\x00", 4));
}
