"""What a stream adds up to, in the shape that a call without streaming gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk
from langchain_core.outputs.chat_generation import merge_chat_generation_chunks

from langchain_semroute._codec import whole


def merged(chunks: Sequence[ChatGenerationChunk], output_version: str | None) -> list[ChatGeneration]:
    """Return the generation that the chunks of one whole stream add up to; none for an empty stream."""
    total = merge_chat_generation_chunks(list(chunks))
    if total is None:
        return []
    message = whole(total.message)
    info: dict[str, Any] = {} if total.generation_info is None else total.generation_info
    # Without it the model's name, which providers put into the chunks' info, would be lost.
    message.response_metadata = {**info, **message.response_metadata}
    return [normalised(ChatGeneration(message=message, generation_info=total.generation_info), output_version)]


def normalised(generation: ChatGeneration, output_version: str | None) -> ChatGeneration:
    """Return a generation in the content form that a model of this output version gives."""
    message = generation.message
    if output_version != "v1" or not isinstance(message, AIMessage):
        return generation
    metadata = dict(message.response_metadata)
    if metadata.pop("output_version", None) == "v1" and isinstance(message.content, list):
        return generation
    # Chunks may carry the version before their content has its form: content_blocks would believe them.
    blocks = message.model_copy(update={"response_metadata": metadata}).content_blocks
    shaped = {"content": blocks, "response_metadata": {**metadata, "output_version": "v1"}}
    return ChatGeneration(message=message.model_copy(update=shaped), generation_info=generation.generation_info)
