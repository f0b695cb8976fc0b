"""What a command is given by who starts it: streams that are closed, full or without a reader, few open files."""

import os
import resource
from collections.abc import Callable

from tests.faults.kills import Disturbed
from tests.faults.testbed import Ended


def closed(*numbers: int) -> Callable[[], None]:
    """As ``>&-`` leaves them; what Python made of them at its start stays, as for an embedding program."""

    def change() -> None:
        for number in numbers:
            os.close(number)

    return change


def full(*numbers: int) -> Callable[[], None]:
    def change() -> None:
        for number in numbers:
            os.dup2(os.open("/dev/full", os.O_WRONLY), number)

    return change


def without_reader(*numbers: int) -> Callable[[], None]:
    """As ``| true`` leaves it."""

    def change() -> None:
        reads, writes = os.pipe()
        os.close(reads)
        for number in numbers:
            os.dup2(writes, number)

    return change


def no_more_files_than(num: int) -> Callable[[], None]:
    return lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (num, num))


HARMLESS = {
    "closed stdout": closed(1), "closed stderr": closed(2), "closed both": closed(1, 2), "closed all": closed(0, 1, 2),
    "full stderr": full(2), "unread stdout": without_reader(1), "unread stderr": without_reader(2),
    "unread both": without_reader(1, 2),
}
"""What changes nothing of a command but what is heard of it."""


class Surroundings(Disturbed):
    """The commands of ``Kills``, each in odd surroundings; then in usual ones."""

    def disturb(self, words: tuple[str, ...]) -> tuple[Ended, str, int | None]:
        cases = {**HARMLESS, "full stdout": full(1), "files": no_more_files_than(self.rng.randrange(4, 40))}
        name = self.rng.choice(list(cases))
        ended = self.bed.run(*words, before=cases[name])
        if name in HARMLESS and ended.code != 0:
            self.ledger.fault("wrong", name, self.bed, ended, f"exit code {ended.code}")
        if name == "full stdout" and "stdout: cannot be written (No space left on device)" not in ended.last:
            self.ledger.fault("wrong", name, self.bed, ended, "nothing is said of what was lost")
        return ended, name, None
