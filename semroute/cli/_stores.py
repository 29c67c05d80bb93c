"""Opening the store that a command names."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from semroute.errors import StoreError
from semroute.stores._sqlite_location import parse_location

if TYPE_CHECKING:
    from semroute.cache import SemanticCache


@contextmanager
def opened(store: str | None, verifier: Path | None = None) -> Iterator[SemanticCache]:
    """Open a cache on a store that is there, for one command.

    A store that was named and does not exist is a slip of the keyboard more often than a wish: StoreError.
    """
    from semroute.cache import SemanticCache

    with SemanticCache(store, verifier=verifier, write="now") as cache:
        path = parse_location(store).path if store is not None else None
        if path is not None and not path.exists():
            raise StoreError(f"there is no store at {path}")
        yield cache


def place_of(cache: SemanticCache, store: str | None) -> str:
    """Say where a cache keeps its answers: the path of a file, or a URL."""
    location = parse_location(cache.settings.store if store is None else store)
    return str(location if location.path is None else location.path)
