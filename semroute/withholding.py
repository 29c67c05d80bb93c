"""Shadow mode and canaries in a cache: which hits are withheld, and who takes down what was found."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from semroute.defaults import default_log, existing_log
from semroute.result import Hit, Miss
from semroute.shadow import RecordTaker, ShadowEvent, is_in_canary, records_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from semroute.config import Settings
    from semroute.entry import Address, Answer, Selector
    from semroute.result import Lookup
    from semroute.telemetry import Listener
    from semroute.trail import Trail


class Withholding:
    """Says which requests are served; of the others, and beside a log of one's own, everything is taken down."""

    def __init__(self, settings: Settings, listeners: Iterable[Listener]) -> None:
        self._settings = settings
        self._takers = tuple(listener for listener in listeners if isinstance(listener, RecordTaker))
        self.default_log: tuple[Listener, ...] = ()
        """The log that the cache must tell its events too, because nobody else takes them down."""
        if not settings.serves_all and not self._takers:
            log = default_log(settings)
            self._takers, self.default_log = (log,), (log,)

    @property
    def takes_down(self) -> bool:
        """Whether anybody wants records."""
        return bool(self._takers)

    def serves(self, address: Address) -> bool:
        """Say whether hits of a request are served."""
        settings = self._settings
        if settings.serves_all:
            return True
        return settings.mode == "serve" and is_in_canary(address.exact, settings.canary)

    def withheld(self, result: Lookup, trail: Trail) -> Lookup:
        """Return a result as the caller may see it: a hit that is not served is a miss."""
        if trail.serves or not isinstance(result, Hit):
            return result
        told = result.explanation
        reason = f"not served, to be judged first: {told.reason}"
        explanation = replace(told, tier="miss", reason=reason, hit_id=None, age_s=None, model=None, saved=None)
        return Miss(explanation, withheld=result)

    def event(
        self, words: str, trail: Trail, real_answer: Answer | None, labels: frozenset[str], now: float
    ) -> ShadowEvent | None:
        """Return what a lookup found, and what the model answered instead; None where there is nothing to judge."""
        if trail.result is None:
            return None
        records = records_of(
            trail.result.explanation,
            address=trail.address,
            query=words,
            at=now,
            labels=labels,
            was_served=trail.serves,
            needed_p=None if trail.gate is None else trail.gate.min_p_reusable,
            stored={} if trail.entry is None else {trail.entry.id: trail.entry},
            real_answer=real_answer,
        )
        return ShadowEvent(records) if records else None

    def forget(self, selector: Selector) -> None:
        """Remove what was taken down of entries that are removed."""
        takers = self._takers
        if not takers and selector.labels:  # an earlier run, in shadow mode, may have left a log
            takers = existing_log(self._settings)
        for taker in takers:
            taker.delete(selector)

    def close(self) -> None:
        for taker in self._takers:
            taker.close()
