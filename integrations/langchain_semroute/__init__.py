"""semroute for LangChain: a cache for every model of an app, `cached()` for one, `RoutedModel` for one of several."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from langchain_semroute.cache import SemrouteCache
from langchain_semroute.cached_model import cached

if TYPE_CHECKING:
    from langchain_semroute.chains import CachedChain, cached_chain
    from langchain_semroute.embeddings import LangChainEmbedder
    from langchain_semroute.middleware import SemrouteMiddleware
    from langchain_semroute.routed_model import RoutedModel
    from langchain_semroute.structured import StructuredModel
    from langchain_semroute.warming import Warmed, awarm, warm

__all__ = [
    "CachedChain",
    "LangChainEmbedder",
    "RoutedModel",
    "SemrouteCache",
    "SemrouteMiddleware",
    "StructuredModel",
    "Warmed",
    "awarm",
    "cached",
    "cached_chain",
    "warm",
]

_WHERE: Final = {
    "CachedChain": "chains",
    "LangChainEmbedder": "embeddings",
    "RoutedModel": "routed_model",
    "SemrouteMiddleware": "middleware",
    "StructuredModel": "structured",
    "Warmed": "warming",
    "awarm": "warming",
    "cached_chain": "chains",
    "warm": "warming",
}


def __getattr__(name: str) -> object:
    """Import what few programs need when it is first asked for."""
    if name in _WHERE:
        try:
            return getattr(import_module(f"langchain_semroute.{_WHERE[name]}"), name)
        except ModuleNotFoundError as missing:
            if missing.name != "langchain":
                raise
            raise ImportError(f"{name} is for agents of the package langchain: pip install langchain") from missing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
