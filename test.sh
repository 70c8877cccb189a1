#!/usr/bin/env bash
# Sets everything up, runs the tests, then builds the images and runs them as the platform does.
#
#   ./test.sh
#
# Without a Docker engine the container checks are not run; the last line says so, and under CI=true that is a failure.
# BASE_IMAGE in the environment replaces the inference image's base. Where data/BONBID2023_Train holds the published
# training cases, one of them goes through the container too.
set -euo pipefail
cd "$(dirname "$0")"

TOLERANCE_VOXELS=10 # between this machine's mask and the committed one: libraries round differently
unset IMAGE # the checks below run the images by their own names
# the flags of the challenge's own test script, and a read-only root file system on top
OFFICIAL=(--memory=4g --memory-swap=4g --network=none --cap-drop=ALL --security-opt=no-new-privileges
  --shm-size=128m --pids-limit=256)
READ_ONLY=(--read-only --tmpfs /tmp)

./setup.sh dev
python=.venv/bin/python
OMP_NUM_THREADS=1 $python -m pytest -n 2 --dist worksteal # the same two workers whatever the machine has: 8 GB suffice

if ! docker info >/dev/null 2>&1; then
  echo "container checks NOT RUN: no Docker engine answers"
  [[ ${CI:-} != true ]]
  exit
fi

work=$(mktemp -d)
server=''
finish() {
  [[ -n $server ]] && docker rm -f "$server" >/dev/null
  # the masks belong to the container's user, so the container's root removes them
  docker image inspect hie-lesions >/dev/null 2>&1 && docker run --rm --user 0:0 -v "$work:/scratch" --entrypoint sh hie-lesions -c 'rm -rf /scratch/*' || true
  rm -rf "$work"
}
trap finish EXIT

new_output() { # FOLDER: empty and writable for the container's user
  mkdir "$1" && chmod 777 "$1"
}

run_once() { # INPUT OUTPUT [FLAG...], of $image with $words: nothing may be on stderr, the platform would call it a warning
  local input=$1 output=$2
  shift 2
  new_output "$output"
  docker run --rm "${OFFICIAL[@]}" "$@" -v "$input:/input:ro" -v "$output:/output" "${image:-hie-lesions}" ${words:-} 2>"$work/stderr" |
    tee "$work/stdout"
  [[ ! -s $work/stderr ]] || { echo "WRONG: stderr is not empty:"; cat "$work/stderr"; return 1; }
}

