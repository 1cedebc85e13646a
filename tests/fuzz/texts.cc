// Read next: texts.h.
#include "tests/fuzz/texts.h"

namespace fuzz {

namespace {

class Sink final : public smx::LineSink {
 public:
  void line(std::string_view text) override {
    MUST(text.size() <= smx::kExplainText);
    for (const char c : text) MUST(c >= ' ' && c < 0x7f);
  }
};

smx::Address address(const char* text) {
  smx::Address a;
  MUST(smx::parse_ip(text, &a));
  return a;
}

}  // namespace

void use_config(const smx::Config& config, const Lookup& lookup) {
  Sink sink;
  smx::explain(config, sink);
  MUST(smx::same_config(config, config));
  MUST(smx::same_access(config, config));
  std::string_view name;
  smx::Origin where;
  (void)smx::asks_names(config, &name, &where);
  for (const smx::ListenSpec& l : config.listens) {
    smx::Address at;
    (void)smx::find_port(config, l.at, &at);
    (void)smx::is_open_to_world(config, l.at);
  }
  for (const char* ip : {"127.0.0.1", "10.0.0.3", "192.0.2.7", "::1", "2001:db8::1", "::ffff:10.0.0.5"}) {
    smx::Subject who;
    who.client = address(ip);
    for (const uint16_t port : {uint16_t{0}, uint16_t{80}, uint16_t{8023}}) {
      who.accepted_port = port;
      who.kind_known = port == 80;
      // Who may come for sure may come where there is doubt.
      const bool now = smx::allowed_client(config, who, lookup);
      const bool still = smx::still_allowed_client(config, who, lookup);
      MUST(!now || still);
      const smx::ServerSpec* server = smx::choose(config, who, lookup);
      if (server == nullptr) continue;
      smx::Target target;
      target.host = server->has_address ? server->to.host : std::string_view("kname");
      target.port = server->has_address ? server->to.port : uint16_t{80};
      target.transport = server->transport;
      for (const char* to : {"127.0.0.1", "10.0.0.5", "2001:db8::2"}) {
        target.address = address(to);
        const bool reached = smx::allowed_connect(config, *server, who, target, lookup);
        if (reached) MUST(smx::still_allowed_connect(config, *server, target, lookup));
        (void)smx::remittable(config, *server, "http", 80, true);
      }
      (void)smx::find_host(config, *server, target.host);
    }
  }
}

}  // namespace fuzz
