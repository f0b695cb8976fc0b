# docker build -t niah .                     for NVIDIA GPUs: niah on top of vLLM's own image
# docker build -t niah:cpu --target cpu .    for laptops and CI
#
# Versions are pinned by constraints.txt. --build-arg GPU_BASE=, CPU_BASE= take images of another registry, and the same to the bit
# each time where they name a digest: --build-arg CPU_BASE="$(bash deploy/digest.sh IMAGE:TAG)". PIP_INDEX_URL= is another package index, TORCH_INDEX= another one for PyTorch's CPU build; --secret id=pip,src=pip.conf keeps an index with
# credentials out of the image.
ARG VLLM_VERSION=0.32.0
ARG GPU_BASE=docker.io/vllm/vllm-openai:v${VLLM_VERSION}
ARG CPU_BASE=docker.io/library/python:3.11-slim-bookworm


FROM ${CPU_BASE} AS wheel
ENV PIP_CONFIG_FILE=/run/secrets/pip
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /source
COPY constraints.txt pyproject.toml README.md ./
COPY conf conf
COPY niah niah
RUN --mount=type=secret,id=pip \
    python3 -m venv /build \
    && PIP_CONSTRAINT=constraints.txt /build/bin/python -m pip wheel --no-cache-dir --no-deps --wheel-dir /dist .


FROM ${CPU_BASE} AS cpu
# vLLM's CPU kernels link against libnuma
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends libnuma1 && rm -rf /var/lib/apt/lists/*
ENV PATH=/opt/niah/bin:${PATH} PIP_CONFIG_FILE=/run/secrets/pip
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=cpu,embed,files,hub
COPY constraints.txt packages.txt pyproject.toml deploy/requirements.py /opt/niah/from/
# CUDA builds of torchvision and its kind stop a CPU build of PyTorch from importing; nothing here needs them
RUN --mount=type=secret,id=pip \
    python3 -m venv /opt/niah \
    && python /opt/niah/from/requirements.py /opt/niah/from "${EXTRAS}" \
    && python -m pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "${TORCH_INDEX}"} torch \
        --constraint /opt/niah/from/pins.txt --requirement /opt/niah/from/requirements.txt \
    && for name in torchvision torchaudio torchcodec; do \
        python -c "import ${name}" >/dev/null 2>&1 || python -m pip uninstall --quiet --yes "${name}"; \
    done
RUN --mount=type=secret,id=pip \
    python -m pip install --no-cache-dir --no-deps --requirement /opt/niah/from/packages.txt
COPY --from=wheel /dist /opt/niah/from
RUN python -m pip install --no-cache-dir --no-deps --no-index /opt/niah/from/niah-*.whl
# any user may run this image: a home and caches that all can write to, and a name where the uid has none
ENV HOME=/cache HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    USER=niah PYTHONUNBUFFERED=1 VLLM_NO_USAGE_STATS=1
RUN mkdir --parents /cache /outputs && chmod 1777 /cache /outputs
VOLUME ["/cache", "/outputs"]
WORKDIR /
USER 1000:1000
HEALTHCHECK --interval=60s --timeout=20s --start-period=10s CMD ["python", "-m", "niah", "--version"]
ENTRYPOINT ["python", "-m", "niah"]
# last, since each commit has another revision
ARG CPU_BASE
ARG NIAH_VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="niah" \
      org.opencontainers.image.description="Long-context retrieval stress tester, with vLLM for CPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${NIAH_VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${CPU_BASE}"


FROM ${GPU_BASE} AS gpu
USER 0
ENV PATH=/opt/niah/bin:${PATH} PIP_CONFIG_FILE=/run/secrets/pip
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG EXTRAS=gguf,embed,files,hub,ray
COPY constraints.txt packages.txt pyproject.toml deploy/requirements.py /opt/niah/from/
# vLLM and all it needs stay as the base image has them; only what is missing is added, in an environment of its own
RUN --mount=type=secret,id=pip \
    python3 -m venv --system-site-packages /opt/niah \
    && python /opt/niah/from/requirements.py /opt/niah/from "${EXTRAS}" \
    && python -m pip install --no-cache-dir \
        --constraint /opt/niah/from/pins.txt --requirement /opt/niah/from/requirements.txt
# KubeRay's releases before 1.4 start Ray from a login shell, which sets PATH anew
RUN echo "PATH=/opt/niah/bin:\$PATH" > /etc/profile.d/niah.sh
RUN --mount=type=secret,id=pip \
    python -m pip install --no-cache-dir --no-deps --requirement /opt/niah/from/packages.txt
COPY --from=wheel /dist /opt/niah/from
RUN python -m pip install --no-cache-dir --no-deps --no-index /opt/niah/from/niah-*.whl
# any user may run this image: a home and caches that all can write to, and a name where the uid has none
ENV HOME=/cache HF_HOME=/cache/huggingface XDG_CACHE_HOME=/cache TORCHINDUCTOR_CACHE_DIR=/cache/torchinductor \
    USER=niah PYTHONUNBUFFERED=1 VLLM_NO_USAGE_STATS=1
RUN mkdir --parents /cache /outputs && chmod 1777 /cache /outputs
VOLUME ["/cache", "/outputs"]
WORKDIR /
USER 1000:1000
HEALTHCHECK --interval=60s --timeout=20s --start-period=10s CMD ["python", "-m", "niah", "--version"]
ENTRYPOINT ["python", "-m", "niah"]
# last, since each commit has another revision
ARG GPU_BASE
ARG NIAH_VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="niah" \
      org.opencontainers.image.description="Long-context retrieval stress tester, on vLLM's image for NVIDIA GPUs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${NIAH_VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${GPU_BASE}"
