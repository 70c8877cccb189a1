#!/usr/bin/env bash
# Runs the image on a grid larger than those of the 44 cases (256 x 256 x 64, brain of 500 ml) with 4, 2 and 1 GB of memory.
#
#   test/container_limits.sh [IMAGE] [MEMORY...]
#
# With 4g a whole mask is expected; with less a whole mask, or a failure that leaves nothing. One line for each, with seconds
# and the peak memory of the container. Needs a Docker engine, the image (./build.sh) and .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

image=${1:-hie-lesions}
shift || true
memories=("$@")
((${#memories[@]})) || memories=(4g 2g 1g)
python=${PYTHON:-.venv/bin/python}
work=$(mktemp -d)
chmod 755 "$work"
trap 'docker run --rm --user 0:0 -v "$work:/w" --entrypoint sh "$image" -c "rm -rf /w/*"; rm -rf "$work"' EXIT
$python -c 'import sys, pathlib, benchmarks.cases; benchmarks.cases.write_case(pathlib.Path(sys.argv[1]), (64, 256, 256))' "$work/case"
chmod -R a+rX "$work/case"

wrong() { echo "WRONG: $*"; cat "$work/stderr"; exit 1; }

for memory in "${memories[@]}"; do
  output=$work/output-$memory
  mkdir -m 777 "$output"
  started=$SECONDS status=0
  name=$(docker create --memory="$memory" --memory-swap="$memory" --network=none --cap-drop=ALL --pids-limit=256 \
    --security-opt=no-new-privileges --shm-size=128m --read-only --tmpfs /tmp \
    -v "$work/case:/input:ro" -v "$output:/output" "$image")
  docker start -a "$name" >"$work/stdout" 2>"$work/stderr" || status=$?
  killed=$(docker inspect -f '{{.State.OOMKilled}}' "$name")
  docker rm "$name" >/dev/null
  files=$(cd "$output" && find . -type f | sort | tr '\n' ' ')
  echo "$memory: exit code $status, $((SECONDS - started)) s, files: ${files:-none}, stopped by the memory limit: $killed"
  tail -n 1 "$work/stdout" "$work/stderr" | sed 's/^/    /'
  if [[ $status == 0 ]]; then
    [[ $files == "./images/hie-lesion-segmentation/overlay.mha ./results.json " ]] || wrong "expected the mask and the results"
    [[ ! -s $work/stderr ]] || wrong "stderr is not empty"
    cmp "$output/images/hie-lesion-segmentation/overlay.mha" "$work"/output-"${memories[0]}"/images/hie-lesion-segmentation/overlay.mha
  else
    [[ $memory != "${memories[0]}" ]] || wrong "expected a mask"
    [[ -z $files ]] || wrong "a run that failed left files"
  fi
done
