"""FAISS' graph over the chunks of a source (Malkov & Yashunin 2018): approximate, for very many chunks."""

import hashlib
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from niah.errors import NiahError
from niah.readers import Material
from niah.readers.retrieval.blocks import BLOCK, stored
from niah.readers.retrieval.chunks import Cutter
from niah.readers.retrieval.collection import Known

_LINKS, _BUILD, _SEARCH, _NEAREST = 32, 80, 512, 512
"""Links of a chunk, candidates when it is linked in, candidates of a search, and how many it gives."""


class Graph:
    """``places``: block number -> place of its first chunk in the graph."""

    def __init__(self, index, places: Mapping[int, int]):
        self._index, self._places = index, places

    def has_mostly(self, known: Sequence[Known]) -> bool:
        """Whether at least half of its chunks are the collection's: a search that has to pass over more finds few."""
        return 2 * sum(int((one.numbers >= 0).sum()) for one in known) >= self._index.ntotal

    def nearest(self, asked: np.ndarray, known: Sequence[Known]) -> tuple[np.ndarray, np.ndarray]:
        """Numbers and scores of the nearest of the chunks that a collection has, best first."""
        faiss = _library()
        numbers = np.full(self._index.ntotal, -1, dtype=np.int64)
        again = []  # a block that the context has twice: its chunks are found once and given twice
        for one in known:
            place = self._places[one.block]
            part = numbers[place : place + len(one.numbers)]
            inside = one.numbers >= 0
            free = inside & (part < 0)
            again.extend(zip((np.flatnonzero(inside & ~free) + place).tolist(), one.numbers[inside & ~free].tolist(), strict=True))
            part[free] = one.numbers[free]
        bits = np.packbits(numbers >= 0, bitorder="little")
        chosen = faiss.SearchParametersHNSW(sel=faiss.IDSelectorBitmap(bits), efSearch=_SEARCH)
        scores, found = self._index.search(asked[None], min(_NEAREST, self._index.ntotal), params=chosen)
        scores, found = scores[0][found[0] >= 0], found[0][found[0] >= 0]
        order, twice = numbers[found], dict(zip(found.tolist(), scores.tolist(), strict=True))
        more = [(number, twice[place]) for place, number in again if place in twice]
        return (
            np.concatenate([order, np.array([number for number, _ in more], dtype=np.int64)]),
            np.concatenate([scores, np.array([score for _, score in more], dtype=np.float32)]),
        )


def graph_of(cutter: Cutter, label: str, vectors_of: Callable[[int], np.ndarray], material: Material) -> Graph:
    """The graph of all blocks that the stretch touches, from the cache or made now.

    The stretch, not the context, decides: all lengths and depths of a repeat share it. ``vectors_of`` gives those of
    a block, float32 (chunks, dimensions), of length 1.
    """
    faiss = _library()
    spans = material.stretch.segments
    blocks = sorted({block for start, stop, _ in spans for block in range(start // BLOCK, (stop - 1) // BLOCK + 1)})
    identities = " ".join(material.blocks.identity(block) for block in blocks)
    digest = hashlib.sha256(identities.encode()).hexdigest()
    key = f"hnsw {faiss.__version__} {_LINKS} {_BUILD} {label} {cutter.label} {digest}"

    def build() -> dict[str, np.ndarray]:
        index = None
        for block in blocks:
            vectors = np.ascontiguousarray(vectors_of(block))
            if index is None:
                index = faiss.IndexHNSWFlat(vectors.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
                index.hnsw.efConstruction = _BUILD
            index.add(vectors)
        return {"graph": faiss.serialize_index(index)}

    def opened() -> Graph:
        sizes = [len(material.blocks.chunks(block, cutter)[0]) for block in blocks]
        places = dict(zip(blocks, np.concatenate(([0], np.cumsum(sizes)[:-1])).tolist(), strict=True))
        return Graph(faiss.deserialize_index(np.array(stored("indexes", key, build)["graph"])), places)

    return material.blocks.shared(key, opened)


def _library():
    try:
        import faiss
    except ImportError as error:
        raise NiahError("reader.search=hnsw: package faiss-cpu is not installed; pip install 'niah[embed]'") from error
    return faiss
