"""What a constructed model has to know of a tokenizer: how many ids, which end a sentence, which one stops."""

from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.tokens.tokenizer import Tokenizer

_CLOSING = frozenset(".!?。！？؟।…\"'”’»)")
_ENDING = frozenset(".!?。！？؟।")
_SPELLED = ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f", "-", ".")
_MULTIPLE = 64


@dataclass(frozen=True)
class Vocabulary:
    """``size`` counts ids, rounded up to what kernels like. ``stop`` is the id that ends an answer.

    ``is_end``: bool (size,), tokens of nothing but the end of a sentence.
    """

    size: int
    is_end: np.ndarray
    stop: int

    @property
    def ends(self) -> frozenset[int]:
        return frozenset(np.flatnonzero(self.is_end).tolist())


def of(tokenizer: Tokenizer, where: str) -> Vocabulary:
    """Raises NiahError for a tokenizer that cannot write needles apart, or has nothing to stop with."""
    spelled = [_ids(tokenizer, sign) for sign in _SPELLED]
    wrong = [
        sign for sign, ids in zip(_SPELLED, spelled, strict=True) if not ids or tokenizer.decode(ids).strip() != sign
    ]
    if wrong or len(set(spelled)) < len(_SPELLED):
        same = [sign for sign, ids in zip(_SPELLED, spelled, strict=True) if spelled.count(ids) > 1]
        raise NiahError(
            f"{where}: {tokenizer.num_ids:,} ids are too few for the codes of needles; "
            f"{', '.join(map(repr, wrong or same))} cannot be told from others; "
            "expected an id or more of its own for each digit, letter and mark; take another tokenizer"
        )
    if not tokenizer.stop_ids:
        raise NiahError(f"{where}: has no token that ends an answer; expected an eos_token; take another tokenizer")
    size = -(-tokenizer.num_ids // _MULTIPLE) * _MULTIPLE
    is_end = np.zeros(size, dtype=bool)
    controls = set(tokenizer.controls.values())
    for token in range(tokenizer.num_ids):
        if token not in controls:
            text = tokenizer.decode_one(token).strip()
            is_end[token] = bool(text) and text[0] in _ENDING and set(text) <= _CLOSING
    return Vocabulary(size, is_end, tokenizer.stop_ids[0])


def _ids(tokenizer: Tokenizer, sign: str) -> tuple[int, ...]:
    """Empty where it has none; a vocabulary of whole words without one for the unknown raises a bare Exception."""
    try:
        return tuple(tokenizer.encode(sign).ids.tolist())
    except Exception:
        return ()
