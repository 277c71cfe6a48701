"""What all tools share: arguments, contract, errors, and the marks every evidence carries. Knows no single tool, graph or model."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeVar

import numpy as np
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import BaseTool
from langchain_core.tools.base import ArgsSchema
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from citrus_agent.core.case import Case
from citrus_agent.core.errors import BudgetExceeded, ConfigurationError, Interrupted, ToolArgumentError, ToolError, ToolFailure
from citrus_agent.core.evidence import EVIDENCE_ADAPTER, Evidence, Mask, Region
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.phrases import evidence_line
from citrus_agent.core.protocols import Scope
from citrus_agent.tools.contract import ANY_IMAGE, InputContract, scope_of

Finite = Annotated[float, Field(allow_inf_nan=False)]
BoxArgument = Annotated[list[Finite], Field(min_length=4, max_length=4, description="x1, y1, x2, y2 in pixels of the image")]
Variant = TypeVar("Variant", Mask, Region)
ImageArgument = Annotated[int, Field(ge=0, description="which image of the study")]


class ToolArguments(BaseModel):
    """Base of all argument schemas: an argument that is not named is an error, never dropped."""

    model_config = ConfigDict(extra="forbid")


class CitrusTool(BaseTool):
    """A LangChain tool that works on the case in ``config["configurable"]["case"]`` and returns evidence.

    A subclass sets ``name``, ``description``, ``args_schema`` and ``contract`` and writes ``work``. New evidence is returned, not added to
    the case: the caller does that. Only leaves of ``ToolError`` are raised (``Interrupted`` and ``BudgetExceeded`` pass through).
    """

    response_format: str = "content_and_artifact"  # type: ignore[assignment]
    contract: InputContract = ANY_IMAGE
    checks_domain: ClassVar[bool] = False
    """True: the tool itself judges by the pixels whether the image is of the head's kind, so an unknown modality is no doubt."""

    @property
    def heads(self) -> tuple[Any, ...]:
        """The heads that make the evidence; their ``simulated`` and ``scope`` travel into it."""
        return ()

    @property
    def scopes(self) -> tuple[Scope, ...]:
        """What the evidence is validated on."""
        return tuple(head.scope for head in self.heads)

    @property
    def tool_call_schema(self) -> ArgsSchema:
        """The arguments as they are: the copy that LangChain makes by default forgets that others are forbidden."""
        return self.args_schema if self.args_schema is not None else super().tool_call_schema

    def work(self, case: Case, **arguments: Any) -> list[Evidence]:
        """Do the work and return evidence; ids and marks are settled afterwards."""
        raise NotImplementedError

    def image_of(self, case: Case, arguments: Mapping[str, Any]) -> int:
        """Index of the image that the call is about: that of the named evidence, else ``image``."""
        for name in ("mask", "region"):
            if arguments.get(name) is not None:
                return case.image_index(case.evidence.resolve(arguments[name]).image)
        return int(arguments.get("image", 0))

    def finish(self, case: Case, item: Evidence, batch: Mapping[str, Evidence] | None = None) -> Evidence:
        """The item with tool name, ``simulated`` and ``validated_scope`` settled, and the id that follows from them. Idempotent.

        ``batch`` maps ids as the tool made them to what they have become, for items derived from others of the same call.
        """
        batch = batch or {}
        parents = [batch.get(parent) or case.evidence.resolve(parent) for parent in item.derived_from]
        simulated = (
            item.simulated or case.study.simulated or any(head.simulated for head in self.heads) or any(p.simulated for p in parents)
        )
        fields = item.model_dump(exclude={"id"}) | {
            "tool": self.name,
            "derived_from": tuple(parent.id for parent in parents),
            "simulated": simulated,
            "validated_scope": item.validated_scope and self._validated(case, parents),
        }
        _refuse_non_finite(fields, item.kind)
        return EVIDENCE_ADAPTER.validate_python(fields)

    def _validated(self, case: Case, parents: Sequence[Evidence]) -> bool:
        if not all(parent.validated_scope for parent in parents):
            return False
        known = [scope_of(case.study, scope) for scope in self.scopes]
        # Where the study does not say what it shows, the check of the pixels that its parents passed decides.
        return all(inside if inside is not None else self.checks_domain or bool(parents) for inside in known)

    def _run(self, config: RunnableConfig, **arguments: Any) -> tuple[str, list[Evidence]]:
        case = (config.get("configurable") or {}).get("case")
        if not isinstance(case, Case):
            raise ConfigurationError(f"call {self.name} with config={{'configurable': {{'case': Case(...)}}}}")
        try:
            self.contract.check(case.study, self.image_of(case, arguments))
            items = self._finish_all(case, self.work(case, **arguments))
        except (ToolError, Interrupted, BudgetExceeded):
            raise
        except Exception as error:
            raise ToolFailure(f"{self.name} failed, try another way or go on without it: {_in_short(error)}") from error
        return evidence_text(items), items

    def _finish_all(self, case: Case, items: Iterable[Evidence]) -> list[Evidence]:
        batch: dict[str, Evidence] = {}
        for item in items:
            batch[item.id] = self.finish(case, item, batch)
        return list(batch.values())

    def _parse_input(self, tool_input: str | dict[str, Any], tool_call_id: str | None) -> str | dict[str, Any]:
        if isinstance(tool_input, str):
            tool_input = {next(iter(self.args)): tool_input}
        try:
            return super()._parse_input(tool_input, tool_call_id)
        except ValidationError as error:
            raise ToolArgumentError(f"mend the arguments of {self.name}: {_in_short(error)}") from error


