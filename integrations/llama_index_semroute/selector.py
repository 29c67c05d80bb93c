"""SemrouteSelector: which query engine a question goes to, by meaning or by what another selector once said."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from llama_index.core.base.base_selector import BaseSelector, SelectorResult
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.schema import QueryBundle
from llama_index.core.tools.types import ToolMetadata

from llama_index_semroute._cores import CacheLike, core_of
from llama_index_semroute._forms import EngineForm, read
from llama_index_semroute._nearness import Near, Nearness
from llama_index_semroute._selections import SemrouteSelection, answer_of, explained, nearest, revived, selected
from llama_index_semroute.events import tell
from semroute.calls.call import Call
from semroute.calls.notices import Notices
from semroute.calls.values import Unsure, plain
from semroute.defaults import default_embedder
from semroute.entry import JSON
from semroute.errors import ConfigError
from semroute.request import fold
from semroute.trail import Ahead

if TYPE_CHECKING:
    from semroute.cache import SemanticCache
    from semroute.embedders import Embedder
    from semroute.request import Request

MIN_CONFIDENCE: Final = 0.75


class SemrouteSelector(BaseSelector):
    """Selects for a `RouterQueryEngine`: at no cost where it can, and never twice at a model's cost.

    By itself it selects the choice whose description is nearest to the question, by the cosine of `embedder`'s vectors
    (by default that of the cache, or the ONNX embedder). Its confidence is the softmax over all choices' cosines, each
    divided by 0.05: it is 0.88 where the best of two is ahead by 0.1, and it knows nothing of questions that no choice
    fits.

    Round an `inner` selector, such as an LLMSingleSelector, it keeps that one's answers in `cache` and serves them for
    the same question, or for one that means the same: to the same choices (names and descriptions, in their order), of
    the same selector with the same prompts and model, in the same scope. An inner selector whose settings cannot be
    read is asked each time, with a warning. With both an `inner` selector and an `embedder`, the inner one is asked
    only where the confidence is under `min_confidence`.

    The result is a `SemrouteSelection`, made anew for each caller.
    """

    def __init__(
        self,
        inner: BaseSelector | None = None,
        *,
        cache: CacheLike = None,
        embedder: Embedder | None = None,
        min_confidence: float = MIN_CONFIDENCE,
    ) -> None:
        _check(inner, embedder, min_confidence)
        self.inner = inner
        self.min_confidence = min_confidence
        has_cache = inner is not None or cache is not None
        self.cache: SemanticCache | None = core_of(cache) if has_cache else None
        self._nearness = self._nearness_of(embedder)
        self._notices = Notices("semroute.llama_index")
        self._form: EngineForm | None = None

    def __repr__(self) -> str:
        by = [] if self._nearness is None else [repr(self._nearness.embedder)]
        by += [] if self.inner is None else [f"{type(self.inner).__name__} behind {self.cache!r}"]
        return f"<SemrouteSelector by {', then '.join(by)}>"

    def _select(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        _check_choices(choices)
        near = self._near(choices, query)
        if near is not None and self._is_enough(near):
            return nearest(near)
        call = self._opened(choices, query, near)
        if call is None:
            return selected(self._asked().select(choices, query), near)
        with ExitStack() as until_answered:
            until_answered.callback(call.end)
            served = call.served()
            tell("selector", call.explanation)
            if served is None:
                result = self._asked().select(choices, query)
                call.store(lambda: answer_of(result, choices, call.latency_s))
                served = selected(result, near)
            return explained(served, near, call)

    async def _aselect(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> SelectorResult:
        _check_choices(choices)
        near = None if self._nearness is None else await asyncio.to_thread(self._near, choices, query)
        if near is not None and self._is_enough(near):
            return nearest(near)
        call = self._opened(choices, query, near)
        if call is None:
            return selected(await self._asked().aselect(choices, query), near)
        with ExitStack() as until_answered:
            until_answered.callback(call.end)
            served = await call.aserved()
            tell("selector", call.explanation)
            if served is None:
                result = await self._asked().aselect(choices, query)
                await call.astore(lambda: answer_of(result, choices, call.latency_s))
                served = selected(result, near)
            return explained(served, near, call)

    # --- prompts are the inner selector's ------------------------------------------------------------------------

    def _get_prompts(self) -> dict[str, Any]:
        return {} if self.inner is None else self.inner._get_prompts()

    def _update_prompts(self, prompts: PromptDictType) -> None:
        if self.inner is not None:
            self.inner._update_prompts(prompts)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {} if self.inner is None else self.inner._get_prompt_modules()

    # --- small parts ---------------------------------------------------------------------------------------------

    def _semroute_form(self) -> list[JSON]:
        """Say what decides its selections, for the keys of query engines; raises Unsure."""
        embedder = None if self._nearness is None else self._nearness.embedder.identity
        inner = None if self.inner is None else self._inner_form().digest
        return [inner, embedder, self.min_confidence]

    def _inner_form(self) -> EngineForm:
        """Read the inner selector, unless it is what it was; raises Unsure."""
        form = self._form
        if form is None or not form.is_current:
            form = self._form = read(self._asked())
        return form

    def _nearness_of(self, embedder: Embedder | None) -> Nearness | None:
        if embedder is not None:
            return Nearness(embedder)
        if self.inner is not None:
            return None
        return Nearness(default_embedder() if self.cache is None else self.cache.embedder)

    def _asked(self) -> BaseSelector:
        if self.inner is None:
            raise ConfigError("there is no inner selector to ask")
        return self.inner

    def _near(self, choices: Sequence[ToolMetadata], query: QueryBundle) -> Near | None:
        """Say which choice is nearest; None where nothing was embedded, and there is a selector to ask instead."""
        if self._nearness is None:
            return None
        try:
            return self._nearness.near(choices, query.query_str)
        except Exception as error:  # an embedder may be the user's code; without it there is still the inner selector
            if self.inner is None:
                raise
            self._notices.failed("embedding a question for a selector", error)
            return None

    def _is_enough(self, near: Near) -> bool:
        return self.inner is None or near.confidence >= self.min_confidence

    def _opened(
        self, choices: Sequence[ToolMetadata], query: QueryBundle, near: Near | None
    ) -> Call[SemrouteSelection] | None:
        """Return the call of the inner selector, or None where it is to go past the cache."""
        cache = self.cache
        if cache is None:
            return None
        try:
            request = self._request(cache, choices, query)
        except Unsure as doubt:
            self._notices.tell(f"a selector is asked each time: {doubt}")
            return None
        except Exception as error:  # fail open: a broken key must never break the call
            self._notices.failed("lookup", error)
            return None
        ahead = None if near is None else self._ahead(cache, request, query.query_str, near)
        return Call(cache, request, partial(revived, count=len(choices)), self._notices, ahead)

    def _request(self, cache: SemanticCache, choices: Sequence[ToolMetadata], query: QueryBundle) -> Request:
        """Build the request: what the inner selector would be asked, and who it is; raises Unsure."""
        told: list[JSON] = [[choice.name, choice.description] for choice in choices]
        params: dict[str, JSON] = {"selector": self._inner_form().digest, "choices": told}
        if query.custom_embedding_strs is not None or query.image_path is not None:
            params["bundle"] = [plain(query.custom_embedding_strs), query.image_path]
        return cache.request(query.query_str, params=params)

    def _ahead(self, cache: SemanticCache, request: Request, text: str, near: Near) -> Ahead | None:
        """Hand the question's vector to the lookup where it is the one that the cache would make itself."""
        if self._nearness is None or self._nearness.embedder is not cache.embedder or cache.settings.strip:
            return None
        if not request.query == text == fold(text) or not cache.embedder.fits(text):
            return None
        return Ahead(vector=near.vector, embedder=cache.embedder.identity, fits=True)


def _check(inner: object, embedder: object, min_confidence: object) -> None:
    if inner is not None and not isinstance(inner, BaseSelector):
        raise ConfigError(f"inner must be a selector such as LLMSingleSelector, not {type(inner).__name__}")
    if embedder is not None and not callable(getattr(embedder, "embed", None)):
        raise ConfigError(
            f"embedder must be one of the cache, not {type(embedder).__name__}: wrap an embedding model of LlamaIndex, "
            "LlamaIndexEmbedder(model)"
        )
    is_number = isinstance(min_confidence, int | float) and not isinstance(min_confidence, bool)
    # A comparison with NaN is false, so NaN is refused too.
    if not (is_number and 0.0 <= min_confidence <= 1.0):  # type: ignore[operator]  # narrowed by is_number
        raise ConfigError(f"min_confidence must be a number in [0, 1], not {min_confidence!r}")


def _check_choices(choices: Sequence[ToolMetadata]) -> None:
    if not choices:
        raise ConfigError("a selector needs at least one choice")
