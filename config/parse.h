// From the words of the command line, and the files that they name, to a Config.
//
// Owner: main(). Invariant: it opens nothing but the files behind "+=", through FileSource, and reads no environment;
// what it lets through is complete and consistent. Memory: about four times the size of the words and files.
// Read next: parser.h (the parts), config.h (the result), report.h (what was wrong).
// Source: sockmuxd(8), sockmux.conf(5).
#ifndef SOCKMUX_CONFIG_PARSE_H
#define SOCKMUX_CONFIG_PARSE_H

#include <stddef.h>

#include <string_view>

#include "config/config.h"
#include "config/report.h"
#include "core/base/arena.h"

namespace smx {

constexpr size_t kMaxWords = 16384;           // words of the command line and lines of files together
constexpr size_t kMaxFileDepth = 8;           // files that name files
constexpr size_t kMaxFilesRead = 256;         // "+=" that are followed in all
constexpr size_t kMaxFileBytes = 256 * 1024;  // of one file
constexpr size_t kMaxListens = 1024;          // ports of PORT
constexpr size_t kMaxFarListens = 64;         // ports of RPORT
constexpr size_t kMaxAccepts = 64;            // ports of -P and -Q
constexpr size_t kMaxLinks = 8;               // links that are made, in order of preference
constexpr size_t kMaxServers = 1024;          // SERVER with ,-in; and as many DEST
constexpr size_t kMaxRules = 256;             // PERMIT; and as many REJECT
constexpr size_t kMaxHostLists = 256;         // HOSTLIST
constexpr size_t kMaxHostNames = 1024;        // names of HOSTS; names to be resolved for lists
constexpr size_t kMaxHostAddresses = 16;      // addresses of one name of HOSTS
constexpr size_t kMaxEnv = 64;                // -e
constexpr size_t kMaxSettings = 2048;         // NAME=VALUE that are shown by -t

// The text of a file, or why there is none. The text must live as long as the arena.
struct FileText {
  enum class Status : uint8_t { ok, missing, unreadable, is_directory, too_big, no_memory };
  Status status = Status::missing;
  std::string_view text;
};

// Where the files behind "+=" come from: config/file.h, or a table in a test.
class FileSource {
 public:
  // At most kMaxFileBytes. `path` is as written, or the caller's folder + "/" + as written; a NUL is behind its end.
  virtual FileText read(std::string_view path, Arena& arena) = 0;

 protected:
  ~FileSource() = default;
};

// `words`: the `count` words behind the program's name (argv + 1), which must outlive the Config. True: `config` can be
// used. False: `report` has errors, and report->status() is the exit status. With -h, --help, -V, --version true at
// once, whatever else is wrong; `config` then has nothing else in it. Memory of the arena that is not enough is an
// error of the user's (status 78).
bool parse_command_line(const char* const* words, size_t count, FileSource& files, Arena& arena, Config* config,
                        Report* report);

}  // namespace smx

#endif
