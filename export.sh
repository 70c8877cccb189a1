#!/usr/bin/env bash
# Writes what is uploaded to grand-challenge.org into a folder (default: dist):
#
#   <image>.tar.gz     the container image
#   model.tar.gz       the weights alone, for the platform's /opt/ml/model
#
#   ./export.sh [--invoke] [FOLDER]
set -euo pipefail
cd "$(dirname "$0")"

mode=() name=hie-lesions
if [[ ${1:-} == --invoke ]]; then mode=(--invoke) name=hie-lesions-invoke; shift; fi
folder=${1:-dist}
name=${IMAGE:-$name}

mkdir -p "$folder"
./build.sh "${mode[@]}"
echo "writing $folder/$name.tar.gz (several minutes for an image with CUDA)"
docker save "$name" | gzip -c >"$folder/.$name.partial"
mv "$folder/.$name.partial" "$folder/$name.tar.gz"
tar -czf "$folder/.model.partial" -C model/weights --exclude='.*' .
mv "$folder/.model.partial" "$folder/model.tar.gz"
ls -lh "$folder/$name.tar.gz" "$folder/model.tar.gz"
