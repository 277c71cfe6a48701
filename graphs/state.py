"""The state that nodes share, and what they find in ``config``. Knows no node.

State is what a checkpoint holds: messages, ids and small JSON. Pixels, masks and the open case never enter it. The case, the trace
writer and the cancel event come by ``config["configurable"]`` under ``case``, ``recorder`` and ``cancel``.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Protocol

from langchain_core.messages import AnyMessage, HumanMessage, SystemMessage
from langchain_core.runnables import RunnableConfig
from langgraph.graph.message import add_messages
from typing_extensions import TypedDict  # typing's own gives no JSON schema before Python 3.12, and LangGraph's server asks for one

from citrus_agent.core.case import Case
from citrus_agent.core.chain import Actor, Kind
from citrus_agent.core.dialogue import SYSTEM_PROMPT, study_line
from citrus_agent.core.errors import ConfigurationError
from citrus_agent.core.evidence import EVIDENCE_ADAPTER
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.study import Study
from citrus_agent.graphs.bounded import stop_if_cancelled


def merge_evidence(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Evidence in order of arrival; the same id twice is one."""
    return list({item["id"]: item for item in [*old, *new]}.values())


class ConsultState(TypedDict, total=False):
    """State of a consultation. ``seconds``, ``steps`` and ``tokens`` are sums over the whole run, resumed parts included."""

    messages: Annotated[list[AnyMessage], add_messages]
    study: dict[str, Any]
    question: str
    evidence: Annotated[list[dict[str, Any]], merge_evidence]
    steps: Annotated[int, operator.add]
    seconds: Annotated[float, operator.add]
    tokens: Annotated[int, operator.add]
    returned: Annotated[list[str], operator.add]
    """What went back to the planner so far: ``draft`` (it could not be read) or ``claims`` (they did not hold). Each goes back once."""
    stopped_by: str | None
    draft: dict[str, Any] | None
    """The call that ends the run: ``{"id", "name": "conclude" or "abstain", "arguments"}``."""
    claims: list[dict[str, Any]]
    category: str | None
    report: dict[str, Any] | None


def first_state(study: Study, question: str) -> ConsultState:
    """State at the start. Images are references ``blob:<sha256>``; the plan node puts the pixels in place for the planner only."""
    images: list[str | dict[str, Any]] = [{"type": "image", "id": f"blob:{image.blob}"} for image in study.images]
    text = {"type": "text", "text": f"Study: {study_line(study)}\nQuestion: {question}"}
    return {
        "messages": [SystemMessage(SYSTEM_PROMPT), HumanMessage(content=[*images, text])],
        "study": study.model_dump(mode="json"),
        "question": question,
    }


class Recorder(Protocol):
    """What nodes write events to; ``core.trace.TraceWriter`` is one."""

    blobs: Any

    def append(self, actor: Actor, kind: Kind, payload: dict[str, Any], blobs: Iterable[str] = ()) -> Any:
        """Write one event."""


@dataclass
class Desk:
    """What a node works with: the open case (evidence of the state included), the recorder, and results known from before."""

    case: Case
    recorder: Recorder | None = None
    cancel: threading.Event | None = None
    finished: Mapping[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def of(cls, state: ConsultState, config: RunnableConfig) -> Desk:
        """Open the desk; raises ``Interrupted`` when the run is to stop, ``ConfigurationError`` when there is no case."""
        given = config.get("configurable") or {}
        stop_if_cancelled(given.get("cancel"))
        case = given.get("case") or _case_from(state, given.get("blob_store"))
        for raw in state.get("evidence", []):
            if raw["id"] not in case.evidence:
                case.evidence.add(EVIDENCE_ADAPTER.validate_python(raw))
        return cls(case, given.get("recorder"), given.get("cancel"), given.get("finished") or {})

    def record(self, actor: Actor, kind: Kind, payload: dict[str, Any], blobs: Iterable[str] = ()) -> None:
        """Write one event, where there is a recorder. Digests that its store does not hold are left out."""
        if self.recorder is not None:
            self.recorder.append(actor, kind, payload, [digest for digest in blobs if digest in self.recorder.blobs])


def _case_from(state: ConsultState, blobs: BlobStore | None) -> Case:
    if blobs is None or "study" not in state:
        raise ConfigurationError("give the open case: invoke(state, {'configurable': {'case': Case(study, blobs)}})")
    return Case(Study.model_validate(state["study"]), blobs)
