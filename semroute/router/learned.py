"""The learned router: decisions, with a calibrated confidence, from the vector that the semantic tier needs anyway."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from semroute.errors import ConfigError
from semroute.router._file import RouterFile
from semroute.router.catalog import ModelCatalog
from semroute.router.decision import Intent, RoutingDecision, Staleness
from semroute.router.preference import GoodEnough, Preference, StrongShare
from semroute.router.rules import decide

if TYPE_CHECKING:
    from collections.abc import Mapping

    from semroute.entry import FloatVector
    from semroute.request import Request
    from semroute.router._heads import Prediction
    from semroute.router.catalog import CatalogModel, Models
    from semroute.router.outcomes import Outcomes

SHIPPED: Final = Path(__file__).with_name("learned.json")
"""The router that ships; `learned_card.md` beside it says what it was fitted on and how it scored."""
_SAFE: Final = 0.8
"""How probable it must be that an answer never changes, for it to be kept as long as such answers are."""
_AS_LONG: Final[Mapping[Staleness, tuple[Staleness, ...]]] = {
    "timeless": ("timeless",),
    "slow": ("timeless", "slow"),
    "daily": ("timeless", "slow", "daily"),
}
"""What the truth may be where an answer is kept for so long."""


class LearnedRouter:
    """Routes by what it has learnt of labelled prompts; see `semroute router train` for one of your own.

    The rules stand beside it: it never gives an answer a longer life than they do, what they take for an error is one,
    and where a text has no vector they decide, the model's choice excepted. Its confidence is the probability that no
    answer is kept for longer than it is right.

    With a `catalog` it chooses the model too, as `preference` says: the weakest that is good enough, a share of
    requests for the strongest (`StrongShare`), or the best for its price (`WorthOfQuality`). Tiers of the catalogue
    are those it was fitted on where their names are the same, else the weakest and the strongest of both are, and
    those between lie evenly. `outcomes` move its estimates.
    """

    def __init__(
        self,
        catalog: ModelCatalog | Models | str | Path | None = None,
        *,
        file: str | Path | None = None,
        preference: Preference | None = None,
        outcomes: Outcomes | None = None,
    ) -> None:
        """Take a catalogue, or what `ModelCatalog.of` makes one of; raises ConfigError.

        `file` is one of `semroute router train`, None the one that ships; it is not read yet.
        """
        self.catalog = catalog if catalog is None or isinstance(catalog, ModelCatalog) else ModelCatalog.of(catalog)
        if preference is not None and not isinstance(preference, Preference):
            raise ConfigError(f"preference must be one, such as GoodEnough(0.7), not {preference!r}")
        self.outcomes = outcomes
        self._path = SHIPPED if file is None else Path(file)
        self._given_preference = preference

    def __repr__(self) -> str:
        return f"<LearnedRouter {self._path.name}>"

    @property
    def name(self) -> str:
        return "learned"

    @cached_property
    def fitted(self) -> RouterFile:
        """What it has learnt; raises ConfigError where the file cannot be read.

        A file that was fitted on labels of one kind only has half of a router: the other half is the one that ships,
        where that is for the same embedder.
        """
        file = RouterFile.read(self._path)
        if file.is_whole:
            return file
        shipped = RouterFile.read(SHIPPED)
        return file.completed(shipped) if shipped.embedder == file.embedder else file

    @property
    def embedder(self) -> str:
        """Identity of the embedder whose vectors it needs; raises ConfigError."""
        return self.fitted.embedder

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        """Decide about a request. Raises ConfigError where the file cannot be read, RouterError for no such vector."""
        rules = decide(request.query)
        heads = self.fitted.heads
        model, why = self._model(request.query, vector)
        if heads is None or vector is None:
            return rules.model_copy(update={"model": model, "reason": "; ".join(filter(None, (rules.reason, why)))})
        said = heads.predict(vector, request.query, rules)
        # What merely speaks of an error, and shows none, is a question like any other.
        intent: Intent = "retrieval" if said.intent == "error" != rules.intent else said.intent
        staleness, confidence = _life(said, intent)
        reason = rules.reason if staleness == rules.staleness else f"learned: {staleness}"
        return RoutingDecision.model_construct(
            intent=intent,
            complexity=said.complexity,
            model=model,
            cache_strategy="bypass" if staleness == "realtime" else "standard",
            staleness=staleness,
            confidence=confidence,
            origin="learned",
            reason=f"{reason}; {why}" if why else reason,
        )

    def p_good(self, text: str, vector: FloatVector | None) -> dict[int, float]:
        """Return for each tier of the catalogue how likely its answer is good enough; empty without a catalogue."""
        tiers, catalog = self.fitted.tiers, self.catalog
        if tiers is None or catalog is None:
            return {}
        known: list[float] = tiers.predict(vector, text).tolist()
        p_good = _of_tiers(known, tiers.tiers, catalog.tiers)
        return p_good if self.outcomes is None else self.outcomes.adjust(p_good)

    @cached_property
    def preference(self) -> Preference:
        """How it chooses the model."""
        given = self._given_preference
        if isinstance(given, StrongShare):
            return given.of_typical(self.fitted.gains)
        return GoodEnough() if given is None else given

    def _model(self, text: str, vector: FloatVector | None) -> tuple[str | None, str]:
        """Return the model that is preferred, and why; None where nothing is known."""
        p_good = self.p_good(text, vector)
        if not p_good or self.catalog is None:
            return None, ""
        model: CatalogModel = self.preference.model(self.catalog, p_good)
        return model.name, f"P({model.name} is good enough) {p_good[model.tier]:.2f}"


def _life(said: Prediction, intent: Intent) -> tuple[Staleness, float]:
    """Return how soon an answer turns wrong, and how probable it is that it is kept no longer than it is right.

    It is never kept longer than rules and heads say. What a retrieval brought is kept no longer than a week, so that
    the confidence asks for no more; other answers are kept a week where a month is not sure enough.
    """
    staleness, p = said.staleness, said.probabilities.get("staleness")
    if staleness == "realtime" or p is None:
        return staleness, 1.0
    not_at_once = said.probabilities.get("realtime", {}).get("no", 1.0)

    def right_for(kept: Staleness) -> float:
        return min(1.0, not_at_once * sum(p.get(one, 0.0) for one in _AS_LONG[kept]))

    if staleness != "timeless":
        return staleness, right_for(staleness)
    if intent == "retrieval":
        return staleness, right_for("slow")
    month = right_for("timeless")
    return ("timeless", month) if month >= _SAFE else ("slow", right_for("slow"))


def _of_tiers(p: list[float], fitted: tuple[str, ...], tiers: tuple[int, ...]) -> dict[int, float]:
    """Give tiers of a catalogue what is known of the tiers that were fitted."""
    if fitted == tuple(map(str, tiers)):
        return dict(zip(tiers, p, strict=True))
    if len(tiers) == 1:
        return {tiers[0]: p[-1]}
    step = (len(p) - 1) / (len(tiers) - 1)
    return {tier: _between(p, place * step) for place, tier in enumerate(tiers)}


def _between(p: list[float], place: float) -> float:
    low = min(int(place), len(p) - 2)
    return p[low] + (place - low) * (p[low + 1] - p[low])
