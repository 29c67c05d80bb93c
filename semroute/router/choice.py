"""Which model answers a request: what the decision asks for, among those that can do it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError

if TYPE_CHECKING:
    from semroute.router.catalog import CatalogModel, ModelCatalog, Needs
    from semroute.router.decision import Complexity, RoutingDecision

STRONG_BELOW: Final = 0.5
"""A decision with less confidence goes to the strongest model."""
_SHARE_OF_TIERS: Final[Mapping[Complexity, float]] = {"low": 0.0, "medium": 0.5, "high": 1.0}


@dataclass(frozen=True, slots=True)
class Choice:
    """The model that is called, and those to turn to when its provider fails, in turn."""

    model: CatalogModel
    reason: str
    """For a person."""
    fallbacks: tuple[CatalogModel, ...] = ()

    @property
    def chain(self) -> tuple[CatalogModel, ...]:
        """All of them, in the order in which they are tried."""
        return self.model, *self.fallbacks


def choose(
    catalog: ModelCatalog,
    decision: RoutingDecision | None,
    needs: Needs,
    *,
    named: str | None = None,
    strong_below: float = STRONG_BELOW,
) -> Choice:
    """Choose the model of a request.

    A model that the application has `named` wins. Else the strongest answers errors and what the router is unsure
    of (None stands for one that failed); else the decision's own model where it can do what is needed; else the least
    tier that the complexity asks for. Fallbacks are of the same tier first, then stronger, then weaker ones, never
    below `needs.least_tier`. Raises ConfigError where no model can do what is needed, or the named one cannot.
    """
    able = catalog.able(needs) if named is None else _named(catalog, named, needs)
    if named is not None:
        model, reason = able[0], "named by the application"
    else:
        model, reason = _wanted(catalog, able, decision, needs, strong_below)
    others = [other for other in catalog if other.name != model.name and not needs.lacking(other)]
    return Choice(model, reason, tuple(sorted(others, key=lambda other: _turn(model, other))))


def _named(catalog: ModelCatalog, name: str, needs: Needs) -> tuple[CatalogModel, ...]:
    model = catalog[name]
    lacking = needs.lacking(model)
    if lacking:
        raise ConfigError(f"model {name!r} was named, and lacks {lacking} that this request needs")
    return (model,)


def _short_of(catalog: ModelCatalog, name: str, needs: Needs) -> str:
    if name not in catalog:
        return "is not in the catalogue"
    model = catalog[name]
    is_under = model.tier < needs.least_tier
    return f"is under the floor, tier {needs.least_tier}" if is_under else f"lacks {needs.lacking(model)}"


def _wanted(
    catalog: ModelCatalog,
    able: tuple[CatalogModel, ...],
    decision: RoutingDecision | None,
    needs: Needs,
    strong_below: float,
) -> tuple[CatalogModel, str]:
    strongest = next(model for model in able if model.tier == able[-1].tier)
    if decision is None:
        return strongest, "the router failed"
    if decision.intent == "error":
        return strongest, "intent error"
    # Written so that a confidence that is not a number counts as none.
    if not decision.confidence >= strong_below:
        return strongest, f"confidence {decision.confidence:.2f}, under {strong_below:.2f}"
    chosen = next((model for model in able if model.name == decision.model), None)
    if chosen is not None:
        return chosen, decision.reason or f"chosen by the {decision.origin} router"
    tiers = sorted({model.tier for model in able})
    tier = tiers[round(_SHARE_OF_TIERS[decision.complexity] * (len(tiers) - 1) + 0.01)]
    reason = f"complexity {decision.complexity}"
    if decision.model is not None:
        reason += f" ({decision.model} {_short_of(catalog, decision.model, needs)})"
    return next(model for model in able if model.tier == tier), reason


def _turn(model: CatalogModel, other: CatalogModel) -> tuple[int, int]:
    """Say when a fallback's turn is: the same tier, the nearest stronger one, the nearest weaker one."""
    if other.tier == model.tier:
        return 0, 0
    return (1, other.tier) if other.tier > model.tier else (2, -other.tier)
