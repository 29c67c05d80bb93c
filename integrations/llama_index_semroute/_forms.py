"""What a query engine is: its settings, prompts and models in a form that is equal in every process, or a doubt.

Every object that an engine consists of is read by its attributes, and functions and classes of the application's own
by their code. What holds documents (an index, a vector store, a docstore) stands for the corpus and is not read; what
cannot be told apart (a client, a function that reads a file) raises `Unsure`, with the place where it was found.
"""

from __future__ import annotations

import threading
from asyncio import Lock
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from functools import partial
from logging import Logger
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Final

from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.base import BaseLLM
from llama_index.core.callbacks import CallbackManager
from llama_index.core.data_structs.data_structs import IndexStruct
from llama_index.core.graph_stores.types import GraphStore, PropertyGraphStore
from llama_index.core.indices.base import BaseIndex
from llama_index.core.indices.vector_store.retrievers import VectorIndexRetriever
from llama_index.core.schema import BaseNode
from llama_index.core.storage.docstore.types import BaseDocumentStore
from llama_index.core.storage.index_store.types import BaseIndexStore
from llama_index.core.storage.storage_context import StorageContext
from llama_index.core.vector_stores.types import BasePydanticVectorStore, VectorStore
from pydantic import BaseModel

from llama_index_semroute._llm_identity import is_secret, of_llm
from semroute.calls.functions import is_known, methods_of, names_outside, of_function, path
from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical, content_digest

_DOCUMENTS: Final = (
    *(BaseIndex, IndexStruct, BaseNode, BaseDocumentStore, BaseIndexStore, StorageContext),
    *(BasePydanticVectorStore, PropertyGraphStore),
)
"""What holds the corpus: its content is named by the corpus' name and version."""
_DOCUMENT_PROTOCOLS: Final = (VectorStore, GraphStore)
_IDLE: Final = (CallbackManager, Logger, Lock, type(threading.Lock()))
_IDLE_NAMES: Final = frozenset(
    {"callback_manager", "_callback_manager", "verbose", "_verbose", "show_progress", "_show_progress"}
    | {"template_vars", "rate_limiter", "num_workers", "embed_batch_size", "embeddings_cache", "max_retries", "timeout"}
)
"""Attributes that do not change an answer."""
_OWN_FORM: Final = "_semroute_form"
"""The attribute in which a component of ours says what it is."""


@dataclass(frozen=True, slots=True)
class EngineForm:
    """What was read of an engine, for as long as it is what it was."""

    digest: str
    index_ids: tuple[str, ...]
    """Which indices it asks, sorted: they name the corpus where the application does not."""
    model: str | None
    """The model that answers, where it is one."""
    notes: tuple[str, ...]
    """What the application should know of how far its answers are shared."""
    _seen: Seen

    @property
    def is_current(self) -> bool:
        """Whether nothing that was read has been changed since."""
        return self._seen.is_same


def read(engine: object) -> EngineForm:
    """Read an engine, a retriever or any other component; raises Unsure."""
    reader = _Reader()
    digest = content_digest(canonical(reader.form(engine, type(engine).__name__)))
    model = reader.models.pop() if len(reader.models) == 1 else None
    return EngineForm(digest, tuple(sorted(set(reader.index_ids))), model, tuple(reader.notes), reader.seen)


@dataclass(frozen=True, slots=True)
class Seen:
    """What was looked at, as it was then. What lies deeper was looked at by itself: the same object is enough.

    An engine is some sixty objects, and they are looked at again at every query.
    """

    objects: list[tuple[object, dict[str, object]]] = field(default_factory=list)
    collections: list[tuple[object, object]] = field(default_factory=list)
    others: list[tuple[Callable[[], object], object]] = field(default_factory=list)

    @property
    def is_same(self) -> bool:
        try:
            return (
                all(value.__dict__ == known for value, known in self.objects)
                and all(value == known for value, known in self.collections)
                and all(look() == known for look, known in self.others)
            )
        except Exception:  # attributes of every kind are compared, and some refuse to be
            return False

    def note(self, value: object) -> None:
        """Look at a value."""
        match value:
            case list():
                self.collections.append((value, list(value)))
            case dict():
                self.collections.append((value, dict(value)))
            case _ if hasattr(value, "__dict__"):
                self.objects.append((value, dict(vars(value))))

    def ask(self, look: Callable[[], object]) -> None:
        """Note what a question is answered with."""
        self.others.append((look, look()))


