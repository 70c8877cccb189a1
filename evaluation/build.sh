#!/usr/bin/env bash
# Builds the evaluation image, hie-lesions-evaluation.
#
#   evaluation/build.sh
#
# BASE_IMAGE in the environment replaces the Dockerfile's base image, EVALUATION_IMAGE the image's name.
set -euo pipefail
cd "$(dirname "$0")/.."

base=()
[[ -n ${BASE_IMAGE:-} ]] && base=(--build-arg "BASE_IMAGE=$BASE_IMAGE")
# a context of its own: .dockerignore is the inference image's; readable for the container's user whatever the umask is
tar -c --exclude=__pycache__ --exclude=weights --owner=0 --group=0 --mode=a+rX evaluation model training |
  docker build --platform linux/amd64 "${base[@]}" --tag "${EVALUATION_IMAGE:-hie-lesions-evaluation}" \
    --file evaluation/Dockerfile -
