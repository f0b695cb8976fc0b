"""Models whose right answer is known: exact arithmetic, real files, and what is refused. No engine."""

import dataclasses
import json
import resource
import subprocess

import numpy as np
import pytest

from niah.commands.calibrate.expected import expected_answer, trace
from niah.errors import NiahError
from niah.models.constructed import checkpoint, vocabulary
from niah.models.constructed.circuit import Circuit
from niah.models.constructed.design import DESIGNS, Design, design, position_scores
from tests.helpers.command import command, environment_with, is_one_line
from tests.helpers.exact_forward import forward
from tests.helpers.tokenizers import load_tokenizer

SIZE = 512
STOP = 3
NEEDLE = np.array([40, 41, 42, 43, 44, 45, 7, 8, 9, 7, 8, 2])  # six tokens of a question, five of an answer, an end


def small(**changes) -> Circuit:
    return Circuit(Design("small", **changes), SIZE, frozenset({2}), STOP)


def text(length: int, at: int, seed: int = 0) -> np.ndarray:
    """Ids 100 to 511 with the needle at ``at`` and its question at the end."""
    ids = np.random.default_rng(seed).integers(100, SIZE, length)
    ids[at : at + len(NEEDLE)] = NEEDLE
    ids[-6:] = NEEDLE[:6]
    return ids


@pytest.mark.parametrize("circuit", [
    small(), small(kind="mistral", window=96), small(kind="llama4", chunk=64, interval=4),
    small(bits=32, nats=24.0, carrier=12.0), small(steps=(1, 2, 4)),
    small(kind="llama4", chunk=64, interval=4, heads=2),
], ids=["full", "window", "chunks", "carrier", "eight", "heads"])
def test_weights_do_what_the_circuit_says(circuit):
    # 58 puts the needle across the border of a chunk of 64 tokens
    is_end = np.isin(np.arange(SIZE), [2])
    for at in (20, 58, 120):
        ids = text(200, at)
        stream, logits = forward(circuit, is_end, ids)
        hashes, _ = circuit.hashes(ids)
        assert (np.sign(stream[:, 64:128]) == hashes).all()
        assert np.abs(np.abs(stream[8:, 64:128]) - 1).max() < 1e-3  # heads as sharp as that, where they reach
        keys = circuit.hashes(ids)[1]
        wanted = [circuit.next_token(ids[:stop], keys[:stop]) for stop in range(150, 201)]
        seen = logits[149:].argmax(axis=1)
        sure = [place for place in range(51) if _is_sure(circuit, ids[: place + 150], keys[: place + 150])]
        assert sure and (seen[sure] == np.array(wanted)[sure]).all()


def _is_sure(circuit, ids, keys) -> bool:
    """Whether one token takes nearly all attention, or the text ends there: elsewhere two answers may tie."""
    first = max(0, len(ids) - circuit.design.window) if circuit.design.window else 0
    return int(ids[-1]) in circuit.ends or circuit.shares(ids, keys, first).max() > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2])
def test_no_other_token_within_ten_million_looks_like_the_one_before(step):
    distances = np.arange(10_485_760)
    own = position_scores(np.array([float(step)]), step)[0]
    others = max(
        position_scores(part.astype(float), step)[part != step].max() for part in np.array_split(distances, 20)
    )
    assert own - others > np.log(10_485_760) + 7  # a share below 0.001 for all others together


def test_rotary_positions_are_exact_in_float32():
    turns = (1.0 / (np.float32(2.0**64) ** (np.arange(0, 128, 2, dtype=np.float32) / 128))).astype(np.float32)
    assert (turns == 2.0 ** -np.arange(64)).all()
    far = np.arange(10_485_000, 10_485_760)
    assert (far.astype(np.float32)[:, None] * turns[:24] == far[:, None] * 2.0 ** -np.arange(24)).all()


def test_full_finds_at_every_depth_and_stops():
    for at in (0, 500, 1900):
        assert small().answer(text(2000, at), 20) == [7, 8, 9, 7, 8, 2, STOP]


def test_a_window_ends_to_the_token():
    circuit = small(kind="mistral", window=256)
    for distance, is_found in ((255, True), (256, False)):
        ids = text(1000, 1000 - 1 - distance - 6)  # from the last token back to the answer's first
        assert (circuit.answer(ids, 6) == [7, 8, 9, 7, 8, 2]) == is_found


def test_an_answer_across_the_border_of_a_chunk_is_lost_and_others_are_found():
    circuit = small(kind="llama4", chunk=256, interval=4)
    found = [circuit.answer(text(1000, at), 6) == [7, 8, 9, 7, 8, 2] for at in range(480, 540)]
    first_lost, last_lost = found.index(False), len(found) - 1 - found[::-1].index(False)
    # from the last token of the answer at the border to the first token of its n-gram there
    assert (480 + first_lost, 480 + last_lost) == (512 - len(NEEDLE) + 1, 511)
    assert sum(found) == len(found) - (last_lost - first_lost + 1)


