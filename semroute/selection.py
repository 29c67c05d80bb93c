"""What an application names to have entries removed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from semroute.entry import Selector
from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.request import Digests


@dataclass(frozen=True, slots=True)
class Selection:
    """Labels by their kind ("tenant", "tag", …), None where one is not named, and an age.

    Raises ConfigError where nothing is named, or an age below zero.
    """

    named: Mapping[str, str | None]
    older_than: timedelta | None = None

    def __post_init__(self) -> None:
        if self.older_than is None and all(value is None for value in self.named.values()):
            raise ConfigError(f"name what to invalidate: {', '.join(self.named)} or older_than; or clear()")
        if self.older_than is not None and self.older_than < timedelta(0):
            raise ConfigError(f"older_than must be a timedelta of at least 0 s, not {self.older_than!r}")

    def selector(self, digests: Digests, now: float) -> Selector:
        """Return the selector of what is named, in a store with these digests."""
        labels = frozenset(digests.label(kind, value) for kind, value in self.named.items() if value is not None)
        return Selector(labels, None if self.older_than is None else now - self.older_than.total_seconds())
