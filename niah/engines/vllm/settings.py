"""What a user may set of engine=vllm, by vLLM's own names, and what of it is left to the plan."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from niah import environment
from niah.engines import Engine, Load
from niah.engines.vllm import versions
from niah.engines.vllm.process import is_cpu_build, is_gpu_build
from niah.errors import NiahError
from niah.limits import NEW, limited, one_of
from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner import backends, cpu, drafter, fit
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.serving import Wish


@dataclass(frozen=True)
class VLLMSettings(Engine):
    """Settings by vLLM's own names; ``args`` passes any other engine argument through.

    ``chunk_tokens`` sets both max_num_batched_tokens and block_size, so that a prefix-cache hit ends
    where a prefill chunk would: then a cached prompt and a cold one are computed in the same pieces
    and give bit-identical answers (checked by a test). 0 takes 128 on CPUs, and on GPUs what the plan
    says (chunks of 8,192, blocks of 16 or 64), where answers after a hit may differ by rounding.
    ``kv_cache_memory_gib`` 0 takes room for two prompts of the longest length on CPUs, and what
    ``gpu_memory_utilization`` leaves on GPUs. Three are left to the plan there (niah/planner/defaults.py; on CPUs
    it is one process, one prompt, no compilation): ``tensor_parallel_size`` 0 takes as few GPUs as hold the longest
    prompt, or more where that takes minutes to read; ``max_num_seqs`` 0 has as many prompts in work as keep a
    GPU busy while answers are written; ``enforce_eager`` null compiles where that saves more than it takes.
    ``batch_invariant`` takes slower kernels, whose result for a prompt does not depend on the others in work
    (VLLM_BATCH_INVARIANT). ``graded`` forces the right answer after each prompt to see how likely the model
    held it; null does so where the prefix cache makes it cheap. ``attention`` names the backend (flash_attn,
    flashinfer, triton, or vLLM's own names), none leaves it to vLLM; several, like several of
    ``flash_attn_version`` (2, 3, 4), are run one after the other. ``replicas`` engines share the trials, as Ray
    actors: each on its share of this machine's cores or GPUs, or over the cluster of RAY_ADDRESS.
    """

    name: str = "vllm"
    prefix_caching: bool = True
    max_num_seqs: int = limited(0, at_least=0, known_as=1)
    chunk_tokens: int = 0
    kv_cache_memory_gib: float = 0.0
    gpu_memory_utilization: float = 0.92
    tensor_parallel_size: int = 0
    pipeline_parallel_size: int = 0
    decode_context_parallel_size: int = 1
    attention: list[str] = field(default_factory=list)
    flash_attn_version: list[int] = one_of(2, 3, 4, default=[])
    enforce_eager: bool | None = None
    batch_invariant: bool = limited(False, known_as=NEW)
    load_format: str = "auto"
    graded: bool | None = None
    cold_check: float = limited(0.02, at_least=0, at_most=1, expected="a share from 0 to 1")
    args: dict[str, Any] = field(default_factory=dict)
    replicas: int = limited(1, at_least=1, decides=False)
    holds_a_model = True

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "attention", [backends.named(name) for name in self.attention])

    def missing(self) -> Sequence[str]:
        return () if environment.may_import("vllm") else ("niah[vllm]" if environment.gpus() else "niah[cpu]",)

    def check_speculation(self, speculation: Speculation, model: Model) -> None:
        """Raises NiahError where the model has no layers of its own to draft with, the files of what drafts are not
        there, or the engine's own arguments say something else."""
        if not speculation.is_on:
            return
        if "speculative_config" in self.args:
            raise NiahError(
                f"engine.args.speculative_config: given beside spec={speculation.name}; expected one of the two"
            )
        drafter.check(speculation, model)

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
        speculation: Speculation = NONE,
    ) -> Fit:
        """By vLLM's own accounting of weights and blocks."""
        _check_build(hardware)
        if hardware.name == "auto" and not hardware.capability:
            dtypes = self.args.get("dtype", model.dtype), self.args.get("kv_cache_dtype", cache_dtype)
            if refusal := cpu.refusal(*dtypes):
                raise NiahError(refusal)
        return fit.check(model, lengths, cache_dtype, hardware, known, self.wish(), speculation)

    def notes(self) -> list[str]:
        line = versions.untested(versions.installed())
        return [line] if line else []

    def wish(self) -> Wish:
        """What is left to the plan and what is not; ``args`` win over the fields."""
        own = self.args.get
        return Wish(
            tensor_parallel=own("tensor_parallel_size", self.tensor_parallel_size),
            pipeline_parallel=own("pipeline_parallel_size", self.pipeline_parallel_size),
            decode_context_parallel=own("decode_context_parallel_size", self.decode_context_parallel_size),
            chunk=self.chunk_tokens,
            batch=own("max_num_batched_tokens", 0),
            block_size=own("block_size", 0),
            max_num_seqs=own("max_num_seqs", self.max_num_seqs),
            hybrid=not own("disable_hybrid_kv_cache_manager", False),
            prefix_caching=own("enable_prefix_caching", self.prefix_caching),
            utilization=own("gpu_memory_utilization", self.gpu_memory_utilization),
            backend=own("attention_backend", next(iter(self.attention), None)),
            flash_attn_version=next(iter(self.flash_attn_version), 0),
            enforce_eager=own("enforce_eager", self.enforce_eager),
            batch_invariant=self.batch_invariant,
            cache_bytes=own("kv_cache_memory_bytes", int(self.kv_cache_memory_gib * 2**30)) or 0,
        )

    def under(self, load: Load, batch: int) -> "VLLMSettings":
        """By vLLM's own arguments. A step is shared by the prompts in work (long_prefill_token_threshold), else one is
        read to its end before the next is begun, and none is ever put off. With a small pool none waits until there is
        room for all of it (scheduler_reserve_full_isl). The pool of a GPU is left alone where it is not to be small: it
        has what memory there is."""
        if load.offload_gib and is_cpu_build():
            raise NiahError("vLLM's offloading connector runs on GPUs alone (0.32: v1/kv_offload/cpu/spec.py)")
        args: dict[str, Any] = {}
        if load.at_once > 1 and batch:
            args["long_prefill_token_threshold"] = max(1, batch // load.at_once)
        if load.is_small:
            args["scheduler_reserve_full_isl"] = False
        if load.num_blocks and (load.is_small or is_cpu_build()):
            args["num_gpu_blocks_override"] = load.num_blocks
        if load.offload_gib:
            args |= {"kv_offloading_size": load.offload_gib, "kv_offloading_backend": "native"}
        return replace(self, max_num_seqs=load.at_once, args={**self.args, **args})

    def settled(self, chosen: Mapping[str, Any]) -> "VLLMSettings":
        """With the split, the prompts at once and the compilation that were ``chosen``, as far as they were left."""
        left = {"tensor_parallel_size": 0, "max_num_seqs": 0, "enforce_eager": None}
        values = {"tensor_parallel_size": self.tensor_parallel_size, "max_num_seqs": self.max_num_seqs,
                  "enforce_eager": self.enforce_eager}
        changed = {
            name: chosen[name] for name, nothing in left.items()
            if values[name] == nothing and name not in self.args and chosen.get(name) is not None
        }
        return replace(self, **changed)


def _check_build(hardware: Hardware) -> None:
    """Raises NiahError where the vLLM that is installed is not for this machine."""
    if hardware.name != "auto":
        return
    if hardware.capability and is_cpu_build():
        raise NiahError(
            f"engine=vllm: {hardware.label} here, but the vLLM that is installed is the one for CPUs; make clean and "
            "make run, or pip install 'niah[vllm]' into another environment; or CUDA_VISIBLE_DEVICES= for the processor"
        )
    if not hardware.capability and is_gpu_build():
        raise NiahError(
            f"engine=vllm: the vLLM that is installed is for NVIDIA GPUs; got {hardware.label}; expected a GPU that "
            "nvidia-smi lists and CUDA_VISIBLE_DEVICES shows, or 'niah[cpu]' in another environment"
        )
