"""A guideline's decision table applied to one case. Knows no particular guideline: categories, words and thresholds are data.

Rows are tried in order. A row that is undetermined leaves its category possible and the next row is tried, until a row holds. One
possible category: decided. Several: undetermined; where all are of one group, the group is named. No row: not applicable.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from citrus_agent.core.evidence import Criterion, RuleOutcome
from citrus_agent.core.protocols import Fact
from citrus_agent.knowledge.conditions import Condition
from citrus_agent.knowledge.facts import Given, Number, Term, check_facts
from citrus_agent.knowledge.logic import evaluate, reads
from citrus_agent.knowledge.schema import Category, Guideline, NamedCriterion, Rule, thresholds


@dataclass(frozen=True)
class Decision:
    """``candidates``: possible categories in table order, None for no row; ``blame``: the inputs that keep them apart."""

    candidates: tuple[str | None, ...]
    blame: frozenset[str]

    @property
    def status(self) -> str:
        """decided, undetermined or not_applicable."""
        if len(self.candidates) > 1:
            return "undetermined"
        return "not_applicable" if self.candidates[0] is None else "decided"


def decide(rule: Rule, given: Given) -> Decision:
    """Try the rows in order."""
    criteria = _conditions(rule)
    candidates: dict[str | None, None] = {}
    blame: set[str] = set()
    for row in rule.rows:
        truth = "met"
        if row.when is not None:
            verdict = evaluate(row.when, given, criteria)
            truth, blame = verdict.truth, blame | verdict.blame
        if truth != "not_met":
            candidates[row.category] = None
        if truth == "met":
            break
    else:
        candidates[None] = None
    return Decision(tuple(candidates), frozenset(blame) if len(candidates) > 1 else frozenset())


def apply_rule(guideline: Guideline, facts: Mapping[str, Fact], digest: str) -> RuleOutcome:
    """The outcome for this case; ``digest`` is that of the corpus. Wrong facts raise ``ToolArgumentError``."""
    rule = guideline.rule
    if rule is None:
        return _outcome(guideline, digest, status="not_applicable", recommendation="This guideline has no executable rule.")
    given = check_facts(rule.inputs, facts)
    decision = decide(rule, given)
    left = _categories(rule, decision)
    category = _category(rule, decision)
    named = ([category] if category and category not in left else []) + left
    missing = tuple(item.name for item in rule.inputs if item.name in decision.blame and item.name not in given)
    return _outcome(
        guideline,
        digest,
        status=decision.status,
        category=category.name if category else None,
        recommendation=_recommendation(left, category, missing, decision),
        criteria=tuple(_criterion(item, rule, given) for item in rule.criteria),
        missing=missing,
        margins=_margins(rule, given),
        passages=tuple(dict.fromkeys(f"{guideline.id}/{key}" for item in named for key in item.passages)),
        derived_from=tuple(dict.fromkeys(key for fact in given.values() for key in fact.evidence)),
        uncertainty=_uncertainty(left, given, decision) or None,
    )


def _outcome(guideline: Guideline, digest: str, **fields: object) -> RuleOutcome:
    version = f"{guideline.edition}, {guideline.year}"
    fixed = {"tool": "apply_guideline", "model_digest": digest, "guideline": guideline.id, "version": version, "category": None}
    return RuleOutcome.model_validate({**fixed, **fields})


def _conditions(rule: Rule) -> dict[str, Condition]:
    return {item.name: item.when for item in rule.criteria}


def _categories(rule: Rule, decision: Decision) -> list[Category]:
    """The categories left, in table order."""
    by_name = {item.name: item for item in rule.categories}
    return [by_name[name] for name in decision.candidates if name is not None]


def _category(rule: Rule, decision: Decision) -> Category | None:
    """The one category left, or the group that all of several share; None otherwise."""
    left = _categories(rule, decision)
    if len(left) < len(decision.candidates):
        return None
    if len(left) == 1:
        return left[0]
    groups = {item.group for item in left}
    return next((item for item in rule.categories if groups == {item.name}), None)


def _recommendation(left: list[Category], category: Category | None, missing: tuple[str, ...], decision: Decision) -> str:
    if category is not None:
        return category.recommendation
    if decision.status == "not_applicable":
        return "None: the guideline does not apply to this case."
    same = {item.recommendation for item in left}
    if len(same) == 1 and None not in decision.candidates:
        return same.pop()
    if missing:
        return f"None yet: the rule also needs {', '.join(missing)}."
    return f"None: the interval of {', '.join(sorted(decision.blame))} lies on both sides of a threshold."


def _uncertainty(left: list[Category], given: Given, decision: Decision) -> str:
    parts = list(dict.fromkeys(item.caveat for item in left if item.caveat))
    if decision.status == "undetermined":
        parts.insert(0, f"Possible: {', '.join(name or 'not applicable' for name in decision.candidates)}.")
    if spanned := sorted(name for name in decision.blame if name in given):
        parts.append(f"The interval of {', '.join(spanned)} lies on both sides of a threshold.")
    if assumed := [f"{name} {fact.value}" for name, fact in given.items() if isinstance(fact, Term) and fact.assumed]:
        parts.append(f"Assumed: {', '.join(assumed)}.")
    return " ".join(parts)


def _criterion(item: NamedCriterion, rule: Rule, given: Given) -> Criterion:
    criteria = _conditions(rule)
    names = [known.name for known in rule.inputs if known.name in reads(item.when, criteria)]
    margins = [
        flip_margin(lambda facts: evaluate(item.when, facts, criteria).truth, given, name, values)
        for name, values in thresholds(item.when, criteria).items()
    ]
    return Criterion(
        name=item.name,
        truth=evaluate(item.when, given, criteria).truth,
        detail=f"{item.description}; {', '.join(_words(name, given) for name in names)}",
        margin=min((margin for margin in margins if margin is not None), default=None),
        evidence=tuple(dict.fromkeys(key for name in names if name in given for key in given[name].evidence)),
    )


def _words(name: str, given: Given) -> str:
    fact = given.get(name)
    if fact is None:
        return f"{name} not given"
    if isinstance(fact, Term):
        return f"{name} {fact.value}{' (assumed)' if fact.assumed else ''}"
    interval = "" if fact.low == fact.high else f" ({fact.low:g} to {fact.high:g})"
    return f"{name} {fact.value:g}{interval}"


def _margins(rule: Rule, given: Given) -> dict[str, float]:
    """For each number given: how far its value is from the nearest threshold that changes status or category, in its unit."""
    criteria = _conditions(rule)
    values: dict[str, set[float]] = {}
    for row in rule.rows:
        for name, found in (thresholds(row.when, criteria) if row.when is not None else {}).items():
            values.setdefault(name, set()).update(found)
    margins = {name: flip_margin(lambda facts: decide(rule, facts).candidates, given, name, found) for name, found in values.items()}
    return {name: margin for name, margin in margins.items() if margin is not None}


def flip_margin(answer: Callable[[Given], object], given: Given, name: str, values: set[float]) -> float | None:
    """Distance of a number to the nearest of ``values`` beyond which ``answer`` changes; its own interval is left aside.

    None where the number is not given or no threshold changes the answer.
    """
    fact = given.get(name)
    if not isinstance(fact, Number):
        return None

    def at(value: float) -> object:
        return answer({**given, name: Number(value, value, value)})

    now = at(fact.value)
    probes = {value: (math.nextafter(value, -math.inf), value, math.nextafter(value, math.inf)) for value in values}
    return min((abs(value - fact.value) for value, points in probes.items() if any(at(p) != now for p in points)), default=None)
