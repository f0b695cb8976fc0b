"""Turns of a conversation as text that is tokenised with the chat template's own control tokens between them.

What a template puts between two turns becomes one character of text here, which the tokenizer below turns into the
template's ids and back. So whatever places needles, cuts to a length or joins texts sees a character that several
tokens share, and cuts none of them apart. No other text ever becomes a control token.
"""

import hashlib
import re
from collections.abc import Sequence

import numpy as np

from niah.tokens.tokenizer import Encoding, Tokenizer

REPLY, NEXT = "\u2028", "\u2029"
"""Where the user's turn ends and the assistant's begins, and the other way round: line and paragraph separator."""
_MARKS = re.compile(f"([{REPLY}{NEXT}])")
_CUT = "\ufffd"
_TAIL = 512
"""Tokens of an end that are looked at for the last mark, before all are."""


def plain(text: str) -> str:
    """Text that holds neither mark."""
    return text.replace(REPLY, "\n").replace(NEXT, "\n")


class TurnTokenizer:
    """``base``, the model's own, with the ids of ``reply`` and ``next_turn`` for the two marks."""

    def __init__(self, base: Tokenizer, reply: Sequence[int], next_turn: Sequence[int]):
        self._base = base
        self._ids = {REPLY: np.array(reply, dtype=np.int32), NEXT: np.array(next_turn, dtype=np.int32)}
        self.controls, self.first_ids, self.stop_ids = base.controls, base.first_ids, base.stop_ids
        self.chat_template, self.template_name = base.chat_template, base.template_name
        self.template_variables = base.template_variables
        self._of_control = frozenset(base.controls.values())

    @property
    def sha256(self) -> str:
        marks = " ".join(str(ids.tolist()) for ids in self._ids.values())
        return hashlib.sha256(f"{self._base.sha256} {marks}".encode()).hexdigest()

    @property
    def num_ids(self) -> int:
        return self._base.num_ids

    def encode(self, text: str) -> Encoding:
        ids, starts, stops = [np.empty(0, np.int32)], [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        place = 0
        for part in _MARKS.split(text):
            if part in self._ids:
                own = self._ids[part]
                ids.append(own)
                starts.append(np.full(len(own), place, np.int64))
                stops.append(np.full(len(own), place + 1, np.int64))
            elif part:
                encoding = self._base.encode(part)
                ids.append(encoding.ids)
                starts.append(encoding.starts + place)
                stops.append(encoding.stops + place)
            place += len(part)
        return Encoding(np.concatenate(ids), np.concatenate(starts), np.concatenate(stops))

    def encode_ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        parts = [_MARKS.split(text) for text in texts]
        encoded = iter(self._base.encode_ids([part for own in parts for part in own if part and part not in self._ids]))

        def ids(own: list[str]) -> np.ndarray:
            found = (self._ids[part] if part in self._ids else next(encoded) for part in own if part)
            return np.concatenate([np.empty(0, np.int32), *found])

        return [*map(ids, parts)]

    def decode(self, ids: Sequence[int] | np.ndarray) -> str:
        held = np.asarray(ids, dtype=np.int32)
        first, last = self._cut_at_the_beginning(held), len(held)
        last -= self._cut_at_the_end(held[first:])
        texts, done = [_CUT] if first else [], first
        for place, mark in self._marks(held[first:last]):
            texts += [self._base.decode(held[done : first + place]), mark]
            done = first + place + len(self._ids[mark])
        texts.append(self._base.decode(held[done:last]))
        return "".join([*texts, *([_CUT] if last < len(held) else [])])

    def decode_one(self, token: int) -> str:
        return self._base.decode_one(token)

    def reference(self, text: str) -> list[int]:
        return self._base.reference(text)

    def _marks(self, ids: np.ndarray) -> list[tuple[int, str]]:
        """Where each whole mark begins in the ids."""
        found = []
        for mark, own in self._ids.items():
            places = np.flatnonzero(ids[: max(0, len(ids) - len(own) + 1)] == own[0])
            found += [(int(place), mark) for place in places if np.array_equal(ids[place : place + len(own)], own)]
        return sorted(found)

    def _cut_at_the_end(self, ids: np.ndarray) -> int:
        """How many of the last ids are the beginning of a mark, or its middle where nothing else is there."""
        for own in self._ids.values():
            for size in range(len(own) - 1, 0, -1):
                kept = min(size, len(ids))
                if kept and np.array_equal(ids[-kept:], own[size - kept : size]) and self._holds_a_control(ids[-kept:]):
                    return kept
        return 0

    def _cut_at_the_beginning(self, ids: np.ndarray) -> int:
        """How many of the first ids are the end of a mark."""
        for own in self._ids.values():
            for size in range(min(len(own) - 1, len(ids)), 0, -1):
                if np.array_equal(ids[:size], own[-size:]) and self._holds_a_control(ids[:size]):
                    return size
        return 0

    def _holds_a_control(self, ids: np.ndarray) -> bool:
        return any(int(one) in self._of_control for one in ids)


def is_users(pieces: Sequence[str | np.ndarray], tokenizer: Tokenizer) -> bool:
    """Whether a conversation that began with the user's turn ends in one of the user's."""
    for piece in reversed(pieces):
        for text in (piece,) if isinstance(piece, str) else map(tokenizer.decode, (piece[-_TAIL:], piece)):
            if (at := max(text.rfind(REPLY), text.rfind(NEXT))) >= 0:
                return text[at] == NEXT
    return True
