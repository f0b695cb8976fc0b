import numpy as np
import pytest
from conftest import load_tokenizer

from niah import cache
from niah.errors import NiahError
from niah.haystacks import corpus
from niah.haystacks.essays import Essays
from niah.haystacks.files import Files
from niah.haystacks.noise import Noise
from niah.splice import is_canonical


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))


def test_essays_are_tokenised_as_one_text(tokenizer):
    loaded = corpus.load(Essays(), tokenizer)
    assert 600_000 < loaded.num_tokens < 720_000
    assert is_canonical(tokenizer, np.asarray(loaded.ids))
    for boundary in loaded.boundaries[1:2000:37]:
        before = tokenizer.decode(loaded.ids[max(0, boundary - 12) : boundary])
        after = tokenizer.decode(loaded.ids[boundary : boundary + 4])
        assert before.rstrip()[-1] in ".!?…\"')]”’:" or before.endswith("\n") or after.startswith("\n"), (before, after)


def test_sentence_ends_in_many_scripts():
    text = (
        "Mr. Smith paid $3.50 at 9 a.m. sharp. “Really?” she asked. 他说天黑了。我们走吧！हाँ। ठीक है। هل نذهب؟ نعم. "
        "no capital after. here\n\nTitle without mark\nNext"
    )
    ends = [text[: m.end()].split(". ")[-1][-12:] for m in corpus._SENTENCE_END.finditer(text)]
    cuts = {text[: m.end()] for m in corpus._SENTENCE_END.finditer(text)}
    assert text[: text.index("“Really?”")].rstrip() in cuts
    assert text[: text.index("我们")] in cuts
    assert text[: text.index(" ठीक")] in cuts
    assert text[: text.index(" نعم")] in cuts
    assert text[: text.index("Next")] in cuts
    assert text[: text.index("50 at")] not in cuts
    assert text[: text.index(" here")] not in cuts, ends


def test_stretch_is_a_prefix_of_a_longer_one_and_goes_round(tokenizer):
    loaded = corpus.load(Noise(num_paragraphs=30), tokenizer)
    draws = [loaded.stretch(n, np.random.default_rng(5), tokenizer) for n in (200, 3 * loaded.num_tokens)]
    short, long = draws
    assert np.array_equal(long.ids[: len(short.ids) - 60], short.ids[: len(short.ids) - 60])
    assert len(long.ids) >= 3 * loaded.num_tokens
    assert is_canonical(tokenizer, long.ids)
    assert short.repeated_share == 0 and long.repeated_share == pytest.approx(2 / 3)
    assert long.boundaries.max() > 2 * loaded.num_tokens


def test_holds_ignores_case():
    loaded = corpus.load(Noise(), load_tokenizer("smollm2"))
    assert loaded.holds("THE GRASS IS GREEN") and not loaded.holds("umbrella")


def test_text_without_sentence_marks_still_has_places():
    for text in ("word " * 3000, "ไม่มีเว้นวรรค" * 800):
        ids, boundaries, _ = corpus.tokenise(text, load_tokenizer("llama4"))
        assert np.diff(boundaries).max() < 20 and boundaries[-1] > len(ids) - 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"), (b"   \n", "is empty"), (b"\x00\x01binary", "is a binary file"),
        ("Größe".encode("latin-1"), "is not UTF-8"),
    ],
)
def test_bad_files_are_named(tmp_path, content, message):
    file = tmp_path / "bad.txt"
    file.write_bytes(content)
    with pytest.raises(NiahError, match=message) as caught:
        corpus.load(Files(path=str(file)), load_tokenizer("smollm2"))
    assert "bad.txt" in str(caught.value) and "\n" not in str(caught.value)


def test_files_of_a_folder_and_a_glob(tmp_path, own_cache):
    for name, text in (("b.txt", "Second file."), ("a.txt", "First file."), ("c.md", "Not taken.")):
        (tmp_path / name).write_text(text)
    assert list(Files(path=str(tmp_path)).documents()) == ["First file.", "Second file."]
    assert list(Files(path=str(tmp_path / "*.md")).documents()) == ["Not taken."]
    with pytest.raises(NiahError, match="nothing to read"):
        list(Files(path=str(tmp_path / "none*")).documents())


def test_a_changed_source_is_noticed(tmp_path, own_cache):
    file = tmp_path / "text.txt"
    shas = set()
    for text in ("One day.", "Another day."):
        file.write_text(text)
        loaded = corpus.load(Files(path=str(file)), load_tokenizer("smollm2"))
        shas.add(loaded.sha256)
        assert load_tokenizer("smollm2").decode(loaded.ids).strip() == text
    assert len(shas) == 2


def test_half_made_cache_folder_is_never_used(tmp_path, own_cache):
    def fails(folder):
        (folder / "ids.npy").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cache.folder("corpora", "key", fails)
    made = cache.folder("corpora", "key", lambda folder: (folder / "ids.npy").write_text("whole"))
    assert (made / "ids.npy").read_text() == "whole"
    assert [p.name for p in made.parent.iterdir() if p.is_dir()] == ["key"]
