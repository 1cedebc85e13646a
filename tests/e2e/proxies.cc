// Read next: proxies.h.
#include "tests/e2e/proxies.h"

#include <doctest/doctest.h>

namespace e2e {

Web::Web(const std::string& name) : large_(pattern(static_cast<uint64_t>(name.size()), 5 << 20)) {
  const std::string program = find_program("nginx");
  run({"mkdir", folder_ / "www"}, 5);
  run({"chmod", "-R", "a+rwX", folder_.path()}, 5);
  run({find_program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
       "-subj", "/CN=localhost", "-keyout", folder_ / "key", "-out", folder_ / "cert"},
      20);
  std::string conf = "daemon off; master_process off; pid " + folder_ / "pid" + "; error_log stderr;\n";
  conf += "events { worker_connections 1024; }\nhttp { access_log off; keepalive_timeout 60; gzip off; client_max_body_size 100m;\n";
  Process version({program, "-V"});
  (void)version.wait_end(5);
  for (const char* module : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
    if (version.log().find(std::string("--without-http_") + module + "_module") == std::string::npos)
      conf += std::string(module) + "_temp_path " + folder_ / module + ";\n";
  conf += "server { listen " + local(port_) + "; listen " + local(tls_port_) + " ssl; ssl_certificate " + folder_ / "cert" +
          "; ssl_certificate_key ";
  conf += folder_ / "key" + "; root " + folder_ / "www" + "; location / { dav_methods PUT; } }\n";
  conf += "server { listen " + local(told_port_) + " proxy_protocol; location / { return 200 \"$proxy_protocol_addr:$proxy_protocol_port came to $proxy_protocol_server_port\"; } } }\n";
  write_file(folder_ / "conf", conf);
  write_file(folder_ / "www/small", "a small page of " + name + "\n");
  write_file(folder_ / "www/large", large_);
  process_ = std::make_unique<Process>(Words{program, "-p", folder_.path(), "-c", folder_ / "conf"});
  std::unique_ptr<Conn> probe;
  const bool up = wait_for(
      [&] {
        if (probe == nullptr || probe->over()) probe = std::make_unique<Conn>(port_);
        return probe->connected();
      },
      5);
  REQUIRE_MESSAGE(up, "nginx does not start: ", process_->log());
}

}  // namespace e2e
