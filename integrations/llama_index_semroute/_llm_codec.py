"""LlamaIndex's responses as the core's answers and back: plain JSON, no class paths, a version."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, ToolCallBlock
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_jsonable_python

from llama_index_semroute._messages import COUNTS
from semroute.calls.values import Unsure
from semroute.entry import JSON, Answer, Usage
from semroute.result import Explanation

VERSION: Final = 1
MARKER: Final = "semroute"
"""The key of a response's `additional_kwargs` that says how it came about."""
Reply: TypeAlias = ChatResponse | CompletionResponse
Kind: TypeAlias = Literal["chat", "completion"]

_INPUT: Final = ("prompt_tokens", "input_tokens", "prompt_token_count")
_OUTPUT: Final = ("completion_tokens", "output_tokens", "candidates_token_count")
_FINISH_REASONS: Final = ("finish_reason", "stop_reason", "done_reason")
_PASSING: Final = COUNTS | {MARKER, "thinking_delta"}
"""What belongs to the one call and not to the answer: replayed, its tokens would be counted twice."""
_SHORTEST_ID: Final = 9


@dataclass(frozen=True, slots=True)
class Told:
    """What a provider says of an answer beside it, in `raw`."""

    model: str | None = None
    finish_reason: str | None = None
    usage: Usage | None = None
    is_refusal: bool = False

    @classmethod
    def by(cls, raw: object, extra: Mapping[str, object]) -> Told:
        """Read the raw response, or a chunk of a stream, and where it tells no usage the `additional_kwargs`."""
        choice = _first(_of(raw, "choices"))
        messages = _of(choice, "message"), _of(choice, "delta")
        usages = (_usage(counts) for counts in (_of(raw, "usage"), _of(raw, "usage_metadata"), extra))
        model = _of(raw, "model")
        return cls(
            model=model if isinstance(model, str) else None,
            finish_reason=_text(choice, raw, *messages),
            usage=next((usage for usage in usages if usage is not None), None),
            is_refusal=any(_of(message, "refusal") for message in messages),
        )

    def then(self, later: Told) -> Told:
        """Return what two chunks of a stream say together; the later one is surer."""
        return Told(
            self.model if later.model is None else later.model,
            self.finish_reason if later.finish_reason is None else later.finish_reason,
            self.usage if later.usage is None else later.usage,
            self.is_refusal or later.is_refusal,
        )


def encode(reply: Reply, told: Told, *, model: str | None, latency_s: float | None) -> Answer:
    """Return the answer that a response makes; raises Unsure for one that cannot be rebuilt from plain JSON."""
    try:
        form = _chat(reply) if isinstance(reply, ChatResponse) else _completion(reply)
    except (PydanticSerializationError, TypeError, ValueError) as error:
        raise Unsure(f"an answer is not stored, because it holds more than plain JSON: {error}") from error
    return Answer(
        text=_said(reply),
        payload={"v": VERSION, **form},
        model=model if told.model is None else told.model,
        finish_reason=told.finish_reason,
        has_tool_calls=has_tool_calls(reply),
        is_refusal=told.is_refusal,
        usage=told.usage,
        latency_s=latency_s,
    )


def revive(answer: Answer, explanation: Explanation, kind: Kind) -> Reply | None:
    """Return a fresh response out of a stored answer, or None where it cannot be read."""
    payload = answer.payload
    form = payload.get(kind) if isinstance(payload, dict) and payload.get("v") == VERSION else None
    if not isinstance(form, dict):
        return None
    fresh = _renamed(form, {old: _like(old) for old in _call_ids(form)})
    try:
        reply: Reply = (ChatResponse if kind == "chat" else CompletionResponse).model_validate(fresh)
    except (ValidationError, TypeError, ValueError):
        return None
    reply.additional_kwargs[MARKER] = explanation.as_dict()
    return reply


def has_tool_calls(reply: Reply) -> bool:
    """Say whether a response asks for tools."""
    return isinstance(reply, ChatResponse) and (
        any(isinstance(block, ToolCallBlock) for block in reply.message.blocks)
        or bool(reply.message.additional_kwargs.get("tool_calls"))
        or bool(reply.message.additional_kwargs.get("function_call"))
    )


def _said(reply: Reply) -> str:
    text = reply.message.content if isinstance(reply, ChatResponse) else reply.text
    return "" if text is None else text


