"""What LlamaIndex's own handlers hear of a query: of a miss what the engine says by itself, of a hit no model."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import llama_index.core
import pytest
from llama_index.core import Document, Settings, VectorStoreIndex
from llama_index.core.base.base_query_engine import BaseQueryEngine
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler, TokenCountingHandler
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.events.exception import ExceptionEvent
from llama_index.core.instrumentation.span_handlers import SimpleSpanHandler
from llama_index.llms.openai import OpenAI
from llama_index_semroute.embeddings import LlamaIndexEmbedder
from llama_index_semroute.events import SemrouteLookupEvent
from llama_index_semroute.query_engine import SemanticCacheQueryEngine

from semroute.testing.embedders import HashEmbedder

from .handbook import QUESTION, SAME_IN_OTHER_WORDS, index_of

OURS = "SemanticCacheQueryEngine"
BEGUN, ENDED = ["QueryStartEvent", "SemrouteLookupEvent"], ["QueryEndEvent"]
EMBEDDED = ("EmbeddingStartEvent", "EmbeddingEndEvent")
"""What an engine says of the query's vector: on a miss the cache has computed it, and hands it down."""
STREAMS = ("OpenAI.stream", "OpenAI.astream")
BROKEN_STREAM = "BREAK: how do I block a lost badge?"
FAILED_CALL = "STATUS 500: how do I block a lost badge?"


class Spans(SimpleSpanHandler):
    """Keeps the spans of LlamaIndex's root dispatcher."""

    def forget(self) -> None:
        for spans in (self.open_spans, self.completed_spans, self.dropped_spans):
            spans.clear()

    def paths(self) -> list[tuple[str, ...]]:
        """Return the way to each closed span through those above it, but not to those of the embedding model."""
        closed = {span.id_: span for span in (*self.completed_spans, *self.dropped_spans)}

        def path(id_: str | None) -> tuple[str, ...]:
            if id_ is None:
                return ()
            return (*path(closed[id_].parent_id), id_.split("-")[0])

        return sorted(way for way in map(path, closed) if not any("Embedding" in name for name in way))


@pytest.fixture
def spans() -> Iterator[Spans]:
    """Listen to the spans of LlamaIndex's root dispatcher for as long as a test lasts."""
    handler, root = Spans(), get_dispatcher()
    root.add_span_handler(handler)
    yield handler
    root.span_handlers.remove(handler)


class Face:
    """Asks an engine by its sync or its async side, and reads its streams."""

    def __init__(self, way: str) -> None:
        self.way = way

    async def ask(self, engine: BaseQueryEngine, question: str = QUESTION) -> Any:
        answer = getattr(engine, self.way)(question)
        return await answer if inspect.isawaitable(answer) else answer

    async def read(self, response: Any, pieces: int | None = None) -> None:
        """Read a stream to its end, or that many pieces of it, and then let it go."""
        stream = response.response_gen
        if isinstance(stream, AsyncIterator):
            while pieces is None or pieces > 0:
                if await anext(stream, None) is None:
                    return
                pieces = None if pieces is None else pieces - 1
            await stream.aclose()
        else:
            while pieces is None or pieces > 0:
                if next(stream, None) is None:
                    return
                pieces = None if pieces is None else pieces - 1
            stream.close()


@pytest.fixture(params=["query", "aquery"])
def face(request: pytest.FixtureRequest) -> Face:
    return Face(request.param)


Act = Callable[[BaseQueryEngine], Awaitable[None]]


@pytest.fixture
def bare(openai: OpenAI) -> BaseQueryEngine:
    return index_of().as_query_engine(llm=openai)


@pytest.fixture
def bare_stream(openai: OpenAI) -> BaseQueryEngine:
    return index_of().as_query_engine(llm=openai, streaming=True)


def without_embedding(names: list[str]) -> list[str]:
    return [name for name in names if name not in EMBEDDED]


async def heard_of(act: Act, engine: BaseQueryEngine, heard: Any, spans: Spans) -> tuple[list[str], list[Any]]:
    """Return the names of the events and the paths of the spans that an act brings about; all spans are closed."""
    heard.events.clear()
    spans.forget()
    await act(engine)
    assert not spans.open_spans
    return without_embedding(heard.names()), spans.paths()


