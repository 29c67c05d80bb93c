"""Which model answers, and with which parameters: from LangChain's `llm_string`, or from the model object itself.

Both ways lead to the same digest where the call can be read from both, so that a cached model and a plain one with
`SemrouteCache` share their answers. Nothing of an `llm_string` is kept but digests: it may hold secrets.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from uuid import uuid4

from langchain_core.language_models import BaseChatModel
from langchain_core.load import dumpd

from langchain_semroute._values import Unsure, plain
from semroute.entry import JSON
from semroute.request import canonical, content_digest

_IDLE_FIELDS = frozenset(
    {"name", "cache", "verbose", "callbacks", "callback_manager", "tags", "metadata", "custom_get_token_ids"}
    | {"rate_limiter", "disable_streaming", "profile", "streaming", "stream_usage", "stream_chunk_timeout"}
    | {"max_retries", "request_timeout", "timeout", "http_client", "http_async_client", "http_socket_options"}
    | {"client", "async_client", "root_client", "root_async_client", "tiktoken_model_name"}
)
"""Fields of a model that do not change its answer."""
IDLE_ARGUMENTS = frozenset(
    {"stream", "stream_options", "stream_usage", "timeout", "metadata"}
    | {"ls_structured_output_format", "structured_output_format"}
)
"""Arguments of a call that do not change its answer."""
_IDLE_PARAMETERS = _IDLE_FIELDS - {"name"}
"""Identifying parameters that do not change an answer. A name that a model gives there is its author's to choose."""
_SAYS_NOTHING = frozenset(
    {"_type", "stop", "tools", "tool_choice", "functions", "function_call", "response_format"}
    | {"parallel_tool_calls", "strict"}
)
"""Parameters that do not tell which model answers."""
_READ = "_semroute_fields"
"""Where a model that does not identify itself keeps what its fields said; not a field, so that it is in no dump."""
_MODEL_NAMES = ("model", "model_name", "model_id", "deployment_name", "azure_deployment", "repo_id")
_DOUBTS = (
    (" at 0x", "holds the memory address of an object"),
    ("<class '", "names a response schema by its class only"),
)


@dataclass(frozen=True, slots=True)
class Identity:
    """A model with its parameters, as far as they change the answer."""

    digest: str
    model: str | None = None
    temperature: float | None = None
    note: str | None = None
    """What the application should know of how surely this tells models apart."""


def of_llm_string(llm_string: str, *, is_trusted: bool = False) -> Identity:
    """Read the identity out of a cache's `llm_string`; raises Unsure where it does not tell response schemas apart.

    `is_trusted` accepts strings that name a schema by its class only. A model that says nothing of itself but its type
    is taken at its word, as LangChain asks of it; the note says so.
    """
    described, arguments = _parted(llm_string)
    if arguments is None:
        return Identity(content_digest(llm_string))
    pairs = _pairs(arguments)
    if pairs is None:
        return _unread(described, arguments, is_trusted=is_trusted)
    identity = _identity(described, pairs)
    if described is None and not is_trusted and _is_type_only(pairs):
        note = (
            f"models of type {pairs['_type']!r} say nothing of themselves but that, so all of them share their "
            "answers: let them have _identifying_params, or use cached()"
        )
        return replace(identity, note=note)
    return identity


def of_model(
    model: BaseChatModel, stop: list[str] | None, arguments: Mapping[str, object], name: str | None = None
) -> Identity:
    """Read the identity off a model and the arguments of a call, never from what LangChain remembers of the model.

    `name` stands for the model where it cannot say itself what it is. Raises Unsure.
    """
    if name is not None:
        return _identity({"identity": name, "class": _path(type(model))}, {**arguments, "stop": stop})
    if model.is_lc_serializable():
        return _identity(_cleaned(dumpd(model)), {**arguments, "stop": stop})
    pairs = {**model._get_invocation_params(stop=stop, **arguments), **arguments}
    if not _is_type_only(pairs):
        return _identity(None, pairs)
    own, note = _own_words(model)
    return replace(_identity(own, pairs), note=note)


def forget(model: BaseChatModel) -> None:
    """Read a model's fields anew at its next call: they were changed from outside."""
    model.__dict__.pop(_READ, None)


