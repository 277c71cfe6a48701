"""Assembly: planner names, what a header shows, other packages' tools. The model is a class with fixed answers."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

import citrus_agent.model
import citrus_agent.tools.registry as registry
from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.protocols import Scope
from citrus_agent.core.settings import Settings
from citrus_agent.graphs.assembly import assemble, build_tools, open_planner
from citrus_agent.graphs.scripted import ScriptedPlanner


class Head:
    name, digest, simulated, scope = "fixed", "d" * 64, True, Scope()

    def detect(self, image):
        return []

    def segment(self, image, *, box=None, point=None, seg=False):
        raise NotImplementedError

    def classify(self, image):
        raise NotImplementedError


@pytest.fixture
def model(monkeypatch):
    head = Head()
    chat = ScriptedPlanner([])
    fixed = SimpleNamespace(
        name="fixed",
        digest="e" * 64,
        digests={"grounding": "f" * 64},
        simulated=False,
        detector=head,
        segmenter=head,
        classifier=head,
        chat=chat,
        sentences=None,
    )
    asked = []
    monkeypatch.setattr(citrus_agent.model, "load_model", lambda name, device: asked.append((name, device)) or fixed, raising=False)
    fixed.asked = asked
    return fixed


def test_the_parts_of_the_core_model(model, tmp_path):
    parts = assemble(Settings(cache_dir=tmp_path, model="fixed", device="cpu"))
    assert model.asked == [("fixed", "cpu")]
    assert parts.planner is model.chat
    assert set(registry.TOOL_NAMES) <= set(parts.tools)
    assert (parts.model_name, parts.digest, parts.simulated) == ("fixed", "e" * 64, True)
    assert parts.digests == {"grounding": "f" * 64, "library": parts.library.digest}
    assert parts.graph().get_graph().nodes.keys() >= {"plan", "act", "verify", "conclude"}


def test_a_header_shows_what_ran_and_nothing_of_this_machine(model, tmp_path):
    settings = Settings(
        cache_dir=tmp_path / "secret", model=str(tmp_path / "weights-7"), planner="openai:big@http://me:pw@gpu.local:8000/v1"
    )
    header = assemble(settings).header(simulated=True)
    shown = header.model_dump_json()
    assert header.simulated
    assert header.configuration["model"] == "weights-7"
    assert header.configuration["planner"] == "openai:big@gpu.local"
    assert header.versions["langgraph"]
    assert header.models["library"]
    assert not any(word in shown for word in ("pw", "secret", str(tmp_path)))


def test_a_served_planner_by_name(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    planner = open_planner("openai:org/model-7b@http://127.0.0.1:9/v1")
    assert (planner.model_name, planner.openai_api_base) == ("org/model-7b", "http://127.0.0.1:9/v1")


def test_any_other_name_goes_to_langchain(monkeypatch):
    import langchain.chat_models

    asked = []
    monkeypatch.setattr(langchain.chat_models, "init_chat_model", asked.append)
    open_planner("anthropic:some-model")
    assert asked == ["anthropic:some-model"]


@pytest.mark.parametrize("name", ["gpt", ":x", "openai:"])
def test_a_name_that_is_none_is_refused(name):
    with pytest.raises(ConfigurationError, match="neither"):
        open_planner(name)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain_mistralai", None)
    with pytest.raises(ResourceError, match="pip install langchain-mistralai"):
        open_planner("mistralai:small")


def test_ones_own_planner_goes_first(model, tmp_path):
    own = ScriptedPlanner([], simulated=False)
    parts = assemble(Settings(cache_dir=tmp_path, planner="x:y"), own)
    assert parts.planner is own
    assert parts.model_name == "fixed, planner ScriptedPlanner"
    assert not parts.simulated


def test_tools_of_other_packages_come_along_and_a_broken_one_is_warned_of(model, tmp_path, monkeypatch, caplog, parts):
    found = registry.ThirdParty([parts.age], [ConfigurationError("the tool 'x' cannot be loaded")])
    monkeypatch.setattr(registry, "third_party_tools", lambda: found)
    loaded, tools = build_tools(Settings(cache_dir=tmp_path))
    assert loaded is model
    assert [tool.name for tool in tools] == [*registry.TOOL_NAMES, "age"]
    assert "the tool 'x' cannot be loaded" in caplog.text


def test_langgraph_json_names_a_factory_that_works(model, tmp_path, monkeypatch):
    monkeypatch.setenv("CITRUS_CACHE_DIR", str(tmp_path))
    text = (Path(__file__).parents[2] / "langgraph.json").read_text()
    module, _, name = json.loads(text)["graphs"]["consult"].partition(":")
    graph = getattr(importlib.import_module(module), name)()
    assert graph.config["configurable"]["blob_store"].root == tmp_path / "blobs"
    assert "messages" in graph.get_input_jsonschema()["properties"]
