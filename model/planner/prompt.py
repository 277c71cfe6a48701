"""A conversation as one sequence of tokens, only ever appended to. Knows no LangChain message and no network.

Qwen2.5's chat format with Hermes tool calls; each image is 16 tokens on a 4 x 4 grid with Qwen2-VL's three-part positions
(Wang P et al., "Qwen2-VL", 2024, arXiv:2409.12191). A token for the question's sentence vector stands before the question and before
each call.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from citrus_agent.model.planner.tokenizer import (
    CALL,
    CALL_END,
    END,
    IMAGE,
    REPLY,
    REPLY_END,
    SENTENCE,
    START,
    VISION_END,
    VISION_START,
    PlannerTokenizer,
)

GRID = 4
IMAGE_TOKENS = GRID * GRID
SYSTEM = "You read breast ultrasound by calling tools."
STANDARD_TOOLS = (
    *("detect_lesions", "segment_lesion", "measure_lesion", "describe_lesion", "view_region", "apply_guideline", "search_guidelines"),
    *("conclude", "abstain"),
)
_SIZE = re.compile(r"^(Study: .*?), \d+x\d+ px,.*$", re.MULTILINE)
_QUESTION = re.compile(r"(?:^|\n)Question:\s*(.*)\Z", re.DOTALL)


@dataclass(frozen=True)
class Turn:
    """One step of a conversation. ``system`` uses ``names``; ``user`` ``text`` and ``images``; ``call`` ``name`` and ``arguments``."""

    role: Literal["system", "user", "call", "reply"]
    text: str = ""
    images: int = 0
    name: str = ""
    arguments: dict[str, Any] = field(default_factory=dict)
    names: tuple[str, ...] = ()


@dataclass
class Prompt:
    """Token ids with the places that other encoders fill.

    ``positions``: one (time, row, column) a token. ``images``: index of each image's first token, in order of appearance.
    ``sentences``: token index and question. ``spans``: start and end of each call, which is what training learns to write.
    ``texts``: start and end of each user's text.
    """

    ids: list[int] = field(default_factory=list)
    positions: list[tuple[int, int, int]] = field(default_factory=list)
    images: list[int] = field(default_factory=list)
    sentences: list[tuple[int, str]] = field(default_factory=list)
    spans: list[tuple[int, int]] = field(default_factory=list)
    texts: list[tuple[int, int]] = field(default_factory=list)
    next_position: int = 0

    def position_array(self) -> NDArray[np.int64]:
        """int64 (3, T)."""
        return np.asarray(self.positions, np.int64).T.reshape(3, -1)


def question_of(text: str) -> str:
    """What follows ``Question:``, or the whole text where there is no such line."""
    match = _QUESTION.search(text)
    return (match[1] if match else text).strip()


def call_text(name: str, arguments: dict[str, Any]) -> str:
    """The JSON of a call as the grammar writes it."""
    return "\n" + json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False) + "\n"


def build(turns: Iterable[Turn], tokenizer: PlannerTokenizer, *, reply: bool) -> Prompt:
    """The sequence of ``turns``; with ``reply`` it ends where the planner begins to write."""
    prompt = Prompt()
    for turn in turns:
        _TURNS[turn.role](prompt, turn, tokenizer)
    if reply:
        _begin_reply(prompt, tokenizer)
    return prompt


def _system(prompt: Prompt, turn: Turn, tokenizer: PlannerTokenizer) -> None:
    mark = tokenizer.ids
    _add(prompt, tokenizer, [mark[START], f"system\n{SYSTEM}\nTools: {tool_list(turn.names)}", mark[END], "\n"])


def tool_list(names: Sequence[str]) -> str:
    """The bound tools in brief: what is missing from the standard ones and what comes on top, by name."""
    missing = [name for name in STANDARD_TOOLS if name not in names]
    more = [name for name in names if name not in STANDARD_TOOLS]
    parts = ["standard", *(["without", *missing] if missing else []), *(["and", *more] if more else [])]
    return " ".join(parts)


def _user(prompt: Prompt, turn: Turn, tokenizer: PlannerTokenizer) -> None:
    mark = tokenizer.ids
    _add(prompt, tokenizer, [mark[START], "user\n"])
    for _ in range(turn.images):
        _add(prompt, tokenizer, [mark[VISION_START]])
        _add_image(prompt, tokenizer)
        _add(prompt, tokenizer, [mark[VISION_END]])
    prompt.sentences.append((len(prompt.ids), question_of(turn.text)))
    _add(prompt, tokenizer, [mark[SENTENCE], _SIZE.sub(r"\1", turn.text)])
    prompt.texts.append((prompt.sentences[-1][0] + 1, len(prompt.ids)))
    _add(prompt, tokenizer, [mark[END], "\n"])


def _call(prompt: Prompt, turn: Turn, tokenizer: PlannerTokenizer) -> None:
    mark = tokenizer.ids
    _begin_reply(prompt, tokenizer)
    begin = len(prompt.ids)
    _add(prompt, tokenizer, [mark[CALL], call_text(turn.name, turn.arguments), mark[CALL_END], mark[END]])
    prompt.spans.append((begin, len(prompt.ids)))
    _add(prompt, tokenizer, ["\n"])


def _begin_reply(prompt: Prompt, tokenizer: PlannerTokenizer) -> None:
    """Where a call begins, with the vector of the question that it serves: however long the run, the question stands right before it."""
    _add(prompt, tokenizer, [tokenizer.ids[START], "assistant\n"])
    if prompt.sentences:
        prompt.sentences.append((len(prompt.ids), prompt.sentences[-1][1]))
        _add(prompt, tokenizer, [tokenizer.ids[SENTENCE]])


def _reply(prompt: Prompt, turn: Turn, tokenizer: PlannerTokenizer) -> None:
    mark = tokenizer.ids
    _add(prompt, tokenizer, [mark[START], "user\n", mark[REPLY], f"\n{turn.text}\n", mark[REPLY_END], mark[END], "\n"])


_TURNS = {"system": _system, "user": _user, "call": _call, "reply": _reply}


def _add(prompt: Prompt, tokenizer: PlannerTokenizer, parts: Sequence[str | int]) -> None:
    """Append text, and special tokens by their id."""
    for part in parts:
        ids = [part] if isinstance(part, int) else tokenizer.encode(part)
        first = prompt.next_position
        prompt.ids += ids
        prompt.positions += [(p, p, p) for p in range(first, first + len(ids))]
        prompt.next_position += len(ids)


def _add_image(prompt: Prompt, tokenizer: PlannerTokenizer) -> None:
    first = prompt.next_position
    prompt.images.append(len(prompt.ids))
    prompt.ids += [tokenizer.ids[IMAGE]] * IMAGE_TOKENS
    prompt.positions += [(first, first + row, first + column) for row in range(GRID) for column in range(GRID)]
    prompt.next_position += GRID