def evidence_text(items: Iterable[Evidence]) -> str:
    """One line an evidence with its id in front (a handle exists only once the caller has added it), or ``no result``."""
    return "\n".join(evidence_line(item, item.id) for item in items) or "no result"


def require(graph: EvidenceGraph, reference: str, variant: type[Variant]) -> Variant:
    """The evidence, which must be of the variant."""
    item = graph.resolve(reference)
    if not isinstance(item, variant):
        kind = variant.__name__.lower()
        have = ", ".join(graph.handle(other.id) for other in graph.of_kind(kind)) or "none yet"
        raise ToolArgumentError(f"{reference} is a {item.kind}, not a {kind}; there is: {have}")
    return item


def grey(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Display pixels uint8 (H, W) or (H, W, 3) as float64 (H, W), 0 to 255; colours are averaged."""
    return image.astype(np.float64) if image.ndim == 2 else image.astype(np.float64).mean(axis=2)


def inside(points: Sequence[float], width: int, height: int) -> list[float]:
    """x, y pairs held to the image; ``ToolArgumentError`` when one is further outside than rounding explains (2 px or 2 %)."""
    held = []
    for position, value in enumerate(points):
        side = (width, height)[position % 2]
        slack = max(2.0, 0.02 * side)
        if not math.isfinite(value) or not -slack <= value <= side - 1 + slack:
            raise ToolArgumentError(f"{value:g} lies outside the image, which is {width} px wide and {height} px high")
        held.append(min(max(float(value), 0.0), side - 1.0))
    return held


def box_inside(box: Sequence[float], width: int, height: int) -> tuple[float, float, float, float]:
    """A box held to the image; ``ToolArgumentError`` when it is outside or has no area."""
    x1, y1, x2, y2 = inside(box, width, height)
    if x2 <= x1 or y2 <= y1:
        raise ToolArgumentError(f"a box is x1, y1, x2, y2 with x2 > x1 and y2 > y1, within {width} x {height} px")
    return x1, y1, x2, y2


def _refuse_non_finite(value: Any, where: str) -> None:
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolFailure(f"the result ({where}) holds a number that is not finite: do not use it")
    if isinstance(value, Mapping):
        for name, part in value.items():
            _refuse_non_finite(part, f"{where}.{name}")
    elif isinstance(value, list | tuple):
        for part in value:
            _refuse_non_finite(part, where)


def _in_short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        return "; ".join(f"{'.'.join(map(str, part['loc'])) or 'value'}: {part['msg']}" for part in error.errors(include_input=False)[:4])
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text[:160]}" if text else type(error).__name__
