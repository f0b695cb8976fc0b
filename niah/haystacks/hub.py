"""One text column of a data set on the Hugging Face Hub, or of local files, streamed."""

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from niah.errors import NiahError, first_line
from niah.haystacks import Haystack, Skip
from niah.haystacks.files import parts
from niah.haystacks.paths import ALL, matching, stamp
from niah.limits import free_text, limited

_FORMATS = ("arrow", "csv", "json", "parquet", "text", "xml")


@dataclass(frozen=True, kw_only=True)
class Hub(Haystack):
    """The column ``column`` of ``dataset``, row by row, until ``max_characters`` (0 for all of it).

    ``dataset`` is an id on the Hub, a local folder, or a format (json, parquet, csv, text) with
    ``data_files``. Local files are watched for changes; the Hub's are not, so name the commit that is
    meant as ``revision``.
    """

    name: str = "hub"
    licence: str = free_text("the data set's own; see its page")
    dataset: str = ""
    config: str = ""
    split: str = "train"
    column: str = "text"
    revision: str = ""
    data_files: list[str] = field(default_factory=list)
    max_characters: int = limited(100_000_000, at_least=0)

    can_be_part = False  # it has no default data set
    is_of_the_user = True

    def missing(self) -> Sequence[str]:
        return () if find_spec("datasets") else ("niah[hub]",)

    def identity(self) -> str:
        return f"{self!r} {stamp(self._local_files())}"

    def documents(self, skip: Skip) -> Iterator[str]:
        num_characters = 0
        for number, row in enumerate(self._rows()):
            text = self._text(row, number)
            if self.max_characters:
                text = text[: self.max_characters - num_characters]
            if text.strip():
                yield from parts(text)
            num_characters += len(text)
            if self.max_characters and num_characters == self.max_characters:
                break
        if not num_characters:
            raise self._error("has no text", "none", f"text in column {self.column}", "set haystack.column or split")

    def _rows(self) -> Iterator[dict[str, Any]]:
        try:
            import datasets
        except ImportError as error:
            raise NiahError("haystack=hub: package datasets is not installed; pip install 'niah[hub]'") from error
        for name in ("datasets", "huggingface_hub"):  # they log each retry; what matters is in the error
            logging.getLogger(name).setLevel(logging.CRITICAL + 1)
        files = [os.path.expanduser(path) for path in self.data_files]
        self._local_files()  # says more about a missing file than the library does
        try:
            yield from datasets.load_dataset(
                os.path.expanduser(self.dataset), self.config or None, split=self.split, streaming=True,
                data_files=files or None, revision=self.revision or None,
            )
        except Exception as error:  # of the network, of the Hub, of a dozen file formats
            raise self._error(
                "cannot be streamed", f"{type(error).__name__}: {first_line(error).rstrip('.')}",
                "a data set that can be reached", "check dataset, config, split, revision and the network",
            ) from error

    def _text(self, row: dict[str, Any], number: int) -> str:
        if self.column not in row:
            raise self._error(
                "has no such column", self.column, f"one of {', '.join(row)}", f"set haystack.column={next(iter(row))}"
            )
        text = row[self.column]
        if not isinstance(text, str | None):
            raise self._error(
                f"row {number} holds no text", f"{type(text).__name__} in column {self.column}", "a column of text",
                f"set haystack.column to one of {', '.join(row)}",
            )
        return text or ""

    def _local_files(self) -> list[Path]:
        if not self.dataset:
            raise NiahError(
                "haystack.dataset: not given; expected an id on the Hub, a folder, or a format with "
                "haystack.data_files; haystack.dataset=owner/name"
            )
        if os.path.isdir(os.path.expanduser(self.dataset)):
            return matching(self.dataset, ALL, lambda _: None)
        if self.dataset not in _FORMATS:
            return []
        if not self.data_files:
            raise NiahError(f"haystack.data_files: not given; expected files of {self.dataset}; name one or more")
        return [file for path in self.data_files if "://" not in path for file in matching(path, ALL, lambda _: None)]

    def _error(self, what: str, got: str, expected: str, advice: str) -> NiahError:
        return NiahError(f"haystack.dataset={self.dataset}: {what}; got {got}; expected {expected}; {advice}")
