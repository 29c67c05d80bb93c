"""Which pairs to label: a sample that is drawn where labels tell most, and that still speaks for all of the log.

Each pair has a measure of how much its label tells: how often it was asked, times how unsure the rules are of it
(Neyman's allocation), less the farther it lies below what a hit needs. Pairs are ordered by measure / U with U uniform
in (0, 1): order sampling with fixed distribution shape (Ohlsson, "Sequential Poisson Sampling", Journal of Official
Statistics 14, 1998). So every beginning of the order is a sample of its own, in which a pair stands with a probability
that is proportional to its measure, and a review may end after any number of labels. A label divided by that
probability speaks for the pairs that were not drawn (Horvitz-Thompson). How many requests there are at every height of
the score is known without any label, so the weights are then scaled to add up to that, height by height
(post-stratification; Särndal, Swensson and Wretman, "Model Assisted Survey Sampling", 1992, chapter 7).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import accumulate, groupby
from typing import Final

from semroute.errors import ConfigError
from semroute.shadow import ShadowRecord

_STRATUM: Final = 10
"""How many of the chosen a range of heights holds at least."""
_LEAST_SPREAD: Final = 0.01
"""Of a label that the rules are sure of: they may be wrong, and somebody has to look."""
_SIMILARITY_SCALE: Final = 0.08
"""How far a similarity must lie from its threshold for the odds to change by a factor of e: so on question pairs."""
_DISTANCE_SCALE: Final = 2.0
"""The same for how little is told by pairs below the bar, in log odds."""
_PASSED, _REFUSED = 2.0, -2.0
"""What guards without a probability add to the log odds."""
_BAR: Final = 0.9
"""The similarity or probability that a hit needs, where a record does not say."""


@dataclass(frozen=True, slots=True)
class Choice:
    """A pair that is worth a label."""

    record: ShadowRecord
    """The latest record of the pair."""
    times: int
    """How many requests the pair was foremost in."""
    measure: float
    """How much its label tells, on a scale of its own."""
    priority: float
    """The higher, the sooner it is asked about."""
    height: float
    """How far the rules' score lies above what a hit needs, in log odds; negative below."""
    weight: float = 1.0
    """How many requests of the log a label of it speaks for, in the sample that it was chosen in."""

    @property
    def pair(self) -> tuple[str, str]:
        """The two questions, the stored one first."""
        return self.record.pair


def most_informative(records: Iterable[ShadowRecord], n: int, *, seed: int = 0) -> list[Choice]:
    """Return the n pairs whose labels tell most about a policy, the most telling first; fewer where there are fewer.

    Would-be hits that are served often and pairs near the bar come first; a pair that stands in the log many times is
    chosen once, pairs of one stored question are spread, and pairs of equal words are left out. The weights let
    estimates from these labels speak for all records. Raises ConfigError for an n below 1.
    """
    if n < 1:
        raise ConfigError(f"n={n} is out of range: choose at least 1 pair")
    population = Population(records, seed=seed)
    return population.weighted(population.order[:n])


def _ranked(records: Iterable[ShadowRecord], seed: int) -> list[Choice]:
    """Return every pair of a log once, the most telling first; the same log and seed give the same order."""
    latest: dict[tuple[str, str], ShadowRecord] = {}
    times: dict[tuple[str, str], int] = defaultdict(int)
    for record in _foremost(records):
        latest[record.pair] = record
        times[record.pair] += 1
    chances = _chances(latest, seed)
    choices = []
    for pair, record in latest.items():
        measure = times[pair] * telling(record)
        choices.append(Choice(record, times[pair], measure, measure / chances[pair], height_of(record)))
    return sorted(choices, key=lambda choice: (-choice.priority, choice.pair))


def _foremost(records: Iterable[ShadowRecord]) -> Iterator[ShadowRecord]:
    """Yield one record a request: of its candidates the one that was, or was nearest to be, served.

    So labels speak for requests, as a policy's promise does, and not for candidates, of which a request has several.
    The candidates of one request stand side by side in a log.
    """
    for _, candidates in groupby(records, key=lambda record: (record.request, record.at)):
        others = [record for record in candidates if record.candidate != record.query]
        if others:
            yield max(others, key=lambda record: (record.would_serve, height_of(record)))


