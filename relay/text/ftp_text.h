// FTP's control conversation as text: commands, replies, and the addresses in them. Pure.
//
// Lines are given without their end. Invariant: nothing is read beyond the view, whatever the bytes are.
// Read next: ftp.h. Sources: RFC 959 (commands, PORT, PASV, replies), RFC 2428 (EPRT, EPSV), RFC 2389 (FEAT), RFC 4217 (AUTH),
// RFC 854 (what telnet puts between).
#ifndef SOCKMUX_RELAY_FTP_TEXT_H
#define SOCKMUX_RELAY_FTP_TEXT_H

#include <stddef.h>
#include <stdint.h>

#include <string_view>

#include "core/base/address.h"
#include "core/base/bytes.h"

namespace smx {

// A line is at most this long, its end not counted.
constexpr size_t kFtpLine = 4096;

enum class FtpVerb : uint8_t {
  other,
  user,
  pasv,
  epsv,
  port,
  eprt,
  long_form,  // LPSV, LPRT (RFC 1639)
  auth,
  protect,    // what only makes sense behind AUTH
  feat,
  transfer,   // uses the data connection
  abor,
  stat,
  noop,
  quit,
  open,
  site,
};
// `argument` is what stands behind the first blank.
FtpVerb ftp_verb(std::string_view line, std::string_view* argument);

// The next line of `from`, without CR LF and without telnet's commands (FF F0..FE; FF FF stays), into `out`, which holds
// kFtpLine bytes. `used` bytes of `from` are done with; `size` is the length in `out`.
enum class FtpLine : uint8_t { none, whole, too_long };
FtpLine ftp_line(std::string_view from, char* out, size_t* size, size_t* used);

// "h1,h2,h3,h4,p1,p2". False if it is not exactly that.
bool parse_ftp_port(std::string_view argument, Address* out);
// "|1|192.0.2.1|5000|", "|2|2001:db8::1|5000|".
enum class FtpEprt : uint8_t { good, bad, unknown_protocol };
FtpEprt parse_ftp_eprt(std::string_view argument, Address* out);
// "227 ... (h1,h2,h3,h4,p1,p2)", brackets or not.
bool parse_ftp_227(std::string_view line, Address* out);
// "229 ... (|||port|)"
bool parse_ftp_229(std::string_view line, uint16_t* port);
void append_ftp_port(TextBase& to, const Address& a);

// "220 text", "220-text" (*more: lines follow up to "220 "), "220".
bool parse_ftp_reply(std::string_view line, int* code, bool* more);
// A line of FEAT that names a feature which would hide the data connections.
bool ftp_feature_hidden(std::string_view line);

// "host", "host:port", "[v6]", "[v6]:port"; port 21 if none is given.
bool parse_ftp_host(std::string_view text, std::string_view* host, uint16_t* port);
// "name@host[:port]": the last '@' counts.
bool parse_ftp_login(std::string_view argument, std::string_view* name, std::string_view* host, uint16_t* port);

// The port that a client names in a PORT or EPRT command with the address `own`, its own one: the last such line that begins in
// `said`; 0: none, or it names another host.
uint16_t find_announced_port(std::string_view said, const Address& own);
// The line behind the last end of one in `said`, if it may become such a command when the rest comes, and is no longer than
// kFtpHalfLine; else empty.
std::string_view half_announced_port(std::string_view said);
constexpr size_t kFtpHalfLine = 80;  // EPRT with the longest address, and some telnet

}  // namespace smx

#endif