def under_ours(paths: list[Any], way: str) -> list[Any]:
    """Return the spans of an engine where they belong: under those of the engine that asks it.

    But a model's stream is read when the query is over, and stands for itself.
    """
    ours = ((f"{OURS}.{way}",), (f"{OURS}.{way}", f"{OURS}._{way}"))
    return sorted([*ours, *(path if path[0] in STREAMS else (*ours[1], *path) for path in paths)])


class TestEventsAndSpans:
    @pytest.mark.parametrize(("words", "tier"), [(QUESTION, "l1"), (SAME_IN_OTHER_WORDS, "l2")])
    @pytest.mark.parametrize("inner", ["bare", "bare_stream"])
    async def test_a_hit_is_a_query_and_a_lookup_and_nothing_else(
        self, request: pytest.FixtureRequest, face: Face, cache, heard, spans, inner: str, words: str, tier: str
    ) -> None:
        engine = SemanticCacheQueryEngine(request.getfixturevalue(inner), cache=cache)

        async def asked(engine: BaseQueryEngine) -> None:
            response = await face.ask(engine, words)
            if inner == "bare_stream":
                await face.read(response)

        first = await face.ask(engine)
        if inner == "bare_stream":
            await face.read(first)
        names, paths = await heard_of(asked, engine, heard, spans)
        assert names == [*BEGUN, *ENDED]
        assert paths == under_ours([], face.way)
        told = heard.events[1]
        assert isinstance(told, SemrouteLookupEvent)
        assert (told.subject, told.tier, told.explanation["tier"]) == ("query_engine", tier, tier)
        assert told.span_id is not None
        assert told.span_id.startswith(f"{OURS}._{face.way}-")

    async def test_of_a_miss_the_engine_says_what_it_says_by_itself(
        self, face: Face, bare, cache, heard, spans
    ) -> None:
        alone, alone_paths = await heard_of(face.ask, bare, heard, spans)
        engine = SemanticCacheQueryEngine(bare, cache=cache)
        names, paths = await heard_of(face.ask, engine, heard, spans)
        assert names == [*BEGUN, *alone, *ENDED]
        assert paths == under_ours(alone_paths, face.way)
        for name in ("LLMChatStartEvent", "LLMChatEndEvent", "RetrievalStartEvent", "SynthesizeEndEvent"):
            assert names.count(name) == 1

    @pytest.mark.parametrize("pieces", [None, 0], ids=["read later", "never read"])
    async def test_of_a_stream_the_engine_says_what_it_says_by_itself(
        self, face: Face, bare_stream, cache, heard, spans, pieces: int | None
    ) -> None:
        async def streamed(engine: BaseQueryEngine) -> None:
            await face.read(await face.ask(engine), pieces)

        alone, alone_paths = await heard_of(streamed, bare_stream, heard, spans)
        names, paths = await heard_of(streamed, SemanticCacheQueryEngine(bare_stream, cache=cache), heard, spans)
        assert sorted(names) == sorted([*BEGUN, *alone, *ENDED])
        assert paths == under_ours(alone_paths, face.way)
        assert names.count("LLMChatEndEvent") == (1 if pieces is None else 0)

    async def test_a_stream_that_is_abandoned_ends_what_it_began(
        self, face: Face, bare_stream, cache, heard, spans
    ) -> None:
        async def abandoned(engine: BaseQueryEngine) -> None:
            await face.read(await face.ask(engine), 2)
            for _ in range(10):  # the framework leaves a model's asynchronous stream to the loop's next rounds
                await asyncio.sleep(0)

        names, paths = await heard_of(abandoned, SemanticCacheQueryEngine(bare_stream, cache=cache), heard, spans)
        assert (names.count("LLMChatStartEvent"), names.count("LLMChatEndEvent")) == (1, 0)
        cuts = [event.exception for event in heard.events if isinstance(event, ExceptionEvent)]
        assert [type(cut) for cut in cuts] == [GeneratorExit]
        assert len(paths) == len(set(paths))
        assert (cache.size().entries, len(cache.flights)) == (0, 0)

    async def test_a_stream_that_breaks_is_told_of_as_the_engine_tells_of_it(
        self, face: Face, bare_stream, cache, heard, spans
    ) -> None:
        async def broken(engine: BaseQueryEngine) -> None:
            response = await face.ask(engine, BROKEN_STREAM)
            with pytest.raises(Exception, match="The server had an error"):
                await face.read(response)

        alone, alone_paths = await heard_of(broken, bare_stream, heard, spans)
        names, paths = await heard_of(broken, SemanticCacheQueryEngine(bare_stream, cache=cache), heard, spans)
        assert sorted(names) == sorted([*BEGUN, *alone, *ENDED])
        assert paths == under_ours(alone_paths, face.way)
        assert (names.count("ExceptionEvent"), names.count("LLMChatEndEvent")) == (1, 0)
        assert cache.size().entries == 0

    async def test_a_call_that_fails_drops_every_span(self, face: Face, bare, cache, heard, spans) -> None:
        async def failed(engine: BaseQueryEngine) -> None:
            with pytest.raises(Exception, match="The server had an error"):
                await face.ask(engine, FAILED_CALL)

        alone, alone_paths = await heard_of(failed, bare, heard, spans)
        names, paths = await heard_of(failed, SemanticCacheQueryEngine(bare, cache=cache), heard, spans)
        assert names == [*BEGUN, *alone, "SpanDropEvent", "SpanDropEvent"]
        assert paths == under_ours(alone_paths, face.way)
        assert {span.id_.split("-")[0] for span in spans.dropped_spans} >= {f"{OURS}.{face.way}", f"{OURS}._{face.way}"}

    async def test_equal_queries_at_once_are_each_told_of_and_their_model_once(self, bare, cache, heard, spans) -> None:
        async def at_once(engine: BaseQueryEngine) -> None:
            await asyncio.gather(*(engine.aquery(QUESTION) for _ in range(5)))

        _, alone_paths = await heard_of(lambda engine: engine.aquery(QUESTION), bare, heard, spans)
        names, paths = await heard_of(at_once, SemanticCacheQueryEngine(bare, cache=cache), heard, spans)
        tiers = [event.tier for event in heard.events if isinstance(event, SemrouteLookupEvent)]
        assert sorted(tiers) == ["l1", "l1", "l1", "l1", "miss"]
        assert (names.count("QueryStartEvent"), names.count("QueryEndEvent")) == (6, 6)
        assert (names.count("LLMChatStartEvent"), names.count("LLMChatEndEvent")) == (1, 1)
        assert paths == sorted([*under_ours(alone_paths, "aquery"), *under_ours([], "aquery") * 4])

    async def test_a_query_that_goes_past_the_cache_is_no_lookup(self, face: Face, bare, cache, heard, spans) -> None:
        async def blank(engine: BaseQueryEngine) -> None:
            await face.ask(engine, " ")

        alone, _ = await heard_of(blank, bare, heard, spans)
        names, _ = await heard_of(blank, SemanticCacheQueryEngine(bare, cache=cache), heard, spans)
        assert names == ["QueryStartEvent", *alone, "QueryEndEvent"]


