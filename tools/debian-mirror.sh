#!/bin/sh
# Where this machine gets its packages of a Debian from: debian-mirror.sh SUITE prints the URI; status 69: it has none.
set -u
suite=$1
# shellcheck disable=SC2016  # apt's variables, not the shell's
mirror=$(apt-get indextargets --format '$(CODENAME) $(SUITE) $(REPO_URI)' 'Created-By: Packages' 'Component: main' |
  awk -v suite="$suite" '$1 == suite || $2 == suite { print $3; exit }')
if [ -z "$mirror" ]; then
  echo "no source of $suite in this machine's apt configuration" >&2
  exit 69
fi
echo "$mirror"
