"""Tool: an executable guideline applied to the evidence. Knows no guideline: the rule book comes by constructor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, Field

from citrus_agent.core.case import Case
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import DocumentField, Evidence, RuleOutcome
from citrus_agent.core.protocols import Fact, RuleBook, Scope
from citrus_agent.tools.base import CitrusTool, Finite, ToolArguments
from citrus_agent.tools.contract import BREAST_ULTRASOUND, InputContract, scope_of
from citrus_agent.tools.facts import facts_of

DEFAULT_GUIDELINE = "birads_us_2013"
Given = Annotated[str, Field(min_length=1, max_length=100)] | Finite


class ApplyArguments(ToolArguments):
    """Arguments of ``apply_guideline``."""

    guideline: str = Field(default=DEFAULT_GUIDELINE, description="id of the guideline")
    evidence: list[str] | None = Field(default=None, description="handles to use, for example E1, E4; all evidence so far when left out")
    facts: dict[str, Given] | None = Field(default=None, description="facts that no tool gives, by name; they win over evidence")


class ApplyGuideline(CitrusTool):
    """One rule outcome; before it, a document field for each fact given with the call."""

    name: str = "apply_guideline"
    description: str = "Apply an executable guideline to the evidence: category, recommendation, which criteria hold and what is missing."
    args_schema: type[BaseModel] = ApplyArguments
    rule_book: RuleBook

    def __init__(self, rule_book: RuleBook, **fields: Any) -> None:
        super().__init__(rule_book=rule_book, **fields)

    def work(  # type: ignore[override]
        self,
        case: Case,
        guideline: str = DEFAULT_GUIDELINE,
        evidence: Sequence[str] | None = None,
        facts: Mapping[str, str | float] | None = None,
    ) -> list[Evidence]:
        """The fields given, then the outcome derived from them and from the evidence used."""
        known = self.rule_book.guidelines()
        if guideline not in known:
            raise ToolArgumentError(f"there is no guideline {guideline!r}; there is: {', '.join(known)}")
        scope = scope_for(self.rule_book, guideline)
        InputContract(modalities=scope.modalities, body_parts=scope.body_parts).check(case.study)
        reads = [item.name for item in self.rule_book.inputs(guideline)]
        fields = [self._field(case, name, value, reads, scope) for name, value in (facts or {}).items()]
        wanted = None if evidence is None else {case.evidence.resolve(reference).id for reference in evidence}
        items = [item for item in case.evidence if wanted is None or item.id in wanted]
        found = {name: fact for name, fact in facts_of([*items, *fields]).items() if name in reads}
        return [*fields, outcome_from(self.rule_book.apply(guideline, found), found)]

    def _field(self, case: Case, name: str, value: str | float, reads: Sequence[str], scope: Scope) -> Evidence:
        if name not in reads:
            raise ToolArgumentError(f"the guideline reads no fact {name!r}; it reads: {', '.join(reads)}")
        field = DocumentField(
            tool=self.name,
            name=name,
            value=str(value),
            uncertainty="given with the call, not measured",
            # A fact that was only said proves nothing of an image that does not say what it shows.
            validated_scope=scope_of(case.study, scope) is True,
        )
        return self.finish(case, field)


def scope_for(rule_book: RuleBook, guideline: str) -> Scope:
    """What the guideline is about: what the rule book says, if it does, else breast ultrasound for the BI-RADS ultrasound atlas."""
    ask = getattr(rule_book, "scope", None)
    if callable(ask):
        scope = ask(guideline)
        if isinstance(scope, Scope):
            return scope
    if guideline.startswith("birads_us"):
        return Scope(BREAST_ULTRASOUND.modalities, BREAST_ULTRASOUND.body_parts)
    return Scope()


def outcome_from(outcome: RuleOutcome, facts: Mapping[str, Fact]) -> RuleOutcome:
    """The outcome with all evidence that the rule was given in ``derived_from``; a new object, because the id is a hash of the content."""
    used = dict.fromkeys([*outcome.derived_from, *(key for fact in facts.values() for key in fact.evidence)])
    return RuleOutcome.model_validate(outcome.model_dump(exclude={"id"}) | {"derived_from": tuple(used)})
