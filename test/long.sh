#!/usr/bin/env bash
# Tries to break the tool for hours: damaged inputs, kills, hundreds of cases, containers. docs/appendix/reliability.md has the figures.
#
#   test/long.sh            everything that this machine can run
#   test/long.sh --quick    two minutes of it, as .ci/run does
#   test/long.sh PART...    only: inputs fuzz runs real orders soak arm64 containers
#
# INPUTS in the environment is the number of damaged inputs of each format (default: 100000). Every part goes on when another
# has failed; the summary and the exit code say which did. Needs .venv (./setup.sh dev); `containers` needs a
# Docker engine and the image (./build.sh), `real` the cases in data/BONBID2023_Train, `arm64` QEMU.
set -uo pipefail
cd "$(dirname "$0")/.."

export OMP_NUM_THREADS=1
python=${PYTHON:-.venv/bin/python}
image=${IMAGE:-hie-lesions}
summary=() failed=0

part() { # NAME COMMAND...
  local name=$1 started=$SECONDS result
  shift
  echo "== $name: $*"
  if "$@"; then result=passed; else result=FAILED failed=1; fi
  summary+=("$result  $name ($((SECONDS - started)) s)")
}

skip() { # NAME WHY
  summary+=("NOT RUN $1: $2")
}

inputs() { part inputs env EXAMPLES=2000 "$python" -m pytest test/images/test_property_inputs.py -q --hypothesis-show-statistics; }
fuzz() { part fuzz env INPUTS="${INPUTS:-100000}" "$python" -m pytest -qs test/fuzz; }
runs() { part runs "$python" test/kill/kill_runs.py --bytes 200; }
orders() { part orders "$python" test/orientations.py; }
soak() { part soak "$python" test/soak.py --invocations 200; }

real() {
  [[ -d data/BONBID2023_Train ]] || { skip real "data/BONBID2023_Train is not there"; return; }
  part real env REAL_CASES=all "$python" -m pytest test/run/test_real_cases.py -q
}

arm64() {
  command -v qemu-aarch64 >/dev/null && command -v apt-get >/dev/null || { skip arm64 "no qemu-aarch64 (Debian: qemu-user) or apt-get"; return; }
  part arm64 test/arm64.sh
}

containers() {
  docker image inspect "$image" >/dev/null 2>&1 || { skip containers "no engine, or no image $image"; return; }
  part "containers: memory" test/container_limits.sh "$image"
}

quick() {
  part fuzz env INPUTS=1000 "$python" -m pytest -qs test/fuzz
  part runs "$python" test/kill/kill_runs.py --bytes 10
  part orders "$python" test/orientations.py --orders RAI LPS SAR
  part soak "$python" test/soak.py --invocations 20
}

case ${1:-} in
  --quick) quick ;;
  '') for name in inputs fuzz runs real orders soak arm64 containers; do "$name"; done ;;
  *)
    for name in "$@"; do
      [[ " inputs fuzz runs real orders soak arm64 containers " == *" $name "* ]] || { echo "no part $name" >&2; exit 2; }
      "$name"
    done
    ;;
esac
echo "== summary"
printf '%s\n' "${summary[@]}"
exit "$failed"
