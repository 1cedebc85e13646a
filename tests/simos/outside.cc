// What helpers find: names, and programs. Read next: scenario.h, helper.h.
#include <errno.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/simos/scenario.h"

namespace simos {

namespace {

constexpr size_t kServerPort = 4;         // of smx::kClientVariables

smx::Address address_of(uint32_t ip, bool six) {
  smx::Address a;
  a.family = six ? 6 : 4;
  if (six) {
    const in6_addr long_ip = six_of(ip);
    memcpy(a.ip, long_ip.s6_addr, sizeof long_ip.s6_addr);
  } else {
    for (int i = 0; i < 4; ++i) a.ip[i] = static_cast<uint8_t>(ip >> (24 - 8 * i));
  }
  return a;
}

std::string named(char kind, uint32_t ip) {
  char text[32];
  snprintf(text, sizeof text, "%c%08x.test", kind, ip);
  return text;
}

}  // namespace

std::string name_of(uint32_t ip) { return named('a', ip); }
std::string link_name_of(uint32_t ip) { return named('l', ip); }

// Of a server it is there, where no stream may be lost; of the other side of the link it may be missing for a while.
Micros Scenario::look_up(const std::string& name, smx::HelperAnswer* answer) {
  Random& chance = world->random;
  const Micros delay = static_cast<Micros>(chance.skewed(200, 700000));
  unsigned ip = 0;
  char kind = 0;
  answer->error = EAI_NONAME;
  if (sscanf(name.c_str(), "%c%8x.test", &kind, &ip) != 2) return delay;
  if (begun_ && !well_ && (kind == 'l' || !strict_) && chance.chance(15)) {
    answer->error = EAI_AGAIN;
    return chance.chance(30) ? -1 : delay;
  }
  answer->error = 0;
  if (kind == 'l' && chance.chance(20)) answer->address[answer->count++] = address_of(chance.chance(70) ? kNobodyIp : kMuteIp, chance.chance(50));
  const bool first_six = chance.chance(50);
  answer->address[answer->count++] = address_of(ip, first_six);
  if (chance.chance(50)) answer->address[answer->count++] = address_of(ip, !first_six);
  return delay;
}

int Scenario::plan(const Process& daemon, bool of_link, const smx::HelperRequest& q, Pump::Plan* out) {
  Random& chance = world->random;
  out->from = daemon.ip();
  out->begins_after = static_cast<Micros>(chance.skewed(300, 200000));
  out->ignores_term = chance.chance(20);
  const bool may_fail = begun_ && !well_ && (of_link || !strict_);
  if (may_fail && chance.chance(5)) return chance.chance(50) ? EAGAIN : ENOMEM;
  if (may_fail && chance.chance(8)) out->exits_at_once = chance.chance(50) ? 1 : 127;
  if (may_fail && chance.chance(10)) out->dies_after = chance.range(0, 6 * kSecond);
  if (may_fail && of_link && chance.chance(8)) out->hangs_after = chance.range(0, 6 * kSecond);
  // In the order of init_helper(): the program of the link, those of servers.
  if (of_link) {
    if (q.number != 0) world->fail("process %d starts program %u for its link", daemon.number(), q.number);
    out->ends_with_either = true;
    out->to = {host_[0].ip, kLinkPort};
    return 0;
  }
  const uint16_t port = static_cast<uint16_t>(atoi(q.text + kServerPort * smx::kClientValue));
  const uint32_t first = way_ == Way::program && host_[1].ip == daemon.ip() ? 1 : 0;
  uint32_t end = first;
  bool good = false;
  for (const Host& h : host_)
    for (const Port& p : h.ports)
      if (h.ip != daemon.ip() && p.service == Service::exec) good = good || p.number == port, ++end;
  if (good && q.number >= first && q.number < end) return out->to = {daemon.ip(), static_cast<uint16_t>(port - 1000)}, 0;
  world->fail("process %d starts program %u for port %u", daemon.number(), q.number, port);
  return EINVAL;
}

}  // namespace simos
