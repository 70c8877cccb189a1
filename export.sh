#!/usr/bin/env bash
# Writes what is uploaded to grand-challenge.org into a folder (default: dist):
#
#   model.tar.gz       the weights alone, for the platform's /opt/ml/model
#   <image>.tar.gz     the container image
#
#   ./export.sh [--invoke | --cpu | --model-only] [FOLDER]
set -euo pipefail
cd "$(dirname "$0")"

mode=() name=hie-lesions image=yes
case ${1:-} in
  --invoke | --cpu) mode=("$1") name=hie-lesions-${1#--}; shift ;;
  --model-only) image=no; shift ;;
esac
folder=${1:-dist}
name=${IMAGE:-$name}

mkdir -p "$folder"
(cd model/weights && tar -cz -- *.safetensors *.json *.onnx $([[ ! -d zmap ]] || echo zmap)) >"$folder/.model.partial"
mv "$folder/.model.partial" "$folder/model.tar.gz"
ls -lh "$folder/model.tar.gz"
[[ $image == yes ]] || exit 0

./build.sh "${mode[@]}"
echo "writing $folder/$name.tar.gz (several minutes for an image with CUDA)"
docker save "$name" | gzip -c >"$folder/.$name.partial"
mv "$folder/.$name.partial" "$folder/$name.tar.gz"
ls -lh "$folder/$name.tar.gz"
