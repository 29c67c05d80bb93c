"""Stand-in models for replays: they answer from the stream, and state what their calls cost and take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from semroute.entry import Usage
from semroute.prices import Price
from semroute.result import Saved
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.learned import SHIPPED, LearnedRouter
from semroute.router.rules import RuleRouter

if TYPE_CHECKING:
    from semroute.cli.stream import Row
    from semroute.cli.tokens import TokenCounter
    from semroute.entry import JSON
    from semroute.router import Router

ROUTED: Final = "small"
"""What a stream's requests name that leave the choice of the model to the router; it is what they name by default."""
TOKENS_A_MESSAGE = 4
"""What a chat format adds to each message."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a stand-in model states about itself; its time is accounted for and not spent."""

    price: Price
    first_token_s: float
    output_tokens_per_s: float
    tier: int = 1

    def seconds(self, usage: Usage) -> float:
        """Return how long such a call takes."""
        return self.first_token_s + usage.output_tokens / self.output_tokens_per_s

    def as_dict(self) -> dict[str, JSON]:
        return {
            "tier": self.tier,
            "input_usd_per_mtok": self.price.input_usd_per_mtok,
            "output_usd_per_mtok": self.price.output_usd_per_mtok,
            "first_token_s": self.first_token_s,
            "output_tokens_per_s": self.output_tokens_per_s,
        }


TERMS: Mapping[str, Terms] = {
    "small": Terms(Price(0.15, 0.60), first_token_s=0.4, output_tokens_per_s=80.0),
    "large": Terms(Price(2.50, 10.00), first_token_s=0.7, output_tokens_per_s=50.0, tier=2),
}
"""Made up to be ordinary: the list prices and speeds of a small and a large hosted model."""


def terms_of(model: str) -> Terms:
    """Return the terms of a model of the stream; one that is neither counts as small, so that no saving is inflated."""
    return TERMS.get(model, TERMS["small"])


def catalog_of(models: Iterable[str] = TERMS) -> ModelCatalog:
    """Return the catalogue of the models of a stream: the two stand-ins, or whatever it names."""
    terms = {name: terms_of(name) for name in sorted(set(models))}
    return ModelCatalog(tuple(CatalogModel(name, each.tier, each.price) for name, each in terms.items()))


def router_of_stand_ins() -> Router:
    """Return the router that chooses between the stand-ins: the learned one, or the rules where none ships."""
    return LearnedRouter(catalog_of()) if SHIPPED.is_file() else RuleRouter()


@dataclass(slots=True)
class Accountant:
    """Says what a call of the stand-in consumes."""

    counter: TokenCounter
    _known: dict[str, int] = field(default_factory=dict)

    def usage(self, row: Row) -> Usage:
        """Return the tokens of a call that answers the row."""
        turns = [row.query, *(turn.content for turn in row.history), *([row.system] if row.system else [])]
        return Usage(sum(self._tokens(turn) + TOKENS_A_MESSAGE for turn in turns), self._tokens(row.answer_text))

    def saved(self, row: Row) -> Saved:
        """Return what a call spares that need not be made."""
        usage, terms = self.usage(row), terms_of(row.model)
        return Saved(usage.total_tokens, terms.price.of(usage), terms.seconds(usage))

    def _tokens(self, text: str) -> int:
        if text not in self._known:
            self._known[text] = self.counter.count(text)
        return self._known[text]
