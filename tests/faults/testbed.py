"""A small world of a worker's own (model, texts, cache, runs) and commands in it, as forks of a process that has
imported niah already: a command costs what it does, not the second that Python needs to begin.

The process that makes a ``Testbed`` has to have no threads, and runs no command itself.
"""

import json
import os
import resource
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from niah.__main__ import run
from niah.cli import VERBS
from tests.helpers.command import REPOSITORY

CANARY = "CANARY"
"""Name of the file that a payload writes if ever it runs, in the work folder."""
BASE = (
    "engine=fake", "engine.window=300", "model=custom", "model.path=model", "model.max_length=4k", "haystack=files",
    "haystack.path=texts", "ctx.lengths=[256,512]", "ctx.depths=[0,50,100]", "ctx.repeats=3", "report.formats=[]",
    "report.page=false",
)
"""A run of 18 trials of a model that is never asked: the whole way of a trial but for the engine and the pictures."""
PICTURES = ("report.formats=[png]", "report.dpi=40", "report.page=true")
NUM_TRIALS = 18
_SPARED = {"Z", "X"}
_ENDING_SECONDS = 10.0
_MOST_READS = 1000
"""Of 64 KiB at most: what is kept of what a command says."""
_MODULES = (
    *(f"niah.commands.{module}" for module in VERBS.values()), "niah.engines.fake", "niah.engines.openai.session",
    "niah.haystacks.files", "niah.haystacks.noise", "niah.tasks.single", "niah.readers.bm25", "niah.runs.runner",
    "niah.report.heatmap", "niah.report.curve", "niah.report.accuracy", "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg", "scipy.stats", "tokenizers",
)


@dataclass(frozen=True)
class Ended:
    """What became of a command. ``code`` as the shell has it; minus the signal that ended it. ``is_hung``: it was ended
    for taking longer than its limit. ``left``: processes of its session that outlived it."""

    words: tuple[str, ...]
    code: int
    out: str
    err: str
    seconds: float
    is_hung: bool
    left: tuple[int, ...]

    @property
    def last(self) -> str:
        """The last line of what it said."""
        return next((line for line in reversed(self.err.splitlines()) if line.strip()), "")


class Testbed:
    """``place/work`` is where commands run, ``place/cache`` their NIAH_CACHE."""

    __test__ = False  # to pytest

    def __init__(self, place: Path):
        self.work, self.cache = place / "work", place / "cache"
        for folder in (self.work, self.cache):
            folder.mkdir(parents=True)
        self.environment = {
            name: value for name, value in os.environ.items()
            if not name.startswith(("NIAH_", "RAY_", "OPENAI_", "VLLM_")) and name != "LD_PRELOAD"
        } | {
            "NIAH_CACHE": str(self.cache), "HF_HUB_OFFLINE": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(REPOSITORY),
            "HOME": str(place),
        }
        in_a_fork(lambda: make_model(self.work / "model"))  # tokenizers has threads of its own
        make_texts(self.work / "texts")

    @property
    def canary(self) -> Path:
        return self.work / CANARY

    def run(
        self, *words: str, after: float | None = None, sent: int = signal.SIGKILL, limit: float = 60,
        before: Callable[[], None] | None = None, cwd: Path | None = None,
    ) -> Ended:
        """``niah WORDS``, sent a signal ``after`` seconds; ``before`` is called in its process first."""
        begun = time.monotonic()
        said = [os.pipe() for _ in range(2)]  # no files: a full disk is not to reach what a terminal would show
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])  # until the fork is a command
        pid = os.fork()
        if not pid:
            self._command(words, before, cwd or self.work, [writes for _, writes in said])
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
        for reads, writes in said:
            os.close(writes)
            os.set_blocking(reads, False)
        parts: list[list[bytes]] = [[], []]
        is_hung, is_sent = False, after is None
        while not (ended := os.waitpid(pid, os.WNOHANG))[0]:
            gone = time.monotonic() - begun
            if after is not None and not is_sent and gone >= after:
                os.kill(pid, sent)
                is_sent = True
            if gone > limit + (after or 0):
                is_hung = True
                os.killpg(pid, signal.SIGKILL)
            for (reads, _), found in zip(said, parts, strict=True):
                _drain(reads, found)
            time.sleep(0.004 if is_sent else 0.001)
        seconds = time.monotonic() - begun
        left = left_after(pid)
        for one in left:
            with suppress(ProcessLookupError):
                os.kill(one, signal.SIGKILL)
        for (reads, _), found in zip(said, parts, strict=True):
            _drain(reads, found)
            os.close(reads)
        out, err = (b"".join(found).decode(errors="replace") for found in parts)
        return Ended(words, os.waitstatus_to_exitcode(ended[1]), out, err, seconds, is_hung, left)

    def _command(
        self, words: Sequence[str], before: Callable[[], None] | None, cwd: Path, said: Sequence[int]
    ) -> None:
        """What the fork does; it never returns."""
        code = 70
        try:
            os.setsid()
            for number, handle in enumerate((os.open(os.devnull, os.O_RDONLY), *said)):
                os.dup2(handle, number)
            os.chdir(cwd)
            os.environ.clear()
            os.environ.update(self.environment)
            sys.path[:] = ["", str(REPOSITORY), *(place for place in sys.path if place)]  # as ``python -m`` has it
            sys.argv = sys.orig_argv = ["niah", *words]
            if before:
                before()
            try:
                signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
            except KeyboardInterrupt:  # sent meanwhile
                os._exit(130)
            code = run()
            sys.stdout.flush()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        except BaseException:
            traceback.print_exc()
            code = 1
        finally:
            with suppress(Exception):
                sys.stderr.flush()
            os._exit(code if isinstance(code, int) else 70)


