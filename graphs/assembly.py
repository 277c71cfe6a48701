"""Builds everything from settings: the one place that names concrete classes. Knows no file of a study and runs nothing.

Heavy libraries are imported when a part is built, not when this module is.
"""

from __future__ import annotations

import logging
import os
import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.tools import BaseTool

from citrus_agent.core.errors import ConfigurationError, ResourceError
from citrus_agent.core.settings import Settings
from citrus_agent.core.trace import TraceHeader

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver

    from citrus_agent.graphs.consult import ConsultGraph

PACKAGES = ("citrus-agent", "langgraph", "langchain-core", "torch", "transformers", "numpy", "pydantic", "chromadb", "monai")
_SERVED = re.compile(r"openai:(?P<model>.+?)@(?P<url>https?://.+)")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assembly:
    """All parts of a consultation. ``digests``: sha256 by part, for the trace's header."""

    settings: Settings
    tools: Mapping[str, BaseTool]
    planner: BaseChatModel
    model_name: str
    digest: str | None = None
    digests: Mapping[str, str] = field(default_factory=dict)
    library: Any = None
    simulated: bool = False

    def graph(self, checkpointer: BaseCheckpointSaver[Any] | None = None) -> ConsultGraph:
        """The workflow ``consult`` of these parts."""
        from citrus_agent.graphs.budget import Budget
        from citrus_agent.graphs.consult import build_consult_graph

        return build_consult_graph(
            self.planner,
            list(self.tools.values()),
            budget=Budget.from_settings(self.settings),
            tool_timeout=self.settings.tool_timeout,
            images=self.settings.planner_images,
            model=self.model_name,
            model_digest=self.digest,
            simulated=self.simulated,
            checkpointer=checkpointer,
        )

    def header(self, *, simulated: bool = False) -> TraceHeader:
        """Header of a new trace. ``simulated``: the study is."""
        return TraceHeader(
            run_id=uuid4().hex,
            versions=versions(),
            seeds={"run": self.settings.seed},
            configuration=public_configuration(self.settings),
            models=dict(self.digests),
            simulated=simulated or self.simulated,
        )


def assemble(settings: Settings, planner: BaseChatModel | None = None) -> Assembly:
    """Build the parts that the settings name.

    Args:
        settings: model, planner, device, limits.
        planner: a chat model of the caller's own; it goes before ``settings.planner``.
    """
    from citrus_agent.knowledge import open_library

    model = _load_model(settings)
    library = open_library(settings.cache_dir, model.sentences)
    own = planner is None and settings.planner is None
    chat = planner if planner is not None else _planner(settings, model)
    return Assembly(
        settings=settings,
        tools={tool.name: tool for tool in _tools_of(model, library)},
        planner=chat,
        model_name=model.name if own else f"{model.name}, planner {planner_name(settings, planner)}",
        digest=model.digest,
        digests={**model.digests, "library": library.digest},
        library=library,
        simulated=model.simulated or bool(getattr(chat, "simulated", False)),
    )


def build_tools(settings: Settings) -> tuple[Any, list[BaseTool]]:
    """The model and all tools, those of other packages included, without a planner."""
    from citrus_agent.knowledge import open_library

    model = _load_model(settings)
    return model, _tools_of(model, open_library(settings.cache_dir, model.sentences))


def _load_model(settings: Settings) -> Any:
    from citrus_agent.model import load_model

    if settings.threads is not None:
        import torch

        torch.set_num_threads(settings.threads)
    return load_model(settings.model, settings.device)


def _tools_of(model: Any, library: Any) -> list[BaseTool]:
    from citrus_agent.tools.registry import ToolParts, build_tools, third_party_tools

    others = third_party_tools()
    for problem in others.problems:
        _log.warning("%s", problem)
    return [*build_tools(ToolParts(model.detector, model.segmenter, model.classifier, library, library)), *others.tools]


def planner_name(settings: Settings, planner: BaseChatModel | None) -> str:
    """How reports and headers name the planner: never its address."""
    if planner is not None:
        return type(planner).__name__
    return (settings.planner or settings.model).partition("@")[0]


def _planner(settings: Settings, model: Any) -> BaseChatModel:
    if settings.planner is None:
        chat: BaseChatModel = model.chat
        return chat
    return open_planner(settings.planner)


def open_planner(name: str) -> BaseChatModel:
    """``openai:MODEL@URL`` for a served endpoint, else ``provider:model`` as LangChain's ``init_chat_model`` takes it."""
    if served := _SERVED.fullmatch(name):
        from langchain_openai import ChatOpenAI

        key = os.environ.get("OPENAI_API_KEY", "none")  # local servers want some key and look at none
        return ChatOpenAI(model=served["model"], base_url=served["url"], api_key=lambda: key)
    provider, colon, rest = name.partition(":")
    if not (provider and colon and rest):
        raise ConfigurationError(f"the planner {name!r} is neither openai:MODEL@URL nor PROVIDER:MODEL: name one of these")
    from langchain.chat_models import init_chat_model

    try:
        return init_chat_model(name)
    except ImportError as error:
        raise ResourceError(f"the planner {name!r} needs a package that is not installed: pip install langchain-{provider}") from error
    except Exception as error:  # each provider's package refuses in its own way
        raise ConfigurationError(f"the planner {name!r} cannot be opened ({type(error).__name__}): check its name and its key") from error


def versions() -> dict[str, str]:
    """Versions of what takes part, as installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def public_configuration(settings: Settings) -> dict[str, Any]:
    """The settings as a trace may show them: no folder of this machine, no address with a password."""
    shown: dict[str, Any] = settings.model_dump(mode="json", exclude={"cache_dir"})
    shown["model"] = re.split(r"[\\/]", settings.model.rstrip("\\/"))[-1]
    if served := _SERVED.fullmatch(settings.planner or ""):
        shown["planner"] = f"openai:{served['model']}@{urlsplit(served['url']).hostname}"
    return shown
