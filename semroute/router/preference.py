"""Which model a router prefers, given how likely each tier is good enough."""

from __future__ import annotations

import threading
from bisect import bisect_left, insort
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, runtime_checkable

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.router.catalog import CatalogModel, ModelCatalog

_ENOUGH_SEEN: Final = 200
_REMEMBERED: Final = 2_000


@runtime_checkable
class Preference(Protocol):
    """Chooses among the models of a catalogue; `p_good` says for each tier how likely its answer is good enough."""

    def model(self, catalog: ModelCatalog, p_good: Mapping[int, float]) -> CatalogModel: ...


@dataclass(frozen=True, slots=True)
class GoodEnough:
    """The weakest model that is good enough with a probability of at least `least`, else the likeliest one."""

    least: float = 0.7

    def __post_init__(self) -> None:
        _check_fraction("least", self.least)

    def model(self, catalog: ModelCatalog, p_good: Mapping[int, float]) -> CatalogModel:
        enough = [model for model in catalog if p_good[model.tier] >= self.least]
        return enough[0] if enough else max(catalog, key=lambda model: p_good[model.tier])


@dataclass(frozen=True, slots=True)
class WorthOfQuality:
    """The model whose probability of a good answer, at what such an answer is worth, is most above its price.

    `usd` is the worth of one good answer. A call is reckoned at `input_tokens` and `output_tokens`; a model without a
    price costs nothing.
    """

    usd: float
    input_tokens: int = 500
    output_tokens: int = 250

    def __post_init__(self) -> None:
        given: object = self.usd
        if not isinstance(given, int | float) or isinstance(given, bool) or not 0.0 < self.usd < 1e6:
            raise ConfigError(f"usd={given!r} must be what a good answer is worth, in US dollars, above 0")

    def model(self, catalog: ModelCatalog, p_good: Mapping[int, float]) -> CatalogModel:
        return max(catalog, key=lambda model: self.usd * p_good[model.tier] - self._cost(model))

    def _cost(self, model: CatalogModel) -> float:
        if model.price is None:
            return 0.0
        usd_per_mtok = (
            self.input_tokens * model.price.input_usd_per_mtok + self.output_tokens * model.price.output_usd_per_mtok
        )
        return usd_per_mtok / 1_000_000


class StrongShare:
    """The strongest model for a share of the requests: for those that gain most by it; the weakest for the others.

    How much one must gain follows from what the latest requests would have gained; before there were enough of them,
    from `typical` gains, in ascending order, such as those of the prompts that a router was fitted on. May be shared by
    threads.
    """

    def __init__(self, share: float, typical: Sequence[float] = ()) -> None:
        _check_fraction("share", share)
        self.share = share
        self._typical = tuple(typical)
        self._lock = threading.Lock()
        self._seen: deque[float] = deque()
        self._ascending: list[float] = []

    def __repr__(self) -> str:
        return f"<StrongShare {self.share:g}, {len(self._seen)} requests seen>"

    def of_typical(self, gains: Sequence[float]) -> StrongShare:
        """Return the same with gains of typical prompts, where it has none of its own."""
        return self if self._typical else StrongShare(self.share, gains)

    def model(self, catalog: ModelCatalog, p_good: Mapping[int, float]) -> CatalogModel:
        weakest, strongest = catalog.models[0], catalog.strongest
        gain = p_good[strongest.tier] - p_good[weakest.tier]
        with self._lock:
            least = self._least(self._ascending if len(self._seen) >= _ENOUGH_SEEN else self._typical)
            self._remember(gain)
        return strongest if gain > least else weakest

    def _remember(self, gain: float) -> None:
        self._seen.append(gain)
        insort(self._ascending, gain)
        if len(self._seen) > _REMEMBERED:
            del self._ascending[bisect_left(self._ascending, self._seen.popleft())]

    def _least(self, gains: Sequence[float]) -> float:
        """Return what a request must gain more than; without any gains seen, what is lost by nobody."""
        if not gains:
            return 0.0 if self.share > 0.0 else 1.0
        place = round((1.0 - self.share) * len(gains))
        return 1.0 if place >= len(gains) else gains[place] - 1e-12


def _check_fraction(name: str, value: object) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or not 0.0 <= float(str(value)) <= 1.0:
        raise ConfigError(f"{name}={value!r} must be a fraction from 0 to 1")
