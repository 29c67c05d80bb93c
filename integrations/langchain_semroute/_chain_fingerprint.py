"""What a chain is: its prompts, models, retriever settings and functions, read off the objects at every call.

They are read anew each time because applications change them: the filter of a retriever is an access right, and
assigning another one must be a miss at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import date, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import partial
from operator import attrgetter, itemgetter, methodcaller
from pathlib import PurePath
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Final
from uuid import UUID

from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.embeddings import Embeddings
from langchain_core.language_models import BaseChatModel, BaseLLM
from langchain_core.messages import BaseMessage
from langchain_core.prompts import BasePromptTemplate
from langchain_core.runnables import Runnable, RunnableGenerator, RunnableLambda, RunnableParallel, RunnableSequence
from langchain_core.runnables.base import RunnableBindingBase
from langchain_core.runnables.configurable import DynamicRunnable
from langchain_core.runnables.history import RunnableWithMessageHistory
from langchain_core.stores import BaseStore
from langchain_core.vectorstores import VectorStore
from pydantic import BaseModel, SecretBytes, SecretStr

from langchain_semroute._chain_input import context_form
from langchain_semroute._chain_models import Models
from langchain_semroute.routed_model import RoutedModel
from semroute.calls.functions import is_known, of_function, path
from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical

if TYPE_CHECKING:
    from semroute.calls.notices import Notices

_IDLE: Final = frozenset(
    {"name", "tags", "metadata", "callbacks", "callback_manager", "verbose", "cache", "rate_limiter", "input_types"}
    | {"custom_input_type", "custom_output_type", "custom_get_token_ids", "input_type"}
)
"""Fields that do not change what a part of a chain does."""
_WRITTEN: Final = (date, time, timedelta, Decimal, UUID, PurePath, re.Pattern)
"""Values that say themselves all that they are."""
_FUNCTIONS: Final = ("func", "afunc", "_transform", "_atransform")
_SCALARS: Final = (str, bool, int, float)


class Located(Unsure):
    """A part of a chain that cannot be read, with its place in the chain."""


class Reader:
    """Reads a chain once. `is_told` says that the application vouches for what cannot be read: it is left out then."""

    def __init__(self, notices: Notices, *, is_told: bool = False) -> None:
        self.models = Models(notices)
        self._is_told = is_told
        self._open: list[int] = []
        self.asks_config = False
        """Whether a part of the chain may read the configuration of its run by itself."""

    def read(self, value: object, where: str) -> JSON:
        """Return the form of a value; raises Located."""
        if id(value) in self._open:
            return {"again": self._open.index(id(value))}
        self._open.append(id(value))
        try:
            return self._form(value, where)
        except Located:
            raise
        except Unsure as doubt:
            if not self._is_told:
                raise Located(f"{where} cannot be read: {doubt}") from doubt
            self.asks_config = True
            return {"told": where}
        finally:
            self._open.pop()

    def _form(self, value: object, where: str) -> JSON:
        match value:
            case None | bool() | int() | float() | str() | bytes() | Enum():
                return plain(value)
            case Mapping():
                return {self._key(key): self.read(item, f"{where}[{key!r}]") for key, item in value.items()}
            case list() | tuple():
                return [self.read(item, f"{where}[{index}]") for index, item in enumerate(value)]
            case set() | frozenset():
                return sorted((self.read(item, where) for item in value), key=canonical)
            case Runnable():
                return self._runnable(value, where)
            case BaseMessage() | Document():
                return context_form(value)
            case VectorStore() | Embeddings() | BaseStore():
                return _settings(value)
            case SecretStr() | SecretBytes():
                return "secret"
            case BaseModel():
                return self._object(value, where)
            case _:
                return self._other(value, where)

    def _key(self, key: object) -> str:
        return key if isinstance(key, str) else f"key:{key!r}"

    def _other(self, value: object, where: str) -> JSON:
        match value:
            case FunctionType():
                self.asks_config = self.asks_config or _asks_config(value)
                return of_function(value, self.read, where)
            case MethodType():
                return [self.read(value.__self__, f"the owner of {where}"), self.read(value.__func__, where)]
            case BuiltinFunctionType():
                return self._builtin(value, where)
            case partial():
                return {"partial": self.read([value.func, value.args, value.keywords], where)}
            case itemgetter() | attrgetter() | methodcaller():
                return {type(value).__name__: self.read(value.__reduce__()[1], where)}
            case type():
                return _class_form(value)
            case _ if isinstance(value, _WRITTEN):
                return [type(value).__name__, str(value), getattr(value, "flags", 0)]
            case _ if is_dataclass(value):
                parts = {field.name: getattr(value, field.name) for field in fields(value)}
                return [path(type(value)), self.read(parts, where)]
            case _:
                raise Unsure(f"an object of type {path(type(value))} does not say what it is")

    def _builtin(self, value: BuiltinFunctionType, where: str) -> JSON:
        owner = value.__self__
        if owner is None or isinstance(owner, ModuleType):
            if not is_known(value.__module__):
                raise Unsure(f"it is {value.__module__}.{value.__name__}")
            return f"{value.__module__}.{value.__name__}"
        return [self.read(owner, where), value.__name__]

    def _runnable(self, value: Runnable[object, object], where: str) -> JSON:
        match value:
            case BaseChatModel():
                return self.models.chat(value, {})
            case BaseLLM():
                return [path(type(value)), plain(value.dict())]
            case RoutedModel():
                return [self.models.routed(value), self.read(value._config.get("configurable"), where)]
            case RunnableWithMessageHistory():
                raise Unsure("it answers out of a conversation that is kept elsewhere; put the chain inside it")
            case RunnableSequence() | RunnableParallel():
                parts = value.steps if isinstance(value, RunnableSequence) else value.steps__
                return {type(value).__name__: self.read(parts, where)}
            case RunnableLambda() | RunnableGenerator():
                return {"function": [self.read(vars(value).get(name), where) for name in _FUNCTIONS]}
            case RunnableBindingBase():
                return self._binding(value, where)
            case DynamicRunnable():
                return self._configurable(value, where)
            case BaseModel():
                return self._object(value, where)
            case _:
                raise Unsure(f"a runnable of type {path(type(value))} does not say what it is")

    def _binding(self, binding: RunnableBindingBase[object, object], where: str) -> JSON:
        config = {name: binding.config.get(name) for name in ("configurable", "metadata")}
        form: dict[str, JSON] = {"class": self._class(binding, where), "config": self.read(config, where)}
        if binding.config_factories:
            form["factories"] = self.read(binding.config_factories, where)
        if isinstance(binding.bound, BaseChatModel):
            return {**form, "bound": self.models.chat(binding.bound, binding.kwargs)}
        return {**form, "bound": self.read(binding.bound, where), "kwargs": self.read(binding.kwargs, where)}

    def _configurable(self, value: DynamicRunnable[object, object], where: str) -> JSON:
        named: Mapping[str, object] = getattr(value, "fields", {})
        which = getattr(value, "which", None)
        parts = {
            "default": value.default,
            "config": None if value.config is None else value.config.get("configurable"),
            "fields": {name: [getattr(one, "id", None), getattr(one, "options", None)] for name, one in named.items()},
            "which": getattr(which, "id", None),
            "default_key": getattr(value, "default_key", None),
            "alternatives": getattr(value, "alternatives", None),
        }
        return {"class": self._class(value, where), **{name: self.read(part, where) for name, part in parts.items()}}

    def _object(self, value: BaseModel, where: str) -> JSON:
        """Return the class and the fields of an object, and the code of what is neither pure nor LangChain's own."""
        named = {name: getattr(value, name) for name in sorted(type(value).model_fields.keys() - _IDLE)}
        if isinstance(value, BasePromptTemplate):
            named["partial_variables"] = _filled(value.partial_variables)
        if not is_known(type(value).__module__):
            private = value.__pydantic_private__
            named["private"] = {} if private is None else private
        extra = value.__pydantic_extra__
        named["extra"] = {} if extra is None else extra
        parts = {name: self.read(part, f"{where}.{name}") for name, part in named.items()}
        return {"class": self._class(value, where), **parts}

    def _class(self, value: object, where: str) -> JSON:
        """Return the name of a class, with the code of the methods that an application has written itself."""
        kind = type(value)
        if is_known(kind.__module__) or not isinstance(value, Runnable | BaseDocumentCompressor):
            return path(kind)
        own = [base for base in kind.__mro__ if not is_known(base.__module__)]
        code = {f"{base.__qualname__}.{name}": method for base in own for name, method in _methods(base)}
        return [path(kind), {name: self.read(method, f"{name} of {where}") for name, method in code.items()}]