class Debug(LlamaDebugHandler):
    """Keeps the beginnings and the ends of traces, too."""

    def __init__(self) -> None:
        super().__init__(print_trace_on_end=False)
        self.traces: list[str] = []

    def start_trace(self, trace_id: str | None = None) -> None:
        self.traces.append(f"start {trace_id}")
        super().start_trace(trace_id)

    def end_trace(self, trace_id: str | None = None, trace_map: dict[str, list[str]] | None = None) -> None:
        self.traces.append(f"end {trace_id}")
        super().end_trace(trace_id, trace_map)

    def pairs(self) -> list[tuple[CBEventType, int]]:
        """Return the types of the events, each with how many of its two ends were told, but not of embeddings."""
        pairs = [(pair[0].event_type, len(pair)) for pair in self.get_event_pairs()]
        return [pair for pair in pairs if pair[0] is not CBEventType.EMBEDDING]


class Hashes(BaseEmbedding):
    """An embedding model of the application's own, whose calls handlers are told of."""

    model_name: str = "hashes-1"

    def _get_text_embedding(self, text: str) -> list[float]:
        return [float(value) for value in HashEmbedder().embed([text])[0]]

    def _get_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)

    async def _aget_query_embedding(self, query: str) -> list[float]:
        return self._get_text_embedding(query)


