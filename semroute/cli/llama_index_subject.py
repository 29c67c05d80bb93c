"""The LlamaIndex application of a replay: query engines over one index of the companies' help pages."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from llama_index.core import ChatPromptTemplate, Document, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage, CompletionResponse, CompletionResponseGen, LLMMetadata
from llama_index.core.callbacks import CallbackManager, CBEventType
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.llms import CustomLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index_semroute import SemanticCacheQueryEngine, SemrouteEmbedding
from pydantic import PrivateAttr

from semroute.binding import scope
from semroute.cli.replay import Reply
from semroute.cli.stand_in import terms_of
from semroute.entry import Usage
from semroute.errors import ConfigError
from semroute.request import content_digest
from semroute.result import Saved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from semroute.cache import SemanticCache
    from semroute.cli.stand_in import Accountant
    from semroute.cli.stream import Label, Place, Row
    from semroute.embedders import Embedder
    from semroute.result import Hit

_CORPUS: Final = "help pages"
_ANSWERS_A_PAGE: Final = 8
"""Short enough for the embedder to take a page whole."""
_PAGES_A_QUESTION: Final = 2
_QUESTION: Final = "Help pages:\n{context_str}\n\nQuestion: {query_str}"


class Cue:
    """What the stand-in is to say next, and what its call has consumed: the retrieved pages among it."""

    def __init__(self, accountant: Accountant) -> None:
        self.accountant = accountant
        self.row: Row | None = None
        self.usage: Usage | None = None
        """None until the stand-in is called."""

    def give(self, row: Row) -> None:
        self.row, self.usage = row, None

    def said_to(self, prompt: str) -> str:
        """Return what is said to a prompt, and note its tokens."""
        if self.row is None:
            raise ConfigError("the stand-in model was called outside a replay")
        count = self.accountant.counter.count
        self.usage = Usage(count(prompt), count(self.row.answer_text))
        return self.row.answer_text


class StandInLLM(CustomLLM):
    """An LLM that says what the stream says; its tokens are counted, its latency is stated and not slept."""

    model: str
    _cue: Cue = PrivateAttr()

    def __init__(self, model: str, cue: Cue) -> None:
        super().__init__(model=model)
        self._cue = cue

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=True)

    def _semroute_form(self) -> str:
        """Say what it is: its cue is the stream's next answer, and no setting."""
        return self.model

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._cue.said_to(prompt))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        words = self._cue.said_to(prompt).split(" ")
        for end in range(1, len(words) + 1):
            delta = words[end - 1] if end == 1 else f" {words[end - 1]}"
            yield CompletionResponse(text=" ".join(words[:end]), delta=delta)


class EngineClock(BaseCallbackHandler):
    """Takes the time of what lies behind the cache: retrieval, prompt and model."""

    def __init__(self) -> None:
        super().__init__([], [])
        self._began = 0.0
        self.last_s = 0.0

    def on_event_start(
        self, event_type: CBEventType, payload: Any = None, event_id: str = "", parent_id: str = "", **kwargs: Any
    ) -> str:
        if event_type is CBEventType.QUERY:
            self._began = time.perf_counter()
        return event_id

    def on_event_end(self, event_type: CBEventType, payload: Any = None, event_id: str = "", **kwargs: Any) -> None:
        if event_type is CBEventType.QUERY:
            self.last_s = time.perf_counter() - self._began

    def start_trace(self, trace_id: str | None = None) -> None:
        """A trace takes no time of its own."""

    def end_trace(self, trace_id: str | None = None, trace_map: Any = None) -> None:
        """A trace takes no time of its own."""


class StandInSubject:
    """Asks query engines in front of stand-in models: one for each system prompt, conversation and model.

    System prompt and conversation stand in the engine's template, and so belong to the context. Tenants share the
    engines, and are kept apart by their scope alone: the stream has traps for that. An application would also filter
    what it retrieves. There is no router: each request names its model.
    """

    def __init__(self, cache: SemanticCache, accountant: Accountant, rows: Sequence[Row]) -> None:
        self._cache = cache
        self._cue = Cue(accountant)
        self._clock = EngineClock()
        self._listeners = CallbackManager([self._clock])
        pages = _pages_of(rows)
        self._index = _index_of(pages, cache.embedder)
        self._version = content_digest("\n\n".join(pages.values()))
        self._engines: dict[Place, SemanticCacheQueryEngine] = {}
        self._usages: dict[Label, Usage] = {}
        self.spent_usd = 0.0
        """What the calls cost. The cache's ledger can only estimate it: a query engine tells no usage."""

    def ask(self, row: Row) -> Reply:
        """Ask for the row's answer, through LlamaIndex and the cache."""
        engine = self._engine(row)
        self._cue.give(row)
        with scope(tenant=row.tenant):
            text = str(engine.query(row.query))
        usage = self._cue.usage
        if usage is None:
            return Reply(text, 0.0)
        self._usages[row.label] = usage
        self.spent_usd += terms_of(row.model).price.of(usage)
        return Reply(text, self._clock.last_s)

    def saved_by(self, row: Row, hit: Hit) -> Saved | None:
        """Return what the first call had cost, and how long the stand-in states that it took."""
        usage = self._usages.get(row.label)
        if usage is None:  # an answer of an earlier run
            return self._cue.accountant.saved(row)
        terms = terms_of(row.model)
        return Saved(usage.total_tokens, terms.price.of(usage), terms.seconds(usage))

    def is_right(self, row: Row, text: str) -> bool:
        """Compare with the one answer that the stand-in gives."""
        return text == row.answer_text

    def _engine(self, row: Row) -> SemanticCacheQueryEngine:
        place = row.place._replace(tenant=None)
        if place not in self._engines:
            inner = RetrieverQueryEngine.from_args(
                self._index.as_retriever(similarity_top_k=_PAGES_A_QUESTION),
                llm=StandInLLM(row.model, self._cue),
                text_qa_template=template_of(row),
                callback_manager=self._listeners,
            )
            self._engines[place] = SemanticCacheQueryEngine(
                inner, cache=self._cache, corpus=_CORPUS, corpus_version=self._version
            )
        return self._engines[place]


def template_of(row: Row) -> ChatPromptTemplate:
    """Return the prompt of a row's engine: system prompt and conversation, then what was retrieved and the question."""
    head = [ChatMessage(role="system", content=row.system)] if row.system else []
    turns = [ChatMessage(role=turn.role, content=turn.content) for turn in row.history]
    return ChatPromptTemplate([*head, *turns, ChatMessage(role="user", content=_QUESTION)])


def _pages_of(rows: Iterable[Row]) -> dict[str, str]:
    """Return each company's help pages by their ids: what the stream says that it answers, a few answers a page."""
    told: dict[str | None, dict[str, None]] = {}
    for row in rows:
        told.setdefault(row.tenant, {})[row.answer_text] = None
    pages: dict[str, str] = {}
    for tenant, texts in told.items():
        answers = list(texts)
        for number, start in enumerate(range(0, len(answers), _ANSWERS_A_PAGE), start=1):
            pages[f"{tenant}/{number}"] = "\n".join(answers[start : start + _ANSWERS_A_PAGE])
    return pages


def _index_of(pages: dict[str, str], embedder: Embedder) -> VectorStoreIndex:
    documents = [Document(text=text, doc_id=name) for name, text in pages.items()]
    return VectorStoreIndex.from_documents(documents, embed_model=SemrouteEmbedding(embedder))
