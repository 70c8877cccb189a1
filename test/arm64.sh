#!/usr/bin/env bash
# Segments the built-in case on an emulated ARM64 processor, with the packages of requirements.txt for it: the mask has to be the
# one that test/case/expected.mha holds.
#
#   test/arm64.sh [FOLDER]     FOLDER keeps what is downloaded (default: a temporary one)
#
# Takes 7 minutes and 1 GB. Needs qemu-aarch64 (Debian: qemu-user), apt-get and dpkg, as any user, the network, and .venv.
set -euo pipefail
cd "$(dirname "$0")/.."

work=$(realpath -m "${1:-$(mktemp -d)}")
[[ -n ${1:-} ]] || trap 'rm -rf "$work"' EXIT
root=$work/root site=$work/site python=$PWD/.venv/bin/python

# Debian's Python for ARM64 and all that it needs, resolved as for an empty system, only unpacked
if [[ ! -x $root/usr/bin/python3.11 ]]; then
  mkdir -p "$work"/apt/{lists,cache/archives}/partial "$root"
  : >"$work/apt/status"
  apt() {
    apt-get -qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o Dir::State::status="$work/apt/status" \
      -o Dir::State::lists="$work/apt/lists" -o Dir::Cache="$work/apt/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 "$@"
  }
  apt update
  apt install --yes --download-only --no-install-recommends python3.11-minimal libpython3.11-stdlib libstdc++6
  for package in "$work"/apt/cache/archives/*.deb; do dpkg --extract "$package" "$root"; done
fi

platforms=()
for glibc in {17..36}; do platforms+=(--platform "manylinux_2_${glibc}_aarch64"); done
[[ -d $site ]] || "$python" -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps --only-binary :all: \
  "${platforms[@]}" --platform manylinux2014_aarch64 --python-version 3.11 --target "$site" -r requirements.txt

out=$work/out
rm -rf "$out"
PYTHONPATH=$site PYTHONDONTWRITEBYTECODE=1 qemu-aarch64 -L "$root" "$root/usr/bin/python3.11" process.py \
  --input test/case/input --output "$out" 2>"$work/stderr" || { cat "$work/stderr" >&2; exit 1; }
# a library of OpenVINO's asks the kernel for the processor's name, which an emulated one has not
if grep -v MIDR_EL1 "$work/stderr"; then echo "more than the line on MIDR_EL1 on stderr" >&2; exit 1; fi
"$python" test/check_output.py "$out" --expected test/case/expected.mha --max-voxels 0 \
  --adc test/case/input/images/skull-stripped-adc-brain-mri/*.mha
