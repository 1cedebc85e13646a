// The process as the system sees it: background, identity, PIDFILE, descriptors 0 to 2, memory set aside.
//
// Errors are errno values. Called by main only, before the loop. Read next: sockmuxd.cc.
#ifndef SOCKMUX_CORE_IO_PROCESS_H
#define SOCKMUX_CORE_IO_PROCESS_H

#include <stddef.h>
#include <stdint.h>

#include "core/base/features.h"
#include "core/base/text.h"
#include "core/io/fd.h"

namespace smx {

// Opens /dev/null where 0, 1 or 2 are closed, so that no socket becomes standard error; "/" where there is none.
void fill_standard_fds();
// Ours, and what our starter has left open; those 1,024 above all others may be missing.
uint32_t count_open_fds();
// What our starter has left open besides is for none of the programs that we start.
void hide_inherited_fds();

// The child goes on in a session of its own, at "/", with /dev/null at 0 and 1; the parent waits for what the child says to
// `starter` (tell_starter()), ends with that status, and with 71 if the child ends without a word.
// `null`: a descriptor of /dev/null, opened before any chroot.
int daemonize(int null, Fd* starter);
// And at 2, once nothing more has to be said to who starts us.
int leave_error(int null);
void tell_starter(int starter, int exit_code);

// /dev/null, to read and write.
Fd open_null(int* error);

// "user", "user/group", "#uid", "#uid/#gid". ESRCH: no such user or group.
struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
};
int find_identity(const char* text, Identity* out);
// For ever; also the supplementary groups. 0 or errno.
int become(const Identity& who);
bool is_root();
uint32_t own_user();
uint32_t own_process();

// What enter_chroot() would come to, as far as that can be seen before.
int check_chroot(const char* path);
int enter_chroot(const char* path);
// "022", octal. False: not that.
bool set_umask(const char* octal);

// Created or emptied, 0644, and locked as long as it is open; EWOULDBLOCK: another daemon has it. The pid is written by
// write_pid(): whole, or not at all and an errno. drop_pidfile() removes the file, or empties it where we may not.
Fd open_pidfile(const char* path, int* error);
int write_pid(int fd);
void drop_pidfile(int fd, const char* path);
// Is the file at `path` the one that is open?
bool same_open_file(int fd, const char* path);
// Appended to, 0640.
Fd open_logfile(const char* path, int* error);

// Secrets stand in there, in whole pages of reserve_memory(): from now on they are not swapped out, where that is allowed.
void lock_memory(void* memory, size_t size);
// And zeros in children that are forked while it is `on`, and in no core dump (MADV_WIPEONFORK, minherit(2)).
void hide_memory(void* memory, size_t size, bool on);
// No core dump of this process, and no other process of its user may look into it (PR_SET_DUMPABLE, prctl(2)).
void forbid_dumps();
// `path` from the root on, as it is meant now; false: too long, or the current directory is not known.
bool absolute_path(std::string_view path, TextBase* out);

// The machine's name up to its first dot, printable; "localhost" where it has none.
void append_host_name(TextBase& to);

}  // namespace smx

#endif
