// What the two daemons are told, and what is around them. Read next: scenario.h.
#include <sys/types.h>

#include <algorithm>

#include "tests/simos/scenario.h"

// Not there where the daemon is built without it.
extern "C" int sodium_init(void) __attribute__((weak));

namespace simos {

namespace {

// Made for this test: private key, public key.
struct Keys {
  const char *secret, *open;
};
constexpr Keys kKeys[kDaemons] = {{"UAcHKyGk0HJ93xpY4JQy0SiSjmG/7jggOgzHu6OAb1s=", "CsPvi6MGQnjwwzIooTTzybmHna6bD7dSpAij5cKg4F4="},
                                  {"SLAagPHxYPvXnJkF1TCgc0HIXladFpg4m6rXtZvVAWM=", "Z52ey2qHGxWy0iLUnHg/PR9WC7CDFu0GlWSI6zMzqQk="}};
constexpr const char* kNames[kDaemons] = {"hub", "branch"};

// What a telnet client may say before its first line; the answers, if there are any, stand in front of what the proxy says.
std::string telnet_options(Random& chance) {
  std::string said;
  for (uint32_t i = chance.below(3); i > 0; --i)
    switch (chance.below(3)) {
      case 0: said += "\xff\xfd\x01"; break;              // DO ECHO
      case 1: said += "\xff\xfb\x1f"; break;              // WILL window size
      default: said += std::string("\xff\xfa\x1f\0\x50\0\x18\xff\xf0", 9);  // a window size
    }
  return said;
}

}  // namespace

void Scenario::choose() {
  Random& chance = world->random;
  near_ = world->make<Path>();
  near_->delay = static_cast<Micros>(chance.skewed(0, 300));
  near_->room = 512u << chance.below(8);
  near_->odd = chance.chance(50) ? 0 : 5 + chance.below(60);
  network->usual = near_;
  way_ = chance.chance(72) ? Way::tcp : static_cast<Way>(1 + chance.below(kWays - 1));
  v03_ = (way_ == Way::tcp || way_ == Way::program) && chance.chance(15);
  secure_ = sodium_init != nullptr && !v03_ && chance.chance(way_ == Way::tcp ? 30 : 20);
  slow_ = way_ == Way::line || way_ == Way::tcp_and_line;
  six_ = chance.chance(25);
  link_named_ = chance.chance(20);
  choose_link();
  choose_troubles();
  for (int i = 0; i < kDaemons; ++i) choose_ports(i);
  if (upgrades() && asks_ports()) strict_ = false;  // these are closed for a while
  for (int i = 0; i < kDaemons; ++i) choose_words(i);
  if (upgrades() && renews_) strict_ = false;  // the next link is the new daemon's
  crowd_.strict = strict_ && !moves_cost();
  crowd_.half_close = !v03_;
}

void Scenario::choose_link() {
  Random& chance = world->random;
  link_ = world->make<Path>();
  link_->delay = static_cast<Micros>(chance.skewed(20, 100000));
  link_->jitter = chance.chance(50) ? 0 : link_->delay / 2;
  link_->us_per_kb = chance.chance(50) ? 0 : static_cast<Micros>(chance.skewed(1, 20000));
  link_->room = 1024u << chance.below(9);
  link_->odd = chance.chance(40) ? 0 : 5 + chance.below(80);
  if (secure_ && (way_ == Way::tcp || way_ == Way::program) && chance.chance(30)) link_->flips = 1u << chance.below(6);
  flips_ = link_->flips > 0;
  network->set_path(host_[0].ip, host_[1].ip, link_);
  Path* mute = world->make<Path>();
  mute->connects = Path::Connects::silent;
  for (const Host& h : host_) network->set_path(h.ip, kMuteIp, mute);
  if (slow_) make_lines();
  if (way_ == Way::fifo) {
    // One machine: both have the same files.
    for (const char* name : {"/tmp/com0", "/tmp/com1"}) {
      Node* n = disk_of(host_[0].ip).put(name, Node::Kind::fifo);
      n->fifo->odd = link_->odd;
      n->fifo->room = 4096u << chance.below(5);
      disk_of(host_[1].ip).share(name, n);
    }
  }
}

void Scenario::make_lines() {
  Random& chance = world->random;
  Wire* wires[kDaemons];
  for (Wire*& w : wires) {
    w = world->make<Wire>();
    w->us_per_byte = 87;
    if (chance.chance(70)) {
      w->flips = chance.skewed(0, 2000);
      w->losses = chance.skewed(0, 500);
      w->additions = chance.skewed(0, 500);
    }
  }
  for (int i = 0; i < kDaemons; ++i) {
    (void)disk_of(host_[i].ip).put("/run/lock", Node::Kind::folder);
    host_[i].line = disk_of(host_[i].ip).put("/dev/ttyS0", Node::Kind::terminal);
    host_[i].line->wire = wires[i];
    wires[1 - i]->to = host_[i].line;
  }
}

void Scenario::choose_ports(int which) {
  Random& chance = world->random;
  Host& h = host_[which];
  const uint32_t n = which == 0 ? 1 + chance.below(3) : chance.below(3);
  for (uint32_t k = 0; k < n; ++k) {
    Port p{static_cast<uint16_t>(8000 + 100 * which + static_cast<int>(k)), Service::relay, chance.chance(25), chance.chance(25), chance.chance(40), secure_ && which == 0 && chance.chance(40)};
    if (chance.chance(35)) p.service = static_cast<Service>(1 + chance.below(kServices - 1));
    if (p.service == Service::socks4) p.server_six = false;
    if (p.service == Service::exec) p.server_six = false;
    p.named = p.service != Service::ftp && p.service != Service::socks4 && p.service != Service::udp && chance.chance(25);
    p.associates = p.service == Service::socks5 && !v03_ && chance.chance(60);
    const Place there{host_[1 - which].ip, static_cast<uint16_t>(p.number - 1000)};
    if (p.service == Service::udp || p.associates) echoes_.push_back(world->make<Echo>(there));
    if (p.service == Service::ftp) {
      p.server = world->make<FtpServer>(crowd_, there, choose_manner(p, false), p.server_six);
    } else if (p.service != Service::udp) {
      Manner m = choose_manner(p, false);
      if (p.service == Service::exec) {  // a program cannot tell a reset
        m.behind_program = true;
        m.resets_at = m.closes_at = UINT64_MAX;
      }
      p.server = world->make<Server>(crowd_, there, m);
    }
    h.ports.push_back(p);
  }
}

std::string Scenario::server_text(uint32_t ip, const Port& port) const { return port.named ? name_of(ip) : text_of(ip, port.server_six); }

// SERVER= of a link, as far as this side has it.
void Scenario::add_way(std::vector<std::string>& w, bool accepts, const Host& host, const Host& other) {
  const std::string kind = secure_ ? "SERVER=sockmuxs" : "SERVER=sockmux";
  const std::string peer = secure_ && !accepts ? std::string(kNames[0]) + "@" : "";
  if (way_ == Way::tcp || way_ == Way::tcp_and_line || way_ == Way::program) {
    if (accepts) {
      w.push_back(kind);
      w.push_back("-P" + text_of(host.ip, six_) + ":" + std::to_string(kLinkPort));
    } else if (way_ == Way::program) {
      w.push_back(kind + ":" + peer + "proc@pump");
    } else {
      w.push_back(kind + "://" + peer + (link_named_ ? link_name_of(other.ip) : text_of(other.ip, six_)) + ":" + std::to_string(kLinkPort));
    }
  }
  const std::string line_peer = secure_ ? std::string(kNames[accepts ? 1 : 0]) + "@" : "";
  if (way_ == Way::line || way_ == Way::tcp_and_line) w.push_back(kind + ":" + line_peer + "comm@/dev/ttyS0,115200");
  if (way_ == Way::fifo) {
    w.push_back(kind + ":" + line_peer + "commin@" + (accepts ? "/tmp/com0" : "/tmp/com1"));
    w.push_back(kind + ":" + line_peer + "commout@" + (accepts ? "/tmp/com1" : "/tmp/com0"));
  }
}

void Scenario::choose_words(int which) {
  Random& chance = world->random;
  Host& host = host_[which];
  const Host& other = host_[1 - which];
  const bool accepts = which == 0;
  std::vector<std::string> w;
  add_way(w, accepts, host, other);
  w.push_back("RELIABLE=*");
  w.push_back("REMITTABLE=*");
  const auto place_of = [](const Host& h, const Port& p) {
    const std::string place = text_of(h.ip, p.six) + ":" + std::to_string(p.number);
    return p.service == Service::udp ? place + "/udp" : p.associates ? place + "," + place + "/udp" : place;
  };
  for (const Port& p : host.ports)
    if (!p.remote) w.push_back("PORT=" + place_of(host, p));
  for (const Port& p : other.ports)
    if (p.remote) w.push_back("RPORT=" + place_of(other, p));
  for (const Port& p : other.ports) {
    static constexpr const char* kServers[] = {"tcprelay://", "http", "socks", "socks", "telnet", "ftp", "udprelay://", "exec"};
    std::string server = std::string("SERVER=") + kServers[static_cast<int>(p.service)];
    if (p.service == Service::ftp && !p.names_host) server += "://";
    if (p.service == Service::relay || p.service == Service::udp || (p.service == Service::ftp && !p.names_host)) server += server_text(host.ip, p) + ":" + std::to_string(p.number - 1000);
    const char* const options = p.service != Service::exec ? "" : chance.chance(50) ? "(XCOM=pump)" : "(XFIL=pump)";
    w.push_back(server + ",-in" + options + ":-:-P" + std::to_string(p.number) + (p.service == Service::udp ? "/udp" : ""));
  }
  w.push_back("TIMEOUT=ping:3,retry:2,hello:5,con:5,silence:20,resume:" + std::to_string(hold_s_));
  // Each transfer of FTP wants a second one, as do the datagrams of SOCKS, and while all have their first nobody gets that.
  bool want_second = false;
  for (const Host& h : host_)
    for (const Port& p : h.ports) want_second = want_second || p.service == Service::ftp || p.associates;
  w.push_back("MAXIMA=channels:" + std::to_string((want_second ? 40 : 6) + chance.below(30)) + (accepts ? ",links:4" : "") + ",udprelay:16");
  w.push_back("SOXCONF=sandbox:no");
  host.control = chance.chance(50);
  if (host.control) w.push_back(std::string("SOXCONF=control:") + kControlPath);
  if (v03_) w.push_back("SOXCONF=proto:0.3");
  if (chance.chance(40)) w.push_back("SOXCONF=packsize:" + std::to_string(chance.skewed(129, 16384)));
  if (!secure_ && chance.chance(50)) w.push_back(std::string("SOXCONF=name:") + kNames[which]);
  if (secure_) {
    Disk& disk = disk_of(host.ip);
    (void)disk.put("/etc/sockmux/key", Node::Kind::plain, std::string(kKeys[which].secret) + "\n");
    (void)disk.put("/etc/sockmux/peers", Node::Kind::plain, std::string(kNames[1 - which]) + " " + kKeys[1 - which].open + (accepts ? " PORT=8000-8009,8000-8009/udp" : "") + "\n");
    if (chance.chance(20)) {
      w.push_back("TIMEOUT=renew:" + std::to_string(2 + chance.below(5)));
      renews_ = true;
    }
  }
  host.words = {"sockmuxd", "-f"};
  if (chance.chance(20)) host.words.push_back("-vd");
  if (chance.chance(30)) {
    std::string file;
    for (const std::string& word : w) file += word + "\n";
    host.config = disk_of(host.ip).put("/etc/sockmux.conf", Node::Kind::plain, file);
    host.usual_config = file;
    host.words.push_back("+=/etc/sockmux.conf");
  } else {
    host.words.insert(host.words.end(), w.begin(), w.end());
  }
  if (chance.chance(30)) host.words.push_back("PIDFILE=/run/sockmuxd.pid");
  if (chance.chance(20)) host.words.push_back("LOGFILE=/var/log/sockmuxd.log");
}

Manner Scenario::choose_manner(const Port& port, bool client) {
  Random& chance = world->random;
  Manner m;
  m.size = 8 + chance.skewed(0, slow_ ? 4000 : 60000);
  m.write_most = 1 + chance.skewed(0, 4095);
  m.read_most = 1 + chance.skewed(0, 4095);
  if (m.write_most < 16 && m.size > 2000) m.size = 2000;
  if (m.read_most < 16) m.read_most = 16;
  if (chance.chance(15)) m.write_pause = static_cast<Micros>(chance.skewed(100, 200000));
  if (chance.chance(15)) m.read_pause = static_cast<Micros>(chance.skewed(100, 200000));
  if (m.write_pause > 0) m.size = std::min(m.size, 8 + m.write_most * 20);
  if (m.read_pause > 0 || m.write_pause > 0) m.size = std::min(m.size, 4000u);
  if (m.read_pause > 0 && m.read_most < 500) m.read_most = 500;
  if (chance.chance(10)) m.hangs_at = chance.skewed(0, 20000);
  if (!client && chance.chance(40)) m.answers = true;
  if (!client && !m.answers && chance.chance(20)) m.waits_for_end = true;
  const uint32_t rude = chance.below(100);
  if (rude < 5) m.resets_at = chance.skewed(1, 20000);
  if (rude >= 5 && rude < 8) m.closes_at = chance.skewed(1, 20000);
  (void)port;
  return m;
}

// What a client says to the proxy at `port`, to be led to the server there.
std::vector<Manner::Step> Scenario::opening_for(const Port& port, uint32_t ip) {
  const uint16_t to = static_cast<uint16_t>(port.number - 1000);
  std::string place;
  for (int i = 24; i >= 0; i -= 8) place += static_cast<char>(ip >> i);
  const std::string number{static_cast<char>(to >> 8), static_cast<char>(to)};
  const bool six = port.server_six;
  const std::string host = server_text(ip, port);
  switch (port.service) {
    case Service::http: return {{"CONNECT " + host + ":" + std::to_string(to) + " HTTP/1.1\r\nHost: x\r\n\r\n", 0}};
    case Service::socks4: return {{std::string("\x04\x01", 2) + number + place + std::string("me\0", 3), 8}};
    case Service::socks5: {
      const std::string address = port.named ? socks_name(host) : socks_address(ip, six);
      return {{std::string("\x05\x01\x00", 3), 2}, {std::string("\x05\x01\x00", 3) + address + socks_port(to), Manner::Step::kSocks5}};
    }
    case Service::telnet: return {{telnet_options(world->random) + host + (six && !port.named ? ":" : " ") + std::to_string(to) + "\r\n", Manner::Step::kTelnet}};
    case Service::relay:
    case Service::ftp:
    case Service::exec:
    case Service::udp: return {};
  }
  return {};
}

}  // namespace simos
