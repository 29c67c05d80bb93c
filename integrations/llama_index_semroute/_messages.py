"""LlamaIndex's messages in the core's form: role, text, name, tool calls, and digests of what is not text.

Ids, token counts and reasoning are left out: a conversation whose turns were rebuilt from their text is the same one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from io import IOBase
from pathlib import Path
from typing import Final

from llama_index.core.base.llms.types import CachePoint, ChatMessage, TextBlock, ThinkingBlock, ToolCallBlock
from pydantic import AnyUrl, BaseModel

from semroute.calls.values import Unsure, plain
from semroute.entry import JSON
from semroute.request import Message, ToolCall, canonical, content_digest

COUNTS: Final = frozenset(
    {"prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens", "usage", "token_usage"}
    | {"prompt_token_count", "candidates_token_count", "total_token_count", "usage_metadata"}
)
"""What providers' integrations say of tokens in a message's or a response's `additional_kwargs`."""
_NOISE: Final = COUNTS | {"id", "response_id", "session_id", "semroute", "thinking_delta", "images"}
_READ: Final = frozenset({"tool_calls", "function_call", "tool_call_id", "name"})


def of_messages(messages: Sequence[ChatMessage]) -> list[Message]:
    """Return the core's form of a conversation; raises Unsure."""
    order: dict[str, int] = {}
    return [_message(message, order) for message in messages]


def extras(messages: Sequence[ChatMessage]) -> dict[str, JSON]:
    """Return what else messages tell a provider, by their position; raises Unsure."""
    told: dict[str, JSON] = {}
    for position, message in enumerate(messages):
        rest = {key: value for key, value in message.additional_kwargs.items() if key not in _NOISE | _READ}
        if rest:
            told[str(position)] = plain(rest)
    return told


def _message(message: ChatMessage, order: dict[str, int]) -> Message:
    calls = _calls(message, order)
    blocks = tuple(
        content_digest(canonical([position, _content(block, type(block).__name__)]))
        for position, block in enumerate(message.blocks)
        if not isinstance(block, TextBlock | ToolCallBlock | ThinkingBlock | CachePoint)
    )
    text = message.content
    return Message(str(message.role.value), "" if text is None else text, _name(message, order), calls, blocks)


def _name(message: ChatMessage, order: Mapping[str, int]) -> str | None:
    """Return the name of a turn; a tool's result is named by the order of the call that it answers, not by its id."""
    name, answered = message.additional_kwargs.get("name"), message.additional_kwargs.get("tool_call_id")
    told = None if name is None else str(name)
    if answered is None:
        return told
    result = f"result of call {order.get(str(answered), 'unknown')}"
    return result if told is None else f"{result}: {told}"


def _calls(message: ChatMessage, order: dict[str, int]) -> tuple[ToolCall, ...]:
    """Return the tool calls of a turn: its blocks, which the integrations of today fill, or else what older ones do."""
    calls: list[ToolCall] = []
    blocks = [block for block in message.blocks if isinstance(block, ToolCallBlock)]
    for block in blocks:
        _number(block.tool_call_id, order)
        calls.append(ToolCall(block.tool_name, _arguments(block.tool_kwargs)))
    if blocks:
        return tuple(calls)
    legacy = message.additional_kwargs.get("function_call")
    for call in [*_listed(message.additional_kwargs.get("tool_calls")), *([] if legacy is None else [legacy])]:
        told = call.model_dump() if isinstance(call, BaseModel) else call
        if not isinstance(told, Mapping):
            raise Unsure(f"a tool call is a {type(call).__name__}")
        function = told.get("function")
        named = function if isinstance(function, Mapping) else told
        _number(told.get("id", told.get("tool_id")), order)
        calls.append(ToolCall(_first(named, "name", "tool_name"), _arguments(_of(named))))
    return tuple(calls)


def _listed(calls: object) -> list[object]:
    return list(calls) if isinstance(calls, list | tuple) else []


def _first(named: Mapping[str, object], *names: str) -> str:
    return next((str(named[name]) for name in names if named.get(name) is not None), "")


def _of(named: Mapping[str, object]) -> object:
    return next((named[name] for name in ("arguments", "tool_kwargs", "args", "input") if name in named), named)


def _number(identity: object, order: dict[str, int]) -> None:
    if isinstance(identity, str) and identity:
        order.setdefault(identity, len(order))


def _arguments(value: object) -> JSON:
    """Return the arguments of a call; those that came as JSON text count as what they say."""
    if isinstance(value, str):
        try:
            return plain(json.loads(value))
        except (ValueError, RecursionError):
            return plain(value)
    return plain(value)


def _content(value: object, place: str) -> JSON:
    """Return what a block that is not text consists of; files stand for their content, which may change."""
    match value:
        case BaseModel():
            return [type(value).__name__, _fields(value)]
        case list() | tuple():
            return [_content(item, place) for item in value]
        case IOBase():
            return _read(value)
        case Path():
            return _file(value)
        case str() if place == "path":
            return _file(Path(value))
        case AnyUrl():
            return plain(str(value))
        case _:
            return plain(value)


def _fields(block: BaseModel) -> JSON:
    """Return the fields of a block; one that holds its content only says in `path` where that came from."""
    told = {name: getattr(block, name) for name in type(block).model_fields}
    is_held = any(isinstance(value, bytes | IOBase) for value in told.values())
    return {
        name: _content(value, name)
        for name, value in told.items()
        if value is not None and not (is_held and name == "path")
    }


def _read(buffer: IOBase) -> JSON:
    try:
        buffer.seek(0)
        content = buffer.read()
        buffer.seek(0)
    except (OSError, AttributeError) as error:
        raise Unsure("a content block holds a stream that cannot be read twice") from error
    return plain(content)


def _file(path: Path) -> JSON:
    try:
        return plain(path.read_bytes())
    except OSError as error:
        raise Unsure("a content block names a file that cannot be read") from error
