"""A replay goes through LlamaIndex as an application does: templates, one index, scopes, savings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from semroute import SemanticCache
from semroute.cli.llama_index_subject import Cue, StandInLLM, StandInSubject, template_of
from semroute.cli.replay import Witness, replay
from semroute.cli.report import ModelCall
from semroute.cli.stand_in import TERMS, Accountant
from semroute.cli.tokens import TokenCounter
from semroute.errors import ConfigError
from semroute.testing.embedders import HashEmbedder

from .replaying import row

if TYPE_CHECKING:
    from pathlib import Path

    from semroute.cli.stream import Row


@pytest.fixture
def witness() -> Witness:
    return Witness()


@pytest.fixture
def cache(witness: Witness) -> Iterator[SemanticCache]:
    with SemanticCache("memory://", embedder=HashEmbedder(), listeners=[witness]) as cache:
        yield cache


class Counted:
    """Counts characters for tokens, and keeps what was counted."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def accountant(self) -> Accountant:
        return Accountant(TokenCounter(self._count, is_estimate=True))

    def _count(self, text: str) -> int:
        self.texts.append(text)
        return len(text)


def stand_in(cache: SemanticCache, rows: Sequence[Row], counted: Counted | None = None) -> StandInSubject:
    return StandInSubject(cache, (Counted() if counted is None else counted).accountant(), rows)


def test_system_prompt_and_conversation_stand_before_the_question() -> None:
    history = [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Yes?"}]
    template = template_of(row("Which cards?", "a", system="Be brief.", history=history))
    messages = template.format_messages(context_str="Visa.", query_str="Which cards?")
    assert [(message.role.value, message.content) for message in messages[:-1]] == [
        ("system", "Be brief."), ("user", "Hello."), ("assistant", "Yes?"),
    ]  # fmt: skip
    assert messages[-1].content == "Help pages:\nVisa.\n\nQuestion: Which cards?"


def test_the_model_is_asked_over_the_pages_that_were_retrieved(cache: SemanticCache) -> None:
    rows = [row(f"What is subject {number}?", str(number), answer=f"It is {number}.") for number in range(9)]
    counted = Counted()
    assert stand_in(cache, rows, counted).ask(rows[8]).text == "It is 8."
    prompt = counted.texts[0]
    assert "It is 0." in prompt
    assert "It is 8." in prompt
    assert prompt.endswith("Question: What is subject 8?\nassistant: ")


def test_tenants_models_and_histories_are_kept_apart(cache: SemanticCache, witness: Witness) -> None:
    asked = row("And what does it cost?", "a", tenant="acme")
    turns = row("x", "x", history=[{"role": "user", "content": "Tell me of plan B."}]).history
    others = [
        asked.model_copy(update={"answer_class": "b", **change})
        for change in ({"tenant": "zeta"}, {"model": "large"}, {"system": "Be brief."}, {"history": turns})
    ]
    rows = [asked, *others, asked, *others]
    report = replay(rows, cache, stand_in(cache, rows), witness)
    assert [outcome.tier for outcome in report.outcomes] == ["miss"] * 5 + ["l1"] * 5
    assert not report.wrong


def test_the_model_that_the_stream_names_is_asked_without_a_router(cache: SemanticCache, witness: Witness) -> None:
    rows = [row("Which cards do you take?", "a", model=model) for model in ("small", "large", "gpt-of-ours")]
    report = replay(rows, cache, stand_in(cache, rows), witness)
    assert [outcome.call for outcome in report.outcomes] == [ModelCall(one.model, is_routed=False) for one in rows]


@pytest.mark.parametrize("model", ["small", "large"])
def test_a_hit_spares_what_the_call_cost_with_the_pages_in_its_prompt(
    model: str, cache: SemanticCache, witness: Witness
) -> None:
    rows = [row("Which cards do you take?", "a", model=model)] * 2
    subject = stand_in(cache, rows)
    report = replay(rows, cache, subject, witness)
    assert [outcome.tier for outcome in report.outcomes] == ["miss", "l1"]
    without_pages = Counted().accountant().usage(rows[0])
    assert report.saved_usd == subject.spent_usd > TERMS[model].price.of(without_pages)
    assert report.saved_s == pytest.approx(TERMS[model].seconds(without_pages))


def test_the_time_of_a_call_is_told_without_that_of_the_engine(cache: SemanticCache) -> None:
    asked = row("Which cards do you take?", "a")
    subject = stand_in(cache, [asked])
    assert subject.ask(asked).model_s > 0.0
    assert subject.ask(asked).model_s == 0.0


def kept(path: Path, rows: Sequence[Row]) -> Any:
    """Replay rows on a store that others may use after it."""
    witness = Witness()
    with SemanticCache(path, embedder=HashEmbedder(), listeners=[witness]) as cache:
        return replay(rows, cache, stand_in(cache, rows), witness)


def test_an_answer_of_an_earlier_run_is_served_and_judged_by_its_text(tmp_path: Path) -> None:
    rows = [row("Which cards do you take?", "a")]
    kept(tmp_path / "answers.db", rows)
    report = kept(tmp_path / "answers.db", rows)
    assert (report.earlier_run_hits, len(report.wrong)) == (1, 0)
    assert report.saved_usd == pytest.approx(Counted().accountant().saved(rows[0]).usd)


def test_a_stream_with_other_pages_is_served_nothing_of_an_earlier_run(tmp_path: Path) -> None:
    asked = row("Which cards do you take?", "a", answer="Visa.")
    kept(tmp_path / "answers.db", [asked])
    report = kept(tmp_path / "answers.db", [asked.model_copy(update={"answer": "None at all."})])
    assert [outcome.tier for outcome in report.outcomes] == ["miss"]


def test_the_stand_in_streams_what_it_would_say_at_once() -> None:
    cue = Cue(Counted().accountant())
    llm = StandInLLM("small", cue)
    cue.give(row("Which cards do you take?", "a", answer="Visa and Mastercard."))
    chunks = list(llm.stream_complete("Which cards?"))
    assert [chunk.delta for chunk in chunks] == ["Visa", " and", " Mastercard."]
    assert chunks[-1].text == llm.complete("Which cards?").text == "Visa and Mastercard."


def test_a_stand_in_outside_a_replay_says_so() -> None:
    with pytest.raises(ConfigError, match="outside a replay"):
        StandInLLM("small", Cue(Counted().accountant())).complete("Hello.")