def _names(function: FunctionType, names: tuple[str, ...]) -> dict[str, object]:
    return {name: function.__globals__.get(name) for name in names}


@dataclass(slots=True)
class _Reader:
    """Reads one engine, and notes what it comes across."""

    index_ids: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    seen: Seen = field(default_factory=Seen)
    notes: list[str] = field(default_factory=list)
    _above: set[int] = field(default_factory=set)

    def form(self, value: object, place: str) -> JSON:
        """Return the form of a value that was found at a place; raises Unsure."""
        match value:
            case None | bool() | int() | float() | str() | bytes() | Enum():
                return plain(value)
            case type():
                return path(value) if is_known(value.__module__) else plain(value)
            case list() | tuple() | set() | frozenset() | Mapping():
                return self._collection(value, place)
            case BuiltinFunctionType() | FunctionType() | MethodType() | partial():
                return self._function(value, place)
            case BaseLLM():
                return self._model(value, place)
            case BaseEmbedding():
                return self._embedding(value, place)
            case _ if isinstance(value, _DOCUMENTS):
                return self._documents(value)
            case _ if isinstance(value, _IDLE):
                return None
            case _:
                return self._component(value, place)

    def _collection(self, value: object, place: str) -> JSON:
        match value:
            case Mapping():
                self.seen.note(value)
                return {str(key): self.form(item, f"{place}[{key!r}]") for key, item in value.items()}
            case set() | frozenset():
                return sorted((self.form(item, place) for item in value), key=canonical)
            case list() | tuple():
                self.seen.note(value)
                return [self.form(item, f"{place}[{number}]") for number, item in enumerate(value)]
        raise Unsure(f"{place} is a {type(value).__name__}")

    def _function(self, function: object, place: str) -> JSON:
        match function:
            case MethodType():
                return [self.form(function.__self__, place), self.form(function.__func__, place)]
            case partial():
                parts = [function.func, function.args, function.keywords]
                return self.form(parts, place)
            case FunctionType():
                self.seen.ask(partial(_names, function, names_outside(function)))
                try:
                    return of_function(function, self.form, place)
                except Unsure as doubt:
                    raise Unsure(f"{place} is a function that cannot be read: {doubt}") from doubt
        module = getattr(function, "__module__", None)
        if not is_known(module):
            raise Unsure(f"{place} is a function of {module}")
        return f"{module}.{getattr(function, '__qualname__', '')}"

    def _model(self, llm: BaseLLM, place: str) -> JSON:
        self.seen.note(llm)
        try:
            identity = of_llm(llm)
        except Unsure as doubt:
            raise Unsure(f"{place}: {doubt}") from doubt
        if identity.model is not None:
            self.models.add(identity.model)
        if identity.note is not None:
            self.notes.append(identity.note)
        return identity.form

    def _embedding(self, model: BaseEmbedding, place: str) -> JSON:
        """Return an embedding model's name and plain settings; where it runs and who pays for it is left out."""
        self.seen.note(model)
        own = getattr(model, _OWN_FORM, None)
        if own is not None:
            self.seen.ask(own)
            return [path(type(model)), plain(own())]
        told: dict[str, JSON] = {}
        for name, value in _told(model).items():
            if isinstance(value, str | int | float | None):
                told[name] = value
        return [path(type(model)), told]

    def _documents(self, holder: object) -> JSON:
        if isinstance(holder, BaseIndex):
            self.index_ids.append(holder.index_id)
        return path(type(holder))

    def _component(self, value: object, place: str) -> JSON:
        own = getattr(value, _OWN_FORM, None)
        if own is not None:
            self.seen.ask(own)
            return self._own(value, own())
        if not hasattr(value, "__dict__") or _is_foreign(value):
            if isinstance(value, _DOCUMENT_PROTOCOLS):
                return self._documents(value)
            raise Unsure(f"{place} is a {path(type(value))}, which cannot be told apart from another one")
        if id(value) in self._above:
            return "above"
        self.seen.note(value)
        if isinstance(value, VectorIndexRetriever):
            self.seen.ask(partial(_newest, value))
        self._above.add(id(value))
        fields = {name: self.form(item, f"{place}.{name}") for name, item in _told(value).items()}
        if getattr(value, "__pydantic_private__", None):
            self.seen.ask(partial(_private, value))
            fields["private"] = self._hidden(value, place)
        code = {name: self.form(method, f"{place}.{name}") for name, method in _own_methods(type(value))}
        self._above.discard(id(value))
        return [path(type(value)), fields, code]

    def _hidden(self, value: object, place: str) -> dict[str, JSON]:
        """Return the form of an object's private attributes.

        The framework's own keep clients and counters there, which change no answer, beside functions that may.
        """
        forms: dict[str, JSON] = {}
        for name, item in _private(value).items():
            try:
                forms[name] = self.form(item, f"{place}.{name}")
            except Unsure:
                is_idle = name == "_tokenizer" or not callable(item)  # by which the framework counts, and cuts chunks
                if not (is_idle and is_known(type(value).__module__)):
                    raise
        return forms

    def _own(self, value: object, told: object) -> JSON:
        if isinstance(told, Mapping):  # an engine of ours, which names the documents behind it
            self.index_ids.extend(str(name) for name in told.get("corpus", ()))
        return [path(type(value)), plain(told)]


