"""Simulated consultations for training and evaluation: scene, tools' answers, and the right calls. Knows no network."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, get_args

import numpy as np

from citrus_agent.core.dialogue import error_reply, study_line, tool_reply
from citrus_agent.core.errors import ToolError
from citrus_agent.core.study import ImageRef, Laterality, Spacing, Study
from citrus_agent.model.planner.images import ImageBank
from citrus_agent.model.planner.names import Names
from citrus_agent.model.planner.prompt import Turn
from citrus_agent.model.planner.questions import Asked, Wording, ask, bank
from citrus_agent.model.planner.simulate import World, fault
from citrus_agent.model.planner.teacher import ORDER, Scene, next_call

Reference = tuple[str, int]
MAX_CALLS = 16
_SHARES = {"report": 5.0, "category": 2.5, "malignancy": 2.5, "management": 2.5, "out_of_scope": 7.0, "guideline": 3.5, "segment": 1.6}
_OTHER_SHARE = 1.1
_COMBINED_SHARE = 3.5
_FOREIGN = ("CT", "MR", "CR", "DX", "MG", "PT", "NM", "XC", "SM", "OP")
_PARTS = ("thyroid", "CHEST", "liver", "ABDOMEN", "brain", "HEAD", "kidney", "PELVIS", "neck", "KNEE", "SPINE", "foot")


@dataclass
class Dialogue:
    """A scene with its world, and the images that the planner sees."""

    scene: Scene
    world: World
    images: list[Reference]
    wording: Wording
    send_back: bool = False

    def opening(self) -> list[Turn]:
        """System and user turn."""
        scene = self.scene
        text = scene.question if scene.study is None else f"Study: {study_line(scene.study)}\nQuestion: {scene.question}"
        return [Turn("system", names=scene.tools), Turn("user", text=text, images=len(self.images))]

    def step(self, name: str, arguments: dict[str, Any]) -> list[Turn] | None:
        """Carry a call out: the turns that it adds, or None when it ends the run."""
        call = Turn("call", name=name, arguments=arguments)
        if name in ("conclude", "abstain"):
            if name == "abstain" or not self.send_back or self.scene.called("conclude"):
                return None
            error: ToolError | None = fault(self.world.random("sent back"), "sent back")
            text = error_reply(error)
        else:
            error = None
            try:
                text = tool_reply(self.world.call(name, arguments), self.world.graph)
            except ToolError as raised:
                error, text = raised, error_reply(raised)
        self.scene.log.append((name, arguments, error))
        return [call, Turn("reply", text=text)]

    def play(self) -> list[Turn]:
        """The whole conversation as the teacher leads it."""
        turns = self.opening()
        for _ in range(MAX_CALLS):
            name, arguments = next_call(self.scene, self.world)
            added = self.step(name, arguments)
            if added is None:
                return [*turns, Turn("call", name=name, arguments=arguments)]
            turns += added
        raise AssertionError(f"the teacher did not end: {self.scene.question}")


@cache
def _groups(held_out: bool) -> dict[str, list[tuple[Wording, float]]]:
    """Wordings by group, with the group's share."""
    groups: dict[str, list[Wording]] = defaultdict(list)
    for wording in bank():
        if wording.held_out == held_out:
            groups["combined" if len(wording.wants) > 1 else wording.wants[0]].append(wording)
    shares = {**_SHARES, "combined": _COMBINED_SHARE}
    return {name: [(wording, shares.get(name, _OTHER_SHARE)) for wording in found] for name, found in groups.items()}


def sample_wording(random: np.random.Generator, *, held_out: bool) -> Wording:
    """A group by its share, then a wording of it."""
    groups = _groups(held_out)
    names = sorted(groups)
    weights = np.array([groups[name][0][1] for name in names])
    group = groups[names[int(random.choice(len(names), p=weights / weights.sum()))]]
    return group[int(random.integers(len(group)))][0]


