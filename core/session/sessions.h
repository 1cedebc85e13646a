// All sessions of the daemon: hands links to them, and clients of PORT to the one that can take them.
//
// Owner: main. Invariant: a link that comes finds a session or is refused; while one of a peer that has come again may
// be dead, it is asked for a sign of life. Read next: session.h.
#ifndef SOCKMUX_CORE_SESSION_SESSIONS_H
#define SOCKMUX_CORE_SESSION_SESSIONS_H

#include <stdint.h>

#include "core/session/session.h"
#include "core/session/trial.h"

namespace smx {

// Who is told that a link that it has given away is closed.
class LinkWatcher {
 public:
  virtual void on_link_closed(const Link& link, Time now) = 0;

 protected:
  ~LinkWatcher() = default;
};

class Sessions final : public LinkTaker, private SessionOwner, private Task {
 public:
  static constexpr uint32_t kMost = 32768;  // of 16,384 peers (config/peers), one each, and some that come again
  static constexpr int kWatchers = 9;

  explicit Sessions(Reactor& reactor) : reactor_(reactor) {}
  static uint64_t arena_bytes(const MuxConfig& config, uint32_t most);
  // False: the arena is too small.
  [[nodiscard]] bool init(const MuxConfig& config, uint32_t most, Exit& exit, Arena& arena);

  // Those that were ever in use. The others are not made yet, so that room for many costs nothing.
  uint32_t count() const { return count_; }
  // i < most
  Session& at(uint32_t i);
  // Sessions whose last link was of this key (nullptr: clear), from `*at` on, which moves behind it; nullptr: no more.
  Session* next_of(const PeerKey* key, uint32_t* at);

  // A link has been accepted: an idle session takes it, or the oldest one that is still shaking hands makes room, or one
  // that is held, which ends only if the peer asks for another one. False: all are in use, and the link was closed.
  bool attach(Link& link, Time now) override;
  // The same for a link that has proven itself: the session that its peer asks for takes it, if there is one.
  bool take(Trial& trial, Time now);
  void add_watcher(LinkWatcher& watcher);
  // Who watches the packets of all sessions, under their numbers; nullptr: nobody.
  void set_tap(MuxTap* tap);
  // Channels a second that a peer may open at most that has called and proven its key, and kAll times as many all of them
  // together; 0: no limit.
  void set_opens(uint32_t a_second) { opens_a_second_ = a_second; }

  // A session that can open a channel now, by turns; nullptr: none (on_room() will be called when there is). It is the
  // same one until used() says that it got a client. `peer`: only one whose peer the peers file calls so. `makes_room`: if there is none,
  // one of them makes room.
  Session* pick(Time now, std::string_view peer = {}, bool makes_room = true);
  void used(const Session& session) { next_ = session.number() % count_; }
  void add_opener(Opener& opener);

  void retry_now(Time now);
  // TERM: no new channels; when all are over, or `patience` has passed, links end with BYE.
  void shut(ByeCode code, Time now);
  bool any_link() const;
  // Behind that: who has not got all by now is reset.
  void end_all(Time now);
  uint32_t channels() const;
  // Channels that the sessions which lead to `peer` may open at once; 0: none of them is up.
  uint32_t most_own(std::string_view peer) const;
  // Ports at which clients are accepted, of all kinds, share them.
  void count_port(bool more) { more ? ++ports_ : --ports_; }
  uint32_t ports() const { return ports_; }

 private:
  static constexpr int kOpeners = 5;
  static constexpr int kOften = 5;  // a minute
  static constexpr uint32_t kAll = 5;
  struct Turns {
    PeerKey key;
    Time since;
    int count = 0;
  };

  // What is looked for in a row of all sessions, side by side: each session is in pages of its own.
  struct Tag {
    uint32_t key = 0;    // of its link or the last one: kNobody, kClear, or bits of the key
    uint32_t label = 0;  // hash of its name
  };
  static constexpr uint32_t kNobody = 0;  // it has no link and holds no session
  static constexpr uint32_t kClear = 1;

  static uint32_t tag_of(const PeerKey* key);
  static uint32_t hash_of(std::string_view label);
  Tag& tag(const Session& session) { return tag_[session.number() - 1]; }
  void make_next();
  void on_session_link(Session& session) override;
  void on_session_up(Session& session, Time now) override;
  void on_session_lost(Session& session, const Link& link, Time now) override;
  void on_session_room(Session& session, Time now) override;
  AskAnswer on_session_ask(Session& session, const Settings& ask) override;
  void on_session_moved(Session& session, Time now) override;
  bool may_open(Session& session, Time now) override;
  void on_task(Time now) override;
  Session* place_for(const Address& peer, const PeerKey* key, Time now);
  void replace_older(const Session& session, Time now);
  void count_turn(const Session& session, const Address& other, Time now);
  void ask_older(const Address& peer, const Session* but, Time now);

  Reactor& reactor_;
  MuxConfig config_;
  Exit* exit_ = nullptr;
  Arena arena_;                  // of the sessions
  Session** session_ = nullptr;
  Tag* tag_ = nullptr;
  uint32_t opens_a_second_ = 0;
  Tokens opens_;                 // of all
  uint32_t most_ = 0;
  uint32_t count_ = 0;
  uint32_t next_ = 0;
  uint32_t ports_ = 0;
  Session* moves_to_ = nullptr;  // the session that the ask at hand names
  Opener* opener_[kOpeners] = {};
  int openers_ = 0;
  Turns turns_[8];
  Part<kHasDump, MuxTap> tap_;
  LinkWatcher* watcher_[kWatchers] = {};
  int watchers_ = 0;
};

}  // namespace smx

#endif
