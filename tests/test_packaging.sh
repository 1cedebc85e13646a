#!/bin/sh
# The recipes of packaging/, run as far as this machine can: test_packaging.sh, with SOCKMUXD=path of the daemon, and sockmuxctl
# beside it. Ends with "N passed, N failed".
#
# Each system's macros are stubs (tests/packaging), and so is the compiler: it makes empty objects, links what is built already, and
# notes what it was told. So each recipe builds by its own words and installs into an empty folder, whose files are compared with the
# list that the package has. Debian's is built and installed in earnest: tools/bare-debian-package.sh.
set -u
PATH=$PATH:/usr/sbin:/sbin
# shellcheck source=tests/check.sh disable=SC1091  # shellcheck follows only with -x
. tests/check.sh
# What a make above says is not for these.
unset MAKEFLAGS MFLAGS MAKELEVEL CC CXX CXXFLAGS LDFLAGS

version=$(sed -n 's/^VERSION = //p' Makefile)
tree=$temp/tree out=$temp/image
mkdir "$tree" "$temp/bin"
# As they are now, whether they are committed or not.
git ls-files >"$temp/files" 2>/dev/null
[ -s "$temp/files" ] || find . -name build -prune -o ! -type d -print >"$temp/files"
tar -cf - -T "$temp/files" 2>/dev/null | tar -xf - -C "$tree"

cat >"$temp/bin/target-cc" <<STUB
#!/bin/sh
echo "\$*" >>"$temp/told"
while [ \$# -gt 1 ]; do
  if [ "\$1" = -o ]; then
    case \$2 in
    */sockmuxd) cp "$SOCKMUXD" "\$2" ;;
    */sockmuxctl) cp "$(dirname "$SOCKMUXD")/sockmuxctl" "\$2" ;;
    *) : >"\$2" ;;
    esac
  fi
  shift
done
STUB
chmod 755 "$temp/bin/target-cc"
cp "$temp/bin/target-cc" "$temp/bin/target-c++"
PATH=$temp/bin:$PATH

# fresh: nothing is built or installed
fresh() {
  rm -rf "$out" "$temp/told" "$tree/build" "$tree"/.[bti]*
  mkdir "$out"
}

# told FLAG SODIUM: did the compilers get the system's flag, and is libsodium linked (yes or no)?
told() {
  if grep -v -e "$1" -e '/probe\.' "$temp/told" | grep -e ' -c ' -e sockmux; then
    echo "not told: $1"
    return 1
  fi
  case $(grep -c -e '-lsodium' "$temp/told") in
  0) [ "$2" = no ] ;;
  *) [ "$2" = yes ] ;;
  esac || { echo "libsodium: expected $2"; return 1; }
}

# found [FOLDER]: the files that were installed below it, sorted
found() { (cd "$out${1-}" && find . ! -type d | sed 's/^\.//' | sort); }

# list WORD...: what `make install` puts, sorted
list() { (cd "$tree" && make -s BUILD="$temp/none" CC=target-cc CXX=target-c++ "$@" install-list | sort); }

same_version() { [ "$1" = "$version" ] || { echo "version $1: expected $version, as in the Makefile"; return 1; }; }

# ---- OpenWrt
openwrt() {
  make -s -f packaging/openwrt/sockmux/Makefile TOPDIR="$temp/openwrt" INCLUDE_DIR="$temp/openwrt" TREE="$tree" OUT="$out" "$@"
}
mkdir "$temp/openwrt"
: >"$temp/openwrt/rules.mk"
cp tests/packaging/openwrt.mk "$temp/openwrt/package.mk"

openwrt_package() {
  fresh
  openwrt BUILD_VARIANT="$2" -j2 && told from_openwrt "$3" && openwrt BUILD_VARIANT="$2" "install-$1" || return
  list INIT=openwrt | grep -v /usr/share >"$temp/list"
  found | diff "$temp/list" - && cmp "$SOCKMUXD" "$out/usr/sbin/sockmuxd" && [ -x "$out/etc/init.d/sockmux" ] &&
    cmp init/openwrt/sockmux.config "$out/etc/config/sockmux"
}
check 'openwrt: the version' same_version "$(openwrt tell-version)"
check 'openwrt: sockmux, with libsodium' openwrt_package sockmux sodium yes
check 'openwrt: sockmux-clear, without' openwrt_package sockmux-clear clear no
check 'openwrt: what they need' [ "$(openwrt tell-sockmux):$(openwrt tell-sockmux-clear)" = 'sodium +libsodium:clear ' ]

