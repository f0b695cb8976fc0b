"""Which GPUs a process sees: nvidia-smi's own words and CUDA's rules, with a program in nvidia-smi's place."""

import subprocess
import sys

import pytest

from niah.environment import cards
from tests.helpers import nvidia_smi
from tests.helpers.command import environment_with
from tests.helpers.nvidia_smi import A100, GB10, H100, L40S, uuid

MIG = {"mig.mode.current": "Enabled"}
SMALL, LARGE = ("1g.10gb", "MIG-f39aa248-6f1b-5769", 9856), ("3g.40gb", "MIG-377e0049-554c-540b", 40448)
_GONE = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. Make sure that the latest NVIDIA "
    "driver is installed and running."
)


@pytest.fixture
def seen(tmp_path, monkeypatch):
    """What a process sees that has these GPUs and these variables."""

    def call(*gpus, visible=None, order=None, **program):
        monkeypatch.setenv("PATH", nvidia_smi.path(tmp_path / "bin", *gpus, **program))
        given = {"CUDA_VISIBLE_DEVICES": visible, "CUDA_DEVICE_ORDER": order}
        return cards.seen({name: value for name, value in given.items() if value is not None})

    return call


@pytest.mark.parametrize(
    ("visible", "indices", "trouble"),
    [
        (None, [0, 1, 2], ""),
        ("0,2", [0, 2], ""),
        ("2,0", [2, 0], ""),
        (" 1 , 2", [1, 2], ""),
        ("1gpu,2b", [1, 2], ""),  # CUDA reads the digits that an entry begins with
        ("+1", [1], ""),
        ("", [], "CUDA_VISIBLE_DEVICES=: hides all 3 GPUs"),
        ("-1", [], "CUDA_VISIBLE_DEVICES=-1: hides all 3 GPUs"),
        ("-1,0", [], "CUDA_VISIBLE_DEVICES=-1,0: hides all 3 GPUs"),
        ("NoDevFiles", [], "CUDA_VISIBLE_DEVICES=NoDevFiles: hides all 3 GPUs"),
        ("0,0", [], "CUDA_VISIBLE_DEVICES=0,0: names 0 twice, so that CUDA sees no GPU"),
        ("0,9,1", [0], "CUDA_VISIBLE_DEVICES=0,9,1: 9 is none of the 3 GPUs that nvidia-smi lists; CUDA sees only the"),
        ("1,-1,2", [1], "CUDA_VISIBLE_DEVICES=1,-1,2: -1 is none of the 3 GPUs that nvidia-smi lists"),
        ("0,,1", [0], "CUDA_VISIBLE_DEVICES=0,,1: an empty entry is none of"),
        ("0,", [0], "an empty entry is none of"),
        ("all", [], "CUDA_VISIBLE_DEVICES=all: all is none of the 3 GPUs that nvidia-smi lists; CUDA sees none"),
        (uuid(1), [1], ""),
        (f"{uuid(2)},{uuid(0)}", [2, 0], ""),
        ("GPU-1f57,GPU-0", [1, 0], ""),
        ("GPU-", [], "GPU- is none of the 3 GPUs"),  # the beginning of every UUID
        (f"GPU-1f57,{uuid(1)}", [], "twice"),
        ("GPU-1f57,0", [1], "0 is none of the 3 GPUs"),  # numbers behind UUIDs are not read
        ("0,GPU-1f57", [0], "GPU-1f57 is none of the 3 GPUs"),
    ],
)
def test_cuda_visible_devices_as_cuda_reads_it(seen, visible, indices, trouble):
    found = seen(H100, H100, H100, visible=visible)
    assert [card.index for card in found.cards] == indices
    assert found.trouble.startswith(trouble) if trouble.startswith("CUDA") else trouble in found.trouble
    assert bool(found.trouble) == bool(trouble)


