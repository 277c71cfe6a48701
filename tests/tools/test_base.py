import asyncio

import numpy as np
import pytest
from langchain_core.tools import BaseTool
from pydantic import ValidationError

from citrus_agent.core.errors import ConfigurationError, ContractRefusal, Interrupted, ToolArgumentError, ToolFailure
from citrus_agent.core.evidence import DocumentField, Finding
from citrus_agent.core.protocols import Scope
from citrus_agent.tools.base import CitrusTool, ToolArguments
from citrus_agent.tools.contract import InputContract


class Arguments(ToolArguments):
    word: str = "hello"


class Echo(CitrusTool):
    name: str = "echo"
    description: str = "Says the word."
    args_schema: type = Arguments

    def work(self, case, word="hello"):
        return [DocumentField(tool="someone else", name="word", value=word)]


class Raises(Echo):
    error: BaseException

    def work(self, case, word="hello"):
        raise self.error


class Chain(Echo):
    def work(self, case, word="hello"):
        first = DocumentField(tool="x", name="first", value=word)
        return [first, DocumentField(tool="x", name="second", value=word, derived_from=(first.id,))]


def test_reply_has_text_and_evidence(kit):
    case = kit.case()
    message = Echo().invoke(
        {"type": "tool_call", "id": "7", "name": "echo", "args": {"word": "hi"}}, config={"configurable": {"case": case}}
    )
    (item,) = message.artifact
    assert (item.tool, item.value, item.simulated, item.validated_scope) == ("echo", "hi", False, True)
    assert item.id in message.content
    assert message.content.endswith("word hi")
    assert len(case.evidence) == 0, "the caller adds evidence, not the tool"


def test_async_and_bare_string(kit):
    case = kit.case()
    config = {"configurable": {"case": case}}
    tool_call = {"type": "tool_call", "id": "7", "name": "echo", "args": {"word": "hi"}}
    assert asyncio.run(Echo().ainvoke(tool_call, config=config)).artifact[0].value == "hi"
    assert "hi" in Echo().invoke("hi", config=config)


@pytest.mark.parametrize("arguments", [{"word": 3}, {"other": "x"}, {"config": {}}])
def test_wrong_arguments_name_the_field(kit, arguments):
    with pytest.raises(ToolArgumentError, match=next(iter(arguments))):
        kit.call(Echo(), kit.case(), **arguments)


def test_without_case_is_a_developers_error():
    with pytest.raises(ConfigurationError, match="configurable"):
        Echo().invoke({"word": "x"})


@pytest.mark.parametrize("error", [ZeroDivisionError("nought"), MemoryError(), ConfigurationError("wrong")])
def test_any_error_becomes_a_failure(kit, error):
    with pytest.raises(ToolFailure, match="echo failed.*" + type(error).__name__) as caught:
        kit.call(Raises(error=error), kit.case())
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [Interrupted("stop"), ToolArgumentError("mend it"), ContractRefusal("no", "view")])
def test_typed_errors_and_interrupts_pass(kit, error):
    with pytest.raises(type(error)) as caught:
        kit.call(Raises(error=error), kit.case())
    assert caught.value is error


def test_nan_evidence_is_a_failure(kit):
    class NotANumber(Echo):
        def work(self, case, word="hello"):
            return [
                Finding.model_construct(
                    tool="x", id="finding-1", kind="finding", name="n", value="v", score=None, probabilities={"a": np.nan}
                )
            ]

    with pytest.raises(ToolFailure, match="not finite"):
        kit.call(NotANumber(), kit.case())


def test_marks_travel(kit):
    assert kit.call(Echo(), kit.case(simulated=True))[0].simulated

    class WithHead(Echo):
        head: object

        @property
        def heads(self):
            return (self.head,)

    simulated, elsewhere = kit.Head(simulated=True), kit.Head(scope=Scope(frozenset({"CT"})))
    assert kit.call(WithHead(head=simulated), kit.case())[0].simulated
    assert kit.call(WithHead(head=kit.Head()), kit.case())[0].validated_scope
    assert not kit.call(WithHead(head=elsewhere), kit.case())[0].validated_scope
    assert not kit.call(WithHead(head=kit.Head()), kit.case(modality="unknown"))[0].validated_scope
    assert kit.call(WithHead(head=kit.Head(scope=Scope())), kit.case(modality="unknown"))[0].validated_scope


def test_links_within_a_call_survive_the_new_ids(kit):
    case = kit.case(simulated=True)
    first, second = kit.call(Chain(), case)
    assert second.derived_from == (first.id,)
    case.evidence.add(first)
    case.evidence.add(second)
    assert Echo().finish(case, Echo().finish(case, first)).id == Echo().finish(case, first).id


@pytest.mark.parametrize(
    ("contract", "study", "field"),
    [
        ({"modalities": {"US"}}, {"modality": "CT"}, "modality"),
        ({"body_parts": {"breast"}}, {"body_part": "chest"}, "body_part"),
        ({"views": {"radial"}}, {"view": "antiradial"}, "view"),
        ({"photometric": {"RGB"}}, {}, "photometric"),
        ({"dimensionality": {3}}, {}, "dimensionality"),
        ({"needs_spacing": True}, {}, "spacing"),
        ({"modalities": {"US"}, "strict": True}, {"modality": "unknown"}, "modality"),
    ],
)
def test_contract_names_the_field(kit, contract, study, field):
    with pytest.raises(ContractRefusal) as caught:
        kit.call(Echo(contract=InputContract(**contract)), kit.case(**study))
    assert caught.value.field == field
    assert str(caught.value).startswith("needs")


def test_contract_lets_unknown_and_other_case_pass(kit):
    contract = InputContract(modalities={"US"}, body_parts={"breast"})
    assert kit.call(Echo(contract=contract), kit.case(modality="unknown", body_part="BREAST"))
    assert contract.summary() == "modality US, body part breast, 2-D"
    with pytest.raises(ValidationError):
        InputContract(modality={"US"})


def test_a_tool_is_a_plain_langchain_tool():
    tool = Echo()
    assert isinstance(tool, BaseTool)
    assert tool.tool_call_schema.model_json_schema()["additionalProperties"] is False
    assert list(tool.args) == ["word"]