# ---- Buildroot
buildroot() { make -s -f tests/packaging/buildroot.mk TREE="$tree" TARGET_DIR="$out" "$@"; }

buildroot_package() {
  fresh
  buildroot BR2_PACKAGE_SOCKMUX_SODIUM="$1" -j2 "$tree/.built" && told from_buildroot "$2" || return
  buildroot BR2_PACKAGE_SOCKMUX_SODIUM="$1" "$tree/.target_installed" "$tree/.init_$3" || return
  case $3 in
  sysv) list INIT=sysv | sed 's|init.d/sockmux|init.d/S60sockmux|' ;;
  *) list "INIT=$3" ;;
  esac | sort >"$temp/list"
  found | diff "$temp/list" -
}
buildroot_hash() { grep '^sha256' packaging/buildroot/sockmux.hash | sed 's/^sha256  //' | sha256sum -c; }
# Tab and two blanks, as utils/check-package wants it
buildroot_help() { ! awk '/^\thelp/ { help = 1; next } /^[^\t]/ { help = 0 } help && NF && !/^\t  /' packaging/buildroot/Config.in | grep .; }
buildroot_config() {
  {
    for symbol in INSTALL_LIBSTDCPP TOOLCHAIN_GCC_AT_LEAST_8 USE_MMU PACKAGE_LIBSODIUM; do printf 'config BR2_%s\n\tbool "x"\n' $symbol; done
    cat packaging/buildroot/Config.in
  } >"$temp/Config.in"
  KCONFIG_WARN_UNDEF=1 $python -c 'import kconfiglib, sys
k = kconfiglib.Kconfig(sys.argv[1], warn_to_stderr=False)
for name in ("INSTALL_LIBSTDCPP", "TOOLCHAIN_GCC_AT_LEAST_8", "USE_MMU", "PACKAGE_SOCKMUX"): k.syms["BR2_" + name].set_value(2)
print(k.warnings)
sys.exit(bool(k.warnings) or k.syms["BR2_PACKAGE_LIBSODIUM"].str_value != "y")' "$temp/Config.in"
}
check 'buildroot: the version' same_version "$(buildroot tell-version)"
check 'buildroot: with libsodium, systemd' buildroot_package y yes systemd
check 'buildroot: without, SysV' buildroot_package '' no sysv
check 'buildroot: it asks for libsodium' [ "$(buildroot BR2_PACKAGE_SOCKMUX_SODIUM=y tell-dependencies):$(buildroot tell-dependencies)" = libsodium: ]
check 'buildroot: the licence is the one that is known' buildroot_hash
check 'buildroot: the help of Config.in' buildroot_help
# A package of the system belongs to its own python, which need not be the first one.
for python in python3 /usr/bin/python3; do
  if $python -c "import kconfiglib" 2>/dev/null; then
    check 'buildroot: Config.in' buildroot_config
    break
  fi
done

# ---- Alpine
alpine_package() {
  fresh
  # abuild sets these, and runs each function in the folder of the sources.
  # shellcheck disable=SC1091,SC2034  # what is read uses them
  (
    srcdir=$PWD/packaging/alpine pkgdir=$out CC=target-cc CXX=target-c++ CXXFLAGS=-Dfrom_alpine
    export CC CXX CXXFLAGS
    . packaging/alpine/APKBUILD && cd "$tree" && build && package
  ) || return
  told from_alpine yes || return
  { list INIT=openrc && echo /etc/conf.d/sockmux; } | sort >"$temp/list"
  found | diff "$temp/list" -
}
# What abuild looks at before it begins
alpine_names() {
  # shellcheck disable=SC1091,SC2154  # set by what is read
  (
    . packaging/alpine/APKBUILD
    for word in pkgname pkgver pkgrel pkgdesc url arch license source; do
      eval "[ -n \"\$$word\" ]" || { echo "no $word"; exit 1; }
    done
    same_version "$pkgver" && [ "${#pkgdesc}" -lt 128 ] || exit
    for file in $install $source; do
      case $file in
      *://*) ;;
      *) [ -f "packaging/alpine/$file" ] || { echo "no $file"; exit 1; } ;;
      esac
    done
  )
}
alpine_syntax() {
  for file in packaging/alpine/APKBUILD packaging/alpine/sockmux.pre-install packaging/alpine/sockmux.confd; do
    sh -n "$file" || return
    ! command -v busybox >/dev/null || busybox ash -n "$file" || return
  done
}
check 'alpine: the syntax' alpine_syntax
check 'alpine: names, version and files' alpine_names
check 'alpine: APKBUILD builds and installs' alpine_package

