"""view_region, and the registry with tools of other packages."""

from importlib.metadata import EntryPoint

import numpy as np
import pytest
from langchain_core.tools import tool as langchain_tool

from citrus_agent.core.errors import ConfigurationError, ToolArgumentError
from citrus_agent.core.pixels import decode_png
from citrus_agent.tools import registry
from citrus_agent.tools.base import CitrusTool
from citrus_agent.tools.view_region import ViewRegion


def ramp() -> np.ndarray:
    return np.tile(np.arange(200, dtype=np.uint8), (100, 1))


def test_view_crops_with_margin_zooms_and_links(kit):
    case = kit.case(ramp())
    region = kit.add_region(case, (50, 20, 90, 60))
    (view,) = kit.call(ViewRegion(), case, region=region, zoom=3)
    assert view.box == (46, 16, 94, 64)
    assert view.derived_from == (case.evidence.resolve(region).id,)
    pixels = decode_png(case.blobs.get(view.value))
    assert pixels.shape == (49 * 3, 49 * 3)
    assert (pixels.min(), pixels.max()) == (46, 94)


def test_window_is_linear(kit):
    case = kit.case(ramp())
    (view,) = kit.call(ViewRegion(), case, box=[0, 0, 199, 99], zoom=1, window=[50, 150])
    row = decode_png(case.blobs.get(view.value))[0]
    assert (row[50], row[100], row[150], row[199]) == (0, 128, 255, 255)


def test_side_is_capped_and_colour_kept(kit):
    case = kit.case(np.zeros((300, 400, 3), np.uint8))
    (view,) = kit.call(ViewRegion(), case, zoom=8)
    assert decode_png(case.blobs.get(view.value)).shape == (768, 1024, 3)
    assert view.box == (0, 0, 399, 299)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"zoom": 9}, "zoom"),
        ({"zoom": 0.5}, "zoom"),
        ({"window": [5, 5]}, "high > low"),
        ({"window": [5]}, "window"),
        ({"box": [0, 0, 500, 50]}, "200 px wide"),
        ({"region": "E1", "box": [1, 1, 5, 5]}, "not both"),
    ],
)
def test_wrong_views(kit, wrong, says):
    case = kit.case(ramp())
    kit.add_region(case)
    with pytest.raises(ToolArgumentError, match=says):
        kit.call(ViewRegion(), case, **wrong)


def test_our_tools_by_name(kit):
    shelf = kit.Shelf()
    tools = registry.build_tools(registry.ToolParts(kit.Detector(), kit.Segmenter(), kit.Classifier(), shelf, shelf))
    assert tuple(tool.name for tool in tools) == registry.TOOL_NAMES
    assert all(isinstance(tool, CitrusTool) and tool.description and tool.contract.summary() for tool in tools)
    assert all(tool.tool_call_schema.model_json_schema()["type"] == "object" for tool in tools)
    with pytest.raises(ConfigurationError, match="paint"):
        registry.build_tools(registry.ToolParts(kit.Detector(), kit.Segmenter(), kit.Classifier(), shelf, shelf), ["paint"])


@langchain_tool
def count_words(text: str) -> int:
    """Count words."""
    return len(text.split())


def make_counter():
    return count_words.model_copy(update={"name": "counter"})


def give_nothing():
    return 3


def crash():
    raise RuntimeError("of their own")


def taken():
    return count_words.model_copy(update={"name": "measure_lesion"})


def test_third_party_tools_and_broken_ones(monkeypatch):
    class Here(EntryPoint):
        def load(self):
            if self.attr == "missing":
                raise ImportError("no such module")
            return globals()[self.attr]

    names = ["count_words", "make_counter", "give_nothing", "crash", "missing", "taken"]
    entries = [Here(name=name, value=f"other.package:{name}", group=registry.ENTRY_POINT_GROUP) for name in names]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries if group == "citrus_agent.tools" else [])
    tools, problems = registry.third_party_tools()
    assert [tool.name for tool in tools] == ["count_words", "counter"]
    assert all(isinstance(problem, ConfigurationError) for problem in problems)
    told = " | ".join(map(str, problems))
    assert len(problems) == 4
    assert all(repr(name) in told for name in ("give_nothing", "crash", "missing", "taken"))


def test_a_name_is_given_once(monkeypatch):
    class Same(EntryPoint):
        def load(self):
            return count_words

    entries = [Same(name=name, value="x:y", group="citrus_agent.tools") for name in ("a", "b")]
    monkeypatch.setattr(registry, "entry_points", lambda group: entries)
    tools, problems = registry.third_party_tools()
    assert (len(tools), len(problems)) == (1, 1)
    assert "'b'" in str(problems[0])