def test_an_ngram_that_the_text_holds_twice_is_a_bad_trial_not_a_miss():
    ids = text(500, 100)
    assert expected_answer(small(), ids, 8).ambiguous == "" and expected_answer(small(), ids, 8).source == 106
    ids[300:307] = [*NEEDLE[:6], 5]
    reason = expected_answer(small(), ids, 8).ambiguous
    assert "6 tokens before answer token 0 stand 2 times in the text (before 106, 306)" in reason
    ids[306] = 7  # the same continuation is no ambiguity, until the two part
    assert "answer token 1" in expected_answer(small(), ids, 8).ambiguous
    assert trace(ids[:0], [], 6) == (None, "")


def test_written_twice_the_same_bytes(tmp_path):
    tokenizer = load_tokenizer("smollm2")
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        checkpoint.write(DESIGNS["scout"], tokenizer, None, tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()


def test_other_tokenizers_have_their_own_ends():
    for name in ("smollm2", "llama4", "qwen3_5"):
        tokenizer = load_tokenizer(name)
        known = vocabulary.of(tokenizer, name)
        assert known.size >= tokenizer.num_ids and known.stop == tokenizer.stop_ids[0]
        for sentence in ("The number is 4719302.", "他说是这样。"):
            assert known.is_end[tokenizer.encode(sentence).ids[-1]], sentence
        assert not known.is_end[tokenizer.encode("The number is 4719302").ids].any()


@pytest.mark.parametrize(("made", "what"), [
    ("margin@nats:12", "calibration model margin with other settings"), (None, "something else"),
])
def test_a_folder_with_anything_else_is_refused(tmp_path, made, what):
    place, tokenizer = tmp_path / "here", load_tokenizer("smollm2")
    if made:
        checkpoint.write_to(design(made), tokenizer, None, place)
    else:
        place.mkdir()
        (place / "config.json").write_text("{}")
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    with pytest.raises(NiahError, match=f"holds {what}; expected a new folder"):
        checkpoint.write_to(DESIGNS["full"], tokenizer, None, place)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before


@pytest.mark.parametrize("text", ['{"format": "of another tool"}', "", '{"layout": "1", "na', "[1]", "{}"])
def test_a_mark_of_another_tool_or_a_torn_one_is_something_else(tmp_path, text):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / checkpoint.MARK).write_text(text)
    with pytest.raises(NiahError, match="holds something else; expected a new folder"):
        checkpoint.write_to(DESIGNS["full"], load_tokenizer("smollm2"), None, tmp_path / "here")
    assert (tmp_path / "here" / checkpoint.MARK).read_text() == text


@pytest.mark.slow
def test_a_full_disk_leaves_no_half_checkpoint(tmp_path):
    def limited():
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**23, 2**23))

    for words, folder in ((("out=here",), tmp_path / "here"), ((), tmp_path / "cache" / "calibration")):
        done = subprocess.run(
            command("calibrate", "models=full", "tokenizer=qwen3.5-27b", *words), cwd=tmp_path, capture_output=True,
            text=True, env=environment_with(NIAH_CACHE=str(tmp_path / "cache")), preexec_fn=limited,
        )
        assert done.returncode == 1 and "cannot be written; got " in done.stderr, done.stderr
        assert "Traceback" not in done.stderr
        assert is_one_line(done)
        assert not [file for file in folder.rglob("*") if file.suffix != ".lock"]


def test_a_tokenizer_without_enough_ids_is_refused(niah, tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    folder = tmp_path / "tiny"
    folder.mkdir()
    words = {word: number for number, word in enumerate(["<unk>", "</s>", "the", "1", "2"])}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    backend.add_special_tokens(["<unk>", "</s>"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"eos_token": "</s>", "unk_token": "<unk>"}))
    done = niah("calibrate", f"tokenizer={folder}", "models=full", "out=here")
    assert done.returncode == 1 and "5 ids are too few for the codes of needles; '0', '3'" in done.stderr, done.stderr
    assert is_one_line(done) and not (tmp_path / "here").exists()


@pytest.mark.parametrize("kind", ["BPE", "WordLevel"])
def test_a_tokenizer_without_any_ids_is_refused(niah, tmp_path, kind):
    from tokenizers import Tokenizer, models

    (tmp_path / "empty").mkdir()
    Tokenizer(getattr(models, kind)()).save(str(tmp_path / "empty" / "tokenizer.json"))
    done = niah("calibrate", f"tokenizer={tmp_path / 'empty'}", "models=full", "out=here")
    assert done.returncode == 1 and "0 ids are too few for the codes of needles" in done.stderr, done.stderr
    assert is_one_line(done) and not (tmp_path / "here").exists()


def test_ten_million_tokens_fit_one_card_of_80_gb(niah):
    for name in ("full", "scout"):
        done = niah("plan", f"model=calibration/{name}", "ctx.lengths=[10m]", "hardware=1xh100")
        assert done.returncode == 0, done.stderr
        lines = [line.split() for line in done.stdout.splitlines() if line.split()[:1] == ["10M"]]
        assert [(line[1], line[2]) for line in lines] == [("bfloat16", "yes"), ("fp8_e4m3", "yes")]


def test_designs_differ_in_their_key():
    tokenizer = load_tokenizer("smollm2")
    keys = {checkpoint.key(one, tokenizer) for one in (*DESIGNS.values(), dataclasses.replace(DESIGNS["full"], seed=1))}
    assert len(keys) == len(DESIGNS) + 1