def _parted(llm_string: str) -> tuple[JSON, str | None]:
    """Part an `llm_string` into the model's description, if it is serialisable, and the call's arguments as text."""
    if llm_string.startswith("[("):
        return None, llm_string
    if llm_string.startswith("{"):
        try:
            described, end = json.JSONDecoder().raw_decode(llm_string)
        except (ValueError, RecursionError):
            return None, None
        if llm_string.startswith("---", end):
            return _cleaned(described), llm_string[end + 3 :]
    return None, None


def _pairs(arguments: str) -> dict[str, object] | None:
    """Read the arguments of a call back from their text, or None where that holds more than literals."""
    try:
        return dict(ast.literal_eval(arguments))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None


def _unread(described: JSON, arguments: str, *, is_trusted: bool) -> Identity:
    for mark, doubt in _DOUBTS:
        if mark in arguments and not (is_trusted and mark == "<class '"):
            raise Unsure(f"llm_string {doubt}")
    if not is_trusted:
        raise Unsure("llm_string holds a value that cannot be read back")
    found = re.search(r"\('temperature', ([0-9.]+)\)", arguments)
    told = {} if found is None else {"temperature": float(found[1])}
    return _identity([described, content_digest(arguments)], told)


def _identity(described: JSON, pairs: Mapping[str, object]) -> Identity:
    told = {key: value for key, value in pairs.items() if key not in IDLE_ARGUMENTS | _IDLE_PARAMETERS}
    arguments = {key: plain(value) for key, value in told.items()}
    fields = described.get("kwargs") if isinstance(described, dict) else None
    named: dict[str, JSON] = {**(fields if isinstance(fields, dict) else {}), **arguments}
    temperature = named.get("temperature")
    is_number = isinstance(temperature, int | float) and not isinstance(temperature, bool)
    return Identity(
        digest=content_digest(canonical([described, arguments])),
        model=next((str(named[key]) for key in _MODEL_NAMES if isinstance(named.get(key), str)), None),
        temperature=float(temperature) if is_number else None,  # type: ignore[arg-type]  # is_number says so
    )


def _cleaned(described: object) -> JSON:
    """Return a model's serialised form without secrets and without what does not change an answer."""
    if not isinstance(described, dict) or described.get("type") != "constructor":
        return plain(described)
    kwargs = described.get("kwargs")
    fields = kwargs if isinstance(kwargs, dict) else {}
    kept = {key: value for key, value in fields.items() if key not in _IDLE_FIELDS and not _is_secret(value)}
    return {"id": plain(described.get("id")), "kwargs": {key: _cleaned(value) for key, value in kept.items()}}


def _is_secret(value: object) -> bool:
    return isinstance(value, dict) and value.get("lc") == 1 and value.get("type") == "secret"


def _is_type_only(pairs: Mapping[str, object]) -> bool:
    told = {key for key, value in pairs.items() if value is not None}
    return "_type" in told and told <= _SAYS_NOTHING | IDLE_ARGUMENTS


def _own_words(model: BaseChatModel) -> tuple[JSON, str | None]:
    """Return what the fields of a model say, for one that does not identify itself, and a note where they cannot.

    They are read once, because such models like to count their calls in a field; `forget` has them read anew. The
    models inside it are asked at every call. A field that cannot be told apart ties the answers to this very object.
    """
    read: tuple[dict[str, JSON], str | None] | None = model.__dict__.get(_READ)
    if read is None:
        read = model.__dict__[_READ] = _fields(model)
    fields, note = read
    inner = {
        name: of_model(value, None, {}).digest for name, value in _values(model) if isinstance(value, BaseChatModel)
    }
    return {"class": _path(type(model)), "kwargs": {**fields, **inner}}, note


def _fields(model: BaseChatModel) -> tuple[dict[str, JSON], str | None]:
    fields: dict[str, JSON] = {}
    note = None
    for name, value in _values(model):
        try:
            fields[name] = None if isinstance(value, BaseChatModel) else plain(value)
        except Unsure:
            fields[name] = f"object:{uuid4().hex}"
            note = (
                f"{type(model).__name__} has no _identifying_params and its field {name!r} cannot be told apart, so "
                "its answers are kept for this object alone: give cached() an identity=…"
            )
    return fields, note


def _values(model: BaseChatModel) -> list[tuple[str, object]]:
    """Return the fields of a model, and what it keeps in private."""
    fields = [(name, getattr(model, name)) for name in sorted(type(model).model_fields.keys() - _IDLE_FIELDS)]
    private = model.__pydantic_private__
    return [*fields, *sorted(({} if private is None else private).items())]


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
