// Read next: http.h. Numbers are sections of RFC 9110, with "9112:" of RFC 9112.
#include "relay/http.h"

#include <string.h>

#include "core/base/letters.h"

namespace smx {

namespace {

constexpr uint32_t kMostOwnVia = 4;   // so often a request may have been here: a ring of proxies is cut
constexpr size_t kPage = 1536;        // room for a page

const char* words_of(int status) {
  switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
  }
  return "Error";
}

bool is_method(const HttpRequest& r, const char* name) { return r.method == name; }

void add_authority(TextBase& to, std::string_view host, uint16_t port, uint16_t usual) {
  const bool six = place_of(host, ':') != kNowhere;
  if (six) to.add('[');
  to.add(host);
  if (six) to.add(']');
  if (port != usual) to.add(':').add_u(port);
}

void add_field(Saying& to, const HttpField& f) { to.add(f.name).add(": ").add(f.value).add("\r\n"); }

}  // namespace

Dialogue::Next HttpDialogue::step(Desk& desk) {
  switch (state_) {
    case State::idle: return read_request(desk);
    case State::connecting: return Next::wait;
    case State::sending: return send(desk);
    case State::raw: return Next::raw;
    case State::closing: return Next::close;
  }
  return Next::wait;
}

// ---- the request

Dialogue::Next HttpDialogue::read_request(Desk& desk) {
  desk.clock = Desk::Clock::login;
  // 9112:2.2: empty lines in front of a request are ignored.
  size_t empty = 0;
  const std::string_view all = desk.from_client.text();
  while (empty < all.size() && (all[empty] == '\r' || all[empty] == '\n')) ++empty;
  if (empty > 0 && client_scan_ == 0) desk.from_client.consume(empty);
  if (desk.from_client.empty()) return desk.client_ended ? Next::close : Next::wait;
  desk.idle = false;
  if (desk.to_client.room() < kPage) return Next::wait;
  const std::string_view text = desk.from_client.text();
  head_size_ = find_head(text, &client_scan_);
  if (head_size_ == 0) {
    const size_t line = place_of(first(text, kLongestRequestLine + 1), '\n');
    if (line == kNowhere && text.size() > kLongestRequestLine)
      return page(desk, 414, "the first line has no end within 32 KiB");
    if (desk.from_client.room() == 0) return page(desk, 431, "the header has no end within 64 KiB");
    if (desk.client_ended) return page(desk, 400, "the request is not whole");
    return Next::wait;
  }
  client_scan_ = 0;
  HttpRequest r;
  const HttpFault fault = parse_request(first(text, head_size_), &r);
  head_only_ = is_method(r, "HEAD");
  if (fault.status != 0) return page(desk, fault.status, fault.why);
  return begin_request(desk, r);
}

Dialogue::Next HttpDialogue::begin_request(Desk& desk, const HttpRequest& r) {
  tunnel_ = is_method(r, "CONNECT");
  is_10_ = r.minor == 0;
  keep_ = !r.close && (!is_10_ || r.keep_alive);  // 9112:9.3
  answered_ = upgrades_ = false;
  if (r.has_hops && r.hops_left == 0 && (is_method(r, "OPTIONS") || is_method(r, "TRACE"))) return own_answer(desk, r);  // 7.6.2
  if (r.target == "*" && bound_host_.empty()) return own_answer(desk, r);
  const HttpFault fault = read_target(r);
  if (fault.status != 0) return page(desk, fault.status, fault.why);
  if (r.own_via >= kMostOwnVia) return page(desk, 508, "the request has been here before");
  if (tunnel_ && (r.chunked || (r.has_length && r.length > 0))) return page(desk, 400, "CONNECT has no body");  // 9.3.6
  desk.wish.protocol = tunnel_ ? "https" : "http";
  desk.wish.host = {host_, host_size_};
  desk.wish.port = port_;
  desk.wish.by_default = !tunnel_ || port_ == 443 || port_ == 80;
  desk.wish.configured = !bound_host_.empty();
  desk.clock = Desk::Clock::off;
  ++desk.round;
  state_ = State::connecting;
  return Next::connect;
}

