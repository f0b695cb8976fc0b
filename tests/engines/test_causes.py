"""What vLLM's processes print, and the one line that is made of it."""

import json

import pytest

from niah.choices import choices
from niah.config import typed
from niah.engines.vllm import causes, positions
from niah.errors import NiahError
from niah.models.files import ModelFiles
from niah.models.settings import Model
from tests.helpers.machines import raw

MODELS = [typed("model", Model, node)[0] for node in choices("model") if node.get("architecture")]

WORKER = "(Worker pid=51) ERROR 11-28 14:13:47 [multiproc_executor.py:1063] "
CORE = "(EngineCore pid=38) ERROR 11-28 14:13:47 [core.py:1512] "
DECOY = """\
(MainProcess pid=36) WARNING 11-28 14:13:47 [base.py:380] Traceback (most recent call last):
(MainProcess pid=36) WARNING 11-28 14:13:47 [base.py:380]     raise ValueError("Tokenizer not available")
(MainProcess pid=36) WARNING 11-28 14:13:47 [base.py:380] ValueError: Tokenizer not available when `skip_tokenizer_init`
"""
"""What vLLM 0.32 writes into each log."""


def printed(prefix: str, text: str) -> str:
    return "".join(f"{prefix}{line}\n" for line in text.splitlines())


def raised(words: str) -> str:
    return f'Traceback (most recent call last):\n  File "x.py", line 1, in f\n    g()\n    ^^^\n{words}'


CAUSED = "\n\nThe above exception was the direct cause of the following exception:\n\n"
MEANWHILE = "\n\nDuring handling of the above exception, another exception occurred:\n\n"


@pytest.mark.parametrize(
    ("log", "words"),
    [
        pytest.param(
            DECOY
            + printed(WORKER, "WorkerProc hit an exception.\n" + raised("torch.OutOfMemoryError: CUDA out of memory."))
            + printed(CORE, "EngineCore encountered a fatal error.\n" + raised(
                "RuntimeError: Worker failed with error 'CUDA out of memory.', please check the stack trace above")),
            "OutOfMemoryError: CUDA out of memory.", id="a worker's own words before the core's pointer to them",
        ),
        pytest.param(
            printed(CORE, raised("RuntimeError: Worker failed with error 'no space', please check the stack trace")),
            "no space", id="the pointer quotes them where the worker's are lost",
        ),
        pytest.param(
            printed(CORE, raised("OSError: [Errno 5] disk") + CAUSED + raised("ValueError: cannot read weights")),
            "OSError: [Errno 5] disk", id="the cause of the last",
        ),
        pytest.param(
            printed(CORE, raised("KeyError: 'cached'") + MEANWHILE + raised("ValueError: no such layer")),
            "ValueError: no such layer", id="what was looked for in vain before is no cause",
        ),
        pytest.param(
            printed(CORE, raised("ImportError: no kernel") + MEANWHILE + raised("RuntimeError: Executor failed.")),
            "ImportError: no kernel", id="but where the last points to it",
        ),
        pytest.param(
            raised("ValueError: of a process without a prefix") + "\n", "ValueError: of a process without a prefix",
            id="plain stderr",
        ),
        pytest.param(
            "(EngineCore pid=2) ERROR 11-28 14:27:48 [x.py:3] Worker proc VllmWorker-0 died unexpectedly (exit code: "
            "-9), shutting down executor.\n" + printed(CORE, raised("RuntimeError: cancelled")),
            "Worker proc VllmWorker-0 died unexpectedly (exit code: -9), shutting down executor.", id="killed",
        ),
        pytest.param(
            printed(CORE, raised("pydantic_core._pydantic_core.ValidationError: 1 validation error for CacheConfig\n"
                                 "block_size\n  Input should be positive [type=x, input_value=-1, input_type=int]")),
            "ValidationError: CacheConfig: block_size: Input should be positive (got -1)", id="pydantic in a log",
        ),
        pytest.param(DECOY, None, id="a warning's traceback is none"),
        pytest.param("", None, id="an empty log"),
    ],
)
def test_the_root_cause_in_a_log(log, words):
    found = causes.in_log(log)
    assert (found and found.words) == words


def test_an_exceptions_own_chain_comes_before_the_log():
    try:
        try:
            raise OSError("gone")
        except OSError as error:
            raise RuntimeError("cannot start") from error
    except RuntimeError as error:
        assert causes.of(error, lambda: pytest.fail("not needed")).words == "OSError: gone"
    pointer = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
    assert causes.of(pointer, lambda: printed(CORE, raised("ValueError: x"))).words == "ValueError: x"
    unknown = causes.of(pointer, lambda: DECOY)
    assert not unknown.is_known and unknown.words.startswith("RuntimeError: Engine core initialization failed")


