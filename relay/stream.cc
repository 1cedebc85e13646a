// One stream. Read next: stream.h, streams.cc.
#include "relay/stream.h"

#include <errno.h>
#include <string.h>

#include "core/base/check.h"
#include "core/base/letters.h"
#include "core/io/log.h"
#include "core/io/socket.h"
#include "relay/text/proxy_header.h"

namespace smx {

namespace {
// After the peer has ended the channel: how long a client may still send before it is cut off.
constexpr Duration kLinger = seconds(5);
constexpr size_t kDropATurn = 65536;
constexpr uint16_t kMostDrops = 1024;  // turns in which it said something all the same
// What a client says in one piece is looked through for FTP's PORT and EPRT up to this size.
constexpr size_t kSmallTalk = 1024;
}  // namespace

CloseCode close_code_of(const ConnectFailure& why) {
  static constexpr CloseCode kCode[] = {CloseCode::not_found, CloseCode::refused, CloseCode::unreachable,
                                        CloseCode::timed_out, CloseCode::limit,   CloseCode::local_error,
                                        CloseCode::forbidden};
  return kCode[static_cast<int>(why.kind)];
}

Stream::Stream(Streams& table) : table_(table) {}

void Stream::begin(Session& session, const Address& peer) {
  SMX_CHECK(state_ == State::free);
  state_ = State::open;
  session_ = &session;
  owner_ = nullptr;
  rule_ = nullptr;
  peer_ = peer;
  host_key_ = 0;
  port_ = drops_ = 0;
  bind_ = kNone;
  end_seen_ = write_broken_ = reset_ = urgent_ = fresh_ = false;
  if constexpr (kHasFtp) half_ = false;
}

void Stream::start_client(Session& session, const Address& client, const Address& local, StreamOwner* owner, uint16_t bind) {
  begin(session, client);
  owner_ = owner;
  bind_ = bind;
  fresh_ = true;
  id_ = session.open(*this);
  update();
  LogLine(LogLevel::debug, "channel-open").kv("session", session.number()).kv("client", client).kv("at", local);
}

Dial& Stream::start_dial(Session& session, ChannelId id, const OpenInfo& info) {
  begin(session, Address{});
  state_ = State::connecting;
  id_ = id;
  session.bind(id, *this);
  Dial& d = table_.take_dial();
  d.stream_ = this;
  d.client_ = info.client;
  d.accepted_ = info.local;
  d.host_ = {};
  d.end_due_ = false;
  d.send_proxy_ = 0;
  dial_ = &d;
  return d;
}

void Stream::start_data_server(Session& session, ChannelId id, const Address& to, const Address& source, Duration limit, const OpenInfo& info) {
  Dial& d = start_dial(session, id, info);
  peer_ = to;
  d.connect_.start_at(to, source, limit, d);
}

void Stream::goes_with(const void* rule, uint16_t control_port, uint64_t host_key) {
  rule_ = rule;
  host_key_ = host_key;
  port_ = control_port;
}

HalfLines::Half* HalfLines::find(const Stream* whose) {
  for (Half& h : half_)
    if (h.whose == whose) return &h;
  return nullptr;
}

void HalfLines::keep(const Stream& whose, std::string_view line) {
  Half* h = find(&whose);  // what another client has left, for whom the stream was before
  if (h == nullptr) h = find(nullptr);
  if (h == nullptr) h = &half_[next_++ % kPlaces];
  h->whose = &whose;
  h->size = line.size();
  memcpy(h->text, line.data(), line.size());
}

size_t HalfLines::take(const Stream& whose, char* to) {
  Half* h = find(&whose);
  if (h == nullptr) return 0;
  h->whose = nullptr;
  memcpy(to, h->text, h->size);
  return h->size;
}

void Stream::listen_in(const MutBytes* piece, size_t size) {
  if (size > kSmallTalk) return void(half_ = false);
  for (; size > 0; ++piece) {
    const size_t n = size < piece->size ? size : piece->size;
    listen_in(as_text({piece->data, n}));
    size -= n;
  }
}

// A client that speaks FTP may name a port of its own, to which the peer may then ask us to connect. At most kSmallTalk bytes.
void Stream::listen_in(std::string_view said) {
  char joined[kFtpHalfLine + kSmallTalk];
  if (half_) {
    half_ = false;
    const size_t n = table_.half_lines_.take(*this, joined);
    memcpy(joined + n, said.data(), said.size());
    said = {joined, n + said.size()};
  }
  const std::string_view half = half_announced_port(said);
  if (!half.empty()) {
    half_ = true;
    table_.half_lines_.keep(*this, half);
  }
  if (place_of(said, ',') == kNowhere && place_of(said, '|') == kNowhere) return;
  const uint16_t port = find_announced_port(said, peer_);
  if (port != 0) port_ = port;
}

bool Stream::called_for(uint16_t port) {
  if (port == 0 || port_ != port || !is_client()) return false;
  port_ = 0;
  return true;
}

// Once. What hangs on this client's channel ends with it.
void Stream::channel_over() {
  if (owner_ == nullptr || session_ == nullptr) return;
  if (table_.watch_ != nullptr) table_.watch_->on_channel_over(*this);
  session_ = nullptr;
  owner_->on_channel_over();
}

void Stream::start_server(Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  Dial& d = start_dial(session, id, info);
  rule_ = target.rule;
  d.host_ = target.host;
  d.port_ = target.port;
  d.send_proxy_ = target.send_proxy;
  d.connect_.start(target.host, target.port, target.source, target.connect_limit, d);
}

void Stream::take_over(Session& session, ChannelId id, const Address& server, bool client_ended, bool server_ended, const void* rule,
                       uint64_t host_key) {
  begin(session, server);
  end_seen_ = server_ended;
  rule_ = rule;
  host_key_ = host_key;
  id_ = id;
  session.rebind(id, *this);
  if (client_ended) end();
  update();
}

bool open_tcp(Streams& streams, Session& session, ChannelId id, const RelayTarget& target, const OpenInfo& info) {
  Stream* s = streams.make(Fd());
  if (s == nullptr) return false;
  s->start_server(session, id, target, info);
  return true;
}

void Dial::on_connected(Fd fd, const Address& to, Time now) {
  (void)now;
  // The peers file may have been read again meanwhile.
  if (!address_allowed(to)) return stream_->connect_failed({ConnectFailure::Kind::forbidden, 0, to});
  stream_->connected(static_cast<Fd&&>(fd), to);
}

void Dial::on_connect_failed(const ConnectFailure& why, Time now) {
  (void)now;
  stream_->connect_failed(why);
}

uint32_t Dial::fds_to_leave() { return smx::fds_to_leave(*stream_->session_); }

bool Dial::address_allowed(const Address& to) {
  OpenInfo info;
  info.client = client_;
  info.local = accepted_;
  Router* router = stream_->table_.router_;
  const Session& session = *stream_->session_;
  const void* rule = stream_->rule_;
  if (stream_->port_ != 0) return true;  // allowed already: goes_with()
  return rule == nullptr || router == nullptr ||
         router->address_allowed(rule, info, session.mux().dialect(), session.peer_key(), to);
}

// Tells the server who the client is (SOXCONF=send-proxy). A socket that was just connected takes more than that at once.
bool Stream::introduce(const Fd& fd) const {
  if (!kHasSendProxy || dial_->send_proxy_ == 0) return true;
  ProxyHeader header;
  const size_t size = write_proxy_header(dial_->send_proxy_, dial_->client_, dial_->accepted_, header);
  return write_whole(fd.get(), header, size) == 0;
}

void Stream::connected(Fd fd, const Address& to) {
  if (!introduce(fd)) return connect_failed({ConnectFailure::Kind::local, EPIPE, to});
  const bool ended = dial_->end_due_;
  table_.give(*dial_);
  owner_ = nullptr;
  state_ = State::open;
  if (table_.reactor().watch(fd.get(), *this) != 0) {
    session_->refuse(id_, CloseCode::limit);
    return die();
  }
  fd_ = static_cast<Fd&&>(fd);
  peer_ = to;
  set_nodelay(fd_.get());
  set_oob_inline(fd_.get());
  set_keepalive(fd_.get());
  LogLine(LogLevel::debug, "server-connected").kv("session", session_->number()).kv("server", to);
  session_->accept(id_);
  // What has come meanwhile goes to the server now.
  (void)session_->writable(id_);
  if (state_ != State::open) return;
  if (ended) end();
  update();
}

void Stream::connect_failed(const ConnectFailure& why) {
  const Dial& d = *dial_;
  Text<300> server;
  if (d.host_.empty()) {
    append_address(server, why.tried);
  } else {
    server.add_printable(d.host_).add(':').add_u(d.port_);
  }
  if (why.kind == ConnectFailure::Kind::forbidden) {
    LogLine(LogLevel::warning, "channel-refused")
        .kv("session", session_->number())
        .kv("client", d.client_)
        .kv("at", d.accepted_)
        .kv("server", server.text())
        .kv("reason", text(why));
  } else {
    LogLine(LogLevel::warning, "server-failed").kv("session", session_->number()).kv("server", server.text()).kv("reason", text(why));
  }
  table_.give(*dial_);
  owner_ = nullptr;
  state_ = State::open;
  session_->refuse(id_, close_code_of(why));
  die();
}

// What the socket waits for follows from the channel's state, here and nowhere else.
void Stream::update() {
  if (!fd_.valid()) return;
  uint8_t events = 0;
  if (state_ == State::open) {
    if (session_->wants_read(id_)) events |= kRead;
    if (session_->wants_write(id_)) events |= kWrite;
    // Reads may go on without asking the poller in between, so an urgent byte is waited for always, until it is known.
    if (!end_seen_ && ((events & kRead) != 0 || !urgent_)) events |= kUrgent;
  } else if (state_ == State::lingering) {
    events = kRead;
  }
  table_.reactor().want(fd_.get(), events);
}

void Stream::on_ready(int fd, uint8_t ready, Time now) {
  (void)fd, (void)now;
  if (state_ == State::lingering) return drain_and_drop();
  if (state_ != State::open) return;
  if ((ready & (kRead | kUrgent)) != 0) urgent_ = (ready & kUrgent) != 0;
  // Whoever ended the channel meanwhile, push() or done(), has set the state.
  if ((ready & kWrite) != 0) (void)session_->writable(id_);
  if (state_ != State::open) return;
  if ((ready & kRead) != 0) session_->readable(id_);
  update();
}

// The mux has room in its ring: `piece` is that room.
Pulled Stream::pull(const MutBytes* piece, int pieces) {
  const size_t asked = total_size(piece, pieces);
  Pulled p;
  const IoResult r = urgent_ || fresh_ ? read_urgent(piece, pieces, &p.urgent) : readv_fd(fd_.get(), piece, pieces);
  p.size = r.size;
  if (kHasFtp && owner_ != nullptr) listen_in(piece, r.size);
  // A connection that was reset is never silent. One that is has lost what a write was to send, for want of memory say, and lives: it ends,
  // or its client would wait for the answer for ever.
  const bool over = r.error != 0 || (r.again ? reset_ : r.size == 0);
  if (over && (reset_ || (r.error != 0 && !write_broken_))) {
    if (r.error != 0) LogLine(LogLevel::debug, "stream-error").kv("session", session_->number()).kv("peer", peer_).error(r.error);
    p.state = Pulled::State::error;
    set_reset_on_close(fd_.get());  // who is still there must not take it for the other's end
    die();
  } else if (over) {
    end_seen_ = true;
    p.state = Pulled::State::end;
    if (write_broken_) linger();
  } else if (reset_ || (r.size == asked && !p.urgent)) {
    p.state = Pulled::State::more;
  }
  return p;
}

// A read ends in front of the urgent byte, so one that begins there takes that byte alone; what follows is asked of the
// poller, which tells of the next one. The first read of a client is made before the poller was asked at all.
IoResult Stream::read_urgent(const MutBytes* piece, int pieces, bool* urgent) {
  const bool first = fresh_;
  fresh_ = false;
  if (!at_urgent(fd_.get())) return readv_fd(fd_.get(), piece, pieces);
  IoResult r;
  r.again = true;
  // 0.3: this read is for CONNECT, whose data can't be urgent.
  if (first && session_->mux().dialect() == Dialect::v03) return r;
  r = read_fd(fd_.get(), piece[0].data, 1);
  *urgent = r.size == 1;
  if (*urgent) urgent_ = false;
  return r;
}

// A socket that takes nothing more was closed by its owner, or reset. What that one had sent before may still wait to be
// read: writes are dropped from now on, and reading goes on to the end. EPIPE: the owner had ended its direction before, so
// that end is one, and kLinger later the channel is reset, if its peer has not ended it. Anything else, such as ECONNRESET, is
// told once, to the write or to the read that comes first; behind a write reading ends as if all had come (Linux).
Taken Stream::push(const Bytes* piece, int pieces) {
  return wrote(write_broken_ ? IoResult{} : writev_fd(fd_.get(), piece, pieces), total_size(piece, pieces));
}

Taken Stream::push_urgent(uint8_t byte) { return wrote(write_broken_ ? IoResult{} : write_urgent(fd_.get(), byte), 1); }

Taken Stream::wrote(const IoResult& r, size_t whole) {
  Taken t;
  t.size = r.size;
  if (r.error != 0) {
    LogLine(LogLevel::debug, "stream-error").kv("session", session_->number()).kv("peer", peer_).error(r.error);
    write_broken_ = true;
    reset_ = r.error != EPIPE && !end_seen_;
    if (end_seen_) linger();
    else if (reset_) session_->readable(id_);  // pull() tells how
  }
  if (write_broken_) t.size = whole;
  return t;
}

void Stream::end() {
  if (state_ == State::connecting) {
    dial_->end_due_ = true;
    return;
  }
  // What was dropped must not look as if it had ended there: the close will be a reset, soon.
  if (write_broken_) return linger();
  shutdown_write(fd_.get());
}

// Both ways are over. If the local side has not ended by itself (0.3 has no half-close), closing at once could reset the
// connection and destroy what it has not read yet: its end of file is awaited.
void Stream::done() {
  LogLine(LogLevel::debug, "channel-done").kv("session", session_->number()).kv("peer", peer_);
  channel_over();
  session_ = nullptr;
  if (end_seen_) return die();
  state_ = State::lingering;
  linger();
  update();
}

void Stream::drain_and_drop() {
  if (++drops_ > kMostDrops) {
    set_reset_on_close(fd_.get());
    return die();
  }
  linger();  // as long as it says something
  uint8_t waste[4096];
  for (size_t n = 0; n < kDropATurn; n += sizeof waste) {
    const IoResult r = read_fd(fd_.get(), waste, sizeof waste);
    if (r.again) return;
    if (r.error != 0 || r.size == 0) return die();
  }
}

void Stream::linger() { table_.linger(*this, table_.reactor().now() + kLinger); }

// kLinger later. While the link was cut the peer could not end the channel, and what is in the ring for it would be lost.
void Stream::lingered(Time now) {
  if (state_ == State::open) {
    if (now < session_->end_of_limit(kLinger, now)) return linger();
    session_->abort(id_, CloseCode::reset);
  }
  die();
}

void Stream::abort(CloseCode code) {
  LogLine(LogLevel::debug, "channel-aborted")
      .kv("session", session_->number())
      .kv("peer", peer_)
      .kv("reason", name(code));
  if (state_ == State::connecting) {
    dial_->connect_.cancel();
    table_.give(*dial_);
    owner_ = nullptr;
  }
  // Its kernel may still have what the other end has not read, and would throw it away.
  if (fd_.valid() && code != CloseCode::done) set_reset_on_close(fd_.get());
  if (owner_ != nullptr && code != CloseCode::reset && code != CloseCode::done) {
    LogLine(LogLevel::info, "client-refused").kv("client", peer_).kv("at", local_address(fd_.get())).kv("reason", name(code));
  }
  die();
}

void Stream::describe(OpenInfo* info) {
  info->client = peer_;
  info->local = local_address(fd_.get());
  info->bind = bind_;
}

// Unregisters and closes at once; the memory returns at the end of the turn, since callers up the stack may be its own.
void Stream::die() {
  if (state_ == State::dead) return;
  channel_over();
  state_ = State::dead;
  if (fd_.valid() && write_broken_) set_reset_on_close(fd_.get());
  if (fd_.valid()) table_.reactor().unwatch(fd_.get());
  fd_.reset();
  if (owner_ != nullptr) owner_->on_stream_ended(peer_);
  owner_ = nullptr;
  session_ = nullptr;
  table_.bury(*this);
}

}  // namespace smx
