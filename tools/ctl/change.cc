// kick, log: what changes a daemon that runs, and says what it has done.
//
// Read next: ask.h, daemon_channels.cc. Source: sockmuxctl(8).
#include <initializer_list>

#include "tools/ctl/ctl.h"
#include "tools/ctl/ask.h"
#include "tools/ctl/rows.h"

namespace smx::ctl {

namespace {

constexpr size_t kListed = 20;

// What there is instead of what was not found.
int list_peers(const char* path) {
  Answer answer;
  const int code = answer.ask("peers", path);
  if (code != 0) return code;
  Rows r(answer.lines());
  size_t count = 0;
  while (r.next()) {
    if (r.get("state") == "down") continue;
    if (++count == 1) complain({"there are:"});
    const bool named = r.get("name") != "-";
    if (count <= kListed) complain({"  ", named ? r.get("name") : r.get("address"), named ? " at " : "", named ? r.get("address") : "", ", session ", r.get("session"), ", ", r.get("state")});
  }
  if (count == 0) complain({"there is none"});
  if (count > kListed) complain({"  and ", Text<24>().add_u(count - kListed).text(), " more: sockmuxctl peers"});
  return kData;
}

int list_channels(const char* path) {
  Answer answer;
  const int code = answer.ask("channels", path);
  if (code != 0) return code;
  Rows r(answer.lines());
  size_t count = 0;
  for (; r.next(); ++count) {
    if (count == 0) complain({"there are:"});
    if (count < kListed) complain({"  ", r.get("id"), ": ", r.get("kind"), " ", r.get("client"), " of ", r.get("peer")});
  }
  if (count == 0) complain({"there is none"});
  if (count > kListed) complain({"  and ", Text<24>().add_u(count - kListed).text(), " more: sockmuxctl channels"});
  return kData;
}

int tell_peer(const Rows& r) {
  Text<400> line;
  const std::string_view was = r.get("was"), now = r.get("now"), name = r.get("name");
  const std::string_view who = name == "-" ? r.get("address") : name;
  Text<200> peer(who);
  if (name != "-") peer.add(" (").add(r.get("address")).add(')');
  if (was == "held") line.add("ended: the session of ").add(peer.text()).add(", which was held, with its ").add(r.get("channels")).add(" channels");
  else if (was == "connecting" && now == "connecting") line.add("nothing to end: no link of ").add(peer.text()).add(" is up; it is sought");
  else line.add("ended: the link of ").add(peer.text());
  if (was != "held" && now == "held") line.add("; its ").add(r.get("channels")).add(" channels wait for the next one");
  else if (was == "up") line.add(" and its ").add(r.get("channels")).add(" channels");
  return print(line.add('\n').text());
}

}  // namespace

int kick(const Words& words) {
  const std::string_view first = words.word[1];
  const bool channel = words.count == 3;
  if (channel && first != "channel") return misused({"kick: '", first, "': expected a peer alone, or 'channel' and its id"});
  for (const char c : std::string_view(words.word[words.count - 1]))
    if (c <= ' ' || c > '~') return misused({"kick: '", words.word[words.count - 1], "': no name has blanks in it"});
  Text<400> command("kick ");
  if (channel) command.add("channel ");
  command.add(words.word[words.count - 1]);
  constexpr size_t kMostCommand = 120;  // Control::kAsk
  if (command.size() > kMostCommand) return misused({"kick: the name is too long"});
  Answer answer;
  int code = answer.try_ask(command.text(), words.socket);
  if (code != 0) answer.complain(words.socket);
  if (code == kProtocol && answer.why().substr(0, 3) == "no ") return channel ? list_channels(words.socket) : list_peers(words.socket);
  if (code != 0) return code;
  Rows r(answer.lines());
  while (code == 0 && r.next()) {
    const std::string_view who = r.get("address");
    if (channel) code = print(Text<300>("ended: channel ").add(r.get("id")).add(who == "-" ? "" : " of ").add(who == "-" ? "" : who).add('\n').text());
    else code = tell_peer(r);
  }
  return code;
}

int log_level(const Words& words) {
  Text<120> command("log");
  if (words.count == 2) command.add(' ').add_printable(words.word[1]);
  const std::string_view level = words.count == 2 ? words.word[1] : "usual";
  if (level != "silent" && level != "terse" && level != "usual" && level != "debug")
    return misused({"log: '", level, "': expected silent, terse, usual or debug"});
  Answer answer;
  const int code = answer.ask(command.text(), words.socket);
  return code != 0 ? code : print(Text<80>(answer.lines()).add('\n').text());
}

}  // namespace smx::ctl
