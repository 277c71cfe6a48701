"""Tool: guideline passages for a query. Knows no index: the retriever comes by constructor."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, Field

from citrus_agent.core.case import Case
from citrus_agent.core.evidence import Evidence
from citrus_agent.core.protocols import Retriever, SearchFilter
from citrus_agent.tools.base import CitrusTool, ToolArguments

MAX_QUERY = 400


class SearchArguments(ToolArguments):
    """Arguments of ``search_guidelines``."""

    query: str = Field(min_length=1, max_length=MAX_QUERY, description="what to look up, in a few words")
    k: Annotated[int, Field(ge=1, le=10, description="how many passages at most")] = 3
    guideline: str | None = Field(default=None, min_length=1, max_length=100, description="only this guideline, for example birads_us_2013")


class SearchGuidelines(CitrusTool):
    """Passages, best first; none is an answer, not an error."""

    name: str = "search_guidelines"
    description: str = "Search the guideline library; returns cited passages, best first, or nothing when it holds nothing on the matter."
    args_schema: type[BaseModel] = SearchArguments
    retriever: Retriever

    def __init__(self, retriever: Retriever, **fields: Any) -> None:
        super().__init__(retriever=retriever, **fields)

    def work(self, case: Case, query: str, k: int = 3, guideline: str | None = None) -> list[Evidence]:  # type: ignore[override]
        """At most ``k`` passages."""
        found: list[Evidence] = [*self.retriever.search(query, k, SearchFilter(guideline=guideline))]
        return found[:k]
