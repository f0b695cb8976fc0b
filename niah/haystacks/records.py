"""Machine-made records without end: a server's log, a shop's orders, a weather network's tables."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import count

import numpy as np

from niah.haystacks import Haystack, Skip
from niah.limits import free_text, limited, one_of

# No digits run to exactly seven here and nothing looks like a UUID, so that planted ones stand alone.
_FORMS = ("log", "jsonl", "table")
_FIRST_DAY = np.datetime64("2024-01-01")
_MS_PER_DAY = 86_400_000
_CONSONANTS = "bcdfghjklmnpqrstvwxz"  # codes without vowels never spell a word
_SYLLABLES = [a + b + c for a in _CONSONANTS for b in _CONSONANTS for c in _CONSONANTS]
_NUM_CODES = len(_CONSONANTS) ** 7
_CODE_STEP = 789_456_133  # shares no factor with _NUM_CODES: codes look random and come back only when all are used
_MOST_RECORDS = 1024  # of one day that have a code
_MATERIALS = ("steel", "brass", "copper", "rubber", "nylon", "ceramic", "oak", "zinc", "titanium", "glass", "cork")
_THINGS = (
    "bracket", "hinge", "valve", "gasket", "bolt", "washer", "spring", "bearing", "clamp", "flange", "rivet", "hook",
    "sleeve", "nozzle", "pulley", "gear", "spacer", "coupling", "handle", "filter",
)
_REQUESTS = (
    ("search", "GET /items/%d"), ("search", "GET /items/%d/stock"), ("basket", "POST /basket/%d"),
    ("basket", "DELETE /basket/%d"), ("profile", "PUT /profile/%d/address"), ("checkout", "GET /orders/%d"),
    ("checkout", "POST /orders/%d/pay"), ("media", "GET /media/%d/small"),
)
_STATUSES = (200, 200, 200, 200, 200, 201, 204, 304, 404, 409, 500)
_CLIENTS = ("web/5.12", "web/5.13", "android/8.4", "ios/8.6")
_COLUMNS = ("time", "station", "temperature °C", "humidity %", "pressure hPa", "wind m/s", "battery V")


@dataclass(frozen=True, kw_only=True)
class Records(Haystack):
    """One document is one day: a header and 300 to 800 records, no two of them alike on any day.

    ``form`` is log (sessions that open, make requests and close with their true count, and sensors
    in between), jsonl (orders whose items add up to the total) or table (hourly measurements).
    """

    name: str = "records"
    licence: str = free_text("none needed: generated")
    form: str = one_of(*_FORMS)
    seed: int = limited(0, at_least=0)

    endless = True
    by_line = True

    def identity(self) -> str:
        return f"{self!r} numpy {np.__version__}"

    def planted(self, needle: str) -> str:
        if self.form == "table":
            cells = ["remark", " ".join(needle.replace("|", "\\|").splitlines())] + [""] * (len(_COLUMNS) - 2)
            return f"| {' | '.join(cells)} |"
        text = json.dumps(needle, ensure_ascii=False)
        return f'{{"remark": {text}}}' if self.form == "jsonl" else f"NOTE remark={text}"

    def documents(self, skip: Skip) -> Iterator[str]:
        make = {"log": _log, "jsonl": _orders, "table": _measurements}[self.form]
        for number in count():
            rng = np.random.default_rng([self.seed, _FORMS.index(self.form), number])
            yield make(number, str(_FIRST_DAY + number), rng)


def _log(number: int, day: str, rng: np.random.Generator) -> str:
    """A day of sessions, each within the day, with the readings of sensors among their lines."""
    num_sessions, num_readings = int(rng.integers(30, 41)), int(rng.integers(60, 120))
    counts = rng.integers(6, 19, num_sessions) + 2  # open, requests, close
    session = np.repeat(np.arange(num_sessions), counts)
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    step = np.arange(len(session)) - first[session]
    gaps = np.where(step == 0, 0, rng.integers(150, 90_000, len(session)))
    elapsed = np.cumsum(gaps)
    elapsed -= elapsed[first][session]
    starts = rng.integers(0, _MS_PER_DAY - 19 * 90_000, num_sessions)
    times = np.concatenate((starts[session] + elapsed, rng.integers(0, _MS_PER_DAY, num_readings)))
    lines = _session_lines(number, session, step, counts, elapsed, rng) + _sensor_lines(num_readings, rng)
    order = np.argsort(times, kind="stable")
    clock = _clock(times[order])
    head = f"# log of {day}: {num_sessions} sessions, {num_readings} readings, {len(lines)} lines, times in UTC"
    return "\n".join([head, *(f"{day}T{clock[i]} {lines[at]}" for i, at in enumerate(order.tolist()))])


def _session_lines(
    number: int, session: np.ndarray, step: np.ndarray, counts: np.ndarray, elapsed: np.ndarray,
    rng: np.random.Generator,
) -> list[str]:
    """The lines of all sessions; ``session`` and ``step`` say which line of which one, ``elapsed`` when in ms."""
    codes, num_lines = _codes(number, len(counts)), len(session)
    users = rng.integers(10_000, 100_000, len(counts)).tolist()
    hosts = rng.integers(1, 255, (len(counts), 3)).tolist()
    requests = zip(
        session.tolist(), step.tolist(), counts[session].tolist(), elapsed.tolist(),
        rng.integers(0, len(_REQUESTS), num_lines).tolist(), rng.integers(1000, 1_000_000, num_lines).tolist(),
        rng.integers(0, len(_STATUSES), num_lines).tolist(), rng.integers(2, 4000, num_lines).tolist(),
        rng.integers(120, 900_000, num_lines).tolist(), strict=True,
    )
    lines = []
    for at, place, last, ms, kind, item, outcome, took, size in requests:
        if place == 0:
            a, b, c = hosts[at]
            lines.append(
                f"INFO gateway session={codes[at]} open user=u-{users[at]} from=10.{a}.{b}.{c} "
                f"client={_CLIENTS[item % len(_CLIENTS)]}"
            )
        elif place == last - 1:
            lines.append(
                f"INFO gateway session={codes[at]} close user=u-{users[at]} requests={last - 2} seconds={ms / 1000:.3f}"
            )
        else:
            (service, path), status = _REQUESTS[kind], _STATUSES[outcome]
            level = "INFO" if status < 400 else "WARN" if status < 500 else "ERROR"
            lines.append(f"{level} {service} session={codes[at]} {path % item} status={status} ms={took} bytes={size}")
    return lines


def _sensor_lines(num_readings: int, rng: np.random.Generator) -> list[str]:
    readings = zip(
        rng.integers(100, 1000, num_readings).tolist(), rng.normal(22, 4, num_readings).tolist(),
        rng.uniform(20, 80, num_readings).tolist(), rng.uniform(3.2, 4.1, num_readings).tolist(), strict=True,
    )
    return [
        f"INFO sensor th-{sensor} temperature={warmth:.2f}C humidity={damp:.1f}% battery={volts:.3f}V"
        for sensor, warmth, damp, volts in readings
    ]


def _orders(number: int, day: str, rng: np.random.Generator) -> str:
    """A day of orders as JSON Lines; every total is the sum of its items and the shipping."""
    num_orders = int(rng.integers(300, 801))
    heads, prices = _catalogue()
    counts = rng.integers(1, 5, num_orders)
    products, quantities = rng.integers(0, len(heads), counts.sum()), rng.integers(1, 9, counts.sum())
    first = np.concatenate(([0], np.cumsum(counts)[:-1]))
    shipping = rng.integers(0, 40, num_orders) * 25
    totals = np.add.reduceat(prices[products] * quantities, first) + shipping
    items = [f"{heads[at]}{n}}}" for at, n in zip(products.tolist(), quantities.tolist(), strict=True)]
    clock = _clock(np.sort(rng.integers(0, _MS_PER_DAY, num_orders)))
    columns = zip(
        clock, _codes(number, num_orders), rng.integers(10_000, 100_000, num_orders).tolist(), first.tolist(),
        counts.tolist(), (shipping / 100).tolist(), (totals / 100).tolist(), strict=True,
    )
    lines = [f'{{"day": "{day}", "currency": "EUR", "orders": {num_orders}}}']
    for time, code, user, start, length, fee, total in columns:
        lines.append(
            f'{{"order": "{code}", "placed": "{day}T{time}", "customer": "u-{user}", '
            f'"items": [{", ".join(items[start : start + length])}], "shipping": {fee:.2f}, "total": {total:.2f}}}'
        )
    return "\n".join(lines)


@cache
def _catalogue() -> tuple[list[str], np.ndarray]:
    """The beginning of each product's JSON, up to its quantity; and its price in cents."""
    sizes = range(4, 64, 4)
    names = [f"{material} {thing} {size} mm" for material in _MATERIALS for thing in _THINGS for size in sizes]
    prices = [95 + at * 7919 % 24_000 for at in range(len(names))]
    heads = [
        f'{{"sku": "{name[:2].upper()}-{at:04d}", "name": "{name}", "price": {price / 100:.2f}, "quantity": '
        for at, (name, price) in enumerate(zip(names, prices, strict=True))
    ]
    return heads, np.array(prices)


