"""Verbs that take folders of finished runs."""

from niah.commands.words import folder_arguments, restart_with_environment
from niah.errors import NiahError


def report(arguments: list[str]) -> int:
    paths, rest = folder_arguments("report", arguments)
    from niah.commands import report as reporting

    print(*reporting.report(paths, rest), sep="\n")
    return 0


def compare(arguments: list[str]) -> int:
    paths, rest = folder_arguments("compare", arguments)
    from niah.commands.compare import compare as comparing

    lines, code = comparing.compare(paths, rest)
    print(*lines, sep="\n")
    return code


def crosscheck(arguments: list[str]) -> int:
    restart_with_environment(["engine=transformers", *arguments])
    paths, rest = folder_arguments("crosscheck", arguments)
    if len(paths) > 1:
        raise NiahError(f"crosscheck: got {paths[1]!r} beside {paths[0]!r}; expected one run, as crosscheck outputs/NAME")
    from niah.commands.crosscheck.crosscheck import crosscheck
    from niah.runs.console import Console

    print(*crosscheck(paths[0], rest, Console()), sep="\n")
    return 0


def rag(arguments: list[str]) -> int:
    paths, rest = folder_arguments("rag", arguments)
    from niah.commands.rag import rag as telling

    print(*telling.tell(paths, rest), sep="\n")
    return 0


def show(arguments: list[str]) -> int:
    whole = "--whole" in arguments
    arguments = [word for word in arguments if word != "--whole"]
    trial = None
    for place, word in enumerate(arguments):
        if word.startswith("--trial"):
            value = word.partition("=")[2] or (arguments[place + 1] if place + 1 < len(arguments) else "")
            if not value.isdigit():
                raise NiahError(f"show --trial: got {value!r}; expected the number of a trial, as --trial 17")
            trial = int(value)
            del arguments[place : place + (1 if "=" in word else 2)]
            break
    paths, rest = folder_arguments("show", arguments)
    if rest or len(paths) > 1:
        raise NiahError(f"show: got {[*paths[1:], *rest][0]!r}; expected DIR [--trial N] [--whole]")
    from niah.commands import show

    print(show.describe(paths[0], trial, whole=whole))
    return 0
