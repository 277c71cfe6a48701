"""The model room: Citrus-V's heads and planner. Knows no tool, no guideline and no graph."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from citrus_agent.model.registry import CitrusModel, load_model

__all__ = ["CitrusModel", "load_model"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from citrus_agent.model import registry

        return getattr(registry, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
