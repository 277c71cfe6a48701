"""First rules on claims: evidence is there; numbers, units, sides, categories and lexicon terms agree with it.

Knows no language beyond these words: a sentence with none of them passes as soon as its evidence exists, a number is compared and
not understood (but for the name of a measured quantity right before it), and nothing here judges whether the evidence is true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from citrus_agent.core.evidence import Descriptor, Evidence, Finding, Passage, RuleOutcome
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.lexicon import Category, Term, categories, labelled, negated, sides, terms, without_categories
from citrus_agent.core.phrases import words
from citrus_agent.core.quantities import AREA_UNITS, Held, Stated, held, plain, stated
from citrus_agent.core.report import Claim
from citrus_agent.core.study import Study

_QUANTITY_LINK = r"(?: \([^)]*\))?(?: ?(?:is|was|of|measures|measuring|at|=|:))*(?: (?:about|approximately|around))?[ ~≈]*$"
_QUANTITIES = ("longest_diameter", "perpendicular_diameter", "taller_than_wide_ratio", "area")
_SHORTEST_QUOTE = 12


@dataclass(frozen=True)
class Check:
    """One thing that was checked. ``problem`` is empty when it held; ``contradicts``: the evidence says otherwise."""

    problem: str = ""
    contradicts: bool = False


@dataclass(frozen=True)
class _Ground:
    """A claim's text (``plain``, quotes taken out), the evidence it names, and that with all it was derived from."""

    text: str
    direct: Sequence[Evidence]
    all: Sequence[Evidence]
    graph: EvidenceGraph
    category: str | None
    study: Study


def verify_claims(claims: Sequence[Claim], graph: EvidenceGraph, category: str | None, study: Study) -> list[Claim]:
    """The claims with status, score (share of the checks that held) and problems filled in.

    Args:
        claims: in any order; what they carried as status, score and problems is replaced.
        graph: the run's evidence; a claim's ``evidence`` are ids in it.
        category: the report's category. When no rule outcome gives it, the impression's claims (or all, where there is none) say so.
        study: what was read; its laterality counts as known.
    """
    problem = category_problem(category, graph)
    blamed = {claim.id for claim in claims if claim.section == "impression"} or {claim.id for claim in claims}
    verified = []
    for claim in claims:
        checks = _checks(claim, graph, category, study)
        if problem and claim.id in blamed:
            checks.append(Check(problem, contradicts=any(item.category for item in _outcomes(list(graph)))))
        verified.append(_judged(claim, checks))
    return verified


def category_problem(category: str | None, graph: EvidenceGraph) -> str | None:
    """Why the report may not carry this category, or None when a rule outcome gives it (or there is none to carry)."""
    if category is None or any(item.category == category for item in _outcomes(list(graph))):
        return None
    return f"the report's category {category} is not the outcome of any rule"


def _judged(claim: Claim, checks: Sequence[Check]) -> Claim:
    failed = [check for check in checks if check.problem]
    status = "contradicted" if any(check.contradicts for check in failed) else "unsupported" if failed else "supported"
    score = 1 - len(failed) / len(checks)
    problems = tuple(dict.fromkeys(check.problem for check in failed))
    return Claim.model_validate({**claim.model_dump(), "status": status, "score": score, "problems": problems})


def _checks(claim: Claim, graph: EvidenceGraph, category: str | None, study: Study) -> list[Check]:
    known = [key for key in claim.evidence if key in graph and graph.resolve(key).id == key]
    checks = [Check("" if key in known else f"evidence {key} does not exist") for key in claim.evidence]
    if not checks:
        checks = [Check("the claim names no evidence")]
    if not known:
        return checks
    reached = graph.rests_on(known)
    ground = _Ground(_without_quotes(plain(claim.text), reached), [graph.resolve(key) for key in known], reached, graph, category, study)
    for rule in (_numbers, _laterality, _categories, _terms, _labels, _impression):
        checks += rule(ground)
    return checks


def _without_quotes(text: str, items: Sequence[Evidence]) -> str:
    """What a source says in its own words is not the claim's own statement: citations, quoted sentences, a rule's recommendation."""
    quotes: list[str] = []
    for item in items:
        if isinstance(item, Passage):
            quotes += [item.citation, *re.split(r"(?<=[.;])\s+", item.text)]
        elif isinstance(item, RuleOutcome):
            quotes.append(item.recommendation)
    for quote in sorted(map(plain, quotes), key=len, reverse=True):
        if len(quote) >= _SHORTEST_QUOTE:
            text = text.replace(quote.strip(), " § ")
    return text


def _outcomes(items: Sequence[Evidence]) -> list[RuleOutcome]:
    return [item for item in items if isinstance(item, RuleOutcome)]


def _numbers(ground: _Ground) -> Iterator[Check]:
    text = without_categories(ground.text)
    pool = [number for item in ground.all for number in held(item)]
    for token in stated(text):
        quantity = _quantity_before(text, token)
        yield _number(token, [one for one in pool if not quantity or not one.typed or one.quantity == quantity], quantity)


