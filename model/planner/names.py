"""Evidence by name: the planner reads and writes ``@margin`` where everybody else says E10. Knows no grammar and no network.

A name says what the evidence is, so that the planner need not learn to look a handle up: of several pieces of one kind the second is
``@region2``. Names stand for handles one to one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

_LINE = re.compile(r"^(E\d+) ([a-z_]+) ?(.*)$")
_HANDLE = re.compile(r"\bE\d+\b")
_NAME = re.compile(r"@[a-z0-9_]+")
_OPEN_NAME = re.compile(r"@[a-z0-9_]*$")
_NAMED = {"measurement", "descriptor", "finding", "document_field", "comparison"}
"""Kinds whose first word says what they are of."""


@dataclass
class Names:
    """The names of one conversation, in order of arrival. ``kinds``: evidence kind by name."""

    kinds: dict[str, str] = field(default_factory=dict)
    _names: dict[str, str] = field(default_factory=dict)
    _handles: dict[str, str] = field(default_factory=dict)

    def reply(self, text: str) -> str:
        """A tool's reply as the planner reads it: names and words, no number. Lines that are no evidence stay as they are."""
        return "\n".join(self._line(line) for line in text.splitlines())

    def arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """A call's arguments with names in the place of the handles that are known."""
        text = _HANDLE.sub(lambda match: self._names.get(match[0], match[0]), json.dumps(arguments))
        named: dict[str, Any] = json.loads(text)
        return named

    def handles(self, text: str, *, whole: bool = True) -> str:
        """Text that the planner wrote, with handles; unless it is ``whole``, a name at its end may go on and is held back."""
        settled = text if whole else _OPEN_NAME.sub("", text)
        return _NAME.sub(lambda match: self._handles.get(match[0], match[0]), settled)

    def _line(self, line: str) -> str:
        match = _LINE.match(line)
        if match is None:
            return line
        handle, kind, detail = match.groups()
        words = detail.split()
        name = self._names.get(handle) or self._add(handle, kind, words[0] if kind in _NAMED and words else kind)
        return " ".join([name, *_said(kind, words)])

    def _add(self, handle: str, kind: str, of: str) -> str:
        base = re.sub(r"[^a-z0-9_]+", "_", of.lower())[:40]
        count = sum(re.fullmatch(rf"@{base}\d*", name) is not None for name in self.kinds) + 1
        name = f"@{base}" if count == 1 else f"@{base}{count}"
        self.kinds[name], self._names[handle], self._handles[name] = kind, name, handle
        return name


def _said(kind: str, words: list[str]) -> list[str]:
    """The words that may decide what comes next: a term, an impression, an outcome."""
    if kind == "descriptor":
        return words[1:2]
    if kind == "finding":
        return words[1 : words.index("(probability")] if "(probability" in words else words[1:]
    if kind == "rule_outcome":
        return words[1 : words.index("missing")] if "missing" in words else words[1:]
    return []
