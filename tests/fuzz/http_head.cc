// HTTP's heads. Input: a head, taken for a request and for an answer. What was let through has one meaning: no field that stands
// twice, no byte that another reader takes for a line's end. Read next: relay/text/http_head.h.
#include "core/base/letters.h"
#include "relay/text/http_head.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

namespace {

bool within(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

void fields_of(const smx::HttpMessage& m, std::string_view head) {
  MUST(within(m.fields, head));
  MUST(m.minor == 0 || m.minor == 1);
  MUST(m.options <= smx::kMostOptions);
  MUST(!m.chunked || m.has_coding);
  for (size_t i = 0; i < m.options; ++i) MUST(within(m.option[i], head));
  smx::HttpFields fields(m.fields);
  size_t n = 0, lengths = 0, codings = 0;
  for (smx::HttpField f; fields.next(&f); ++n) {
    MUST(!f.name.empty());
    MUST(within(f.name, head));
    MUST(within(f.value, head));
    for (const char c : f.name) MUST(c > ' ' && c < 0x7f && c != ':');
    for (const char c : f.value) MUST(c != '\r' && c != '\n' && c != 0);
    if (smx::equal_fold(f.name, "content-length")) ++lengths;
    if (smx::equal_fold(f.name, "transfer-encoding")) ++codings;
    (void)smx::ends_here(m, f.name);
  }
  MUST(n <= smx::kMostFields);
  if (m.has_length) MUST(lengths > 0);
  if (m.has_coding) MUST(codings > 0);
  if (codings > 0) MUST(m.has_coding);
}

}  // namespace

void http_head(smx::Bytes input) {
  const Exact whole(input);
  size_t from = 0;
  const size_t size = smx::find_head(whole.text(), &from);
  // Byte by byte it ends at the same place.
  size_t bytewise = 0, at = 0;
  for (size_t n = 0; n <= whole.size() && bytewise == 0; ++n) bytewise = smx::find_head(whole.text().substr(0, n), &at);
  MUST(bytewise == size);
  MUST(size <= whole.size());
  if (size == 0) return;
  const Exact only(smx::Bytes{whole.bytes().data, size});
  const std::string_view head = only.text();
  smx::HttpRequest r;
  if (smx::parse_request(head, &r).status == 0) {
    fields_of(r, head);
    MUST(!r.method.empty());
    MUST(!r.target.empty());
    MUST(within(r.method, head));
    MUST(within(r.target, head));
    for (const char c : r.target) MUST(c > ' ' && c != 0x7f);
    std::string_view host;
    uint16_t port = 0;
    if (smx::parse_authority(r.target, &host, &port)) MUST(!host.empty());
    if (smx::parse_authority(r.host, &host, &port)) MUST(!host.empty());
  }
  smx::HttpAnswer a;
  if (smx::parse_answer(head, &a).status == 0) {
    fields_of(a, head);
    MUST(a.status >= 100);
    MUST(a.status <= 999);
    MUST(within(a.reason, head));
  }
}

}  // namespace fuzz
