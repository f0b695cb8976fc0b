"""The edges of a graph, all over the text, and an operation on it: nodes at a distance, or the parents of one.

The form of GraphWalks (OpenAI 2025, the data set openai/graphwalks): every line may matter, and none can be found by
what it says alone.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from niah.errors import NiahError
from niah.limits import free_text, limited, one_of
from niah.records import Problem
from niah.scorers.node_set import NodeSet
from niah.tasks import Task, draws

_DIGITS = 6
"""Hexadecimal ones of a node's name."""
_DEGREE = 2
"""Edges that leave a node, and that enter it, on average."""
_FEWEST_EDGES = 12
_SAMPLE = 64
"""Edges by which the tokens of one are reckoned."""
_SHARE = 0.97
"""Of the room, for edges that may matter; the last lines touch no answer."""
_MARGIN = 32
"""Tokens by which the question may turn out longer than it was in a first draft."""
_SPARE = 64
"""Tokens of lines beyond those that fit, of which the end is cut off."""
_TRIED = 2000
"""Nodes that are looked at for one with a right number of answers."""


@dataclass(frozen=True, kw_only=True)
class Graph(Task):
    """A random graph without loops and doubles whose edges stand in random order, a line each, up to the exact length.
    ``form`` bfs asks for the nodes whose shortest path from a node has ``num_steps`` edges, parents for those with an
    edge that leads to one. The node is drawn among those whose answer has ``fewest`` to ``most`` nodes.

    Deviates from GraphWalks: nodes are six hexadecimal digits; no solved examples; an answer has a bounded number of
    nodes whatever the length, and at least one; the last 3% of the lines touch no answer, as the end is cut; a list
    without "Final Answer:" counts too (``scorer.published=true``: it does not). The wording is niah's own.
    """

    name: str = "graph"
    form: str = one_of("bfs", "parents")
    num_steps: int = limited(2, at_least=1, at_most=20)
    fewest: int = limited(2, at_least=1)
    most: int = limited(6, at_least=1, at_most=10_000)
    template: str = free_text("{instruction}\n\n{context}\n\n{question}")

    unshared = "it asks about the whole text"
    writes_context = True
    has_depth = False
    scorer = NodeSet()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.fewest > self.most:
            raise NiahError(f"task.fewest: got {self.fewest} to {self.most}; expected at most task.most")

    @property
    def answer_tokens(self) -> int:
        return self.max_tokens or 32 + 12 * self.most

    def fill(
        self, rng: np.random.Generator, language: str, num_tokens: int, num_tokens_of: Callable[[str], int]
    ) -> Problem:
        """A problem whose text has at least ``num_tokens`` tokens; what may be cut off is not needed."""
        own = self.phrases_in(language)["graph"]
        seed, room = int(rng.integers(2**32)), int(_SHARE * num_tokens) - _MARGIN
        sample = _Edges.drawn(np.random.default_rng(seed), _SAMPLE)
        num_edges = room * _SAMPLE // num_tokens_of(sample.text)
        while True:
            if num_edges < _FEWEST_EDGES:
                raise NiahError(
                    f"task=graph: the smallest graph, of {_FEWEST_EDGES} edges, does not fit; got room for "
                    f"{num_tokens:,} tokens; expected a longer length, or a smaller task.most"
                )
            order = np.random.default_rng(seed)
            edges = _Edges.drawn(order, num_edges)
            if (got := num_tokens_of(edges.text)) <= room:
                break
            num_edges -= max(1, num_edges // 100)
        node, answers, touching = self._node(order, edges)
        lines = [edges.text]
        while got < num_tokens + _SPARE:
            more = edges.further(order, max(32, (num_tokens - got) // 8), touching, by_source=self.form == "bfs")
            lines.append(more)
            got += num_tokens_of(f"\n{more}")
        wording = {"node": edges.names[node], "depth": self.num_steps}
        return Problem(
            (), draws.filled(own[f"question_{self.form}"], **wording), tuple(edges.names[one] for one in answers),
            own["prefix"], text="\n".join(lines), instruction=own["instruction"],
        )

    def _node(self, rng: np.random.Generator, edges: "_Edges") -> tuple[int, list[int], np.ndarray]:
        """The node asked for, its answer, and the nodes from which (parents: to which) no further edge may lead."""
        for node in rng.permutation(len(edges.names))[:_TRIED].tolist():
            if self.form == "parents":
                answers, touching = edges.sources[edges.targets == node].tolist(), np.array([node])
            else:
                *before, last = edges.levels(node, self.num_steps)
                answers, touching = last, np.array([one for level in before for one in level])
            if self.fewest <= len(answers) <= self.most:
                return node, answers, touching
        what = f", {self.num_steps} steps away" if self.form == "bfs" else ""
        raise NiahError(
            f"task=graph: no node of {len(edges.sources):,} edges has {self.fewest} to {self.most} answers{what}; "
            "expected another task.fewest or task.most, or a smaller task.num_steps, or a longer length"
        )


@dataclass(frozen=True)
class _Edges:
    """Edge i leads from node ``sources[i]`` to ``targets[i]``: places in ``names``, int64 of shape (edges,)."""

    names: list[str]
    sources: np.ndarray
    targets: np.ndarray

    @classmethod
    def drawn(cls, rng: np.random.Generator, num_edges: int) -> "_Edges":
        num_nodes = max(8, num_edges // _DEGREE)
        codes = np.unique(rng.integers(16**_DIGITS, size=num_nodes + num_nodes // 4 + 16))
        names = [f"{code:0{_DIGITS}x}" for code in rng.permutation(codes)[:num_nodes].tolist()]
        sources, targets = np.divmod(_pairs(rng, num_nodes, num_edges), num_nodes)
        return cls(names, sources, targets)

    @property
    def text(self) -> str:
        """A line an edge."""
        return _lines(self.names, self.sources, self.targets)

    def levels(self, node: int, num_steps: int) -> list[list[int]]:
        """The nodes whose shortest path from ``node`` has 0, 1 ... ``num_steps`` edges."""
        seen, found = {node}, [[node]]
        for _ in range(num_steps):
            leaving = np.isin(self.sources, found[-1])
            found.append([one for one in dict.fromkeys(self.targets[leaving].tolist()) if one not in seen])
            seen.update(found[-1])
        return found

    def further(self, rng: np.random.Generator, num: int, touching: np.ndarray, *, by_source: bool) -> str:
        """Lines of up to ``num`` edges that are not there yet, none from (else to) one of the nodes ``touching``."""
        pairs = _pairs(rng, len(self.names), num)
        pairs = pairs[~np.isin(pairs, self.sources * len(self.names) + self.targets)]
        sources, targets = np.divmod(pairs, len(self.names))
        is_apart = ~np.isin(sources if by_source else targets, touching)
        return _lines(self.names, sources[is_apart], targets[is_apart])


def _pairs(rng: np.random.Generator, num_nodes: int, num: int) -> np.ndarray:
    """Up to ``num`` different pairs of different nodes in random order, each as source * num_nodes + target."""
    drawn = rng.integers(num_nodes**2, size=2 * num + 64)
    drawn = drawn[drawn // num_nodes != drawn % num_nodes]
    _, places = np.unique(drawn, return_index=True)
    found: np.ndarray = drawn[np.sort(places)[:num]]
    return found


def _lines(names: list[str], sources: np.ndarray, targets: np.ndarray) -> str:
    return "\n".join(
        f"{names[source]} -> {names[target]}" for source, target in zip(sources.tolist(), targets.tolist(), strict=True)
    )
