"""Budgets of thinking: how its end is forced, to the token, and what becomes of the answers."""

import json
from pathlib import Path

import numpy as np
import pytest

from niah.engines import Session
from niah.engines.fake import Fake, FakeSession
from niah.engines.reply import Door
from niah.engines.thinking import BudgetedSession
from niah.errors import NiahError
from niah.models.load_tokenizer import named_tokenizer
from niah.models.resolve import files_of
from niah.models.settings import Model
from niah.prompts import template
from niah.prompts.thinking_end import ending
from niah.records import Completion, Prompt
from tests.helpers.command import rows
from tests.helpers.tokenizers import SMOLLM2, load_tokenizer

SWITCH = {"on": {"enable_thinking": True}, "off": {"enable_thinking": False}}
THINKS = 60


def model(**settings) -> Model:
    return Model(**{"name": "m", "path": "p", "max_length": 8192, "thinking_budgets": [0, 64], **settings})


def test_the_end_of_thinking_is_the_templates_own():
    qwen = named_tokenizer("qwen-3.5")
    own = ending(qwen, model(thinking_arguments=SWITCH))
    for switch, forced in (("on", ()), ("off", own.at_once.ids)):
        text = template.render_chat(qwen, "Hello", None, SWITCH[switch], "test")
        ids = [*qwen.reference(text)]
        if switch == "on":
            prompt = ids
        else:
            assert [*prompt[: len(prompt) - own.at_once.drop], *forced] == ids  # as the template itself has it
    assert qwen.decode(own.late.ids) == own.late.text == "\n</think>\n\n"
    deepseek = load_tokenizer("deepseek_r1")
    own = ending(deepseek, model())  # opened in the prompt, without a switch
    assert own.at_once.ids == own.late.ids and deepseek.decode(own.late.ids) == "\n</think>\n\n"
    assert ending(load_tokenizer("qwen3_5"), model()).at_once.text == "<think>\n\n</think>\n\n"  # not opened


@pytest.mark.parametrize(
    ("tokenizer", "settings", "message"),
    [
        ("llama4", {}, "model.thinking_budget: the chat template of m knows no thinking"),
        ("smollm2", {}, "knows no thinking; expected a model that thinks, or no budget"),
        ("qwen3_5", {"chat": False}, "is asked without a chat template"),
        ("qwen3_5", {"answer_prefix": True}, "model.answer_prefix: begins the answer before anything is thought"),
        ("qwen3_5", {"thinking_budgets": [64, 64]}, "one of them twice"),
        ("qwen3_5", {"thinking_budgets": [-1]}, r"model.thinking_budgets: got -1; expected at least 0"),
    ],
)
def test_what_has_no_budget_is_refused_in_one_line(tokenizer, settings, message):
    with pytest.raises(NiahError, match=message):
        ending(load_tokenizer(tokenizer), model(**settings))


class Noted(FakeSession):
    """engine=fake, with the prompts that it was sent."""

    def __init__(self, tokenizer):
        super().__init__(Fake(thinks=THINKS), 0, tokenizer)
        self.sent: list[Prompt] = []

    def _answer(self, prompt):
        self.sent.append(prompt)
        return super()._answer(prompt)


def asked(budget: int, name: str = "deepseek_r1", num: int = 3) -> tuple[dict[int, Completion], list[Prompt], Session]:
    """What passes the door, of prompts of one text."""
    tokenizer = load_tokenizer(name)
    text = template.render_chat(tokenizer, "What is the code?", None, {}, "test")
    ids = np.array(tokenizer.reference(text), dtype=np.int32)
    prompts = [(key, Prompt(ids, (), 256 + 16, "sha", ("4829173",), 0)) for key in range(num)]
    inner = Noted(tokenizer)
    session = BudgetedSession(inner, budget, 16, ending(tokenizer, model()), tokenizer, ())
    return dict(Door(tokenizer).answers(session, prompts)), inner.sent, session


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3_5"])
def test_a_budget_that_is_too_small_is_held_to_the_token(name):
    found, sent, session = asked(24, name)
    tokenizer = load_tokenizer(name)
    assert len(found) == 3 and len(sent) == 6
    for one in found.values():
        assert one.text == "I do not know." and one.is_thinking_cut and one.thinking.startswith("hm hm")
        assert one.num_prompt_tokens == len(sent[0].ids) and one.finish_reason == "stop"
        _, rest = tokenizer.decode(one.ids).split("</think>")
        assert rest.strip() == "I do not know." and one.num_tokens == len(one.ids) <= 24 + 16
    first, second = sent[0], sent[-1]
    assert first.max_tokens == 24 - 3 and len(second.ids) == len(first.ids) + 24 and second.max_tokens == 16
    assert second.forced is None and session.facts()["thinking_budget"] == 24


