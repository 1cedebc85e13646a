// What both ends of UDP flows share: who may, and what became of datagrams.
//
// Read next: udp_listener.h (PORT=n/udp), udp_exit.h (DEST=host:port/udp).
#ifndef SOCKMUX_RELAY_UDP_H
#define SOCKMUX_RELAY_UDP_H

#include <stdint.h>

#include "core/base/address.h"

namespace smx {

// Why a datagram did not go on. Each is a figure of the statistics, under the name in drop_name().
enum class UdpDrop : uint8_t {
  no_link,     // a client's, while no link is up
  no_channel,  // a client's, for whose flow no channel became free in time, or no other flow could make room
  refused,     // a client's, that may not, or whose flow the peer refused a moment ago
  late,        // the link, or the peer, took nothing for too long
  too_large,   // more than UDP, the dialect, the line, or the local network takes
  resolving,   // a second one, or one of more than ServerFlows::kKept bytes, while the server's name was looked up
  socket_full, // the local socket took nothing more
  server,      // the server's host could not be reached
};
constexpr int kUdpDrops = 8;
inline const char* drop_name(UdpDrop d) {
  static const char* const kName[kUdpDrops] = {"no_link", "no_channel", "refused", "late", "too_large", "resolving", "socket_full", "unreachable"};
  return kName[static_cast<int>(d)];
}

struct UdpCounts {
  uint64_t rx = 0;  // datagrams from local sockets that went to the link
  uint64_t tx = 0;  // from the link, sent
  uint64_t joined = 0;  // of these, sent several at once
  uint64_t dropped[kUdpDrops] = {};
  uint64_t by_kernel = 0;  // at the ports for clients
  uint64_t flows = 0;      // begun
  uint64_t made_room = 0;  // flows ended for a newer one
  uint64_t server_errors = 0;  // ICMP said that nobody is there
  void drop(UdpDrop d, uint32_t count = 1) { dropped[static_cast<int>(d)] += count; }
};

// Of a table that is full, the flow that makes room: of those that were silent longest the first that waits for no answer, or has waited
// for kAnswerPatience; nullptr: none. A datagram that goes round, since a port leads to itself, waits for none, and would else go on for
// ever, from flow to flow.
constexpr Duration kAnswerPatience = seconds(1);
constexpr int kLookedAt = 64, kOthersLookedAt = 1024;  // of those that fit, and that do not
template <typename FlowList, typename Fits>
auto find_spare(const FlowList& by_age, Time now, Fits fits) {
  int left = kOthersLookedAt;
  auto* f = by_age.front();
  for (; f != nullptr && left > 0; f = by_age.after(f)) {
    const bool fit = fits(*f);
    if (fit && !f->waits(now)) return f;
    left -= fit ? kOthersLookedAt / kLookedAt : 1;
  }
  f = nullptr;
  return f;
}

// Whose flows they are (a peer at servers, a port of clients) has at most seven times what is free. Then one of its own ends for a
// newer one, or one of somebody who has no fewer: so a few are left alone by who wants all, and two that want all get half each. Who is
// alone has all of MAXIMA=udprelay, since a table has a seventh more. Source: as of fds_to_leave(), relay.h.
constexpr uint32_t kTimesFree = 7;
constexpr uint32_t places_for(uint32_t flows) { return flows + flows / kTimesFree; }
constexpr bool has_its_share(uint32_t own, uint32_t free) { return own >= kTimesFree * free; }

// Who may begin a flow: RELIABLE, PERMIT, REJECT, MAXIMA=conpch.
class FlowGate {
 public:
  // nullptr: welcome, and counted until on_flow_ended(); else the reason why not.
  virtual const char* flow_refused(const Address& client, const Address& local) = 0;
  virtual void on_flow_ended(const Address& client) = 0;

 protected:
  ~FlowGate() = default;
};

}  // namespace smx

#endif