def _measurements(number: int, day: str, rng: np.random.Generator) -> str:
    """A Markdown table of 14 to 30 stations, hour by hour; warmer by day, damper where colder."""
    stations = np.sort(rng.choice(np.arange(100, 1000), int(rng.integers(14, 31)), replace=False))
    shape = (24, len(stations))
    sun = np.sin((np.arange(24) - 9) / 24 * 2 * np.pi)[:, None]
    warmth = rng.normal(12, 6, len(stations)) + 5 * sun + rng.normal(0, 0.8, shape)
    damp = np.clip(70 - 2 * (warmth - 12) + rng.normal(0, 6, shape), 8, 99.9)
    pressure = 1013 + np.cumsum(rng.normal(0, 0.6, shape), axis=0) + rng.normal(0, 4, len(stations))
    columns = (warmth, damp, pressure, rng.gamma(2, 2, shape), rng.uniform(3.2, 4.1, shape))
    values = zip(*(column.ravel().tolist() for column in columns), strict=True)
    rows = ((hour, station) for hour in range(24) for station in stations.tolist())
    lines = [f"## Measurements of {day}", "", f"| {' | '.join(_COLUMNS)} |", "|---" * len(_COLUMNS) + "|"]
    for (hour, station), (degrees, percent, hectopascal, wind, volts) in zip(rows, values, strict=True):
        lines.append(
            f"| {day} {hour:02d}:00 | st-{station} | {degrees:.2f} | {percent:.1f} | {hectopascal:.1f} "
            f"| {wind:.2f} | {volts:.3f} |"
        )
    return "\n".join(lines)


def _clock(times_ms: np.ndarray) -> list[str]:
    """Milliseconds since midnight as HH:MM:SS.mmm."""
    seconds, ms = np.divmod(times_ms, 1000)
    parts = (seconds // 3600, seconds // 60 % 60, seconds % 60, ms)
    return [f"{h:02d}:{m:02d}:{s:02d}.{ms:03d}" for h, m, s, ms in zip(*(p.tolist() for p in parts), strict=True)]


def _codes(number: int, size: int) -> list[str]:
    """Codes of seven consonants, others in every document."""
    mixed = (number * _MOST_RECORDS + np.arange(1, size + 1)) % _NUM_CODES * _CODE_STEP % _NUM_CODES
    num_syllables, num_letters = len(_SYLLABLES), len(_CONSONANTS)
    parts = (mixed // (num_syllables * num_letters), mixed // num_letters % num_syllables, mixed % num_letters)
    triples = zip(*(part.tolist() for part in parts), strict=True)
    return [_SYLLABLES[a] + _SYLLABLES[b] + _CONSONANTS[c] for a, b, c in triples]
