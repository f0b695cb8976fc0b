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
class TrialCheck:
    """One trial beside what had to come out. ``source`` and ``stop`` are where its answer stands in the prompt, in
    tokens; the response begins with ``num_begun`` tokens of what it had to be.

    ``is_predicted``: exact arithmetic finds the needle. ``is_expected``: the engine found what it had to find, or
    missed what it had to miss.
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
        more = "; edges and pressure look for more (docs/faults.md)" if self.name == UNKNOWN else ""
        return f"{self.name}: {self.evidence}{more}"


def diagnose(
    trials: Sequence[TrialCheck], control: Sequence[TrialCheck] = (), kv_cache_dtype: str = "bfloat16", chunk: int = 0,
    ngram: int = 6,
) -> Fault | None:
    """The fault that explains the trials; None where all are as expected.

    ``control`` are trials of the same length under an unquantized KV cache where ``kv_cache_dtype`` is quantized, else
    short ones. The patterns, and the faults they are signs of:

    - needles found where exact arithmetic loses them: a window or chunk that does not hold;
    - all answers begun right and then lost: prefill and decode disagree about positions;
    - all lost from the first token on, under a quantized cache alone: its scale; short ones too: positions;
    - lost only across the borders of the engine's steps of ``chunk`` tokens: positions again;
    - lost in one range of tokens, at whatever length or depth, and found on both sides of it: the memory of that range.
    """
    wrong = [trial for trial in trials if not trial.is_expected]
    if not wrong:
        return None
    share = f"{len(wrong)} of {len(trials)} trials are wrong"
    if beyond := [trial for trial in wrong if not trial.is_predicted]:
        places = ", ".join(f"{trial.source:,}" for trial in beyond[:4] if trial.source is not None)
        needles = f"{len(beyond)} needles beyond the model's window or chunk are found"
        return Fault(REACH, f"{needles} ({share}, answers at {places})")
    if len(wrong) == len(trials):
        return _all_wrong(wrong, control, kv_cache_dtype, share)
    if chunk and all(trial.crosses(chunk, ngram) for trial in wrong):
        places = ", ".join(f"{trial.source:,}" for trial in wrong[:4])
        borders = f"all that is lost lies across the border of two steps of {chunk} tokens"
        return Fault(POSITIONS, f"{borders} ({share}, answers at {places})")
    if (found := _block(trials, wrong)) is not None:
        return found
    lengths = ", ".join(f"{length:,}" for length in sorted({trial.length for trial in wrong}))
    return Fault(UNKNOWN, f"{share}, at lengths {lengths}, in no range of tokens of their own")


def _all_wrong(wrong: Sequence[TrialCheck], control: Sequence[TrialCheck], kv_cache_dtype: str, share: str) -> Fault:
    """The fault where no trial is as expected; the control trials decide."""
    if all(trial.num_begun for trial in wrong):
        shortest = min(trial.length for trial in wrong)
        return Fault(POSITIONS, f"every answer begins right and then strays ({share}, down to {shortest:,} tokens)")
    if not control:
        return Fault(UNKNOWN, f"{share}, at every length and depth")
    if not all(trial.is_expected for trial in control):
        where = "without a quantized cache too, at every length and depth"
        return Fault(POSITIONS, f"{share}, {where}: no token finds the one before it")
    if kv_cache_dtype in UNQUANTIZED:
        shortest = min(trial.length for trial in control)
        return Fault(UNKNOWN, f"{share}, none of {len(control)} at {shortest:,} tokens")
    evidence = f"{share} under {kv_cache_dtype} from their first token on, none of {len(control)} without it"
    return Fault(SCALE, evidence)


def _block(trials: Sequence[TrialCheck], wrong: Sequence[TrialCheck]) -> Fault | None:
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
