"""An LLM of LlamaIndex as what a router asks: structured replies, uncached and outside of the user's run."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from llama_index.core.base.llms.types import ChatMessage, ChatResponse, MessageRole, ToolCallBlock
from llama_index.core.callbacks import CallbackManager
from llama_index.core.llms import LLM, CustomLLM
from llama_index.core.llms.function_calling import FunctionCallingLLM
from llama_index.core.llms.structured_llm import StructuredLLM
from llama_index.core.program.function_program import get_function_tool
from llama_index_instrumentation.dispatcher import instrument_tags

from llama_index_semroute._llm_codec import Told
from llama_index_semroute._llm_identity import ASKER
from llama_index_semroute._llm_mixin import CachedCalls
from semroute.binding import Binding, rebound
from semroute.errors import ConfigError
from semroute.router._asking import REFUSALS, check_error, is_about_temperature
from semroute.router.llm import Refused

if TYPE_CHECKING:
    from llama_index.core.callbacks.base_handler import BaseCallbackHandler
    from pydantic import BaseModel

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
"""How a model is brought to fill in a schema; the two for JSON are in the words of OpenAI's `response_format`."""

_METHODS: Final = ("json_schema", "function_calling", "json_mode")
_TAGS: Final = {"semroute": "router"}


class StructuredModel:
    """Asks an LLM of LlamaIndex to fill in a schema: an `Ask` for `semroute.router.llm.LLMRouter`.

    A copy of the LLM is asked, in an empty context, without streaming and without the handlers of its own or of
    `set_global_handler`: no cache serves it, and neither the user's callbacks nor their streams nor their traces see
    it; `callbacks` are told of it instead. Handlers of LlamaIndex's root dispatcher hear of every call of any model:
    the events of these carry the tag `semroute="router"`, and their spans have no parent.

    By default the schema is a function to call, where the LLM can call any; an LLM that cannot is asked for JSON in
    plain words. `method` names another way: "json_schema" and "json_mode" are for providers that take OpenAI's
    `response_format`. The `temperature` is set where the LLM has that field, and taken back where the provider will
    not have it; None leaves it as it is. Errors of the provider go through, except for refusals. Raises ConfigError
    for what is no LLM.
    """

    def __init__(
        self,
        llm: LLM,
        *,
        method: Method | None = None,
        temperature: float | None = 0.0,
        callbacks: Sequence[BaseCallbackHandler] = (),
    ) -> None:
        given: object = llm
        if not isinstance(given, LLM) or isinstance(given, StructuredLLM):
            raise ConfigError(f"StructuredModel takes an LLM without a schema of its own, not {type(given).__name__}")
        if method is not None and method not in _METHODS:
            raise ConfigError(f"method must be one of {', '.join(_METHODS)} or None, not {method!r}")
        if method == "function_calling" and not isinstance(given, FunctionCallingLLM):
            raise ConfigError(f"{type(given).__name__} can call no functions: leave method out, or name another")
        self._plain = _copy(llm, callbacks)
        has_field = "temperature" in type(llm).model_fields
        self._llm = self._plain if temperature is None or not has_field else _copy(llm, callbacks, temperature)
        self._method = method

    def __repr__(self) -> str:
        return f"<StructuredModel {type(self._plain).__name__}, {self._method or 'method of its own'}>"

    def __call__(self, system: str, user: str, schema: type[BaseModel], /) -> object:
        """Return what the LLM says: the arguments of its function call, or its text."""
        return Context().run(self._ask, _messages(system, user), schema)

    async def aask(self, system: str, user: str, schema: type[BaseModel], /) -> object:
        """Do what calling it does, without ever blocking the event loop."""
        if _only_waits(type(self._plain)):
            return await asyncio.to_thread(self, system, user, schema)
        return await asyncio.create_task(self._aask(_messages(system, user), schema), context=Context())

    def _ask(self, messages: list[ChatMessage], schema: type[BaseModel]) -> object:
        with _apart():
            try:
                return self._chat(messages, schema)
            except Exception as error:  # every provider raises errors of its own
                self._look_at(error)
            return self._chat(messages, schema)

    async def _aask(self, messages: list[ChatMessage], schema: type[BaseModel]) -> object:
        with _apart():
            try:
                return await self._achat(messages, schema)
            except Exception as error:  # as above
                self._look_at(error)
            return await self._achat(messages, schema)

    def _look_at(self, error: Exception) -> None:
        """Return where the call is worth another try, without our temperature; else raise what the error stands for."""
        check_error(error)
        if self._llm is self._plain or not is_about_temperature(error):
            raise error
        self._llm = self._plain

    def _chat(self, messages: list[ChatMessage], schema: type[BaseModel]) -> object:
        caller = self._caller()
        if caller is None:
            return _said(self._llm.chat(messages, **_format(self._method, schema)))
        return _said(caller.chat_with_tools(**_offered(caller, messages, schema)), caller)

    async def _achat(self, messages: list[ChatMessage], schema: type[BaseModel]) -> object:
        caller = self._caller()
        if caller is None:
            return _said(await self._llm.achat(messages, **_format(self._method, schema)))
        return _said(await caller.achat_with_tools(**_offered(caller, messages, schema)), caller)

    def _caller(self) -> FunctionCallingLLM | None:
        """Return the LLM where the schema is a function for it to call."""
        llm = self._llm
        if not isinstance(llm, FunctionCallingLLM) or self._method not in (None, "function_calling"):
            return None
        return llm if self._method is not None or llm.metadata.is_function_calling_model else None


