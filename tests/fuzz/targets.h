// The function of each target; what it is about stands in its file.
#ifndef SOCKMUX_TESTS_FUZZ_TARGETS_H
#define SOCKMUX_TESTS_FUZZ_TARGETS_H

#include "tests/fuzz/fuzz.h"

namespace fuzz {

void packet03(smx::Bytes input);
void packet1(smx::Bytes input);
void mux_peer(smx::Bytes input);
void mux_pair(smx::Bytes input);
void mux_line(smx::Bytes input);
void line(smx::Bytes input);
void telnet(smx::Bytes input);
void socks(smx::Bytes input);
void socks_udp(smx::Bytes input);
void ftp(smx::Bytes input);
void ftp_text(smx::Bytes input);
void http_head(smx::Bytes input);
void http(smx::Bytes input);
void options(smx::Bytes input);
void config(smx::Bytes input);
void hosts(smx::Bytes input);
void peers(smx::Bytes input);
void control(smx::Bytes input);
void ctl(smx::Bytes input);
void dump(smx::Bytes input);
// With SECURE=sodium.
void secure_message(smx::Bytes input);
void secure_handshake(smx::Bytes input);
void secure_records(smx::Bytes input);
void secure_line(smx::Bytes input);


// targets_secure.cc, or targets_clear.cc.
void add_secure_targets(std::vector<Target>* to);

}  // namespace fuzz

#endif
