"""What the planner was trained on is what it meets: the tools' names and arguments, and the order of a full report's tools."""

import pytest

from citrus_agent.core.dialogue import TERMINAL_CALLS
from citrus_agent.model.planner.arguments import ARGUMENTS
from citrus_agent.model.planner.teacher import ORDER
from citrus_agent.tools import (
    apply_guideline,
    describe_lesion,
    detect_lesions,
    measure_lesion,
    search_guidelines,
    segment_lesion,
    view_region,
)
from citrus_agent.tools.registry import TOOL_NAMES

SCHEMAS = {
    "detect_lesions": detect_lesions.DetectArguments,
    "segment_lesion": segment_lesion.SegmentArguments,
    "measure_lesion": measure_lesion.MeasureArguments,
    "describe_lesion": describe_lesion.DescribeArguments,
    "search_guidelines": search_guidelines.SearchArguments,
    "apply_guideline": apply_guideline.ApplyArguments,
    "view_region": view_region.ViewArguments,
}


def test_the_planner_knows_each_tool():
    assert set(TOOL_NAMES) == set(ORDER) == set(ARGUMENTS) - set(TERMINAL_CALLS)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_arguments_are_those_of_the_tool(name):
    known, real = ARGUMENTS[name].model_json_schema(), SCHEMAS[name].model_json_schema()
    assert set(known["properties"]) == set(real["properties"])
    assert known.get("required", []) == real.get("required", [])
