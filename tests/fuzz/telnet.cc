// The telnet proxy's dialogue. Input: stage.h. Read next: relay/telnet.h.
#include "relay/telnet.h"
#include "tests/fuzz/stage.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void telnet(smx::Bytes input) {
  Input in(input);
  Stage stage;
  smx::TelnetDialogue dialogue;
  stage.play(dialogue, in);
}

}  // namespace fuzz
