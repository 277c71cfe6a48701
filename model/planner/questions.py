"""The bank of hand-written wordings: what each asks for, which are held out, and light noise. Knows no image and no tool."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from citrus_agent.model.planner.teacher import wanted

BANK = Path(__file__).with_name("questions.txt")
CATEGORIES = ("0", "1", "2", "3", "4", "4A", "4B", "4C", "5", "6")
_HELD_OUT = 5  # one wording in five
_BOXES = (
    "{},{},{},{}",
    "[{}, {}, {}, {}]",
    "x1={} y1={} x2={} y2={}",
    "({},{})-({},{})",
    "{} {} {} {}",
    "({}, {}, {}, {})",
    "{}, {} to {}, {}",
)
_POINTS = ("{},{}", "({}, {})", "x={} y={}", "[{}, {}]", "{} {}")
_BEFORE = (
    "Please: ",
    "Hi, ",
    "Hello, ",
    "quick question: ",
    "Dear colleague, ",
    "hey ",
    "Thanks in advance. ",
    "For teaching: ",
    "Patient asks: ",
)
_AFTER = (" please", " thanks", " thx", " asap", " Thank you!", " pls", " Be brief.", " I need it now.", " Many thanks.")


@dataclass(frozen=True)
class Wording:
    """One line of the bank. ``topic``: of a guideline question or of a question out of scope."""

    text: str
    wants: tuple[str, ...]
    topic: str
    held_out: bool

    @property
    def group(self) -> str:
        """Its header in the bank."""
        return " ".join(self.wants)


@cache
def bank() -> tuple[Wording, ...]:
    """All wordings, in file order."""
    wordings: list[Wording] = []
    wants, topic = (), ""
    for line in BANK.read_text(encoding="utf-8").splitlines():
        header = re.fullmatch(r"\[([a-z_ ]+)\]", line)
        if header:
            wants, topic = _header(header[1].split())
        elif line and not line.startswith("# "):
            wordings.append(Wording(line, wants, topic, _reserved(line)))
    return tuple(wordings)


def _header(words: list[str]) -> tuple[tuple[str, ...], str]:
    if words[0] == "out_of_scope":
        return ("out_of_scope",), words[1]
    if "guideline" in words:
        at = words.index("guideline")
        return wanted(words[: at + 1]), words[at + 1]
    return wanted(words), ""


def _reserved(text: str) -> bool:
    return int(hashlib.sha256(f"planner-{text}".encode()).hexdigest(), 16) % _HELD_OUT == 0


@dataclass(frozen=True)
class Asked:
    """A question as it is put: placeholders filled, noise added."""

    text: str
    topic: str
    box: list[float] | None = None
    point: list[float] | None = None


def ask(wording: Wording, random: np.random.Generator, width: int, height: int, *, noise: bool) -> Asked:
    """Fill a wording's placeholders for an image of ``width`` x ``height`` px, and with ``noise`` write it as people do."""
    topic = wording.topic
    text = _noisy(wording.text, random) if noise else wording.text
    box = point = None
    if "{cat}" in text:
        topic = str(random.choice(CATEGORIES))
        text = text.replace("{cat}", topic.lower() if random.random() < 0.2 else topic)
    if "{box}" in text:
        x, y = random.integers(0, width // 2), random.integers(0, height // 2)
        box = [int(x), int(y), int(random.integers(x + 10, width)), int(random.integers(y + 10, height))]
        text = text.replace("{box}", str(random.choice(_BOXES)).format(*box))
    if "{point}" in text:
        point = [int(random.integers(0, width)), int(random.integers(0, height))]
        text = text.replace("{point}", str(random.choice(_POINTS)).format(*point))
    return Asked(text, topic, box, point)


def _noisy(text: str, random: np.random.Generator) -> str:
    """Typing slips, missing capitals and punctuation, politeness; placeholders stay whole."""
    if random.random() < 0.2:
        text = _slip(text, random)
    if random.random() < 0.25:
        text = re.sub(r"(?<!\{)\b[A-Z][a-z]+", lambda m: m[0].lower(), text)
    if random.random() < 0.25:
        text = text.rstrip("?.!")
    if random.random() < 0.08:
        text += str(random.choice(["?", "!", "??", "...", "!!"]))
    if random.random() < 0.12:
        text = str(random.choice(_BEFORE)) + text
    if random.random() < 0.12:
        text = text + str(random.choice(_AFTER))
    return text


def _slip(text: str, random: np.random.Generator) -> str:
    """Swap, drop or double one letter of one longer word."""
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 4 and word.isalpha()]
    if not long:
        return text
    at = int(random.choice(long))
    word, i = words[at], int(random.integers(1, len(words[at]) - 2))
    kind = int(random.integers(3))
    words[at] = (word[:i] + word[i + 1] + word[i] + word[i + 2 :], word[:i] + word[i + 1 :], word[:i] + word[i] + word[i:])[kind]
    return " ".join(words)
