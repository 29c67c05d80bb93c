"""Opening the stores that a command names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from semroute.errors import StoreError
from semroute.stores.urls import path_of, place_of

if TYPE_CHECKING:
    from semroute.cache import SemanticCache


@contextmanager
def opened(stores: Sequence[str] | None, verifier: Path | None = None) -> Iterator[SemanticCache]:
    """Open a cache on stores that are there, for one command.

    A store that was named and does not exist is a slip of the keyboard more often than a wish: StoreError.
    """
    from semroute.cache import SemanticCache

    with SemanticCache(*([] if stores is None else stores), verifier=verifier, write="now") as cache:
        check_there([] if stores is None else stores)
        yield cache


def check_there(stores: Sequence[str]) -> None:
    """Raise StoreError for a file that does not exist."""
    for store in stores:
        path = path_of(store)
        if path is not None and not path.exists():
            raise StoreError(f"there is no store at {path}")


def places_of(cache: SemanticCache, stores: Sequence[str] | None) -> str:
    """Say where a cache keeps its answers: the path of a file, or a URL, or several."""
    named = stores if stores else cache.settings.stores
    return ", ".join(map(place_of, named)) if named else place_of(None)
