// Many inputs in one file, so that a corpus is one file a target and no thousand of small ones.
//
// Format: netstrings, "SIZE:BYTES,\n" for each, in the order of their bytes. Read next: fuzz.h.
#ifndef SOCKMUX_TESTS_FUZZ_PACK_H
#define SOCKMUX_TESTS_FUZZ_PACK_H

#include "tests/fuzz/fuzz.h"

namespace fuzz {

// False: it can't be read, or is none.
bool read_file(const std::string& path, Data* out);
bool read_pack(const std::string& path, std::vector<Data>* out);
// Names of plain files in a folder, in order.
std::vector<std::string> files_in(const std::string& folder);

// The words of a command line: "list"; "pack FOLDER FILE"; "unpack FILE FOLDER". The exit status; -1: none of these.
int pack_command(int count, char** words);

}  // namespace fuzz

#endif