// Which server is meant: into host_ and port_. 9112:3.2.
HttpFault HttpDialogue::read_target(const HttpRequest& r) {
  std::string_view host;
  uint16_t port = 80;
  if (tunnel_) {
    if (!bound_host_.empty()) return {403, "this proxy serves one server, without CONNECT"};
    port = 0;
    if (!parse_authority(r.target, &host, &port) || port == 0) return {400, "CONNECT wants host:port"};
  } else if (!bound_host_.empty()) {
    // A path, "*", or a whole URL, whose path is meant; in what is none of these there is no path.
    if (r.target[0] != '/' && r.target != "*" && place_of(r.target, "://") == kNowhere) return {400, "the URL is none; expected /path"};
    host = bound_host_;
    port = bound_port_;
  } else if (r.target[0] == '/') {
    return {400, "this is a proxy: it wants the whole URL, as in GET http://host/; set it as the HTTP proxy of your program"};
  } else {
    const size_t colon = place_of(r.target, "://");
    if (colon == kNowhere) return {400, "the URL is none; expected http://host/"};
    if (!equal_fold(first(r.target, colon), "http"))
      return {501, "only http:// URLs are relayed, and CONNECT for all others"};
    const std::string_view rest = skip(r.target, colon + 3);
    const std::string_view authority = first(rest, place_of_any(rest, "/?#"));
    if (place_of(authority, '@') != kNowhere)
      return {400, "user and password in a URL are not relayed; send Authorization"};  // 4.2.4
    if (place_of(rest, '#') != kNowhere) return {400, "a # in the URL"};
    if (!parse_authority(authority, &host, &port)) return {400, "the host of the URL is none"};
  }
  if (host.size() > sizeof host_ - 1) return {400, "the host's name is too long"};
  memcpy(host_, host.data(), host.size());
  host_size_ = host.size();
  port_ = port;
  return {};
}

// OPTIONS and TRACE that go no further.
Dialogue::Next HttpDialogue::own_answer(Desk& desk, const HttpRequest& r) {
  constexpr char kAllow[] = "Allow: CONNECT, GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH\r\n";
  if (!is_method(r, "OPTIONS")) return page(desk, is_method(r, "TRACE") ? 405 : 400, "the proxy itself does not do that", kAllow);
  return page(desk, 200, "a proxy", kAllow);
}

void HttpDialogue::connected(Desk& desk) {
  desk.clock = Desk::Clock::io;
  if (tunnel_) {
    desk.from_client.consume(head_size_);
    (void)desk.to_client.say("HTTP/1.1 200 Connection established\r\n\r\n");
    state_ = State::raw;
    return;
  }
  server_scan_ = 0;
  answer_ = HttpBody{};
  state_ = State::sending;
  if (!pass_request(desk)) (void)page(desk, 431, "the header is too large to be passed on");
}

void HttpDialogue::failed(Desk& desk, Failure why) {
  int status = 502;
  if (why == Failure::forbidden || why == Failure::not_remittable) status = 403;
  if (why == Failure::timed_out) status = 504;
  if (why == Failure::no_room || why == Failure::local) status = 503;
  Text<400> text;
  add_authority(text, {host_, host_size_}, port_, 0);
  (void)page(desk, status, text.add(": ").add(in_words(why)).c_str());
}

