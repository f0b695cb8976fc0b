"""From the cells that differ to the fault that makes them differ: a pure function of what was expected and seen."""

from collections.abc import Sequence
from dataclasses import dataclass

POSITIONS = "positions off by one"
SCALE = "wrong KV scale"
BLOCK = "KV block overwritten"
REACH = "attention reaches too far"
UNKNOWN = "unknown fault"
UNQUANTIZED = ("bfloat16", "float16", "float32")


@dataclass(frozen=True)
class Seen:
    """One trial. ``source`` and ``stop`` are where its answer stands in the prompt, in tokens; the response begins with
    ``num_begun`` tokens of what it had to be.

    ``is_predicted``: exact arithmetic finds the needle. ``is_expected``: the engine found what it had to find, or missed
    what it had to miss.
    """

    length: int
    depth: float
    source: int | None
    num_begun: int
    is_expected: bool
    is_predicted: bool = True
    stop: int = 0

    def crosses(self, chunk: int, ngram: int) -> bool:
        """Whether a border between chunks of so many tokens lies in the answer or in the n-gram before it."""
        return self.source is not None and (self.source - ngram) // chunk != (max(self.source, self.stop - 1)) // chunk


@dataclass(frozen=True)
class Fault:
    """``name`` is one of this module's; ``evidence`` a sentence for people."""

    name: str
    evidence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}"


def diagnose(
    trials: Sequence[Seen], control: Sequence[Seen] = (), kv_cache_dtype: str = "bfloat16", chunk: int = 0, ngram: int = 6
) -> Fault | None:
    """The fault that explains the trials; None where all are as expected.

    ``control`` are trials of the same length under an unquantized KV cache where ``kv_cache_dtype`` is quantized, else short ones.
    Patterns: found where exact arithmetic loses it, a window or chunk that does not hold; begun right and then lost everywhere,
    prefill and decode disagree about positions; lost everywhere from the first token on under a quantized cache alone, its scale,
    or even where short, positions; lost across the borders of the engine's steps of ``chunk`` tokens alone, positions again; lost in
    one range of tokens, at whatever length or depth, and found on both sides of it, the memory of that range.
    """
    wrong = [trial for trial in trials if not trial.is_expected]
    if not wrong:
        return None
    share = f"{len(wrong)} of {len(trials)} trials are wrong"
    if beyond := [trial for trial in wrong if not trial.is_predicted]:
        places = ", ".join(f"{trial.source:,}" for trial in beyond[:4] if trial.source is not None)
        return Fault(REACH, f"{len(beyond)} needles beyond the model's window or chunk are found ({share}, answers at {places})")
    if len(wrong) == len(trials):
        if all(trial.num_begun for trial in wrong):
            return Fault(POSITIONS, f"every answer begins right and then strays ({share}, down to {min(t.length for t in wrong):,} tokens)")
        if control and all(trial.is_expected for trial in control) and kv_cache_dtype in UNQUANTIZED:
            return Fault(UNKNOWN, f"{share}, none of {len(control)} at {min(trial.length for trial in control):,} tokens")
        if control and all(trial.is_expected for trial in control):
            return Fault(SCALE, f"{share} under {kv_cache_dtype} from their first token on, none of {len(control)} without it")
        if control:
            return Fault(POSITIONS, f"{share}, without a quantized cache too, at every length and depth: no token finds the one before it")
        return Fault(UNKNOWN, f"{share}, at every length and depth")
    if chunk and all(trial.crosses(chunk, ngram) for trial in wrong):
        places = ", ".join(f"{trial.source:,}" for trial in wrong[:4])
        return Fault(POSITIONS, f"all that is lost lies across the border of two steps of {chunk} tokens ({share}, answers at {places})")
    if (found := _block(trials, wrong)) is not None:
        return found
    lengths = sorted({trial.length for trial in wrong})
    return Fault(UNKNOWN, f"{share}, at lengths {', '.join(f'{length:,}' for length in lengths)}, in no range of tokens of their own")


def _block(trials: Sequence[Seen], wrong: Sequence[Seen]) -> Fault | None:
    """The range of tokens that holds all lost needles and no found one."""
    lost = [trial.source for trial in wrong if trial.source is not None]
    if len(lost) < len(wrong):
        return None
    first, last = min(lost), max(lost)
    kept = [trial.source for trial in trials if trial.is_expected and trial.source is not None]
    if any(first <= source <= last for source in kept):
        return None
    before = max((source for source in kept if source < first), default=None)
    after = min((source for source in kept if source > last), default=None)
    if before is None or after is None:  # all up to a place, or all from one on: no block
        return None
    lost_there = f"needles at tokens {first:,} to {last:,} are lost ({len(wrong)} of {len(trials)} trials)"
    return Fault(BLOCK, f"{lost_there}, those at {before:,} and {after:,} are found")
