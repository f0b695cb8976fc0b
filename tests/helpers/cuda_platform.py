"""vLLM's own CUDA platform class on a machine without a GPU: configuration and choice of backend as on that GPU.

Import it before vllm, in a process of its own (``tests.helpers.vllm_choices`` is one). What the CUDA build has and the
CPU build lacks is stood in for: compiled kernels by names that do nothing, FlashInfer by modules whose every name is
there. All that decides (EngineArgs.create_engine_config, get_attn_backend, validate_configuration, the layers'
own constructors) is vLLM's. The GPU is in NIAH_TEST_GPU, as "9.0 79.1 8": capability, GiB, number.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import sys
import types
from typing import Any

import torch

_CAPABILITY, _GIB, _COUNT = os.environ["NIAH_TEST_GPU"].split()
CAPABILITY: tuple[int, ...] = tuple(int(part) for part in _CAPABILITY.split("."))
MEMORY_BYTES, NUM_GPUS = int(float(_GIB) * 2**30), int(_COUNT)
NAME = {(8, 0): "NVIDIA A100-SXM4-80GB", (8, 9): "NVIDIA L40S", (10, 0): "NVIDIA B200"}.get(CAPABILITY, "NVIDIA H100")
_KERNELS = (
    "vllm._C_stable_libtorch", "vllm._moe_C_stable_libtorch", "vllm._flashmla_C", "vllm._flashmla_extension_C",
    "vllm.vllm_flash_attn._vllm_fa2_C", "vllm.vllm_flash_attn._vllm_fa3_C",
)
_PACKAGES = ("flashinfer", "deep_gemm", "vllm.third_party.flashmla.")
"""With their modules: pip installs flashinfer and flashinfer_cubin with vLLM's CUDA build, which holds the others."""
_OPERATORS = ("_C", "_moe_C", "_vllm_fa", "_qutlass", "_flashmla")


class _Anything:
    """Stands for a compiled operator or a name of FlashInfer. What asks for support is told yes."""

    def __init__(self, name: str):
        self._name = name

    def __call__(self, *_: Any, **__: Any) -> Any:
        if "support" in self._name:
            return True
        return 1 if self._name.endswith(("size", "bytes")) else None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Anything(f"{self._name}.{name}")


class _Mla:
    """FlashInfer's wrapper as vLLM looks at it: has_flashinfer_sm90_nope_mla reads the signature of ``run``."""

    def run(self, *_: Any, ckv_scale_arr: Any = None) -> None:
        """Never called."""