def _drain(handle: int, found: list[bytes]) -> None:
    """What a pipe holds by now; of endless output the beginning alone is kept."""
    with suppress(BlockingIOError):
        while data := os.read(handle, 2**16):
            if len(found) < _MOST_READS:
                found.append(data)


def preload() -> None:
    """Imports what commands import, without starting a thread."""
    for module in _MODULES:
        with suppress(ImportError):
            import_module(module)
    import_module("hydra.core.plugins").Plugins.instance()  # searches all packages for launchers
    check_threads()


def check_threads() -> None:
    """Raises RuntimeError where this process has threads that a fork would be without."""
    threads = [Path(f"/proc/self/task/{task}/comm").read_text().strip() for task in os.listdir("/proc/self/task")]
    others = [name for name in threads if not name.startswith("jemalloc")]  # pandas' allocator, which knows forks
    if len(others) > 1:
        raise RuntimeError(f"threads after imports: {others}; a fork of this process may hang")


def in_a_fork(make: Callable[[], None]) -> None:
    """Calls ``make`` in a process of its own. Raises RuntimeError where it fails there."""
    pid = os.fork()
    if not pid:
        try:
            make()
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    if os.waitpid(pid, 0)[1]:
        raise RuntimeError("see above")


def left_after(session: int) -> tuple[int, ...]:
    """Processes of a command's session that are there when they had time to see that it is gone."""
    deadline = time.monotonic() + _ENDING_SECONDS
    while (left := members(session)) and time.monotonic() < deadline:
        time.sleep(0.05)
    return tuple(left)


def members(session: int) -> list[int]:
    """Processes of a session that are alive."""
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            with suppress(OSError):
                fields = Path(f"/proc/{name}/stat").read_bytes().rpartition(b")")[2].split()
                if int(fields[3]) == session and fields[0].decode() not in _SPARED:
                    found.append(int(name))
    return found


def no_larger_files_than(num_bytes: int) -> Callable[[], None]:
    """A disk that is full: what would make any file larger fails (EFBIG)."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return limit


def no_more_memory_than(num_bytes: int) -> Callable[[], None]:
    """What would take more address space fails (MemoryError)."""
    return lambda: resource.setrlimit(resource.RLIMIT_AS, (num_bytes, num_bytes))


def make_model(folder: Path) -> None:
    """A Llama of one layer in Hugging Face format with a tokenizer of 700 words: 60 KB of files in all."""
    import numpy as np
    from safetensors.numpy import save_file
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder.mkdir()
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=["<|im_start|>", "<|im_end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
    )
    tokenizer.train_from_iterator([_prose()], trainer)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    size, hidden = tokenizer.get_vocab_size(), 16
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": hidden, "intermediate_size": 32,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": size,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "torch_dtype": "float32",
        "bos_token_id": 0, "eos_token_id": 1,
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
        "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    (folder / "tokenizer_config.json").write_text(json.dumps({
        "chat_template": template, "eos_token": "<|im_end|>", "tokenizer_class": "PreTrainedTokenizerFast",
    }, indent=1))
    layer, rng = "model.layers.0", np.random.default_rng(0)
    shapes = {
        "model.embed_tokens.weight": (size, hidden), "model.norm.weight": (hidden,),
        f"{layer}.input_layernorm.weight": (hidden,), f"{layer}.post_attention_layernorm.weight": (hidden,),
        f"{layer}.self_attn.q_proj.weight": (hidden, hidden), f"{layer}.self_attn.k_proj.weight": (8, hidden),
        f"{layer}.self_attn.v_proj.weight": (8, hidden), f"{layer}.self_attn.o_proj.weight": (hidden, hidden),
        f"{layer}.mlp.gate_proj.weight": (32, hidden), f"{layer}.mlp.up_proj.weight": (32, hidden),
        f"{layer}.mlp.down_proj.weight": (hidden, 32),
    }
    weights = {name: rng.normal(0, 0.1, shape).astype("float32") for name, shape in shapes.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def make_texts(folder: Path) -> None:
    """Three files of prose, 30 KB."""
    folder.mkdir()
    text = _prose()
    for number in range(3):
        (folder / f"{number}.txt").write_text(text[number * 10_000 : (number + 1) * 10_000])


def _prose() -> str:
    """Sentences of words drawn at random."""
    import numpy as np

    from niah.languages import wordlists

    words = wordlists.all_words()
    rng = np.random.default_rng(1)
    sentences = []
    while sum(map(len, sentences)) < 32_000:
        chosen = rng.choice(words, 11)
        end = ".\n\n" if rng.random() < 0.2 else ". "
        sentences.append(" ".join(map(str, chosen)).capitalize() + end)
    return "".join(sentences)


def copied(source: Path, target: Path) -> Path:
    """The content of the folder ``source`` in place of that of ``target``, which may be a mount."""
    emptied(target)
    shutil.copytree(source, target, symlinks=True, dirs_exist_ok=True)
    return target


def emptied(folder: Path) -> Path:
    """The folder with nothing in it."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            if path.is_mount():
                emptied(path)
                continue
            path.chmod(0o700)
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink()
    return folder
