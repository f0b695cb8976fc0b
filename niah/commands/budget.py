"""What a command may spend: minutes, tokens or dollars, as ``budget=30m``, ``2e9 tokens`` or ``$20``."""

import math
import re
import time
from dataclasses import dataclass, field

from niah.errors import NiahError
from niah.planner import machine
from niah.planner.hardware import Hardware
from niah.runs import capacity

_FORM = re.compile(r"(\$)?\s*([0-9.]+(?:e[0-9]+)?)\s*(s|m|h|min|minutes|hours|tokens)?", re.IGNORECASE)
_SECONDS = {"s": 1.0, "m": 60.0, "min": 60.0, "minutes": 60.0, "h": 3600.0, "hours": 3600.0}


@dataclass
class Budget:
    """``seconds`` and ``tokens`` are the most that this command may spend, infinite where it does not say."""

    seconds: float = math.inf
    tokens: float = math.inf
    spent_tokens: float = 0.0
    _begun: float = field(default_factory=time.monotonic)

    def is_spent(self) -> bool:
        return self.share() >= 1

    def share(self) -> float:
        """Of it that is spent so far; above 1 where it is overdrawn."""
        return max(self.spent_tokens / self.tokens, (time.monotonic() - self._begun) / self.seconds)

    def add(self, tokens: int) -> None:
        """Tokens that were computed."""
        self.spent_tokens += tokens


def parse(text: str | None, hardware: Hardware, where: str) -> Budget:
    """Raises NiahError for another form, and for dollars on a machine without a price."""
    if text is None:
        return Budget()
    match = _FORM.fullmatch(text.strip())
    try:
        amount = float(match[2]) if match else math.nan
    except ValueError:
        amount = math.nan
    if match is None or not 0 < amount < math.inf or not (match[1] or match[3]) or (match[1] and match[3]):
        raise NiahError(f"{where}: got {text!r}; expected minutes, tokens or dollars, as 30m, 2e9 tokens or $20")
    if match[3]:
        unit = match[3].lower()
        return Budget(tokens=amount) if unit == "tokens" else Budget(seconds=amount * _SECONDS[unit])
    hardware = machine.resolve(hardware, capacity.known_hardware())
    price = hardware.dollars_per_gpu_hour * hardware.total_gpus
    if not price:
        raise NiahError(
            f"{where}: got {text!r}, but nobody knows what an hour of {hardware} costs; expected minutes or tokens, or "
            "hardware.dollars_per_gpu_hour=... with it"
        )
    return Budget(seconds=3600 * amount / price)
