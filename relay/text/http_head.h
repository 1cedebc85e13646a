// HTTP/1 message heads, read strictly: what two readers could understand in two ways is refused, not repaired.
//
// Invariant: everything here is a view into the head's bytes, nothing is copied; a head that was let through has whole
// lines, names that are tokens, and one meaning of its length. Pure.
// Read next: http.h. Source: RFC 9110 (semantics), RFC 9112 (syntax; section numbers in http_head.cc).
#ifndef SOCKMUX_RELAY_HTTP_HEAD_H
#define SOCKMUX_RELAY_HTTP_HEAD_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

namespace smx {

constexpr size_t kMostFields = 256;        // in a head
constexpr size_t kMostOptions = 32;        // named by Connection
constexpr size_t kLongestRequestLine = 32 * 1024;

struct HttpField {
  std::string_view name, value;
};

// Walks over the fields of a head behind its first line, which http_*() have found good.
class HttpFields {
 public:
  explicit HttpFields(std::string_view fields) : left_(fields) {}
  bool next(HttpField* out);

 private:
  std::string_view left_;
};

// Elements of a list in a field's value: "a, b ,c". Blanks at the ends are not part of them, empty ones are skipped.
class HttpList {
 public:
  explicit HttpList(std::string_view value) : left_(value) {}
  bool next(std::string_view* out);

 private:
  std::string_view left_;
};


// What both kinds of message have.
struct HttpMessage {
  std::string_view fields;     // the lines behind the first, without the empty one
  int minor = 1;               // HTTP/1.minor
  bool chunked = false;
  bool has_length = false;
  bool unknown_coding = false;  // a Transfer-Encoding other than "chunked" alone
  bool has_coding = false;      // a Transfer-Encoding of any kind
  bool close = false, keep_alive = false, upgrade = false;  // of Connection
  uint64_t length = 0;
  std::string_view option[kMostOptions];  // names in Connection: these fields end here
  size_t options = 0;
};

struct HttpRequest : HttpMessage {
  std::string_view method, target, host, upgrade_to;
  bool expects_continue = false;
  bool has_hops = false;
  uint32_t hops_left = 0;      // Max-Forwards
  uint32_t own_via = 0;        // how often we stand in Via
};

struct HttpAnswer : HttpMessage {
  int status = 0;
  std::string_view reason;
};

// Why a head is not taken: a status to answer with (400, 431, 501, 505), and words. `status` 0: it is good.
struct HttpFault {
  int status = 0;
  const char* why = "";
};

// Length of the head that `text` begins with, its empty line included; 0: not whole yet. `from` is where the search goes
// on, 0 at first: so a head that comes byte by byte is looked at once.
size_t find_head(std::string_view text, size_t* from);

HttpFault parse_request(std::string_view head, HttpRequest* out);
HttpFault parse_answer(std::string_view head, HttpAnswer* out);

// Is the field one that is for the next hop only, and does it end here? RFC 9110, 7.6.1. Content-Length never does, and who passes
// the message on says Transfer-Encoding anew, so that its length is known there, whatever Connection names.
bool ends_here(const HttpMessage& m, std::string_view name);

// "host", "host:port", "[v6]:port" of a URL; `port` stays as it is if none is given. False: it is none of these.
bool parse_authority(std::string_view text, std::string_view* host, uint16_t* port);

// The name under which Via shows us.
constexpr std::string_view kViaName = "sockmuxd";

}  // namespace smx

#endif
