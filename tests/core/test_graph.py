"""The evidence graph answers both ways: what does this rest on, what rests on this."""

import pytest

from citrus_agent.core.errors import ToolArgumentError
from citrus_agent.core.graph import EvidenceGraph
from citrus_agent.core.report import Claim


def test_handles_in_order_of_arrival(graph, chain):
    assert [graph.handle(item.id) for item in graph] == ["E1", "E2", "E3", "E4", "E5", "E6"]
    assert graph.resolve("E2") is graph.resolve(chain["mask"].id)
    assert graph.add(chain["mask"]) == "E2"
    assert len(graph) == 6
    assert "E6" in graph
    assert "E7" not in graph


def test_unknown_reference_lists_what_there_is(graph):
    with pytest.raises(ToolArgumentError, match="E1, E2"):
        graph.resolve("E9")
    with pytest.raises(ToolArgumentError, match="none yet"):
        EvidenceGraph().resolve("E1")


def test_parents_must_be_there(chain):
    with pytest.raises(ToolArgumentError, match="not in the graph"):
        EvidenceGraph([chain["mask"]])


def test_what_it_rests_on(graph, chain):
    assert [item.kind for item in graph.rests_on([chain["rule"].id])] == ["region", "mask", "measurement", "descriptor", "rule_outcome"]
    assert graph.rests_on([chain["finding"].id]) == [chain["finding"]]


def test_what_rests_on_it(graph, chain):
    assert graph.dependents(chain["mask"].id) == [chain["longest"], chain["shape"], chain["rule"]]
    assert graph.dependents(chain["rule"].id) == []
    assert graph.of_kind("mask", "region") == [chain["region"], chain["mask"]]


def test_claims_that_fall_with_a_mask(graph, chain):
    def claim(name, *evidence):
        return Claim(id=name, section="findings", kind="observation", text="x", evidence=evidence)

    claims = [claim("a", chain["rule"].id), claim("b", chain["finding"].id), claim("c", chain["region"].id), claim("d", chain["mask"].id)]
    assert [item.id for item in graph.claims_on("E2", claims)] == ["a", "d"]


def test_two_branches_do_not_mix(graph, chain, made):
    apart = made.diameter(9.0, derived_from=(chain["finding"].id,))
    graph.add(apart)
    assert apart not in graph.dependents(chain["mask"].id)
    assert graph.rests_on([apart.id]) == [chain["finding"], apart]
