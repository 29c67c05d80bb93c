"""SemanticCacheQueryEngine: a query engine whose answers are kept, with their sources, and served where they hold."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias, TypeVar

from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.response.schema import (
    RESPONSE_TYPE,
    AsyncStreamingResponse,
    Response,
    StreamingResponse,
)
from llama_index.core.callbacks.schema import CBEventType, EventPayload
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.prompts.mixin import PromptDictType, PromptMixinType
from llama_index.core.schema import NodeWithScore, QueryBundle, QueryType
from llama_index.core.types import TokenAsyncGen, TokenGen
from pydantic import BaseModel

from llama_index_semroute import _responses
from llama_index_semroute._cores import CacheLike, checked_pieces, core_of
from llama_index_semroute._engine_request import Asker
from llama_index_semroute._overheard import Overheard, hearing, listener
from llama_index_semroute._vectors import handed_down
from llama_index_semroute.events import tell
from semroute.binding import bound, rebound
from semroute.cache import SemanticCache
from semroute.calls.call import Call
from semroute.calls.notices import Notices
from semroute.calls.streams import asteps, steps
from semroute.calls.values import Unsure
from semroute.entry import EVERY_DOCUMENT, Answer
from semroute.errors import ConfigError
from semroute.rehearsal import Trace

S = TypeVar("S", TokenGen, TokenAsyncGen)
Version: TypeAlias = str | int | Callable[[], str | int] | None
_EMPTY = "Empty Response"
"""What the framework answers where nothing was retrieved, and also where a model has said nothing or has failed."""


class SemanticCacheQueryEngine(BaseQueryEngine):
    """A query engine in front of another one: what was asked before, in these words or in others, is not asked again.

    `cache` is the core's, a store's URL or path, or None for the default store. `corpus` names the documents behind
    the engine: without a name, answers belong to this very index, and are lost to one that is built anew.
    `corpus_version`, or a function that returns it, parts the answers of one version from those of another; without it
    they live for a week at most. An answer is served only to an engine with the same documents, prompts, models,
    response mode, postprocessors and retriever settings, metadata filters among them. They are read off the engine, and
    read anew where they were changed. Where they cannot be read, `fingerprint` has to stand for them, or the engine is
    asked each time, with a warning. `output_cls` is the class of structured answers, where the engine does not tell.

    Answers come as the engine's own did: plain, structured or as a stream (in pieces of `replay_chunk_chars`), with
    equal source nodes and scores. `response.metadata["semroute"]` says how each came about;
    `cache.invalidate(doc_ids=…)` removes what was made from a document. Raises ConfigError where another engine with
    the same settings asks another index, and neither has a `corpus`.
    """

    def __init__(
        self,
        inner: BaseQueryEngine,
        *,
        cache: CacheLike = None,
        corpus: str | None = None,
        corpus_version: Version = None,
        fingerprint: str | None = None,
        output_cls: type[BaseModel] | None = None,
        replay_chunk_chars: int = 40,
    ) -> None:
        if not isinstance(inner, BaseQueryEngine):
            raise ConfigError(f"SemanticCacheQueryEngine takes a query engine, not {type(inner).__name__}")
        super().__init__(callback_manager=inner.callback_manager)
        self.inner = inner
        self.cache: SemanticCache = core_of(cache)
        self._output_cls = output_cls
        self._piece_characters = checked_pieces(replay_chunk_chars)
        self._notices = Notices("semroute.llama_index")
        self._asker = Asker(inner, self.cache, corpus, corpus_version, fingerprint)
        self._asker.claim()

    def __repr__(self) -> str:
        return f"<SemanticCacheQueryEngine of {type(self.inner).__name__}, corpus {self._asker.corpus!r}>"

    # --- the framework's interface -----------------------------------------------------------------------------

    def _query(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        call = self._opened(query_bundle, is_async=False)
        if call is None:
            return self.inner.query(query_bundle)
        with ExitStack() as until_answered:
            until_answered.callback(call.end)
            served = call.served()
            tell("query_engine", call.explanation)
            if served is not None:
                return self._heard(query_bundle, served)
            overheard = listener()
            with hearing(overheard):
                response = self.inner.query(handed_down(query_bundle, self.inner, self.cache, call))
            self._mark(call, response)
            answer = partial(self._answer, call, overheard)
            if isinstance(response, StreamingResponse):
                stream = _Stream(response, call, overheard, until_answered.pop_all())
                response.response_gen = stream.read(response.response_gen, answer)
            else:
                call.store(partial(answer, response, _text(response)))
            return response

    async def _aquery(self, query_bundle: QueryBundle) -> RESPONSE_TYPE:
        call = self._opened(query_bundle, is_async=True)
        if call is None:
            return await self.inner.aquery(query_bundle)
        with ExitStack() as until_answered:
            until_answered.callback(call.end)
            served = await call.aserved()
            tell("query_engine", call.explanation)
            if served is not None:
                return self._heard(query_bundle, served)
            overheard = listener()
            with hearing(overheard):
                response = await self.inner.aquery(handed_down(query_bundle, self.inner, self.cache, call))
            self._mark(call, response)
            answer = partial(self._answer, call, overheard)
            if isinstance(response, AsyncStreamingResponse):
                stream = _Stream(response, call, overheard, until_answered.pop_all())
                response.response_gen = stream.aread(response.response_gen, answer)
            elif isinstance(response, StreamingResponse):  # an engine without an asynchronous side of its own
                stream = _Stream(response, call, overheard, until_answered.pop_all())
                response.response_gen = stream.read(response.response_gen, answer)
            else:
                await call.astore(partial(answer, response, _text(response)))
            return response

    def retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        return self.inner.retrieve(query_bundle)

    async def aretrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        """Retrieve as the inner engine does; raises AttributeError for one that cannot."""
        nodes: list[NodeWithScore] = await self.inner.aretrieve(query_bundle)  # type: ignore[attr-defined]  # not every engine has it
        return nodes

    def synthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        return self.inner.synthesize(query_bundle, nodes, additional_source_nodes)

    async def asynthesize(
        self,
        query_bundle: QueryBundle,
        nodes: list[NodeWithScore],
        additional_source_nodes: Sequence[NodeWithScore] | None = None,
    ) -> RESPONSE_TYPE:
        return await self.inner.asynthesize(query_bundle, nodes, additional_source_nodes)

    @property
    def retriever(self) -> BaseRetriever:
        """The inner engine's retriever; raises AttributeError for an engine that has none."""
        retriever: BaseRetriever = self.inner.retriever  # type: ignore[attr-defined]  # not every engine has one
        return retriever

    def get_prompts(self) -> PromptDictType:
        """Return the inner engine's prompts, under its own names."""
        return self.inner.get_prompts()

    def update_prompts(self, prompts_dict: PromptDictType) -> None:
        """Change the inner engine's prompts; answers to the former ones are not served any more."""
        self.inner.update_prompts(prompts_dict)

    def _get_prompt_modules(self) -> PromptMixinType:
        return {"query_engine": self.inner}

    # --- the core's care ---------------------------------------------------------------------------------------

    def explain(self, question: QueryType) -> Trace:
        """Walk through a lookup as it would go; nothing is served, stored or counted.

        Raises ConfigError for an engine that is never cached, StoreError where the store cannot be opened.
        """
        bundle = QueryBundle(question) if isinstance(question, str) else question
        try:
            return self.cache.explain(self._asker.request(bundle))
        except Unsure as doubt:
            raise ConfigError(f"a query of this engine is not cached: {doubt}") from doubt

    def _semroute_form(self) -> object:
        """Say what it is to an engine round this one."""
        return self._asker.form()

    # --- small parts -------------------------------------------------------------------------------------------

    def _opened(self, bundle: QueryBundle, *, is_async: bool) -> Call[_responses.AnyResponse] | None:
        """Return the call of a query, or None where it is to go past the cache."""
        words: object = bundle.query_str
        if not isinstance(words, str) or not words.strip():
            return None
        try:
            request = self._asker.request(bundle)
        except Unsure as doubt:
            self._notices.tell(f"queries are not cached: {doubt}")
            return None
        except Exception as error:  # fail open: engines are of every kind, and must answer without a cache
            self._notices.failed("lookup", error)
            return None
        for note in self._asker.notes:
            self._notices.tell(note)
        output_cls = self._output_class()
        revive = partial(
            _responses.revive, output_cls=output_cls, piece_characters=self._piece_characters, is_async=is_async
        )
        return Call(self.cache, request, revive, self._notices)

    def _heard(self, bundle: QueryBundle, response: _responses.AnyResponse) -> RESPONSE_TYPE:
        """Return a hit; handlers hear it as they would hear the inner engine's answer."""
        payload: dict[str, Any] = {EventPayload.QUERY_STR: bundle.query_str}
        with self.callback_manager.event(CBEventType.QUERY, payload=payload) as event:
            event.on_end(payload={EventPayload.RESPONSE: response})
        return response

    def _mark(self, call: Call[Any], response: RESPONSE_TYPE) -> None:
        if call.explanation is not None:
            _responses.mark(response, call.explanation.as_dict())

    def _answer(
        self, call: Call[Any], overheard: Overheard, response: RESPONSE_TYPE, text: str | None
    ) -> Answer | None:
        """Return the answer to keep; None where nothing was found or said, or it would not come back as it was."""
        if text == _EMPTY or (not response.source_nodes and text == _empty_answer_of(self.inner)):
            return None
        try:
            model, latency_s = self._asker.model, call.latency_s
            answer = _responses.encode(response, text, self._output_class(), model=model, latency_s=latency_s)
            if answer is not None and not self._has_left_some(response):
                answer = replace(answer, documents=(*answer.documents, EVERY_DOCUMENT))
            return None if answer is None else overheard.added_to(answer)
        except Unsure as doubt:
            self._notices.tell(f"an answer is not cached: {doubt}")
            return None

    def _has_left_some(self, response: RESPONSE_TYPE) -> bool:
        """Say whether the retriever has found as many as it may: a document more would not surely be among them."""
        retriever = getattr(self.inner, "retriever", None)
        most: object = getattr(retriever, "similarity_top_k", None)
        return isinstance(most, int) and len(response.source_nodes) >= most

    def _output_class(self) -> type[BaseModel] | None:
        if self._output_cls is not None:
            return self._output_cls
        synthesizer = getattr(self.inner, "_response_synthesizer", None)
        llm = getattr(synthesizer, "_llm", None)
        told = llm.output_cls if isinstance(llm, StructuredLLM) else getattr(synthesizer, "_output_cls", None)
        return told if isinstance(told, type) and issubclass(told, BaseModel) else None


