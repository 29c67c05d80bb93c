"""LLMs without a provider, and short ways to ask one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, CompletionResponse, LLMMetadata
from llama_index.core.llms import CustomLLM
from pydantic import Field, PrivateAttr


class Parrot(CustomLLM):
    """Says what it is asked; counts its calls. Its streams go word by word."""

    model: str = "parrot-1"
    temperature: float = 0.0
    is_chat: bool = True
    extra: dict[str, Any] = Field(default_factory=dict)
    _calls: list[str] = PrivateAttr(default_factory=list)
    _before: Callable[[str], None] | None = PrivateAttr(default=None)
    """Called with the prompt before each answer, to make a call slow or fail."""
    _between: Callable[[], None] | None = PrivateAttr(default=None)
    """Called before each word of a stream but the first."""

    @property
    def calls(self) -> list[str]:
        return self._calls

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(model_name=self.model, is_chat_model=self.is_chat)

    def _reply(self, prompt: str) -> str:
        self._calls.append(prompt)
        if self._before is not None:
            self._before(prompt)
        return f"You said: {prompt}"

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._reply(prompt), raw={"usage": {"prompt_tokens": 3, "completion_tokens": 5}})

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> Iterator[CompletionResponse]:
        said = ""
        for number, word in enumerate(self._reply(prompt).split(" ")):
            if number and self._between is not None:
                self._between()
            delta = word if number == 0 else f" {word}"
            said += delta
            yield CompletionResponse(text=said, delta=delta)


def user(text: str) -> list[ChatMessage]:
    """Return a conversation of one user's turn."""
    return [ChatMessage(role="user", content=text)]


def tier(reply: ChatResponse | CompletionResponse) -> str:
    """Return how a response came about, as its mark says."""
    return str(reply.additional_kwargs["semroute"]["tier"])


def tiers(replies: Sequence[ChatResponse | CompletionResponse]) -> set[str]:
    """Return how the chunks of a stream came about."""
    return {tier(reply) for reply in replies}


async def last(answer: Any) -> Any:
    """Return a response, or the last chunk of one, from whatever a call gave."""
    given = await answer if inspect.iscoroutine(answer) else answer
    if isinstance(given, AsyncIterator):
        return [chunk async for chunk in given][-1]
    return list(given)[-1] if isinstance(given, Iterator) else given