check() { # OUTPUT EXPECTED INPUT
  $python test/check_output.py "$1" --expected "$2" --adc "$3"/images/skull-stripped-adc-brain-mri/*.mha \
    --max-voxels "$TOLERANCE_VOXELS"
}

invoke() { # from inside, since the container has no network
  docker exec "$server" python -c "
import sys, urllib.request as http
request = http.Request('http://localhost:4743$1', data=$2)
status = http.urlopen(request).status
print('$1', status)
sys.exit(status != $3)"
}

case=$PWD/test/case/input expected=test/case/expected.mha

echo "== image, run once"
./build.sh
run_once "$case" "$work/official"
check "$work/official" "$expected" "$case"
echo "== image, run once, read-only root"
run_once "$case" "$work/read_only" "${READ_ONLY[@]}"
check "$work/read_only" "$expected" "$case"
cmp "$work"/{official,read_only}/images/hie-lesion-segmentation/overlay.mha

echo "== image, computed by torch as on a GPU"
words='--engine torch' run_once "$case" "$work/torch" "${READ_ONLY[@]}"
grep -q '"engine": "torch"' "$work/torch/results.json" || { echo "WRONG: it was not torch that computed"; exit 1; }
check "$work/torch" "$expected" "$case"

echo "== image, weights uploaded apart"
./export.sh --model-only "$work/export"
mkdir "$work/model"
tar -xzf "$work/export/model.tar.gz" -C "$work/model"
run_once "$case" "$work/uploaded" -v "$work/model:/opt/ml/model:ro"
grep -q '^weights: .* from /opt/ml/model$' "$work/stdout" || { echo "WRONG: the uploaded weights were not used"; exit 1; }
check "$work/uploaded" "$expected" "$case"

echo "== image, a case that cannot be used"
mkdir -p "$work/broken/images/z-score-adc"
new_output "$work/refused"
mkdir -p -m 777 "$work/refused/images" "$work/refused/images/hie-lesion-segmentation"
mask=images/hie-lesion-segmentation/overlay.mha
cp "$work/official/$mask" "$work/refused/$mask" # an older result moves aside: it must not pass for this case's
status=0
docker run --rm "${OFFICIAL[@]}" -v "$work/broken:/input:ro" -v "$work/refused:/output" hie-lesions 2>"$work/stderr" || status=$?
tail -n 1 "$work/stderr"
[[ $status == 2 ]] || { echo "WRONG: exit code $status, expected 2"; exit 1; }
[[ -z $(find "$work/refused" -path "$work/refused/previous" -prune -o -type f -print) ]] ||
  { echo "WRONG: a refused case left files"; exit 1; }
cmp -s "$work/official/$mask" "$work"/refused/previous/*/"$mask" || { echo "WRONG: the older result is lost"; exit 1; }

echo "== image, invoked twice"
./build.sh --invoke
label=$(docker inspect -f '{{ index .Config.Labels "org.grand-challenge.api-method" }}' hie-lesions-invoke)
[[ $label == invoke ]] || { echo "WRONG: the invoke image's label is '$label'"; exit 1; }
mkdir "$work/input"
new_output "$work/invoked"
server=$(docker run -d "${OFFICIAL[@]}" "${READ_ONLY[@]}" -v "$work/input:/input:ro" -v "$work/invoked:/output" hie-lesions-invoke)
for _ in $(seq 60); do invoke /health None 200 2>/dev/null && break; sleep 1; done
for turn in 1 2; do
  cp -r "$case/." "$work/input"
  invoke /invoke "b''" 201
  check "$work/invoked" "$expected" "$case"
  docker exec "$server" sh -c 'rm -r /output/*'
  rm -r "$work/input"/*
done
docker stop --time 20 "$server" >/dev/null

echo "== CPU image, read-only root"
./build.sh --cpu
image=hie-lesions-cpu run_once "$case" "$work/cpu" "${READ_ONLY[@]}"
check "$work/cpu" "$expected" "$case"
image=hie-lesions-cpu run_once "$case" "$work/cpu_uploaded" "${READ_ONLY[@]}" -v "$work/model:/opt/ml/model:ro"
check "$work/cpu_uploaded" "$expected" "$case"
docker image ls --format '{{.Repository}} {{.Size}}' | grep '^hie-lesions'

echo "== both images, a folder of cases: three formats, a DICOM study, one ADC map alone, one case that cannot be used"
$python test/folder_case.py make "$case" "$work/scans"
for image in hie-lesions hie-lesions-cpu; do
  lesions=$work/folder-$image
  new_output "$lesions"
  status=0
  docker run --rm "${OFFICIAL[@]}" "${READ_ONLY[@]}" -v "$work/scans:/input:ro" -v "$lesions:/output" "$image" \
    --cases --report --estimate-z 2>"$work/stderr" || status=$?
  tail -n 1 "$work/stderr"
  [[ $status == 2 ]] || { echo "WRONG: exit code $status, expected 2"; exit 1; }
  grep -q '^error: 1 of 6 cases failed: cut: ' "$work/stderr" || { echo "WRONG: the reason is not there"; exit 1; }
  $python test/folder_case.py check "$lesions" --expected "$expected" --max-voxels "$TOLERANCE_VOXELS"
done
unset image

echo "== evaluation image"
(unset BASE_IMAGE && test/evaluation_container.sh)

if [[ -d data/BONBID2023_Train ]]; then
  echo "== image, a real case: the same mask as outside the container"
  name=$($python -c 'from training.data.splits import SPLITS, read_folds; print(read_folds(SPLITS).held_out[0][-1])')
  real=$work/real images=$work/real/images
  mkdir -p "$images"/{skull-stripped-adc-brain-mri,z-score-adc}
  cp data/BONBID2023_Train/1ADC_ss/"$name"* "$images/skull-stripped-adc-brain-mri/"
  cp data/BONBID2023_Train/2Z_ADC/Zmap_"$name"* "$images/z-score-adc/"
  $python process.py --input "$real" --output "$work/local" --device cpu
  run_once "$real" "$work/real_output" "${READ_ONLY[@]}"
  check "$work/real_output" "$work/local/images/hie-lesion-segmentation/overlay.mha" "$real"
else
  echo "no real case was run: data/BONBID2023_Train is not there"
fi
echo "container checks passed"
