"""Which LLM answers, and with which settings: as JSON without secrets, or a doubt.

`to_dict()` of an LLM holds its key in clear and `to_payload()` leaves out the temperature, so the declared fields are
read one by one. What is secret, or changes no answer, is left out by its name.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit
from uuid import uuid4

from llama_index.core.llms.custom import CustomLLM
from llama_index.core.tools.types import BaseTool
from llama_index.core.types import BaseOutputParser
from pydantic import BaseModel, SecretBytes, SecretStr

from semroute.calls.functions import code_digest, is_known, methods_of
from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical

if TYPE_CHECKING:
    from llama_index.core.base.llms.base import BaseLLM

ASKER: Final = "_semroute"
"""Where a cached LLM keeps what `cached()` was told; not a field, so that it is in no dump."""
OWN_FORM: Final = "_semroute_form"
"""The method by which a component of ours says what it is."""

_IDLE: Final = frozenset(
    {"callback_manager", "rate_limiter", "verbose", "max_retries", "timeout", "request_timeout", "reuse_client"}
    | {"http_client", "async_http_client", "client", "aclient", "async_client", "keep_alive", "num_workers"}
    | {"stream", "stream_options", "profile_name", "credentials_profile_name"}
)
"""Settings and arguments that do not change an answer."""
_HOLDERS: Final = frozenset({"cookies", "cookie", "credentials", "credential", "auth", "authorization", "secrets"})
"""Names of mappings of which any part may be secret. Of headers some name a tenant or a gateway."""
_SECRET_WORDS: Final = _HOLDERS | {
    "headers",
    "header",
    "key",
    "keys",
    "apikey",
    "secret",
    "password",
    "passwd",
    "token",
    "bearer",
}
_NAME_PARAMETERS: Final = frozenset({"properties", "$defs", "definitions", "parameters", "parameter_definitions"})
"""Mappings of a schema whose keys are names of parameters: a tool may well ask for a key or a password."""
_NOT_SECRET: Final = re.compile(r"^(?:eos|bos|pad|unk|stop|start|end)_token", re.IGNORECASE)
_WORD_ENDS: Final = re.compile(r"[^A-Za-z0-9]+|(?<=[a-z0-9])(?=[A-Z])")
_PLAIN: Final = (type(None), bool, int, float, str, bytes, list, dict, tuple, set, frozenset)
_MODEL_NAMES: Final = ("model", "model_name", "model_id", "engine", "deployment_name", "azure_deployment")


@dataclass(frozen=True, slots=True)
class LLMIdentity:
    """An LLM with its settings, as far as they may change an answer."""

    form: JSON
    """Equal in every process for LLMs that answer alike; holds no secret."""
    model: str | None = None
    temperature: float | None = None
    note: str | None = None
    """What the application should know of how far its answers are shared."""


def of_llm(llm: BaseLLM, name: str | None = None) -> LLMIdentity:
    """Read the identity of an LLM; raises Unsure where its settings cannot be told apart.

    `name` stands for the settings, as the `identity` that `cached()` was given does.
    """
    given = getattr(llm.__dict__.get(ASKER), "identity", None) if name is None else name
    try:
        form = _form(llm) if given is None else {"class": _path(type(llm)), "identity": given}
    except RecursionError as error:
        raise Unsure(f"the settings of {type(llm).__name__} refer to themselves: {_ADVICE}") from error
    if getattr(llm, "track_previous_responses", False) is True:
        raise Unsure(f"{type(llm).__name__} answers from what its provider remembers of earlier calls")
    return LLMIdentity(form, _model(llm), _temperature(llm, {}), _note(llm))


def of_arguments(arguments: Mapping[str, object]) -> dict[str, JSON]:
    """Return the arguments of a call, without secrets and without those that are None or idle; raises Unsure."""
    return _settings(arguments, "a call")


def temperature_of(llm: BaseLLM, arguments: Mapping[str, object]) -> float | None:
    """Return the temperature of a call: where several are named, the highest."""
    return _temperature(llm, arguments)


def is_secret(name: str) -> bool:
    """Say whether a setting of this name holds what must not be stored, digested or logged."""
    return not _SECRET_WORDS.isdisjoint(_words(name)) and _NOT_SECRET.match(name) is None


def _words(name: str) -> set[str]:
    return {word.lower() for word in _WORD_ENDS.split(name)}


_PACKAGE: Final = "llama_index_semroute"
_READ: Final = "_semroute_private"
"""Where an LLM keeps what was first read of its private attributes; not a field, so that it is in no dump."""
_THIS_OBJECT: Final = "object:"
_ADVICE: Final = "give cached() an identity=… that names the model and its settings"


def _form(llm: BaseLLM) -> JSON:
    if hasattr(llm, OWN_FORM):
        return _component(llm)
    if type(llm).model_fields.keys() <= CustomLLM.model_fields.keys():
        for name, value in (llm.__pydantic_private__ or {}).items():
            if not isinstance(value, _PLAIN):
                raise Unsure(f"{type(llm).__name__} keeps what it is in {name!r}, which cannot be read: {_ADVICE}")
    return [_component(llm), _payload(llm), _own(llm)]


def _own(llm: BaseLLM) -> JSON:
    """Return what an LLM of the application's own keeps in private, as it first was, and the code of its methods.

    What it counts or notes there while it answers is its state. What cannot be read ties the answers to this object.
    """
    ours = [number for number, base in enumerate(type(llm).__mro__) if base.__module__.startswith(_PACKAGE)]
    laid_over = max(ours, default=-1) + 1  # what `cached()` has laid over it
    bases = [base for base in type(llm).__mro__[laid_over:] if not is_known(base.__module__)]
    if not bases:
        return None
    known: JSON = llm.__dict__.get(_READ)
    if known is None:
        held = llm.__pydantic_private__
        private: dict[str, JSON] = {name: _once(name, value) for name, value in ({} if held is None else held).items()}
        known = llm.__dict__[_READ] = {"private": private}
    code: dict[str, JSON] = {
        f"{base.__qualname__}.{name}": code_digest(method) for base in bases for name, method in methods_of(base)
    }
    return [known, code]


def _once(name: str, value: object) -> JSON:
    try:
        return None if _hides(name, value) else _told(value, name)
    except Unsure:
        return f"{_THIS_OBJECT}{uuid4().hex}"


def _note(llm: BaseLLM) -> str | None:
    read = llm.__dict__.get(_READ)
    private = {} if read is None else read["private"]
    tied = [name for name, form in private.items() if isinstance(form, str) and form.startswith(_THIS_OBJECT)]
    if not tied:
        return None
    return (
        f"{type(llm).__name__} keeps in {tied[0]!r} what cannot be read, so its answers are kept for this object "
        f"alone: {_ADVICE}, or the class a method {OWN_FORM}() that returns it"
    )


def _payload(llm: BaseLLM) -> JSON:
    """Return what an LLM says of itself: its model, where no field tells that."""
    try:
        return _settings(llm.to_payload(), type(llm).__name__)
    except Unsure:
        raise
    # Integrations compute this, and raise errors of every kind for models that they do not know.
    except Exception as error:
        raise Unsure(f"{type(llm).__name__} does not tell its model: {_ADVICE}") from error


def _component(value: BaseModel) -> JSON:
    own = getattr(value, OWN_FORM, None)
    if own is not None:
        return {"class": _path(type(value)), "own": _told(own(), type(value).__name__)}
    named = {name: getattr(value, name) for name in type(value).model_fields}
    return {
        "class": _path(type(value)),
        "fields": _settings({**named, **(value.model_extra or {})}, type(value).__name__),
    }


def _settings(named: Mapping[str, object], place: str) -> dict[str, JSON]:
    told = {name: value for name, value in named.items() if value is not None and name not in _IDLE}
    return _mapping(told, place)


def _mapping(mapping: Mapping[str, object], place: str, *, hides: bool = True) -> dict[str, JSON]:
    told: dict[str, JSON] = {}
    for name, value in mapping.items():
        if hides and _hides(str(name), value):
            continue
        if name in _NAME_PARAMETERS and isinstance(value, Mapping):
            told[str(name)] = _mapping(value, place, hides=False)
            continue
        form = _told(value, f"{name!r} of {place}")
        if form or not is_secret(str(name)):  # headers of which all were secret say nothing
            told[str(name)] = form
    return told


def _hides(name: str, value: object) -> bool:
    """Say whether a value is a secret: text, or an object that makes some, under a name that tells so.

    Counts such as `max_tokens` and switches are none, and a mapping only where all that it holds may be one.
    """
    if isinstance(value, SecretStr | SecretBytes):
        return True
    if value is None or isinstance(value, bool | int | float) or not is_secret(name):
        return False
    if isinstance(value, list | tuple) and any(isinstance(item, Mapping) for item in value):
        return False
    return not isinstance(value, Mapping) or not _HOLDERS.isdisjoint(_words(name))


def _told(value: object, place: str) -> JSON:
    match value:
        case str():
            return plain(_without_credentials(value))
        case Mapping():
            return _mapping(value, place)
        case list() | tuple():
            return [_told(item, place) for item in value]
        case set() | frozenset():
            return sorted((_told(item, place) for item in value), key=canonical)
        case None | bool() | int() | float() | bytes() | Enum() | type():
            return plain(value)
        case BaseModel():
            return _component(value)
        case FunctionType() | BuiltinFunctionType() | MethodType():
            return _function(value, place)
        case BaseTool():
            metadata = value.metadata
            return [metadata.name, metadata.description, plain(metadata.fn_schema)]
        case BaseOutputParser():
            return {"class": _path(type(value)), "fields": _mapping(vars(value), place)}
        case _:
            raise Unsure(f"{place} is a {_path(type(value))}, which cannot be told apart from another one: {_ADVICE}")


def _function(function: FunctionType | BuiltinFunctionType | MethodType, place: str) -> JSON:
    """Return the name of a function that can be found again by it; a lambda or a closure may be anything."""
    module, name = str(getattr(function, "__module__", None)), function.__qualname__
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found is not function:
        raise Unsure(f"{place} is a function without a name of its own, {module}.{name}: {_ADVICE}")
    return f"{module}.{name}"


def _path(kind: type) -> str:
    if "<locals>" in kind.__qualname__:
        raise Unsure(f"the class {kind.__qualname__} is made by a function, which may make others like it: {_ADVICE}")
    return f"{kind.__module__}.{kind.__qualname__}"


def _without_credentials(text: str) -> str:
    """Return a text as it is, and a URL without what would let anyone in."""
    if "://" not in text or ("@" not in text and "?" not in text):
        return text
    try:
        parts = urlsplit(text)
    except ValueError:
        return text
    asked = [(name, value) for name, value in parse_qsl(parts.query, keep_blank_values=True) if not is_secret(name)]
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=urlencode(asked)))


def _model(llm: BaseLLM) -> str | None:
    for name in _MODEL_NAMES:
        value = getattr(llm, name, None)
        if isinstance(value, str) and value:
            return value
    try:
        told = llm.metadata.model_name
    # Integrations compute this, and raise errors of every kind for models that they do not know.
    except Exception:
        return None
    return None if told == "unknown" else told


def _temperature(llm: BaseLLM, arguments: Mapping[str, object]) -> float | None:
    own = getattr(llm, "additional_kwargs", None)
    named = [getattr(llm, "temperature", None), arguments.get("temperature")]
    named.append(own.get("temperature") if isinstance(own, Mapping) else None)
    numbers = [float(value) for value in named if isinstance(value, int | float) and not isinstance(value, bool)]
    return max(numbers, default=None)
