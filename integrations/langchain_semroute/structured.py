"""A LangChain chat model as what a router asks: structured replies, uncached and outside of the user's run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, SystemMessage
from langchain_core.runnables import Runnable, RunnableConfig

from semroute.errors import ConfigError
from semroute.router._asking import REFUSALS, check_error, is_about_temperature
from semroute.router.llm import Refused

if TYPE_CHECKING:
    from langchain_core.callbacks import BaseCallbackHandler
    from pydantic import BaseModel

Method: TypeAlias = Literal["json_schema", "function_calling", "json_mode"]
"""How a model is brought to fill in a schema, in the words of LangChain's `with_structured_output`."""

_METHODS: Final = ("json_schema", "function_calling", "json_mode")
_NO_STREAM: Final = "nostream"  # langgraph.constants.TAG_NOSTREAM


class StructuredModel:
    """Asks a chat model of LangChain to fill in a schema: an `Ask` for `semroute.router.llm.LLMRouter`.

    A copy of the model is asked, with `cache=False`, without streaming and without the handlers of its own: no cache
    serves it, and neither the user's callbacks nor their streams nor their traces see it; `callbacks` are told of it
    instead. `method` is the model's own choice by default; a model that offers none is asked for JSON in plain words.
    The `temperature` is set where the model has that field, and taken back where the provider will not have it; None
    leaves it as it is. Errors of the provider go through, except for refusals. Raises ConfigError for what is no chat
    model.
    """

    def __init__(
        self,
        model: BaseChatModel,
        *,
        method: Method | None = None,
        temperature: float | None = 0.0,
        callbacks: Sequence[BaseCallbackHandler] = (),
    ) -> None:
        given: object = model
        if not isinstance(given, BaseChatModel):
            raise ConfigError(f"StructuredModel takes a chat model without tools or schema, not {type(given).__name__}")
        if method is not None and method not in _METHODS:
            raise ConfigError(f"method must be one of {', '.join(_METHODS)} or None, not {method!r}")
        self._plain = _copy(model)
        has_field = "temperature" in type(model).model_fields
        self._model = self._plain if temperature is None or not has_field else _copy(model, temperature=temperature)
        self._method = method
        self._config: RunnableConfig = {
            "callbacks": list(callbacks),
            "tags": [_NO_STREAM],
            "run_name": "semroute_router",
        }
        self._forms: dict[type[BaseModel], Runnable[Any, Any]] = {}

    def __repr__(self) -> str:
        return f"<StructuredModel {type(self._plain).__name__}, {self._method or 'method of its own'}>"

    def __call__(self, system: str, user: str, schema: type[BaseModel], /) -> object:
        """Return what the model says: the arguments of its tool call, or its text."""
        messages = _messages(system, user)
        with _untraced():
            try:
                return _said(self._form(schema).invoke(messages, self._config))
            except Exception as error:  # every provider raises errors of its own
                self._look_at(error)
            return _said(self._form(schema).invoke(messages, self._config))

    async def aask(self, system: str, user: str, schema: type[BaseModel], /) -> object:
        """Do what calling it does, without ever blocking the event loop."""
        messages = _messages(system, user)
        with _untraced():
            try:
                return _said(await self._form(schema).ainvoke(messages, self._config))
            except Exception as error:  # as above
                self._look_at(error)
            return _said(await self._form(schema).ainvoke(messages, self._config))

    def _look_at(self, error: Exception) -> None:
        """Return where the call is worth another try, without our temperature; else raise what the error stands for."""
        check_error(error)
        if self._model is self._plain or not is_about_temperature(error):
            raise error
        self._model = self._plain
        self._forms = {}

    def _form(self, schema: type[BaseModel]) -> Runnable[Any, Any]:
        """Return the model as it fills in a schema; the router makes one schema, so there are few of them."""
        form = self._forms.get(schema)
        if form is None:
            form = self._forms[schema] = self._formed(schema)
        return form

    def _formed(self, schema: type[BaseModel]) -> Runnable[Any, Any]:
        # The JSON schema and not the class: some models would check a reply against the class themselves, and raise
        # where the router has yet to tell the model what is wrong.
        form = schema.model_json_schema()
        settings: dict[str, Any] = {"include_raw": True}
        if self._method is not None:
            settings["method"] = self._method
        try:
            return self._model.with_structured_output(form, strict=True, **settings)
        except NotImplementedError:  # it can call no tools: what the prompt says of the reply's form must do
            return self._model
        except (TypeError, ValueError):  # it knows no strict mode, or none of this method
            return self._model.with_structured_output(form, **settings)


def _copy(model: BaseChatModel, **settings: object) -> BaseChatModel:
    copy = model.model_copy(update={"cache": False, "callbacks": None, "disable_streaming": True, **settings})
    copy.__dict__.pop("_serialized", None)  # outlives model_copy (langchain#39598)
    return copy


def _messages(system: str, user: str) -> list[BaseMessage]:
    return [SystemMessage(system), HumanMessage(user)]


@contextmanager
def _untraced() -> Iterator[None]:
    """Keep LangSmith, which the environment may have switched on for the app, from tracing a call."""
    from langsmith.run_helpers import tracing_context  # late, as langchain-core does: it takes long to import

    with tracing_context(enabled=False):
        yield


def _said(reply: object) -> object:
    """Return what a message says: the arguments of its tool call, or its text; raises Refused.

    What LangChain has parsed is left aside where there is either: its parsers also find JSON inside of prose.
    """
    message, parsed = (reply.get("raw"), reply.get("parsed")) if isinstance(reply, dict) else (reply, None)
    if not isinstance(message, AIMessage):
        return parsed if message is None else message
    _check_refusal(message)
    if message.tool_calls:
        return message.tool_calls[0]["args"]
    if message.invalid_tool_calls:
        return message.invalid_tool_calls[0]["args"] or ""
    return message.text if message.text or parsed is None else parsed


def _check_refusal(message: AIMessage) -> None:
    content = message.content if isinstance(message.content, list) else []
    blocks = [block for block in content if isinstance(block, dict) and block.get("type") == "refusal"]
    refusal = str(blocks[0].get("refusal", "")) if blocks else message.additional_kwargs.get("refusal")
    if refusal or blocks:
        raise Refused(str(refusal)[:80])
    for key in ("finish_reason", "stop_reason"):
        reason = message.response_metadata.get(key)
        if isinstance(reason, str) and reason.lower() in REFUSALS:
            raise Refused(f"{key} {reason}")
