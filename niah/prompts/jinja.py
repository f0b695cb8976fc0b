"""The process that renders chat templates, as transformers does, within limits: a line of JSON in, a line of JSON out.

A template comes with a model and is a program. Jinja's sandbox keeps it from what is Python's, not from running for
ever or from filling memory: so the system ends this process where it takes more than it may. Run as a file of its own,
it imports jinja2 alone.
"""

import json
import resource
import signal
import sys
import traceback
from contextlib import suppress
from datetime import datetime
from typing import Any, NoReturn

import jinja2.ext
import jinja2.nodes
import jinja2.parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

_DATE = datetime(2025, 1, 1)


class Generation(jinja2.ext.Extension):
    """``{% generation %}``: marks what an assistant wrote, for training; rendered it is what stands in it."""

    def __init__(self, environment: jinja2.Environment):
        super().__init__(environment)
        self.tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.CallBlock:
        """As transformers 5 (utils/chat_template_utils.py): a call, so that what is set in it stays in it."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        call = jinja2.nodes.CallBlock(self.call_method("_shown"), [], [], body)
        call.set_lineno(line)
        return call

    def _shown(self, caller: Any) -> Any:
        return caller()


class ConversationRefusedError(jinja2.TemplateError):
    """What ``raise_exception`` of a template raises."""


def environment() -> ImmutableSandboxedEnvironment:
    """That of transformers, but for the date, which is pinned: a prompt is the same on every day."""
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = _DATE.strftime
    return made


def _json(
    value: Any, ensure_ascii: bool = False, indent: int | None = None, separators: Any = None, sort_keys: bool = False
) -> str:
    """Without escapes for HTML, unlike Jinja's own."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: str) -> NoReturn:
    raise ConversationRefusedError(message)


def main(cpu_seconds: float, memory_bytes: int, most_characters: int) -> None:
    """Answers each line {"template", "variables"} with {"text"} or {"why", "line", "is_refusal"}.

    ``most_characters`` is what a template may add to what it was given.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the one that asks, whose end ends this
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    source, compiled = None, None
    for line in sys.stdin:
        asked = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)  # its signal ends this process, within a step of C code too
        try:
            if compiled is None or asked["template"] != source:
                source, compiled = None, environment().from_string(asked["template"])
                source = asked["template"]
            answer = _answer(compiled.render(**asked["variables"]), most_characters + len(line))
        except MemoryError:  # where it was then says little
            answer = {"why": f"it takes more than {memory_bytes / 2**20:.0f} MiB of memory", "line": 0}
        except Exception as error:
            is_refusal = isinstance(error, ConversationRefusedError)
            answer = {"why": _why(error), "line": _line(error), "is_refusal": is_refusal}
        signal.setitimer(signal.ITIMER_PROF, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _answer(text: str, most: int) -> dict[str, Any]:
    if len(text) > most:
        return {"why": f"it writes {len(text):,} characters around a conversation", "line": 0}
    return {"text": text}


def _why(error: Exception) -> str:
    said = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    is_own = isinstance(error, ConversationRefusedError)
    return (said if is_own else f"{type(error).__name__}: {said}")[:300]


def _line(error: Exception) -> int:
    """The line of the template where it went wrong; 0 where nothing says."""
    if isinstance(error, jinja2.TemplateSyntaxError):
        return error.lineno
    places = [place.lineno for place in traceback.extract_tb(error.__traceback__) if place.filename == "<template>"]
    return (places or [0])[-1] or 0


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
