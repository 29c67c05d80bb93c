"""Which store a URL or a path names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.stores import Store


def open_store(target: str | Path | None, *, max_entries: int, max_bytes: int, clock: Callable[[], float]) -> Store:
    """Return the store that a URL or a path names; nothing is opened yet. None is the default embedded store.

    Raises ConfigError for a scheme that no store of this release speaks.
    """
    from semroute.stores.embedded import EmbeddedStore

    scheme = target.split("://", 1)[0] if isinstance(target, str) and "://" in target else "sqlite"
    if scheme not in ("sqlite", "memory"):
        raise ConfigError(f"no store speaks {scheme}://; give sqlite:///PATH, memory:// or a path")
    return EmbeddedStore(target, max_entries=max_entries, max_bytes=max_bytes, clock=clock)
