"""A finished consultation to files: report.md, report.json, overlay.png. Knows nothing of how the report came about.

Each file is written whole or not at all: to a neighbour first, then renamed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from citrus_agent.app.markdown import report_markdown
from citrus_agent.app.overlay import overlay_png
from citrus_agent.core.blobs import write_atomic
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.protocols import BlobStore
from citrus_agent.core.report import Report
from citrus_agent.core.study import SCHEMA_VERSION, Study

_CLAIM_KEYS = ("id", "section", "kind", "text", "evidence", "status", "score", "problems")


def write_outputs(directory: Path, *, report: Report, graph: EvidenceGraph, study: Study, blobs: BlobStore, trace_head: str) -> None:
    """Write the three files into ``directory``, which is made where it is missing; files of these names are replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    data = report_json(report, graph, study, trace_head)
    write_atomic(directory / "report.json", (json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode())
    text = report_markdown(report, graph, study, trace_head, simulated=data["simulated"])
    write_atomic(directory / "report.md", text.encode())
    write_atomic(directory / "overlay.png", overlay_png(report, graph, study, blobs, simulated=data["simulated"]))


def report_json(report: Report, graph: EvidenceGraph, study: Study, trace_head: str) -> dict[str, Any]:
    """The report as plain JSON values; evidence by id, handles to ids."""
    abstention = report.abstention
    return {
        "schema_version": SCHEMA_VERSION,
        "disclaimer": report.disclaimer,
        "simulated": is_simulated(report, graph, study),
        "question": report.question,
        "category": report.category,
        "abstained": abstention is not None,
        "reason": abstention.reason if abstention else None,
        "message": abstention.message if abstention else None,
        "stopped_by": report.stopped_by,
        "claims": [claim.model_dump(mode="json", include=set(_CLAIM_KEYS)) for claim in report.claims],
        "evidence": {item.id: item.model_dump(mode="json") for item in graph},
        "handles": {graph.handle(item.id): item.id for item in graph},
        "study": study.model_dump(mode="json"),
        "model": report.model,
        "model_digest": report.model_digest,
        "trace_head": trace_head,
    }


def is_simulated(report: Report, graph: EvidenceGraph, study: Study) -> bool:
    """True where the input, the model or any evidence is simulated: one such part makes the whole so."""
    return report.simulated or study.simulated or any(item.simulated for item in graph)
