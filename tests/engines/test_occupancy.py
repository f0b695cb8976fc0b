"""GPU memory that others hold, as nvidia-smi tells it: which GPUs count, and what is said."""

import pytest

from niah.engines.vllm import occupancy
from niah.errors import NiahError
from tests.helpers import nvidia_smi
from tests.helpers.nvidia_smi import GB10, H100, uuid

HALF = {**H100, "memory.free": "40000"}


def check(folder, monkeypatch, *gpus, num=1, utilization=0.92, visible=None, **program):
    monkeypatch.setenv("PATH", nvidia_smi.path(folder, *gpus, **program))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    occupancy.check(num, utilization, patience_seconds=0)


def test_idle_gpus_and_those_that_are_not_used_pass(tmp_path, monkeypatch):
    check(tmp_path, monkeypatch, H100, H100, num=2)
    check(tmp_path, monkeypatch, H100, HALF)  # the first alone serves
    check(tmp_path, monkeypatch, HALF, H100, visible="1")
    check(tmp_path, monkeypatch, HALF, utilization=0.45)
    check(tmp_path, monkeypatch, GB10)  # nvidia-smi tells nothing of its memory
    check(tmp_path, monkeypatch, says="No devices were found", code=6)


@pytest.mark.parametrize(("gpus", "num", "visible"), [((H100, HALF), 2, None), ((H100, HALF), 1, "1")])
def test_a_gpu_that_is_half_taken_is_named_with_who_holds_it(tmp_path, monkeypatch, gpus, num, visible):
    held = f"{uuid(1)}, 4242, 40000, python3", f"{uuid(0)}, 7, 9, other"
    with pytest.raises(NiahError) as caught:
        check(tmp_path, monkeypatch, *gpus, num=num, visible=visible, processes=held)
    text = str(caught.value)
    assert "GPU 1 (NVIDIA H100 80GB HBM3) has 39.1 of 79.1 GiB free" in text
    assert "held by process 4242 (python3, 39.1 GiB); end it" in text and "(other" not in text
    assert "engine.gpu_memory_utilization=0.48" in text


def test_the_share_it_proposes_is_enough_and_none_where_nothing_is_left(tmp_path, monkeypatch):
    check(tmp_path, monkeypatch, HALF, utilization=0.48)
    full = {**H100, "memory.free": "900"}
    with pytest.raises(NiahError) as caught:
        check(tmp_path, monkeypatch, full)
    assert "names no process" in str(caught.value) and "utilization=0.0" not in str(caught.value)