def test_a_budget_that_is_large_enough_changes_nothing():
    found, sent, session = asked(200)
    assert session.reading() == (len(sent[-1].ids),) * 2  # the progress within a prompt is the engine's
    assert len(sent) == 3 and {one.text for one in found.values()} == {"4829173"}
    assert not any(one.is_thinking_cut for one in found.values())
    assert all(one.num_thinking_tokens > THINKS for one in found.values())


@pytest.mark.parametrize("name", ["deepseek_r1", "qwen3_5"])
def test_without_a_budget_nothing_is_thought(name):
    found, sent, _ = asked(0, name)
    assert len(sent) == 3 and {one.text for one in found.values()} == {"I do not know."}
    assert all(one.thinking == "" and not one.is_thinking_cut for one in found.values())
    assert all(len(prompt.ids) > found[0].num_prompt_tokens and prompt.max_tokens < 16 for prompt in sent)


def test_a_server_that_takes_no_ids_is_refused():
    tokenizer = load_tokenizer("deepseek_r1")
    inner = Noted(tokenizer)
    inner.counts_exactly = False
    with pytest.raises(NiahError, match="this server takes no ids"):
        BudgetedSession(inner, 8, 16, ending(tokenizer, model()), tokenizer, ())


def thinking_folder(tmp_path: Path) -> Path:
    """SmolLM2 with a chat template that opens a thought."""
    folder = tmp_path / "thinks"
    folder.mkdir()
    for file in files_of(SMOLLM2).folder.iterdir():
        (folder / file.name).symlink_to(file)
    template_of = load_tokenizer("smollm2").chat_template
    opened = template_of.replace("assistant\n' }}{% endif %}", "assistant\n<think>\n' }}{% endif %}")
    assert opened != template_of
    (folder / "chat_template.jinja").unlink(missing_ok=True)
    (folder / "chat_template.jinja").write_text(opened)
    return folder


def test_budgets_are_variants_of_the_same_prompts(niah, tmp_path):
    words = (
        "engine=fake", f"engine.thinks={THINKS}", "engine.window=100k", "model.max_length=8k", "haystack=noise",
        f"model.path={thinking_folder(tmp_path)}",
        "ctx.lengths=[1k,2k]", "ctx.depths=[50]", "ctx.repeats=2", "name=a", "report.formats=[svg]",
    )
    done = niah(*words, "model.thinking_budget=[0,32,256]")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    assert len(found) == 12 and {row["variant"] for row in found} == {f"bf16 think {n}" for n in (0, 32, 256)}
    assert len({row["prompt_sha256"] for row in found}) == 4  # each asked under three budgets
    for row in found:
        budget = row["thinking_budget"]
        assert row["outcome"] == ("correct" if budget == 256 else "absent-claimed")
        assert row.get("is_thinking_cut", False) == (budget == 32)
        assert row["length"] - 400 < row["num_prompt_tokens"] < row["length"] - 256
    for line in ("bf16 think 32", "by budget of thinking", "100%"):
        assert line in done.stdout
    compared = niah("compare", "outputs/a")
    assert compared.returncode == 0 and "thought, cut, truncated" in compared.stdout, compared.stderr
    assert "4 pairs of the same prompt" in compared.stdout
    page = json.loads((tmp_path / "outputs" / "a" / "report.json").read_text())
    assert page["runs"][1]["lengths"][0]["beside"]["thinking_cut"] == 1.0
    assert "verified" in niah("show", "outputs/a").stdout
    refused = niah("shrink", "outputs/a", "--trial", "0")
    assert refused.returncode == 1 and "budgets of thinking" in refused.stderr


@pytest.mark.engine
@pytest.mark.slow
def test_vllm_goes_on_behind_a_forced_end(niah, tmp_path):
    folder = thinking_folder(tmp_path)
    done = niah(
        f"model.path={folder}", "model.max_length=8k", "haystack=noise", "ctx.lengths=[1k]", "ctx.depths=[50]",
        "ctx.repeats=1", "model.thinking_budget=[48,0]", "name=a", "report.formats=[svg]", timeout=800,
    )
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "outputs" / "a")
    assert len(found) == 2 and len({row["prompt_sha256"] for row in found}) == 1
    for row in found:
        assert row["outcome"] in ("correct", "wrong", "absent-claimed", "refused", "truncated")
        assert row["num_completion_tokens"] <= 48 + 32
        if row["thinking_budget"] == 0:
            assert not row.get("thinking") and not row.get("is_thinking_cut")
        if row.get("is_thinking_cut"):
            assert row["thinking"] and row["num_thinking_tokens"] <= 48
