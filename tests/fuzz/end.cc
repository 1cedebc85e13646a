// Read next: end.h.
#include "tests/fuzz/end.h"

namespace fuzz {

namespace {

constexpr size_t kArena = 1 << 20;
constexpr size_t kTap = 4096;
alignas(64) uint8_t arenas[2][kArena];
uint8_t taps[2][kTap];

smx::Address client_of(uint32_t stream) {
  smx::Address a;
  MUST(smx::parse_ip("10.0.0.1", &a));
  a.port = static_cast<uint16_t>(stream);
  return a;
}

}  // namespace

End::End(Streams& streams, const smx::MuxConfig& config, int which)
    : streams_(streams), arena_(arenas[which], kArena), tap_(taps[which], kTap) {
  const uint64_t bytes = smx::Mux::arena_bytes(config);
  MUST(bytes <= kArena);
  memset(arenas[which], 0, static_cast<size_t>(bytes));
  MUST(mux.init(config, arena_));
  MUST(mux.slots() <= kSlots);
  mux.set_tap(this, 1);
}

void End::up(smx::LinkStart start) {
  unread_.clear();
  mux.link_up(start, now);
}

smx::Err End::hear(smx::Bytes bytes) {
  while (bytes.size > 0) {
    smx::MutBytes space[2];
    const int pieces = mux.rx_space(space);
    MUST(pieces > 0);  // it never stops reading
    MUST(space[0].size > 0);
    const size_t n = bytes.size < space[0].size ? bytes.size : space[0].size;
    memcpy(space[0].data, bytes.data, n);
    bytes.data += n;
    bytes.size -= n;
    const smx::Err e = mux.received(n, now);
    mux.verify();
    if (e != smx::Err::none) return e;
  }
  return smx::Err::none;
}

Data End::say(size_t most) {
  Data out;
  while (out.size() < most) {
    mux.gather(now);
    smx::Bytes piece[smx::Mux::kTxPieces];
    const int pieces = mux.tx_pending(piece);
    size_t n = 0;
    for (int i = 0; i < pieces && out.size() < most; ++i) {
      const size_t part = piece[i].size < most - out.size() ? piece[i].size : most - out.size();
      out.append(reinterpret_cast<const char*>(piece[i].data), part);
      n += part;
    }
    if (n == 0) break;
    mux.sent(n);
    mux.verify();
  }
  look_at_said(out);
  return out;
}

// On a lossy line frames are written, not packets.
void End::look_at_said(const Data& bytes) {
  if (on_said == nullptr) return;
  unread_ += bytes;
  size_t from = 0;
  while (unread_.size() - from >= smx::kHeader) {
    const uint8_t* raw = reinterpret_cast<const uint8_t*>(unread_.data()) + from;
    const smx::Header h = smx::decode_header(raw);
    if (unread_.size() - from < smx::kHeader + h.length) break;
    on_said(context, h, {raw + smx::kHeader, h.length});
    from += smx::kHeader + h.length;
  }
  unread_.erase(0, from);
}

smx::Err End::wait(smx::Duration d) {
  const smx::Time until = now + d;
  for (int i = 0; mux.deadline() <= until; ++i) {
    MUST(i < 10000);  // a deadline that has passed is moved
    if (now < mux.deadline()) now = mux.deadline();
    const smx::Err e = mux.tick(now);
    mux.verify();
    if (e != smx::Err::none) return e;
  }
  now = until;
  return smx::Err::none;
}

Local& End::at(smx::ChannelId id) {
  MUST(id.slot < kSlots);
  Local& l = local[id.slot];
  MUST(l.live);
  MUST(l.id.generation == id.generation);
  return l;
}

Local& End::take(smx::ChannelId id, bool mine) {
  MUST(id.slot < kSlots);
  Local& l = local[id.slot];
  MUST(!l.live);
  if (l.id.slot == 0xffffffff) used.push_back(id.slot);
  l = Local{};
  l.live = true;
  l.mine = mine;
  l.id = id;
  return l;
}

void End::open(bool udp) {
  if (!mux.up() || !mux.can_open() || streams_.list.size() > 200) return;
  const smx::ChannelId id = mux.open(now, udp);
  // An orphan may have stood there; its owner has heard of it.
  take(id, true).stream = streams_.add(udp);
}

void End::open_bind() {
  if (!mux.up() || !mux.can_bind()) return;
  take(mux.open_bind(now), true).bind = true;
}

Local* End::pick(uint32_t n) {
  uint32_t live = 0;
  for (const uint32_t slot : used) live += local[slot].live;
  if (live == 0) return nullptr;
  n %= live;
  for (const uint32_t slot : used)
    if (local[slot].live && n-- == 0) return &local[slot];
  return nullptr;
}

void End::broken(Local& l) {
  if (streams_.known(l.stream)) streams_.list[l.stream].broken = true;
  l.live = false;
}

void End::answer(Local& l, bool good) {
  if (!l.waits) return;
  l.waits = false;
  if (!good) {
    mux.refuse(l.id, smx::CloseCode::refused);
    return broken(l);
  }
  if (l.bind) return mux.bound(l.id);
  if (streams_.known(l.stream) && streams_.list[l.stream].udp && !streams_.wild) mux.serve_datagrams(l.id);
  l.open = true;
  mux.accept(l.id, now);
}

void End::send(Local& l, uint32_t bytes) {
  if (!streams_.known(l.stream)) return;
  Way& w = way_out(l);
  if (w.ends) return;
  if (!streams_.list[l.stream].udp) w.left += bytes;
  else if (w.waiting.size() < 16) w.waiting.push_back(static_cast<uint16_t>(4 + bytes % (smx::kMaxDatagram - 4)));
}

void End::end(Local& l) {
  if (streams_.known(l.stream) && !streams_.list[l.stream].udp) way_out(l).ends = true;
}

void End::abort(Local& l, smx::CloseCode code) {
  mux.abort(l.id, code);
  broken(l);
}

void End::turn() {
  for (size_t i = 0; i < used.size(); ++i) {
    Local& l = local[used[i]];
    if (!l.live || l.bind) continue;
    if (l.takes > 0 && mux.wants_write(l.id) && !mux.drain(l.id, now)) continue;
    if (!l.live || !streams_.known(l.stream)) continue;
    const Way& w = way_out(l);
    if ((w.left > 0 || w.ends || !w.waiting.empty() || l.fails) && mux.wants_read(l.id)) mux.local_readable(l.id);
  }
  mux.verify();
}

void End::break_all() {
  for (const uint32_t slot : used)
    if (local[slot].live && streams_.known(local[slot].stream)) streams_.list[local[slot].stream].broken = true;
}

// ---- MuxEvents

void End::on_open(smx::ChannelId id, const smx::OpenInfo& info) {
  Local& l = take(id, false);
  l.waits = true;
  if (info.client == client_of(info.client.port)) l.stream = streams_.known(info.client.port) ? info.client.port : 0;
  if (refuses) answer(l, false);
  else if (accepts) answer(l, true);
}

bool End::on_bind(smx::ChannelId id, const smx::OpenInfo& info) {
  (void)info;
  Local& l = take(id, false);
  l.bind = l.waits = true;
  if (refuses) {
    l.live = false;
    return false;
  }
  return true;
}

void End::on_bound(smx::ChannelId id, const smx::Address& where) {
  MUST(at(id).bind);
  MUST(where.family != 0);
}

void End::describe(smx::ChannelId id, smx::OpenInfo* info) {
  const Local& l = at(id);
  info->client = client_of(l.stream);
  info->local = client_of(2222);
  if (l.bind && l.mine) info->client = smx::Address();
  if (streams_.known(l.stream)) info->udp = streams_.list[l.stream].udp;
}

smx::Pulled End::on_pull(smx::ChannelId id, const smx::MutBytes* piece, int pieces) {
  Local& l = at(id);
  smx::Pulled p;
  if (l.fails) {
    broken(l);
    p.state = smx::Pulled::State::error;
    return p;
  }
  if (!streams_.known(l.stream)) return p;
  Way& w = way_out(l);
  MUST(!w.ended || streams_.wild);  // an open that comes twice, or is changed, makes two channels of one stream
  const bool urgent = l.urgent && l.open && w.left > 0 && pieces > 0 && piece[0].size > 0;
  for (int i = 0; i < pieces; ++i) {
    for (size_t k = 0; k < piece[i].size && w.left > 0 && !(urgent && p.size == 1); ++k, ++p.size, --w.left)
      piece[i].data[k] = pattern(l.stream, l.out(), w.sent++);
  }
  if (urgent) {
    p.urgent = true;
    l.urgent = false;
  }
  p.state = w.left > 0 ? smx::Pulled::State::more : w.ends ? smx::Pulled::State::end : smx::Pulled::State::empty;
  w.ended = p.state == smx::Pulled::State::end;
  return p;
}

smx::Taken End::on_data(smx::ChannelId id, const smx::Bytes* piece, int pieces) {
  Local& l = at(id);
  MUST(!l.bind);
  smx::Taken t;
  if (l.fails) {
    broken(l);
    t.error = true;
    return t;
  }
  const bool checked = streams_.checks(l.stream);
  for (int i = 0; i < pieces; ++i) {
    for (size_t k = 0; k < piece[i].size && t.size < l.takes; ++k, ++t.size) {
      if (!checked) continue;
      Way& w = way_in(l);
      MUST(!streams_.list[l.stream].udp);
      MUST(!w.got_end);
      MUST(w.got < w.sent);
      MUST(piece[i].data[k] == pattern(l.stream, 1 - l.out(), w.got));
      ++w.got;
    }
  }
  if (l.takes != SIZE_MAX) l.takes -= t.size;
  return t;
}

smx::PulledDatagram End::on_pull_datagram(smx::ChannelId id, const smx::MutBytes* piece, int pieces, size_t largest) {
  Local& l = at(id);
  smx::PulledDatagram p;
  if (l.fails) {
    broken(l);
    p.state = smx::PulledDatagram::State::error;
    return p;
  }
  if (!streams_.known(l.stream)) return p;
  Way& w = way_out(l);
  while (!w.waiting.empty() && w.waiting.front() > largest) w.waiting.pop_front();
  if (w.waiting.empty() || w.waiting.front() > smx::total_size(piece, pieces)) return p;
  const uint32_t index = static_cast<uint32_t>(w.datagrams.size());
  const size_t size = w.waiting.front();
  w.waiting.pop_front();
  w.datagrams.push_back(static_cast<uint16_t>(size));
  uint8_t head[4];
  smx::store32(head, index);
  for (int i = 0; i < pieces; ++i)
    for (size_t k = 0; k < piece[i].size && p.size < size; ++k, ++p.size)
      piece[i].data[k] = p.size < 4 ? head[p.size] : pattern(l.stream, l.out(), p.size + index);
  p.state = smx::PulledDatagram::State::one;
  return p;
}

void End::on_datagram(smx::ChannelId id, const smx::Bytes* piece, int pieces) {
  Local& l = at(id);
  if (!streams_.checks(l.stream)) return;
  MUST(streams_.list[l.stream].udp);
  Data d;
  for (int i = 0; i < pieces; ++i) d += data_of(piece[i]);
  MUST(d.size() >= 4);
  const uint32_t index = smx::load32(view(d).data);
  Way& w = way_in(l);
  MUST(index >= w.next);
  MUST(index < w.datagrams.size());
  MUST(d.size() == w.datagrams[index]);
  for (size_t i = 4; i < d.size(); ++i) MUST(view(d).data[i] == pattern(l.stream, 1 - l.out(), i + index));
  w.next = index + 1;
}

void End::on_end(smx::ChannelId id) {
  Local& l = at(id);
  if (!streams_.checks(l.stream)) return;
  Way& w = way_in(l);
  // 0.3 has no half-close: a side that has closed tells its own client that this was the end.
  if (mux.dialect() == smx::Dialect::v1 && !streams_.list[l.stream].broken) {
    MUST(w.ended);
    MUST(w.got == w.sent);
  }
  w.got_end = true;
}

void End::on_done(smx::ChannelId id) {
  Local& l = at(id);
  l.live = false;
}

void End::on_abort(smx::ChannelId id, smx::CloseCode code) {
  (void)code;
  broken(at(id));
}

void End::on_packet(const smx::TapPacket& p) {
  const size_t all = smx::total_size(p.piece, p.pieces);
  MUST(smx::shown_bytes(p, 16) <= all);
  if (p.sent) {
    bool known = false;
    MUST(all == p.header.length);
    const smx::Dialect d = p.dialect == smx::Dialect::unknown ? smx::Dialect::v03 : p.dialect;
    MUST(smx::check_header(p.header, d, &known) == smx::Err::none);
    MUST(known);
  }
  while (!tap_.add(p, 16, now)) {
    if (tap_.empty()) return;
    smx::TapRing::Record r;
    MUST(tap_.front(&r));
    uint8_t bytes[smx::kHeader + smx::kMaxPayload];
    tap_.read(0, bytes, smx::kHeader + r.shown);
    tap_.pop();
  }
}

}  // namespace fuzz
