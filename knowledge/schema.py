"""The form of a guideline file, checked as it is read. Knows no particular guideline.

One guideline is one JSON file: its bibliography, its passages, and at most one executable rule.
"""

from __future__ import annotations

import datetime
from typing import Literal, Self

from pydantic import Field, model_validator

from citrus_agent.core.study import Noun
from citrus_agent.knowledge.conditions import Condition, CriterionHolds, NumberIs, TermIs, walk

NAME = r"^[a-z0-9]+([_-][a-z0-9]+)*$"


class Section(Noun):
    """One passage in the project's own words. ``keywords`` (abbreviations, lay words) help to find it and are never quoted."""

    id: str = Field(pattern=NAME)
    heading: str = Field(min_length=1)
    text: str = Field(min_length=1, max_length=1200, description="short enough for one embedding; longer text becomes more sections")
    source: str = Field(min_length=1, description="chapter and section of the source")
    keywords: tuple[str, ...] = ()


class Input(Noun):
    """One fact that the rule reads. ``unit`` is UCUM; ``default`` is what holds where the fact is not given."""

    name: str = Field(pattern=NAME)
    type: Literal["term", "number"]
    unit: str | None = None
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    required: bool = False
    default: str | None = None
    description: str = Field(min_length=1)

    @model_validator(mode="after")
    def _type_fits(self) -> Self:
        if self.type == "term" and (not self.allowed or self.unit is not None):
            raise ValueError(f"input {self.name}: a term needs allowed terms and has no unit")
        if self.type == "number" and (self.allowed or self.unit is None or self.default is not None):
            raise ValueError(f"input {self.name}: a number needs a unit and has neither allowed terms nor a default")
        if self.default is not None and self.default not in self.allowed:
            raise ValueError(f"input {self.name}: the default {self.default!r} is not allowed")
        return self


class NamedCriterion(Noun):
    """A condition with a name, shown in every outcome."""

    name: str = Field(pattern=NAME)
    description: str = Field(min_length=1)
    when: Condition


class Category(Noun):
    """What a row can lead to. Where only categories of one ``group`` are left, the group's own category is named, undetermined."""

    name: str
    group: str | None = None
    recommendation: str = Field(min_length=1)
    caveat: str = ""
    passages: tuple[str, ...] = ()


class Row(Noun):
    """One row of the decision table, tried in order; without a condition it always holds."""

    category: str
    when: Condition | None = None


class Rule(Noun):
    """Inputs, criteria, categories and the decision table."""

    inputs: tuple[Input, ...]
    criteria: tuple[NamedCriterion, ...] = ()
    categories: tuple[Category, ...]
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_resolve(self) -> Self:
        _unique("input", [item.name for item in self.inputs])
        _unique("criterion", [item.name for item in self.criteria])
        _unique("category", [item.name for item in self.categories])
        inputs = {item.name: item for item in self.inputs}
        seen: set[str] = set()
        for criterion in self.criteria:
            _check_condition(criterion.when, inputs, seen)
            seen.add(criterion.name)
        for row in self.rows:
            if row.when is not None:
                _check_condition(row.when, inputs, seen)
        categories = {item.name for item in self.categories}
        named = {row.category for row in self.rows} | {item.group for item in self.categories if item.group}
        if unknown := sorted(named - categories):
            raise ValueError(f"unknown categories: {', '.join(unknown)}")
        return self


class Guideline(Noun):
    """One guideline file."""

    schema_version: Literal[1]
    id: str = Field(pattern=NAME)
    title: str
    edition: str
    year: int = Field(ge=1900, le=2100)
    citation: str = Field(min_length=1)
    short_citation: str = Field(min_length=1, description="what a passage is cited by, before the section's source")
    doi: str | None = None
    isbn: str | None = None
    organ: str
    modality: str
    checked: datetime.date = Field(description="when the facts were last compared with the source")
    notes: tuple[str, ...] = ()
    sections: tuple[Section, ...] = Field(min_length=1)
    rule: Rule | None = None

    @model_validator(mode="after")
    def _passages_exist(self) -> Self:
        _unique("section", [item.id for item in self.sections])
        cited = {key for item in (self.rule.categories if self.rule else ()) for key in item.passages}
        if unknown := sorted(cited - {item.id for item in self.sections}):
            raise ValueError(f"unknown sections: {', '.join(unknown)}")
        return self


def _unique(what: str, names: list[str]) -> None:
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{what} named twice: {', '.join(twice)}")


def _check_condition(condition: Condition, inputs: dict[str, Input], criteria: set[str]) -> None:
    """Each leaf names an input of its own type, allowed terms, and only criteria defined before it, so no circle can arise."""
    for leaf in walk(condition):
        if isinstance(leaf, CriterionHolds):
            if leaf.name not in criteria:
                raise ValueError(f"criterion {leaf.name!r} is not defined before its use")
            continue
        known = inputs.get(leaf.input)
        if known is None or known.type != leaf.kind:
            raise ValueError(f"there is no {leaf.kind} input {leaf.input!r}")
        if isinstance(leaf, TermIs) and (unknown := sorted(set(leaf.among) - set(known.allowed))):
            raise ValueError(f"input {leaf.input} does not allow {', '.join(unknown)}")


def thresholds(condition: Condition, criteria: dict[str, Condition]) -> dict[str, set[float]]:
    """The numbers that each numeric input is compared to, in the input's unit, named criteria followed."""
    found: dict[str, set[float]] = {}
    for leaf in walk(condition):
        if isinstance(leaf, NumberIs):
            found.setdefault(leaf.input, set()).add(leaf.value)
        elif isinstance(leaf, CriterionHolds):
            for name, values in thresholds(criteria[leaf.name], criteria).items():
                found.setdefault(name, set()).update(values)
    return found
