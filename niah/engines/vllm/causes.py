"""Why an engine failed, in its own words: the root cause behind an exception or in a log, and what to do about it.

vLLM's engine core and its workers are processes of their own. What happened there arrives as "Engine core
initialization failed. See root cause above" or "EngineCore encountered an issue. See stack trace (above)" (vLLM 0.32,
v1/engine/utils.py and v1/engine/exceptions.py): the cause itself stands only in what they printed.
"""

import io
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

from niah.engines.failures import OWN_CODE, is_out_of_memory
from niah.errors import first_line

_PREFIX = re.compile(r"^\((?P<process>[^()]+ pid=\d+)\) ?")
_RECORD = re.compile(r"^(?P<level>DEBUG|INFO|WARNING|ERROR|CRITICAL) [\d:. -]+\[(?P<place>[^\]]*)\] ?")
_RAISED = re.compile(r"^(?P<name>(?:[A-Za-z_]\w*\.)*[A-Za-z_]\w*)(?:: (?P<message>.*))?$")
_TRACEBACK = "Traceback (most recent call last):"
_CAUSED = "The above exception was the direct cause of the following exception:"
_MEANWHILE = "During handling of the above exception, another exception occurred:"
_POINTERS = (
    "see root cause above", "see stack trace", "engine core initialization failed", "worker failed with error",
    "executor failed", "engine core proc", "failed core proc", "enginecore encountered", "enginecore failed",
    "workerproc", "runtimeerror: cancelled",
)
"""What says only that something else failed before."""
_ENDINGS = ("EngineDeadError", "SystemExit", "KeyboardInterrupt", "BrokenPipeError", "EOFError", "ConnectionResetError")
_KILLED = re.compile(
    r"Worker proc \S+ died unexpectedly|Segfault encountered|terminate called after|Segmentation fault"
)
_PYDANTIC = re.compile(r"^\d+ validation errors? for (\S+)")
_MEASURED_MAX = re.compile(r"estimated maximum model length is (\d+)")
_LONGEST = 500
"""Characters of a cause that stand in a row or in a line."""
_WAITS, _WAIT_SECONDS = 10, 0.2
_MOST_BYTES = 2**24

_ADVICE = (
    (r"trust_remote_code|contains custom code which must be executed", OWN_CODE),
    (r"free memory on device", "another process holds that memory: nvidia-smi names it; end it, wait for it, or set "
     "engine.gpu_memory_utilization below the free share"),
    (r"driver version is insufficient|insufficientdriver|forward compatibility was attempted",
     "this PyTorch needs a newer NVIDIA driver than nvidia-smi shows: update it, or install vLLM's build for its CUDA"),
    (r"no kernel image|not compatible with the current pytorch installation",
     "this build of vLLM or PyTorch has no code for this GPU: install one that has, or take another GPU"),
    (r"found no nvidia driver|no cuda gpus are available|nvml|unable to determine the device handle|gpu is lost|"
     r"device\(s\) is/are busy or unavailable|unknown error|failed to infer device type",
     "the NVIDIA driver does not answer: try nvidia-smi, then reload the driver or restart the machine"),
    (r"invalid device ordinal|larger than the number of available gpus|is larger than the number of",
     "more GPUs are asked for than this process sees (CUDA_VISIBLE_DEVICES): take a smaller "
     "engine.tensor_parallel_size"),
    (r"nccl", "the GPUs cannot reach each other: NCCL_DEBUG=INFO says more; try NCCL_P2P_DISABLE=1 or "
     "engine.args.disable_custom_all_reduce=true"),
    (r"does not appear to have a file|no such file|cannot find any model weights|entrynotfound|repositorynotfound|"
     r"localentrynotfound", "files of the model are missing: model.path has to hold config.json and all weights"),
    (r"safetensors|header too (large|small)|incomplete metadata|size mismatch|shape mismatch|missing key|"
     r"weights were not initialized|no module or parameter named",
     "the weights do not match the model's config.json, or a file is cut: fetch them again"),
    (r"out of memory|can't allocate memory|no available memory for the cache blocks",
     "take a shorter ctx, kv=fp8, smaller weights (model.weights) or more GPUs"),
)
"""(what the cause says, what to do)."""