# ---- FreeBSD and OpenBSD
for system in freebsd openbsd; do
  mkdir "$temp/$system"
  cp tests/packaging/$system.mk "$temp/$system/bsd.port.mk"
  : >"$temp/$system/sys.mk"
done
freebsd() {
  bmake -f packaging/freebsd/Makefile -m "$temp/freebsd" WRKSRC="$tree" STAGEDIR="$out" PREFIX=/usr/local MAKE_CMD='env -u MAKEFLAGS bmake -s -j2' "$@"
}
openbsd() {
  bmake -f packaging/openbsd/Makefile -m "$temp/openbsd" WRKSRC="$tree" WRKINST="$out" TRUEPREFIX=/usr/local LOCALBASE=/usr/local \
    RCDIR=/etc/rc.d MAKE_CMD='env -u MAKEFLAGS bmake -s -j2' "$@"
}

freebsd_port() {
  fresh
  freebsd do-build && freebsd do-install || return
  told from_freebsd yes && [ "$(ls "$out")" = usr ] || return
  # Pages are packed by the ports' own machinery.
  found /usr/local | sed -e 's/^.//' -e '/^share\/man/s/$/.gz/' | sort | diff packaging/freebsd/pkg-plist -
}
freebsd_clear() {
  fresh
  freebsd WITHOUT_SODIUM=1 do-build && told from_freebsd no
}
# portlint(1): at most 70 characters, no full stop, a capital
freebsd_comment() { freebsd tell-comment | grep -Ex '[A-Z].{0,68}[^.]'; }
openbsd_port() {
  fresh
  openbsd do-build && openbsd do-install || return
  told from_openbsd yes || return
  awk '/\/$/ { next } sub(/^@rcscript \${RCDIR}/, "/etc/rc.d") { print; next } { sub(/^@[a-z]* /, ""); print "/usr/local/" $0 }' \
    packaging/openbsd/pkg/PLIST | sort >"$temp/list"
  found | diff "$temp/list" - || return
  sed -n 's|/$||p' packaging/openbsd/pkg/PLIST >"$temp/folders"
  while read -r folder; do [ -d "$out/usr/local/$folder" ] || { echo "no folder $folder"; return 1; }; done <"$temp/folders"
}
# bsd.port.mk(5): at most 60 characters, no full stop, no capital
openbsd_comment() { openbsd tell-comment | grep -Ex '[a-z].{0,58}[^.]'; }
names_the_archive() { ! grep -v "(sockmux-$version.tar.gz) = \|^TIMESTAMP" "$1"; }

if command -v bmake >/dev/null; then
  check 'freebsd: the version' same_version "$(freebsd tell-version)"
  check 'freebsd: the port, and pkg-plist' freebsd_port
  check 'freebsd: the port without libsodium' freebsd_clear
  check 'freebsd: COMMENT' freebsd_comment
  check 'openbsd: the version' same_version "$(openbsd tell-version)"
  check 'openbsd: the port, and PLIST' openbsd_port
  check 'openbsd: COMMENT' openbsd_comment
else
  echo 'without bmake the ports of FreeBSD and OpenBSD are not tried'
fi
for file in packaging/freebsd/distinfo packaging/openbsd/distinfo; do check "$file: the archive" names_the_archive $file; done

# ---- all
scripts_are_clean() {
  shellcheck packaging/debian/sockmux.p* packaging/debian/tests/tunnel packaging/alpine/sockmux.pre-install &&
    shellcheck -s sh -e SC2034,SC2154 packaging/alpine/APKBUILD packaging/alpine/sockmux.confd packaging/debian/sockmux.default
}
check 'debian: the version' same_version "$(sed -n '1s/^sockmux (\(.*\)-[^-]*) .*/\1/p' packaging/debian/changelog)"
if command -v shellcheck >/dev/null; then check 'shellcheck is content' scripts_are_clean; fi
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
