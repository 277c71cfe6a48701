"""Which tools there are: ours by name, and those that other packages bring. Knows no head and builds none."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import NamedTuple

from langchain_core.tools import BaseTool

from citrus_agent.core.dialogue import TERMINAL_CALLS
from citrus_agent.core.errors import ConfigurationError
from citrus_agent.core.protocols import Classifier, Detector, Retriever, RuleBook, Segmenter
from citrus_agent.tools.apply_guideline import ApplyGuideline
from citrus_agent.tools.base import CitrusTool
from citrus_agent.tools.describe_lesion import DescribeLesion
from citrus_agent.tools.detect_lesions import DetectLesions
from citrus_agent.tools.measure_lesion import MeasureLesion
from citrus_agent.tools.search_guidelines import SearchGuidelines
from citrus_agent.tools.segment_lesion import SegmentLesion
from citrus_agent.tools.view_region import ViewRegion

ENTRY_POINT_GROUP = "citrus_agent.tools"


@dataclass(frozen=True)
class ToolParts:
    """What our tools are built from."""

    detector: Detector
    segmenter: Segmenter
    classifier: Classifier
    retriever: Retriever
    rule_book: RuleBook


TOOL_FACTORIES: dict[str, Callable[[ToolParts], CitrusTool]] = {
    "detect_lesions": lambda parts: DetectLesions(parts.detector, parts.classifier),
    "segment_lesion": lambda parts: SegmentLesion(parts.segmenter),
    "measure_lesion": lambda parts: MeasureLesion(),
    "describe_lesion": lambda parts: DescribeLesion(),
    "search_guidelines": lambda parts: SearchGuidelines(parts.retriever),
    "apply_guideline": lambda parts: ApplyGuideline(parts.rule_book),
    "view_region": lambda parts: ViewRegion(),
}
TOOL_NAMES: tuple[str, ...] = tuple(TOOL_FACTORIES)


class ThirdParty(NamedTuple):
    """Tools of other packages, and one error for each that cannot be used."""

    tools: list[BaseTool]
    problems: list[ConfigurationError]


def build_tools(parts: ToolParts, names: Iterable[str] = TOOL_NAMES) -> list[CitrusTool]:
    """Our tools, in the order of ``names``; ``ConfigurationError`` for a name that is not ours."""
    wanted = list(names)
    unknown = [name for name in wanted if name not in TOOL_FACTORIES]
    if unknown:
        raise ConfigurationError(f"there is no tool {', '.join(unknown)}; there is: {', '.join(TOOL_NAMES)}")
    return [TOOL_FACTORIES[name](parts) for name in wanted]


def third_party_tools() -> ThirdParty:
    """Tools from the entry point group ``citrus_agent.tools``: each a ``BaseTool`` or a callable without arguments that gives one.

    One that cannot be loaded, or whose name is taken, becomes a problem that names it; the others are loaded all the same.
    """
    found = ThirdParty([], [])
    taken = {*TOOL_NAMES, *TERMINAL_CALLS}
    for entry in sorted(entry_points(group=ENTRY_POINT_GROUP), key=lambda entry: (entry.name, entry.value)):
        try:
            tool = _load(entry, taken)
        except ConfigurationError as problem:
            found.problems.append(problem)
        else:
            taken.add(tool.name)
            found.tools.append(tool)
    return found


def _load(entry: EntryPoint, taken: set[str]) -> BaseTool:
    try:
        loaded = entry.load()
        tool = loaded if isinstance(loaded, BaseTool) else loaded()
    except Exception as error:  # another package's code may raise anything, and must not stop ours
        raise ConfigurationError(
            f"the tool {entry.name!r} ({entry.value}) cannot be loaded: mend or uninstall it ({type(error).__name__})"
        ) from error
    if not isinstance(tool, BaseTool):
        raise ConfigurationError(
            f"the tool {entry.name!r} ({entry.value}) gives a {type(tool).__name__}: it must give a LangChain BaseTool"
        )
    if tool.name in taken:
        raise ConfigurationError(f"the tool {entry.name!r} ({entry.value}) is named {tool.name!r}, which is taken: rename it")
    return tool