def _asks_config(function: FunctionType) -> bool:
    """Say whether a function is handed the configuration of its run, or is one that asks for it."""
    code = function.__code__
    return (
        function.__module__ == "langchain_core.runnables.config"
        or "config" in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    )


def _class_form(kind: type) -> JSON:
    """Return the name of a known class, or the schema of one that holds data."""
    if is_known(kind.__module__):
        return path(kind)
    if not issubclass(kind, BaseModel | Enum) and not is_dataclass(kind):
        raise Unsure(f"it is the class {path(kind)}")
    return plain(kind)


def _methods(kind: type) -> list[tuple[str, FunctionType]]:
    unwrapped = {
        name: member.fget if isinstance(member, property) else getattr(member, "__func__", member)
        for name, member in vars(kind).items()
    }
    return [(name, member) for name, member in sorted(unwrapped.items()) if isinstance(member, FunctionType)]


def _filled(variables: Mapping[str, object]) -> dict[str, object]:
    """Return what a prompt fills in by itself: functions are asked, as they are whenever it is rendered."""
    return {name: value() if callable(value) else value for name, value in variables.items()}


def _settings(value: object) -> JSON:
    """Return what a store or an embedding model plainly says of itself: the name of a collection or of a model.

    What it holds is data: the corpus names it.
    """
    held = vars(value) if hasattr(value, "__dict__") else {}
    plainly: dict[str, JSON] = {name: one for name, one in sorted(held.items()) if isinstance(one, _SCALARS)}
    embeddings = getattr(value, "embeddings", None)
    if isinstance(embeddings, Embeddings):
        plainly["embeddings"] = _settings(embeddings)
    return [path(type(value)), plain(plainly)]
