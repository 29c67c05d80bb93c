"""semroute for LangChain: `SemrouteCache` for every model of an app, `cached()` for one with streams and agents."""

from __future__ import annotations

from typing import TYPE_CHECKING

from langchain_semroute.cache import SemrouteCache
from langchain_semroute.cached_model import cached

if TYPE_CHECKING:
    from langchain_semroute.embeddings import LangChainEmbedder
    from langchain_semroute.warming import Warmed, awarm, warm

__all__ = ["LangChainEmbedder", "SemrouteCache", "Warmed", "awarm", "cached", "warm"]


def __getattr__(name: str) -> object:
    """Import what few programs need when it is first asked for."""
    if name == "LangChainEmbedder":
        from langchain_semroute.embeddings import LangChainEmbedder

        return LangChainEmbedder
    if name in ("Warmed", "awarm", "warm"):
        from langchain_semroute import warming

        return getattr(warming, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
