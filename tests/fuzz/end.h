// One mux and the local sockets of its side, for targets that play with muxes; and what is known of each stream, at both ends.
//
// A stream is a channel as the user means it: it has a number, which the opener tells in the client's port, and two ways, the first
// one from the opener. Each byte follows from stream, way and place, so that a wrong one is seen where it arrives.
// Invariants: a stream that nobody has tampered with never gets a byte that was not sent there, or twice, or none in between; what a
// mux writes are whole packets within its dialect's limits. Read next: mux_pair.cc, mux_peer.cc, core/mux/mux.h.
#ifndef SOCKMUX_TESTS_FUZZ_END_H
#define SOCKMUX_TESTS_FUZZ_END_H

#include <array>
#include <deque>

#include "core/mux/mux.h"
#include "tests/fuzz/fuzz.h"

namespace fuzz {

struct Way {
  uint64_t left = 0;            // to be sent
  uint64_t sent = 0, got = 0;
  bool ends = false, ended = false, got_end = false;  // when all is sent; so it was told; and it has arrived
  std::deque<uint16_t> waiting;  // sizes of datagrams
  std::vector<uint16_t> datagrams;  // of those sent, in order
  size_t next = 0;               // the next one to arrive is none before this
};

struct Stream {
  Way way[2];
  bool udp = false;
  bool tainted = false;  // somebody has changed what is said of it: anything may arrive
  bool broken = false;   // it was aborted, refused, or lost with its session
};

// All streams of a run.
struct Streams {
  std::vector<Stream> list{1};  // number 0 is none
  bool wild = false;            // somebody has changed more than one stream's packets: nothing is known any more
  uint32_t add(bool udp) {
    list.emplace_back();
    list.back().udp = udp;
    return static_cast<uint32_t>(list.size() - 1);
  }
  bool known(uint32_t number) const { return number > 0 && number < list.size(); }
  bool checks(uint32_t number) const { return known(number) && !wild && !list[number].tainted; }
};

inline uint8_t pattern(uint32_t stream, int way, uint64_t at) {
  const uint64_t x = ((uint64_t{stream} * 2 + static_cast<uint64_t>(way)) << 40 ^ at) * 0x9e3779b97f4a7c15u;
  return static_cast<uint8_t>(x >> 56);
}

struct Local {
  bool live = false, mine = false, bind = false, open = false, fails = false, urgent = false, waits = false;
  smx::ChannelId id;
  uint32_t stream = 0;
  size_t takes = SIZE_MAX;
  int out() const { return mine ? 0 : 1; }  // the way that it sends
};

class End final : public smx::MuxEvents, private smx::MuxTap {
 public:
  static constexpr uint32_t kSlots = 384;
  // `which`: 0 or 1, whose memory is used.
  End(Streams& streams, const smx::MuxConfig& config, int which);

  smx::Mux mux{*this};
  smx::Time now{1000000};
  bool accepts = true;   // at once
  bool refuses = false;  // at once
  std::array<Local, kSlots> local{};
  std::vector<uint32_t> used;  // slots of `local` that were used

  void up(smx::LinkStart start);
  // Bytes that come from the link.
  smx::Err hear(smx::Bytes bytes);
  // What it wants to write, at most `most` bytes.
  Data say(size_t most = SIZE_MAX);
  smx::Err wait(smx::Duration d);

  void open(bool udp);
  void open_bind();
  // The n-th of the live ones, or nullptr.
  Local* pick(uint32_t n);
  void answer(Local& l, bool good);
  void send(Local& l, uint32_t bytes);
  void end(Local& l);
  void abort(Local& l, smx::CloseCode code);
  // Sockets that can do something do it, as a poller would say.
  void turn();
  void break_all();

  // Each whole packet that is written; the tap has seen the same.
  void (*on_said)(void* context, const smx::Header& h, smx::Bytes payload) = nullptr;
  void* context = nullptr;

 private:
  void on_packet(const smx::TapPacket& p) override;
  void on_up() override {}
  void on_session_over() override { break_all(); }
  void on_room() override {}
  void on_open(smx::ChannelId id, const smx::OpenInfo& info) override;
  void on_opened(smx::ChannelId id) override { at(id).open = true; }
  void describe(smx::ChannelId id, smx::OpenInfo* info) override;
  smx::Pulled on_pull(smx::ChannelId id, const smx::MutBytes* piece, int pieces) override;
  smx::Taken on_data(smx::ChannelId id, const smx::Bytes* piece, int pieces) override;
  smx::PulledDatagram on_pull_datagram(smx::ChannelId id, const smx::MutBytes* piece, int pieces, size_t largest) override;
  void on_datagram(smx::ChannelId id, const smx::Bytes* piece, int pieces) override;
  void on_wants(smx::ChannelId id) override { MUST(at(id).live); }
  void on_end(smx::ChannelId id) override;
  void on_done(smx::ChannelId id) override;
  void on_abort(smx::ChannelId id, smx::CloseCode code) override;
  bool on_bind(smx::ChannelId id, const smx::OpenInfo& info) override;
  void on_bound(smx::ChannelId id, const smx::Address& where) override;

  Local& at(smx::ChannelId id);
  Local& take(smx::ChannelId id, bool mine);
  Way& way_out(Local& l) { return streams_.list[l.stream].way[l.out()]; }
  Way& way_in(Local& l) { return streams_.list[l.stream].way[1 - l.out()]; }
  void broken(Local& l);
  void look_at_said(const Data& bytes);

  Streams& streams_;
  smx::Arena arena_;
  smx::TapRing tap_;
  Data unread_;
};

}  // namespace fuzz

#endif
