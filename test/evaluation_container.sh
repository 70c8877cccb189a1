#!/usr/bin/env bash
# Builds the evaluation image, scores two small cases in it and compares metrics.json with this machine's own.
#
#   test/evaluation_container.sh
#
# Needs a Docker engine and .venv (./setup.sh dev). BASE_IMAGE in the environment replaces the base image.
set -euo pipefail
cd "$(dirname "$0")/.."

python=.venv/bin/python
export EVALUATION_IMAGE=hie-lesions-evaluation
FLAGS=(--network=none --cap-drop=ALL --security-opt=no-new-privileges --memory=4g --memory-swap=4g --pids-limit=256 --read-only)

work=$(mktemp -d)
chmod 755 "$work"
finish() {
  # metrics.json belongs to the container's user, so the container's root removes it
  docker image inspect "$EVALUATION_IMAGE" >/dev/null 2>&1 &&
    docker run --rm --user 0:0 -v "$work:/scratch" --entrypoint sh "$EVALUATION_IMAGE" -c 'rm -rf /scratch/*' || true
  rm -rf "$work"
}
trap finish EXIT

evaluate() { # OUTPUT: in the container; stdout and stderr to files beside it
  docker run --rm "${FLAGS[@]}" -v "$work/predictions:/input:ro" -v "$work/labels:/ground-truth:ro" -v "$1:/output" \
    "$EVALUATION_IMAGE" --cases 2 >"$work/stdout" 2>"$work/stderr"
}

wrong() { echo "WRONG: $*"; cat "$work/stderr"; exit 1; }

evaluation/build.sh
user=$(docker inspect -f '{{ .Config.User }}' "$EVALUATION_IMAGE")
[[ $user == 10001:10001 ]] || { echo "WRONG: the image's user is '$user'"; exit 1; }

mkdir "$work"/{predictions,labels,container,local}
chmod 777 "$work/container" # writable for the container's user
PYTHONPATH=.:test $python - "$work" <<'PYTHON'
import sys
from pathlib import Path

import numpy as np
from phantom import make_grid, write_image

from model.images.volume import Grid

work, size = Path(sys.argv[1]), (9, 12, 15)
grid = Grid(size, (4.0, 1.5, 1.0), (-31.25, 12.5, -70.75), make_grid().direction)
label = np.zeros(size, np.uint8)
label[2:4, 3:9, 4:12] = 1
for case, lesion, found in (
    ("MGHNICU_001-VISIT_01", label, np.roll(label, 3, axis=1)),
    ("MGHNICU_002-VISIT_01", label, 0 * label),
):
    write_image(lesion.astype(np.float32), grid, work / "labels" / f"{case}_lesion.mha")
    write_image(found, grid, work / "predictions" / f"{case}.mha")
PYTHON
chmod -R a+rX "$work"/{predictions,labels}

echo "== evaluation image, two cases"
evaluate "$work/container" || wrong "exit code $?"
cat "$work/stdout"
[[ ! -s $work/stderr ]] || wrong "stderr is not empty:"
$python -m evaluation.evaluate --predictions "$work/predictions" --labels "$work/labels" --output "$work/local/metrics.json"
$python - "$work"/{container,local}/metrics.json <<'PYTHON'
import json
import math
import sys
from pathlib import Path


def numbers(entry, place=()):
    """Every leaf of nested dicts with its place."""
    if isinstance(entry, dict):
        return {leaf: value for key in entry for leaf, value in numbers(entry[key], (*place, key)).items()}
    return {place: entry}


container, local = (numbers(json.loads(Path(path).read_text())) for path in sys.argv[1:])
assert container.keys() == local.keys(), container.keys() ^ local.keys()
for place, value in local.items():
    other = container[place]
    close = math.isclose(other, value, rel_tol=1e-9) if isinstance(value, float) and other is not None else other == value
    assert close, (place, other, value)
assert local["aggregates", "MASD", "nan"] == 1
assert local["case", "MASD", "MGHNICU_002-VISIT_01"] is None
assert 0 < local["case", "DiceCoefficient", "MGHNICU_001-VISIT_01"] < 1
print(f"{len(local)} entries of metrics.json agree")
PYTHON

echo "== evaluation image, a prediction is missing"
rm "$work/predictions/MGHNICU_002-VISIT_01.mha"
status=0
evaluate "$work/container" || status=$? # an older metrics.json lies there and must not outlive the failure
[[ $status == 2 ]] || wrong "exit code $status, expected 2"
[[ $(cat "$work/stderr") == "error: no prediction for /ground-truth/MGHNICU_002-VISIT_01_lesion.mha" ]] || wrong "stderr says:"
cat "$work/stderr"
[[ -z $(find "$work/container" -type f) ]] || wrong "a refused evaluation left files"
echo "evaluation container checks passed"
