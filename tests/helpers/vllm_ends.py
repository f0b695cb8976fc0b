"""Requests that vLLM itself ends, planted in its output processor as a general plugin of vLLM's."""

import os
from pathlib import Path
from typing import Any

from tests.helpers.command import REPOSITORY

ENDS = "NIAH_TEST_ENDS"


def variables(folder: Path, *ends: str) -> dict[str, str]:
    """The environment in which the first finished requests of vLLM end so (ABORT, ERROR, REPETITION), one each."""
    info = folder / "ended-0.0.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: ended\nVersion: 0.0\n")
    (info / "entry_points.txt").write_text("[vllm.general_plugins]\nended = tests.helpers.vllm_ends:plant\n")
    return {"PYTHONPATH": os.pathsep.join((str(REPOSITORY), str(folder))), ENDS: " ".join(ends)}


def plant() -> None:
    """Called by vLLM in each of its processes."""
    from vllm.v1.engine import FinishReason
    from vllm.v1.engine.output_processor import OutputProcessor

    processor: Any = OutputProcessor
    own, ends = processor.process_outputs, os.environ.get(ENDS, "").split()

    def process_outputs(self: Any, outputs: Any, *rest: Any, **named: Any) -> Any:
        for output in outputs:
            if output.finish_reason is not None and ends:
                output.finish_reason = FinishReason[ends.pop(0)]
        return own(self, outputs, *rest, **named)

    processor.process_outputs = process_outputs
