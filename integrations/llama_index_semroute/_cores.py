"""The core's cache, whatever names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from pydantic import BaseModel

from semroute.cache import SemanticCache
from semroute.errors import ConfigError

CacheLike: TypeAlias = SemanticCache | str | Path | None
"""A core cache, a store's URL or path, or None for the default store; a LangChain cache lends its core."""


def core_of(cache: object) -> SemanticCache:
    """Return the core's cache; raises ConfigError for what names none."""
    match cache:
        case SemanticCache():
            return cache
        case None:
            return SemanticCache()
        case str() | Path():
            return SemanticCache(cache)
    core = getattr(cache, "core", None)
    if isinstance(core, SemanticCache):
        return core
    raise ConfigError(f"cache must be a SemanticCache or a store's URL, not {cache!r}")


def checked_pieces(characters: int) -> int:
    """Return how long the pieces of a replayed stream are, or raise ConfigError for what is no length."""
    if isinstance(characters, bool) or characters < 1:
        raise ConfigError(f"replay_chunk_chars must be a whole number of at least 1, not {characters!r}")
    return characters


def checked_name(what: str, name: object) -> None:
    """Raise ConfigError for what is no name, and is not left out."""
    if name is not None and not (isinstance(name, str) and name.strip()):
        raise ConfigError(f"{what} must be a name, or None for none, not {name!r}")


def check_settings(kind: type[BaseModel], settings: Mapping[str, object]) -> None:
    """Raise TypeError for settings that a class does not have: pydantic would pass over them."""
    unknown = sorted(settings.keys() - kind.model_fields.keys() - {"class_name"})
    if unknown:
        raise TypeError(f"{kind.__name__}() got unexpected arguments: {', '.join(unknown)}")