def _told(value: object) -> dict[str, object]:
    """Return the attributes of an object that may change an answer, and hold no secret."""
    told = {name: item for name, item in vars(value).items() if name not in _IDLE_NAMES and not is_secret(name)}
    if isinstance(value, VectorIndexRetriever) and _asks_whole_index(value):
        del told["_node_ids"]
    return told


def _private(value: object) -> dict[str, object]:
    kept: dict[str, object] | None = getattr(value, "__pydantic_private__", None)
    held = {} if kept is None else kept
    return {name: item for name, item in held.items() if name not in _IDLE_NAMES and not is_secret(name)}


def _asks_whole_index(retriever: VectorIndexRetriever) -> bool:
    """Say whether a retriever is bound to all nodes of its index, as every one is that an index makes.

    Their ids are random where the application gives none: an index of the same documents has others. A retriever that
    was made before nodes were added to an index in memory goes on without them.
    """
    known = retriever._index.index_struct.nodes_dict.values()
    return retriever._node_ids is None or set(retriever._node_ids).issuperset(known)


def _newest(retriever: VectorIndexRetriever) -> tuple[int, str | None]:
    """Return what tells that nodes were added to a retriever's index, or taken out of it."""
    known = retriever._index.index_struct.nodes_dict
    return len(known), next(reversed(known), None)


def _own_methods(kind: type) -> list[tuple[str, FunctionType]]:
    """Return the methods that the application has written itself; what sets attributes up has done so."""
    return [
        (f"{base.__qualname__}.{name}", method)
        for base in kind.__mro__
        if not is_known(base.__module__)
        for name, method in methods_of(base)
        if not name.startswith("__") or name == "__call__"
    ]


def _is_foreign(value: object) -> bool:
    """Say whether an object is no component of the framework's kind: such may be a client, a session, a model."""
    kind = type(value)
    if isinstance(value, BaseModel):
        return False
    return not any(base.__module__.startswith(("llama_index.", "llama_index_semroute")) for base in kind.__mro__)
