#!/bin/sh
# Removes the parts of the openvino package that the images never load: other devices' plugins, their kernels, C++ headers.
set -eu
folder=$(python -c 'import importlib.util; print(importlib.util.find_spec("openvino").submodule_search_locations[0])')
cd "$folder"
rm -r include libs/cache.json libs/libopenvino_intel_gpu_plugin.so libs/libopenvino_intel_npu_plugin.so