@dataclass(frozen=True)
class Cause:
    """``words`` are type and message of what went wrong first, one line. Not ``is_known``: a process is gone, and none
    said why."""

    words: str
    is_known: bool = True

    @property
    def is_out_of_memory(self) -> bool:
        return is_out_of_memory(self.words)

    @property
    def advice(self) -> str:
        """What to do about it; empty where niah knows nothing."""
        return next((advice for pattern, advice in _ADVICE if re.search(pattern, self.words, re.IGNORECASE)), "")

    @property
    def max_length(self) -> int | None:
        """The tokens that vLLM says its cache has room for, where it refused a longer max_model_len; else None."""
        if found := _MEASURED_MAX.search(self.words):
            return int(found.group(1))
        return None


def of(error: BaseException, log: Callable[[], str]) -> Cause:
    """The root cause of an exception of vLLM's: its own chain where that says it, else what ``log`` gives."""
    own = _of_exception(error)
    if not _is_pointer(own):
        return Cause(own)
    found = in_log(log())
    return found or Cause(f"{own} Nothing in the engine's log says why."[:_LONGEST], is_known=False)


def in_log(log: str) -> Cause | None:
    """The root cause in what vLLM's processes printed; None where there is none.

    The first exception that points to no earlier one: a worker's comes before that of the engine core which waits for
    it. Else a process that was killed, else the last line of level ERROR. Warnings with a traceback are no cause.
    """
    records = [record for record in map(_record, log.splitlines()) if record.level in ("", "ERROR", "CRITICAL")]
    chains = _chains(records)
    if roots := [root for root in map(_root, chains) if not _is_pointer(root)]:
        return Cause(roots[0][:_LONGEST])
    if killed := next((record.text for record in records if _KILLED.search(record.text)), None):
        return Cause(_one_line(killed), is_known=False)
    if quoted := next((found for chain in chains for one in chain if (found := _quoted(one.words))), None):
        return Cause(quoted)
    said = [record.text for record in records if record.level and record.text.strip()]
    lines = [text for text in said if not _is_pointer(text) and not text.startswith((" ", "Traceback", "Dumping"))]
    return Cause(_one_line(lines[-1])) if lines else None


def pydantic(text: str) -> str:
    """A pydantic error as one line: each field with what is wrong with it and the value; other text as it is.

    pydantic's first line says only how many fields are wrong, in which class.
    """
    head = _PYDANTIC.match(text)
    if not head:
        return text
    parts, field = [], ""
    for line in text.splitlines()[1:]:
        if line.strip().startswith("For further information"):
            continue
        if not line.startswith(" "):
            field = line.strip()
            continue
        message, _, rest = line.strip().partition(" [type=")
        value = re.search(r"input_value=(.{1,60}?), input_type=", rest)
        given = f" (got {value.group(1)})" if value and field and not value.group(1).startswith("ArgsKwargs") else ""
        parts.append(f"{field + ': ' if field else ''}{message.removeprefix('Value error, ')}{given}")
    return f"{head.group(1)}: {'; '.join(parts)}" if parts else text


@dataclass(frozen=True)
class _Record:
    """A line of a log without its prefix; ``process`` and ``level`` are empty where it has none."""

    process: str
    level: str
    text: str


@dataclass
class _Raised:
    """An exception of a traceback; ``by`` links it to the one before: _CAUSED, _MEANWHILE or nothing."""

    name: str
    message: str
    by: str = ""

    @property
    def words(self) -> str:
        name = self.name.rpartition(".")[2]
        return _one_line(f"{name}: {pydantic(self.message)}" if self.message else name)