def sample(seed: int, images: ImageBank, *, held_out: bool = False, faulty: bool = True) -> Dialogue:
    """One dialogue; the same for the same seed. Without ``faulty`` every tool works and every study fits."""
    random = np.random.default_rng([seed, int(held_out)])
    width, height = int(random.integers(200, 1100)), int(random.integers(180, 900))
    wording = sample_wording(random, held_out=held_out)
    asked = ask(wording, random, width, height, noise=True)
    truth = str(random.choice(["normal", "benign", "suspicious"], p=[0.18, 0.44, 0.38]))
    study = _study(random, width, height, faulty)
    scene = Scene(asked.text, wording.wants, asked.topic, asked.box, asked.point, study)
    world = World(seed, truth, _regions(random, truth), {}, width, height)
    world.unit = "mm" if study.images[0].spacing else "{pixel}"
    if faulty:
        _trouble(random, scene, world, study, asked)
    dialogue = Dialogue(scene, world, [], wording, send_back=faulty and random.random() < 0.03)
    if scene.seen and scene.study is not None:
        dialogue.images = [images.pick(truth if scene.inside else "outside", random) for _ in scene.study.images]
    return dialogue


def _regions(random: np.random.Generator, truth: str) -> int:
    shares = [0.93, 0.05, 0.02, 0.0] if truth == "normal" else [0.05, 0.72, 0.16, 0.07]
    return int(random.choice(4, p=shares))


def _study(random: np.random.Generator, width: int, height: int, faulty: bool) -> Study:
    spacing = None
    if random.random() < 0.3:
        millimetres = float(random.uniform(0.03, 0.3))
        spacing = Spacing(row_mm=millimetres, column_mm=millimetres, source="PixelSpacing")
    image = ImageRef(blob="0" * 64, width=width, height=height, mode="L", spacing=spacing)
    modality, part = "unknown" if random.random() < 0.5 else "US", str(random.choice(["unknown", "breast", "BREAST"]))
    if faulty and random.random() < 0.08:
        modality = str(random.choice(_FOREIGN))
        part = str(random.choice([*_PARTS, "unknown", "breast"]))
    elif faulty and random.random() < 0.04:
        part = str(random.choice(_PARTS))
    side = str(random.choice(get_args(Laterality), p=[0.15, 0.15, 0.7]))
    count = 2 if random.random() < 0.03 else 1
    return Study(images=(image,) * count, modality=modality, body_part=part, laterality=side)


def _trouble(random: np.random.Generator, scene: Scene, world: World, study: Study, asked: Asked) -> None:
    """What goes wrong in real use: foreign images, failing tools, missing tools, no image at all."""
    fitting = study.modality in ("US", "unknown") and study.body_part.casefold() in ("breast", "unknown")
    scene.inside = fitting and random.random() > 0.1
    if not scene.inside or random.random() < 0.02:
        world.faults["detect_lesions"] = fault(random, "domain" if fitting and random.random() < 0.85 else "contract")
    for name in ORDER:
        if name not in world.faults and random.random() < 0.035:
            world.faults[name] = fault(random, str(random.choice(["failure", "timeout", "argument"])))
    world.undetermined = random.random() < 0.12
    world.passages = int(random.choice([0, 1, 2, 3], p=[0.05, 0.1, 0.15, 0.7]))
    scene.seen = random.random() > 0.08
    if random.random() < 0.03 and asked.box is None and asked.point is None:
        scene.study, scene.seen = None, False
    if random.random() < 0.3:
        scene.tools = tuple(random.permutation(scene.tools[:-2])) + scene.tools[-2:]
    if random.random() < 0.06:
        missing = str(random.choice(["view_region", "describe_lesion", "search_guidelines", "measure_lesion"]))
        scene.tools = tuple(name for name in scene.tools if name != missing)


def named(turns: list[Turn], names: Names | None = None) -> list[Turn]:
    """The conversation as the planner reads and writes it: evidence by name."""
    names = names or Names()
    return [
        replace(turn, text=names.reply(turn.text)) if turn.role == "reply" else replace(turn, arguments=names.arguments(turn.arguments))
        for turn in turns
    ]


def texts(turns: list[Turn]) -> list[str]:
    """All text of a conversation, for the tokenizer's training."""
    return [
        turn.text or json.dumps({"name": turn.name, "arguments": turn.arguments}, ensure_ascii=False)
        for turn in turns
        if turn.role != "system"
    ]
