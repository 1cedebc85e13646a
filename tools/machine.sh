#!/bin/sh
# What machines are called: machine.sh ARCH prints Debian's compiler prefix and qemu's name of it; machine.sh alone prints
# all that there are. ARCH is as Debian names it. Status 64: no such machine.
set -eu
while read -r arch prefix qemu; do
  if [ $# -eq 0 ]; then
    echo "$arch"
  elif [ "$arch" = "$1" ]; then
    echo "$prefix $qemu"
    exit
  fi
done <<END
mips mips-linux-gnu mips
mipsel mipsel-linux-gnu mipsel
mips64el mips64el-linux-gnuabi64 mips64el
armhf arm-linux-gnueabihf arm
armel arm-linux-gnueabi arm
arm64 aarch64-linux-gnu aarch64
riscv64 riscv64-linux-gnu riscv64
powerpc powerpc-linux-gnu ppc
i386 i686-linux-gnu i386
amd64 x86_64-linux-gnu x86_64
END
[ $# -eq 0 ] || { echo "machine.sh: no machine $1; there are $(sh "$0" | tr '\n' ' ')" >&2 && exit 64; }
