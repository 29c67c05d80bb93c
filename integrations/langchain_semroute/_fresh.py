"""Stored generations made fresh for the one who is served: new ids, no usage counted twice, the marker set."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

from langchain_core.outputs import Generation
from langchain_core.utils.utils import LC_ID_PREFIX

from langchain_semroute._codec import MARKER, decode, forms_of
from semroute.entry import JSON, Answer
from semroute.result import Explanation

UsageMode: TypeAlias = Literal["zero", "keep"]
"""What hits say about tokens: nothing was used ("zero"), or what the first call used ("keep")."""

_SHORTEST_ID = 9
_COUNTS = ("token_usage", "usage")


def new_id(length: int) -> str:
    """Return a random identifier of lower-case hexadecimal digits."""
    digits = ""
    while len(digits) < length:
        digits += uuid.uuid4().hex
    return digits[:length]


def revive(
    answer: Answer, explanation: Explanation, usage: UsageMode = "zero", ids: Callable[[int], str] = new_id
) -> list[Generation] | None:
    """Return fresh generations out of a stored answer, or None where it cannot be read."""
    forms = forms_of(answer.payload)
    if forms is None:
        return None
    try:
        return decode([_refreshed(form, explanation, usage, ids) for form in forms])
    except (ValueError, TypeError, KeyError):
        return None


def _refreshed(
    form: Mapping[str, JSON], explanation: Explanation, usage: UsageMode, ids: Callable[[int], str]
) -> dict[str, JSON]:
    message = form.get("message")
    if not isinstance(message, dict):
        return dict(form)
    renamed = {old: _like(old, ids) for old in sorted(_call_ids(message))}
    fresh = _renamed(message, renamed)
    if not isinstance(fresh, dict):
        raise TypeError("a message is no object")
    fresh["content"] = _without_ids(fresh.get("content"), frozenset(renamed.values()))
    fresh["additional_kwargs"] = _without_item_ids(fresh.get("additional_kwargs", {}))
    fresh["id"] = f"{LC_ID_PREFIX}-{uuid.uuid4()}"
    marker = explanation.as_dict()
    if usage == "zero":
        _zero_usage(fresh, marker)
    metadata = fresh.get("response_metadata")
    kept = {key: value for key, value in metadata.items() if key != "id"} if isinstance(metadata, dict) else {}
    fresh["response_metadata"] = {**kept, MARKER: marker}
    return {**form, "message": fresh}


def _zero_usage(message: dict[str, JSON], marker: dict[str, JSON]) -> None:
    """Zero the counts and keep their names, so that whoever adds usage up does not count a call twice."""
    if message.get("usage_metadata") is not None:
        marker["saved_usage"] = message["usage_metadata"]
        message["usage_metadata"] = _zeroed(message["usage_metadata"])
    metadata = message.get("response_metadata")
    if isinstance(metadata, dict):
        counts = {key: _zeroed(metadata[key]) for key in _COUNTS if key in metadata}
        message["response_metadata"] = {**metadata, **counts}


def _zeroed(value: JSON) -> JSON:
    if isinstance(value, dict):
        return {key: _zeroed(item) for key, item in value.items()}
    is_count = isinstance(value, int | float) and not isinstance(value, bool)
    return 0 if is_count else value


def _call_ids(message: Mapping[str, JSON]) -> set[str]:
    """Return the ids of a message's tool calls, wherever they stand."""
    extra = message.get("additional_kwargs")
    lists = [message.get("tool_calls"), message.get("invalid_tool_calls")]
    lists.append(extra.get("tool_calls") if isinstance(extra, dict) else None)
    calls = [call for calls in lists if isinstance(calls, list) for call in calls if isinstance(call, dict)]
    ids = [call.get("id") for call in calls]
    return {identity for identity in ids if isinstance(identity, str) and identity}


def _like(old: str, ids: Callable[[int], str]) -> str:
    """Return a new id of the same make: providers check prefix and length."""
    prefix = old[: old.rfind("_") + 1]
    return prefix + ids(max(_SHORTEST_ID, len(old) - len(prefix)))


def _renamed(value: JSON, renamed: Mapping[str, str]) -> JSON:
    """Return a copy of a JSON value in which every old id, as a value or as a key, is the new one."""
    if isinstance(value, str):
        return renamed.get(value, value)
    if isinstance(value, list):
        return [_renamed(item, renamed) for item in value]
    if isinstance(value, dict):
        return {renamed.get(key, key): _renamed(item, renamed) for key, item in value.items()}
    return value


def _without_ids(content: JSON, kept: frozenset[str]) -> JSON:
    """Drop providers' item ids from content blocks: sent back a second time they are refused as duplicates."""
    if not isinstance(content, list):
        return content
    return [_without_id(block, kept) if isinstance(block, dict) else block for block in content]


def _without_id(block: Mapping[str, JSON], kept: frozenset[str]) -> dict[str, JSON]:
    rest = {key: value for key, value in block.items() if key != "id" or value in kept}
    extras = rest.get("extras")
    if isinstance(extras, dict):
        rest["extras"] = {key: value for key, value in extras.items() if key != "item_id"}
    return rest


def _without_item_ids(extra: JSON) -> JSON:
    """Drop the item ids that OpenAI's Responses API leaves beside the content."""
    if not isinstance(extra, dict):
        return extra
    rest = {key: value for key, value in extra.items() if key != "__openai_function_call_ids__"}
    reasoning = rest.get("reasoning")
    if isinstance(reasoning, dict):
        rest["reasoning"] = {key: value for key, value in reasoning.items() if key != "id"}
    return rest