def test_every_field_of_a_pydantic_error_is_told():
    text = (
        "2 validation errors for SchedulerConfig\nmax_num_seqs\n  Input should be greater than or equal to 1 "
        "[type=greater_than_equal, input_value=0, input_type=int]\n    For further information visit https://x/y\n"
        "foo.bar\n  Input should be a valid integer [type=int, input_value='a', input_type=str]"
    )
    assert causes.pydantic(text) == (
        "SchedulerConfig: max_num_seqs: Input should be greater than or equal to 1 (got 0); "
        "foo.bar: Input should be a valid integer (got 'a')"
    )
    whole = (
        "1 validation error for ModelConfig\n"
        "  Value error, too long [type=v, input_value=ArgsKwargs((), {}), input_type=A]"
    )
    assert causes.pydantic(whole) == "ModelConfig: too long"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("ValueError: Free memory on device cuda:0 (10/80 GiB) on startup is less than desired", "nvidia-smi names it"),
        ("RuntimeError: CUDA driver version is insufficient for CUDA runtime version", "update it"),
        ("AcceleratorError: CUDA error: no kernel image is available for execution", "no code for this GPU"),
        ("RuntimeError: Found no NVIDIA driver on your system.", "does not answer"),
        ("AcceleratorError: CUDA error: invalid device ordinal", "engine.tensor_parallel_size"),
        ("DistBackendError: NCCL error in: ProcessGroupNCCL.cpp, unhandled system error", "NCCL_DEBUG=INFO"),
        ("OSError: /m does not appear to have a file named config.json", "model.path"),
        ("SafetensorError: Error while deserializing header: header too large", "fetch them again"),
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "kv=fp8"),
        ("ValueError: something else", ""),
    ],
)
def test_what_to_do_is_told_where_it_is_known(words, told):
    advice = causes.Cause(words).advice
    assert told in advice and bool(told) == bool(advice)


@pytest.mark.parametrize(
    ("words", "is_memory"),
    [
        ("OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", True),
        ("RuntimeError: [enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory", True),
        ("MemoryError", True),
        ("OSError: [Errno 12] Cannot allocate memory", True),
        ("AcceleratorError: CUDA error: an illegal memory access was encountered", False),
        ("ValueError: Free memory on device cuda:0 is less than desired", False),
    ],
)
def test_which_words_are_out_of_memory(words, is_memory):
    assert causes.Cause(words).is_out_of_memory is is_memory


def test_the_length_that_has_room_is_read_from_vllms_refusal():
    words = (
        "ValueError: To serve at least one request with the model's max seq len (1048576), (96.0 GiB KV cache is "
        "needed, which is larger than the available KV cache memory (40.0 GiB). Based on the available memory, the "
        "estimated maximum model length is 436896. Try increasing `gpu_memory_utilization`"
    )
    assert causes.Cause(words).max_length == 436896
    assert causes.Cause("ValueError: No available memory for the cache blocks.").max_length is None


@pytest.mark.parametrize(
    ("config", "limit"),
    [
        ({"max_position_embeddings": 8192}, 8192),
        ({"max_position_embeddings": 8192, "seq_length": 2048}, 2048),
        ({"max_position_embeddings": 8192, "model_max_length": 131072}, 131072),  # Command-R
        ({"max_position_embeddings": 8192, "rope_scaling": {"rope_type": "linear", "factor": 4.0}}, 32768),
        ({"max_position_embeddings": 131072, "rope_parameters": {"rope_type": "yarn", "factor": 4.0}}, 131072),
        ({"max_position_embeddings": 131072, "model_type": "gemma3_text", "rope_parameters": {
            "full_attention": {"rope_type": "linear", "factor": 8.0}}}, 131072),
        ({"max_position_embeddings": 4096, "rope_scaling": {"type": "dynamic", "factor": None}}, 4096),
        ({}, None),
    ],
)
def test_positions_as_vllm_counts_them(config, limit):
    assert positions.allowed(config)[1] == limit


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_reads_as_far_as_its_file_says_and_no_further(model, tmp_path, monkeypatch):
    monkeypatch.delenv("VLLM_ALLOW_LONG_MAX_MODEL_LEN", raising=False)
    config = raw(model.architecture)
    (tmp_path / "config.json").write_text(json.dumps(config))
    files = ModelFiles("", tmp_path, None, "")
    for length in (model.max_length, model.limit):
        positions.check(model.arguments_at(length), files, model, length)
    if model.extended_length:
        return  # beyond that is beyond the run's own limit
    beyond = 8 * max(model.limit, config["max_position_embeddings"]) + 1
    with pytest.raises(NiahError, match=rf"got up to {beyond:,} tokens, prompt and answer; expected at most"):
        positions.check({}, files, model, beyond)
