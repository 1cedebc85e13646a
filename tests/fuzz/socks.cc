// The SOCKS proxy's dialogue: versions 4, 4a, 5. Input: stage.h. Read next: relay/socks.h.
#include "relay/socks.h"
#include "tests/fuzz/stage.h"
#include "tests/fuzz/targets.h"

namespace fuzz {

void socks(smx::Bytes input) {
  Input in(input);
  Stage stage;
  smx::SocksDialogue dialogue;
  stage.play(dialogue, in);
}

}  // namespace fuzz
