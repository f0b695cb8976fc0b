"""A source is tokenised once, as one text, and kept; what is missing or repeats is said."""

import subprocess
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from niah import disk
from niah.errors import NiahError
from niah.haystacks import Haystack, corpus
from niah.haystacks.essays import Essays
from niah.haystacks.files import Files
from niah.haystacks.noise import Noise
from niah.tokens.splice import is_canonical
from tests.helpers.command import REPOSITORY
from tests.helpers.tokenizers import load_tokenizer


@pytest.fixture
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))


@dataclass(frozen=True, kw_only=True)
class Given(Haystack):
    """Texts from a list, as a user's own source might be."""

    name: str = "given"
    licence: str = "none"
    texts: list[str]

    def documents(self, skip):
        return iter(self.texts)


def test_essays_are_tokenised_as_one_text(tokenizer):
    loaded = corpus.load(Essays(), tokenizer)
    assert 600_000 < loaded.num_tokens < 720_000 and loaded.unique_tokens == loaded.num_tokens
    for part in (loaded.ids[:50_000], loaded.ids[-9_000:]):
        assert is_canonical(tokenizer, np.asarray(part))
    assert loaded.text_path.read_text().startswith(tokenizer.decode(loaded.ids[:4000])[:9000])


def test_parts_of_a_large_text_are_joined_as_one(tokenizer, own_cache):
    text = "It rained 12345678 times,\tand “she” sang… 我们在海边。العاصفة قادمة. " * 9000
    ids = np.concatenate(corpus.tokenise(corpus.chunks([text], "\n\n"), tokenizer))
    assert len(text) > 1.5 * corpus.CHUNK
    assert tokenizer.decode(ids) == text + "\n\n"
    seam = len(tokenizer.encode(text[: corpus.CHUNK]).ids)
    is_one_text = tokenizer.encode(text).ids.tolist() == ids[:-1].tolist()
    assert is_one_text or is_canonical(tokenizer, ids[seam - 3000 : seam + 3000])


@pytest.mark.parametrize("text", ["a" * 700_000, " " * 400_000 + "end", "word\n" * 200_000, "字" * 500_000])
def test_text_without_breaks_is_no_trouble(text, own_cache):
    loaded = corpus.load(Given(texts=[text]), load_tokenizer("llama4"))
    assert load_tokenizer("llama4").decode(loaded.ids).strip() == text.strip()


def test_stretch_is_a_prefix_of_a_longer_one_and_goes_round(tokenizer, own_cache):
    loaded = corpus.load(Given(texts=[f"Day {n} came and went. Nothing else happened." for n in range(90)]), tokenizer)
    short, long = (loaded.stretch(n, np.random.default_rng(5), tokenizer) for n in (200, 3 * loaded.num_tokens))
    assert np.array_equal(long.ids[:140], short.ids[:140])
    assert len(long.ids) >= 3 * loaded.num_tokens
    assert is_canonical(tokenizer, np.asarray(long.ids))
    assert short.repeated_share == 0 and long.repeated_share == pytest.approx(2 / 3)
    assert tokenizer.decode(long.ids).startswith("Day ")


def test_endless_sources_grow_and_begin_at_the_same_place(own_cache):
    from niah.haystacks.records import Records

    tokenizer = load_tokenizer("llama4")
    small, large = (corpus.load(Records(), tokenizer, n) for n in (1000, 2_000_000))
    assert small.num_tokens < large.num_tokens >= 2_000_000 + corpus.REGION
    one, other = (loaded.stretch(5000, np.random.default_rng(3), tokenizer) for loaded in (small, large))
    assert one.start == other.start and np.array_equal(one.ids, other.ids)
    assert corpus.load(Records(), tokenizer, 900).ids.filename == small.ids.filename  # and is made once


def test_repeats_are_recorded_and_can_be_refused(own_cache):
    tokenizer = load_tokenizer("smollm2")
    loaded = corpus.load(Given(texts=["A short day. " * 20]), tokenizer)
    assert loaded.repeated_share(2 * loaded.num_tokens) == 0.5
    message = r"haystack=given: \d+ tokens of unique text for a context of 4,000; .*haystack=mixed"
    with pytest.raises(NiahError, match=message):
        corpus.load(Given(texts=["A short day. " * 20], repeat="forbid"), tokenizer, 4000)
    noise = corpus.load(Noise(), tokenizer)
    assert noise.unique_tokens < 40 and noise.repeated_share(4000) > 0.99


