"""Streams of an LLM: the chunks of one added up to a response, and a stored response as the chunks of one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from llama_index.core.base.llms.types import ChatResponse, CompletionResponse, TextBlock, ToolCallBlock

from llama_index_semroute._llm_codec import Reply, Told
from semroute.calls.values import Unsure


class Gathered:
    """The chunks of a stream that is under way; each holds all that was said before it, and what is new as delta."""

    def __init__(self) -> None:
        self._deltas: list[str] = []
        self._told: list[tuple[Any, dict[str, Any]]] = []
        self._last: Reply | None = None
        self._most_calls = 0

    def take(self, chunk: Reply) -> None:
        """Note a chunk. What it holds is copied as far as consumers change it."""
        self._deltas.append("" if chunk.delta is None else chunk.delta)
        self._told.append((chunk.raw, chunk.additional_kwargs))
        self._most_calls = max(self._most_calls, _calls(chunk))
        self._last = _copied(chunk)

    def whole(self) -> Reply:
        """Return the response that the chunks make up; raises Unsure where they contradict each other."""
        if self._last is None:
            raise Unsure("an answer is not stored: its stream was empty")
        if _calls(self._last) < self._most_calls:
            raise Unsure("an answer is not stored: its stream ended with fewer tool calls than it had")
        joined, said = "".join(self._deltas), _said(self._last)
        whole = self._last.model_copy(update={"delta": None, "raw": None})
        if joined == said or joined in said:
            return whole
        if said not in joined:
            raise Unsure("an answer is not stored: the pieces of its stream are not the text that it ended with")
        return _with_text(whole, joined)

    def told(self) -> Told:
        """Return what the provider has said of the answer in any of its chunks."""
        told = Told()
        for raw, extra in self._told:
            told = told.then(Told.by(raw, extra))
        return told


def replay(reply: Reply, piece_characters: int) -> Iterator[Reply]:
    """Yield a response as a stream does: text that grows piece by piece, and the whole of it in the last chunk."""
    chunks = (
        _chat_chunks(reply, piece_characters)
        if isinstance(reply, ChatResponse)
        else _text_chunks(reply, piece_characters)
    )
    pending: Reply | None = None
    for chunk in chunks:
        if pending is not None:
            yield pending
        pending = chunk
    last = reply.model_copy(update={"delta": "" if pending is None else pending.delta})
    yield last


def _chat_chunks(response: ChatResponse, characters: int) -> Iterator[ChatResponse]:
    done: list[Any] = []
    # Tool calls that are named here before they stand among the blocks would be read from here.
    kwargs = {key: value for key, value in response.message.additional_kwargs.items() if key != "tool_calls"}
    for block in response.message.blocks:
        for piece, so_far in _grown(block.text, characters) if isinstance(block, TextBlock) else [("", None)]:
            shown = block if so_far is None else TextBlock(text=so_far)
            message = response.message.model_copy(update={"blocks": [*done, shown], "additional_kwargs": kwargs})
            yield _chunk(response, message=message, delta=piece)
        done.append(block)


def _text_chunks(response: CompletionResponse, characters: int) -> Iterator[CompletionResponse]:
    for piece, so_far in _grown(response.text, characters):
        yield _chunk(response, text=so_far, delta=piece)


def _grown(text: str, characters: int) -> Iterator[tuple[str, str]]:
    """Yield the pieces of a text, each with the text up to its end."""
    for start in range(0, len(text), characters):
        end = start + characters
        yield text[start:end], text[:end]


def _chunk(reply: Any, **fields: object) -> Any:
    extra = dict(reply.additional_kwargs)
    return reply.model_copy(update={"logprobs": None, "additional_kwargs": extra, **fields})


def _copied(chunk: Reply) -> Reply:
    if isinstance(chunk, CompletionResponse):
        return chunk.model_copy()
    message = chunk.message
    kwargs = dict(message.additional_kwargs)
    return chunk.model_copy(
        update={"message": message.model_copy(update={"blocks": list(message.blocks), "additional_kwargs": kwargs})}
    )


def _calls(chunk: Reply) -> int:
    if isinstance(chunk, CompletionResponse):
        return 0
    return sum(isinstance(block, ToolCallBlock) for block in chunk.message.blocks)


def _said(reply: Reply) -> str:
    if isinstance(reply, CompletionResponse):
        return reply.text
    return "".join(block.text for block in reply.message.blocks if isinstance(block, TextBlock))


def _with_text(reply: Reply, text: str) -> Reply:
    """Return a response with the text that its stream has said; one of several texts could not tell which."""
    if isinstance(reply, CompletionResponse):
        return reply.model_copy(update={"text": text})
    blocks: list[Any] = list(reply.message.blocks)
    places = [place for place, block in enumerate(blocks) if isinstance(block, TextBlock)]
    if len(places) > 1:
        raise Unsure("an answer is not stored: the pieces of its stream are not the texts that it ended with")
    place, end = (places[0], places[0] + 1) if places else (0, 0)
    blocks[place:end] = [TextBlock(text=text)]
    return reply.model_copy(update={"message": reply.message.model_copy(update={"blocks": blocks})})
