#!/usr/bin/env bash
# Makes .venv with the packages of a requirements file, once; run again after the file changes.
#
#   ./setup.sh [requirements-train.txt]
#
# PYTHON in the environment names the interpreter (3.11 or 3.12; default: python3).
set -euo pipefail
cd "$(dirname "$0")"

requirements=${1:-requirements-train.txt}
python=${PYTHON:-python3}
if [[ ! -x .venv/bin/python ]]; then
  "$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 13))' || {
    echo "error: Python 3.11 or 3.12 is needed, $python is $("$python" --version); name another with PYTHON=..." >&2
    exit 2
  }
  "$python" -m venv .venv
fi
stamp=.venv/$requirements.sha256
sum=$(cat requirements*.txt evaluation/requirements.txt | sha256sum)
if [[ $(cat "$stamp" 2>/dev/null) != "$sum" ]]; then
  echo "installing $requirements into .venv (torch is large: this can take minutes)"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements"
  echo "$sum" >"$stamp"
fi
