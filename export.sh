#!/usr/bin/env bash
# Writes what is uploaded to grand-challenge.org into a folder (default: dist):
#
#   model.tar.gz       the weights alone, for the platform's /opt/ml/model
#   <image>.tar.gz     the container image
#
#   ./export.sh [--invoke | --cpu | --model-only] [--weights WEIGHTS] [FOLDER]
#
# --weights: pack these weights instead of model/weights, which the image keeps; the platform takes the packed ones.
set -euo pipefail
cd "$(dirname "$0")"

mode=() name=hie-lesions image=yes # for the platform's machines, whatever this one is
case ${1:-} in
  --invoke | --cpu) mode=("$1") name=hie-lesions-${1#--}; shift ;;
  --model-only) image=no; shift ;;
esac
weights=model/weights
if [[ ${1:-} == --weights ]]; then
  weights=${2:?--weights needs a folder}
  shift 2
fi
folder=${1:-dist}
name=${IMAGE:-$name}

require_own() { # FILE: none, or one that an earlier export wrote and nobody changed
  [[ -e $1 || -L $1 ]] || return 0
  [[ -f $1 && ! -L $1 ]] && grep -qsxF "$(sha256sum <"$1")" "$folder/.exported" && return
  echo "error: $1: not of an earlier export, or changed since; it stays, so move it or name another folder" >&2
  exit 2
}
finish() { # FILE: it was written beside its name, as .FILE.partial
  sha256sum <"$folder/.$1.partial" >>"$folder/.exported"
  mv "$folder/.$1.partial" "$folder/$1"
  ls -lh "$folder/$1"
}

shopt -s nullglob
files=("$weights"/*.safetensors "$weights"/*.json "$weights"/*.onnx)
if ((${#files[@]} == 0)) || [[ ! -f $weights/decision.safetensors ]]; then
  echo "error: $weights: expected weights with their decision.safetensors; fit it with training.fit or training.ship" >&2
  exit 2
fi
for part in zmap atlas; do # what --estimate-z needs
  [[ ! -d $weights/$part ]] || files+=("$weights/$part")
done

mkdir -p "$folder"
require_own "$folder/model.tar.gz"
[[ $image == no ]] || require_own "$folder/$name.tar.gz"
tar -cz -C "$weights" -- "${files[@]#"$weights"/}" >"$folder/.model.tar.gz.partial"
finish model.tar.gz
[[ $image == yes ]] || exit 0

./build.sh ${mode[@]+"${mode[@]}"} --platform linux/amd64
echo "writing $folder/$name.tar.gz (several minutes for an image with CUDA)"
docker save "$name" | gzip -c >"$folder/.$name.tar.gz.partial"
finish "$name.tar.gz"
