"""Facts checked against a rule's inputs. Knows no rule: only names, terms, units and ranges."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.protocols import Fact
from citrus_agent.knowledge.schema import Input


@dataclass(frozen=True)
class Term:
    """A lexicon term. ``assumed``: it is the input's default, nobody gave it."""

    value: str
    evidence: tuple[str, ...] = ()
    assumed: bool = False


@dataclass(frozen=True)
class Number:
    """A number with its interval, ``low <= value <= high``, in the input's unit."""

    value: float
    low: float
    high: float
    evidence: tuple[str, ...] = ()


Given = Mapping[str, Term | Number]


def check_facts(inputs: tuple[Input, ...], facts: Mapping[str, Fact]) -> dict[str, Term | Number]:
    """Facts as terms and numbers, defaults filled in; ``ToolArgumentError`` names what is allowed.

    A name that the rule does not read is an error when a caller wrote it, and ignored when it comes from evidence: a case holds
    more measurements than one guideline reads.
    """
    known = {item.name: item for item in inputs}
    given: dict[str, Term | Number] = {item.name: Term(item.default, assumed=True) for item in inputs if item.default is not None}
    for name, fact in facts.items():
        if name not in known:
            if fact.evidence:
                continue
            raise ToolArgumentError(f"the guideline reads no fact {name!r}; it reads: {', '.join(known)}")
        if fact.value is not None:
            given[name] = _term(known[name], fact) if known[name].type == "term" else _number(known[name], fact)
    return given


def _term(known: Input, fact: Fact) -> Term:
    value = str(fact.value).strip().lower().replace(" ", "_").replace("-", "_")
    if value not in known.allowed or fact.unit is not None:
        unit = "" if fact.unit is None else f" with unit {fact.unit!r}"
        raise ToolArgumentError(f"{known.name} cannot be {fact.value!r}{unit}; allowed, without unit: {', '.join(known.allowed)}")
    return Term(value, fact.evidence)


def _number(known: Input, fact: Fact) -> Number:
    # A bare number may stand for a ratio, never for a length: it could be pixels.
    unit = fact.unit if fact.unit is not None or known.unit != "1" else "1"
    if unit != known.unit:
        raise ToolArgumentError(f"{known.name} cannot have the unit {fact.unit!r}; allowed: {known.unit!r}")
    value = _finite(known, fact.value)
    low = value if fact.low is None else _finite(known, fact.low)
    high = value if fact.high is None else _finite(known, fact.high)
    if not low <= value <= high:
        raise ToolArgumentError(f"{known.name} needs low <= value <= high, got {low}, {value}, {high}")
    if (known.minimum is not None and value < known.minimum) or (known.maximum is not None and value > known.maximum):
        raise ToolArgumentError(f"{known.name} cannot be {value}; allowed: {_range(known)}")
    return Number(value, low, high, fact.evidence)


def _finite(known: Input, value: object) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        raise ToolArgumentError(f"{known.name} cannot be {value!r}; allowed: a number, {_range(known)}")
    return number


def _range(known: Input) -> str:
    low = "any" if known.minimum is None else f"{known.minimum:g}"
    high = "any" if known.maximum is None else f"{known.maximum:g}"
    return f"{low} to {high}, unit {known.unit!r}"
