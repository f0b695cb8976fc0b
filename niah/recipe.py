"""From a trial to its prompt: the one path that ``run`` takes and ``show`` takes again."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

from niah import context, plan, prompt, weights
from niah.config import Run
from niah.errors import NiahError
from niah.haystacks import corpus
from niah.records import Context, Problem, Prompt, Stretch, Trial, View
from niah.tokens import Tokenizer


@dataclass(frozen=True)
class Built:
    """Everything made for one trial on the way to its prompt."""

    problem: Problem
    stretch: Stretch
    context: Context
    view: View
    prompt: Prompt


class Recipe:
    """A run's settings with its tokenizer and haystack loaded; needs no engine."""

    def __init__(self, run: Run):
        self.run = run
        plan.check_limit(run.ctx, run.model.max_length, run.model.name)
        self.files = weights.resolve(run.model)

    @cached_property
    def tokenizer(self) -> Tokenizer:
        return weights.load_tokenizer(self.run.model, self.files)

    @cached_property
    def corpus(self) -> corpus.Corpus:
        return corpus.load(self.run.haystack, self.tokenizer)

    @cached_property
    def trials(self) -> list[Trial]:
        return plan.trials(self.run.ctx)

    @lru_cache(maxsize=4)  # noqa: B019 - a recipe lives as long as its run
    def of_repeat(self, repeat: int) -> tuple[Problem, Stretch, prompt.Frame]:
        """What all lengths and depths of a repeat share."""
        run, tokenizer = self.run, self.tokenizer
        problem = run.task.problem(plan.generator(run.seed, repeat, "problem"), self.corpus.holds)
        self._check_budget(problem)
        stretch = self.corpus.stretch(
            max(run.ctx.lengths), plan.generator(run.seed, repeat, "stretch"), tokenizer
        )
        chat = run.model.chat if run.model.chat is not None else tokenizer.chat_template is not None
        frame = prompt.frame(
            tokenizer, run.task.template, problem, chat=chat, answer_prefix=run.model.answer_prefix,
            system=run.model.system, template_arguments=run.model.chat_template_arguments, where="model.chat",
        )
        return problem, stretch, frame

    def build(self, trial: Trial) -> Built:
        """The prompt of a trial, exactly ``length - max_tokens`` ids when all of it is read."""
        problem, stretch, frame = self.of_repeat(trial.repeat)
        max_tokens = self.run.task.answer_tokens
        num_prompt_tokens = trial.length - max_tokens
        depths = (trial.depth,) * len(problem.needles)
        where = f"ctx.lengths={trial.length:,}"
        built = context.build(
            self.tokenizer, frame, stretch, problem, depths, num_prompt_tokens, where
        )
        view = self.run.reader.read(built, problem)
        made = prompt.render(self.tokenizer, frame, built, view, problem, max_tokens)
        if view.pieces is built.pieces and len(made.ids) != num_prompt_tokens:
            raise AssertionError(f"{where}: assembled {len(made.ids)} ids instead of {num_prompt_tokens}")
        return Built(problem, stretch, built, view, made)

    def check(self) -> None:
        """Builds a trial of every length: what is wrong with texts and sizes shows before an engine starts."""
        for trial in {trial.length: trial for trial in self.trials}.values():
            self.build(trial)

    def _check_budget(self, problem: Problem) -> None:
        longest = max(len(self.tokenizer.encode(" " + target).ids) for target in problem.targets)
        if longest > self.run.task.answer_tokens:
            raise NiahError(
                f"task.max_tokens: too few for the answer; got {self.run.task.answer_tokens}; expected at "
                f"least {longest} for {problem.targets[0]!r}; raise it"
            )