def _number(token: Stated, pool: Sequence[Held], quantity: str) -> Check:
    about = f"{words(quantity)} " if quantity else ""
    same_value = [one for one in pool if _equal(token, one)]
    if any(_unit_agrees(token, one) for one in same_value):
        return Check()
    if same_value:
        units = " or ".join(sorted({one.unit or "no unit" for one in same_value}))
        return Check(f"{about}{token.printed}: the evidence gives it in {units}", contradicts=any(one.typed for one in same_value))
    measured = any(one.typed and one.quantity and (quantity or (token.unit and one.unit == token.unit)) for one in pool)
    return Check(f"{about}{token.printed} is not a number of the evidence", contradicts=measured)


def _equal(token: Stated, one: Held) -> bool:
    share = token.unit == "%" and one.typed and one.unit == ""
    return (token.value / 100 if share else token.value) in one.printed


def _unit_agrees(token: Stated, one: Held) -> bool:
    share = token.unit == "%" and one.typed and one.unit == ""
    return share or not token.unit or one.unit is None or token.unit == one.unit


def _quantity_before(text: str, token: Stated) -> str:
    """The measured quantity whose name stands right before the number, where the unit can be one of it."""
    before = text[max(0, token.start - 80) : token.start].replace("taller-than-wide", "taller than wide")
    for quantity in _QUANTITIES:
        fits = token.unit in AREA_UNITS if quantity == "area" else token.unit not in AREA_UNITS
        if fits and re.search(rf"\b{words(quantity)}{_QUANTITY_LINK}", before):
            return quantity
    return ""


def _laterality(ground: _Ground) -> Iterator[Check]:
    known = [("the study", {str(ground.study.laterality)})] if ground.study.laterality != "unknown" else []
    for item in ground.graph:
        if item.kind == "document_field" and "laterality" in item.name.lower():
            value = plain(item.value).strip()
            known += [("a document field", found)] if (found := sides({"l": "left", "r": "right"}.get(value, value))) else []
    for side in sorted(sides(ground.text)):
        against = [f"{source} says {' and '.join(sorted(said))}" for source, said in known if side not in said]
        if against:
            yield Check(f"the claim says {side}, {against[0]}", contradicts=True)
        else:
            yield Check("" if known else f"the claim says {side}, and the side is not known")


def _categories(ground: _Ground) -> Iterator[Check]:
    given = [category for item in _outcomes(ground.all) if item.category for category in categories(plain(item.category))]
    of_report = categories(plain(ground.category or ""))
    for named in categories(ground.text):
        if not any(named.same(one) for one in given):
            yield Check(f"{named} is not the outcome of a rule in its evidence{_instead(given)}", contradicts=bool(given))
        elif of_report and not any(named.same(one) for one in of_report):
            yield Check(f"the claim says {named}, the report's category is {ground.category}", contradicts=True)
        else:
            yield Check()


def _instead(given: Sequence[Category]) -> str:
    return f", which says {' and '.join(sorted({str(one) for one in given}))}" if given else ""


def _terms(ground: _Ground) -> Iterator[Check]:
    for named in dict.fromkeys(terms(ground.text)):
        decided = [item.term for item in ground.all if isinstance(item, Descriptor) and item.feature == named.feature]
        if any(named.agrees(term) for term in decided) or (not decided and _in_passage(named, ground.all)):
            yield Check()
        elif decided:
            said = f"{'not ' * named.negated}{words(named.term)}"
            instead = " and ".join(words(term) for term in decided)
            yield Check(f"the claim says {said}, the {words(named.feature)} in its evidence is {instead}", contradicts=True)
        else:
            yield Check(f"the claim says {words(named.term)}, and no {words(named.feature)} is in its evidence")


def _labels(ground: _Ground) -> Iterator[Check]:
    """What stands behind a feature's name may not be the value of something else: a category, a number, another feature's term."""
    for feature, said in labelled(ground.text):
        named = {term.feature for term in terms(f"posterior {said}")}
        foreign = named or categories(said) or re.search(r"[\d§]", said)
        if foreign and feature not in named:
            yield Check(f"what the claim gives as {words(feature)} is not a {words(feature)}", contradicts=True)


def _in_passage(named: Term, items: Sequence[Evidence]) -> bool:
    return any(isinstance(item, Passage) and named.term in {term.term for term in terms(plain(item.text))} for item in items)


def _impression(ground: _Ground) -> Iterator[Check]:
    """A claim that rests on the image's finding itself may not name another one. With a rule or passage, the words may be theirs."""
    if any(isinstance(item, RuleOutcome | Passage) for item in ground.direct):
        return
    for item in ground.direct:
        if isinstance(item, Finding) and item.name == "image_impression":
            matches = list(re.finditer(r"\b(normal|benign[ -]looking|suspicious)\b", ground.text))
            said = {match[1].replace("-", " ") for match in matches if not negated(ground.text, match.start())}
            denied = {match[1].replace("-", " ") for match in matches} - said
            if (said and words(item.value) not in said) or words(item.value) in denied:
                yield Check(f"the finding in its evidence is {words(item.value)}", contradicts=True)
            elif matches:
                yield Check()