// The head as the server gets it. to_server is empty, and larger than a head by more than what is added.
bool HttpDialogue::pass_request(Desk& desk) {
  HttpRequest r;
  if (parse_request(first(desk.from_client.text(), head_size_), &r).status != 0) return false;
  Saying to(desk.to_server);
  std::string_view path = r.target;
  bool slash = false;  // the path is empty
  if (path != "*" && path[0] != '/') {
    const std::string_view rest = skip(path, place_of(path, "://") + 3);
    const size_t end = place_of_any(rest, "/?");
    path = end == kNowhere ? std::string_view{} : skip(rest, end);  // 9112:3.2.1
    slash = path.empty() || path[0] != '/';
    if (path.empty() && is_method(r, "OPTIONS")) {  // 9112:3.2.4
      path = "*";
      slash = false;
    }
  }
  Text<300> host("Host: ");
  add_authority(host, {host_, host_size_}, port_, 80);
  to.add(r.method).add(slash ? " /" : " ").add(path).add(" HTTP/1.1\r\n").add(host.text()).add("\r\n");
  upgrades_ = r.upgrade && r.minor == 1 && equal_fold(r.upgrade_to, "websocket") && !r.chunked && r.length == 0;
  HttpFields fields(r.fields);
  for (HttpField f; fields.next(&f);) {
    if (ends_here(r, f.name) || equal_fold(f.name, "host")) continue;
    if (r.has_hops && equal_fold(f.name, "max-forwards") && (is_method(r, "OPTIONS") || is_method(r, "TRACE"))) {
      Text<40> less("Max-Forwards: ");
      to.add(less.add_u(r.hops_left - 1).add("\r\n").text());
      continue;
    }
    if (is_10_ && equal_fold(f.name, "expect")) continue;  // 10.1.1
    add_field(to, f);
  }
  to.add(is_10_ ? "Via: 1.0 sockmuxd\r\n" : "Via: 1.1 sockmuxd\r\n");
  if (r.chunked) to.add("Transfer-Encoding: chunked\r\n");
  to.add(upgrades_ ? "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" : "Connection: close\r\n\r\n");
  request_.begin(r.chunked ? HttpBody::Kind::chunked : r.has_length ? HttpBody::Kind::length : HttpBody::Kind::none, r.length, false);
  desk.from_client.consume(head_size_);
  return to.fits();
}

// ---- both bodies, and the head of the answer between them

Dialogue::Next HttpDialogue::send(Desk& desk) {
  if (request_.state() == HttpBody::State::going && !desk.server_ended) {
    const bool bad = request_.move(desk.from_client, desk.to_server) == HttpBody::State::bad;
    const bool cut = request_.state() == HttpBody::State::going && desk.from_client.empty() && desk.client_ended;
    if (bad || cut) return answered_ ? Next::abort : page(desk, 400, bad ? "the chunks of the body are none" : "the body is not whole");
  }
  if (!answered_) {
    const Next next = read_answer(desk);
    if (next != Next::wait || !answered_) return next;
  }
  const HttpBody::State state = answer_.move(desk.from_server, desk.to_client);
  if (state == HttpBody::State::bad) return Next::abort;
  if (state == HttpBody::State::whole) return finish(desk);
  if (!desk.server_ended || !desk.from_server.empty()) return Next::wait;
  // The server has ended: that may be the end of the body, or the body is not whole, and the client must see it.
  if (answer_.kind() != HttpBody::Kind::until_end || desk.server_broken) return Next::abort;
  return finish(desk);
}

Dialogue::Next HttpDialogue::read_answer(Desk& desk) {
  while (!answered_) {
    if (!desk.to_client.empty()) return Next::wait;  // a head needs all the room
    const std::string_view text = desk.from_server.text();
    const size_t size = find_head(text, &server_scan_);
    if (size == 0) {
      if (desk.from_server.room() == 0) return page(desk, 502, "the header of the answer has no end within 64 KiB");
      if (desk.server_ended)
        return page(desk, 502, text.empty() ? "the server has closed without an answer" : "the answer of the server is not whole");
      return Next::wait;
    }
    server_scan_ = 0;
    HttpAnswer a;
    const HttpFault fault = parse_answer(first(text, size), &a);
    if (fault.status != 0) return page(desk, 502, Text<200>("the answer of the server: ").add(fault.why).c_str());
    if (a.status == 101) {
      if (!upgrades_) return page(desk, 502, "the server changes to another protocol unasked");
      if (!pass_answer(desk, a, HttpBody::Kind::none)) return page(desk, 502, "the header of the answer is too large");
      desk.from_server.consume(size);
      state_ = State::raw;
      return Next::raw;
    }
    const bool interim = a.status < 200;
    // 9112:6.3
    HttpBody::Kind kind = HttpBody::Kind::until_end;
    if (interim || head_only_ || a.status == 204 || a.status == 304) {
      kind = HttpBody::Kind::none;
    } else if (a.has_coding) {
      kind = a.chunked ? HttpBody::Kind::chunked : HttpBody::Kind::until_end;
    } else if (a.has_length) {
      kind = HttpBody::Kind::length;
    }
    if (!interim || !is_10_) {  // 15.2: none of those for HTTP/1.0
      const bool framed = kind == HttpBody::Kind::none || kind == HttpBody::Kind::length || (kind == HttpBody::Kind::chunked && !is_10_);
      if (!interim) keep_ = keep_ && framed && request_.state() == HttpBody::State::whole;
      if (!pass_answer(desk, a, kind)) {
        desk.to_client.clear();
        return page(desk, 502, "the header of the answer is too large");
      }
    }
    if (!interim) answer_.begin(kind, a.length, is_10_);
    answered_ = !interim;
    desk.from_server.consume(size);
  }
  return Next::wait;
}

