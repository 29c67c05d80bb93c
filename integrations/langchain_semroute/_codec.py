"""LangChain's generations as the core's answers and back: plain JSON, no class paths, a version."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from langchain_core.messages import AIMessage, BaseMessage, BaseMessageChunk, message_chunk_to_message
from langchain_core.outputs import ChatGeneration, Generation
from pydantic_core import to_jsonable_python

from semroute.admission import admit
from semroute.entry import JSON, Answer, Usage

VERSION = 1
MARKER = "semroute"
"""The key of `response_metadata` that says how an answer came about."""

_FINISH_REASONS = ("finish_reason", "stop_reason", "stopReason", "finishReason", "done_reason")


def encode(generations: Sequence[Generation], *, latency_s: float | None = None) -> Answer | None:
    """Return the answer that a model's generations make up, or None where they hold more than AI messages and text.

    Of several generations the answer tells the one that admission would refuse, if there is one.
    """
    if not generations or not all(_is_known(generation) for generation in generations):
        return None
    payload: JSON = {"v": VERSION, "generations": [_dumped(generation) for generation in generations]}
    answers = [replace(_answer(generation), latency_s=latency_s) for generation in generations]
    first = next((answer for answer in answers if not admit(answer).stored), answers[0])
    return replace(first, payload=payload, has_tool_calls=any(answer.has_tool_calls for answer in answers))


def decode(forms: Sequence[Mapping[str, JSON]]) -> list[Generation]:
    """Return fresh generations; raises ValueError or TypeError for forms that were not made by `encode`."""
    return [_restored(form) for form in forms]


def forms_of(payload: JSON) -> list[dict[str, JSON]] | None:
    """Return the generations of a payload as JSON objects, or None where it is damaged or of another version."""
    if not isinstance(payload, dict) or payload.get("v") != VERSION:
        return None
    forms = payload.get("generations")
    if not isinstance(forms, list) or not forms:
        return None
    return [form for form in forms if isinstance(form, dict)] if all(isinstance(f, dict) for f in forms) else None


def _is_known(generation: Generation) -> bool:
    if not isinstance(generation, ChatGeneration):
        return isinstance(generation, Generation)
    return isinstance(generation.message, AIMessage)


def _dumped(generation: Generation) -> JSON:
    info = to_jsonable_python(generation.generation_info, fallback=str)
    if not isinstance(generation, ChatGeneration):
        return {"text": generation.text, "info": info}
    message = whole(generation.message)
    form = message.model_dump(mode="json", fallback=str, warnings=False, exclude={"type"})
    form.get("response_metadata", {}).pop(MARKER, None)
    return {"info": info, "message": form}


def whole(message: BaseMessage) -> BaseMessage:
    """Return a message as it is, and a chunk as the message that it adds up to."""
    return message_chunk_to_message(message) if isinstance(message, BaseMessageChunk) else message


def _restored(form: Mapping[str, JSON]) -> Generation:
    info, message = form.get("info"), form.get("message")
    if info is not None and not isinstance(info, dict):
        raise TypeError("generation_info is no object")
    if message is None:
        return Generation(text=str(form["text"]), generation_info=info)
    return ChatGeneration(message=AIMessage.model_validate(message), generation_info=info)


def _answer(generation: Generation) -> Answer:
    info = dict(generation.generation_info) if generation.generation_info is not None else {}
    if not isinstance(generation, ChatGeneration) or not isinstance(generation.message, AIMessage):
        return Answer(generation.text, finish_reason=_finish_reason(info))
    message = generation.message
    metadata = {**info, **message.response_metadata}
    usage = message.usage_metadata
    return Answer(
        text=str(message.text),
        model=_text(metadata.get("model_name"), metadata.get("model"), metadata.get("model_id")),
        finish_reason=_finish_reason(metadata),
        has_tool_calls=bool(message.tool_calls or message.invalid_tool_calls),
        is_refusal=_is_refusal(message),
        usage=None if usage is None else Usage(usage.get("input_tokens", 0), usage.get("output_tokens", 0)),
    )


def _finish_reason(metadata: Mapping[str, object]) -> str | None:
    """Return why the model stopped, under the name that its provider uses for it."""
    given = _text(*(metadata.get(name) for name in _FINISH_REASONS))
    if given is not None:
        return given
    details = metadata.get("incomplete_details")
    if isinstance(details, Mapping):
        return _text(details.get("reason"), "incomplete")
    return _text(metadata.get("status"))


def _is_refusal(message: AIMessage) -> bool:
    if message.additional_kwargs.get("refusal"):
        return True
    blocks = message.content if isinstance(message.content, list) else []
    return any(isinstance(block, dict) and block.get("type") == "refusal" for block in blocks)


def _text(*values: object) -> str | None:
    return next((value for value in values if isinstance(value, str) and value), None)


def since(began: float | None) -> float | None:
    """Return the seconds since a reading of `time.perf_counter`, or None where there is none."""
    return None if began is None else time.perf_counter() - began
