#!/usr/bin/env bash
# The checks behind ./dev lint. Runs them all, then says which failed.
set -uo pipefail
cd "$(dirname "$0")/.." || exit
failed=()

check() {
  local name=$1
  shift
  printf '== %s\n' "$name"
  "$@" || failed+=("$name")
}

# files PATTERN...: those of the tree, and those not yet added to it.
files() {
  git ls-files --cached --others --exclude-standard -- "$@" | while read -r file; do
    [ -f "$file" ] && printf '%s\n' "$file"
  done
}

# each COMMAND... -- FILES...: the command once a file, for tools that take only one.
each() {
  local command=() bad=0
  while [ "$1" != -- ]; do
    command+=("$1")
    shift
  done
  shift
  for file in "$@"; do "${command[@]}" "$file" || bad=1; done
  return $bad
}

# Headers keep their hand-set tables, so only sources are held to .clang-format.
layout() {
  clang-format-14 --dry-run --Werror "$@"
}

strict_build() {
  local compiler=$1 dir=build-lint-$1
  [ -f "$dir/build.ninja" ] ||
    CC=$compiler meson setup "$dir" -Dwerror=true -Dbuildtype=debugoptimized >"$dir.log" 2>&1 || {
    cat "$dir.log"
    return 1
  }
  ninja -C "$dir" --quiet
}

# One process a file: clang-tidy 14 mixes up va_lists when it is given several. What is compiled
# elsewhere (tests, fuzz targets) has no business in the list.
static_checks() {
  printf '%s\n' "$@" | grep -E '^(xmpp|policy|proxy|certs)/' |
    xargs -P "$(nproc)" -n 1 clang-tidy-14 -p build-lint-clang --quiet 2>/dev/null
}

scripts() {
  local list=() file
  for file in $(files); do
    case $file in
      *.sh) list+=("$file") ;;
      *.*) [[ $file != .ci/run ]] || list+=("$file") ;;
      *) head -c 64 "$file" | head -n 1 | grep -qaE '^#!.*\b(ba)?sh$' && list+=("$file") ;;
    esac
  done
  shellcheck -x "${list[@]}"
}

mapfile -t sources < <(files '*.c')
mapfile -t lua < <(files '*.lua')
mapfile -t js < <(files '*.js' '*.mjs')

check 'layout (clang-format)' layout "${sources[@]}"
check 'gcc without warnings' strict_build gcc
check 'clang without warnings' strict_build clang
check 'clang-tidy' static_checks "${sources[@]}"
check 'shellcheck' scripts
check 'luac' each luac5.4 -p -- "${lua[@]}"
check 'node --check' each node --check -- "${js[@]}"
check 'the tree (layers, names)' node --test --test-reporter=dot tests/checks/tree.test.js

if [ ${#failed[@]} -gt 0 ]; then
  printf 'lint: failed:'
  printf ' %s;' "${failed[@]}"
  printf '\n'
  exit 1
fi
echo 'lint: clean'
