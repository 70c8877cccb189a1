#!/usr/bin/env bash
# Writes the images' complete lists of packages with hashes from the lists in pyproject.toml. Run it after a change there, then
# commit what it wrote.
#
#   ./update-requirements.sh
#
# The lists hold for Linux on x86-64 and ARM64 and macOS on ARM64, with Python 3.11 and 3.12. Needs the network; uv is installed apart.
set -euo pipefail
cd "$(dirname "$0")"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"${PYTHON:-python3}" -m venv "$work"
"$work/bin/pip" install --quiet --disable-pip-version-check uv==0.13.9

lock() { # TARGET OPTION...
  "$work/bin/uv" pip compile --quiet --no-annotate --generate-hashes --custom-compile-command ./update-requirements.sh \
    --python-version 3.11 --python-platform x86_64-manylinux_2_28 --output-file "$@"
}

lock requirements.txt pyproject.toml
lock evaluation/requirements.txt --group evaluation
