# Three images from one file: the default runs one case and ends, the target "invoke" serves cases over HTTP, and the target
# "cpu" is the default without CUDA and torch.
# The default base runs on CUDA 12.6 drivers, which the platform's T4 hosts have.
ARG BASE_IMAGE=pytorch/pytorch:2.13.0-cuda12.6-cudnn9-runtime@sha256:6acf597eeb8e376a96580dde4952f37cc017fef732bb40bfc73f28f25e3f64b4
ARG CPU_BASE_IMAGE=python:3.11-slim-bookworm

FROM ${CPU_BASE_IMAGE} AS cpu
# every file of every package by its hash (./update-requirements.sh)
COPY requirements.txt /opt/app/
# then, of OpenVINO, without what is never loaded: C++ headers; other devices' plugins and kernels, which only x86-64 has
RUN pip install --no-cache-dir --root-user-action=ignore --require-hashes --no-deps -r /opt/app/requirements.txt && \
    cd "$(python -c 'import importlib.util; print(*importlib.util.find_spec("openvino").submodule_search_locations)')" && \
    rm -rf include libs/cache.json libs/libopenvino_intel_gpu_plugin.so libs/libopenvino_intel_npu_plugin.so
COPY process.py /opt/app/
COPY model /opt/app/model
RUN python -m compileall -q /opt/app
ENV PYTHONUNBUFFERED=1 HOME=/tmp USER=hie MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592
WORKDIR /opt/app
USER 10001:10001
ENTRYPOINT ["python", "/opt/app/process.py"]

FROM ${BASE_IMAGE} AS base
# torch comes from the base image's own packages, which pip must not touch (PEP 668)
ENV PATH=/opt/venv/bin:$PATH
RUN python3 -m venv --system-site-packages /opt/venv
COPY requirements.txt /opt/app/
RUN pip install --no-cache-dir --require-hashes --no-deps -r /opt/app/requirements.txt
COPY process.py /opt/app/
COPY model /opt/app/model
# the root file system may be read-only at run time: without compiled files every start would compile anew
RUN python -m compileall -q /opt/app
# USER: libraries ask for a user name, which a numeric user has not
# MALLOC_*: freed memory is kept, which saves page faults (benchmarks/README.md)
ENV PYTHONUNBUFFERED=1 HOME=/tmp USER=hie MALLOC_MMAP_MAX_=0 MALLOC_TRIM_THRESHOLD_=8589934592
WORKDIR /opt/app
USER 10001:10001
ENTRYPOINT ["python", "/opt/app/process.py"]

FROM base AS invoke
LABEL org.grand-challenge.api-method="invoke"
EXPOSE 4743
CMD ["--serve"]

FROM base AS run-once
