"""Numbers with their units: those a text states, and those a piece of evidence holds. Knows no rule and no meaning of a number."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise

from citrus_agent.core.evidence import Evidence
from citrus_agent.core.lexicon import without_categories
from citrus_agent.core.phrases import number, unit_text

_ONES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen", "fourteen"]
_ONES += ["fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"]
_TENS = ["thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_WORDS = {word: str(value) for value, word in enumerate(_ONES)} | {word: str(30 + 10 * index) for index, word in enumerate(_TENS)}
_LENGTH = r"mm|millimet(?:er|re)s?|cm|centimet(?:er|re)s?|px|pixels?|µm|um|micromet(?:er|re)s?|nm|m|inch(?:es)?"
_SQUARE = rf"(?:sq(?:uare)?\.?\s*)(?:{_LENGTH})|(?:{_LENGTH})(?:\^?[23])"
_OTHER = r"%|percent|mmhg|hu|ml|cc|kpa|°|degrees?|days?|weeks?|months?|years?"
_UNIT = rf"(?:[\s-]*(?P<unit>(?:{_SQUARE}|{_LENGTH}|{_OTHER}))(?![a-z0-9]))"
_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?|\.\d+)(?:e[-+]?\d{1,3}(?![a-z0-9]))?"
_NUMBER = re.compile(
    rf"(?:(?<![\w.)])(?P<sign>[-+]))?(?:(?P<digits>{_DIGITS}){_UNIT}?|\b(?P<word>{'|'.join(_WORDS)}){_UNIT.replace('unit', 'unit2')})"
)
_SPELLED = [
    (r"millimet(?:er|re)s?", "mm"), (r"centimet(?:er|re)s?", "cm"), (r"micromet(?:er|re)s?|µm", "um"), (r"pixels?", "px"),
    (r"percent", "%"), (r"degrees?", "°"), (r"(day|week|month|year)s", r"\1"), (r"cc", "ml"), (r"inches", "inch"), (r"\^", ""),
]  # fmt: skip
_CHAIN = re.compile(r"\s*(?:,|and|or|to|-|/|x|×)\s*(?:and|or|to)?\s*")
AREA_UNITS = frozenset({"mm2", "cm2", "px2"})


@dataclass(frozen=True)
class Stated:
    """A number in a ``plain`` text: ``unit`` as mm, mm2, px, px2, % and so on, empty when none; ``start``: where it stands."""

    value: Decimal
    unit: str
    printed: str
    start: int


@dataclass(frozen=True)
class Held:
    """A number that evidence holds, in each way it may be printed. ``unit`` None: any may be meant; ``typed``: a field, not words."""

    printed: frozenset[Decimal]
    unit: str | None
    quantity: str = ""
    typed: bool = True


def plain(text: str) -> str:
    """Text for matching: compatibility forms unfolded (``mm²`` is ``mm2``), one minus, one space, nothing invisible, lower case."""
    seen = "".join(letter for letter in text if unicodedata.category(letter) != "Cf")
    folded = unicodedata.normalize("NFKC", seen).lower().replace("μ", "µ")
    return re.sub(r"[\u2010-\u2015\u2212]", "-", re.sub(r"\s+", " ", folded))


def plain_unit(unit: str) -> str:
    """One spelling a unit: ``square millimetres`` is mm2, ``months`` is month."""
    text, square = re.subn(r"^sq(?:uare)?\.?\s*", "", unit)
    for spelled, short in _SPELLED:
        text = re.sub(spelled, short, text)
    return f"{text}2" if square else text


def stated(text: str) -> list[Stated]:
    """All numbers of a ``plain`` text, in order. Words count as numbers only before a unit (``twelve mm``)."""
    found = []
    for match in _NUMBER.finditer(text):
        unit = plain_unit(match["unit"] or match["unit2"] or "")
        digits = match["digits"].replace(",", "") if match["digits"] else _WORDS[match["word"]]
        value = Decimal((match["sign"] or "") + digits)
        found.append(Stated(value, unit, match[0].strip(), match.start()))
    return found


def _typed(value: float, unit: str = "", quantity: str = "") -> Held:
    printed = {Decimal(number(value)), Decimal(repr(value)), *([Decimal(f"{value:.0f}")] if unit == "px" and not quantity else [])}
    return Held(frozenset(printed), plain(unit_text(unit)), quantity)


def _coordinates(*values: float) -> Iterator[Held]:
    return (_typed(value, "px") for value in values)


def _from_text(*texts: str) -> Iterator[Held]:
    for text in (without_categories(plain(text)) for text in texts):
        if re.fullmatch(r"[0-9a-f]{64}", text):
            continue  # a blob's digest says no number
        tokens = stated(text)
        for index, token in enumerate(tokens):
            unit = token.unit or _inherited_unit(text, tokens[index:])
            yield Held(frozenset({token.value}), unit, typed=False)


def _inherited_unit(text: str, tokens: list[Stated]) -> str:
    """``6, 12 and 24 months``: the unit stands once, at the end of the chain."""
    for this, following in pairwise(tokens):
        if not _CHAIN.fullmatch(text[this.start + len(this.printed) : following.start]):
            return ""
        if following.unit:
            return following.unit
    return ""


def held(item: Evidence) -> Iterator[Held]:
    """All numbers that a claim may take from this piece of evidence. A retrieval score is none: it says nothing of the patient."""
    match item.kind:
        case "measurement":
            yield from (_typed(value, item.unit, item.quantity) for value in (item.value, item.low, item.high))
            yield from _coordinates(*(value for point in item.points for value in point))
        case "descriptor":
            yield from (_typed(value) for value in (item.score, item.value) if value is not None)
            yield from _from_text(item.lexicon)
        case "finding":
            yield from (_typed(value) for value in (item.score, *item.probabilities.values()) if value is not None)
        case "region":
            yield from (_typed(item.score), *_coordinates(*item.box))
        case "mask":
            yield _typed(item.area_px, "{pixel2}", "area")
            yield from _coordinates(*(item.box or ()))
            yield from (_typed(value) for value in (item.predicted_iou,) if value is not None)
        case "passage":
            yield from _from_text(item.text, item.citation, item.edition, item.section)
        case "rule_outcome":
            yield from _rule_numbers(item.margins.values(), (criterion.margin for criterion in item.criteria))
            yield from _from_text(item.recommendation, item.guideline.replace("_", " "), *(criterion.detail for criterion in item.criteria))
        case "document_field":
            yield from (*_from_text(item.value), *_coordinates(*(item.box or ())))
        case "comparison":
            yield from (_typed(item.change, item.unit, item.quantity), *_from_text(item.before, item.after))
        case "human_edit":
            yield from _from_text(item.replacement)


def _rule_numbers(margins: Iterable[float], of_criteria: Iterable[float | None]) -> Iterator[Held]:
    for value in (*margins, *of_criteria):
        if value is not None:
            # A margin is in its input's unit, which the outcome does not repeat.
            yield Held(_typed(value).printed, None, "", typed=False)
