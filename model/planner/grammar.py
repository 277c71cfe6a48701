"""What the planner may write next: exactly one valid call, on evidence that exists. Knows no network and no LangChain message.

The schemas of the bound tools are narrowed before they become a grammar: a handle must be one of this conversation and of the right
kind, a box or point must stand in the question, and a claim's text holds placeholders, never digits.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from llguidance import LLMatcher

from citrus_agent.core.errors import PlannerError
from citrus_agent.model.planner.tokenizer import CALL, CALL_END, PlannerTokenizer

Schema = dict[str, Any]
ONE_PROMPT = ("region", "box", "point", "seg")
"""Arguments of which a call takes exactly one, where a tool has several of them."""
MAX_SAME_CALL = 3
_NUMBER = re.compile(r"(?<![\w.])(?:[xy][12]?\s*[=:]\s*)?(\d+(?:\.\d+)?)(?![\w]|\.\d)", re.IGNORECASE)
_CODE = re.compile(r"(?:rads|categor(?:y|ies)|cat\.?|score)[\s:]*([0-6][abc]?)\b|\b([0-6][abc])\b", re.IGNORECASE)
_OUTCOME = re.compile(r"E\d+ rule_outcome ")
_QUERY_LENGTH = 120
_TEXT = r"[A-Za-z ,.;:()'/%+-]"
_FREE = r"[ !#-\[\]-~]"
_FREE_LENGTH = 200
_FORMAT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
_NOT_THE_PLANNERS = {"planner_failed", "budget_exhausted"}  # reasons that the run gives, not the planner
_ATTRIBUTES = {"rule_outcome": "recommendation", "passage": "text"}


@dataclass
class Context:
    """What a call may refer to: evidence kinds by name, boxes and points of the question, images, codes of categories.

    ``calls``: how often each tool was called.
    """

    handles: dict[str, str] = field(default_factory=dict)
    boxes: list[list[float]] = field(default_factory=list)
    points: list[list[float]] = field(default_factory=list)
    images: int = 0
    calls: dict[str, int] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)

    def read_outcomes(self, reply: str) -> None:
        """Take up the codes of the rule outcomes that a tool's reply lists: from then on the newest one counts, not the question's."""
        outcomes = [line for line in reply.splitlines() if _OUTCOME.match(line)]
        if outcomes:
            self.codes = []
            self.read_codes("\n".join(outcomes))

    def read_codes(self, text: str) -> None:
        """Take up the category codes (``4A``) of a text: a query may name no other."""
        self.codes += [code for match in _CODE.findall(text) if (code := "".join(match).upper()) not in self.codes]

    def of_kind(self, kind: str) -> list[str]:
        """Names of one kind, in order of arrival."""
        return [handle for handle, known in self.handles.items() if known == kind]

    def read_question(self, question: str) -> None:
        """Take up the boxes (x1, y1, x2, y2) and points (x, y) that a question writes down; the newest question counts."""
        values = [int(n) if n.isdigit() else float(n) for n in _NUMBER.findall(question)]
        windows = [values[i : i + 4] for i in range(len(values) - 3)]
        self.boxes = [w for w in windows if w[2] > w[0] and w[3] > w[1]]
        self.points = [values[i : i + 2] for i in range(len(values) - 1)] if not self.boxes else []
        self.calls = {}
        self.codes = []
        self.read_codes(question)


def call_schema(tools: Sequence[Mapping[str, Any]], context: Context) -> Schema:
    """One schema for any call that is possible now. ``tools`` are OpenAI function descriptions. ``PlannerError`` when none is possible."""
    options: list[Schema] = []
    for tool in tools:
        function = tool["function"]
        if context.calls.get(function["name"], 0) >= MAX_SAME_CALL:
            continue
        options += [_call(function["name"], arguments) for arguments in _arguments(function.get("parameters") or {}, context)]
    if not options:
        raise PlannerError("no bound tool can be called now: bind abstain, which needs no evidence, besides the tools")
    return {"anyOf": options, "x-guidance": _FORMAT}


def matcher(schema: Schema, tokenizer: PlannerTokenizer) -> LLMatcher:
    """A fresh constraint: the call between its two markers."""
    begin, end = tokenizer.ids[CALL], tokenizer.ids[CALL_END]
    lark = f'start: <[{begin}]> "\\n" call "\\n" <[{end}]>\ncall: %json {json.dumps(schema)}'
    result = LLMatcher(tokenizer.guide, LLMatcher.grammar_from_lark(lark))
    if result.is_error():
        raise PlannerError(f"the schema of a bound tool cannot be turned into a grammar, simplify it: {result.get_error()[:200]}")
    return result


def _call(name: str, arguments: Schema) -> Schema:
    return _object({"name": {"const": name}, "arguments": arguments}, ["name", "arguments"])


def _object(properties: dict[str, Schema], required: list[str]) -> Schema:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _arguments(parameters: Mapping[str, Any], context: Context) -> list[Schema]:
    """The narrowed argument objects of one tool: none when it cannot be called, several when it takes one of several prompts."""
    narrowed = _narrow_object(parameters, context)
    if narrowed is None:
        return []
    declared = [name for name in ONE_PROMPT if name in parameters.get("properties", {})]
    if len(declared) < 2:
        return [narrowed]
    properties, required = narrowed["properties"], narrowed["required"]
    rest = {name: schema for name, schema in properties.items() if name not in ONE_PROMPT}
    if "region" in properties or "box" in properties:
        rest.pop("image", None)  # a region knows its image
    chosen = [name for name in declared if name in properties]
    return [_object({name: _true(name, properties[name]), **rest}, [name, *(r for r in required if r in rest)]) for name in chosen]


def _true(name: str, schema: Schema) -> Schema:
    return {"const": True} if name == "seg" else schema


def _narrow_object(schema: Mapping[str, Any], context: Context) -> Schema | None:
    properties: dict[str, Schema] = {}
    required = list(schema.get("required", []))
    for name, part in schema.get("properties", {}).items():
        narrowed = _narrow(name, part, context)
        if narrowed is not None:
            properties[name] = narrowed
        elif name in required:
            return None
    return _object(properties, required)


def _narrow(name: str, schema: Schema, context: Context) -> Schema | None:
    """The schema of one argument; None where nothing that exists would fit it."""
    schema = _without_null(schema)
    if name in _BY_NAME:
        return _BY_NAME[name](schema, context)
    if schema.get("type") == "object":
        return _narrow_object(schema, context) if schema.get("properties") else None
    if schema.get("type") == "array":
        items = _narrow("", schema.get("items", {}), context)
        return None if items is None else {**_kept(schema, "minItems", "maxItems"), "type": "array", "items": items}
    if schema.get("type") == "string" and not {"enum", "const", "pattern"} & set(schema):
        low, high = schema.get("minLength", 1), min(schema.get("maxLength", _FREE_LENGTH), _FREE_LENGTH)
        return {"type": "string", "pattern": f"^{_FREE}{{{low},{high}}}$"}
    return {key: value for key, value in schema.items() if key not in {"title", "description", "default"}}


def _without_null(schema: Schema) -> Schema:
    """An optional argument is left out rather than written as null."""
    options = [option for option in schema.get("anyOf", []) if option.get("type") != "null"]
    if "anyOf" not in schema or len(options) == len(schema["anyOf"]):
        return schema
    return options[0] if len(options) == 1 else {**schema, "anyOf": options}


def _kept(schema: Schema, *names: str) -> Schema:
    return {name: schema[name] for name in names if name in schema}


def _one_of(values: Sequence[Any]) -> Schema | None:
    return {"enum": list(values)} if values else None


def _handle_list(schema: Schema, context: Context) -> Schema | None:
    handles = _one_of(list(context.handles))
    return None if handles is None else {"type": "array", "items": handles, "minItems": 1, "maxItems": 16}


def _claims(schema: Schema, context: Context) -> Schema | None:
    item = _narrow_object(schema["items"], context)
    return None if item is None else {"type": "array", "items": item, "minItems": 1, "maxItems": 16}


def _claim_text(schema: Schema, context: Context) -> Schema:
    """Words and placeholders of evidence that exists; a number can only come in by a placeholder."""
    names = "|".join(f"{h}(\\.{_ATTRIBUTES[kind]})?" if kind in _ATTRIBUTES else h for h, kind in context.handles.items())
    placeholder = f"|\\{{({names})\\}}" if names else ""
    return {"type": "string", "pattern": f"^({_TEXT}{placeholder})+$"}


def _query(schema: Schema, context: Context) -> Schema:
    """Words, and category codes that the question or an outcome named."""
    options = "|".join([_TEXT, *context.codes])
    return {"type": "string", "pattern": f"^({options}){{1,{_QUERY_LENGTH}}}$"}


def _reason(schema: Schema, context: Context) -> Schema:
    return {**schema, "enum": [reason for reason in schema["enum"] if reason not in _NOT_THE_PLANNERS]} if "enum" in schema else schema


_BY_NAME = {
    "query": _query,
    "reason": _reason,
    "region": lambda schema, context: _one_of(context.of_kind("region")),
    "mask": lambda schema, context: _one_of(context.of_kind("mask")),
    "box": lambda schema, context: _one_of(context.boxes),
    "point": lambda schema, context: _one_of(context.points),
    "image": lambda schema, context: _one_of(list(range(context.images))),
    "category": lambda schema, context: _one_of([f"{{{handle}}}" for handle in context.of_kind("rule_outcome")]),
    "facts": lambda schema, context: None,  # a fact that no tool made has no evidence
    "evidence": _handle_list,
    "claims": _claims,
    "text": _claim_text,
}
