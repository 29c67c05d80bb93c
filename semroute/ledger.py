"""What was spent on models, and what was saved: by hits, and by asking a weaker model than the strongest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Self

from semroute.entry import Usage
from semroute.result import Hit
from semroute.router.catalog import ModelCatalog
from semroute.telemetry import CallEvent, LookupEvent

if TYPE_CHECKING:
    from semroute.entry import JSON, Answer
    from semroute.prices import Price
    from semroute.request import Request
    from semroute.result import Saved
    from semroute.telemetry import Event

OTHERS: Final = "(others)"
"""Stands for every tenant after the first `MOST_TENANTS`."""
MOST_TENANTS: Final = 1_000
_CHARS_PER_TOKEN: Final = 4.0
"""An estimate for English prose; used where the provider told no usage."""


@dataclass(frozen=True, slots=True)
class Costs:
    """Sums in US dollars, and how far they can be relied on."""

    calls: int = 0
    """Calls of models."""
    hits: int = 0
    spent_usd: float = 0.0
    saved_by_hits_usd: float = 0.0
    """What the calls had cost whose answers were served again."""
    saved_by_routing_usd: float = 0.0
    """What the strongest model of the catalogue would have cost, less what the chosen ones did."""
    estimated_usd: float = 0.0
    """Part of `spent_usd` that rests on estimated tokens, because the provider told none."""
    unpriced: int = 0
    """Calls and hits whose model has no price: they are in none of the sums."""

    def __add__(self, other: Costs) -> Costs:
        return Costs(*[getattr(self, each.name) + getattr(other, each.name) for each in fields(Costs)])

    @property
    def is_estimate(self) -> bool:
        """Whether any of it is no more than an estimate."""
        return self.estimated_usd > 0.0

    @property
    def saved_usd(self) -> float:
        return self.saved_by_hits_usd + self.saved_by_routing_usd

    def as_dict(self) -> dict[str, JSON]:
        return {each.name: getattr(self, each.name) for each in fields(self)}


class CostLedger:
    """Keeps the costs of each tenant and model; a listener, told every event by its cache.

    `prices` are by the names of the models; `strongest` is that of the model that would be asked without a router.
    """

    def __init__(self, prices: Mapping[str, Price] | None = None, strongest: Price | None = None) -> None:
        self.prices: Mapping[str, Price] = {} if prices is None else dict(prices)
        self._strongest = strongest
        self._lock = threading.Lock()
        self._costs: dict[tuple[str | None, str | None], Costs] = {}
        self._tenants: set[str | None] = {OTHERS}

    @classmethod
    def of(cls, prices: Mapping[str, Price] | ModelCatalog | None) -> Self:
        """Take prices by model, or a catalogue, whose strongest model routing is held against."""
        return cls(prices.prices, prices.strongest.price) if isinstance(prices, ModelCatalog) else cls(prices)

    def on(self, event: Event) -> None:
        match event:
            case LookupEvent(Hit(answer, explanation), _, scope) if explanation.saved is not None:
                self._add(scope.tenant, answer.model, _saving(explanation.saved))
            case CallEvent(request, answer):
                self._add(request.scope.tenant, answer.model, self._call(request, answer))
            case _:
                pass

    def total(self) -> Costs:
        """Return the sum over everything."""
        with self._lock:
            return sum(self._costs.values(), Costs())

    def by_tenant(self) -> dict[str | None, Costs]:
        """Return the costs of each tenant; None is for requests without one, `OTHERS` for those of too many."""
        return self._grouped(lambda key: key[0])

    def by_model(self) -> dict[str | None, Costs]:
        """Return the costs of each model; hits count for the model that had answered."""
        return self._grouped(lambda key: key[1])

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._costs.clear()
            self._tenants = {OTHERS}

    def _grouped(self, by: Callable[[tuple[str | None, str | None]], str | None]) -> dict[str | None, Costs]:
        grouped: dict[str | None, Costs] = {}
        with self._lock:
            for key, costs in self._costs.items():
                grouped[by(key)] = grouped.get(by(key), Costs()) + costs
        return grouped

    def _add(self, tenant: str | None, model: str | None, costs: Costs) -> None:
        with self._lock:
            if tenant not in self._tenants:
                if len(self._tenants) > MOST_TENANTS:
                    tenant = OTHERS
                self._tenants.add(tenant)
            self._costs[tenant, model] = self._costs.get((tenant, model), Costs()) + costs

    def _call(self, request: Request, answer: Answer) -> Costs:
        usage = _estimated(request, answer) if answer.usage is None else answer.usage
        price = None if answer.model is None else self.prices.get(answer.model)
        usd = answer.usd if answer.usd is not None or price is None else price.of(usage)
        if usd is None:
            return Costs(calls=1, unpriced=1)
        spared = self._strongest.of(usage) - usd if request.is_routed and self._strongest is not None else 0.0
        estimated = usd if answer.usd is None and answer.usage is None else 0.0
        return Costs(calls=1, spent_usd=usd, saved_by_routing_usd=spared, estimated_usd=estimated)

    def __repr__(self) -> str:
        costs = self.total()
        mark = "about " if costs.is_estimate else ""
        return (
            f"<CostLedger {costs.calls} calls, {mark}${costs.spent_usd:.4f} spent,"
            f" ${costs.saved_by_hits_usd:.4f} saved by hits, ${costs.saved_by_routing_usd:.4f} by routing>"
        )

    def _repr_html_(self) -> str:
        from semroute.display import ledger_page

        return ledger_page(self)


def _saving(saved: Saved) -> Costs:
    return Costs(hits=1, unpriced=1) if saved.usd is None else Costs(hits=1, saved_by_hits_usd=saved.usd)


def _estimated(request: Request, answer: Answer) -> Usage:
    asked = len(request.context) + len(request.query)
    return Usage(round(asked / _CHARS_PER_TOKEN), round(len(answer.text) / _CHARS_PER_TOKEN))
