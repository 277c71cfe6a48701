"""The library: one object that retrieves passages and applies guidelines. Knows core's protocols and puts this room's parts together."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Passage, RuleOutcome
from citrus_agent.core.protocols import Fact, RuleInput, SearchFilter
from citrus_agent.knowledge.corpus import BUNDLED, Corpus, load_corpus, passage
from citrus_agent.knowledge.embed import Embed, MiniLM
from citrus_agent.knowledge.index import Document, VectorIndex
from citrus_agent.knowledge.retrieval import HybridSearch
from citrus_agent.knowledge.rules import apply_rule


class Library:
    """``Retriever`` and ``RuleBook`` over one corpus. Safe to search from several threads."""

    def __init__(self, corpus: Corpus, folder: Path, embed: Embed) -> None:
        self._corpus = corpus
        self._sections = {f"{guideline.id}/{section.id}": (guideline, section) for guideline, section in corpus.sections()}
        documents = [
            Document(
                key,
                f"{section.heading}. {section.text} {' '.join(section.keywords)}".strip(),
                {"guideline": guideline.id, "modality": guideline.modality, "organ": guideline.organ},
            )
            for key, (guideline, section) in self._sections.items()
        ]
        self._index = VectorIndex(folder, corpus.digest, embed, documents)
        self._search = HybridSearch(self._index, documents)
        self._lock = threading.Lock()

    @property
    def digest(self) -> str:
        """sha256 of the corpus."""
        return self._corpus.digest

    def search(self, query: str, k: int = 5, where: SearchFilter | None = None) -> list[Passage]:
        """Passages, best first; empty when none is relevant. The first call loads the embedder and opens or builds the index."""
        if not query.strip():
            raise ToolArgumentError("write what to search for: the query is empty")
        if k < 1:
            raise ToolArgumentError(f"ask for at least one passage: k is {k}")
        wanted = where or SearchFilter()
        if wanted.guideline is not None:
            self._corpus.guideline(wanted.guideline)
        fields = {"guideline": wanted.guideline, "modality": wanted.modality, "organ": wanted.organ}
        with self._lock:
            ranked = self._search.rank(query, k, {name: value for name, value in fields.items() if value is not None})
        return [passage(*self._sections[key], score, self.digest) for key, score in ranked]

    def guidelines(self) -> tuple[str, ...]:
        """Ids of the guidelines, sorted."""
        return tuple(self._corpus.guidelines)

    def inputs(self, guideline: str) -> tuple[RuleInput, ...]:
        """The facts that a guideline's rule reads; empty when it has no rule."""
        rule = self._corpus.guideline(guideline).rule
        return tuple(
            RuleInput(item.name, item.type, item.unit, item.allowed, item.required, item.description)
            for item in (rule.inputs if rule else ())
        )

    def apply(self, guideline: str, facts: Mapping[str, Fact]) -> RuleOutcome:
        """What the guideline says of the facts; ``ToolArgumentError`` for a wrong guideline, name, term, unit or value."""
        return apply_rule(self._corpus.guideline(guideline), facts, self.digest)

    def close(self) -> None:
        """Let go of the index's files."""
        with self._lock:
            self._index.close()


def open_library(cache_dir: Path | None = None, embed: Embed | None = None, corpus: Path | None = None) -> Library:
    """Open the guidelines. Loads neither torch nor chromadb: the first search does.

    Args:
        cache_dir: Where the search index is kept; the user's cache (XDG) when None.
        embed: Texts to float32 (n, d) vectors; the bundled MiniLM when None. Give it a ``name`` that changes with its weights.
        corpus: A folder with one ``NAME/guideline.json`` a guideline; the bundled ones when None.
    """
    if cache_dir is None:
        cache_dir = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "citrus-agent"
    return Library(load_corpus(corpus or BUNDLED), cache_dir / "guidelines", embed or MiniLM())
