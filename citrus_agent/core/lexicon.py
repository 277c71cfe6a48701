"""Words that a claim may get wrong: categories, sides, descriptor terms. Knows no evidence and no rule of a guideline.

Terms are those of the BI-RADS ultrasound lexicon (ACR BI-RADS Atlas, 5th edition, 2013). All texts here are lower case, one kind
of hyphen (see ``quantities.plain``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

_NUMERALS = {
    "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6",
    "i": "1", "ii": "2", "iii": "3", "iv": "4", "v": "5", "vi": "6",
}  # fmt: skip
_CATEGORY = re.compile(
    r"(?:\b(?P<system>[a-z]{1,4})[- ]?rads®?(?: us)?[\s:,-]*(?:assessment )?(?:category|score)?(?: is| of)?[\s:-]*"
    r"|\b(?:category|cat\.)(?: is| of)? ?:? ?)"
    r"(?P<numeral>(?:tr|lr-?)?[0-6]|zero|one|two|three|four|five|six|iii?|iv|vi?|i)(?P<letter>[a-cx]?)(?!\w|\.\d)"
    r"|\b(?P<bare>[0-6])(?P<bare_letter>[a-c])\b"
)
_IMAGE_SIDE = r"(?! (?:edge|border|corner|part|half|third|side)?(?: ?(?:of|in) the (?:image|picture|frame)))"
_SIDE = re.compile(
    rf"\b(?P<word>left|right(?![- ]angle)){_IMAGE_SIDE}\b|\b(?P<both>bilateral(?:ly)?|both (?:breasts|sides))\b"
    r"|\b(?P<short>l|r|lt|rt)\.? (?=breast|side)"
)
_NEGATION = re.compile(
    r"(?:\b(?:not|no|non|without|nor|neither)[\s-]+"
    r"(?:(?:an?|any|the|posterior|acoustic|clearly|entirely|\w+ (?:or|and|nor))[\s-]+)*|\bnon)$"
)
_TERMS: dict[str, dict[str, str]] = {
    "shape": {"oval": "oval", "round": "round", "irregular": "irregular"},
    "orientation": {"parallel": "parallel"},
    "margin": {term: term for term in ("circumscribed", "indistinct", "angular", "microlobulated", "spiculated")},
    "echo_pattern": {
        **{term: term for term in ("anechoic", "hyperechoic", "isoechoic", "hypoechoic", "heterogeneous")},
        "complex_cystic_solid": r"complex cystic(?: and |/|-| )solid",
    },
    "posterior_features": {
        "enhancement": "enhancement",
        "shadowing": "shadowing",
        "combined": "combined",
    },
}
_TERM = {
    (feature, term): re.compile(rf"(?:(?<=\bnon)|\b)(?:{pattern})\b")
    for feature, terms in _TERMS.items()
    for term, pattern in terms.items()
}  # fmt: skip
_NO_POSTERIOR = re.compile(
    r"\b(?:no|without) posterior(?: acoustic)? (?:features|effects?)\b|\bposterior(?: \w+){0,4}:? (?:none|absent)\b|\bnone posterior\b"
)
_LABEL = re.compile(
    r"\b(?:(?P<simple>shape|orientation|margin)s?|(?P<echo>echo pattern)|(?P<posterior>posterior(?: acoustic)? features?))"
    r"(?::| is| are| was| were) (?P<said>[^.;]+)"
)

_REACH = 80  # how far back a denial is looked for, characters: claims are written by a model and may be long


class Category(NamedTuple):
    """A category as named: ``system`` is ``bi`` of BI-RADS, empty when the text leaves it out; ``value`` is ``4a``."""

    system: str
    value: str

    def same(self, other: Category) -> bool:
        """Equal, where a system that was left out is taken as meant."""
        return self.value == other.value and (self.system == other.system or not self.system)

    def __str__(self) -> str:
        return f"{self.system.upper()}-RADS {self.value.upper()}" if self.system else f"category {self.value.upper()}"


@dataclass(frozen=True)
class Term:
    """A descriptor term in a text; ``negated``: the text says that it is something else."""

    feature: str
    term: str
    negated: bool = False

    def agrees(self, decided: str) -> bool:
        """Whether what the text says goes with the term that was decided."""
        return (decided == self.term) != self.negated


def categories(text: str) -> list[Category]:
    """Categories that a text names: ``bi-rads 4a``, ``bi-rads iv``, ``category 3``, a bare ``4c``."""
    found = []
    for match in _CATEGORY.finditer(text):
        numeral = match["bare"] or re.sub(r"tr|lr-?", "", match["numeral"])
        value = _NUMERALS.get(numeral, numeral) + (match["bare_letter"] or match["letter"] or "")
        found.append(Category(match["system"] or "", value))
    return found


def without_categories(text: str) -> str:
    """The text with its categories blanked, so that their digits are not taken for numbers."""
    return _CATEGORY.sub(" ", text)


def sides(text: str) -> set[str]:
    """``left`` and ``right`` as sides of the body; sides of the image are none."""
    found: set[str] = set()
    for match in _SIDE.finditer(text):
        if match["both"]:
            found |= {"left", "right"}
        else:
            found.add("left" if (match["word"] or match["short"]).startswith("l") else "right")
    return found


def negated(text: str, start: int) -> bool:
    """Whether what stands at ``start`` is denied by the words just before it."""
    return _NEGATION.search(text[max(0, start - _REACH) : start]) is not None


def labelled(text: str) -> Iterator[tuple[str, str]]:
    """Features with what a text says right behind their name: ``shape: oval``, ``the margin is angular``."""
    for match in _LABEL.finditer(text):
        feature = match["simple"] or ("echo_pattern" if match["echo"] else "posterior_features")
        yield feature, match["said"]


def terms(text: str) -> Iterator[Term]:
    """Descriptor terms that a text names. Posterior features count only where the text speaks of posterior or acoustic ones."""
    posterior = re.search(r"\b(?:posterior|acoustic)\b", text) is not None
    for (feature, term), pattern in _TERM.items():
        if feature == "posterior_features" and not posterior:
            continue
        for match in pattern.finditer(text):
            yield Term(feature, term, negated(text, match.start()))
    if _NO_POSTERIOR.search(text):
        yield Term("posterior_features", "none")
