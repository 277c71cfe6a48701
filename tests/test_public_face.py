"""The package's one public face: its names, and how little importing it loads."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module

import pytest

import citrus_agent
import citrus_agent.graphs

HEAVY = ("torch", "transformers", "langgraph", "langchain_core", "chromadb", "numpy", "pydantic")


@pytest.mark.parametrize("package", [citrus_agent, citrus_agent.graphs], ids=lambda package: package.__name__)
def test_every_public_name_is_sorted_and_there(package):
    assert package.__all__ == sorted(set(package.__all__))
    assert set(package.__all__) == set(package._HOMES)
    for name in package.__all__:
        home = import_module(f"{package.__name__}.{package._HOMES[name]}")
        assert getattr(package, name) is getattr(home, name)


def test_what_the_documents_name_is_public():
    named = {"CitrusAgent", "Consultation", "Case", "Claim", "CitrusError", "Evidence", "Report", "ScriptedPlanner", "Settings", "Study"}
    assert named | {"Trace", "verify_trace"} <= set(citrus_agent.__all__) <= set(dir(citrus_agent))


def test_every_error_of_the_tree_is_public():
    from citrus_agent.core import errors

    leaves = {name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, errors.CitrusError)}
    assert leaves <= set(citrus_agent.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'Lemon'"):
        _ = citrus_agent.Lemon


def loaded_by(statement):
    show = f"print(*(m for m in {HEAVY} if m in sys.modules), before == dict(os.environ))"
    code = f"import sys, os; before = dict(os.environ); {statement}; {show}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_importing_loads_nothing_heavy_and_changes_no_environment():
    assert loaded_by("import citrus_agent, citrus_agent.graphs, citrus_agent.app") == ["True"]


def test_the_agents_module_loads_neither_torch_nor_langgraph():
    found = loaded_by("from citrus_agent import CitrusAgent, Report, verify_trace")
    assert not {"torch", "transformers", "langgraph", "chromadb"} & set(found)
    assert found[-1] == "True"
