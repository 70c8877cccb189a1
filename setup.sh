#!/usr/bin/env bash
# Makes .venv with what inference on a CPU needs, or with everything; run again after a change of the lists.
#
#   ./setup.sh         requirements.txt, for the demo
#   ./setup.sh GROUP   and a group of pyproject.toml on top: training, or dev, which is everything
#
# PYTHON in the environment names the interpreter (3.11 or 3.12; default: python3).
set -euo pipefail
cd "$(dirname "$0")"

group=${1:-}
python=${PYTHON:-python3}
case $group in "" | training | dev) ;; *) echo "error: $group is no group: expected training, dev or nothing" >&2 && exit 2 ;; esac
if [[ ! -x .venv/bin/python ]]; then
  command -v "$python" >/dev/null || {
    echo "error: $python: not found; name another Python with PYTHON=..." >&2
    exit 2
  }
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || {
    echo "error: Python 3.11 or 3.12 is needed, $python is $("$python" --version); name another with PYTHON=..." >&2
    exit 2
  }
  "$python" -c 'import platform, sys; sys.exit((sys.platform, platform.machine()) == ("darwin", "x86_64"))' || {
    echo "error: OpenVINO has no package for a Mac's Intel processor: use the CPU image there, ./build.sh --cpu" >&2
    exit 2
  }
  "$python" -m venv .venv
elif [[ -n ${PYTHON:-} && $("$PYTHON" --version 2>&1) != $(.venv/bin/python --version) ]]; then
  echo "PYTHON=$PYTHON is not used: .venv is there, with $(.venv/bin/python --version); delete it for another"
fi
.venv/bin/python -m pip --version >/dev/null 2>&1 || {
  echo "error: .venv has no pip: delete .venv, install Python's venv (Debian: apt-get install python3-venv), try again" >&2
  exit 2
}
stamp=.venv/installed-${group:-inference}.sha256
sum=$(cat pyproject.toml requirements.txt | .venv/bin/python -c 'import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())')
if [[ $(cat "$stamp" 2>/dev/null) != "$sum" ]]; then
  pip() { .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"; }
  echo "installing into .venv: about 140 MB to download, about a minute"
  pip -r requirements.txt
  if [[ -n $group ]]; then
    echo "installing the group $group: several GB, torch is large; this can take minutes"
    pip pip==26.3 # the one that came with Python may not know --group
    pip --group "$group"
  fi
  echo "$sum" >"$stamp"
fi
