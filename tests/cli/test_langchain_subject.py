"""A replay goes through LangChain as an application does: conversations, scopes, savings, failures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import BaseMessage
from typer.testing import CliRunner

from semroute import SemanticCache
from semroute.cli import _models
from semroute.cli.langchain_subject import RealSubject, StandInSubject, messages_of
from semroute.cli.main import app
from semroute.cli.replay import Witness, replay
from semroute.cli.report import ModelCall
from semroute.cli.stand_in import TERMS, Accountant, catalog_of
from semroute.cli.tokens import TokenCounter
from semroute.errors import ConfigError, SemrouteError
from semroute.router.decision import RoutingDecision
from semroute.testing.embedders import HashEmbedder

from .replaying import row

if TYPE_CHECKING:
    from semroute.entry import FloatVector
    from semroute.request import Request


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def cache(witness: Witness) -> Iterator[SemanticCache]:
    with SemanticCache("memory://", embedder=HashEmbedder(), listeners=[witness]) as cache:
        yield cache


def stand_in(cache: SemanticCache) -> StandInSubject:
    return StandInSubject(cache, Accountant(TokenCounter(len, is_estimate=True)))


def test_a_conversation_is_asked_in_order() -> None:
    history = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]
    messages = messages_of(row("Which cards?", "a", system="Be brief.", history=history))
    assert [(message.type, message.text) for message in messages] == [
        ("system", "Be brief."), ("human", "Hello."), ("ai", "Yes?"), ("human", "Which cards?"),
    ]  # fmt: skip


def test_tenants_models_and_histories_are_kept_apart(cache: SemanticCache, witness: Witness) -> None:
    asked = row("And what does it cost?", "a", tenant="acme")
    turns = row("x", "x", history=[{"role": "user", "content": "Tell me of plan B."}]).history
    others = [
        asked.model_copy(update={"answer_class": "b", **change})
        for change in ({"tenant": "zeta"}, {"model": "large"}, {"system": "Be brief."}, {"history": turns})
    ]
    report = replay([asked, *others, asked, *others], cache, stand_in(cache), witness)
    assert [outcome.tier for outcome in report.outcomes] == ["miss"] * 5 + ["l1"] * 5
    assert not report.wrong


class OneModel:
    """A router that asks for the same model always."""

    name = "one model"

    def __init__(self, model: str) -> None:
        self._model = model

    def route(self, request: Request, vector: FloatVector | None) -> RoutingDecision:
        return RoutingDecision(model=self._model)


def cache_routed_to(model: str, witness: Witness) -> SemanticCache:
    prices = catalog_of()
    return SemanticCache(
        "memory://", embedder=HashEmbedder(), router=OneModel(model), prices=prices, listeners=[witness]
    )


@pytest.mark.parametrize("chosen", ["small", "large"])
def test_the_router_chooses_where_the_stream_leaves_the_model_open(chosen: str, witness: Witness) -> None:
    with cache_routed_to(chosen, witness) as cache:
        report = replay([row("Which cards do you take?", "a")], cache, stand_in(cache), witness)
    assert report.outcomes[0].call == ModelCall(chosen, is_routed=True)


def test_a_model_that_the_stream_names_is_asked_and_shares_nothing_with_the_group(witness: Witness) -> None:
    asked = row("Which cards do you take?", "a")
    named = asked.model_copy(update={"model": "large"})
    with cache_routed_to("large", witness) as cache:
        report = replay([asked, named, asked, named], cache, stand_in(cache), witness)
    calls = [ModelCall("large", is_routed=True), ModelCall("large", is_routed=False), None, None]
    assert [outcome.call for outcome in report.outcomes] == calls
    assert not report.wrong


def test_a_model_that_is_no_stand_in_is_asked_without_a_router(witness: Witness) -> None:
    asked = row("Which cards do you take?", "a", model="gpt-of-ours")
    with cache_routed_to("large", witness) as cache:
        report = replay([asked, asked], cache, stand_in(cache), witness)
    assert [outcome.call for outcome in report.outcomes] == [ModelCall("gpt-of-ours", is_routed=False), None]


@pytest.mark.parametrize("chosen", ["small", "large"])
def test_a_hit_spares_what_the_model_took_that_had_answered(chosen: str, witness: Witness) -> None:
    asked = row("Which cards do you take?", "a")
    usage = Accountant(TokenCounter(len, is_estimate=True)).usage(asked)
    with cache_routed_to(chosen, witness) as cache:
        report = replay([asked, asked], cache, stand_in(cache), witness)
    assert report.saved_usd == pytest.approx(TERMS[chosen].price.of(usage))
    assert report.saved_s == pytest.approx(TERMS[chosen].seconds(usage))
    dearest = TERMS["large"].price.of(usage)
    assert report.saved_by_routing_usd == pytest.approx(dearest - TERMS[chosen].price.of(usage))


def test_the_time_of_a_call_is_told_without_that_of_the_model(cache: SemanticCache) -> None:
    subject = stand_in(cache)
    asked = row("Which cards do you take?", "a")
    assert subject.ask(asked).model_s > 0.0
    assert subject.ask(asked).model_s == 0.0


def test_a_real_model_is_asked_once_and_its_answer_served_again(cache: SemanticCache, witness: Witness) -> None:
    model = FakeListChatModel(responses=["first", "second"])
    asked = row("Which cards do you take?", "a")
    report = replay([asked, asked], cache, RealSubject(cache, model, "fake:list"), witness)
    assert [outcome.tier for outcome in report.outcomes] == ["miss", "l1"]
    assert not report.wrong


class DeadModel(FakeListChatModel):
    """A provider that cannot be reached."""

    def _call(self, messages: list[BaseMessage], *args: Any, **kwargs: Any) -> str:
        raise ConnectionError("nobody there")


def test_a_provider_that_fails_ends_the_replay_with_its_reason(cache: SemanticCache, witness: Witness) -> None:
    subject = RealSubject(cache, DeadModel(responses=[]), "fake:dead")
    with pytest.raises(SemrouteError, match="fake:dead failed: ConnectionError: nobody there"):
        replay([row("Which cards do you take?", "a")], cache, subject, witness)


def test_a_missing_key_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OPENAI_API_KEY", "OPENAI_ADMIN_KEY"):
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        _models.chat_model("openai:gpt-4o-mini")
    assert len(str(caught.value).splitlines()) == 1


def test_without_langchain_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("semroute.cli.langchain_subject")
    monkeypatch.setitem(sys.modules, "semroute.cli.langchain_subject", None)
    answer = CliRunner().invoke(app, ["demo", "--json"])
    assert (answer.exit_code, answer.stdout) == (1, "")
    assert "semroute-cache[langchain]" in answer.stderr
