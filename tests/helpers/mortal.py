"""An engine that ends while it is asked, as vLLM's does in another process: a plug-in of the user's own."""

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from niah.engines import Job, Session
from niah.engines.fake import Fake, FakeSession
from niah.errors import EngineStoppedError, NiahError, NoRoomError
from niah.limits import free_text, limited


@dataclass(frozen=True)
class Mortal(Fake):
    """Ends under a prompt of more than ``memory`` tokens out of memory, under one of more than ``strength`` otherwise,
    and under the first one while the file ``once`` is not there. It opens for ``room`` tokens at most, and not at all
    with a KV cache of type ``refuses``."""

    name: str = "mortal"
    memory: int = limited(1_000_000, at_least=0)
    strength: int = limited(1_000_000, at_least=0)
    room: int = limited(1_000_000, at_least=0)
    refuses: str = free_text("")
    once: str = free_text("")
    openings: str = free_text("openings.txt")
    max_num_seqs: int = limited(1, at_least=1)

    def open(self, job: Job) -> Session:
        with Path(self.openings).open("a") as file:
            file.write(f"{job.max_length}\n")
        if job.kv_cache_dtype == self.refuses:
            raise NiahError("engine=mortal: did not start; ValueError: no kernel")
        if job.max_length > self.room:
            raise NoRoomError("engine=mortal: did not start", self.room, "ValueError: the cache is small")
        return MortalSession(self)


class MortalSession(FakeSession):
    def __init__(self, settings: Mortal):
        super().__init__(settings)
        self._mortal = settings

    def generate(self, prompts) -> Iterator:
        waiting = iter(prompts)
        while group := list(islice(waiting, self._mortal.max_num_seqs)):
            sizes = [len(prompt.ids) for _, prompt in group]
            if max(sizes) > self._mortal.memory:
                time.sleep(0.003 * len(Path(self._mortal.openings).read_text().splitlines()))  # no two take as long
                raise EngineStoppedError(
                    "engine=mortal: stopped", words="OutOfMemoryError: CUDA out of memory", is_out_of_memory=True
                )
            if max(sizes) > self._mortal.strength or (self._mortal.once and not Path(self._mortal.once).exists()):
                Path(self._mortal.once or "unused").touch()
                raise EngineStoppedError("engine=mortal: stopped", words="RuntimeError: an illegal memory access")
            yield from super().generate(iter(group))


def write(folder: Path) -> Path:
    """The plug-in as a folder for --config-dir."""
    (folder / "engine").mkdir(parents=True)
    shutil.copy(__file__, folder / "mortal.py")
    (folder / "engine" / "mortal.yaml").write_text("_target_: mortal.Mortal\nname: mortal\n")
    return folder
