"""What is exported of a run: each variant's rows and aggregates, without secrets and paths of this machine."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any
from uuid import UUID

from niah import secrets
from niah.errors import NiahError
from niah.records import Row, RunRecord
from niah.report import labels
from niah.runs import store, sweeps
from niah.runs.ruler import setting_of
from niah.stats import cells
from niah.stats.cells import CellStats

_PATH = re.compile(r"(?<![\w:/.<])(?:~|[A-Za-z]:)?[/\\](?:[^\s/\\:;,'\"()<>|]+[/\\])+[^\s/\\:;,'\"()<>|]*")
FAKE = "niah/engine-fake"
"""What the model is called of a run that no model answered."""
METHOD = "Wilson, trials counted as what their repeats are worth (cluster design effect)"


@dataclass(frozen=True)
class Part:
    """One variant of a run. ``name`` is a file name of its own, ``written`` when its rows were last written (UTC)."""

    name: str
    variant: str
    record: RunRecord = field(repr=False)
    rows: Sequence[Row] = field(repr=False)
    written: datetime

    @property
    def answered(self) -> list[Row]:
        return [row for row in self.rows if row.is_answered]

    @property
    def overall(self) -> CellStats:
        return cells.overall(self.rows)

    @property
    def lengths(self) -> list[CellStats]:
        """Those that have answers."""
        return [one for one in cells.by_length(self.rows) if one.n]

    @property
    def task(self) -> str:
        """RULER's name of the setting, else the task's."""
        setting = setting_of(self.record.config)
        return setting[0] if setting else self.record.task

    @property
    def is_fake(self) -> bool:
        return self.record.engine_name == "fake"

    @property
    def model(self) -> str:
        """As organisation/name; of a model in a folder of this machine its label or the folder's name."""
        path = str(self.record.model_settings.get("path") or self.record.model_title)
        is_id = re.fullmatch(r"[\w.-]+/[\w.-]+", path) and path[0] not in ".~"
        return path if is_id else (self.record.model_label or re.split(r"[/\\]", path.rstrip("/\\"))[-1])

    @property
    def model_id(self) -> str:
        """``model``, or that none was asked."""
        return FAKE if self.is_fake else self.model

    @property
    def engine_version(self) -> str:
        return str(self.record.engine.vllm or self.record.engine.server or self.record.environment.niah or "unknown")

    @property
    def facts(self) -> dict[str, str]:
        """What decides the numbers, as texts."""
        record = self.record
        row = self.rows[0]
        found = {
            "niah": record.environment.niah, "fingerprint": record.fingerprint, "task": self.task,
            "haystack": record.haystack, "haystack_sha256": record.sources.haystack_sha256 or "",
            "tokenizer_sha256": record.sources.tokenizer_sha256, "reader": record.reader, "scorer": record.scorer,
            "engine": record.engine_name, "engine_version": self.engine_version,
            "kv_cache_dtype": row.kv_cache_dtype, "variant": self.variant, "seed": str(record.config.get("seed", "")),
            "hardware": record.environment.hardware, "num_repeats": str(len({one.repeat for one in self.answered})),
            "num_without_answer": str(len(self.rows) - len(self.answered)),
            "no_model_was_asked": "engine=fake: answers are made up" if self.is_fake else "", "model": self.model,
        }
        return {key: value for key, value in published(found).items() if value}

    def id(self, *words: object) -> str:
        """A UUID (version 4 in form) that is the same for the same rows."""
        content = "\n".join([self.record.fingerprint, self.name, str(len(self.rows)), *map(str, words)])
        digest = sha256((content + "".join(row.prompt_sha256 + row.response for row in self.rows)).encode()).digest()
        return str(UUID(bytes=digest[:16], version=4))


def parts(path: str) -> list[Part]:
    """Every variant of the run, or of the runs in a folder. Raises NiahError where one has no answer."""
    runs = sweeps.runs_below([path])
    found = []
    for name, run in zip(labels.of_folders(runs), runs, strict=True):
        folder, record, rows = store.open_for_reading(run)
        for variant in dict.fromkeys(row.variant for row in rows):
            own = [_row(row) for row in rows if row.variant == variant]
            written = datetime.fromtimestamp(int(folder.rows_path.stat().st_mtime), UTC)
            label = re.sub(r"[^\w.=+-]+", "_", f"{name}-{variant}" if variant and variant not in name else name)
            found.append(Part(label, variant, record, own, written))
        if not any(row.is_answered for row in rows):
            raise NiahError(f"{run}: no trial has an answer yet; expected one or more; run it first")
    return [one for one in found if one.answered]


def _row(row: Row) -> Row:
    """The row as it may leave this machine: what a model said stays, paths of the engine's messages go."""
    return replace(
        row, response=secrets.without_values(row.response), answer=secrets.without_values(row.answer),
        thinking=secrets.without_values(row.thinking), error=published(row.error), served=published(row.served),
        not_graded=published(row.not_graded),
    )


def published(data: Any) -> Any:
    """Plain data without secrets, and without paths of this machine in its texts."""
    if isinstance(data, str):
        return _PATH.sub("<path>", secrets.masked(data))
    if isinstance(data, dict):
        return {key: published(value) for key, value in data.items()}
    return [published(value) for value in data] if isinstance(data, list | tuple) else data


def plain(row: Row) -> dict[str, Any]:
    """A row's fields."""
    return asdict(row)


def sample_id(row: Row) -> str:
    """Of a trial: the same in all runs that asked the same."""
    return f"{row.length}-{row.depth:g}-{row.repeat}"


def asked(row: Row) -> str:
    """What stands for the prompt, which no row holds: its question where it is known, and how to build it again."""
    question = f"{row.question} " if row.question else ""
    return f"{question}[prompt sha256 {row.prompt_sha256}: niah show --trial {row.trial}]"
