"""Hybrid search: dense vectors and BM25 over the same passages, fused by rank. Knows no guideline.

Fusion: reciprocal rank fusion, sum of 1 / (60 + rank), Cormack GV, Clarke CLA, Büttcher S, SIGIR 2009, doi:10.1145/1571941.1572114.
BM25: Robertson S, Zaragoza H, Foundations and Trends in Information Retrieval 2009, doi:10.1561/1500000019, by the bm25s package.

The relevance floor is stated for the query and for each passage, so an empty list is an answer too. A query is answered when its best
cosine similarity is at least ``FLOOR_ALONE``; or at least ``FLOOR_KNOWN`` with half of its words or more in the corpus; or when one
passage holds all of its words. Then a passage is kept when its similarity is at least ``FLOOR_PASSAGE`` or it holds all the words.
Similarity alone does not separate: with MiniLM a question on another organ's system comes as close as 0.46, an abbreviation of ours as
far as 0.2. The numbers are chosen on example questions with the bundled MiniLM; another embedder has another scale. A question on
another organ in words of ours (a cyst of the pancreas) can still pass: the filter by organ is the caller's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from citrus_agent.knowledge.index import Document, VectorIndex

RRF_K = 60
FLOOR_ALONE = 0.50
FLOOR_KNOWN = 0.33
FLOOR_PASSAGE = 0.20

_WORD = re.compile(r"[a-z0-9]+(?:\.[0-9]+)?")
# Short on purpose: "not" and "no" carry meaning here ("not parallel", "no lesion").
_STOP = frozenset(
    re.findall("[a-z]+", "a an and are as at be by do does for from how i in is it of on or that the this to was what when which with")
)


def tokens(text: str) -> list[str]:
    """Words for BM25: lower case, ``BI-RADS`` as one word, plain plurals folded, a few stop words left out."""
    plain = text.lower().replace("bi-rads", "birads").replace("bi rads", "birads")
    return [_singular(word) for word in _WORD.findall(plain) if word not in _STOP]


def _singular(word: str) -> str:
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is", "rads")):
        return word[:-1]
    return word


class HybridSearch:
    """Ranks documents for a query. The BM25 table is built at the first search; the vectors come from ``index``."""

    def __init__(self, index: VectorIndex, documents: Sequence[Document]) -> None:
        self._index = index
        self._words = {item.key: tokens(item.text) for item in documents}
        self._vocabulary = frozenset(word for words in self._words.values() for word in words)
        self._bm25: Any = None

    def rank(self, query: str, k: int, where: dict[str, str]) -> list[tuple[str, float]]:
        """The best ``k`` keys with their fused score in 0..1 (1: first in all rankings); empty when nothing is relevant."""
        words = tokens(query)
        cosine = self._index.similarities(query, where)
        dense = sorted(cosine, key=lambda key: (-cosine[key], key))
        lexical = [key for key in self._lexical(words) if key in cosine]
        codes = {word for word in words if any(char.isdigit() for char in word)}
        # A code such as 4b means one thing only, and neither ranking weighs that: passages that hold it count once more.
        exact = [[key for key in lexical if codes <= set(self._words[key])]] if codes else []
        fused = reciprocal_rank([dense, lexical, *exact])
        kept = self._relevant(words, cosine)
        return [(key, fused[key]) for key in sorted(kept, key=lambda key: (-fused[key], key))[:k]]

    def _relevant(self, words: Sequence[str], cosine: dict[str, float]) -> list[str]:
        """Keys above the floor, none when the query itself is below it."""
        whole = {key for key in cosine if words and set(words) <= set(self._words[key])}
        best = max(cosine.values(), default=-1.0)
        known = bool(words) and 2 * sum(word in self._vocabulary for word in words) >= len(words)
        if not (whole or best >= FLOOR_ALONE or (known and best >= FLOOR_KNOWN)):
            return []
        return [key for key in cosine if key in whole or cosine[key] >= FLOOR_PASSAGE]

    def _lexical(self, words: list[str]) -> list[str]:
        """Keys of the documents that share a word with the query, best first."""
        if not words:
            return []
        if self._bm25 is None:
            import bm25s

            self._bm25 = bm25s.BM25()
            self._bm25.index(list(self._words.values()), show_progress=False)
        scored = zip(self._words, self._bm25.get_scores(words), strict=True)
        return [key for key, score in sorted(scored, key=lambda pair: (-pair[1], pair[0])) if score > 0]


def reciprocal_rank(rankings: Iterable[Sequence[str]], k: int = RRF_K) -> dict[str, float]:
    """Fuse rankings: the sum of ``1 / (k + rank)``, rank from 1, divided by the largest sum there can be."""
    rankings = list(rankings)
    fused: dict[str, float] = {}
    for ranking in rankings:
        for rank, key in enumerate(ranking, start=1):
            fused[key] = fused.get(key, 0.0) + 1.0 / (k + rank)
    return {key: score * (k + 1) / len(rankings) for key, score in fused.items()}
