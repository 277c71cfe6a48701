"""The ``verify`` and ``conclude`` nodes: from the planner's last call to a checked report. Knows no rule of verification itself."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from langchain_core.messages import ToolCall
from langchain_core.runnables import RunnableConfig

from citrus_agent.core.dialogue import Abstain, Conclude
from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.report import Abstention, AbstentionReason, Claim, Report
from citrus_agent.core.verifier import category_problem, verify_claims
from citrus_agent.graphs.drafts import Draft, claims_from_evidence, read_conclusion
from citrus_agent.graphs.planning import Node
from citrus_agent.graphs.state import ConsultState, Desk
from citrus_agent.graphs.words import clean, refusals, told

_BAD = frozenset({"contradicted", "unsupported"})
_OF_THE_PLANNER = frozenset({"question_out_of_scope", "image_out_of_scope", "contract_refused", "planner_failed"})


def make_verify() -> Node:
    """The node that checks the claims. What cannot be read, and what does not hold, goes back to the planner once each."""

    def verify(state: ConsultState, config: RunnableConfig) -> dict[str, Any]:
        """Checked claims and the category, or the draft sent back."""
        desk = Desk.of(state, config)
        started = time.monotonic()
        written = _draft(state, desk)
        if written.broken and _may_return(state, "draft"):
            return _back(state, "draft", [f"{name}: {problem}" for name, problem in written.broken], started)
        claims = _checked(written, desk)
        dropped = category_problem(written.category, desk.case.evidence)
        bad = [f"{claim.id} ({claim.status}): {'; '.join(claim.problems)}" for claim in claims if claim.status in _BAD]
        again = bad + ([f"category: {dropped}"] if dropped else [])
        payload: dict[str, Any] = {"claims": [claim.model_dump(mode="json") for claim in claims], "category": written.category}
        payload |= {"dropped_category": dropped, "seconds": time.monotonic() - started}
        if claims or written.category:
            desk.record("verifier", "verification", payload)
        if again and _may_return(state, "claims"):
            return _back(state, "claims", again, started)
        category = None if dropped else written.category
        return {"claims": payload["claims"], "category": category, "seconds": time.monotonic() - started}

    return verify


def make_conclude(model: str = "", model_digest: str | None = None, *, simulated: bool = False) -> Node:
    """The node that writes the report. ``simulated``: a part of the model is (the study's own mark is added)."""

    def conclude(state: ConsultState, config: RunnableConfig) -> dict[str, Any]:
        """The report."""
        desk = Desk.of(state, config)
        abstention = _abstention(state)
        report = Report(
            question=state.get("question", ""),
            claims=() if abstention else tuple(Claim.model_validate(raw) for raw in state.get("claims", [])),
            category=None if abstention else state.get("category"),
            abstention=abstention,
            stopped_by=state.get("stopped_by"),
            model=model,
            model_digest=model_digest,
            simulated=simulated or desk.case.study.simulated or any(item.simulated for item in desk.case.evidence),
        )
        raw = report.model_dump(mode="json")
        desk.record("system", "report", {"report": raw})
        return {"report": raw}

    return conclude


def _draft(state: ConsultState, desk: Desk) -> Draft:
    ending = state.get("draft")
    if state.get("stopped_by"):
        return Draft(claims_from_evidence(list(desk.case.evidence)))
    if ending is None or ending["name"] != "conclude":
        return Draft(())
    return read_conclusion(Conclude.model_validate(ending["arguments"]), desk.case.evidence)


def _checked(written: Draft, desk: Desk) -> list[Claim]:
    problems = dict(written.broken)
    return [
        _marked(claim, problems[claim.id]) if claim.id in problems else claim
        for claim in verify_claims(written.claims, desk.case.evidence, written.category, desk.case.study)
    ]


def _marked(claim: Claim, problem: str) -> Claim:
    """A claim whose sentence could not be filled in is never supported, whatever else holds."""
    status = "contradicted" if claim.status == "contradicted" else "unsupported"
    return Claim.model_validate({**claim.model_dump(), "status": status, "problems": (*claim.problems, problem)})


def _may_return(state: ConsultState, what: str) -> bool:
    return not state.get("stopped_by") and what not in state.get("returned", [])


def _back(state: ConsultState, what: str, reasons: Sequence[str], started: float) -> dict[str, Any]:
    ending = state["draft"]
    assert ending is not None  # only a conclusion has claims or references that can be wrong
    call = ToolCall(name="conclude", args={}, id=ending["id"])
    message = told(call, ToolArgumentError(clean("mend this and conclude again: " + " | ".join(reasons), 1500)))
    return {"messages": [message], "draft": None, "returned": [what], "seconds": time.monotonic() - started}


def _abstention(state: ConsultState) -> Abstention | None:
    ending = state.get("draft")
    if state.get("stopped_by"):
        if state.get("claims"):
            return None
        return Abstention(reason="budget_exhausted", message="Nothing was found before the budget was used up: raise it and resume.")
    if ending is not None and ending["name"] == "abstain":
        stated = Abstain.model_validate(ending["arguments"])
        return Abstention(reason=_reason(state, stated.reason), message=clean(stated.message, 1000))
    if not state.get("claims"):
        return Abstention(reason="no_evidence", message="The planner concluded without a single claim: ask a narrower question.")
    return None


def _reason(state: ConsultState, stated: AbstentionReason) -> AbstentionReason:
    """Where a tool refused the image, that is the reason, unless the planner gave one that says as much."""
    fields = refusals(state["messages"])
    if not fields or stated in _OF_THE_PLANNER:
        return stated
    return "image_out_of_scope" if "image_domain" in fields else "contract_refused"
