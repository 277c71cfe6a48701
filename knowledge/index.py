"""The vectors of a corpus in Chroma, embedded and on disk, built once. Knows no words, only texts, vectors and keys.

An index lies in a folder of its own, named after corpus and embedder. It is built beside its place and renamed into it: the rename
is atomic, so two processes that build at once leave one whole index, and a killed one leaves none.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from citrus_agent.core.errors import ResourceError
from citrus_agent.knowledge.embed import Embed, embedder_name

_COLLECTION = "passages"


@dataclass(frozen=True)
class Document:
    """One text with its key and what it can be filtered by."""

    key: str
    text: str
    metadata: dict[str, str]


class VectorIndex:
    """Cosine search over the documents. Nothing is embedded or opened before ``similarities`` is called."""

    def __init__(self, folder: Path, digest: str, embed: Embed, documents: Sequence[Document]) -> None:
        self._documents = documents
        self._embed = embed
        embedder = hashlib.sha256(embedder_name(embed).encode()).hexdigest()
        self.path = folder / f"{digest[:24]}-{embedder[:8]}"
        self._name = f"{_COLLECTION}-{digest[:24]}-{embedder[:8]}"
        self._client: Any = None
        self._collection: Any = None

    def similarities(self, query: str, where: dict[str, str]) -> dict[str, float]:
        """Cosine similarity, -1 to 1, by document key for the documents that match ``where``, best first."""
        if self._collection is None:
            self._collection = self._open()
        terms = [{name: value} for name, value in where.items()]
        found = self._collection.query(
            query_embeddings=self._vectors([query]),
            n_results=len(self._documents),
            where={"$and": terms} if len(terms) > 1 else terms[0] if terms else None,
            include=["distances"],
        )
        return {key: 1.0 - distance for key, distance in zip(found["ids"][0], found["distances"][0], strict=True)}

    def close(self) -> None:
        """Let go of the files; the next search opens them again."""
        if self._client is not None:
            self._client.close()
        self._client = self._collection = None

    def _vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        vectors = np.asarray(self._embed(texts), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(texts) or not np.isfinite(vectors).all():
            raise ResourceError(
                f"use another embedder: this one gave {vectors.shape} for {len(texts)} texts, or values that are not finite"
            )
        return vectors

    def _open(self) -> Any:
        try:
            if not self.path.exists():
                self._build()
            self._client = _connect(self.path)
        except OSError as error:
            raise ResourceError(f"make the cache folder writable or choose another one: {error}") from error
        names = [item.name for item in self._client.list_collections()]
        # Chroma's own embedding function would download a model: none, always.
        collection = self._client.get_collection(self._name, embedding_function=None) if self._name in names else None
        if collection is None or collection.count() != len(self._documents):
            self.close()
            raise ResourceError(f"the guideline index is damaged; delete the folder {self.path.name} in the cache and search again")
        return collection

    def _build(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        vectors = self._vectors([item.text for item in self._documents])
        temporary = Path(tempfile.mkdtemp(prefix=".build-", dir=self.path.parent))
        try:
            client = _connect(temporary)
            collection = client.create_collection(self._name, embedding_function=None, configuration={"hnsw": {"space": "cosine"}})
            keys = [item.key for item in self._documents]
            collection.add(ids=keys, embeddings=vectors, metadatas=[item.metadata for item in self._documents])
            client.close()
            temporary.rename(self.path)
        except OSError:
            if not self.path.exists():
                raise
            # Another process was faster, with the same content.
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def _connect(path: Path) -> Any:
    import chromadb
    from chromadb.config import Settings

    return chromadb.PersistentClient(path=str(path), settings=Settings(anonymized_telemetry=False))
