#!/usr/bin/env bash
# Writes the images' complete lists of packages with hashes, each `.lock` from the `.txt` beside it: requirements.lock,
# requirements-cpu.lock and evaluation/requirements.lock. Run it after a change of one, then commit what it wrote.
#
#   ./update-requirements.sh
#
# The lists hold for Linux on x86-64 with Python 3.11 and 3.12. torch and what it brings come from the CUDA image's base and
# are left out of requirements.lock, so that pip installs it with --no-deps. Needs the network; uv is installed apart.
set -euo pipefail
cd "$(dirname "$0")"

UV=uv==0.13.9
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check "$UV"

lock() { # SOURCE [OPTION...]: to stdout
  "$work/venv/bin/uv" pip compile --quiet --no-header --no-annotate --generate-hashes --python-version 3.11 \
    --python-platform x86_64-manylinux_2_28 "$@"
}

write() { # TARGET < LIST
  { echo "# Made by ./update-requirements.sh; not edited by hand."; cat; } >"$work/list"
  mv "$work/list" "$1"
  chmod 644 "$1"
  echo "$1: $(grep -c '==' "$1") packages"
}

named() { # LIST...: the packages' names
  sed -nE 's/^([A-Za-z0-9._-]+)==.*/\1/p' "$@" | tr 'A-Z_.' 'a-z--' | sort -u
}

# whatever torch needs is in the base image, except what requirements.txt asks for itself
sed -nE 's/^(torch==[^ ;]+).*/\1/p' requirements-train.txt >"$work/torch.txt"
lock "$work/torch.txt" >"$work/torch.lock"
comm -23 <(named "$work/torch.lock") <(named requirements.txt requirements-cpu.txt) | sed 's/^/--no-emit-package=/' >"$work/options"
mapfile -t without <"$work/options"
lock "${without[@]}" requirements.txt "$work/torch.txt" | write requirements.lock
lock requirements-cpu.txt | write requirements-cpu.lock
lock evaluation/requirements.txt | write evaluation/requirements.lock