def _copy(llm: LLM, callbacks: Sequence[BaseCallbackHandler], temperature: float | None = None) -> LLM:
    """Return a copy that nobody listens to and no cache serves."""
    manager = CallbackManager()
    manager.set_handlers(list(callbacks))  # not by its constructor, which adds the global handler
    settings: dict[str, object] = {"callback_manager": manager}
    if temperature is not None:
        settings["temperature"] = temperature
    copy = llm.model_copy(update=settings)
    copy.__dict__.pop(ASKER, None)
    return copy


def _only_waits(kind: type[LLM]) -> bool:
    """Say whether the asynchronous side of a class is the framework's stand-in, which blocks in the other one."""
    owners = (base for base in kind.__mro__ if "achat" in vars(base) and base is not CachedCalls)
    return next(owners, None) is CustomLLM


def _messages(system: str, user: str) -> list[ChatMessage]:
    return [ChatMessage(role=MessageRole.SYSTEM, content=system), ChatMessage(role=MessageRole.USER, content=user)]


@contextmanager
def _apart() -> Iterator[None]:
    """Mark the events of a call as the router's, and keep any cache from answering it."""
    with instrument_tags(dict(_TAGS)), rebound(Binding(bypass=True)):
        yield


def _offered(llm: FunctionCallingLLM, messages: list[ChatMessage], schema: type[BaseModel]) -> dict[str, Any]:
    """Return the arguments of a call that has to call the schema as its only function."""
    known = inspect.signature(type(llm)._prepare_chat_with_tools).parameters
    strict = {"strict": True} if "strict" in known else {}
    return {"tools": [get_function_tool(schema)], "chat_history": messages, "tool_required": True, **strict}


def _format(method: Method | None, schema: type[BaseModel]) -> dict[str, Any]:
    match method:
        case "json_schema":
            form = {"name": schema.__name__, "schema": schema.model_json_schema(), "strict": True}
            return {"response_format": {"type": "json_schema", "json_schema": form}}
        case "json_mode":
            return {"response_format": {"type": "json_object"}}
        case _:  # what the prompt says of the reply's form must do
            return {}


def _said(response: ChatResponse, caller: FunctionCallingLLM | None = None) -> object:
    """Return what a response says: the arguments of its function call, or its text; raises Refused.

    Arguments are taken as they came where they stand among the blocks: to read them, integrations mend what is no JSON.
    """
    told = Told.by(response.raw, response.additional_kwargs)
    if told.is_refusal:
        raise Refused("it said so")
    if told.finish_reason is not None and told.finish_reason.lower() in REFUSALS:
        raise Refused(f"finish_reason {told.finish_reason}")
    calls = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    if calls:
        return calls[0].tool_kwargs
    if caller is not None and response.message.additional_kwargs.get("tool_calls"):
        selections = caller.get_tool_calls_from_response(response, error_on_no_tool_call=False)
        return selections[0].tool_kwargs if selections else ""
    text = response.message.content
    return "" if text is None else text