def test_torch_reads_cuda_visible_devices_the_same_way(seen, monkeypatch):
    from torch.cuda import _parse_visible_devices  # no public function says it without a GPU

    for visible in ("0,2", "2,0", " 1 , 2", "1gpu,2b", "", "-1", "-1,0", "0,0", "1,-1,2", "0,,1", "all", "0,GPU-1f57"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        assert [card.index for card in seen(H100, H100, H100, visible=visible).cards] == _parse_visible_devices()


def test_numbers_of_unlike_gpus_hold_in_nvidia_smis_order_alone(seen):
    assert [card.name for card in seen(L40S, H100, visible="1").cards] == [H100["name"]]
    assert [card.name for card in seen(L40S, H100, visible="1", order="PCI_BUS_ID").cards] == [H100["name"]]
    found = seen(L40S, H100, visible="1", order="FASTEST_FIRST")
    assert not found.cards and found.trouble.startswith("CUDA_DEVICE_ORDER=FASTEST_FIRST")
    assert len(seen(L40S, H100, visible=uuid(1), order="FASTEST_FIRST").cards) == 1
    assert len(seen(H100, H100, visible="1", order="FASTEST_FIRST").cards) == 1


@pytest.mark.parametrize("visible", [None, "0", "1,0", uuid(0), SMALL[1], SMALL[1][:9], f"{SMALL[1]},{LARGE[1]}"])
def test_of_mig_devices_one_is_seen_and_no_whole_gpu_beside_it(seen, visible):
    (card,) = seen({**H100, **MIG, "devices": [SMALL, LARGE]}, H100, visible=visible).cards
    assert (card.name, card.uuid) == ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", SMALL[1])
    assert (card.memory_mib, card.free_mib, card.compute_capability) == (9856, 9831, "9.0")


def test_other_mig_devices_and_gpus_that_are_not_split(seen):
    split = {**H100, **MIG, "devices": [SMALL, LARGE]}
    assert [card.memory_mib for card in seen(split, visible=LARGE[1]).cards] == [40448]
    assert [card.index for card in seen(split, H100, visible="1").cards] == [1]
    unknown = seen(split, visible="MIG-none")
    assert not unknown.cards and SMALL[1] in unknown.trouble and LARGE[1] in unknown.trouble
    old = ("1g.5gb", f"MIG-{uuid(0)}/7/0", 4864)  # as drivers before 470 named them
    assert [card.uuid for card in seen({**A100, **MIG, "devices": [old]}, visible=old[1]).cards] == [old[1]]


def test_a_gpu_with_mig_on_and_no_devices_is_not_seen(seen):
    empty = {**H100, **MIG}
    assert not seen(empty).cards and "MIG is on and has no devices on GPU 0" in seen(empty).trouble
    assert [card.index for card in seen(empty, H100).cards] == [1]


def test_memory_that_is_not_told(seen):
    (shared,) = seen(GB10).cards
    assert (shared.memory_mib, shared.free_mib, shared.is_unified) == (0, None, True)
    (orin,) = seen({**GB10, "memory.total": "[Not Supported]"}).cards
    assert orin.is_unified
    for told in ("[Insufficient Permissions]", "[Unknown Error]", "[GPU is lost]", "ERR!"):
        (card,) = seen({**H100, "memory.total": told, "memory.free": told}).cards
        assert not card.is_unified and card.memory_mib == 0


def test_drivers_without_some_fields_and_names_with_commas(seen):
    (card,) = seen({**H100, "name": "NVIDIA X, Y"}, unknown=("compute_cap", "mig.mode.current")).cards
    assert (card.name, card.compute_capability, card.memory_mib) == ("NVIDIA X, Y", "", 81559)


@pytest.mark.parametrize(
    ("says", "code"),
    [
        (_GONE, 9),
        ("No devices were found", 6),
        ("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 580.105", 18),
        ("Unable to determine the device handle for GPU0: 0000:65:00.0: Unknown Error", 0),
    ],
)
def test_a_driver_that_is_gone_is_told_in_its_own_words(seen, says, code):
    found = seen(H100, says=says, code=code)
    assert not found.cards
    assert found.trouble == f"nvidia-smi: {says.splitlines()[0]}"


@pytest.mark.slow
def test_one_that_hangs_is_given_up(seen):
    found = seen(H100, hangs=True)
    assert not found.cards and "no answer in 30 s" in found.trouble


def test_without_nvidia_smi_there_is_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cards.seen({}) == cards.Seen(trouble="there is no nvidia-smi")


def test_a_container_that_was_given_none(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", nvidia_smi.path(tmp_path, says="No devices were found", code=6))
    assert "NVIDIA_VISIBLE_DEVICES=none" in cards.seen({"NVIDIA_VISIBLE_DEVICES": "none"}).trouble


def test_uuids_become_numbers_for_vllm(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", nvidia_smi.path(tmp_path, H100, H100, {**H100, **MIG, "devices": [SMALL]}))
    assert cards.numbered({"CUDA_VISIBLE_DEVICES": "GPU-1f5,GPU-0f5"})["CUDA_VISIBLE_DEVICES"] == "1,0"
    for as_it_is in ({}, {"CUDA_VISIBLE_DEVICES": "1"}, {"CUDA_VISIBLE_DEVICES": SMALL[1]}):
        assert cards.numbered(as_it_is) == {}


def test_who_holds_memory(tmp_path, monkeypatch):
    ours = (f"{uuid(0)}, 4242, 50176, python3", f"{uuid(0)}, 77, [N/A], VLLM::EngineCore, x")
    monkeypatch.setenv("PATH", nvidia_smi.path(tmp_path, H100, H100, processes=(*ours, f"{uuid(1)}, 1, 2, other")))
    first = cards.seen({}).cards[0]
    assert cards.holders(first) == [
        cards.Holder(4242, "python3", 50176), cards.Holder(77, "VLLM::EngineCore, x", None),
    ]


def test_gpus_of_run_json_are_those_that_are_seen(tmp_path):
    variables = {"PATH": nvidia_smi.path(tmp_path, H100, L40S), "CUDA_VISIBLE_DEVICES": "1"}
    program = "from niah import environment; print(environment.gpus(), environment.decisive()['gpus'])"
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment_with(**variables), capture_output=True, text=True, check=True
    )
    assert "NVIDIA L40S" in done.stdout and "H100" not in done.stdout
