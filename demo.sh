#!/usr/bin/env bash
# Sets everything up and segments the built-in case, a phantom; prints where mask and report are and the lesion volume.
#
#   ./demo.sh [OUTPUT FOLDER]
set -euo pipefail
cd "$(dirname "$0")"

./setup.sh
.venv/bin/python process.py --input test/case/input --output "${1:-out}" --report
