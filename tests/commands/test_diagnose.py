"""Which fault a pattern of lost needles shows, and which constructed model stands in for a run's own."""

import dataclasses

from niah.commands.calibrate import diagnose, verify
from niah.commands.calibrate.diagnose import TrialCheck
from tests.helpers.command import REPOSITORY
from tests.helpers.configs import built


def cells(lost, *, begun: bool = False) -> list[TrialCheck]:
    return [
        TrialCheck(4096, depth, 400 * depth, int(begun), False) if lost(400 * depth)
        else TrialCheck(4096, depth, 400 * depth, 8, True)
        for depth in range(11)
    ]


def test_each_pattern_has_its_name():
    assert diagnose.diagnose(cells(lambda at: False)) is None
    block = diagnose.diagnose(cells(lambda at: 1200 <= at < 1700))
    assert block.name == diagnose.BLOCK and "1,200 to 1,600" in block.evidence and "800 and 2,000" in block.evidence
    assert diagnose.diagnose(cells(lambda at: True, begun=True)).name == diagnose.POSITIONS
    good, bad = cells(lambda at: False), cells(lambda at: True)
    assert diagnose.diagnose(bad, good, "fp8_e4m3").name == diagnose.SCALE
    assert diagnose.diagnose(bad, bad, "fp8_e4m3").name == diagnose.POSITIONS
    assert diagnose.diagnose(bad).name == diagnose.UNKNOWN
    assert diagnose.diagnose(bad, good, "bfloat16").name == diagnose.UNKNOWN  # found where short: not its positions
    assert diagnose.diagnose(cells(lambda at: at > 2000)).name == diagnose.UNKNOWN  # no end: no block
    beyond = [dataclasses.replace(cell, is_predicted=cell.is_expected) for cell in cells(lambda at: at < 2000)]
    assert diagnose.diagnose(beyond).name == diagnose.REACH
    across = [
        dataclasses.replace(cell, source=cell.source + 300, stop=cell.source + 308)
        for cell in cells(lambda at: at == 2000)
    ]
    assert diagnose.diagnose(across[5:6] + cells(lambda at: False)[1:5], chunk=256).name == diagnose.POSITIONS
    assert diagnose.diagnose(cells(lambda at: at % 800 == 0)).name == diagnose.UNKNOWN  # scattered: no range of its own


def test_the_fitting_model_has_the_same_kind_of_attention():
    assert verify.fitting({"model_type": "llama4_text"}) == "scout"
    assert verify.fitting({"model_type": "mistral", "sliding_window": 4096}) == "window_4k"
    assert verify.fitting({"model_type": "mistral", "sliding_window": None}) == "full"
    assert verify.fitting({"model_type": "qwen3"}) == "full"


def test_a_variants_cache_is_found_by_its_whole_name():
    run = built("model=calibration/full", "kv=[fp8,fp8_e5m2]")
    found = [verify.kv_of(run, name).dtype for name in ("fp8", "fp8_e5m2", "fp8_e5m2 FLASH_ATTN")]
    assert found == ["fp8_e4m3", "fp8_e5m2", "fp8_e5m2"]


def test_each_fault_that_calibrate_names_is_in_the_catalogue():
    page = (REPOSITORY / "docs" / "faults.md").read_text()
    names = (diagnose.POSITIONS, diagnose.SCALE, diagnose.BLOCK, diagnose.REACH, diagnose.UNKNOWN)
    assert all(f"*{name}*" in page for name in names)
    assert str(diagnose.Fault(diagnose.UNKNOWN, "9 of 9")).endswith("edges and pressure look for more (docs/faults.md)")
