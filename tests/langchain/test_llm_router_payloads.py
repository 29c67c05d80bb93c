"""The router's model through langchain-openai, replayed from cassettes (see llm_router_cassettes/README.md)."""

from __future__ import annotations

import json
import os
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from langchain_openai import ChatOpenAI
from langchain_semroute.structured import Method, StructuredModel
from vcr import VCR

from semroute import Request
from semroute.router.catalog import CatalogModel, ModelCatalog
from semroute.router.decision import RoutingDecision
from semroute.router.llm import LLMRouter

from .llm_router_stand_in import Says, StandIn

CASSETTES = Path(__file__).parent / "llm_router_cassettes"
RECORDED_AT = "http://127.0.0.1:8089/v1"
RERECORD = "RERECORD_CASSETTES"
FILTERED = ["authorization", "cookie", "user-agent", "host", "x-stainless-runtime-version", "x-stainless-os"]
CATALOG = ModelCatalog.of([CatalogModel("small"), CatalogModel("large", tier=2)])
QUESTION = "Who is the mayor of Vienna?"
GOOD: dict[str, Any] = {
    "reason": "sounds like a fixed fact, but office holders change",
    "intent": "retrieval",
    "complexity": "low",
    "model": "small",
    "cache_strategy": "standard",
    "staleness": "slow",
    "confidence": 0.85,
}

Decide = Callable[[LLMRouter], Awaitable[RoutingDecision]]


@dataclass(frozen=True)
class Case:
    """What a model says, how often it is asked, and the reason that is given where the fallback decides."""

    says: tuple[Says, ...]
    calls: int
    told: str | None = None


def decision(**fields: object) -> Says:
    return Says(json.dumps({**GOOD, **fields}))


PROSE = Says("I think that a small model will do, since this is an easy one.", is_prose=True)
CASES = {
    "decision": Case((decision(),), 1),
    "repaired": Case((PROSE, decision()), 2),
    "prose": Case((PROSE,), 2, "the model's reply is invalid: it is no JSON object"),
    "refusal": Case((Says("I cannot help with that.", is_refusal=True),), 1, "the model refuses: I cannot help"),
    "unknown_model": Case((decision(model="gpt-9"),), 2, "Input should be 'small' or 'large'"),
    "confidence_7": Case((decision(confidence=7),), 2, "it must be a number from 0 to 1"),
    "confidence_nan": Case((decision(confidence=float("nan")),), 2, '"confidence": Input should be a finite number'),
    "cut_short": Case((Says(json.dumps(GOOD)[:60]),), 2, "it is no JSON object"),
    "obeys": Case((decision(model="large", confidence=1, cache_strategy="aggressive"),), 1),
}


async def on_this_thread(router: LLMRouter) -> RoutingDecision:
    return router.route(Request.of(QUESTION), None)


async def on_the_loop(router: LLMRouter) -> RoutingDecision:
    if os.environ.get(RERECORD):
        pytest.skip("the sync face records what both replay")
    return await router.aroute(Request.of(QUESTION), None)


def told_apart_by_form(request: Any) -> Any:
    """Leave the words of the prompt out of what is kept and compared: they may change, the form of a call may not."""
    body = json.loads(request.body)
    for message in body["messages"]:
        if message["role"] == "system":
            message["content"] = "the system prompt"
    request.body = json.dumps(body).encode()
    return request


def without_clock(response: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in response["headers"].items() if name.lower() == "content-type"}
    return {**response, "headers": kept}


@pytest.fixture
def played(method: Method, case: str) -> Iterator[tuple[LLMRouter, Any]]:
    """Return a router and the cassette that its model is replayed from, or recorded to from the stand-in."""
    is_recorded = not os.environ.get(RERECORD)
    recorder = VCR(
        cassette_library_dir=str(CASSETTES),
        record_mode="none" if is_recorded else "all",
        match_on=["method", "path", "body"],
        filter_headers=FILTERED,
        before_record_request=told_apart_by_form,
        before_record_response=without_clock,
        decode_compressed_response=True,
    )
    with StandIn(*CASES[case].says) as stand_in, recorder.use_cassette(f"{method}_{case}.yaml") as cassette:
        model = ChatOpenAI(
            model="gpt-4o-mini",
            base_url=RECORDED_AT if is_recorded else stand_in.url,
            api_key="sk-test",
            max_retries=0,
        )
        yield LLMRouter(StructuredModel(model, method=method), CATALOG, deadline_s=60.0), cassette


@pytest.mark.parametrize("decide", [on_this_thread, on_the_loop], ids=["sync", "async"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
async def test_whatever_the_model_says_ends_in_a_decision(
    played: tuple[LLMRouter, Any], method: Method, case: str, decide: Decide
) -> None:
    router, cassette = played
    decided = await decide(router)
    expected = CASES[case]
    if expected.told is None:
        said = json.loads(expected.says[-1].text)
        assert decided == RoutingDecision(**{**said, "confidence": min(0.9, said["confidence"])}, origin="llm")
    else:
        assert (decided.origin, decided.confidence, decided.model) == ("fallback", 0.5, None)
        assert expected.told in decided.reason
    if not os.environ.get(RERECORD):
        assert cassette.play_count == expected.calls
    for body in [json.loads(request.body) for request in cassette.requests]:
        check_form(body, method)


def check_form(body: dict[str, Any], method: Method) -> None:
    """Check that the provider is told the catalogue in the form that was asked for, strictly, and to vary nothing."""
    if method == "json_schema":
        form = body["response_format"]["json_schema"]
        schema = form["schema"]
    else:
        form = body["tools"][0]["function"]
        schema = form["parameters"]
        assert body["tool_choice"]["function"]["name"] == form["name"]
    assert form["name"] == "routing_decision"
    assert form["strict"] is True
    assert schema["properties"]["model"]["enum"] == ["small", "large"]
    assert schema["additionalProperties"] is False
    assert body["temperature"] == 0.0
    assert not body.get("stream")
    assert [message["role"] for message in body["messages"]] == ["system", "user"]
