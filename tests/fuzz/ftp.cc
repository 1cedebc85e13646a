// FTP's dialogue, with and without a server of its own. Input: a byte that says which, then stage.h. Read next: relay/ftp.h.
#include "relay/ftp.h"
#include "tests/fuzz/stage.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void ftp(smx::Bytes input) {
  Input in(input);
  const uint8_t kind = in.u8();
  Stage stage;
  if ((kind & 2) == 0) stage.desk.data = stage.door();
  smx::FtpDialogue dialogue((kind & 1) == 0 ? std::string_view("server") : std::string_view(), 21);
  stage.play(dialogue, in);
}

}  // namespace fuzz
