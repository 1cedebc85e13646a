// Programs that people run through tunnels: curl and nginx, ssh and sshd, socat. Read next: harness.h, run().
#include <doctest/doctest.h>
#include "tests/e2e/sshd.h"

using namespace e2e;

namespace {

class Nginx {
 public:
  Nginx() {
    const std::string program = find_program("nginx");
    run({"mkdir", folder_ / "www"}, 5);
    std::string conf = "daemon off; master_process off; pid " + folder_ / "pid" + "; error_log stderr;\n";
    conf += "events { worker_connections 512; }\nhttp { access_log off; keepalive_timeout 60; gzip off;\n";
    const std::string built = built_with(program);
    for (const char* module : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
      if (built.find(std::string("--without-http_") + module + "_module") == std::string::npos)
        conf += std::string(module) + "_temp_path " + folder_ / module + ";\n";
    conf += "server { listen " + local(port_) + "; root " + folder_ / "www" + "; client_max_body_size 100m; } }\n";
    write_file(folder_ / "conf", conf);
    write_file(folder_ / "www/small", "a small page\n");
    write_file(folder_ / "www/large", pattern(20, 20 << 20));
    process_ = std::make_unique<Process>(Words{program, "-p", folder_.path(), "-c", folder_ / "conf"});
    bool up = false;
    std::unique_ptr<Conn> probe;
    up = wait_for(
        [&] {
          if (probe == nullptr || probe->over()) probe = std::make_unique<Conn>(port_);
          return probe->connected();
        },
        5);
    REQUIRE_MESSAGE(up, "nginx does not start: ", process_->log());
  }
  uint16_t port() const { return port_; }

 private:
  static std::string built_with(const std::string& program) {
    Process p({program, "-V"});
    (void)p.wait_end(5);
    return p.log();
  }
  TempFolder folder_;
  const uint16_t port_ = quiet_port();
  std::unique_ptr<Process> process_;
};

std::string url(uint16_t port, const char* page) { return "http://" + local(port) + "/" + page; }

}  // namespace

TEST_CASE("curl and nginx, both ways: pages, 20 MB, kept connections, HTTP/1.0, 50 in parallel") {
  const std::string curl = find_program("curl");
  Nginx left, right;
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    // 0.3 has no half-close; curl does not need it.
    Pair p({"PORT=127.0.0.1:0", "DEST=" + local(left.port())}, {"PORT=127.0.0.1:0", "DEST=" + local(right.port()), proto});
    for (const uint16_t port : {p.a->port(), p.c->port()}) {
      CHECK(run({curl, "-sS", url(port, "small")}, 10) == "a small page\n");
      CHECK(run({curl, "-sS", "-0", url(port, "small")}, 10) == "a small page\n");
      CHECK(digest_of(run({curl, "-sS", url(port, "large")}, 30)) == digest_of(pattern(20, 20 << 20)));
      CHECK(run({curl, "-sS", "-o", "/dev/null", "-w", "%{http_code}", url(port, "missing")}, 10) == "404");
      // One connection for ten requests.
      Words many{curl, "-sS", "-w", "%{num_connects}"};
      for (int i = 0; i < 10; ++i) many.push_back(url(port, "small"));
      const std::string kept = run(many, 10);
      CHECK(count_of(kept, "a small page\n") == 10);
      CHECK(count_of(kept, "a small page\n1") == 1);
      CHECK(count_of(kept, "a small page\n0") == 9);
    }
    // 50 connections at once.
    const std::string many = run({curl, "-sS", "-Z", "--parallel-max", "50", url(p.a->port(), "small?[1-25]"), url(p.c->port(), "small?[1-25]")}, 30);
    CHECK(count_of(many, "a small page\n") == 50);
  }
}

TEST_CASE("ssh and scp through the tunnel, in both dialects") {
  const std::string ssh = find_program("ssh"), scp = find_program("scp");
  Sshd sshd;
  TempFolder temp;
  const std::string five = pattern(55, 5 << 20);
  write_file(temp / "five", five);
  for (const char* proto : {"SOXCONF=proto:auto", "SOXCONF=proto:0.3"}) {
    CAPTURE(proto);
    Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(sshd.port()), proto});
    const Words options = sshd.options(), on{"-p", text(p.a->port())}, copy_on{"-q", "-P", text(p.a->port())};
    ProcessSetup apart, input;
    apart.separate = input.separate = true;
    input.input = temp / "five";
    Process command(join(join(join({ssh}, on), options), {"127.0.0.1", "echo from afar; seq 1 1000 | tail -1"}), apart);
    // What ssh reads to its end goes there, and comes back.
    Process cat(join(join(join({ssh}, on), options), {"127.0.0.1", "cat"}), input);
    Process there(join(join(join({scp}, copy_on), options), {temp / "five", "127.0.0.1:" + temp / "there"}), apart);
    Process back(join(join(join({scp}, copy_on), options), {"127.0.0.1:" + temp / "five", temp / "back"}), apart);
    for (Process* program : {&command, &cat, &there, &back}) {
      CHECK(program->wait_end(30));
      CHECK_MESSAGE(program->status() == 0, program->log());
    }
    CHECK(command.output() == "from afar\n1000\n");
    CHECK(digest_of(cat.output()) == digest_of(five));
    CHECK(digest_of(read_file(temp / "there")) == digest_of(five));
    CHECK(digest_of(read_file(temp / "back")) == digest_of(five));
    write_file(temp / "there", "");
    write_file(temp / "back", "");
  }
}

TEST_CASE("socat ends its direction, and still gets the answer") {
  const std::string socat = find_program("socat");
  Server server(answers_digest);
  Pair p({"PORT=127.0.0.1:0"}, {"DEST=" + local(server.port())});
  TempFolder temp;
  write_file(temp / "one", pattern(56, 1 << 20));
  ProcessSetup input;
  input.input = temp / "one";
  CHECK(run({socat, "-t", "20", "-", "TCP4:" + local(p.a->port())}, 20, input) == digest_of(pattern(56, 1 << 20)));
}
