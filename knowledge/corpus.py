"""The guideline files of a folder, read and checked. Knows neither retrieval nor rules.

A corpus is a folder with one ``NAME/guideline.json`` a guideline; adding a guideline is adding a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from citrus_agent.core.errors import ConfigurationError, ToolArgumentError
from citrus_agent.core.evidence import Passage
from citrus_agent.knowledge.schema import Guideline, Section

BUNDLED = Path(__file__).resolve().parent / "corpus"


@dataclass(frozen=True)
class Corpus:
    """Guidelines by id. ``digest``: sha256 over the ids and the files' own sha256, in order of id."""

    guidelines: dict[str, Guideline]
    digest: str

    def guideline(self, name: str) -> Guideline:
        """The guideline; ``ToolArgumentError`` lists what there is."""
        if name not in self.guidelines:
            raise ToolArgumentError(f"there is no guideline {name!r}; there is: {', '.join(self.guidelines)}")
        return self.guidelines[name]

    def sections(self) -> Iterator[tuple[Guideline, Section]]:
        """Every section with its guideline, in a fixed order."""
        for guideline in self.guidelines.values():
            for section in guideline.sections:
                yield guideline, section


def load_corpus(folder: Path = BUNDLED) -> Corpus:
    """Read all guideline files of a folder; ``ConfigurationError`` names the file that is wrong."""
    guidelines: dict[str, Guideline] = {}
    digests: dict[str, str] = {}
    for path in sorted(folder.glob("*/guideline.json")):
        data = path.read_bytes()
        try:
            guideline = Guideline.model_validate_json(data)
        except ValidationError as error:
            raise ConfigurationError(f"mend the guideline file {path.parent.name}/{path.name}: {error}") from error
        if guideline.id in guidelines:
            raise ConfigurationError(f"rename one of the two guidelines with the id {guideline.id!r}")
        guidelines[guideline.id] = guideline
        digests[guideline.id] = hashlib.sha256(data).hexdigest()
    if not guidelines:
        raise ConfigurationError("add a guideline: the corpus folder holds no NAME/guideline.json")
    ordered = {name: guidelines[name] for name in sorted(guidelines)}
    lines = "".join(f"{name} {digests[name]}\n" for name in ordered)
    return Corpus(ordered, hashlib.sha256(lines.encode()).hexdigest())


def passage(guideline: Guideline, section: Section, score: float, digest: str) -> Passage:
    """A section as evidence, whole, with what it is cited by."""
    return Passage(
        tool="search_guidelines",
        model_digest=digest,
        uncertainty="score: ranks of dense and BM25 search fused, 1 is first in both; not a probability",
        guideline=guideline.id,
        edition=guideline.edition,
        section=section.id,
        text=section.text,
        text_sha256=hashlib.sha256(section.text.encode()).hexdigest(),
        span=(0, len(section.text)),
        citation=f"{guideline.short_citation}, {section.source}",
        score=score,
    )
