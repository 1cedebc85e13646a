// FTP's lines: commands, replies and the addresses in them. Input: a conversation, of which each line is taken for each of these.
// Read next: relay/text/ftp_text.h.
#include "core/base/text.h"
#include "relay/text/ftp_text.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

void one(std::string_view line) {
  std::string_view argument;
  (void)smx::ftp_verb(line, &argument);
  MUST(argument.size() <= line.size());
  smx::Address a, b;
  if (smx::parse_ftp_port(argument, &a)) {
    MUST(a.family == 4);
    smx::Text<64> text;
    smx::append_ftp_port(text, a);
    MUST(smx::parse_ftp_port(text.text(), &b));
    MUST(a == b);
  }
  (void)smx::parse_ftp_eprt(argument, &a);
  if (smx::parse_ftp_227(line, &a)) MUST(a.family == 4);
  uint16_t port = 0;
  (void)smx::parse_ftp_229(line, &port);
  int code = 0;
  bool more = false;
  if (smx::parse_ftp_reply(line, &code, &more)) {
    MUST(code >= 100);
    MUST(code <= 999);
  }
  (void)smx::ftp_feature_hidden(line);
  std::string_view name, host;
  for (const std::string_view text : {line, argument}) {
    port = 0;
    if (smx::parse_ftp_host(text, &host, &port)) {
      MUST(!host.empty());
      MUST(host.size() <= text.size());
    }
    if (smx::parse_ftp_login(text, &name, &host, &port)) {
      MUST(!host.empty());
      MUST(name.size() + host.size() < text.size());
    }
  }
}

}  // namespace

void ftp_text(smx::Bytes input) {
  const Exact all(input);
  std::string_view rest = all.text();
  char out[smx::kFtpLine];
  for (;;) {
    size_t size = 0, used = 0;
    const smx::FtpLine is = smx::ftp_line(rest, out, &size, &used);
    MUST(used <= rest.size());
    if (is == smx::FtpLine::none) break;
    MUST(used > 0);
    if (is == smx::FtpLine::whole) {
      MUST(size <= smx::kFtpLine);
      MUST(size <= used);
      const Exact line(smx::Bytes{reinterpret_cast<const uint8_t*>(out), size});
      one(line.text());
    }
    rest.remove_prefix(used);
  }
  smx::Address own;
  MUST(smx::parse_ip_port("192.0.2.1:5000", &own));
  (void)smx::find_announced_port(all.text(), own);
  MUST(smx::parse_ip_port("[2001:db8::1]:5000", &own));
  (void)smx::find_announced_port(all.text(), own);
}

}  // namespace fuzz
