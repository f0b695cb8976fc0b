"""hardware=auto under a program in nvidia-smi's place: what is planned for, and what a run is refused for."""

import json

import pytest

from tests.helpers import gpu_build, nvidia_smi
from tests.helpers.command import FAKE
from tests.helpers.nvidia_smi import GB10, H100, L40S, uuid

PLAN = ("plan", "ctx.lengths=[8k]", "format=json")
RUN = ("ctx.lengths=[512]", "ctx.depths=[50]")
GONE = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."
NONE = "No devices were found"
SPLIT = {**H100, "mig.mode.current": "Enabled", "devices": [("3g.40gb", "MIG-377e0049", 40448)]}


@pytest.fixture
def smi(tmp_path):
    """PATH with nvidia-smi for these GPUs."""
    return lambda *gpus, **program: nvidia_smi.path(tmp_path / "bin", *gpus, **program)


@pytest.mark.parametrize(
    ("visible", "num_gpus"), [({}, 8), ({"CUDA_VISIBLE_DEVICES": "0,2"}, 2), ({"CUDA_VISIBLE_DEVICES": uuid(3)}, 1)]
)
def test_the_plan_is_for_the_gpus_that_are_seen(niah, smi, visible, num_gpus):
    done = niah(*PLAN, PATH=smi(*[H100] * 8), **visible)
    assert done.returncode == 0, done.stderr
    hardware = json.loads(done.stdout)["hardware"]
    assert (hardware["num_gpus"], hardware["memory_gib"], hardware["compute_capability"]) == (num_gpus, 79.1, "9.0")
    assert hardware["bf16_tflops"] > 900  # those of conf/hardware/h100.yaml


@pytest.mark.slow
@pytest.mark.parametrize(("gpu", "memory"), [(SPLIT, 39.0), ({**H100, "devices": []}, 79.1)])
def test_a_mig_device_is_planned_for_with_its_own_memory(niah, smi, gpu, memory):
    done = niah(*PLAN, PATH=smi(gpu))
    assert json.loads(done.stdout)["hardware"]["memory_gib"] == memory, done.stderr


def test_a_gpu_without_memory_of_its_own_has_the_machines(niah, smi):
    from niah.environment import memory_bytes

    done = niah(*PLAN, PATH=smi(GB10))
    hardware = json.loads(done.stdout)["hardware"]
    assert hardware["memory_gib"] == round(memory_bytes() / 2**30, 1) and hardware["compute_capability"] == "12.1"


@pytest.mark.parametrize(
    ("gpus", "words"),
    [
        ((L40S, H100, H100), ("GPUs of different kinds here (NVIDIA H100", "CUDA_VISIBLE_DEVICES=1,2 (NVIDIA H100")),
        (({**H100, "memory.total": "[Unknown Error]"},), ("does not say the memory of NVIDIA H100",)),
        (({**H100, "compute_cap": "[N/A]"},), ("does not say the compute capability of NVIDIA H100",)),
    ],
)
def test_gpus_that_cannot_be_planned_for_are_one_line(niah, smi, gpus, words):
    done = niah(*PLAN, PATH=smi(*gpus))
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1
    assert all(word in done.stderr for word in words)


@pytest.mark.slow
def test_replicas_share_the_gpus_that_are_seen(niah, smi):
    path = smi(*[H100] * 8)
    done = niah(*PLAN, "engine.replicas=2", PATH=path, CUDA_VISIBLE_DEVICES="0,2,4,6")
    assert json.loads(done.stdout)["hardware"]["num_gpus"] == 2, done.stderr
    done = niah(*PLAN, "engine.replicas=8", PATH=path, CUDA_VISIBLE_DEVICES="0,2,4,6")
    assert done.returncode == 1 and "engine.replicas: 8 asked for, 4 GPUs here" in done.stderr


def test_unlike_gpus_of_which_equal_ones_are_shown(niah, smi):
    done = niah(*PLAN, PATH=smi(L40S, H100, H100), CUDA_VISIBLE_DEVICES="1,2")
    assert json.loads(done.stdout)["hardware"]["num_gpus"] == 2, done.stderr


@pytest.mark.slow
def test_the_plan_says_why_fewer_are_seen(niah, smi):
    done = niah("plan", "ctx.lengths=[8k]", PATH=smi(H100, H100), CUDA_VISIBLE_DEVICES="1,7")
    assert done.stdout.startswith("GPUs: CUDA_VISIBLE_DEVICES=1,7: 7 is none of the 2 GPUs"), done.stderr
    broken = niah("plan", "ctx.lengths=[8k]", PATH=smi(says=GONE, code=9))
    assert f"no NVIDIA GPU (nvidia-smi: {GONE})" in broken.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "variables", "words"),
    [
        ({"says": GONE, "code": 9}, {}, (GONE,)),
        pytest.param(
            {"says": NONE, "code": 6}, {"NVIDIA_VISIBLE_DEVICES": "none"}, (NONE, "NVIDIA_VISIBLE_DEVICES=none"),
            marks=pytest.mark.slow,
        ),
        pytest.param(
            {}, {"CUDA_VISIBLE_DEVICES": ""}, ("CUDA_VISIBLE_DEVICES=: hides 1 GPU",), marks=pytest.mark.slow,
        ),
    ],
)
def test_with_the_vllm_for_gpus_a_run_without_one_is_refused(tmp_path, smi, program, variables, words):
    done = gpu_build.run(tmp_path, *RUN, PATH=smi(H100, **program), **variables)
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and line.startswith("niah: engine=vllm: the vLLM that is installed is for NVIDIA GPUs")
    assert all(word in line for word in words)
    assert gpu_build.run(tmp_path, *FAKE, PATH=smi(H100, **program), **variables).returncode == 0  # needs no GPU


def test_with_the_vllm_for_cpus_a_run_on_a_gpu_is_refused(niah, smi):
    done = niah(*RUN, PATH=smi(H100))
    (line,) = done.stderr.strip().splitlines()
    assert done.returncode == 1 and "the one for CPUs; make clean and make run" in line


@pytest.mark.engine
@pytest.mark.slow  # memory that is held is waited for, 20 seconds
def test_memory_that_others_hold_is_told_before_anything_loads(tmp_path, smi):
    held = f"{uuid(1)}, 4242, 50176, python3"
    gpus = H100, {**H100, "memory.free": "30819"}
    done = gpu_build.run(tmp_path, *RUN, PATH=smi(*gpus, processes=(held,)), CUDA_VISIBLE_DEVICES="GPU-1f57")
    line = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and line.startswith(
        "niah: engine=vllm: GPU 1 (NVIDIA H100 80GB HBM3) has 30.1 of 79.1 GiB free; "
        "engine.gpu_memory_utilization=0.92 takes 72.8; held by process 4242 (python3, 49.0 GiB); end it, choose "
        "other GPUs with CUDA_VISIBLE_DEVICES, or set engine.gpu_memory_utilization=0.37"
    ), done.stderr
