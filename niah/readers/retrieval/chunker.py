"""A chunker of the user's own: how it is written, named and found again in the tokens of a context."""

from collections.abc import Mapping, Sequence

from niah.choices import named
from niah.errors import NiahError, first_line
from niah.readers.retrieval.characters import Characters

_SHOWN = 60


class Chunker:
    """The base of a user's own way to cut a text; ``reader.chunker=package.module.Class`` names a subclass, which is
    made without arguments. It need not know tokens: ``reader.chunk_tokens`` is the most that a chunk of it may have."""

    def chunks(self, text: str) -> Sequence[str]:
        """Parts of the text, word for word, in the order in which they begin; they may overlap and leave out text."""
        raise NiahError(f"reader.chunker: {type(self).__name__} has no method chunks; expected chunks(text)")


def check(path: str) -> type[Chunker]:
    """The class of that name. Raises NiahError where there is none."""
    try:
        cls = named(path)
        if not (isinstance(cls, type) and issubclass(cls, Chunker)):
            raise TypeError(f"it is no subclass of {Chunker.__module__}.{Chunker.__name__}")
    except Exception as error:
        raise NiahError(
            f"reader.chunker: got {path!r} ({first_line(error)}); expected the dotted path of a subclass of "
            f"{Chunker.__module__}.{Chunker.__name__}; a module of your own is found with --config-dir FOLDER, the one "
            "that holds it"
        ) from error
    return cls


def cut(path: str, characters: Characters, most: int) -> list[tuple[int, int]]:
    """Token ranges of the chunks that the class ``path`` gives for a text, each of at most ``most`` tokens.

    Raises NiahError for what is no part of the text, and for a chunk that is too large.
    """
    text, start = characters.text, 0
    found: list[tuple[int, int]] = []
    for number, chunk in enumerate(_chunks(path, text)):
        if not isinstance(chunk, str):
            raise _wrong(path, f"chunk {number} is {type(chunk).__name__}; expected text")
        if not chunk.strip():
            continue
        place = text.find(chunk, start)
        if place < 0:
            shown = repr(chunk[:_SHOWN])
            raise _wrong(path, f"chunk {number} ({shown}) does not stand in the text behind where the last one began")
        start = place + (1 if found else 0)
        first, last = characters.tokens(place, place + len(chunk))
        if last - first > most:
            raise NiahError(
                f"reader.chunk_tokens: got {most}; expected at least {last - first}, the tokens of chunk {number} of "
                f"reader.chunker={path}; raise it, or cut smaller ones"
            )
        found.append((first, last))
    if not found:
        raise _wrong(path, f"gives no chunk of a text of {len(text):,} characters")
    return found


def _chunks(path: str, text: str) -> Sequence[str]:
    cls = check(path)
    try:
        found = cls().chunks(text)
        if isinstance(found, str | bytes | Mapping):
            raise _wrong(path, f"gives one {type(found).__name__}; expected a list of texts")
        return list(found)
    except NiahError:
        raise
    except Exception as error:
        raise _wrong(path, f"ended with {type(error).__name__}: {first_line(error)}") from error


def _wrong(path: str, what: str) -> NiahError:
    return NiahError(f"reader.chunker={path}: {what}; mend that class")
