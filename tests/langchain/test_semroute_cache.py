"""SemrouteCache as LangChain's cache: scopes, failures, secrets, copies."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from langchain_core.globals import get_llm_cache, set_llm_cache
from langchain_core.language_models.fake import FakeListLLM
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration
from langchain_semroute import SemrouteCache, cached

import semroute
from semroute import ConfigError, SemanticCache, StoreError
from semroute.stores import Store

LLM = "a model"
ASKED = "What are cats?"


class BrokenStore:
    """Raises in every method of a store."""

    def __getattr__(self, name: str) -> Any:
        if not hasattr(Store, name):  # a capability that it does not have
            raise AttributeError(name)

        def broken(*args: object, **kwargs: object) -> Any:
            raise StoreError("the disk is on fire")

        async def abroken(*args: object, **kwargs: object) -> Any:
            raise StoreError("the disk is on fire")

        return abroken if name.startswith("a") else broken


def answer(text: str) -> list[ChatGeneration]:
    return [ChatGeneration(message=AIMessage(text))]


def text_of(cache: SemrouteCache) -> str | None:
    found = cache.lookup(ASKED, LLM)
    return None if found is None else found[0].text


async def test_entries_are_shared_between_sync_and_async(lc_cache: SemrouteCache) -> None:
    await lc_cache.aupdate(ASKED, LLM, answer("animals"))
    assert text_of(lc_cache) == "animals"
    found = await lc_cache.alookup(ASKED, LLM)
    assert found is not None
    assert found[0].text == "animals"


def test_a_scope_parts_tenants(lc_cache: SemrouteCache) -> None:
    with semroute.scope(tenant="acme"):
        lc_cache.update(ASKED, LLM, answer("acme's"))
    assert text_of(lc_cache) is None
    with semroute.scope(tenant="other"):
        assert text_of(lc_cache) is None
    with semroute.scope(tenant="acme"):
        assert text_of(lc_cache) == "acme's"


def test_a_view_is_bound_to_its_namespace_and_shares_the_core(lc_cache: SemrouteCache) -> None:
    acme = lc_cache.with_namespace("acme")
    assert acme.core is lc_cache.core
    acme.update(ASKED, LLM, answer("acme's"))
    assert (text_of(lc_cache), text_of(lc_cache.with_namespace("other")), text_of(acme)) == (None, None, "acme's")
    with semroute.scope(namespace="acme"):
        assert text_of(lc_cache) == "acme's"


def test_a_scope_inside_a_view_is_within_both(lc_cache: SemrouteCache) -> None:
    acme = lc_cache.with_namespace("acme")
    with semroute.scope(namespace="ann"):
        acme.update(ASKED, LLM, answer("ann's at acme"))
        assert text_of(lc_cache) is None
        assert text_of(lc_cache.with_namespace("other")) is None
        assert text_of(acme) == "ann's at acme"
    assert text_of(acme) is None


def test_clearing_a_view_clears_its_namespace_only(lc_cache: SemrouteCache) -> None:
    acme, other = lc_cache.with_namespace("acme"), lc_cache.with_namespace("other")
    for cache in (lc_cache, acme, other):
        cache.update(ASKED, LLM, answer("kept"))
    with semroute.scope(namespace="ann"):
        acme.update(ASKED, LLM, answer("ann's at acme"))
    acme.clear()
    assert [text_of(cache) for cache in (lc_cache, acme, other)] == ["kept", None, "kept"]
    with semroute.scope(namespace="ann"):
        assert text_of(acme) is None


async def test_clearing_an_unbound_cache_clears_everything(lc_cache: SemrouteCache) -> None:
    acme = lc_cache.with_namespace("acme")
    for cache in (lc_cache, acme):
        cache.update(ASKED, LLM, answer("kept"))
    await lc_cache.aclear()
    assert (text_of(lc_cache), text_of(acme)) == (None, None)


def test_clearing_within_a_scope_clears_that_scope_only(lc_cache: SemrouteCache) -> None:
    lc_cache.update(ASKED, LLM, answer("kept"))
    with semroute.scope(tenant="acme"):
        lc_cache.update(ASKED, LLM, answer("acme's"))
        lc_cache.clear()
        assert text_of(lc_cache) is None
    assert text_of(lc_cache) == "kept"


def test_a_scope_can_be_required(make_cache: Callable[..., SemanticCache]) -> None:
    cache = SemrouteCache(cache=make_cache(require_scope=True))
    cache.update(ASKED, LLM, answer("animals"))
    assert text_of(cache) is None
    acme = cache.with_namespace("acme")
    acme.update(ASKED, LLM, answer("animals"))
    assert text_of(acme) == "animals"


def test_the_words_of_a_template_can_be_named(trusting_core: SemanticCache) -> None:
    lc_cache = SemrouteCache(cache=trusting_core)

    def page(title: str, words: str) -> str:
        return f"Use the handbook, page {title}, for this: {words} Be brief."

    for title, words in (("A", "how do I reset the router?"), ("B", "how do I reset the router")):
        with semroute.scope(query=words):
            lc_cache.update(page(title, words), LLM, answer(f"see {title}"))
    with semroute.scope(query="How do I reset the router?"):
        found = lc_cache.lookup(page("B", "How do I reset the router?"), LLM)
    assert found is not None
    assert found[0].text == "see B"


@pytest.mark.parametrize("deed", ["lookup", "update", "clear"])
async def test_a_broken_core_never_breaks_the_call(
    lc_cache: SemrouteCache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, deed: str
) -> None:
    for name in (deed, f"a{deed}"):
        monkeypatch.setattr(lc_cache.core, name, lambda *_, **__: 1 / 0, raising=False)
    arguments: tuple[Any, ...] = {"lookup": (ASKED, LLM), "update": (ASKED, LLM, answer("x")), "clear": ()}[deed]
    with caplog.at_level(logging.WARNING, "semroute"):
        for _ in range(3):
            assert getattr(lc_cache, deed)(*arguments) is None
            assert await getattr(lc_cache, f"a{deed}")(*arguments) is None
    assert len([record for record in caplog.records if record.name == "semroute.langchain"]) == 1


def test_a_store_that_raises_everywhere_leaves_the_model_alone(
    make_cache: Callable[..., SemanticCache], parrot: Any, streaming_parrot: Any
) -> None:
    core = SemanticCache(BrokenStore())  # type: ignore[arg-type]  # it is meant to be wrong in every way
    plain = parrot.model_copy(update={"cache": SemrouteCache(cache=core)})
    mixed, streaming = cached(parrot, core), cached(streaming_parrot, core)
    for _ in range(2):
        assert plain.invoke(ASKED).text == f"You said: {ASKED}"
        assert mixed.invoke(ASKED).text == f"You said: {ASKED}"
        assert "".join(chunk.text for chunk in streaming.stream(ASKED)) == f"You said: {ASKED}"
    assert asyncio.run(mixed.ainvoke(ASKED)).text == f"You said: {ASKED}"
    SemrouteCache(cache=core).clear()


def test_an_answer_that_cannot_be_encoded_reaches_the_caller(lc_cache: SemrouteCache, parrot: Any) -> None:
    parrot.replies["Say half of it"] = "half a pair \ud83d"
    model = cached(parrot, lc_cache)
    assert [model.invoke("Say half of it").text for _ in range(2)] == ["half a pair \ud83d"] * 2


SECRET = "Bearer very-secret-value"


def test_secrets_reach_neither_store_nor_log_nor_key(
    make_cache: Callable[..., SemanticCache], make_openai: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    core = make_cache(f"sqlite:///{tmp_path}/answers.db")
    settings = {
        "default_headers": {"Authorization": SECRET},
        "model_kwargs": {"user": SECRET},
        "extra_body": {"token": SECRET},
    }
    with caplog.at_level(logging.DEBUG, "semroute"):
        plain = make_openai(cache=SemrouteCache(cache=core), **settings)
        assert SECRET in plain._get_llm_string()
        for model in (plain, cached(make_openai(**settings), core)):
            model.invoke(ASKED)
            hit = model.invoke(ASKED)
            assert hit.response_metadata["semroute"]["tier"] == "l1"
        list(cached(make_openai(**settings), core).stream("What are dogs?"))
        request = plain.cache.asker.of_strings(ASKED, plain._get_llm_string(), plain.cache._identities)
    core.close()
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"You asked: What are cats?" in kept
    for place in (kept.decode("utf-8", "replace"), caplog.text, repr(request), core.key(request), repr(plain.cache)):
        assert "very-secret-value" not in place


def test_copies_share_the_cache(lc_cache: SemrouteCache, parrot: Any) -> None:
    assert copy.copy(lc_cache) is lc_cache
    assert copy.deepcopy(lc_cache) is lc_cache
    model = cached(parrot, lc_cache.with_namespace("acme"))
    assert model.model_copy(deep=True).cache is model.cache
    model = parrot.model_copy(update={"cache": lc_cache})
    assert model.model_copy(deep=True).cache is lc_cache


def test_it_says_what_it_is_without_opening_anything(tmp_path: Path) -> None:
    cache = SemrouteCache(tmp_path / "answers.db", require_scope=True).with_namespace("acme")
    assert "acme" in repr(cache)
    assert cache.core.settings.require_scope
    assert list(tmp_path.iterdir()) == []


def test_settings_that_contradict_each_other_are_refused(cache: SemanticCache) -> None:
    with pytest.raises(ConfigError, match="either a cache or"):
        SemrouteCache("memory://", cache=cache)
    with pytest.raises(ConfigError, match="'zero' or 'keep', not 'none'"):
        SemrouteCache(cache=cache, usage="none")  # type: ignore[arg-type]  # the mistake under test
    with pytest.raises(ConfigError, match="treshold"):
        SemrouteCache("memory://", treshold=0.9)


def test_as_the_global_cache_it_serves_models_of_every_kind(lc_cache: SemrouteCache, openai: Any, stub: Any) -> None:
    before = get_llm_cache()
    set_llm_cache(lc_cache)
    try:
        text = FakeListLLM(responses=["one", "two"])
        assert [text.invoke("Count"), text.invoke("Count")] == ["one", "one"]
        assert text.generate(["Go on", "Go on"]).generations[0][0].text
        assert openai.invoke(ASKED).content == openai.invoke(ASKED).content
        assert stub.calls == 1
    finally:
        set_llm_cache(before)
