#!/usr/bin/env bash
# Builds the image.
#
#   ./build.sh            hie-lesions: runs one case and ends
#   ./build.sh --invoke   hie-lesions-invoke: serves cases over HTTP, labelled so for the platform
#   ./build.sh --cpu      hie-lesions-cpu: as hie-lesions, small, without CUDA and torch
#
# BASE_IMAGE in the environment replaces the Dockerfile's base image, IMAGE the image's name.
set -euo pipefail
cd "$(dirname "$0")"

target=run-once name=hie-lesions
case ${1:-} in
  '') ;;
  --invoke) target=invoke name=hie-lesions-invoke ;;
  --cpu) target=cpu name=hie-lesions-cpu ;;
  *) echo "usage: ./build.sh [--invoke | --cpu]" >&2; exit 2 ;;
esac

base=()
[[ -n ${BASE_IMAGE:-} ]] && base=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
docker build --platform linux/amd64 "${base[@]}" --target "$target" --tag "${IMAGE:-$name}" .
