"""Conditions of executable guidelines as data. Knows their form only: no guideline, no fact, no way to evaluate them.

``missing`` says how a condition counts when its input is not given; left alone it is undetermined.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from citrus_agent.core.evidence import Truth
from citrus_agent.core.study import Noun


class TermIs(Noun):
    """The input's term is among these."""

    kind: Literal["term"]
    input: str
    among: tuple[str, ...] = Field(min_length=1)
    missing: Truth = "undetermined"


class NumberIs(Noun):
    """The input's number compared to a threshold, in the input's unit; an interval on both sides of it is undetermined."""

    kind: Literal["number"]
    input: str
    op: Literal["<", "<=", ">", ">="]
    value: float = Field(allow_inf_nan=False)
    missing: Truth = "undetermined"


class AllOf(Noun):
    """Every condition holds."""

    kind: Literal["all"]
    of: tuple[Condition, ...] = Field(min_length=1)


class AnyOf(Noun):
    """At least one condition holds."""

    kind: Literal["any"]
    of: tuple[Condition, ...] = Field(min_length=1)


class AtLeast(Noun):
    """At least ``count`` of the conditions hold."""

    kind: Literal["at_least"]
    count: int = Field(ge=1)
    of: tuple[Condition, ...] = Field(min_length=1)


class Not(Noun):
    """The condition does not hold."""

    kind: Literal["not"]
    of: Condition


class FirstGiven(Noun):
    """The first condition whose inputs are all given decides; the later ones stand in where it cannot be read."""

    kind: Literal["first_given"]
    of: tuple[Condition, ...] = Field(min_length=1)


class CriterionHolds(Noun):
    """A criterion defined earlier in the same rule holds."""

    kind: Literal["criterion"]
    name: str


Condition = Annotated[
    TermIs | NumberIs | AllOf | AnyOf | AtLeast | Not | FirstGiven | CriterionHolds,
    Field(discriminator="kind"),
]
for _model in (AllOf, AnyOf, AtLeast, Not, FirstGiven):
    _model.model_rebuild()


def walk(condition: Condition) -> Iterator[TermIs | NumberIs | CriterionHolds]:
    """The leaves of a condition, left to right; a named criterion is a leaf."""
    match condition:
        case Not():
            yield from walk(condition.of)
        case AllOf() | AnyOf() | AtLeast() | FirstGiven():
            for part in condition.of:
                yield from walk(part)
        case _:
            yield condition