class _FlashInfer(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name == "BatchMLAPagedAttentionWrapper":
            return _Mla
        return type(name, (), {}) if name[0].isupper() else _Anything(name)


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what pip installs with vLLM's CUDA build, and what that holds itself."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname.startswith(_PACKAGES):
            return importlib.machinery.ModuleSpec(fullname, self, is_package=True)
        return None

    def create_module(self, spec: Any) -> types.ModuleType:
        return _FlashInfer(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        return


def _operators() -> None:
    own = torch._ops._OpNamespace.__getattr__

    def found(self: Any, name: str) -> Any:
        try:
            return own(self, name)
        except AttributeError:
            if name.startswith("__") or not self.name.startswith(_OPERATORS):
                raise
            return _Anything(name)

    torch._ops._OpNamespace.__getattr__ = found
    register = torch.library.register_fake

    def lenient(*args: Any, **kwargs: Any) -> Any:
        made = register(*args, **kwargs)

        def decorated(function: Any) -> Any:
            try:
                return made(function)
            except Exception:  # an operator of the CUDA build
                return function

        return decorated if callable(made) and (len(args) < 2 or args[1] is None) else made

    torch.library.register_fake = lenient


class _Stream:
    """A stream or an event: models make some for their second branch."""

    def __init__(self, *_: Any, **__: Any):
        return


def _on_meta(make: Any) -> Any:
    """Makes a tensor's shape where the GPU is named for it."""

    def made(*args: Any, **kwargs: Any) -> Any:
        if "cuda" in str(kwargs.get("device")):
            kwargs["device"] = "meta"
        return make(*args, **kwargs)

    return made


def _torch() -> None:
    properties = types.SimpleNamespace(
        multi_processor_count=132, is_integrated=0, major=CAPABILITY[0], minor=CAPABILITY[1],
        total_memory=MEMORY_BYTES, name=NAME, warp_size=32, shared_memory_per_block_optin=232448,
    )
    cuda: Any = torch.cuda
    cuda.get_device_properties = lambda device=0: properties
    cuda.get_device_capability = lambda device=0: CAPABILITY
    cuda.get_device_name = lambda device=0: NAME
    cuda.is_available = lambda: True
    cuda.device_count = lambda: NUM_GPUS
    cuda.current_device = lambda: 0
    for name in ("empty", "zeros", "ones", "full", "tensor", "arange", "empty_strided"):
        setattr(torch, name, _on_meta(getattr(torch, name)))
    cuda.Stream = cuda.Event = _Stream
    cuda.current_stream = cuda.default_stream = lambda *_: _Stream()
    accelerator: Any = torch.accelerator
    accelerator.empty_cache = lambda: None
    version: Any = torch.version
    version.cuda = "13.0"


def _platform() -> None:
    import vllm.platforms as platforms
    from vllm.platforms import cuda
    from vllm.platforms.interface import DeviceCapability

    class Patched(cuda.CudaPlatformBase):
        """The platform, with what it would ask the driver."""

    answers = {
        "get_device_capability": DeviceCapability(*CAPABILITY[:2]), "get_device_name": NAME,
        "get_device_total_memory": MEMORY_BYTES, "is_fully_connected": True, "num_compute_units": 132,
        "is_integrated_gpu": False, "import_kernels": None, "get_device_uuid": "GPU-0", "device_count": NUM_GPUS,
        "current_device": "meta",
    }
    for name, answer in answers.items():
        setattr(Patched, name, classmethod(lambda cls, *_, _answer=answer, **__: _answer))
    here: Any = platforms
    here._current_platform = Patched()
    here.vllm_version_matches_substr = lambda substring: False


class _Driver:
    """Triton's driver: kernels are declared, none is compiled."""

    utils = types.SimpleNamespace(
        get_device_properties=lambda _: {
            "max_shared_mem": 232448, "multiprocessor_count": 132, "warpSize": 32, "max_num_regs": 65536,
        }
    )

    def get_current_target(self) -> Any:
        return types.SimpleNamespace(backend="cuda", arch=10 * CAPABILITY[0] + CAPABILITY[1], warp_size=32)

    def get_device_interface(self) -> Any:
        return torch.cuda

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: 0


def _triton() -> None:
    """Found or not on this machine, it is there on one with a GPU."""
    import vllm.triton_utils as utils
    import vllm.triton_utils.importing as importing

    for module in (importing, utils):
        found: Any = module
        found.HAS_TRITON = True
    if importlib.util.find_spec("triton"):
        from triton.runtime import driver

        driver.set_active(_Driver())


def _flash_attention() -> None:
    import vllm.config.vllm as config
    import vllm.vllm_flash_attn.flash_attn_interface as interface

    found: Any = interface
    found.FA2_AVAILABLE = found.FA3_AVAILABLE = found.FA4_AVAILABLE = True
    other: Any = config
    other.HAS_TRITON = True


def install() -> None:
    """Once, before anything of vllm is used."""
    sys.meta_path.insert(0, _Finder())
    for name in _KERNELS:
        module = types.ModuleType(name)
        module.__spec__ = importlib.machinery.ModuleSpec(name, None)
        sys.modules[name] = module
    _operators()
    _torch()
    _platform()
    _triton()
    _flash_attention()
