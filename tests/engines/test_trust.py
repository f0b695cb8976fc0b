"""Engines and the files they load: code that comes with a model, and weights that are not all there."""

from dataclasses import replace

import pytest

from niah.engines import Job
from niah.engines.transformers import Transformers
from niah.engines.vllm import causes
from niah.errors import NiahError
from niah.models.resolve import files_of
from niah.models.settings import Model
from tests.helpers import checkpoints
from tests.helpers.command import run_in
from tests.helpers.tokenizers import SMOLLM2, load_tokenizer

pytestmark = pytest.mark.engine


@pytest.fixture
def job(tmp_path, monkeypatch):
    """What engine=transformers is opened for, with the checkpoint in a folder of this name."""
    monkeypatch.chdir(tmp_path)  # where foreign code would leave its mark

    def of(name: str) -> Job:
        files = files_of(Model("m", str(tmp_path / name), 2048))
        return Job(files, load_tokenizer("smollm2"), "bfloat16", "bfloat16", 512, 0)

    return of


def test_transformers_runs_a_models_own_code_only_when_asked_to(tmp_path, job, monkeypatch):
    from transformers import LlamaConfig, LlamaForCausalLM

    for one in (LlamaConfig, LlamaForCausalLM):  # it is noted in these that a model of theirs came with code
        monkeypatch.setattr(one, "_auto_class", None)
    checkpoints.foreign(tmp_path / "own")
    with pytest.raises(NiahError, match=r"^engine=transformers: the model brings Python code of its own, .*=true runs"):
        Transformers().open(job("own"))
    assert not (tmp_path / "ran").exists()
    Transformers().open(replace(job("own"), trust_remote_code=True)).close()
    assert (tmp_path / "ran").exists()


def test_transformers_makes_up_no_weights(tmp_path, job):
    checkpoints.written(tmp_path / "gap", "layers.1.input_layernorm")
    message = r"gap: 1 tensors of its architecture are missing \(model\.layers\.1\.input_layernorm\.weight\); "
    with pytest.raises(NiahError, match=message):
        Transformers().open(job("gap"))


def test_transformers_reads_no_pickles(tmp_path, job):
    checkpoints.pickled(tmp_path / "pickled")
    for asked in (False, True):  # even when asked for, PyTorch unpickles tensors alone
        with pytest.raises(NiahError, match="engine=transformers: the model did not load; "):
            Transformers().open(replace(job("pickled"), allow_pickle=asked))
    assert not (tmp_path / "ran").exists()


def test_vllms_word_for_a_models_own_code_has_advice():
    said = "ValidationError: ModelConfig: The repository /m contains custom code which must be executed to"
    assert causes.Cause(said).advice.startswith("the model brings Python code of its own")


@pytest.mark.parametrize(("made", "message"), [
    pytest.param("foreign", "the model brings Python code of its own, without which it does not load"),
    pytest.param("gap", "Following weights were not initialized from checkpoint", marks=pytest.mark.slow),
])
def test_vllm_runs_no_foreign_code_and_makes_up_no_weights(tmp_path, made, message):
    checkpoints.foreign(tmp_path / "foreign")
    checkpoints.written(tmp_path / "gap", "layers.1.input_layernorm")
    done = run_in(
        tmp_path, f"model.path={made}", f"model.tokenizer={files_of(SMOLLM2).folder}", "model.max_length=2k",
        "model.chat=false", "haystack=noise", "ctx.lengths=[512]", "ctx.depths=[50]", "ctx.repeats=1",
    )
    last = done.stderr.strip().splitlines()[-1]
    assert done.returncode == 1 and message in last and last.startswith("niah: engine=vllm: did not start; "), last
    assert "Traceback" not in done.stderr and not (tmp_path / "ran").exists()
