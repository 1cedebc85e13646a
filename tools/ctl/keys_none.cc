// genkey, pubkey, genpsk where SECURE=no has left the library out that makes keys: each says so.
//
// Read next: keys.cc.
#include <initializer_list>

#include "tools/ctl/ctl.h"

namespace smx::ctl {

namespace {
int refuse(std::string_view command) {
  complain({command, ": this sockmuxctl was built without secure links (make SECURE=sodium builds one with them)"});
  return kConfig;
}
}  // namespace

int genkey(const char* file) {
  (void)file;
  return refuse("genkey");
}
int pubkey(const char* file) {
  (void)file;
  return refuse("pubkey");
}
int genpsk() { return refuse("genpsk"); }

}  // namespace smx::ctl
