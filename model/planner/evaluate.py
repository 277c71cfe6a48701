"""Measure the planner: ``python -m citrus_agent.model.planner.evaluate --busi DIR``. Held-out wordings on held-out images.

The tools are simulated, so this measures planning alone: which call, with which arguments, and what is concluded. The planner's own
calls are carried out, and at each step the call that the teacher would make from there is the expected one.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from langchain_core.utils.function_calling import convert_to_openai_tool

from citrus_agent.core.errors import CitrusError
from citrus_agent.core.phrases import fill
from citrus_agent.model.planner.arguments import ARGUMENTS
from citrus_agent.model.planner.dialogues import MAX_CALLS, Dialogue, named, sample
from citrus_agent.model.planner.grammar import Context, call_schema, matcher
from citrus_agent.model.planner.images import ImageBank
from citrus_agent.model.planner.names import Names
from citrus_agent.model.planner.network import CHANNELS, PlannerNetwork
from citrus_agent.model.planner.prompt import Turn, build
from citrus_agent.model.planner.teacher import Call, next_call
from citrus_agent.model.planner.tokenizer import CALL, CALL_END, PlannerTokenizer
from citrus_agent.model.planner.writer import CallWriter, Slots
from citrus_agent.model.sentence import SentenceEncoder

WEIGHTS = Path(__file__).parents[1] / "weights" / "citrus-v-nano" / "planner"
LIMIT = 1024


@dataclass
class Outcome:
    """One dialogue: did it end, and how did its calls compare with the expected ones."""

    group: str
    expected: list[Call] = field(default_factory=list)
    made: list[Call] = field(default_factory=list)
    ended: bool = False
    invalid: int = 0
    tokens: int = 0
    choices: int = 0
    seconds: float = 0.0

    @property
    def sequence(self) -> bool:
        """The expected calls in the expected order with the expected arguments; a conclusion's sentences are compared apart."""
        return self.ended and all(_comparable(a) == _comparable(b) for a, b in zip(self.expected, self.made, strict=True))

    @property
    def exact(self) -> bool:
        """The sequence, and the conclusion or abstention word by word."""
        return self.ended and self.expected == self.made


def _comparable(call: Call) -> Any:
    name, arguments = call
    if name == "conclude":
        return name, arguments.get("category")
    return (name, arguments["reason"]) if name == "abstain" else call


