#!/usr/bin/env bash
# Runs the commands of docs/pacs.md as they stand there, up to those for Docker, and looks into the server for what was stored.
#
#   test/orthanc.sh
#
# Needs curl, the .venv of setup.sh and Debian's orthanc, which it installs as root where it is missing.
set -euo pipefail
cd "$(dirname "$0")/.."

[[ -x .venv/bin/python ]] || { echo "error: test/orthanc.sh: .venv is missing, run ./setup.sh first" >&2; exit 2; }
if [[ ! -x /usr/sbin/Orthanc ]]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends orthanc >/dev/null
fi

work=$(mktemp -d)
finish() {
  local status=$?
  trap - EXIT
  [[ $status == 0 ]] || tail -n 20 "$work/trial/orthanc.log" 2>/dev/null || true
  kill $(jobs -p) 2>/dev/null || true
  wait
  rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 143' INT TERM

ln -s "$PWD"/{.venv,model,process.py,test} "$work"
sed -n 's/^    //p' docs/pacs.md | sed '/^docker run/,$d; /^sudo apt-get/d' >"$work/recipe.sh"
cd "$work"
source ./recipe.sh

study=$(curl -sf -u "$ORTHANC_USER:$ORTHANC_PASSWORD" "http://127.0.0.1:8043/series?expand" |
  .venv/bin/python -c 'import json, sys; print(*sorted(series["MainDicomTags"]["Modality"] for series in json.load(sys.stdin)))')
[[ $study == "MR MR MR MR MR OT SEG" ]] || { echo "WRONG: the study has the series $study"; exit 1; }
echo "docs/pacs.md was tried in $SECONDS s: the study has the series $study"
