// UDP flows of a node. Each datagram carries bytes that follow from its flow and its number, so that one that is changed,
// doubled, late, or joined with another shows. Read next: node.h, Flow.
#include "tests/sim/node.h"

namespace sim {

using namespace smx;

namespace {

constexpr size_t kSocketHolds = 16;  // datagrams; the system drops what comes then

uint64_t stream_of(const Sock& s, size_t number) { return s.out_stream() + (uint64_t{number} + 1) * 1000003; }

}  // namespace

// One more has come.
void Node::produce_datagrams(Sock& s) {
  Flow& f = s.flow;
  if (f.made >= f.sends) return end_flow(*s.conn);
  const size_t size = rng_.one_in(4) ? rng_.size(f.most) : rng_.one_in(8) ? f.most : rng_.index(f.most < 1500 ? f.most + 1 : 1500);
  ++f.made;
  if (f.queue.size() < kSocketHolds) {
    f.queue.push_back(size);
  } else {
    ++f.lost;
  }
  clock_.in(static_cast<int64_t>(rng_.below(static_cast<uint64_t>(f.gap_us) + 1)), [this, &s] {
    if (!s.live) return;
    produce_datagrams(s);
    poke(s);
  });
}

// All has arrived, both ways: the client's owner lets it go.
void Node::end_flow(Conn& c) {
  if (c.ending || !c.reached || !c.client.flow.over() || !c.server.flow.over()) return;
  c.ending = true;
  Node* node = c.client.node;
  clock_.in(static_cast<int64_t>(rng_.below(1000)), [node, &c] {
    if (!c.client.live) return;
    node->forget(c.client);
    c.client.aborted = true;
    node->mux.abort(c.client.id, CloseCode::idle);
    node->checked();
    node->soon();
  });
}

PulledDatagram Node::on_pull_datagram(ChannelId id, const MutBytes* piece, int pieces, size_t largest) {
  PulledDatagram p;
  Sock* s = find(id);
  if (s == nullptr) return p;
  Flow& f = s->flow;
  const bool old = mux.dialect() == Dialect::v03;
  // 0.3 can't carry one of no bytes, and the mux drops it.
  for (; !f.queue.empty() && (f.queue.front() > largest || (old && f.queue.front() == 0)); ++f.lost) f.queue.pop_front();
  size_t room = 0;
  for (int i = 0; i < pieces; ++i) room += piece[i].size;
  if (f.queue.empty()) {
    end_flow(*s->conn);
    return p;
  }
  const size_t size = f.queue.front();
  if (size > room) return p;  // of CONNECT; its turn will come
  f.queue.pop_front();
  const uint64_t stream = stream_of(*s, f.taken.size());
  for (int i = 0; i < pieces; ++i)
    for (size_t j = 0; j < piece[i].size && p.size < size; ++j) piece[i].data[j] = pattern(stream, p.size++);
  f.taken.push_back(size);
  p.state = PulledDatagram::State::one;
  served(*s, kHeader + size);
  return p;
}

void Node::on_datagram(ChannelId id, const Bytes* piece, int pieces) {
  Sock* s = find(id);
  if (s == nullptr || !checks_data) return;
  Sock& from = s->server ? s->conn->client : s->conn->server;
  Flow& f = from.flow;
  const std::string what = name_ + ": connection " + std::to_string(s->conn->number) + ", datagram " + std::to_string(f.arrived);
  if (garbles && f.arrived >= f.taken.size()) return;
  SIM_EXPECT(fault_, f.arrived < f.taken.size(), what + " was never sent");
  if (fault_.any()) return;
  size_t size = 0;
  bool same = true;
  const uint64_t stream = stream_of(from, f.arrived);
  for (int i = 0; i < pieces; ++i)
    for (size_t j = 0; j < piece[i].size; ++j) same = same && piece[i].data[j] == pattern(stream, size++);
  SIM_EXPECT(fault_, size == f.taken[f.arrived], what + " of " + std::to_string(f.taken[f.arrived]) + " bytes has " + std::to_string(size));
  SIM_EXPECT(fault_, same, what + " is changed, or another one");
  ++f.arrived;
  end_flow(*s->conn);
}

}  // namespace sim
