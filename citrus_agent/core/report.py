"""The answer: claims in sections, or an abstention. Knows nothing of rendering."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from citrus_agent.core.study import SCHEMA_VERSION, Noun

ClaimKind = Literal["observation", "interpretation", "recommendation"]
ClaimStatus = Literal["supported", "unsupported", "contradicted", "unchecked"]
AbstentionReason = Literal[
    "question_out_of_scope", "image_out_of_scope", "image_quality", "contract_refused", "no_evidence", "planner_failed", "budget_exhausted"
]
DISCLAIMER = "Research use only. Not a medical device; not for diagnosis or treatment."


class Claim(Noun):
    """One sentence of a report and the evidence ids it rests on."""

    id: str
    section: str = Field(description="findings, impression, recommendation")
    kind: ClaimKind
    text: str
    evidence: tuple[str, ...] = ()
    status: ClaimStatus = "unchecked"
    score: float | None = Field(default=None, ge=0, le=1, description="share of the checks that held, 0 to 1")
    problems: tuple[str, ...] = ()


class Abstention(Noun):
    """Why there is no answer, and what can be asked instead."""

    reason: AbstentionReason
    message: str


class Report(Noun):
    """What a consultation answers. A claim that is not supported is shown as such, never as fact."""

    schema_version: Literal[1] = SCHEMA_VERSION
    question: str
    claims: tuple[Claim, ...] = ()
    category: str | None = Field(default=None, description="e.g. BI-RADS 4A")
    abstention: Abstention | None = None
    stopped_by: str | None = Field(default=None, description="budget that ended the run: steps, seconds, tokens; or interrupted")
    model: str = ""
    model_digest: str | None = None
    simulated: bool = False
    disclaimer: str = DISCLAIMER
