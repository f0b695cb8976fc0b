"""Where a model's thinking ends and its answer begins: the delimiters of model families, and the cut itself.

A template may open a section in the prompt, so that only its end is in the response; a budget may end inside one.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import regex

Pair = tuple[str, str]
"""What opens a section of thinking and what closes it, as text."""

FAMILIES: tuple[Pair, ...] = (
    ("[THINK]", "[/THINK]"),  # Mistral: Magistral, Small 4 (vllm/parser/mistral.py)
    ("<|channel>", "<channel|>"),  # Gemma 4, "<|channel>thought" (vllm/reasoning/gemma4_utils.py)
    ("<|START_THINKING|>", "<|END_THINKING|>"),  # Cohere Command (vllm/reasoning/cohere_command_reasoning_parser.py)
    ("◁think▷", "◁/think▷"),  # Kimi (the chat templates of Kimi-VL and Kimi-Dev)
    ("<|open|>think<|sep|>", "<|close|>think<|sep|>"),  # Kimi K3 (vllm/reasoning/kimi_k3_reasoning_parser.py)
    ("<|inner_prefix|>", "<|inner_suffix|>"),  # Apertus (its chat template)
    ("<|begin_of_thought|>", "<|end_of_thought|>"),  # Sky-T1, OpenThinker (their model cards)
    ("to=self<|message|>", "<|eom|>"),  # MuseGlimmer (vllm/reasoning/muse_glimmer_reasoning_parser.py)
    # Granite 3.2 (vllm/reasoning/granite_reasoning_parser.py)
    ("Here is my thought process:", "Here is my response:"),
    ("Here's my thought process:", "Here's my response:"),
)
"""Families whose delimiters are no tags, each with where they are written down; ``_TAG`` has the tags."""
_WORDS = "think|thinking|think_fast|think_faster|thought|thoughts|reasoning|reflection"
_TAG = rf"(?:\w+[:|])?(?:{_WORDS})(?::[^\s<>]+)?>"
"""<think> (DeepSeek, Qwen, GLM, MiniMax, Hunyuan, Step, Granite 3.3, Olmo 3), <seed:think> (ByteDance Seed),
<mm:think> (MiniMax M3), <ifm|think_fast> (K2), <think:NAME> (Hy), <thinking>, <thought> (EXAONE Deep), <reasoning>:
vllm/reasoning has each."""
_CHANNEL = regex.compile(
    r"(?:<\|start\|>\s*assistant[^<]*)?<\|channel\|>\s*(\w*)[^<]*(?:<\|constrain\|>[^<]*)?(?:<\|message\|>|\Z)"
)
"""A section of harmony, the form of gpt-oss: its channel is analysis, commentary or final
(vllm/reasoning/gptoss_reasoning_parser.py)."""
_CHANNEL_END = regex.compile(r"<\|(?:end|return|call)\|>|(?=<\|start\|>|<\|channel\|>)|\Z")
_BARE_HARMONY = regex.compile(r"\Aanalysis(?=\S)(.*?)assistantfinal", regex.DOTALL)
"""The same where a server left all control tokens out."""
_WRAPPERS = regex.compile(
    r"<\|START_RESPONSE\|>|<\|END_RESPONSE\|>|<\|(?:open|close)\|>response<\|sep\|>|<\|close\|>message<\|sep\|>"
    r"|<\|(?:begin|end)_of_solution\|>|to=user<\|message\|>"
)
"""What stands around the answer that follows a section; it is no part of it."""
_WRAPPED = regex.compile(r"\A\s*<(answer|response)>(.*?)(?:</\1>\s*)?\Z", regex.DOTALL)
"""Tags around all of the answer that follows a section (Hunyuan, Ernie, Granite)."""
_LABEL = regex.compile(r"\A\s*thought\s*\n")
"""Gemma's name of the channel, which is no thought."""


@dataclass(frozen=True)
class Cut:
    """A response as ``answer`` and ``thinking``; ``sections`` are the (start, stop) in characters that were cut.

    ``is_open``: the last section does not end, so that nothing after it can be an answer.
    """

    answer: str
    thinking: str
    sections: tuple[tuple[int, int], ...]
    is_open: bool


@dataclass(frozen=True)
class _Mark:
    """A delimiter found at [start, stop): of which family, and whether it opens."""

    start: int
    stop: int
    family: str
    opens: bool

    @property
    def is_sentence(self) -> bool:
        """Plain words, which may stand in any answer: without its beginning it ends nothing."""
        return self.family[0].isalpha() and " " in self.family


