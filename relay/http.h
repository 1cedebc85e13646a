// The HTTP proxy: CONNECT, and requests with a whole URL, one after the other on a client's connection.
//
//   idle --head--> connecting --connected()--> sending --both bodies over--> idle, or close
//     |               |                          |  CONNECT, or 101: raw
//     +-- fault ------+-- failed() --------------+--> a page that says why, and close
//
// Each request gets a connection of its own to its server; the client's stays. Invariants: a head is passed on only if it
// has one meaning (http_head.h); fields of one hop end here; a body is moved as far as there is room; what comes behind a
// request waits in its pipe until that is answered.
// Read next: http_head.h, http_body.h, dialogue.h. Source: RFC 9110, RFC 9112; sockmux.conf(5), "Proxies".
#ifndef SOCKMUX_RELAY_HTTP_H
#define SOCKMUX_RELAY_HTTP_H

#include "core/base/text.h"
#include "relay/dialogue.h"
#include "relay/http_body.h"
#include "relay/text/http_head.h"

namespace smx {

class HttpDialogue final : public Dialogue {
 public:
  HttpDialogue() = default;
  // Every request goes to this server: SERVER=http://host:port,-in(words). `host` must stay valid.
  void bind_to(std::string_view host, uint16_t port) {
    bound_host_ = host;
    bound_port_ = port;
  }

  Next step(Desk& desk) override;
  void connected(Desk& desk) override;
  void failed(Desk& desk, Failure why) override;
  Next timed_out(Desk& desk) override;

 private:
  enum class State : uint8_t { idle, connecting, sending, raw, closing };

  Next read_request(Desk& desk);
  Next begin_request(Desk& desk, const HttpRequest& r);
  HttpFault read_target(const HttpRequest& r);
  Next own_answer(Desk& desk, const HttpRequest& r);
  bool pass_request(Desk& desk);
  Next send(Desk& desk);
  Next read_answer(Desk& desk);
  bool pass_answer(Desk& desk, const HttpAnswer& a, HttpBody::Kind kind);
  Next finish(Desk& desk);
  Next page(Desk& desk, int status, const char* why, const char* fields = "");

  std::string_view bound_host_;
  char host_[256];             // of the request at hand, with host_size_ bytes
  size_t host_size_ = 0;
  uint16_t port_ = 0;
  uint16_t bound_port_ = 0;
  State state_ = State::idle;
  bool tunnel_ = false;        // CONNECT
  bool head_only_ = false;     // HEAD: its answer has no body
  bool upgrades_ = false;      // the client asks for another protocol, which was passed on
  bool keep_ = false;          // the client's connection stays after this answer
  bool is_10_ = false;         // the client speaks HTTP/1.0
  bool answered_ = false;      // the final head has been passed on
  size_t head_size_ = 0;       // of the request that waits in from_client while connecting
  size_t client_scan_ = 0, server_scan_ = 0;  // how far the pipes were searched for the end of a head
  HttpBody request_, answer_;
};

}  // namespace smx

#endif
