"""What vLLM's ROCm platform chooses for a layer, asked without an AMD GPU: its own class and its backends' own checks.

``python -m tests.helpers.rocm_platform ARCH < cases.json`` prints, for each case (the arguments of vLLM's
AttentionSelectorConfig, dtypes by name), the names of the backends that serve it, vLLM's first choice first. Torch is
told that the GPU is an ARCH; ULTRAQUANT is left out, whose module needs a GPU's Triton, and so are kernels of aiter.
"""

import json
import subprocess
import sys
import types
from typing import Any

from tests.helpers.command import REPOSITORY, environment_with


def asked(arch: str, cases: list[dict[str, Any]]) -> list[list[str]]:
    """An answer for each case, from a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.rocm_platform", arch], cwd=REPOSITORY, input=json.dumps(cases),
        capture_output=True, text=True, check=False, env=environment_with(PYTHONPATH=str(REPOSITORY)),
    )
    assert done.returncode == 0, done.stderr[-3000:]
    answers: list[list[str]] = json.loads(done.stdout.splitlines()[-1])
    return answers


def main(arch: str) -> None:
    import torch

    torch.cuda.get_device_properties = lambda *_: types.SimpleNamespace(gcnArchName=f"{arch}:sramecc+:xnack-")
    import vllm.platforms as platforms
    from vllm.platforms import rocm
    from vllm.platforms.interface import DeviceCapability

    own = rocm._get_backend_priorities
    rocm._get_backend_priorities = lambda *given, **named: [
        one for one in own(*given, **named) if one.name != "ULTRAQUANT"
    ]
    platforms._current_platform = platform = rocm.RocmPlatform()
    from vllm.v1.attention.selector import AttentionSelectorConfig

    capability = DeviceCapability(*rocm._capability_from_gcn_arch(arch))
    answers = []
    for case in json.load(sys.stdin):
        config = AttentionSelectorConfig(dtype=torch.bfloat16, block_size=None, **case)
        found, _ = platform.get_valid_backends(capability, config)
        answers.append([backend.name for backend, _ in sorted(found, key=lambda one: one[1])])
    print(json.dumps(answers))


if __name__ == "__main__":
    main(sys.argv[1])
