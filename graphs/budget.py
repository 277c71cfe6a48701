"""What a run may use, and whether it is used up. Knows no node and no clock: it is told what was spent."""

from __future__ import annotations

import math
from dataclasses import dataclass

from citrus_agent.core.errors import BudgetExceeded
from citrus_agent.core.settings import Settings


@dataclass(frozen=True)
class Budget:
    """Limits of one run, a resumed run counted as one.

    ``steps`` are planner turns, ``seconds`` the wall time inside nodes, ``tokens`` what the planner wrote as its
    ``usage_metadata`` says (a planner that reports none is held by steps and seconds only).
    """

    steps: int = 16
    seconds: float = 300.0
    tokens: int = 8192

    @classmethod
    def from_settings(cls, settings: Settings) -> Budget:
        """The limits that the settings give."""
        return cls(settings.max_steps, settings.max_seconds, settings.max_tokens)

    def check(self, steps: int, seconds: float, tokens: int) -> None:
        """Raise ``BudgetExceeded`` for the first limit that is reached; its ``budget`` is steps, seconds or tokens."""
        for name, limit, used in (("steps", self.steps, steps), ("seconds", self.seconds, seconds), ("tokens", self.tokens, tokens)):
            if used >= limit:
                raise exceeded(name, limit)

    def left(self, seconds: float) -> float:
        """Seconds that remain, never below zero."""
        return max(self.seconds - seconds, 0.0)


def exceeded(name: str, limit: float) -> BudgetExceeded:
    """The error for a used-up limit."""
    return BudgetExceeded(f"the run used up its {limit:g} {name}: raise CITRUS_MAX_{name.upper()} and resume, or take what there is", name)


UNLIMITED = Budget(steps=2**31, seconds=math.inf, tokens=2**31)