def _chat(response: ChatResponse) -> dict[str, JSON]:
    message = response.message
    if "reference_audio_id" in message.additional_kwargs:
        raise ValueError("it refers to audio that its provider keeps for a while")
    form: dict[str, JSON] = message.model_dump(mode="json", exclude={"additional_kwargs"})
    form["additional_kwargs"] = _message_kwargs(message)
    return {
        "chat": {
            "message": form,
            "logprobs": _logprobs(response),
            "additional_kwargs": _kept(response.additional_kwargs),
        }
    }


def _completion(response: CompletionResponse) -> dict[str, JSON]:
    extra = _kept(response.additional_kwargs)
    return {"completion": {"text": response.text, "logprobs": _logprobs(response), "additional_kwargs": extra}}


def _message_kwargs(message: ChatMessage) -> dict[str, JSON]:
    """Return what a message carries along. Tool calls that stand in its blocks too may be objects of the provider's.

    They are kept as JSON: some of the framework's programs ask whether there are any here before they read the blocks.
    """
    calls = message.additional_kwargs.get("tool_calls")
    if calls is None or not any(isinstance(block, ToolCallBlock) for block in message.blocks):
        return _kept(message.additional_kwargs)
    rest = {key: value for key, value in message.additional_kwargs.items() if key != "tool_calls"}
    return {**_kept(rest), "tool_calls": to_jsonable_python(calls)}


def _kept(extra: Mapping[str, Any]) -> dict[str, JSON]:
    """Return what belongs to the answer; raises TypeError or ValueError for what JSON does not bring back."""
    told = {key: value for key, value in extra.items() if key not in _PASSING}
    form: dict[str, JSON] = json.loads(json.dumps(told))
    if form != told:
        raise ValueError("additional_kwargs change on their way through JSON")
    return form


def _logprobs(reply: Reply) -> JSON:
    form: JSON = reply.model_dump(mode="json", include={"logprobs"})["logprobs"]
    return form


def _call_ids(form: Mapping[str, JSON]) -> list[str]:
    """Return the ids of the tool calls of a stored message, wherever they stand."""
    message = form.get("message")
    if not isinstance(message, dict):
        return []
    extra, blocks = message.get("additional_kwargs"), message.get("blocks")
    calls = extra.get("tool_calls") if isinstance(extra, dict) else None
    holders = [*(blocks if isinstance(blocks, list) else []), *(calls if isinstance(calls, list) else [])]
    ids = [holder.get(name) for holder in holders if isinstance(holder, dict) for name in ("tool_call_id", "tool_id")]
    ids += [holder.get("id") for holder in (calls if isinstance(calls, list) else []) if isinstance(holder, dict)]
    return sorted({identity for identity in ids if isinstance(identity, str) and identity})


def _like(old: str) -> str:
    """Return a new id of the same make: providers check prefix and length."""
    prefix = old[: old.rfind("_") + 1]
    length = max(_SHORTEST_ID, len(old) - len(prefix))
    return prefix + (uuid.uuid4().hex * (length // 32 + 1))[:length]


def _renamed(value: Any, renamed: Mapping[str, str]) -> Any:
    """Return a copy of a JSON value in which every old id is the new one."""
    match value:
        case str():
            return renamed.get(value, value)
        case list():
            return [_renamed(item, renamed) for item in value]
        case dict():
            return {key: _renamed(item, renamed) for key, item in value.items()}
        case _:
            return value


# --- what providers say in `raw`, each in its own shape ---------------------------------------------------------


def _of(holder: object, name: str) -> object:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)


def _first(items: object) -> object:
    return items[0] if isinstance(items, list | tuple) and items else None


def _text(*holders: object) -> str | None:
    found = (_of(holder, name) for holder in holders for name in _FINISH_REASONS)
    return next((value for value in found if isinstance(value, str) and value), None)


def _usage(counts: object) -> Usage | None:
    told, produced = (_count(counts, names) for names in (_INPUT, _OUTPUT))
    if told is None and produced is None:
        return None
    return Usage(0 if told is None else told, 0 if produced is None else produced)


def _count(counts: object, names: tuple[str, ...]) -> int | None:
    return next((value for name in names if isinstance(value := _of(counts, name), int)), None)