class Population:
    """Every pair of a log, the most telling first: what a sample is drawn from, and what its labels speak for."""

    def __init__(self, records: Iterable[ShadowRecord], *, seed: int = 0) -> None:
        self.n_records = 0
        self.order = _ranked(self._counted(records), seed)
        self._by_pair = {choice.pair: choice for choice in self.order}
        self._measures = sorted((choice.measure for choice in self.order), reverse=True)
        self._rests = [*reversed([0.0, *accumulate(reversed(self._measures))])]
        by_height = sorted(self.order, key=lambda choice: choice.height)
        self._heights = [choice.height for choice in by_height]
        self._below = [0, *accumulate(choice.times for choice in by_height)]

    def __len__(self) -> int:
        return len(self.order)

    @property
    def n_requests(self) -> int:
        """How many requests the pairs stand for: those that met a stored question in other words, one pair each."""
        return self._below[-1]

    def find(self, pair: tuple[str, str]) -> Choice | None:
        """Return the pair of two questions, the stored one first; None where it does not stand in the log."""
        return self._by_pair.get(pair)

    def weight_of(self, choice: Choice, drawn: int) -> float:
        """Return how many requests one pair speaks for in a sample of `drawn` pairs, before the weights are scaled."""
        return choice.times * max(1.0, self.certain_from(drawn) / choice.measure)

    def certain_from(self, drawn: int) -> float:
        """Return the measure from which on a pair is certainly drawn; below it the chance is measure / that.

        Solves sum(min(1, measure / threshold)) = drawn; 0 where everything is drawn.
        """
        if drawn >= len(self.order):
            return 0.0
        for certain, measure in enumerate(self._measures[:drawn]):
            threshold = self._rests[certain] / (drawn - certain)
            if measure < threshold:
                return threshold
        return self._measures[drawn - 1]

    def weighted(self, chosen: Sequence[Choice]) -> list[Choice]:
        """Return choices with their weights as a sample of the log; they add up to its requests. The order is kept."""
        weights = {choice.pair: self.weight_of(choice, len(chosen)) for choice in chosen}
        for low, high, names in _strata(chosen):
            factor = self._requests_between(low, high) / math.fsum(weights[name] for name in names)
            weights.update((name, weights[name] * factor) for name in names)
        return [replace(choice, weight=weights[choice.pair]) for choice in chosen]

    def _counted(self, records: Iterable[ShadowRecord]) -> Iterator[ShadowRecord]:
        for record in records:
            self.n_records += 1
            yield record

    def _requests_between(self, low: float, high: float) -> int:
        return self._below[bisect_left(self._heights, high)] - self._below[bisect_left(self._heights, low)]


def _strata(chosen: Sequence[Choice]) -> Iterator[tuple[float, float, list[tuple[str, str]]]]:
    """Yield ranges of height that hold at least a few of the chosen each, and which; together they hold everything."""
    falling = sorted(chosen, key=lambda choice: (-choice.height, choice.pair))
    high, names = math.inf, []
    for place, choice in enumerate(falling, start=1):
        names.append(choice.pair)
        left = len(falling) - place
        if not left:
            yield -math.inf, high, names
        elif len(names) >= _STRATUM <= left and falling[place].height < choice.height:
            yield choice.height, high, names
            high, names = choice.height, []


def telling(record: ShadowRecord) -> float:
    """Return how much a label of one record tells, in (0, 1/2]."""
    odds, _ = _log_odds(record)
    p = 1.0 / (1.0 + math.exp(-odds))
    below = 0.0 if record.would_serve else max(0.0, -height_of(record))
    return max(math.sqrt(p * (1.0 - p)) * math.exp(-below / _DISTANCE_SCALE), _LEAST_SPREAD)


def height_of(record: ShadowRecord) -> float:
    """Return how far a record's score lies above what a hit needed, in log odds; negative below."""
    odds, bar = _log_odds(record)
    return odds - bar


def _log_odds(record: ShadowRecord) -> tuple[float, float]:
    """Return what the rules think of a pair, and what a hit needs, in log odds of being reusable."""
    if record.p_reusable is not None and not math.isnan(record.p_reusable):
        return _logit(record.p_reusable), _logit(_BAR if record.needed_p is None else record.needed_p)
    bar = _BAR if record.threshold is None else record.threshold
    odds = (record.similarity - bar) / _SIMILARITY_SCALE
    if record.verdicts:
        odds += _PASSED if all(verdict.passed for verdict in record.verdicts) else _REFUSED
    return odds, 0.0


def _logit(p: float) -> float:
    inside = min(max(p, 1e-4), 1.0 - 1e-4)
    return math.log(inside / (1.0 - inside))


def _chances(pairs: Iterable[tuple[str, str]], seed: int) -> dict[tuple[str, str], float]:
    """Return a number in (0, 1) for each pair: uniform alone, and evenly spread among those of one stored question.

    It follows from the texts, so that a review that goes on later goes on in the same order.
    """
    families: dict[str, list[tuple[str, str]]] = defaultdict(list)
    for pair in pairs:
        families[pair[0]].append(pair)
    chances = {}
    for family in families.values():
        family.sort(key=lambda pair: _uniform("place", pair, seed))
        for place, pair in enumerate(family):
            chances[pair] = (place + _uniform("chance", pair, seed)) / len(family)
    return chances


def _uniform(purpose: str, pair: tuple[str, str], seed: int) -> float:
    parts = (purpose, str(seed), *pair)
    message = b"".join(b"%d:%b" % (len(raw), raw) for raw in (part.encode("utf-8", "surrogatepass") for part in parts))
    return (int.from_bytes(blake2b(message, digest_size=8).digest()) + 0.5) / 2**64
