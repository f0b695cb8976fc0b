"""From a trial to its prompt, and again from a stored row: the one path that ``run``, ``build`` and ``show`` take."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from niah import disk, grid, languages
from niah.config import Run
from niah.engines.thinking import Ending
from niah.errors import NiahError
from niah.haystacks import corpus
from niah.models.files import ModelFiles
from niah.models.load_tokenizer import load_tokenizer
from niah.models.resolve import files_at_hand, files_of
from niah.prompts import context, conversation, exact, forced_answer, shared, template, thinking_end
from niah.readers import Material, Reader
from niah.readers.full import Full
from niah.readers.retrieval.blocks import Blocks
from niah.records import Context, Problem, Prompt, Row, Sources, Stretch, Trial, View
from niah.scorers.thinking import Pair
from niah.tasks import Task
from niah.tokens.splice import splice
from niah.tokens.tokenizer import Tokenizer
from niah.tokens.turns import TurnTokenizer
from niah.units import format_length

_SHARED = 8
"""Shared contexts kept: as many as engines may work on at once."""
_SAMPLE = 8192
"""Tokens of the first draft of a text that a task writes itself."""
_SEAMS = 16
"""Tokens by which the seams of a view may lengthen it."""


@dataclass(frozen=True)
class Built:
    """Everything made for one trial on the way to its prompt."""

    problem: Problem
    stretch: Stretch
    context: Context
    view: View
    prompt: Prompt


class Recipe:
    """A run's settings with its tokenizer and haystack loaded; needs no engine and no weights.

    ``unfit`` gives the reason for each length whose context the model could not read. ``longest`` is the length that
    the texts are made for, ``numbers`` those of the trials by length, depth and repeat, where the run's folder holds
    more than is asked for.
    """

    def __init__(self, run: Run, longest: int = 0, numbers: Mapping[tuple[int, float, int], int] | None = None):
        self.run = run
        self._longest = max(longest, *run.ctx.lengths)
        self._numbers = numbers
        self.unfit = grid.above_limit(run.ctx, run.model.limit, run.model.name) if run.reader.reads_all else {}

    def checked(self) -> "Recipe":
        """The same, every byte of its cached files read once: what was damaged is made anew."""
        places = [self.files.folder] if not self.run.model.tokenizer else []
        places += [self.corpus.text_path.parent] if self.corpus else []
        damaged = {place: disk.damage(place, is_whole=True) for place in places if disk.is_cached(place)}
        for place, why in damaged.items():
            if why:
                disk.drop(place, why)
        return Recipe(self.run) if any(damaged.values()) else self

    def within(self, longest: int, numbers: Mapping[tuple[int, float, int], int]) -> "Recipe":
        """The same trials as those of a folder that holds lengths up to ``longest``, with their numbers there."""
        if not self.run.haystack.endless:
            longest = 0  # all of the text is there whatever the length
        if longest <= self._longest and all(
            numbers[trial.length, trial.depth, trial.repeat] == trial.index for trial in self.trials
        ):
            return self
        other = Recipe(self.run, longest, numbers)
        made = ("files", "tokenizer", "_text_tokenizer", "delimiters")
        kept = (*made, *(() if other._longest > self._longest else ("corpus", "_blocks")))
        other.__dict__.update({name: self.__dict__[name] for name in kept if name in self.__dict__})
        return other

    @cached_property
    def files(self) -> ModelFiles:
        """The model's; where nobody reads them, as the engine holds no model and the tokenizer is another's, no hub is
        asked for them."""
        model = self.run.model
        return files_of(model) if self.run.engine.holds_a_model or not model.tokenizer else files_at_hand(model)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return load_tokenizer(self.run.model, lambda: self.files)

    @cached_property
    def _text_tokenizer(self) -> Tokenizer:
        """The tokenizer that texts are built with: the model's own, which knows turns where they are a conversation."""
        return conversation.tokenizer(self.tokenizer, self.run) if self.run.haystack.is_conversation else self.tokenizer

    @cached_property
    def delimiters(self) -> tuple[Pair, ...]:
        """What the model's own chat template puts around thinking, where it is none of the families known."""
        return template.thinking_delimiters(self.tokenizer, self.run.model.template_arguments)

    @cached_property
    def thinking_end(self) -> Ending:
        """How the model's thinking is ended where its budget is used up. Raises NiahError for one that does not
        think."""
        return thinking_end.ending(self.tokenizer, self.run.model)

    @cached_property
    def corpus(self) -> corpus.Corpus | None:
        """The haystack, or None for a task that writes the whole context."""
        if self.run.task.writes_context:
            return None
        return corpus.load(self.run.haystack, self._text_tokenizer, self._longest)

    @cached_property
    def _task(self) -> Task:
        """The run's, in turns where the context is a conversation."""
        return self.run.task.spoken() if self.run.haystack.is_conversation else self.run.task

    @cached_property
    def _blocks(self) -> Blocks:
        return Blocks(self.corpus.ids if self.corpus else np.empty(0, dtype=np.int32), self._text_tokenizer)

    @cached_property
    def trials(self) -> list[Trial]:
        found = grid.trials(self.run.ctx, has_depth=self.run.task.has_depth)
        if self._numbers is None:
            return found
        return [replace(one, index=self._numbers[one.length, one.depth, one.repeat]) for one in found]

    def holds(self, row: Row) -> bool:
        """Whether the grid has the row's length, depth and repeat."""
        ctx, depths = self.run.ctx, self.run.ctx.depths if self.run.task.has_depth else (0.0,)
        return row.length in ctx.lengths and row.depth in depths and row.repeat < ctx.repeats

    def trial_of(self, row: Row, where: str) -> Trial:
        """The trial of a stored row, under the row's number. Raises NiahError where the grid does not hold it;
        ``where`` is its folder."""
        if not self.holds(row):
            raise NiahError(
                f"{where}: trial {row.trial} is none of this run's: it has no length {row.length:,}, depth "
                f"{row.depth:g} and repeat {row.repeat}; expected rows of its own"
            )
        return Trial(row.trial, row.length, row.depth, row.repeat)

    def sources(self) -> Sources:
        """Where text and tokens come from, without what is said of the model."""
        reader = self.run.reader.identity()
        source = self.corpus
        if source is None:
            return Sources(self.tokenizer.sha256, self.run.task.source_sha256(), reader)
        return Sources(
            self.tokenizer.sha256, source.sha256, reader, source.unique_tokens, source.num_documents,
            list(source.skipped), source.haystack.licence, task_sha256=self.run.task.source_sha256() or "",
        )

    def notes(self) -> list[str]:
        """What a user should know before anything runs: documents left out, another language, text that repeats."""
        lines = self.run.task.notes(self.run.ctx.repeats)
        if not (source := self.corpus):
            return lines
        if source.skipped:
            lines.append(f"haystack {source.haystack.name}: left out {len(source.skipped)}; first: {source.skipped[0]}")
        if source.haystack.is_of_the_user and self.run.task.language == "auto":
            text, own = languages.likely(source.beginning()), source.haystack.language
            if text and text != own and own in languages.CODES:
                lines.append(
                    f"haystack {source.haystack.name}: the text looks like {text}, needles and questions are {own}; "
                    f"haystack.language={text} puts them into the text's language, task.language={own} says that it is "
                    "meant so"
                )
        longest = max(self.run.ctx.lengths)
        if (share := source.repeated_share(longest)) and not source.haystack.repetitive:
            lines.append(
                f"haystack {source.haystack.name}: {source.num_tokens:,} tokens of unique text, so {share:.0%} of a "
                f"context of {format_length(longest)} repeats; "
                "haystack=mixed or generated does not, haystack.repeat=forbid refuses"
            )
        return lines

    @lru_cache(maxsize=8)  # noqa: B019 - a recipe lives as long as its run
    def of_repeat(self, repeat: int) -> tuple[Problem, Stretch, template.Frame]:
        """What all lengths and depths of a repeat share."""
        problem, frame = self._asked_in(repeat)
        return problem, self._stretch(repeat, problem.left_out), frame

    @lru_cache(maxsize=8)  # noqa: B019
    def _asked_in(self, repeat: int) -> tuple[Problem, template.Frame]:
        """The same without its text, which takes ten times as long to cut."""
        run, source = self.run, self.corpus
        assert source is not None, "a task that writes the whole context asks of_length"
        problem = _checked(run.task.problem_of(repeat, grid.generator(run.seed, repeat, "problem"), source), run.task)
        self._check_budget(problem)
        return self._planted(problem), self._frame(problem)

    def _planted(self, problem: Problem) -> Problem:
        """Its needles as they stand in the haystack's text."""
        return replace(problem, needles=tuple(self.run.haystack.planted(needle) for needle in problem.needles))

    def _stretch(self, repeat: int, without: str = "") -> Stretch:
        """The text of a repeat, long enough for all lengths; without a document that is planted in it."""
        assert self.corpus is not None
        rng = grid.generator(self.run.seed, repeat, "stretch")
        return self.corpus.stretch(max(self.run.ctx.lengths), rng, self._text_tokenizer, without=without)

    def _own_text(self, trial: Trial, place: int) -> Stretch:
        """The text that no other length and place of the repeat has, where places are exact."""
        if self.corpus is None:
            raise NiahError(f"ctx.stem: task={self.run.task.name} writes its own context; expected task=single")
        rng = grid.generator(self.run.seed, trial.repeat, f"own text {trial.length} {place}")
        return self.corpus.stretch(trial.length, rng, self._text_tokenizer, by_sentence=True)

    def shared_text(self, trial: Trial) -> shared.SharedText:
        """The text that the trial shares with others (``ctx.share``)."""
        return self._shared_text(trial.repeat, () if self.run.ctx.share == grid.BY_REPEAT else (trial.length,))

    @lru_cache(maxsize=_SHARED)  # noqa: B019
    def _shared_text(self, repeat: int, only: tuple[int, ...]) -> shared.SharedText:
        """That of all lengths of a repeat, or of the ``only`` one."""
        run, lengths = self.run, only or tuple(sorted(set(self.run.ctx.lengths)))
        assert self.corpus is not None, "a task that writes its context shares none"
        asked = shared.questions(lengths, run.ctx.depths)
        problems = run.task.shared(grid.generator(run.seed, repeat, "problem"), self.corpus, len(asked))
        for problem in problems:
            self._check_budget(problem)
        return shared.text(
            self._text_tokenizer, self._stretch(repeat), asked, [*map(self._planted, problems)],
            [*map(self._frame, problems)], {length: length - run.answer_tokens for length in lengths},
            run.task.placement, grid.generator(run.seed, repeat, "depths"), f"ctx.share={run.ctx.share}",
        )

    @lru_cache(maxsize=4)  # noqa: B019
    def of_length(self, repeat: int, length: int) -> tuple[Problem, Stretch, template.Frame]:
        """The same for a task that writes the context itself, for one length."""
        run, task = self.run, self._task.at(length)

        def num_tokens_of(text: str) -> int:
            return sum(map(len, self._text_tokenizer.encode_ids(list(corpus.chunks([text], "")))))

        # the words around the text do not depend on its size: a small one shows how much room they take
        sample = min(length - run.answer_tokens, _SAMPLE)
        rng = grid.generator(run.seed, repeat, "problem")
        problem = _checked(task.fill(rng, run.haystack.language, sample, num_tokens_of), task)
        frame = self._frame(problem)
        room = length - run.answer_tokens - splice(self._text_tokenizer, frame.around(("",))).num_tokens
        if room < 1:
            raise NiahError(f"ctx.lengths={length:,}: question and example do not fit; expected a longer length")
        rng = grid.generator(run.seed, repeat, "problem")
        problem = task.fill(rng, run.haystack.language, room, num_tokens_of)
        self._check_budget(problem)
        if problem.documents:
            stretch = Stretch(np.empty(0, np.int32), task.name, 0, _repeated_share(problem.documents))
            return problem, stretch, self._frame(problem)
        assert problem.text is not None, "a task that fills the context writes its text"
        ids = np.concatenate(corpus.tokenise(corpus.chunks([problem.text], ""), self._text_tokenizer))
        return problem, Stretch(ids, task.name, 0), self._frame(problem)

    def build(self, trial: Trial, reader: Reader | None = None) -> Built:
        """The prompt of a trial, exactly ``length - max_tokens`` ids when all of it is read.

        ``reader`` is another than the run's: that of a second step, or one that shows again what was shown once.
        Raises ServiceError where a server that the reader asks gives nothing.
        """
        run = self.run
        problem, stretch, frame = self._of(trial)
        max_tokens = run.answer_tokens
        num_prompt_tokens = trial.length - max_tokens
        where = f"ctx.lengths={trial.length:,}"
        if run.ctx.share != grid.APART:
            built, whole = self.shared_text(trial).built(trial.length, trial.depth, num_prompt_tokens, where)
        elif run.ctx.stem:
            place = grid.exact_place(trial.depth, run.ctx.measure)
            built, whole = exact.build(
                self._text_tokenizer, frame, stretch, self._own_text(trial, place), problem, place, num_prompt_tokens,
                run.ctx.stem, where,
            )
        else:
            rng = grid.generator(run.seed, trial.repeat, "depths")
            depths = grid.needle_depths(trial.depth, len(problem.needles), run.task.placement, rng)
            drawn = problem
            problem, placed = run.task.arranged(drawn, depths)
            if problem is not drawn:
                self._check_budget(problem)
                frame = self._frame(problem)
            built, whole = context.build(
                self._text_tokenizer, frame, stretch, problem, placed, num_prompt_tokens, where
            )
        material = Material(
            self._text_tokenizer, run.haystack.language, built, stretch, whole, frame.num_before, self._blocks
        )
        view = (reader or run.reader).read(built, problem, material)
        if view.instruction:  # it stands where an answer prefix would begin the answer
            asked = f"{problem.question} {view.instruction}"
            frame = self._frame(replace(problem, question=asked, answer_prefix=""))
        is_whole = view.pieces is built.pieces
        made = template.render(self._text_tokenizer, frame, view, problem, max_tokens, whole if is_whole else None)
        if is_whole and len(made.ids) != num_prompt_tokens:
            raise AssertionError(f"{where}: assembled {len(made.ids)} ids instead of {num_prompt_tokens}")
        if isinstance(self._text_tokenizer, TurnTokenizer):
            conversation.of_context(self._text_tokenizer, run, frame, built, problem, made.ids)
        if not is_whole and len(made.ids) + max_tokens > (most := self.num_read(trial)):
            raise NiahError(
                f"{where}: reader={run.reader.name} makes a prompt of {len(made.ids):,} tokens; expected at most "
                f"{most - max_tokens:,}; take a smaller reader.budget or reader.top_k, or a shorter reader.instruction"
            )
        if run.ctx.share != grid.APART or problem.question_id:  # the others are there for other questions, or around it
            needed = view.kept[: problem.num_needed]
            made = replace(made, num_needed=needed.count(True), num_missing=needed.count(False))
        begun = run.model.answer_prefix and not view.instruction
        forced = forced_answer.forced(self.tokenizer, problem, begun=begun, max_tokens=run.task.answer_tokens)
        return Built(problem, stretch, built, view, replace(made, forced=forced, repeat=trial.repeat))

    def rebuild(self, row: Row, sources: Sources, where: str) -> Built:
        """The prompt of a stored row, made again; ``sources`` are those of its run, ``where`` is its folder.

        Raises NiahError where its sha256 is another than the one that was sent.
        """
        built = self.build(self.trial_of(row, where), self.reader_of(row))
        if built.prompt.sha256 != row.prompt_sha256:
            own = self.sources()
            changed = [
                *(["haystack"] if sources.haystack_sha256 != own.haystack_sha256 else []),
                *(["tokenizer"] if sources.tokenizer_sha256 != own.tokenizer_sha256 else []),
                *(["task.path"] if sources.task_sha256 != own.task_sha256 else []),
            ]
            raise NiahError(
                f"{where}: trial {row.trial} cannot be rebuilt: "
                f"{' and '.join(changed) + ' changed since' if changed else 'this version builds another prompt'}; "
                f"got sha256 {built.prompt.sha256[:16]}, expected {row.prompt_sha256[:16]}"
            )
        return built

    def reader_of(self, row: Row) -> Reader:
        """The reader that shows again what the model saw in the trial of a stored row, whatever a server says today."""
        return Full() if row.route == "long" else self.run.reader.recalled(row)

    def num_read(self, trial: Trial) -> int:
        """The most tokens of this trial that the model reads and writes."""
        reader, answer_tokens = self.run.reader, self.run.answer_tokens
        if reader.reads_all:
            return trial.length
        if self.run.task.writes_context or self.run.ctx.share != grid.APART:
            problem, _, frame = self._of(trial)
        else:
            self._check_answer(trial)
            problem, frame = self._asked_in(trial.repeat)
        overhead = splice(self._text_tokenizer, frame.around(("",))).num_tokens
        needles = sum(len(self._text_tokenizer.encode(" " + needle).ids) for needle in problem.needles)
        shown = reader.max_tokens(max(1, trial.length - answer_tokens - overhead), needles)
        return min(trial.length, overhead + shown + answer_tokens + _SEAMS)

    def max_read(self, trials: Sequence[Trial]) -> int:
        """The same over many trials: what the engine has to be opened for."""
        ways = {(trial.repeat, trial.length): trial for trial in trials}
        return max(map(self.num_read, ways.values()))

    def check(self, without: Container[int] = ()) -> None:
        """Builds a trial of every length but those ``without``: what is wrong shows before an engine starts.

        Raises NiahError for texts that do not fit, and for a prompt that is longer than the model reads.
        """
        if self.run.model.thinking_budgets:
            _ = self.thinking_end
        lengths = {trial.length: trial for trial in self.trials if trial.length not in without}
        if self.run.ctx.stem:  # hundreds that differ by a token
            lengths = {length: lengths[length] for length in {min(lengths), max(lengths)}} if lengths else {}
        if self.run.task.goes_through_a_list and lengths:
            self._check_each(min(lengths))
        for trial in lengths.values():
            if (num := self.num_read(trial)) > self.run.model.limit:
                reader, model = self.run.reader, self.run.model
                where = f"reader.{reader.size_key}" if reader.size_key else f"reader={reader.name}"
                raise NiahError(
                    f"{where}: with question and answer up to {num:,} tokens; expected at most {model.limit:,}, "
                    f"the limit of {model.name}; take less"
                )
            self.build(trial)

    def _check_each(self, length: int) -> None:
        """Raises NiahError for the first repeat whose needles and question have no room in the shortest length."""
        assert self.corpus is not None, "a task with a list of questions plants them in a haystack"
        self.run.task.check_against(self.corpus)
        for repeat in range(self.run.ctx.repeats):
            problem, frame = self._asked_in(repeat)
            context.check_room(
                self._text_tokenizer, frame, problem, length - self.run.answer_tokens,
                f"ctx.lengths={length:,}: question {problem.question_id}",
            )

    def _check_answer(self, trial: Trial) -> None:
        """Raises NiahError where thinking and answer leave no room for a prompt of this length."""
        if trial.length > self.run.answer_tokens:
            return
        answer = f"the answer takes {self.run.task.answer_tokens:,}"
        if budget := self.run.model.thinking_room:
            raise NiahError(
                f"model.thinking_budget: got {budget:,} tokens of ctx.lengths={trial.length:,}, and {answer}: none is "
                "left for a prompt; expected fewer, or a longer length"
            )
        raise NiahError(
            f"ctx.lengths={trial.length:,}: {answer} tokens, and none is left for a prompt; expected a longer length, "
            "or a task that asks for less (task.max_tokens says how many tokens an answer has)"
        )

    def _of(self, trial: Trial) -> tuple[Problem, Stretch, template.Frame]:
        self._check_answer(trial)
        if self.run.task.writes_context:
            return self.of_length(trial.repeat, trial.length)
        if self.run.ctx.share != grid.APART:
            text = self.shared_text(trial)
            return text.problem(trial.length, trial.depth), text.stretch, text.frame(trial.length, trial.depth)
        return self.of_repeat(trial.repeat)

    def _frame(self, problem: Problem) -> template.Frame:
        if isinstance(self._text_tokenizer, TurnTokenizer):
            return conversation.frame(self._text_tokenizer, self.run, problem)
        model, tokenizer = self.run.model, self._text_tokenizer
        chat = model.chat if model.chat is not None else tokenizer.chat_template is not None
        return template.frame(
            tokenizer, self.run.task.template, problem, chat=chat, answer_prefix=model.answer_prefix,
            system=model.system, template_arguments=model.template_arguments, where="model.chat",
            prefix_lead=self.run.task.prefix_lead,
        )

    def _check_budget(self, problem: Problem) -> None:
        """All targets must fit the answer (or, where one is enough, the first)."""
        wanted = problem.targets if self.run.task.all_targets else problem.targets[:1]
        needed = sum(len(self._text_tokenizer.encode(" " + target).ids) for target in wanted)
        if needed > self.run.task.answer_tokens:
            raise NiahError(
                f"task.max_tokens: too few for the answer; got {self.run.task.answer_tokens}; expected at "
                f"least {needed} for {', '.join(wanted)[:80]!r}; raise it"
            )


def _checked(problem: object, task: Task) -> Problem:
    """Raises NiahError for what a task of the user's own may make and nobody can be asked."""
    if isinstance(problem, Problem) and problem.targets:
        return problem
    kind = type(task)
    raise NiahError(
        f"task={task.name}: {kind.__module__}.{kind.__name__} made {problem!r:.100}; expected "
        "niah.records.Problem(needles, question, targets), with a target at least"
    )


def _repeated_share(documents: Sequence[str]) -> float:
    """The share of the documents' characters that stand in earlier ones just the same."""
    return 1 - sum(map(len, dict.fromkeys(documents))) / sum(map(len, documents))
