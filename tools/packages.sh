#!/usr/bin/env bash
# Installs what is missing of the named groups in packages.txt. Does nothing, and asks nobody for
# rights, when all is there. Services that come along (nginx, prosody, haproxy) are neither started nor left
# to start at the next boot: the tests run their own, on their own ports.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

as_root() {
  if [ "$(id -u)" = 0 ]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo "$@"
  else
    echo "packages are missing (${missing[*]}); run this as root, or install sudo" >&2
    exit 1
  fi
}

# A node from elsewhere conflicts with Debian's, so a good one is left alone.
satisfied() {
  case $1 in
    nodejs) [ "$(node -p 'parseInt(process.versions.node)' 2>/dev/null || echo 0)" -ge 18 ] ;;
    npm) npm --version >/dev/null 2>&1 ;;
    *) false ;;
  esac
}

installed=" $(dpkg-query -W -f='${db:Status-Abbrev}${Package}\n' | sed -n 's/^.i *//p' | tr '\n' ' ')"
missing=()
for group in "$@"; do
  while read -r in package _; do
    if [ "$in" = "$group" ] && [[ $installed != *" $package "* ]] && ! satisfied "$package"; then
      missing+=("$package")
    fi
  done <"$here/packages.txt"
done
[ ${#missing[@]} -gt 0 ] || exit 0

policy=/usr/sbin/policy-rc.d
placed=
if [ ! -e $policy ]; then
  # What Debian asks for to keep packages from starting services: 101 is "forbidden by policy".
  printf '#!/bin/sh\nexit 101\n' | as_root tee $policy >/dev/null
  as_root chmod 755 $policy
  placed=yes
fi
trap '[ -z "$placed" ] || as_root rm -f $policy' EXIT

echo "installing: ${missing[*]}"
apt() {
  as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300 \
    -o Dpkg::Use-Pty=0 "$@"
}
apt update
apt install -y --no-install-recommends "${missing[@]}" </dev/null

for service in nginx prosody haproxy; do
  if [[ $installed != *" $service "* ]] && [ -d /run/systemd/system ] &&
    systemctl is-enabled --quiet $service 2>/dev/null; then
    as_root systemctl disable --quiet $service
  fi
done
