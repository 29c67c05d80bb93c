"""LangChain's messages, as objects or as JSON, in the core's form: role, text, name, tool calls, other blocks.

Ids, usage, response metadata, artifacts and reasoning are left out: a conversation whose AI turns were rebuilt from
their text is the same conversation.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from langchain_core.messages import BaseMessage

from langchain_semroute._values import Unsure, plain
from semroute.entry import JSON
from semroute.request import Message, ToolCall, canonical, content_digest

_ROLES: Mapping[str, str] = {
    "human": "user",
    "HumanMessageChunk": "user",
    "ai": "assistant",
    "AIMessageChunk": "assistant",
    "SystemMessageChunk": "system",
    "ToolMessageChunk": "tool",
    "FunctionMessageChunk": "function",
    "ChatMessageChunk": "chat",
}
_THOUGHTS = frozenset({"reasoning", "thinking", "redacted_thinking", "reasoning_content"})
_CALL_BLOCKS = frozenset(
    {"tool_use", "tool_call", "tool_call_chunk", "function_call", "invalid_tool_call", "input_json_delta"}
)
_TEXT_BLOCKS = frozenset({"text", "text-plain-delta", "output_text", "input_text"})
_NOISE = frozenset({"id", "index", "annotations", "cache_control", "phase"})


@dataclass(slots=True)
class _Turn:
    """What a message says, whichever form it came in."""

    kind: str
    content: object
    name: str | None = None
    role: str | None = None
    tool_calls: Sequence[object] = ()
    invalid_tool_calls: Sequence[object] = ()
    tool_call_id: str | None = None
    status: str | None = None
    extra: Mapping[str, object] = field(default_factory=dict)


def of_objects(messages: Iterable[BaseMessage]) -> list[Message]:
    """Return the core's form of message objects; raises Unsure."""
    return _converted(
        _Turn(
            kind=message.type,
            content=message.content,
            name=message.name,
            role=getattr(message, "role", None),
            tool_calls=getattr(message, "tool_calls", ()),
            invalid_tool_calls=getattr(message, "invalid_tool_calls", ()),
            tool_call_id=getattr(message, "tool_call_id", None),
            status=getattr(message, "status", None),
            extra=message.additional_kwargs,
        )
        for message in messages
    )


def of_prompt(prompt: str) -> list[Message]:
    """Return the core's form of a cache's `prompt`; what is no list of messages is one user's turn. Raises Unsure."""
    turns = _turns(prompt)
    return [Message("user", prompt)] if turns is None else _converted(turns)


def _turns(prompt: str) -> list[_Turn] | None:
    if not prompt.startswith("["):
        return None
    try:
        items = json.loads(prompt)
    except (ValueError, RecursionError):
        return None
    if not isinstance(items, list) or not items or not all(_is_manifest(item) for item in items):
        return None
    return [_turn(item) for item in items]


def _is_manifest(item: object) -> bool:
    return isinstance(item, dict) and item.get("lc") == 1 and item.get("type") in ("constructor", "not_implemented")


def _turn(item: Mapping[str, object]) -> _Turn:
    kwargs = item.get("kwargs")
    if item["type"] == "not_implemented" or not isinstance(kwargs, Mapping):
        raise Unsure("a message is of a class that LangChain cannot write as JSON")
    extra = kwargs.get("additional_kwargs")
    return _Turn(
        kind=str(kwargs.get("type")),
        content=kwargs.get("content", ""),
        name=_text_or_none(kwargs.get("name")),
        role=_text_or_none(kwargs.get("role")),
        tool_calls=_sequence(kwargs.get("tool_calls")),
        invalid_tool_calls=_sequence(kwargs.get("invalid_tool_calls")),
        tool_call_id=_text_or_none(kwargs.get("tool_call_id")),
        status=_text_or_none(kwargs.get("status")),
        extra=extra if isinstance(extra, Mapping) else {},
    )


