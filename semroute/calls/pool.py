"""The models that a routed call chooses from, and what is remembered of their calls."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Self, TypeVar

from semroute.errors import ConfigError
from semroute.router.catalog import CatalogModel, ModelCatalog

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.calls.notices import Notices
    from semroute.router.decision import RoutingDecision
    from semroute.router.outcomes import Outcomes

M = TypeVar("M")


class Failures:
    """Counts the calls that failed, by the model's name."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._counts: Counter[str] = Counter()

    def count(self, name: str) -> None:
        with self._lock:
            self._counts[name] += 1

    def by_model(self) -> dict[str, int]:
        with self._lock:
            return dict(self._counts)


class Decisions:
    """What the router last decided about requests that came before; bounded, the oldest goes first."""

    def __init__(self, limit: int = 1_024) -> None:
        self._limit = limit
        self._lock = Lock()
        self._known: OrderedDict[str, RoutingDecision] = OrderedDict()

    def about(self, key: str) -> RoutingDecision | None:
        with self._lock:
            return self._known.get(key)

    def add(self, key: str, decision: RoutingDecision) -> None:
        with self._lock:
            self._known[key] = decision
            self._known.move_to_end(key)
            if len(self._known) > self._limit:
                self._known.popitem(last=False)


@dataclass(frozen=True, kw_only=True)
class Pool:
    """The models of a catalogue, the cache in front of them, and what holds for all of them."""

    core: SemanticCache
    catalog: ModelCatalog
    group: str | None
    """Named by the application, where the models share their answers."""
    least_tier: int
    outcomes: Outcomes | None
    notices: Notices
    failures: Failures = field(default_factory=Failures)
    decisions: Decisions = field(default_factory=Decisions)

    def __copy__(self) -> Self:
        """A pool is a shared resource, as its cache is."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def failed(self, model: CatalogModel) -> None:
        """Note that a model's provider has failed."""
        self.failures.count(model.name)
        if self.outcomes is not None:
            self.outcomes.note(model.tier, "fell_back")


def check_group(group: object) -> None:
    """Raise ConfigError for what is no name of a group."""
    if group is not None and not (isinstance(group, str) and group.strip()):
        raise ConfigError(f"group must be a name or None, not {group!r}")


def catalog_of(
    models: Mapping[str, M],
    catalog: ModelCatalog | str | Path | None,
    described: Callable[[str, int, M], CatalogModel],
) -> ModelCatalog:
    """Return the catalogue of the models that there are; without one they count as ordered from weak to strong.

    `described` says what is known of a model, by its name and its place in that order. Raises ConfigError.
    """
    if catalog is None:
        return ModelCatalog(tuple(described(name, tier, model) for tier, (name, model) in enumerate(models.items(), 1)))
    given = catalog if isinstance(catalog, ModelCatalog) else ModelCatalog.of(catalog)
    unknown = [name for name in models if name not in given]
    if unknown:
        raise ConfigError(f"the catalogue does not tell of {', '.join(map(repr, unknown))}: it has {given.names}")
    return ModelCatalog(tuple(model for model in given if model.name in models))