// The head as the client gets it. to_client is empty, and larger than a head by more than what is added.
bool HttpDialogue::pass_answer(Desk& desk, const HttpAnswer& a, HttpBody::Kind kind) {
  Saying to(desk.to_client);
  Text<32> status("HTTP/1.1 ");
  to.add(status.add_u(static_cast<uint64_t>(a.status)).add(' ').text()).add(a.reason).add("\r\n");
  bool length_said = false;
  HttpFields fields(a.fields);
  for (HttpField f; fields.next(&f);) {
    if (ends_here(a, f.name)) continue;
    if (equal_fold(f.name, "content-length")) {
      if (length_said || a.has_coding) continue;
      length_said = true;
    }
    add_field(to, f);
  }
  to.add(a.minor == 0 ? "Via: 1.0 sockmuxd\r\n" : "Via: 1.1 sockmuxd\r\n");
  // A coding that is not chunked alone: who understands it shall know it. The connection's end is its end.
  if (a.has_coding && !a.chunked && kind == HttpBody::Kind::until_end) {
    HttpFields again(a.fields);
    for (HttpField f; again.next(&f);)
      if (equal_fold(f.name, "transfer-encoding")) add_field(to, {"Transfer-Encoding", f.value});
  }
  if (kind == HttpBody::Kind::chunked && !is_10_) to.add("Transfer-Encoding: chunked\r\n");
  const char* connection = "";
  if (a.status == 101) {
    connection = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  } else if (a.status >= 200 && !keep_) {
    connection = "Connection: close\r\n";
  } else if (a.status >= 200 && is_10_) {
    connection = "Connection: keep-alive\r\n";
  }
  return to.add(connection).add("\r\n").fits();
}

// The answer is passed on. The client's connection stays if all of its request was read.
Dialogue::Next HttpDialogue::finish(Desk& desk) {
  desk.drop_server = true;
  if (!keep_ || request_.state() != HttpBody::State::whole) {
    state_ = State::closing;
    return Next::close;
  }
  state_ = State::idle;
  client_scan_ = 0;
  desk.idle = true;
  desk.clock = Desk::Clock::login;
  ++desk.round;
  return Next::wait;
}

Dialogue::Next HttpDialogue::timed_out(Desk& desk) {
  if (state_ == State::idle) return desk.from_client.empty() ? Next::close : page(desk, 408, "the request did not come in time");
  if (state_ != State::sending || answered_) return Next::abort;
  return request_.state() == HttpBody::State::going ? page(desk, 408, "the request did not come in time")
                                                    : page(desk, 504, "the server gave no answer in time");
}

// An answer of our own, behind which the client's connection ends: what it may have sent meanwhile is not understood.
Dialogue::Next HttpDialogue::page(Desk& desk, int status, const char* why, const char* fields) {
  Text<700> body;
  body.add_u(static_cast<uint64_t>(status)).add(' ').add(words_of(status)).add("\n\n").add_printable(why).add("\n\nsockmuxd, HTTP proxy\n");
  Text<kPage> all("HTTP/1.1 ");
  all.add_u(static_cast<uint64_t>(status))
      .add(' ')
      .add(words_of(status))
      .add("\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: ");
  all.add_u(body.size())
      .add("\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n")
      .add(fields)
      .add("Connection: close\r\n\r\n");
  if (!head_only_) all.add(body.text());
  (void)desk.to_client.say(all.text());
  desk.from_client.clear();
  state_ = State::closing;
  return Next::close;
}

}  // namespace smx
