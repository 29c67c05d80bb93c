"""semroute for LlamaIndex: query engines, models and selectors that remember, and documents that make them forget."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from llama_index_semroute.documents import watched
    from llama_index_semroute.embeddings import LlamaIndexEmbedder, SemrouteEmbedding
    from llama_index_semroute.events import SemrouteLookupEvent
    from llama_index_semroute.query_engine import SemanticCacheQueryEngine

__all__ = [
    "LlamaIndexEmbedder",
    "SemanticCacheQueryEngine",
    "SemrouteEmbedding",
    "SemrouteLookupEvent",
    "watched",
]

_WHERE: Final = {
    "LlamaIndexEmbedder": "embeddings",
    "SemanticCacheQueryEngine": "query_engine",
    "SemrouteEmbedding": "embeddings",
    "SemrouteLookupEvent": "events",
    "watched": "documents",
}


def __getattr__(name: str) -> object:
    """Import a part when it is first asked for: LlamaIndex takes a while."""
    if name in _WHERE:
        return getattr(import_module(f"llama_index_semroute.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
