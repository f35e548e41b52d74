#!/usr/bin/env bash
# The end-to-end suite, two files at a time: run.sh [SCENARIO...]
# A scenario is a folder of scenarios/, with its tests in test.js and, by subject, SUBJECT.test.js.
#
# VESTIBULE       the program (default: build-test/vestibule)
# JITSI_PLUGINS   folder of Jitsi's Prosody modules, to run on those instead of the stand-ins
# E2E_TRANSPORT  bosh: clients come by BOSH where a scenario does not say otherwise
# E2E_REPORT      file for a TAP report beside what is printed
# E2E_VERBOSE     set: print every line of every program
set -euo pipefail
cd "$(dirname "$0")"

files=()
for name in "${@:-*}"; do
  # shellcheck disable=SC2231 # without arguments the name is a pattern itself
  for file in scenarios/$name/*test.js; do
    [ -f "$file" ] || { echo "run.sh: no scenario $name in $PWD/scenarios" >&2; exit 2; }
    files+=("$file")
  done
done

E2E_CERTIFICATES=$(mktemp -d)
export E2E_CERTIFICATES
trap 'rm -rf "$E2E_CERTIFICATES"' EXIT
# Once, before two scenarios could want to make the same.
../../certs/make-dev-ca.sh "$E2E_CERTIFICATES" meet.example.com >/dev/null

reporters=(--test-reporter=spec --test-reporter-destination=stdout)
[ -z "${E2E_REPORT:-}" ] || reporters+=(--test-reporter=tap --test-reporter-destination="$E2E_REPORT")
node --test --test-concurrency=2 "${reporters[@]}" "${files[@]}"