def test_holding_ignores_case_and_block_edges(own_cache, monkeypatch):
    monkeypatch.setattr(corpus, "_BLOCK", 64)
    text = "The Grass is GREEN. 他说天黑了。 code 4827163 ends."
    loaded = corpus.load(Given(texts=[text]), load_tokenizer("smollm2"))
    held = {"grass IS green", "4827163", "天黑"}
    assert loaded.holding([*held, "umbrella", "1234567", "月亮"]) == held
    assert loaded.holding([]) == set()


@pytest.mark.parametrize(("by_line", "separator"), [(False, "\n\n"), (True, "\n")])
def test_shuffled_is_the_same_sentences_in_another_order(by_line, separator, own_cache):
    from niah.haystacks.order import sentences, shuffled

    documents = [f"Day {n} was fine. “Why {n}?” she asked. 第{n}天。天黑了。\nLine {n} ends." for n in range(40)]
    (mixed,) = shuffled(iter(documents), by_line=by_line)
    split = str.splitlines if by_line else sentences
    assert sorted(split(mixed)) == sorted(part for document in documents for part in split(document))
    assert split(mixed) != [part for document in documents for part in split(document)]
    sources = (Given(texts=documents, order=order) for order in ("coherent", "shuffled"))
    coherent, other = (corpus.load(source, load_tokenizer("smollm2")) for source in sources)
    assert coherent.sha256 != other.sha256


def test_separator_is_the_users(own_cache):
    loaded = corpus.load(Given(texts=["One.", "Two."], separator="\n---\n"), load_tokenizer("smollm2"))
    assert load_tokenizer("smollm2").decode(loaded.ids) == "One.\n---\nTwo.\n---\n" and loaded.num_documents == 2


def test_what_was_left_out_is_kept_with_the_corpus(tmp_path, own_cache):
    (tmp_path / "good.txt").write_text("A fine day. Nothing else.")
    (tmp_path / "bad.txt").write_bytes(b"\x00\x01")
    for _ in range(2):  # read, then from the cache
        loaded = corpus.load(Files(path=str(tmp_path / "*.txt")), load_tokenizer("smollm2"))
        assert len(loaded.skipped) == 1 and "bad.txt" in loaded.skipped[0]


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
        disk.folder("corpora", "key", fails)
    made = disk.folder("corpora", "key", lambda folder: (folder / "ids.npy").write_text("whole"))
    assert (made / "ids.npy").read_text() == "whole"
    assert [p.name for p in made.parent.iterdir() if p.is_dir()] == ["key"]


_LOAD = """
import sys
from niah.haystacks import corpus
from niah.haystacks.files import Files
from tests.helpers.command import REPOSITORY
from tests.helpers.tokenizers import load_tokenizer
tokenizer = load_tokenizer("llama4")
print("ready", flush=True)
sys.stdin.readline()
print(corpus.load(Files(path=sys.argv[1]), tokenizer).ids.filename)
"""


def test_two_processes_make_one_corpus(own_cache, tmp_path):
    (tmp_path / "text.txt").write_text("The day was fine. " * 40_000)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", _LOAD, str(tmp_path / "text.txt")], cwd=REPOSITORY, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in both] == ["ready\n"] * 2
    for process in both:
        process.stdin.write("\n")
        process.stdin.flush()
    files = {process.communicate(timeout=60)[0] for process in both}
    assert len(files) == 1 and [process.returncode for process in both] == [0, 0]
    assert len([p for p in (disk.root() / "corpora").iterdir() if p.is_dir()]) == 1


@pytest.mark.parametrize("damage", ["flipped", "emptied text", "no meta"])
def test_a_damaged_cache_gives_the_same_ids_and_text_again(damage, own_cache, capsys):
    source, tokenizer = Given(texts=["The day was fine. " * 400]), load_tokenizer("smollm2")
    made = corpus.load(source, tokenizer)
    folder, ids, text = made.text_path.parent, made.ids.copy(), made.text_path.read_bytes()
    if damage == "flipped":
        data = bytearray((folder / "ids.npy").read_bytes())
        data[-400] ^= 1
        (folder / "ids.npy").write_bytes(data)
    elif damage == "emptied text":
        made.text_path.write_text("")
    else:
        (folder / "meta.json").unlink()
    again = corpus.load(source, tokenizer)
    assert (again.ids == ids).all() and again.text_path.read_bytes() == text and again.sha256 == made.sha256
    assert "it is made anew" in capsys.readouterr().err


def test_empty_source_is_refused(own_cache):
    with pytest.raises(NiahError, match="haystack=given: holds no text"):
        corpus.load(Given(texts=["", "  \n"]), load_tokenizer("smollm2"))


@pytest.mark.parametrize("settings", [{"order": "random"}, {"repeat": "never"}])
def test_unknown_order_is_refused(settings):
    with pytest.raises(NiahError, match=r"haystack\.(order|repeat): got"):
        Given(texts=["A."], **settings)