def cut(response: str, extra: Sequence[Pair] = (), opened: str | None = None) -> Cut:
    """The response cut into answer and thinking. What is cut leaves a space; without any all stays as it is.

    ``extra`` are a model's own delimiters beside those known here. ``opened`` is what ``left_open`` found in the
    prompt, None where it left nothing open.
    """
    if "<|channel|>" in response or opened == "harmony":
        sections, answers, is_open = _channels(response, opened == "harmony")
        inner = [_CHANNEL.sub("", response[start:stop]) for start, stop in sections]
        thinking = [regex.sub(r"<\|(?:end|call|start)\|>", "", text).strip() for text in inner]
        return Cut(" ".join(answers).strip(), "\n\n".join(filter(None, thinking)), tuple(sections), is_open)
    if bare := _BARE_HARMONY.match(response):
        return Cut(response[bare.end() :].strip(), bare[1].strip(), ((0, bare.end()),), False)
    marks = _marks(response, extra)
    sections, is_open = _sections(marks, len(response), opened)
    if not sections:
        return Cut(response, "", (), False)
    places = [0, *(place for section in sections for place in section), len(response)]
    outside = [response[start:stop] for start, stop in zip(places[::2], places[1::2], strict=True)]
    answer = " ".join(part for part in outside if part).strip()
    answer = _WRAPPERS.sub(" ", answer).strip()
    if wrapped := _WRAPPED.match(answer):
        answer = wrapped[2].strip()
    ends = {mark.start: mark for mark in marks} | {mark.stop: mark for mark in marks}
    thoughts = []
    for start, stop in sections:
        first, last = ends.get(start), ends.get(stop)
        inside = response[first.stop if first and first.opens else start : last.start if last else stop]
        thoughts.append(_LABEL.sub("", inside).strip())
    return Cut(answer, "\n\n".join(filter(None, thoughts)), tuple(sections), is_open)


def left_open(end_of_prompt: str, extra: Sequence[Pair] = ()) -> str | None:
    """The family whose section the end of a prompt leaves open, so that the response begins inside it; else None."""
    if (at := end_of_prompt.rfind("<|channel|>")) >= 0:
        found = _CHANNEL.search(end_of_prompt, at)
        is_thought = found is not None and found[1] in ("analysis", "commentary")
        return "harmony" if is_thought and not regex.search(r"<\|(?:end|call)\|>", end_of_prompt[at:]) else None
    marks = _marks(end_of_prompt, extra)
    return marks[-1].family if marks and marks[-1].opens else None


def _marks(text: str, extra: Sequence[Pair]) -> list[_Mark]:
    """All delimiters, in reading order; of two at one place the longer."""
    found = [
        _Mark(match.start(), match.end(), match[2].casefold(), not match[1])
        for match in regex.finditer(rf"<(/?)({_TAG})", text, regex.IGNORECASE)
    ]
    for opening, closing in (*FAMILIES, *extra):
        for delimiter, opens in ((opening, True), (closing, False)):
            at = text.find(delimiter)
            while at >= 0:
                found.append(_Mark(at, at + len(delimiter), opening, opens))
                at = text.find(delimiter, at + len(delimiter))
    kept: list[_Mark] = []
    for mark in sorted(found, key=lambda mark: (mark.start, -mark.stop)):
        if not kept or mark.start >= kept[-1].stop:
            kept.append(mark)
    return kept


def _sections(marks: Sequence[_Mark], size: int, opened: str | None) -> tuple[list[tuple[int, int]], bool]:
    """The sections of thinking in a text of ``size`` characters, and whether the last one is open.

    Sections may be nested. Where one ends more seldom than it begins, as in a thought about the tag itself, its last
    end counts; an end without a beginning ends what stands before it.
    """
    sections: list[tuple[int, int]] = []
    begun: int | None = 0 if opened else None
    family, depth, place = opened, 1 if opened else 0, 0
    closed_at: int | None = None
    after = 0
    while True:
        if place == len(marks):
            if begun is None:
                return sections, False
            if closed_at is None:
                return [*sections, (begun, size)], True
            sections.append((begun, closed_at))  # a beginning too many: go on behind its last end
            place, begun, depth, closed_at = after, None, 0, None
            continue
        mark = marks[place]
        place += 1
        if begun is None:
            if mark.opens:
                begun, family, depth, closed_at = mark.start, mark.family, 1, None
            elif not mark.is_sentence:
                sections.append((sections[-1][1] if sections else 0, mark.stop))
        elif mark.family == family:
            depth += 1 if mark.opens else -1
            if not mark.opens:
                closed_at, after = mark.stop, place
            if depth == 0:
                sections.append((begun, mark.stop))
                begun, closed_at = None, None


def _channels(text: str, is_opened: bool) -> tuple[list[tuple[int, int]], list[str], bool]:
    """Sections of harmony that are no answer, the texts that are, and whether nothing but an open thought is there."""
    sections: list[tuple[int, int]] = []
    answers: list[str] = []
    is_open, place = False, 0
    if is_opened:
        end = _CHANNEL_END.search(text)
        place = end.end() if end else len(text)
        sections.append((0, place))
        is_open = place == len(text)
    while header := _CHANNEL.search(text, place):
        answers.append(text[place : header.start()].strip())
        end = _CHANNEL_END.search(text, header.end())
        stop, until = (end.start(), end.end()) if end else (len(text), len(text))
        if header[1] == "final":
            answers.append(text[header.end() : stop].strip())
            is_open = False
        else:
            sections.append((header.start(), until))
            is_open = stop == len(text)
        place = max(until, header.end())
    rest = regex.sub(r"<\|(?:start\|>\s*assistant[^<]*|return\|>|end\|>|call\|>)", "", text[place:]).strip()
    return sections, [part for part in (*answers, rest) if part], is_open