def _converted(turns: Iterable[_Turn]) -> list[Message]:
    order: dict[str, int] = {}
    return [_message(turn, order) for turn in turns]


def _message(turn: _Turn, order: dict[str, int]) -> Message:
    calls = _calls(turn, order)
    text, blocks = _content(turn.content, has_calls=bool(calls))
    return Message(_role(turn), text, _name(turn, order), calls, blocks)


def _role(turn: _Turn) -> str:
    kind = turn.role if turn.kind in ("chat", "ChatMessageChunk") and turn.role is not None else turn.kind
    role = _ROLES.get(kind, kind)
    special = turn.extra.get("__openai_role__")
    return special if isinstance(special, str) and role == "system" else role


def _name(turn: _Turn, order: Mapping[str, int]) -> str | None:
    """Return the name of a turn; a tool's result is named by the order of the call that it answers, not by its id."""
    if turn.tool_call_id is None:
        return turn.name
    answered = order.get(turn.tool_call_id)
    parts = [f"result of call {'unknown' if answered is None else answered}"]
    if turn.status == "error":
        parts.append("failed")
    return " ".join(parts) if turn.name is None else f"{' '.join(parts)}: {turn.name}"


def _calls(turn: _Turn, order: dict[str, int]) -> tuple[ToolCall, ...]:
    calls: list[ToolCall] = []
    given = [*turn.tool_calls, *turn.invalid_tool_calls]
    if not given:
        given = [*_sequence(turn.extra.get("tool_calls")), *_legacy(turn.extra.get("function_call"))]
    for call in given:
        if not isinstance(call, Mapping):
            raise Unsure("a tool call is no object")
        function = call.get("function")
        named = function if isinstance(function, Mapping) else call
        identity = call.get("id")
        if isinstance(identity, str):
            order.setdefault(identity, len(order))
        calls.append(ToolCall(str(named.get("name")), _arguments(named.get("args", named.get("arguments")))))
    return tuple(calls)


def _legacy(call: object) -> list[object]:
    return [] if call is None else [call]


def _arguments(value: object) -> JSON:
    """Return the arguments of a call; those that came as JSON text count as what they say."""
    if isinstance(value, str):
        try:
            return plain(json.loads(value))
        except (ValueError, RecursionError):
            return plain(value)
    return plain(value)


def _content(content: object, *, has_calls: bool) -> tuple[str, tuple[str, ...]]:
    """Part a message's content into its text and the digests of its other blocks, each with its position."""
    if content is None or isinstance(content, str):
        return "" if content is None else content, ()
    texts: list[str] = []
    blocks: list[str] = []
    for position, block in enumerate(_sequence(content)):
        text, rest = _block(block, has_calls=has_calls)
        if text:
            texts.append(text)
        if rest is not None:
            blocks.append(content_digest(canonical([position, rest])))
    return "\n".join(texts), tuple(blocks)


def _block(block: object, *, has_calls: bool) -> tuple[str, JSON]:
    """Return a content block's text, and what else it holds or None."""
    if isinstance(block, str):
        return block, None
    if not isinstance(block, Mapping):
        raise Unsure("a content block is neither text nor an object")
    if block.keys() == {"__lc_escaped__"}:
        return _block(block["__lc_escaped__"], has_calls=has_calls)
    kind, text = block.get("type"), block.get("text")
    if kind in _THOUGHTS or (has_calls and kind in _CALL_BLOCKS):
        return "", None
    is_text = isinstance(text, str) and (kind is None or kind in _TEXT_BLOCKS)
    noise = (_NOISE | {"type", "text"}) if is_text else _NOISE
    if block.get("source_type") == "id":
        noise = noise - {"id"}
    rest = {key: value for key, value in block.items() if key not in noise}
    return (str(text), plain(rest) if rest else None) if is_text else ("", plain(rest))


def _sequence(value: object) -> list[object]:
    return list(value) if isinstance(value, list | tuple) else []


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
