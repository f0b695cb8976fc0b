"""An engine that holds no model and has a fault that one can name: what ``shrink`` has to find."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from niah.engines import Case, Job, Session
from niah.engines.fake import Fake, FakeSession
from niah.records import Completion, Failure, Grade, Prompt

PERIOD, RESIDUE, SHARED = 4, 3, 300


@dataclass(frozen=True)
class Sick(Fake):
    """``fault``: residue (wrong at lengths of 3 mod 4), fp8 (wrong past the window, in an FP8 cache alone), logprob
    (there two nats less of the right answer), after (wrong behind a request that begins with the same 300 tokens),
    flaky (every other request is wrong). ``stop_at`` numbers the request at which somebody presses Ctrl-C."""

    fault: str = ""
    stop_at: int = -1

    def open(self, job: Job) -> Session:
        return SickSession(self, job)

    def script(self, job: Job, case: Case) -> str:
        text = super().script(job, case)
        if self.fault == "residue":
            return text.replace("all(start", f"len(ids) % {PERIOD} != {RESIDUE} and all(start")
        if self.fault == "after":
            text = text.replace("texts = []", "texts, last = [], {}")
            return text.replace(
                "    texts.append", f"    sees_all = ids[:{SHARED}].tobytes() != last.get(salt)\n"
                f"    last[salt] = ids[:{SHARED}].tobytes()\n    texts.append",
            )
        if self.fault == "logprob":
            less = 0 if job.kv_cache_dtype == "bfloat16" else f"2 * (len(ids) > {self.window})"
            return text.replace('"num_tokens"', f'"logprob": -1 - {less}, "num_tokens"')
        return text.replace("WINDOW = ", "WINDOW = 10**9 + ") if job.kv_cache_dtype == "bfloat16" else text


class SickSession(FakeSession):
    def __init__(self, settings: Sick, job: Job):
        super().__init__(settings)
        self._sick, self._dtype, self._last, self._num = settings, job.kv_cache_dtype, dict[str, np.ndarray](), 0

    def generate(self, prompts: Iterable[tuple[int, Prompt]]) -> Iterator[tuple[int, Completion | Failure]]:
        for key, prompt in prompts:
            if self._num == self._sick.stop_at:
                raise KeyboardInterrupt
            spans = ((-(10**9) if self._is_wrong(prompt) else len(prompt.ids), 0),)
            if self._sick.fault == "fp8" and self._dtype != "bfloat16":
                spans = prompt.spans
            self._num += 1
            for _, result in super().generate([(key, replace(prompt, spans=spans, num_needed=1))]):
                if self._sick.fault == "logprob" and isinstance(result, Completion):
                    less = 2 * (self._dtype != "bfloat16" and len(prompt.ids) > self._sick.window)
                    result = replace(result, grade=Grade(-1.0 - less, 1, 1, None, 0.0))
                yield key, result

    def _is_wrong(self, prompt: Prompt) -> bool:
        before, self._last[prompt.salt] = self._last.get(prompt.salt, np.empty(0)), prompt.ids[:SHARED]
        return {
            "residue": len(prompt.ids) % PERIOD == RESIDUE, "flaky": self._num % 2 == 0,
            "after": len(prompt.ids) >= SHARED and np.array_equal(before, prompt.ids[:SHARED]),
        }.get(self._sick.fault, False)
