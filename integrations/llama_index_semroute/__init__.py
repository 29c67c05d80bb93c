"""semroute for LlamaIndex: query engines, models and selectors that remember, and documents that make them forget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llama_index_semroute._selections import SelectorDecision, SemrouteSelection
    from llama_index_semroute.cached_llm import cached
    from llama_index_semroute.documents import version_of, watched
    from llama_index_semroute.embeddings import LlamaIndexEmbedder, SemrouteEmbedding
    from llama_index_semroute.events import SemrouteLookupEvent
    from llama_index_semroute.query_engine import SemanticCacheQueryEngine
    from llama_index_semroute.routed_llm import RoutedLLM
    from llama_index_semroute.selector import SemrouteSelector
    from llama_index_semroute.structured import StructuredModel

__all__ = [
    "LlamaIndexEmbedder",
    "RoutedLLM",
    "SelectorDecision",
    "SemanticCacheQueryEngine",
    "SemrouteEmbedding",
    "SemrouteLookupEvent",
    "SemrouteSelection",
    "SemrouteSelector",
    "StructuredModel",
    "cached",
    "version_of",
    "watched",
]

_WHERE: Final = {
    "LlamaIndexEmbedder": "embeddings",
    "RoutedLLM": "routed_llm",
    "SelectorDecision": "_selections",
    "SemanticCacheQueryEngine": "query_engine",
    "SemrouteEmbedding": "embeddings",
    "SemrouteLookupEvent": "events",
    "SemrouteSelection": "_selections",
    "SemrouteSelector": "selector",
    "StructuredModel": "structured",
    "cached": "cached_llm",
    "version_of": "documents",
    "watched": "documents",
}


def __getattr__(name: str) -> object:
    """Import a part when it is first asked for: LlamaIndex takes a while."""
    if name in _WHERE:
        try:
            return getattr(import_module(f"llama_index_semroute.{_WHERE[name]}"), name)
        except ModuleNotFoundError as missing:
            if missing.name is None or not missing.name.startswith("llama_index") or "semroute" in missing.name:
                raise
            raise ImportError(f"{name} needs LlamaIndex: pip install 'semroute-cache[llama-index]'") from missing
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
