#!/usr/bin/env bash
# Builds the image.
#
#   ./build.sh            hie-lesions: runs one case and ends
#   ./build.sh --invoke   hie-lesions-invoke: serves cases over HTTP, labelled so for the platform
#   ./build.sh --cpu      hie-lesions-cpu: as hie-lesions, small, without CUDA and torch
#
# --platform PLATFORM as the last option builds for another machine (default: linux/amd64, of --cpu this machine's own).
# BASE_IMAGE in the environment replaces the Dockerfile's base image, IMAGE the image's name.
set -euo pipefail
cd "$(dirname "$0")"

options=(--target run-once) name=hie-lesions platform=linux/amd64
case ${1:-} in
  --invoke) options=(--target invoke) name=hie-lesions-invoke; shift ;;
  --cpu) options=(--target cpu) name=hie-lesions-cpu platform=''; shift ;;
esac
[[ ${1:-} == --platform && -n ${2:-} ]] && platform=$2 && shift 2
[[ $# == 0 ]] || { echo "usage: ./build.sh [--invoke | --cpu] [--platform PLATFORM]" >&2; exit 2; }

[[ -n $platform ]] && options+=(--platform "$platform")
[[ -n ${BASE_IMAGE:-} ]] && options+=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
docker build "${options[@]}" --tag "${IMAGE:-$name}" .
