#!/bin/sh
# Makes the package for Debian: deb.sh FOLDER, where sockmux_*.deb and what belongs to it will be. VERSION: that of the Makefile.
#
# Debian wants its files in debian/ of the sources, so it is built in a copy where packaging/debian is there. The same sources
# give the same bytes: times in it are those of debian/changelog. Tests are not run but with TESTS=1, which also needs doctest.
set -eu
out=$1
cd "$(dirname "$0")/.."
case $out in
'' | /)
  echo 'usage: deb.sh FOLDER, which is made anew' >&2
  exit 64
  ;;
/*) ;;
*) out=$PWD/$out ;;
esac

said=$(sed -n '1s/^sockmux (\(.*\)-[^-]*) .*/\1/p' packaging/debian/changelog)
if [ "$said" != "$VERSION" ]; then
  echo "deb.sh: packaging/debian/changelog: version $said: expected $VERSION, as in the Makefile" >&2
  exit 65
fi

rm -rf "$out"
mkdir -p "$out/sockmux-$VERSION"
# The sources as they are now; what is not committed is in it.
git ls-files -co --exclude-standard >"$out/files" 2>/dev/null || :
[ -s "$out/files" ] || find . -name build -prune -o ! -type d -print >"$out/files"
# A file that was removed and is still in the index is not there.
while IFS= read -r file; do [ ! -e "$file" ] || echo "$file"; done <"$out/files" >"$out/there"
tar -cf - -T "$out/there" | tar -xf - -C "$out/sockmux-$VERSION"
cp -R packaging/debian "$out/sockmux-$VERSION/debian"
rm -f "$out/files" "$out/there"

cd "$out/sockmux-$VERSION"
# What a make above says is not for this one.
unset MAKEFLAGS MFLAGS MAKELEVEL MAKEOVERRIDES SOURCE_DATE_EPOCH
[ "${TESTS-}" = 1 ] || DEB_BUILD_OPTIONS="nocheck ${DEB_BUILD_OPTIONS-}" DEB_BUILD_PROFILES=nocheck
DEB_BUILD_OPTIONS="parallel=$(nproc) ${DEB_BUILD_OPTIONS-}"
export DEB_BUILD_OPTIONS DEB_BUILD_PROFILES="${DEB_BUILD_PROFILES-}"
if ! dpkg-buildpackage -us -uc -b >"$out/log" 2>&1; then
  tail -n 30 "$out/log" >&2
  exit 70
fi
cd "$out"
rm -rf "sockmux-$VERSION"
ls "$out"/*.deb
