#!/bin/sh
# Makes copies of the daemon for the simulation: simos.sh COPIES OUT CALLS.o... -- OBJECT...
#
# All OBJECTs of ./sockmuxd become one, OUT_n.o for each copy, in which each system call NAME that CALLS.o define as sim_NAME
# is called by that name; main() is sim_main_n, everything else is seen within alone, and what is written to stands in the
# sections simn_data and simn_bss, so that a run can begin as a process does. Whatever else is called must be in the list
# below, which does nothing to the world: nothing that the daemon asks of the system goes past the simulation.
# GNU binutils; read next: tests/simos/process.h.
set -eu
copies=$1 out=$2
shift 2
calls=
while [ "$1" != -- ]; do
  calls="$calls $1"
  shift
done
shift
LD=${LD:-ld} NM=${NM:-nm} OBJCOPY=${OBJCOPY:-objcopy}

pure='__dso_handle __errno_location __stack_chk_fail environ stdout stderr malloc free gai_strerror cfgetospeed cfsetispeed cfsetospeed
  sigaddset sigemptyset sigfillset bcmp _GLOBAL_OFFSET_TABLE_ __gxx_personality_v0'

# shellcheck disable=SC2086  # a list of files
$NM $calls | sed -n 's/.* T sim_//p' | sort -u >"$out.calls"
n=0
while [ "$n" -lt "$copies" ]; do
  n=$((n + 1))
  cat >"$out.ld" <<EOF
SECTIONS {
  .data.rel.ro : { *(.data.rel.ro .data.rel.ro.*) }
  sim${n}_data : { *(.data .data.*) }
  sim${n}_bss : { *(.bss .bss.* COMMON) }
}
EOF
  $LD -r -d --force-group-allocation -T "$out.ld" -o "$out.all.o" "$@"
  $NM -u "$out.all.o" | sed 's/.* //' | sort -u >"$out.wanted"
  {
    # With 64-bit offsets glibc has other names for some.
    sed -n 's/^\([a-z]*\)64$/\1/p' "$out.wanted" | sort | comm -12 - "$out.calls" | sed 's/.*/&64 sim_&/'
    sort "$out.wanted" | comm -12 - "$out.calls" | sed 's/.*/& sim_&/'
    echo "main sim_main_$n"
    # What is one in all of a process (STB_GNU_UNIQUE), and cannot be made local
    $NM "$out.all.o" | sed -n "s/.* u \\(.*\\)/\\1 \\1_$n/p"
  } >"$out.map"
  $OBJCOPY --redefine-syms="$out.map" --keep-global-symbol="sim_main_$n" "$out.all.o" "${out}_$n.o"
  for name in $($NM -u "${out}_$n.o" | sed 's/.* //'); do
    case $name in
    strdup | strndup) ;;
    mem* | str*) continue ;;  # <string.h>, strtol(): of memory alone
    sim_* | sodium_* | crypto_* | __asan_* | __ubsan_* | __sanitizer_*) continue ;;
    esac
    # shellcheck disable=SC2086  # a list of words
    printf '%s\n' $pure | grep -qxF "$name" || { echo "simos.sh: $name is called, and not simulated" >&2 && exit 1; }
  done
done
rm -f "$out.all.o" "$out.ld" "$out.map" "$out.wanted" "$out.calls"
