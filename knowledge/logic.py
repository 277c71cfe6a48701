"""Three-valued (Kleene) evaluation of conditions over facts. Knows no guideline and no category.

Kleene SC, Introduction to Metamathematics, 1952, section 64: strong three-valued tables.
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from citrus_agent.core.evidence import Truth
from citrus_agent.knowledge.conditions import (
    AllOf,
    AnyOf,
    AtLeast,
    Condition,
    CriterionHolds,
    FirstGiven,
    Not,
    NumberIs,
    TermIs,
    walk,
)
from citrus_agent.knowledge.facts import Given, Number, Term

_OPERATORS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Verdict:
    """``blame``: the inputs that keep it undetermined, because they are missing or their interval holds the threshold."""

    truth: Truth
    blame: frozenset[str] = frozenset()


def evaluate(condition: Condition, given: Given, criteria: Mapping[str, Condition]) -> Verdict:
    """The verdict on one condition; ``criteria`` resolves named ones."""
    match condition:
        case TermIs():
            return _term(condition, given)
        case NumberIs():
            return _number(condition, given)
        case CriterionHolds():
            return evaluate(criteria[condition.name], given, criteria)
        case Not():
            inner = evaluate(condition.of, given, criteria)
            return Verdict(_NEGATED[inner.truth], inner.blame)
        case FirstGiven():
            return _first_given(condition, given, criteria)
        case AllOf() | AnyOf() | AtLeast():
            count = len(condition.of) if condition.kind == "all" else 1 if condition.kind == "any" else condition.count
            return _at_least(count, [evaluate(part, given, criteria) for part in condition.of])


_NEGATED: dict[Truth, Truth] = {"met": "not_met", "not_met": "met", "undetermined": "undetermined"}


def _at_least(count: int, verdicts: Sequence[Verdict]) -> Verdict:
    """All and any are the special cases ``count = len`` and ``count = 1``."""
    met = sum(verdict.truth == "met" for verdict in verdicts)
    open_ = [verdict for verdict in verdicts if verdict.truth == "undetermined"]
    if met >= count:
        return Verdict("met")
    if met + len(open_) < count:
        return Verdict("not_met")
    return Verdict("undetermined", frozenset().union(*(verdict.blame for verdict in open_)))


def _term(condition: TermIs, given: Given) -> Verdict:
    fact = given.get(condition.input)
    if not isinstance(fact, Term):
        return _absent(condition)
    return Verdict("met" if fact.value in condition.among else "not_met")


def _number(condition: NumberIs, given: Given) -> Verdict:
    fact = given.get(condition.input)
    if not isinstance(fact, Number):
        return _absent(condition)
    compare = _OPERATORS[condition.op]
    ends = {compare(fact.low, condition.value), compare(fact.high, condition.value)}
    if len(ends) == 2:
        return Verdict("undetermined", frozenset({condition.input}))
    return Verdict("met" if ends.pop() else "not_met")


def _absent(condition: TermIs | NumberIs) -> Verdict:
    return Verdict(condition.missing, frozenset({condition.input}) if condition.missing == "undetermined" else frozenset())


def _first_given(condition: FirstGiven, given: Given, criteria: Mapping[str, Condition]) -> Verdict:
    for part in condition.of:
        if reads(part, criteria) <= given.keys():
            return evaluate(part, given, criteria)
    # The first one is what should be given, so it alone is blamed, not its stand-ins.
    return Verdict("undetermined", reads(condition.of[0], criteria) - given.keys())


def reads(condition: Condition, criteria: Mapping[str, Condition]) -> frozenset[str]:
    """The inputs that a condition reads, named criteria followed."""
    found: set[str] = set()
    for leaf in walk(condition):
        found |= reads(criteria[leaf.name], criteria) if isinstance(leaf, CriterionHolds) else {leaf.input}
    return frozenset(found)
