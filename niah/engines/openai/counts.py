"""Whether a server read all of a prompt that it tokenised itself: what it ought to count, and what it counted."""

from dataclasses import dataclass, field

from niah.engines.reply import Unusable
from niah.records import Prompt

_SEAMS = 2
"""Tokens by which a count may fall short where text of the prompt meets text of the template."""


@dataclass
class Counts:
    """``least`` is the share of our tokens that a server of another tokenizer must count; 0: counts are not looked at.

    ``offset`` is what a server of the same tokenizer counts beyond ours, its template's words, as short prompts show;
    None where its tokenizer is another, or where that is not known.
    """

    least: float
    is_exact: bool
    offset: int | None = None
    _whole: dict[int, int] = field(default_factory=dict)

    def read(self, prompt: Prompt, counted: int | None, cached: int | None) -> int:
        """Tokens of this prompt that the server read; ours where it does not count.

        Raises Unusable where it read fewer than it was sent, or, of ids, others.
        """
        sent = len(prompt.ids)
        if counted is None or (self.least == 0 and self.is_exact):
            return sent
        if self.least == 0:
            return counted
        expected = sent if self.is_exact else None if self.offset is None else sent + self.offset
        if expected is not None and cached and abs(counted + cached - expected) <= (0 if self.is_exact else _SEAMS):
            counted += cached  # it counts what its prefix cache did not hold, and says how much that is
        if self.is_exact:
            is_whole = counted == sent
        elif expected is not None:
            is_whole = counted >= expected - _SEAMS
        else:
            is_whole = counted >= self.least * sent
        if is_whole:
            self._whole[prompt.repeat] = max(counted, self._whole.get(prompt.repeat, 0))
            return counted
        beside = self._whole.get(prompt.repeat, 0)
        suspected = (
            f"; it counted {beside:,} of a prompt that begins alike, so it may leave out what its prefix cache held; "
            "if so, engine.min_counted=0 takes its counts for nothing"
        ) if counted < beside else ""
        if self.is_exact:
            read = f"the server read {counted:,} tokens of the {sent:,} sent; expected all of them and no others"
            raise Unusable(read + suspected)
        about = f"about {sent:,}" if expected is None else f"{expected:,}, by its own count of a short prompt"
        if suspected:
            raise Unusable(f"the server counted {counted:,} tokens of {about}{suspected}")
        raise Unusable(
            f"the server counted {counted:,} tokens of {about}: it cut the prompt to its own limit; start it with a "
            "larger one (Ollama: num_ctx), or, if its tokenizer is another than model='s, lower engine.min_counted"
        )