def described(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """The tools as OpenAI function descriptions, by the names that the planner meets."""
    tools = []
    for name in names:
        tool = convert_to_openai_tool(ARGUMENTS[name])
        tools.append({**tool, "function": {**tool["function"], "name": name}})
    return tools


class Runner:
    """Plays dialogues with the planner in the lead."""

    def __init__(self, network: PlannerNetwork, tokenizer: PlannerTokenizer, bank: ImageBank) -> None:
        self.writer = CallWriter(network, tokenizer)
        self.tokenizer = tokenizer
        self.bank = bank
        self.sentences = SentenceEncoder()

    def play(self, dialogue: Dialogue) -> Outcome:
        """One dialogue to its end or to the limit of calls."""
        outcome = Outcome(dialogue.wording.group)
        turns, names = dialogue.opening(), Names()
        context = Context(names.kinds, images=len(dialogue.images))
        context.read_question(dialogue.scene.question)
        for _ in range(MAX_CALLS):
            outcome.expected.append(next_call(dialogue.scene, dialogue.world))
            call = self._call(named(turns, names), context, dialogue, outcome, names)
            outcome.made.append(call)
            outcome.invalid += not _valid(call, dialogue)
            added = dialogue.step(*call)
            if added is None:
                outcome.ended = True
                break
            turns += added
            context.calls[call[0]] = context.calls.get(call[0], 0) + 1
            names.reply(added[1].text)
            context.read_outcomes(added[1].text)
        return outcome

    def _call(self, turns: list[Turn], context: Context, dialogue: Dialogue, outcome: Outcome, names: Names) -> Call:
        prompt = build(turns, self.tokenizer, reply=True)
        images = [self.bank.get(reference) for reference in dialogue.images]
        pixels = np.concatenate(images) if images else np.zeros((0, CHANNELS), np.float32)
        slots = Slots(pixels, self.sentences.encode([text for _, text in prompt.sentences]))
        constraint = matcher(call_schema(described(dialogue.scene.tools), context), self.tokenizer)
        began = time.perf_counter()
        ids = [i for piece in self.writer.write(prompt, slots, constraint, LIMIT) for i in piece]
        outcome.seconds += time.perf_counter() - began
        outcome.tokens += len(ids)
        outcome.choices += self.writer.choices
        call = json.loads(names.handles(self.tokenizer.decode(ids).removeprefix(CALL).removesuffix(CALL_END)))
        return call["name"], call["arguments"]


def _valid(call: Call, dialogue: Dialogue) -> bool:
    """The arguments fit their schema, all handles exist, and every sentence can be printed without a digit of its own."""
    name, arguments = call
    try:
        ARGUMENTS[name].model_validate(arguments)
        for key in ("region", "mask"):
            if key in arguments and dialogue.world.graph.resolve(arguments[key]).kind != key:
                return False
        if name == "conclude":
            return all(_printable(claim, dialogue) for claim in arguments["claims"])
    except (CitrusError, ValueError):
        return False
    return True


def _printable(claim: dict[str, Any], dialogue: Dialogue) -> bool:
    graph = dialogue.world.graph
    for handle in claim["evidence"]:
        graph.resolve(handle)
    fill(re.sub(r"\.recommendation\}", "}", claim["text"]), graph)
    return not re.search(r"\d", re.sub(r"\{E\d+[^}]*\}", "", claim["text"]))


def summary(outcomes: list[Outcome]) -> dict[str, Any]:
    """Shares and counts over dialogues."""
    total = len(outcomes)
    outside = [o for o in outcomes if o.group == "out_of_scope"]
    answerable = [o for o in outcomes if o.group != "out_of_scope" and all(name != "abstain" for name, _ in o.expected)]
    return {
        "dialogues": total,
        "exact_tool_sequence": _share(o.sequence for o in outcomes),
        "exact_including_sentences": _share(o.exact for o in outcomes),
        "first_call": _share(_comparable(o.expected[0]) == _comparable(o.made[0]) for o in outcomes),
        "out_of_scope_refused": _share(o.made[-1][0] == "abstain" for o in outside),
        "out_of_scope_dialogues": len(outside),
        "in_scope_refused": _share(o.made[-1][0] == "abstain" for o in answerable),
        "in_scope_dialogues": len(answerable),
        "invalid_calls": sum(o.invalid for o in outcomes),
        "calls": sum(len(o.made) for o in outcomes),
        "not_ended": sum(not o.ended for o in outcomes),
        "tokens_per_second": round(sum(o.tokens for o in outcomes) / sum(o.seconds for o in outcomes), 1),
        "share_of_tokens_chosen": round(sum(o.choices for o in outcomes) / sum(o.tokens for o in outcomes), 3),
    }


def _share(values: Any) -> float | None:
    listed = list(values)
    return round(sum(listed) / len(listed), 4) if listed else None


def by_group(outcomes: list[Outcome]) -> dict[str, dict[str, Any]]:
    """Share of exact tool sequences by what was asked, with the number of dialogues."""
    groups: dict[str, list[Outcome]] = defaultdict(list)
    for outcome in outcomes:
        groups[outcome.group].append(outcome)
    return {
        name: {"dialogues": len(found), "exact_tool_sequence": _share(o.sequence for o in found)} for name, found in sorted(groups.items())
    }


def mistakes(outcomes: list[Outcome]) -> list[tuple[str, int]]:
    """What was called instead of what, most frequent first."""
    pairs: Counter[str] = Counter()
    for outcome in outcomes:
        for expected, made in zip(outcome.expected, outcome.made, strict=True):
            if _comparable(expected) != _comparable(made):
                pairs[f"{outcome.group}: {expected[0]} -> {made[0]}"] += 1
                break
    return pairs.most_common(20)


def evaluate(directory: Path, bank: ImageBank, dialogues: int, seed: int = 0) -> dict[str, Any]:
    """Two parts: all tools work, and tools, studies or images give trouble."""
    runner = Runner(PlannerNetwork.load(directory), PlannerTokenizer.load(directory / "tokenizer.json"), bank)
    result: dict[str, Any] = {"seed": seed, "wordings": "held out", "images": "held out (fold 0 by near-duplicate group)"}
    for part, faulty in (("all_well", False), ("with_trouble", True)):
        outcomes = [runner.play(sample(seed * 1_000_003 + i, bank, held_out=True, faulty=faulty)) for i in range(dialogues)]
        result[part] = {**summary(outcomes), "by_group": by_group(outcomes), "mistakes": mistakes(outcomes)}
    return result


def main() -> None:
    """Command line."""
    from citrus_agent.model.planner.train import bank_for

    parser = argparse.ArgumentParser(description="Measure the planner on held-out wordings and images.")
    parser.add_argument("--busi", type=Path, required=True, help="folder in BUSI's layout")
    parser.add_argument("--planner", type=Path, default=WEIGHTS, help="folder of a trained planner")
    parser.add_argument("--cache", type=Path, help="where image tokens are kept; default: encoded anew in a temporary folder")
    parser.add_argument("--features", type=Path, help="as for training")
    parser.add_argument("--dialogues", type=int, default=300, help="of each part")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="also write the numbers to this file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        bank = bank_for(options.busi, options.cache or Path(scratch), options.features, held_out=True)
    text = json.dumps(evaluate(options.planner, bank, options.dialogues), indent=1)
    if options.out:
        options.out.write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
