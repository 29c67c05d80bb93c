"""LLMs for the tests of routed ones: they say their names, count their calls, and fail when they are told to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
    MessageRole,
    ToolCallBlock,
)
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.llm import ToolSelection
from pydantic import Field

EASY, HARD = "What are cats?", "Prove what cats are"


class Trouble:
    """What goes wrong with an LLM."""

    error: Exception | None = None
    """Raised before the first word."""
    breaks: Exception | None = None
    """Raised by a stream after its first chunk."""


class Voice(FunctionCallingLLM):
    """Answers with its name and the last words, word by word where it is asked for a stream."""

    name: str = "voice"
    temperature: float = 0.0
    calls: list[str] = Field(default_factory=list, exclude=True)
    """The methods that were called."""
    trouble: Trouble = Field(default_factory=Trouble, exclude=True)
    """Shared with the copies, as the calls are."""
    can_call: bool = Field(default=True, exclude=True)
    window: int = Field(default=3900, exclude=True)

    def _semroute_form(self) -> dict[str, Any]:
        return {"name": self.name, "temperature": self.temperature}

    @property
    def metadata(self) -> LLMMetadata:
        return LLMMetadata(
            model_name=self.name,
            is_chat_model=True,
            is_function_calling_model=self.can_call,
            context_window=self.window,
        )

    def _said(self, method: str, words: str | None) -> str:
        self.calls.append(method)
        if self.trouble.error is not None:
            raise self.trouble.error
        return f"{self.name} says: {words}"

    def _reply(self, method: str, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        words = messages[-1].content
        text = self._said(method, words)
        message = ChatMessage(role=MessageRole.ASSISTANT, content=text)
        if kwargs.get("tools") and messages[-1].role is MessageRole.USER:
            tool = kwargs["tools"][0].metadata
            message = ChatMessage(role=MessageRole.ASSISTANT, blocks=[])
            message.blocks.append(
                ToolCallBlock(tool_call_id=f"call_{self.name}", tool_name=tool.name, tool_kwargs={"name": words})
            )
        return ChatResponse(message=message, raw={"finish_reason": "stop"})

    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._reply("chat", messages, **kwargs)

    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._reply("achat", messages, **kwargs)

    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._chunks(self._reply("stream_chat", messages, **kwargs))

    async def astream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseAsyncGen:
        whole = self._reply("astream_chat", messages, **kwargs)

        async def chunks() -> ChatResponseAsyncGen:
            for chunk in self._chunks(whole):
                yield chunk

        return chunks()

    def _chunks(self, whole: ChatResponse) -> ChatResponseGen:
        text = whole.message.content
        if not text:
            yield whole.model_copy(update={"delta": ""})
            return
        said = ""
        for number, word in enumerate(text.split(" ")):
            if number and self.trouble.breaks is not None:
                raise self.trouble.breaks
            delta = word if number == 0 else f" {word}"
            said += delta
            yield ChatResponse(message=ChatMessage(role=MessageRole.ASSISTANT, content=said), delta=delta)

    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._said("complete", prompt))

    async def acomplete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        return CompletionResponse(text=self._said("acomplete", prompt))

    def stream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseGen:
        return self._pieces(self._said("stream_complete", prompt))

    async def astream_complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponseAsyncGen:
        text = self._said("astream_complete", prompt)

        async def pieces() -> CompletionResponseAsyncGen:
            for piece in self._pieces(text):
                yield piece

        return pieces()

    def _pieces(self, text: str) -> CompletionResponseGen:
        said = ""
        for number, word in enumerate(text.split(" ")):
            if number and self.trouble.breaks is not None:
                raise self.trouble.breaks
            delta = word if number == 0 else f" {word}"
            said += delta
            yield CompletionResponse(text=said, delta=delta)

    def _prepare_chat_with_tools(
        self, tools: Any, user_msg: Any = None, chat_history: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        turns = chat_history or []
        if user_msg:
            turns.append(user_msg)
        return {"messages": turns, "tools": list(tools)}

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        self.calls.append("get_tool_calls")
        blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
        return [
            ToolSelection(tool_id=str(block.tool_call_id), tool_name=block.tool_name, tool_kwargs=block.tool_kwargs)
            for block in blocks
            if isinstance(block.tool_kwargs, dict)
        ]


class Way:
    """One of the four ways to ask an LLM for a chat: sync or async, whole or as a stream."""

    def __init__(self, *, is_async: bool, is_stream: bool) -> None:
        self.is_async = is_async
        self.is_stream = is_stream

    async def chat(self, llm: Any, words: str, **kwargs: Any) -> list[ChatResponse]:
        """Return the chunks of a stream, or the one response."""
        messages = [ChatMessage(role=MessageRole.USER, content=words)]
        if self.is_async and self.is_stream:
            return [chunk async for chunk in await llm.astream_chat(messages, **kwargs)]
        if self.is_async:
            return [await llm.achat(messages, **kwargs)]
        return list(llm.stream_chat(messages, **kwargs)) if self.is_stream else [llm.chat(messages, **kwargs)]

    async def complete(self, llm: Any, words: str, **kwargs: Any) -> list[CompletionResponse]:
        if self.is_async and self.is_stream:
            return [chunk async for chunk in await llm.astream_complete(words, **kwargs)]
        if self.is_async:
            return [await llm.acomplete(words, **kwargs)]
        return list(llm.stream_complete(words, **kwargs)) if self.is_stream else [llm.complete(words, **kwargs)]

    async def tools(self, llm: Any, tools: Any, words: str, **kwargs: Any) -> list[ChatResponse]:
        if self.is_async and self.is_stream:
            return [chunk async for chunk in await llm.astream_chat_with_tools(tools, words, **kwargs)]
        if self.is_async:
            return [await llm.achat_with_tools(tools, words, **kwargs)]
        if self.is_stream:
            return list(llm.stream_chat_with_tools(tools, words, **kwargs))
        return [llm.chat_with_tools(tools, words, **kwargs)]
