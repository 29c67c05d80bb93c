"""What a query engine is: its settings, prompts and models in a form that is equal in every process, or a doubt.

Every object that an engine consists of is read by its attributes. What holds documents (an index, a vector store, a
docstore) stands for the corpus and is not read; what cannot be told apart (a function of the application's own, a
client) raises `Unsure`, with the place where it was found.
"""

from __future__ import annotations

import threading
from asyncio import Lock
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
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
    _read: tuple[tuple[object, object], ...]

    @property
    def is_current(self) -> bool:
        """Whether nothing that was read has been changed since."""
        try:
            return all(_shallow(value) == known for value, known in self._read)
        except Exception:  # attributes of every kind are compared, and some refuse to be
            return False


def read(engine: object) -> EngineForm:
    """Read an engine, a retriever or any other component; raises Unsure."""
    reader = _Reader()
    digest = content_digest(canonical(reader.form(engine, type(engine).__name__)))
    model = reader.models.pop() if len(reader.models) == 1 else None
    return EngineForm(digest, tuple(sorted(set(reader.index_ids))), model, tuple(reader.read))


def _shallow(value: object) -> object:
    """Return a copy that tells whether anything was set, added or removed; what lies deeper is compared by itself."""
    match value:
        case list():
            return list(value)
        case dict():
            return dict(value)
        case VectorIndexRetriever():
            return dict(vars(value)), _newest(value)
        case _:
            return dict(vars(value))


@dataclass(slots=True)
class _Reader:
    """Reads one engine, and notes what it comes across."""

    index_ids: list[str] = field(default_factory=list)
    models: set[str] = field(default_factory=set)
    read: list[tuple[object, object]] = field(default_factory=list)
    _above: set[int] = field(default_factory=set)

    def form(self, value: object, place: str) -> JSON:
        """Return the form of a value that was found at a place; raises Unsure."""
        match value:
            case None | bool() | int() | float() | str() | bytes() | Enum() | type():
                return plain(value)
            case list() | tuple() | set() | frozenset() | Mapping():
                return self._collection(value, place)
            case BuiltinFunctionType() | FunctionType() | MethodType():
                return _function(value, place)
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
                self._note(value)
                return {str(key): self.form(item, f"{place}[{key!r}]") for key, item in value.items()}
            case set() | frozenset():
                return sorted((self.form(item, place) for item in value), key=canonical)
            case list() | tuple():
                self._note(value)
                return [self.form(item, f"{place}[{number}]") for number, item in enumerate(value)]
        raise Unsure(f"{place} is a {type(value).__name__}")

    def _model(self, llm: BaseLLM, place: str) -> JSON:
        self._note(llm)
        try:
            identity = of_llm(llm)
        except Unsure as doubt:
            raise Unsure(f"{place}: {doubt}") from doubt
        if identity.model is not None:
            self.models.add(identity.model)
        return identity.form

    def _embedding(self, model: BaseEmbedding, place: str) -> JSON:
        """Return an embedding model's name and plain settings; where it runs and who pays for it is left out."""
        self._note(model)
        own = getattr(model, _OWN_FORM, None)
        if own is not None:
            return [_path(type(model)), plain(own())]
        told: dict[str, JSON] = {}
        for name, value in _told(model).items():
            if isinstance(value, str | int | float | None):
                told[name] = value
        return [_path(type(model)), told]

    def _documents(self, holder: object) -> JSON:
        if isinstance(holder, BaseIndex):
            self.index_ids.append(holder.index_id)
        return _path(type(holder))

    def _component(self, value: object, place: str) -> JSON:
        own = getattr(value, _OWN_FORM, None)
        if own is not None:
            return self._own(value, own())
        if not hasattr(value, "__dict__") or "<locals>" in type(value).__qualname__ or _is_foreign(value):
            if isinstance(value, _DOCUMENT_PROTOCOLS):
                return self._documents(value)
            raise Unsure(f"{place} is a {_path(type(value))}, which cannot be told apart from another one")
        if id(value) in self._above:
            return "above"
        self._note(value)
        self._above.add(id(value))
        fields = {name: self.form(item, f"{place}.{name}") for name, item in _told(value).items()}
        self._above.discard(id(value))
        return [_path(type(value)), fields]

    def _own(self, value: object, told: object) -> JSON:
        if isinstance(told, Mapping):  # an engine of ours, which names the documents behind it
            self.index_ids.extend(str(name) for name in told.get("corpus", ()))
        return [_path(type(value)), plain(told)]

    def _note(self, value: object) -> None:
        if isinstance(value, list | dict) or hasattr(value, "__dict__"):
            self.read.append((value, _shallow(value)))


def _told(value: object) -> dict[str, object]:
    """Return the attributes of an object that may change an answer, and hold no secret."""
    told = {name: item for name, item in vars(value).items() if name not in _IDLE_NAMES and not is_secret(name)}
    if isinstance(value, VectorIndexRetriever) and _asks_whole_index(value):
        del told["_node_ids"]
    return told


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


def _function(function: object, place: str) -> JSON:
    """Return the name of a function of the framework's; those of others may be anything."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if isinstance(module, str) and module.startswith("llama_index.") and "<" not in name:
        return f"{module}.{name}"
    raise Unsure(f"{place} is a function, {module}.{name}")


def _is_foreign(value: object) -> bool:
    """Say whether an object is no component of the framework's kind: such may be a client, a session, a model."""
    kind = type(value)
    if isinstance(value, BaseModel):
        return False
    return not any(base.__module__.startswith(("llama_index.", "llama_index_semroute")) for base in kind.__mro__)


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
