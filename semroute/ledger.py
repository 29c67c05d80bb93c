"""What was spent on models, and what was saved: by hits, and by asking a weaker model than the strongest."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Final, Self, TypeAlias

from semroute.entry import Usage
from semroute.result import Hit
from semroute.router.catalog import ModelCatalog
from semroute.telemetry import CallEvent, LookupEvent

if TYPE_CHECKING:
    from semroute.entry import JSON, Answer
    from semroute.prices import Price
    from semroute.request import Request
    from semroute.telemetry import Event

OTHERS: Final = "(others)"
"""Stands for every tenant and model after the first `MOST_ACCOUNTS` pairs of them."""
MOST_ACCOUNTS: Final = 1_000
_CHARS_PER_TOKEN: Final = 4.0
"""An estimate for English prose; used where the provider told no usage."""


_Key: TypeAlias = tuple[str | None, str | None]


@dataclass(slots=True)
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

    def add(self, other: Costs) -> None:
        for each in fields(Costs):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))

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
        self._accounts: dict[_Key, Costs] = {}

    @classmethod
    def of(cls, prices: Mapping[str, Price] | ModelCatalog | None) -> Self:
        """Take prices by model, or a catalogue, whose strongest model routing is held against."""
        return cls(prices.prices, prices.strongest.price) if isinstance(prices, ModelCatalog) else cls(prices)

    def on(self, event: Event) -> None:
        if isinstance(event, LookupEvent):
            hit = event.result
            if isinstance(hit, Hit) and hit.explanation.saved is not None:
                self._note_hit(self._account(event.scope.tenant, hit.answer.model), hit.explanation.saved.usd)
        elif isinstance(event, CallEvent):
            self._note_call(event.request, event.answer)

    def total(self) -> Costs:
        """Return the sum over everything."""
        return self._sums(lambda _: None).get(None, Costs())

    def by_tenant(self) -> dict[str | None, Costs]:
        """Return the costs of each tenant; None is for requests without one, `OTHERS` for those of too many."""
        return self._sums(lambda key: key[0])

    def by_model(self) -> dict[str | None, Costs]:
        """Return the costs of each model; hits count for the model that had answered."""
        return self._sums(lambda key: key[1])

    def reset(self) -> None:
        """Begin anew."""
        with self._lock:
            self._accounts.clear()

    def _sums(self, by: Callable[[_Key], str | None]) -> dict[str | None, Costs]:
        sums: dict[str | None, Costs] = {}
        with self._lock:
            for key, costs in self._accounts.items():
                sums.setdefault(by(key), Costs()).add(costs)
        return sums

    def _account(self, tenant: str | None, model: str | None) -> Costs:
        """Return the costs of a tenant and model, to be added to under the lock."""
        account = self._accounts.get((tenant, model))
        if account is None:
            with self._lock:
                if len(self._accounts) >= MOST_ACCOUNTS:
                    tenant = model = OTHERS
                account = self._accounts.setdefault((tenant, model), Costs())
        return account

    def _note_hit(self, account: Costs, usd: float | None) -> None:
        with self._lock:
            account.hits += 1
            if usd is None:
                account.unpriced += 1
            else:
                account.saved_by_hits_usd += usd

    def _note_call(self, request: Request, answer: Answer) -> None:
        account = self._account(request.scope.tenant, answer.model)
        usage = _estimated(request, answer) if answer.usage is None else answer.usage
        price = None if answer.model is None or usage is None else self.prices.get(answer.model)
        usd = answer.usd if answer.usd is not None or price is None or usage is None else price.of(usage)
        with self._lock:
            account.calls += 1
            if usd is None:
                account.unpriced += 1
                return
            account.spent_usd += usd
            if answer.usd is None and answer.usage is None:
                account.estimated_usd += usd
            if request.is_routed and self._strongest is not None and usage is not None:
                account.saved_by_routing_usd += self._strongest.of(usage) - usd

    def __repr__(self) -> str:
        costs = self.total()
        mark = "about " if costs.is_estimate else ""
        unpriced = f"; {costs.unpriced} calls and hits without a price" if costs.unpriced else ""
        return (
            f"<CostLedger {costs.calls} calls, {mark}${costs.spent_usd:.4f} spent,"
            f" ${costs.saved_by_hits_usd:.4f} saved by hits, ${costs.saved_by_routing_usd:.4f} by routing{unpriced}>"
        )

    def _repr_html_(self) -> str:
        from semroute.display import ledger_page

        return ledger_page(self)


def _estimated(request: Request, answer: Answer) -> Usage | None:
    """Return about how many tokens a call took; None where most of the prompt were documents that nobody sees here."""
    if request.corpora:
        return None
    asked = len(request.context) + len(request.query)
    return Usage(round(asked / _CHARS_PER_TOKEN), round(len(answer.text) / _CHARS_PER_TOKEN))
