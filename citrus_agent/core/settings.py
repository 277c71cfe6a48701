"""Settings of a run, from arguments and from ``CITRUS_*`` environment variables. Knows nothing of the parts they configure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from citrus_agent.core.errors import ConfigurationError, ResourceError


def default_cache_dir() -> Path:
    """``citrus-agent`` under the XDG cache folder. A relative ``XDG_CACHE_HOME`` is ignored, as the XDG base directory text asks."""
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "citrus-agent"


class Settings(BaseSettings):
    """What a run may use. Arguments win over the environment; an empty variable counts as not set."""

    model_config = SettingsConfigDict(
        env_prefix="CITRUS_", env_ignore_empty=True, frozen=True, extra="forbid", str_strip_whitespace=True, hide_input_in_errors=True
    )

    model: str = Field(default="citrus-v-nano", min_length=1, description="name or folder of the core model")
    planner: str | None = Field(default=None, min_length=1, description="another planner, e.g. openai:MODEL@URL; None: the core model")
    device: str = Field(default="cpu", pattern=r"^(cpu|cuda(:\d+)?|mps|auto)$")
    threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads; None leaves it to torch")
    cache_dir: Path = Field(default_factory=default_cache_dir, description="indexes and checkpoints")
    max_steps: int = Field(default=16, ge=1, description="planner turns")
    max_seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False, description="wall time of a run, s")
    max_tokens: int = Field(default=8192, ge=1, description="tokens that the planner may write in a run")
    tool_timeout: float = Field(default=60.0, gt=0, allow_inf_nan=False, description="wall time of one tool call, s")
    seed: int = Field(default=0, ge=0, lt=2**32)
    max_pixels: int = Field(default=64_000_000, ge=1, description="larger images are refused before they are decoded")
    planner_images: bool = Field(default=True, description="False: the planner reads text only")

    @field_validator("cache_dir")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


def load_settings(**overrides: Any) -> Settings:
    """Settings with ``overrides`` (None: not given); ``ConfigurationError`` names each wrong one and never its value."""
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors(include_input=False))
        raise ConfigurationError(f"mend these settings: {wrong}") from error


def ensure_cache_dir(settings: Settings, *parts: str) -> Path:
    """The cache folder, or a folder in it, made when it is missing and closed to other users."""
    folder = settings.cache_dir.joinpath(*parts)
    if not folder.resolve().is_relative_to(settings.cache_dir.resolve()):
        raise ConfigurationError(f"{'/'.join(parts)!r} leaves the cache folder: name a folder in it")
    try:
        settings.cache_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResourceError(f"the cache folder cannot be made ({error.strerror}): set CITRUS_CACHE_DIR to one that can") from error
    return folder
