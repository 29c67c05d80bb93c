"""The ledger: what was spent, and what hits and routing saved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from semroute import Answer, Price, Request, Scope, SemanticCache, Usage
from semroute.ledger import OTHERS, CostLedger, Costs
from semroute.result import Bypass, Explanation, Hit, Saved
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.telemetry import CallEvent, LookupEvent

CATALOG = ModelCatalog.of([CatalogModel("small", 1, Price(1.0, 2.0)), CatalogModel("large", 2, Price(10.0, 20.0))])
USAGE = Usage(100_000, 50_000)


def call(
    model: str | None = "small", *, tenant: str | None = None, is_routed: bool = False, **told: object
) -> CallEvent:
    request = replace(Request.of("How?", scope=Scope(tenant=tenant)), is_routed=is_routed)
    return CallEvent(request, Answer("So.", model=model, **{"usage": USAGE, **told}))


def hit(model: str, usd: float | None, tenant: str | None = None) -> LookupEvent:
    explanation = Explanation("l1", "the same", saved=Saved(10, usd, 1.0))
    return LookupEvent(Hit(Answer("So.", model=model), explanation), 0.001, Scope(tenant=tenant))


def ledger(*events: object) -> CostLedger:
    kept = CostLedger.of(CATALOG)
    for event in events:
        kept.on(event)
    return kept


def test_a_call_costs_what_its_tokens_cost() -> None:
    assert ledger(call()).total() == Costs(calls=1, spent_usd=pytest.approx(0.2))


def test_what_the_provider_says_wins() -> None:
    assert ledger(call(usd=0.7)).total().spent_usd == 0.7


def test_a_routed_call_saves_what_the_strongest_model_would_have_cost_more() -> None:
    costs = ledger(call(is_routed=True), call("large", is_routed=True), call()).total()
    assert costs.saved_by_routing_usd == pytest.approx(2.0 - 0.2)
    assert costs.saved_usd == costs.saved_by_routing_usd


def test_a_hit_saves_what_its_answer_had_cost() -> None:
    costs = ledger(hit("large", 2.0), hit("large", 2.0)).total()
    assert (costs.hits, costs.saved_by_hits_usd, costs.calls) == (2, 4.0, 0)


def test_tokens_that_nobody_told_are_estimated_and_the_sum_says_so() -> None:
    kept = ledger(call(usage=None))
    costs = kept.total()
    assert 0.0 < costs.estimated_usd == costs.spent_usd
    assert costs.is_estimate
    assert "about" in repr(kept)
    assert "≈" in kept._repr_html_()


def test_what_has_no_price_is_counted_and_in_no_sum() -> None:
    costs = ledger(call("unknown"), call(None), hit("unknown", None)).total()
    assert costs == Costs(calls=2, hits=1, unpriced=3)
    assert "3 calls and hits without a price" in repr(ledger(call("unknown"), call(None), hit("unknown", None)))


def test_costs_are_kept_apart_by_tenant_and_by_model() -> None:
    kept = ledger(call(tenant="acme"), call("large", tenant="acme"), call(tenant="globex"), hit("large", 1.0), call())
    assert {tenant: costs.calls for tenant, costs in kept.by_tenant().items()} == {"acme": 2, "globex": 1, None: 1}
    assert {model: costs.calls for model, costs in kept.by_model().items()} == {"small": 3, "large": 1}
    assert kept.by_model()["large"].saved_by_hits_usd == 1.0


def test_tenants_without_end_do_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("semroute.ledger.MOST_ACCOUNTS", 3)
    kept = ledger(*[call(tenant=f"t{number}") for number in range(10)])
    assert kept.by_tenant()[OTHERS].calls == 7
    assert kept.total().calls == 10


def test_it_begins_anew_when_it_is_told() -> None:
    kept = ledger(call())
    kept.reset()
    assert kept.total() == Costs()


def test_a_name_in_the_table_is_only_ever_text() -> None:
    assert "<script>" not in ledger(call("<script>")).__class__._repr_html_(ledger(call("<script>")))


def test_other_events_change_nothing() -> None:
    assert ledger(LookupEvent(Bypass(Explanation("bypass", "now")), 0.1)).total() == Costs()


def test_a_cache_keeps_one_of_its_own() -> None:
    with SemanticCache("memory://", prices=CATALOG) as cache:
        cache.update("How do I reset my password?", Answer("Click here.", model="small", usage=USAGE))
        assert isinstance(cache.lookup("How do I reset my password?"), Hit)
        costs = cache.ledger.total()
    assert (costs.calls, costs.hits) == (1, 1)
    assert costs.spent_usd == costs.saved_by_hits_usd == pytest.approx(0.2)
