"""An engine without a model that is planned for as vLLM is: ``engine._target_=tests.helpers.planned.Planned``."""

from collections.abc import Sequence
from dataclasses import dataclass

from niah.engines.fake import Fake
from niah.models.settings import Model
from niah.models.speculation import NONE, Speculation
from niah.planner import fit
from niah.planner.fit import Fit
from niah.planner.hardware import Hardware
from niah.planner.serving import Wish


@dataclass(frozen=True)
class Planned(Fake):
    """Answers as engine=fake does, and is said to take the memory and the cache that vLLM would."""

    name: str = "planned"

    holds_a_model = True

    def fit(
        self, model: Model, lengths: Sequence[int], cache_dtype: str, hardware: Hardware, known: Sequence[Hardware],
        speculation: Speculation = NONE,
    ) -> Fit:
        return fit.check(model, lengths, cache_dtype, hardware, known, self.wish(), speculation)

    def wish(self) -> Wish:
        return Wish(prefix_caching=self.prefix_caching)
