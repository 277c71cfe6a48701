"""The evidence graph: nodes are evidence, edges are ``derived_from``. Knows nothing of tools, events or files."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.evidence import Evidence
from citrus_agent.core.report import Claim


class EvidenceGraph:
    """Evidence in order of arrival. A short handle (``E1``, ``E2``, ...) stands for an id in what a planner reads and writes."""

    def __init__(self, evidence: Iterable[Evidence] = ()) -> None:
        self._nodes: dict[str, Evidence] = {}
        self._handles: dict[str, str] = {}
        for item in evidence:
            self.add(item)

    def add(self, item: Evidence) -> str:
        """Add one node and return its handle; the same content twice is one node."""
        if item.id in self._nodes:
            return self.handle(item.id)
        unknown = [parent for parent in item.derived_from if parent not in self._nodes]
        if unknown:
            raise ToolArgumentError(f"{item.kind} is derived from evidence that is not in the graph: {', '.join(unknown)}")
        self._nodes[item.id] = item
        self._handles[f"E{len(self._nodes)}"] = item.id
        return f"E{len(self._nodes)}"

    def handle(self, evidence_id: str) -> str:
        """The short handle of an id."""
        return f"E{list(self._nodes).index(evidence_id) + 1}"

    def resolve(self, reference: str) -> Evidence:
        """The node for a handle or an id; ``ToolArgumentError`` lists what there is."""
        key = self._handles.get(reference, reference)
        if key not in self._nodes:
            have = ", ".join(self._handles) or "none yet"
            raise ToolArgumentError(f"no evidence {reference!r}; there is: {have}")
        return self._nodes[key]

    def __contains__(self, reference: object) -> bool:
        return reference in self._nodes or reference in self._handles

    def __iter__(self) -> Iterator[Evidence]:
        return iter(self._nodes.values())

    def __len__(self) -> int:
        return len(self._nodes)

    def of_kind(self, *kinds: str) -> list[Evidence]:
        """All nodes of the kinds, in order of arrival."""
        return [item for item in self if item.kind in kinds]

    def rests_on(self, references: Iterable[str]) -> list[Evidence]:
        """What the references rest on: themselves and all they were derived from, in order of arrival."""
        wanted: set[str] = set()
        stack = [self.resolve(reference).id for reference in references]
        while stack:
            node = stack.pop()
            if node not in wanted:
                wanted.add(node)
                stack.extend(self._nodes[node].derived_from)
        return [item for item in self if item.id in wanted]

    def dependents(self, reference: str) -> list[Evidence]:
        """What rests on this node: all that was derived from it, directly or not, in order of arrival."""
        reached = {self.resolve(reference).id}
        found: list[Evidence] = []
        for item in self:
            if item.id not in reached and reached.intersection(item.derived_from):
                reached.add(item.id)
                found.append(item)
        return found

    def claims_on(self, reference: str, claims: Iterable[Claim]) -> list[Claim]:
        """The claims that would fall with this node."""
        reached = {self.resolve(reference).id, *(item.id for item in self.dependents(reference))}
        return [claim for claim in claims if reached.intersection(claim.evidence)]
