"""The ledger of errors: it spends what comes in, and charges what its audits find."""

from __future__ import annotations

import math

import numpy as np
import pytest

from semroute.online.ledger import Ledger, overshoot


def wrong_hits(ledger: Ledger, rng: np.random.Generator, requests: int, *, times: float) -> int:
    """Send requests of all risks through a ledger; answers are wrong `times` as often as it is told."""
    wrong = 0
    for told in (rng.random(requests) * 0.5).tolist():
        is_wrong = bool(rng.random() < min(1.0, times * told))
        ledger.arrive(told)
        if not ledger.can_pay(told):
            continue
        if rng.random() < ledger.audit_rate:
            ledger.audit(told, is_right=not is_wrong)
        else:
            ledger.pay(told)
            wrong += is_wrong
    return wrong


def test_wrong_hits_exceed_what_was_spent_by_the_overshoot_no_more_often_than_allowed() -> None:
    rng = np.random.default_rng(0)
    risks = rng.random(400) * 0.3
    wrong = (rng.random((20_000, 400)) < risks).sum(axis=1)
    over = wrong > risks.sum() + overshoot(float(risks.sum()), 0.95)
    assert over.mean() <= 0.05


@pytest.mark.parametrize("max_error", [0.02, 0.05])
def test_within_the_bound_where_the_risks_are_true_and_most_of_the_budget_is_used(max_error: float) -> None:
    rng = np.random.default_rng(2)
    wrong = [wrong_hits(Ledger(max_error, 0.95, 0.05), rng, 3000, times=1.0) for _ in range(20)]
    assert sum(count > max_error * 3000 for count in wrong) <= 2
    assert np.mean(wrong) >= 0.65 * max_error * 3000


def test_the_cheapest_risks_are_served_up_to_the_price_at_which_the_budget_is_spent() -> None:
    ledger, rng = Ledger(0.05, 0.95, 0.05), np.random.default_rng(3)
    wrong_hits(ledger, rng, 20_000, times=1.0)
    # All risks up to p are p / 0.5 of the requests and cost p / 2 each on average: p^2 = 0.05.
    assert ledger.can_pay(0.19)
    assert not ledger.can_pay(0.27)


def test_the_price_outlives_the_rescaling_of_what_it_is_made_of() -> None:
    ledger = Ledger(0.05, 0.95, 0.05)
    prices = []
    for told in (np.random.default_rng(4).random(10_100) * 0.5).tolist():
        ledger.arrive(told)
        prices.append(ledger._price(0.0))
    around = prices[4990:5010] + prices[9990:10_010]
    assert max(around) - min(around) < 0.03
    assert min(around) > 0.15


def test_audits_of_true_risks_charge_nothing_and_those_of_understated_ones_do() -> None:
    honest, lying = Ledger(0.05, 0.95, 0.1), Ledger(0.05, 0.95, 0.1)
    wrong_hits(honest, np.random.default_rng(5), 5000, times=1.0)
    wrong = wrong_hits(lying, np.random.default_rng(5), 5000, times=3.0)
    assert honest.missed() == 0.0
    assert 0.2 * (wrong - lying.spent) < lying.missed() < 2.0 * (wrong - lying.spent)


@pytest.mark.parametrize("times", [2.0, 4.0])
def test_even_with_understated_risks_the_excess_over_the_bound_vanishes(times: float) -> None:
    rates = {}
    for requests in (2_000, 20_000):
        wrong = wrong_hits(Ledger(0.05, 0.95, 0.1), np.random.default_rng(6), requests, times=times)
        rates[requests] = wrong / requests
        assert wrong <= 0.05 * requests + 4.0 * math.sqrt(0.05 * requests / 0.1)
    assert rates[20_000] < max(rates[2_000], 0.06)
    unchecked = Ledger(0.05, 0.95, 1e-6)
    assert wrong_hits(unchecked, np.random.default_rng(6), 20_000, times=times) > 0.08 * 20_000