def _record(line: str) -> _Record:
    process = _PREFIX.match(line)
    rest = line[process.end() :] if process else line
    level = _RECORD.match(rest)
    return _Record(
        process["process"] if process else "", level["level"] if level else "", rest[level.end() :] if level else rest
    )


def _chains(records: Sequence[_Record]) -> list[list[_Raised]]:
    """The exceptions of each traceback in the order in which they were printed, each as Python prints it: its cause
    first. Another process may print in between."""
    of_process: dict[tuple[str, str], list[tuple[int, str]]] = {}
    for number, record in enumerate(records):
        of_process.setdefault((record.process, record.level), []).append((number, record.text))
    found = [one for lines in of_process.values() for one in _chains_of(lines)]
    return [chain for _, chain in sorted(found, key=lambda one: one[0])]


def _chains_of(lines: Sequence[tuple[int, str]]) -> Iterator[tuple[int, list[_Raised]]]:
    """Those of one process, each with the number of its first line."""
    chain: list[_Raised] = []
    start, by, is_inside, is_message = 0, "", False, False
    for number, line in lines:
        if line.strip() == _TRACEBACK:
            if chain and not by:
                yield start, chain
                chain = []
            start = start if chain else number
            is_inside, is_message = True, False
        elif line.strip() in (_CAUSED, _MEANWHILE):
            by, is_message = line.strip(), False
        elif is_inside and line and not line.startswith(" "):
            if raised := _RAISED.match(line):
                chain.append(_Raised(raised["name"], raised["message"] or "", by))
                is_message = True
            by, is_inside = "", False
        elif is_message and chain:
            if not line.strip() and not _PYDANTIC.match(chain[-1].message):
                is_message = False
            else:
                chain[-1].message += f"\n{line}"
    if chain:
        yield start, chain


def _root(chain: Sequence[_Raised]) -> str:
    """What a chain's last exception goes back to: its causes, and what was under way where it only points there."""
    place = len(chain) - 1
    while place and (chain[place].by == _CAUSED or _is_pointer(chain[place].words)):
        place -= 1
    return chain[place].words


def _of_exception(error: BaseException) -> str:
    """Type and message of the root of an exception's own chain, by the same rule."""
    while True:
        before = error.__cause__
        if before is None and _is_pointer(_words(error)) and not error.__suppress_context__:
            before = error.__context__
        if before is None:
            return _words(error)
        error = before


def _words(error: BaseException) -> str:
    name, text = type(error).__name__, str(error).strip()
    if _PYDANTIC.match(text):
        return _one_line(f"{name}: {pydantic(text)}")
    line = first_line(error)
    return _one_line(f"{name}: {line}" if line != name else name)


def _is_pointer(words: str) -> bool:
    return words.startswith(_ENDINGS) or any(pointer in words.lower() for pointer in _POINTERS)


def _quoted(words: str) -> str:
    """What "Worker failed with error '...'" quotes; else empty."""
    found = re.search(r"Worker failed with error '(.+)', please check", words, re.DOTALL)
    return _one_line(found.group(1)) if found else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST]


class Log:
    """The engine's log from a place on: ``mark`` moves that place to the end, ``since`` reads from it."""

    def __init__(self, path: Path | None):
        self._path = path
        self._start = self._size()

    def mark(self) -> None:
        self._start = self._size()

    def since(self) -> str:
        """What was printed; empty without a log. An engine that died prints on for a moment: that is waited for."""
        text = self._read()
        for _ in range(_WAITS):
            if in_log(text):
                break
            time.sleep(_WAIT_SECONDS)
            text = self._read()
        return text

    def _size(self) -> int:
        try:
            return self._path.stat().st_size if self._path else 0
        except OSError:
            return 0

    def _read(self) -> str:
        try:
            with self._path.open("rb") if self._path else nullcontext(io.BytesIO()) as file:
                file.seek(self._start)
                return file.read(_MOST_BYTES).decode(errors="replace")
        except OSError:
            return ""
