"""A stored answer as the chunks of a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.messages.tool import ToolCallChunk, tool_call_chunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk


def replay(generation: ChatGeneration, piece_characters: int) -> Iterator[ChatGenerationChunk]:
    """Yield the chunks of a generation: text in pieces, tool calls, then one last chunk with all that is counted."""
    message = generation.message
    if not isinstance(message, AIMessage):
        raise TypeError(f"a {message.type} message is no model's answer")
    content = message.content
    if isinstance(content, str):
        for piece in _pieces(content, piece_characters):
            yield _chunk(content=piece)
    else:
        for index, block in enumerate(content):
            for part in _parts(block, index, piece_characters):
                yield _chunk(content=[part])
    for call in _calls(message):
        yield _chunk(content="" if isinstance(content, str) else [], tool_call_chunks=[call])
    last = AIMessageChunk(
        content="" if isinstance(content, str) else [],
        name=message.name,
        additional_kwargs=message.additional_kwargs,
        response_metadata=message.response_metadata,
        usage_metadata=message.usage_metadata,
        chunk_position="last",
    )
    yield ChatGenerationChunk(message=last, generation_info=generation.generation_info)


def _chunk(**fields: Any) -> ChatGenerationChunk:
    return ChatGenerationChunk(message=AIMessageChunk(**fields))


def _pieces(text: str, characters: int) -> Iterator[str]:
    for start in range(0, len(text), characters):
        yield text[start : start + characters]


def _parts(block: str | dict[str, Any], index: int, characters: int) -> Iterator[str | dict[str, Any]]:
    """Yield a content block, one of text in pieces that add up to it when the chunks are merged.

    LangChain's own blocks of tool calls are made of the tool call chunks when the stream ends.
    """
    if isinstance(block, str):
        yield from _pieces(block, characters)
        return
    if block.get("type") in ("tool_call", "invalid_tool_call"):
        return
    placed = {"index": index, **block}
    text = block.get("text")
    if block.get("type") != "text" or not isinstance(text, str) or not text:
        yield placed
        return
    first, *rest = _pieces(text, characters)
    yield {**placed, "text": first}
    for piece in rest:
        yield {"type": "text", "text": piece, "index": placed["index"]}


def _calls(message: AIMessage) -> Iterator[ToolCallChunk]:
    """Yield the tool calls of a message, each whole."""
    index = 0
    for call in message.tool_calls:
        yield tool_call_chunk(name=call["name"], args=json.dumps(call["args"]), id=call["id"], index=index)
        index += 1
    for broken in message.invalid_tool_calls:
        yield tool_call_chunk(name=broken["name"], args=broken["args"], id=broken["id"], index=index)
        index += 1
