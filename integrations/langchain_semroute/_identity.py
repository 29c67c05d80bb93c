"""Which model answers, and with which parameters: from LangChain's `llm_string`, or from the model object itself.

Both ways lead to the same digest where the call can be read from both, so that a cached model and a plain one with
`SemrouteCache` share their answers. Nothing of an `llm_string` is kept but digests: it may hold secrets.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass

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
_IDLE_ARGUMENTS = frozenset(
    {"stream", "stream_options", "stream_usage", "timeout", "metadata"}
    | {"ls_structured_output_format", "structured_output_format"}
)
"""Arguments of a call that do not change its answer."""
_SAYS_NOTHING = frozenset(
    {"_type", "stop", "tools", "tool_choice", "functions", "function_call", "response_format"}
    | {"parallel_tool_calls", "strict"}
)
"""Parameters that do not tell which model answers."""
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


def of_llm_string(llm_string: str, *, is_trusted: bool = False) -> Identity:
    """Read the identity out of a cache's `llm_string`; raises Unsure where it does not tell models or schemas apart.

    `is_trusted` accepts strings that name a schema by its class or a model by its type only.
    """
    described, arguments = _parted(llm_string)
    if arguments is None:
        return Identity(content_digest(llm_string))
    pairs = _pairs(arguments)
    if pairs is None:
        return _unread(described, arguments, is_trusted=is_trusted)
    if described is None and not is_trusted and _is_type_only(pairs):
        raise Unsure("llm_string says nothing of the model but its type")
    return _identity(described, pairs)


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
    own = _fields(model) if _is_type_only(pairs) else None
    return _identity(own, pairs)


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
    told = {key: value for key, value in pairs.items() if key not in _IDLE_ARGUMENTS | _IDLE_FIELDS}
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
    return "_type" in told and told <= _SAYS_NOTHING | _IDLE_ARGUMENTS


def _fields(model: BaseChatModel) -> JSON:
    """Return what the fields of a model say, for one that does not identify itself; raises Unsure."""
    fields: dict[str, JSON] = {}
    for field in type(model).model_fields.keys() - _IDLE_FIELDS:
        value = getattr(model, field)
        if isinstance(value, BaseChatModel):
            fields[field] = of_model(value, None, {}).digest
        else:
            try:
                fields[field] = plain(value)
            except Unsure as doubt:
                raise Unsure(
                    f"{type(model).__name__} has no _identifying_params and its field {field!r} cannot be told apart: "
                    "give cached() an identity=…"
                ) from doubt
    return {"class": _path(type(model)), "kwargs": fields}


def _path(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
