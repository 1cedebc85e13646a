// Two daemons with a line between them, in one of the three kinds of link. Read next: stopped.cc, networks.cc.
#ifndef SOCKMUX_TESTS_E2E_TUNNEL_H
#define SOCKMUX_TESTS_E2E_TUNNEL_H

#include <doctest/doctest.h>

#include <memory>
#include <string>

#include "tests/e2e/secure_site.h"

namespace e2e {

// An acceptor with a port, a line that can be cut, a connector with an echo: SockMux 1, 0.3, or encrypted.
struct Tunnel {
  // `one` is the setup of that side alone.
  Tunnel(const std::string& what, const Words& more, const ProcessSetup& one_setup = {}, int one = 2) : kind(what), echo([](Conn& conn) { conn.echo = true; }) {
    Words hub{"SERVER=sockmux", "-P127.0.0.1:0", "PORT=127.0.0.1:0"}, branch;
    if (kind == "secure") {
      sites = std::make_unique<TwoSites>();
      hub[0] = "SERVER=sockmuxs";
      hub = sites->hub.words(hub), branch = sites->branch.words();
    }
    if (kind == "0.3")
      for (Words* words : {&hub, &branch}) words->insert(words->end(), {"SOXCONF=proto:0.3", "TIMEOUT=lin:1"});
    hub.insert(hub.end(), more.begin(), more.end());
    a = std::make_unique<Daemon>(hub, one == 0 ? one_setup : ProcessSetup());
    wire = std::make_unique<Wire>(a->link_port());
    branch.insert(branch.end(), {std::string("SERVER=sockmux") + (kind == "secure" ? "s" : "") + "://" + local(wire->port()), "DEST=" + local(echo.port()), "TIMEOUT=retry:1"});
    branch.insert(branch.end(), more.begin(), more.end());
    c = std::make_unique<Daemon>(branch, one == 1 ? one_setup : ProcessSetup());
    REQUIRE((*c)->wait_log(" link-up ", 10));
    REQUIRE((*a)->wait_log(" link-up ", 10));
  }
  Daemon& side(int i) { return i == 0 ? *a : *c; }
  std::string kind;
  std::unique_ptr<TwoSites> sites;
  Server echo;
  std::unique_ptr<Daemon> a, c;
  std::unique_ptr<Wire> wire;
};

}  // namespace e2e

#endif
