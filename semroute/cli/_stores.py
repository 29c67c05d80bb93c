"""Opening the stores that a command names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.cli._output import UsageError
from semroute.errors import ConfigError, StoreError
from semroute.stores.urls import path_of, place_of

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.guards.verifier import Verifier

_HEAD: Final = b"SQLite format 3\x00"


@contextmanager
def opened(stores: Sequence[str] | None, verifier: Path | None = None) -> Iterator[SemanticCache]:
    """Open a cache on stores that are there, for one command.

    A store that was named and does not exist is a slip of the keyboard more often than a wish: StoreError.
    """
    from semroute.cache import SemanticCache

    own = None if verifier is None else _verifier(verifier)
    with SemanticCache(*([] if stores is None else stores), verifier=own, write="now") as cache:
        check_there([] if stores is None else stores)
        yield cache


def _verifier(path: Path) -> Verifier:
    """Load the verifier of --verifier; raises UsageError."""
    from semroute.guards.verifier import Verifier

    try:
        return Verifier.load(path)
    except ConfigError as error:
        raise UsageError(f"--verifier: {error}") from error


def check_there(stores: Sequence[str]) -> None:
    """Raise StoreError for a file that does not exist, or that is none of a store."""
    for store in stores:
        path = path_of(store)
        if path is not None and not path.exists():
            raise StoreError(f"there is no store at {path}")
    check_kind(stores)


def check_kind(stores: Sequence[str] | None) -> None:
    """Raise StoreError for a file of another kind, which a store would move aside to begin anew in its place."""
    for store in stores or ():
        path = path_of(store)
        if path is not None and path.is_file() and not _may_be_store(path):
            raise StoreError(f"{path} is no store but a file of another kind, and is left as it is: name another place")


def _may_be_store(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_HEAD)) in (b"", _HEAD)
    except OSError:  # opening the store says why
        return True


def places_of(cache: SemanticCache, stores: Sequence[str] | None) -> str:
    """Say where a cache keeps its answers: the path of a file, or a URL, or several."""
    named = stores if stores else cache.settings.stores
    return ", ".join(map(place_of, named)) if named else place_of(None)
