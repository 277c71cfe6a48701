"""Citrus Agent: agentic tool use in medical imaging, where every sentence of the report can be traced back to its evidence.

Importing it loads neither torch, transformers nor langgraph: each name is fetched from its room when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from citrus_agent.app.agent import CitrusAgent
    from citrus_agent.app.consultation import Consultation, ConsultationStream
    from citrus_agent.core.case import Case
    from citrus_agent.core.chain import Event, TraceHeader
    from citrus_agent.core.errors import (
        BudgetExceeded,
        CitrusError,
        ConfigurationError,
        ContractRefusal,
        InputError,
        Interrupted,
        PlannerError,
        ResourceError,
        ToolArgumentError,
        ToolError,
        ToolFailure,
        ToolTimeout,
        TraceError,
        UsageError,
    )
    from citrus_agent.core.evidence import (
        Comparison,
        Descriptor,
        DocumentField,
        Evidence,
        Finding,
        HumanEdit,
        Mask,
        Measurement,
        Passage,
        Region,
        RuleOutcome,
    )
    from citrus_agent.core.graph import EvidenceGraph
    from citrus_agent.core.report import Abstention, Claim, Report
    from citrus_agent.core.settings import Settings
    from citrus_agent.core.study import ImageRef, Spacing, Study
    from citrus_agent.core.trace import Trace, TraceCheck, verify_trace
    from citrus_agent.graphs.scripted import ScriptedPlanner

__all__ = [
    "Abstention",
    "BudgetExceeded",
    "Case",
    "CitrusAgent",
    "CitrusError",
    "Claim",
    "Comparison",
    "ConfigurationError",
    "Consultation",
    "ConsultationStream",
    "ContractRefusal",
    "Descriptor",
    "DocumentField",
    "Event",
    "Evidence",
    "EvidenceGraph",
    "Finding",
    "HumanEdit",
    "ImageRef",
    "InputError",
    "Interrupted",
    "Mask",
    "Measurement",
    "Passage",
    "PlannerError",
    "Region",
    "Report",
    "ResourceError",
    "RuleOutcome",
    "ScriptedPlanner",
    "Settings",
    "Spacing",
    "Study",
    "ToolArgumentError",
    "ToolError",
    "ToolFailure",
    "ToolTimeout",
    "Trace",
    "TraceCheck",
    "TraceError",
    "TraceHeader",
    "UsageError",
    "verify_trace",
]
_ROOMS = {
    "app.agent": "CitrusAgent",
    "app.consultation": "Consultation ConsultationStream",
    "core.case": "Case",
    "core.chain": "Event TraceHeader",
    "core.errors": "BudgetExceeded CitrusError ConfigurationError ContractRefusal InputError Interrupted PlannerError ResourceError "
    "ToolArgumentError ToolError ToolFailure ToolTimeout TraceError UsageError",
    "core.evidence": "Comparison Descriptor DocumentField Evidence Finding HumanEdit Mask Measurement Passage Region RuleOutcome",
    "core.graph": "EvidenceGraph",
    "core.report": "Abstention Claim Report",
    "core.settings": "Settings",
    "core.study": "ImageRef Spacing Study",
    "core.trace": "Trace TraceCheck verify_trace",
    "graphs.scripted": "ScriptedPlanner",
}
_HOMES = {name: room for room, names in _ROOMS.items() for name in names.split()}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