class TestCallbacks:
    """What handlers of the `CallbackManager` are told, which an application counts its tokens by."""

    @pytest.fixture
    def tokens(self, monkeypatch: pytest.MonkeyPatch) -> TokenCountingHandler:
        tables = Path(llama_index.core.__file__).parent / "_static" / "tiktoken_cache"
        monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tables))
        return TokenCountingHandler()

    @pytest.fixture
    def debug(self) -> Debug:
        return Debug()

    @pytest.fixture
    def manager(self, tokens: TokenCountingHandler, debug: Debug) -> Iterator[CallbackManager]:
        before, Settings.callback_manager = Settings._callback_manager, CallbackManager([tokens, debug])
        yield Settings.callback_manager
        Settings._callback_manager = before

    @pytest.fixture(params=[False, True], ids=["whole", "streamed"])
    def engine(self, request: pytest.FixtureRequest, make_openai: Callable[..., OpenAI], manager) -> BaseQueryEngine:
        llm = make_openai(callback_manager=manager)
        return index_of().as_query_engine(llm=llm, streaming=request.param)

    async def told(self, face: Face, engine: BaseQueryEngine, tokens: Any, debug: Debug, words: str = QUESTION) -> Any:
        """Return what one query tells: its tokens in and out, its events and its traces."""
        tokens.reset_counts()
        debug.flush_event_logs()
        debug.traces.clear()
        response = await face.ask(engine, words)
        if hasattr(response, "response_gen"):
            await face.read(response)
        counts = [(count.prompt_token_count, count.completion_token_count) for count in tokens.llm_token_counts]
        return counts, debug.pairs(), list(debug.traces)

    async def test_a_miss_counts_what_the_engine_counts_by_itself(
        self, face: Face, engine, cache, tokens, debug
    ) -> None:
        alone = await self.told(face, engine, tokens, debug)
        assert [min(counts) > 0 for counts in alone[0]] == [True]
        assert {ends for _, ends in alone[1]} == {2}
        wrapped = await self.told(face, SemanticCacheQueryEngine(engine, cache=cache), tokens, debug)
        assert wrapped == alone
        assert wrapped[2][0] == "start query"
        assert wrapped[2][-1].startswith("end ")

    @pytest.mark.parametrize("words", [QUESTION, SAME_IN_OTHER_WORDS])
    async def test_a_hit_counts_nothing(self, face: Face, engine, cache, tokens, debug, words: str) -> None:
        engine = SemanticCacheQueryEngine(engine, cache=cache)
        await self.told(face, engine, tokens, debug)
        counts, pairs, traces = await self.told(face, engine, tokens, debug, words)
        assert (counts, tokens.total_embedding_token_count) == ([], 0)
        assert pairs == [(CBEventType.QUERY, 2)]
        assert traces == ["start query", "end query"]

    async def test_the_tokens_of_a_querys_vector_are_counted_once(
        self, face: Face, make_openai, make_cache, manager, tokens
    ) -> None:
        model = Hashes(callback_manager=manager)
        index = VectorStoreIndex.from_documents([Document(text="A lost badge is blocked.")], embed_model=model)
        inner = index.as_query_engine(llm=make_openai(callback_manager=manager))
        engine = SemanticCacheQueryEngine(inner, cache=make_cache(embedder=LlamaIndexEmbedder(model)))
        counts = []
        for asked in (inner, engine, engine):
            tokens.reset_counts()
            await face.ask(asked)
            counts.append([count.prompt for count in tokens.embedding_token_counts])
        assert counts == [[QUESTION], [QUESTION], []]

    async def test_a_failure_ends_its_events_and_its_trace(self, face: Face, engine, cache, tokens, debug) -> None:
        async def failed(engine: BaseQueryEngine) -> Any:
            debug.flush_event_logs()
            debug.traces.clear()
            with pytest.raises(Exception, match="The server had an error"):
                await face.read(await face.ask(engine, FAILED_CALL))
            return debug.pairs(), list(debug.traces)

        alone = await failed(engine)
        assert await failed(SemanticCacheQueryEngine(engine, cache=cache)) == alone

    async def test_the_manager_is_the_engines_own(self, engine, cache, manager) -> None:
        assert SemanticCacheQueryEngine(engine, cache=cache).callback_manager is engine.callback_manager