class _Stream:
    """A fresh answer that is read as it comes: kept when it was read to its end, and only then."""

    def __init__(
        self,
        response: StreamingResponse | AsyncStreamingResponse,
        call: Call[Any],
        overheard: Overheard,
        until_read: ExitStack,
    ) -> None:
        self._call = call
        self._overheard = overheard
        self._binding = bound()
        self._until_read = until_read
        # Not the response itself: it holds the stream, and must be free to go unread.
        self._whole = StreamingResponse(iter(()), response.source_nodes, response.metadata)  # type: ignore[arg-type]  # nobody reads it
        call.rests()

    @contextmanager
    def _around(self) -> Iterator[None]:
        """Have a step of the stream made as the query was: in its scope, and heard."""
        with rebound(self._binding), hearing(self._overheard):
            yield

    def read(self, pieces: TokenGen, answer: Callable[..., Answer | None]) -> TokenGen:
        """Return a stream with the same pieces, each made in the scope in which it was asked for."""
        return self._ended(self._read(pieces, answer))

    def aread(self, pieces: TokenAsyncGen, answer: Callable[..., Answer | None]) -> TokenAsyncGen:
        """Do what `read` does on the event loop."""
        return self._ended(self._aread(pieces, answer))

    def _ended(self, stream: S) -> S:
        """End the call with a stream that nobody reads: who does may have let go of the response."""
        weakref.finalize(stream, self._until_read.close)
        return stream

    def _read(self, pieces: TokenGen, answer: Callable[..., Answer | None]) -> TokenGen:
        taken: list[str] = []
        self._call.rests(is_idle=False)
        with self._until_read:
            for piece in steps(self._around, lambda: pieces):
                taken.append(piece)
                yield piece
            self._call.store(partial(answer, self._whole, "".join(taken)))

    async def _aread(self, pieces: TokenAsyncGen, answer: Callable[..., Answer | None]) -> TokenAsyncGen:
        taken: list[str] = []
        self._call.rests(is_idle=False)
        with self._until_read:
            async for piece in asteps(self._around, lambda: pieces):
                taken.append(piece)
                yield piece
            await self._call.astore(partial(answer, self._whole, "".join(taken)))


def _text(response: RESPONSE_TYPE) -> str | None:
    return response.response if isinstance(response, Response) else None


def _empty_answer_of(engine: BaseQueryEngine) -> str:
    told = getattr(getattr(engine, "_response_synthesizer", None), "_empty_response", None)
    return told if isinstance(told, str) else _EMPTY
