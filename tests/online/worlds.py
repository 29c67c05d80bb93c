"""Streams drawn by chance, with a verifier that is more or less right about them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from semroute.online import EntryPolicy, Explore, Observations, Serve
from semroute.online.logistic import sigmoid


@dataclass(frozen=True, slots=True)
class Request:
    """One request: the entry that is nearest, what is known of the pair, and the truth."""

    entry: int | None
    similarity: float
    p_prior: float
    is_right: bool
    uniform: float


@dataclass(frozen=True, slots=True)
class Served:
    """What a policy did, request by request."""

    hits: Sequence[bool]
    wrong: Sequence[bool]
    audits: int

    @property
    def hit_rate(self) -> float:
        return sum(self.hits) / len(self.hits)

    @property
    def error_rate(self) -> float:
        return sum(self.wrong) / len(self.wrong)


def stream(
    seed: int,
    *,
    requests: int = 2000,
    entries: int = 60,
    spread: float = 1.0,
    share: float = 0.5,
    told: Callable[[int, float], float] = lambda at, log_odds: log_odds,
) -> list[Request]:
    """Draw a stream in which a `share` of the requests have a candidate, one of `entries`.

    Log-odds of being right are normal, and each entry's lie `spread` off on average, which no verifier can see. `told`
    makes the verifier's log-odds out of the true ones at a place in the stream.
    """
    rng = np.random.default_rng(seed)
    effects = rng.normal(0.0, spread, entries)
    found: list[Request] = []
    for at in range(requests):
        entry = int(rng.integers(entries)) if rng.random() < share else None
        log_odds = float(rng.normal(1.0, 2.0))
        truth = log_odds + (0.0 if entry is None else float(effects[entry]))
        similarity = 0.75 + 0.25 * sigmoid(log_odds + float(rng.normal(0.0, 1.0)))
        is_right = bool(rng.random() < sigmoid(truth))
        found.append(Request(entry, similarity, sigmoid(told(at, log_odds)), is_right, float(rng.random())))
    return found


def run(policy: EntryPolicy, requests: Sequence[Request], *, remembers: bool = True) -> Served:
    """Send a stream through a policy; labels are seen on explored requests only, and new entries are left out."""
    records: dict[int, Observations] = {}
    hits, wrong, audits = [], [], 0
    for one in requests:
        decision = None
        if one.entry is None:
            policy.skip()
        else:
            record = records.get(one.entry, Observations())
            decision = policy.decide(record, one.similarity, one.p_prior, one.uniform)
            if isinstance(decision, Explore):
                audits += decision.is_audit
                learned = policy.observe(record, decision, one.similarity, one.p_prior, is_right=one.is_right)
                if remembers:
                    records[one.entry] = learned.candidate
        hits.append(isinstance(decision, Serve))
        wrong.append(isinstance(decision, Serve) and not one.is_right)
    return Served(hits, wrong, audits)


def overconfident(at: int, log_odds: float) -> float:
    """Tell twice the log-odds and more."""
    return 2.0 * log_odds + 1.0


def breaking(at: int, log_odds: float) -> float:
    """Tell the truth at first, and the contrary of it from the thousandth request on."""
    return log_odds if at < 1000 else 2.0 - log_odds


def useless(at: int, log_odds: float) -> float:
    """Tell always the same."""
    return math.log(0.97 / 0.03)
